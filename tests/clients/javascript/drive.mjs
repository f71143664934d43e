// Drives a FHIR server, whose base URL is the first argument, with fhir-kit-client as an application would.
import assert from 'node:assert/strict';
import { Client } from 'fhir-kit-client';

const fhir = new Client({ baseUrl: process.argv[2] });
const LOINC = 'http://loinc.org';
const HEART_RATE = '8867-4';

function heartRate(subject, value, time) {
  return {
    resourceType: 'Observation',
    status: 'final',
    code: { coding: [{ system: LOINC, code: HEART_RATE, display: 'Heart rate' }] },
    subject: { reference: subject },
    effectiveDateTime: time,
    valueQuantity: { value, unit: 'beats/minute', system: 'http://unitsofmeasure.org', code: '/min' },
  };
}

const values = (bundle) => (bundle.entry ?? []).map((entry) => entry.resource.valueQuantity?.value);

async function refused(status, call) {
  await assert.rejects(call, (error) => {
    assert.equal(error.response.status, status);
    assert.equal(error.response.data.resourceType, 'OperationOutcome');
    return true;
  });
}

const capabilities = await fhir.capabilityStatement();
assert.equal(capabilities.fhirVersion, '4.0.1');

// A resource through its life.
const patient = await fhir.create({
  resourceType: 'Patient',
  body: { resourceType: 'Patient', name: [{ family: 'Lovelace', given: ['Ada'] }], gender: 'female' },
});
const { id } = patient;
const named = { resourceType: 'Patient', id };
assert.equal((await fhir.read(named)).name[0].family, 'Lovelace');
await fhir.update({ ...named, body: { ...patient, birthDate: '1815-12-10' } });
await fhir.patch({ ...named, jsonPatch: [{ op: 'replace', path: '/birthDate', value: '1815-12-11' }] });
assert.equal((await fhir.read(named)).birthDate, '1815-12-11');
assert.equal((await fhir.vread({ ...named, version: '2' })).birthDate, '1815-12-10');
assert.equal((await fhir.history(named)).entry.length, 3);
assert.ok((await fhir.history({ resourceType: 'Patient' })).entry.length >= 3);
assert.ok((await fhir.history()).entry.length >= 3);

// A transaction whose entries refer to one another.
const response = await fhir.transaction({
  body: {
    resourceType: 'Bundle',
    type: 'transaction',
    entry: [
      {
        fullUrl: 'urn:uuid:7d4a2f0c-6a0e-4d0f-8a5e-0f6f3d6f2b11',
        resource: { resourceType: 'Device', status: 'active', patient: { reference: `Patient/${id}` } },
        request: { method: 'POST', url: 'Device' },
      },
      ...[61, 62, 63, 64, 65].map((value, hour) => ({
        resource: {
          ...heartRate(`Patient/${id}`, value, `2024-05-01T0${hour}:00:00Z`),
          device: { reference: 'urn:uuid:7d4a2f0c-6a0e-4d0f-8a5e-0f6f3d6f2b11' },
        },
        request: { method: 'POST', url: 'Observation' },
      })),
    ],
  },
});
assert.deepEqual(response.entry.map((entry) => entry.response.status.slice(0, 3)), Array(6).fill('201'));
const batch = await fhir.batch({
  body: {
    resourceType: 'Bundle',
    type: 'batch',
    entry: [
      { request: { method: 'GET', url: `Patient/${id}` } },
      { request: { method: 'GET', url: 'Patient/nobody' } },
    ],
  },
});
assert.deepEqual(batch.entry.map((entry) => entry.response.status.slice(0, 3)), ['200', '404']);

// Searches in a type, in a compartment and in the whole system, page by page.
const newest = await fhir.resourceSearch({
  resourceType: 'Observation',
  searchParams: { subject: `Patient/${id}`, code: `${LOINC}|${HEART_RATE}`, _sort: '-date', _count: 2 },
});
assert.deepEqual(values(newest), [65, 64]);
const second = await fhir.nextPage({ bundle: newest });
assert.deepEqual(values(second), [63, 62]);
const last = await fhir.nextPage({ bundle: second });
assert.deepEqual(values(last), [61]);
assert.equal(fhir.nextPage({ bundle: last }), undefined);
const compartment = { resourceType: 'Patient', id };
const within = await fhir.compartmentSearch({ resourceType: 'Observation', compartment, searchParams: { _total: 'accurate' } });
assert.equal(within.total, 5);
const everywhere = await fhir.systemSearch({ searchParams: { _type: 'Patient,Device', _total: 'accurate' } });
assert.equal(everywhere.total, 2);

// Operations.
const lastOnes = await fhir.operation({
  name: 'lastn',
  resourceType: 'Observation',
  method: 'GET',
  input: { subject: `Patient/${id}`, max: 2 },
});
assert.deepEqual(values(lastOnes), [65, 64]);
const everything = await fhir.operation({ name: 'everything', resourceType: 'Patient', id, method: 'GET' });
assert.equal(everything.entry.filter((entry) => entry.resource.resourceType === 'Observation').length, 5);
const verdict = await fhir.operation({
  name: 'validate',
  resourceType: 'Patient',
  method: 'POST',
  input: { resourceType: 'Parameters', parameter: [{ name: 'resource', resource: { resourceType: 'Patient', gender: 'fem' } }] },
});
assert.ok(verdict.issue.some((issue) => issue.severity === 'error'));

// What is wrong is told as FHIR tells it.
await refused(404, () => fhir.read({ resourceType: 'Patient', id: 'nobody' }));
await refused(400, () => fhir.resourceSearch({ resourceType: 'Patient', searchParams: { nonsense: '1' } }));
await fhir.delete(named);
await refused(410, () => fhir.read(named));
