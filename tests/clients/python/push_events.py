"""Sends heart-rate readings as CloudEvents to the URL of the first argument, with the SDK of CloudEvents, in all modes."""

import json
import sys
import urllib.request

from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

FORMAT = JSONFormat()


def reading(second):
    return {
        "deviceid": "d-1",
        "patientid": "p-1",
        "measurementdatetime": f"2024-03-02T07:15:{second:02}Z",
        "heartrate": 60 + second,
    }


def event(second, data):
    attributes = {"type": "org.example.reading", "source": "/gateways/7", "id": str(second), "ward": "Süd 4"}
    attributes["datacontenttype"] = "application/json"
    return CloudEvent(attributes=attributes, data=data)


def push(headers, body):
    request = urllib.request.Request(sys.argv[1], data=body, headers=headers)
    with urllib.request.urlopen(request) as response:
        answer = json.load(response)
    assert answer["stored"] == answer["received"], answer
    return answer["received"]


count = 0
for second, mode in enumerate([to_binary, to_structured]):
    message = mode(event(second, reading(second)), FORMAT)
    count += push(message.headers, message.body)

# Bytes go as Base64 in a document.
message = to_structured(event(2, json.dumps(reading(2)).encode()), FORMAT)
assert b"data_base64" in message.body, message.body
count += push(message.headers, message.body)

# The SDK has no batches: they are arrays of what it writes.
documents = [json.loads(FORMAT.write(event(second, reading(second)))) for second in range(3, 10)]
headers = {"Content-Type": "application/cloudevents-batch+json"}
count += push(headers, json.dumps(documents).encode())
assert count == 10, count
