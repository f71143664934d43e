"""Drives a FHIR server, whose base URL is the first argument, with fhirpy; every answer must parse with fhir.resources."""

import sys

from fhir.resources import construct_fhir_element
from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome, ResourceNotFound


class StrictClient(SyncFHIRClient):
    """A client that holds every answer against the structure of R4."""

    parsed = 0

    def _do_request(self, *args, **kwargs):
        answer = super()._do_request(*args, **kwargs)
        body = answer[0] if isinstance(answer, tuple) else answer
        if isinstance(body, dict) and "resourceType" in body:
            construct_fhir_element(body["resourceType"], body)
            StrictClient.parsed += 1
        return answer


fhir = StrictClient(sys.argv[1])
LOINC = "http://loinc.org"


def heart_rate(patient, value, time):
    return fhir.resource(
        "Observation",
        status="final",
        code={"coding": [{"system": LOINC, "code": "8867-4"}]},
        subject=patient.to_reference(),
        effectiveDateTime=time,
        valueQuantity={"value": value, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"},
    )


def refused(kind, call):
    try:
        call()
    except kind:
        return
    raise AssertionError(f"not refused with {kind.__name__}")


fhir.execute("metadata", method="get")

# A resource through its life.
patient = fhir.resource("Patient", name=[{"family": "Hopper", "given": ["Grace"]}], identifier=[{"system": "urn:navy", "value": "1"}])
patient.save()
patient["birthDate"] = "1906-12-09"
patient.save()
patient["gender"] = "female"
patient.save()
assert fhir.reference("Patient", patient.id).to_resource()["gender"] == "female"

# Who does not know the id says what identifies the resource.
again, created = fhir.resources("Patient").search(identifier="urn:navy|1").update(
    fhir.resource("Patient", name=patient["name"], identifier=patient["identifier"], gender="female")
)
assert not created and again.id == patient.id

for hour, value in enumerate([61.0, 62.5, 63.0, 64.0, 65.0]):
    heart_rate(patient, value, f"2024-05-01T{hour:02}:00:00Z").save()

# Searches, with pages, includes, chains and orders.
observations = fhir.resources("Observation").search(patient=patient.id, code=f"{LOINC}|8867-4")
assert observations.search(_total="accurate").fetch_raw().total == 5
assert [it["valueQuantity"]["value"] for it in observations.sort("-date").limit(2).fetch_all()] == [65.0, 64.0, 63.0, 62.5, 61.0]
assert len(observations.search(value_quantity="gt62.5").fetch()) == 3
assert len(fhir.resources("Observation").search(subject__Patient__family="hopper").fetch()) == 5
bundle = observations.include("Observation", "subject").fetch_raw()
assert sorted({entry.resource["resourceType"] for entry in bundle.entry}) == ["Observation", "Patient"]
assert len(fhir.resources("Patient").has("Observation", "patient", code="8867-4").fetch()) == 1
few = fhir.resources("Patient").elements("name").search(_id=patient.id).first()
assert "name" in few and "birthDate" not in few

for name in ("everything", "meta"):
    fhir.execute(f"Patient/{patient.id}/${name}", method="get")
fhir.execute("Observation/$lastn", method="get", params={"subject": f"Patient/{patient.id}"})
fhir.execute("Patient/_history", method="get")
fhir.execute("_history", method="get")

refused(ResourceNotFound, lambda: fhir.reference("Patient", "nobody").to_resource())
refused(OperationOutcome, lambda: fhir.resources("Patient").search(nonsense="1").fetch())
patient.delete()
refused(ResourceNotFound, lambda: fhir.reference("Patient", patient.id).to_resource())
assert StrictClient.parsed > 20, StrictClient.parsed
