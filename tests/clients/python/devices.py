"""A device on paho-mqtt: lets itself in, publishes what it may, and is told what it may not.

Arguments: the ports of the MQTT listener over TCP and over WebSocket. Its user is `monitor` with the password `secret`,
and may publish to `devices/monitor/#`.
"""

import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

PATIENCE = 30
VERSIONS = {"3.1.1": mqtt.MQTTv311, "5": mqtt.MQTTv5}
second = 0


def reading():
    """A reading that no other message has."""
    global second
    second += 1
    at = f"2024-03-02T07:15:{second:02}Z"
    return f'{{"deviceid":"paho","patientid":"p-1","measurementdatetime":"{at}","heartrate":61}}'


class Device:
    def __init__(self, version, transport, port, password="secret"):
        self.connected, self.published, self.disconnected = (threading.Event() for _ in range(3))
        self.answer = self.acknowledged = None
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, f"paho-{version}-{transport}", protocol=VERSIONS[version],
            transport=transport, reconnect_on_failure=False,
        )
        self.client.username_pw_set("monitor", password)
        self.client.on_connect = self.on_connect
        self.client.on_publish = self.on_publish
        self.client.on_disconnect = lambda *_: self.disconnected.set()
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self.connected.wait(PATIENCE), "no CONNACK"

    def on_connect(self, client, userdata, flags, reason, properties):
        self.answer = reason
        self.connected.set()

    def on_publish(self, client, userdata, message, reason, properties):
        self.acknowledged = reason
        self.published.set()

    def publish(self, topic, qos):
        self.published.clear()
        self.client.publish(topic, reading(), qos)

    def leave(self):
        self.client.disconnect()
        self.client.loop_stop()


def check(version, transport, port):
    device = Device(version, transport, port)
    assert not device.answer.is_failure, device.answer
    # MQTT 5 clients are told that QoS 2 is not offered.
    for qos in (0, 1, 2) if version == "3.1.1" else (0, 1):
        device.publish("devices/monitor/pulse", qos)
        assert device.published.wait(PATIENCE), f"QoS {qos} without an answer"
        assert not device.acknowledged.is_failure, device.acknowledged
    device.publish("devices/pump/pulse", 1)
    if version == "5":
        assert device.published.wait(PATIENCE), "no PUBACK"
        assert device.acknowledged.value == 0x87, device.acknowledged
    else:
        assert device.disconnected.wait(PATIENCE), "the connection goes on after a forbidden message"
    device.leave()

    stranger = Device(version, transport, port, password="guess")
    assert stranger.answer.is_failure and stranger.answer.value == 0x86, stranger.answer
    stranger.leave()


tcp, websocket = (int(port) for port in sys.argv[1:])
for version in VERSIONS:
    check(version, "tcp", tcp)
    check(version, "websockets", websocket)
print(second)
