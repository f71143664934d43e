//! `$everything` of a patient, an encounter and a device
//! (<https://hl7.org/fhir/R4/patient-operation-everything.html>).

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::fhir::{Fhir, link};
use crate::support::process::Vitalwire;

fn reference(target: &str) -> Value {
    json!({ "reference": target })
}

fn observation(id: &str, date: &str, subject: &str, device: &str) -> Value {
    json!({ "resourceType": "Observation", "id": id, "status": "final", "code": { "text": "x" },
        "effectiveDateTime": date, "subject": reference(subject), "device": reference(device),
        "performer": [reference("Practitioner/dr")] })
}

/// A patient with a stay and readings of a device of his own, and of one that another patient wears now.
async fn seed(fhir: &Fhir) {
    for resource in [
        json!({ "resourceType": "Organization", "id": "clinic" }),
        json!({ "resourceType": "Practitioner", "id": "dr" }),
        json!({ "resourceType": "Practitioner", "id": "stranger" }),
        json!({ "resourceType": "Location", "id": "ward", "managingOrganization": reference("Organization/clinic") }),
        json!({ "resourceType": "Patient", "id": "p", "birthDate": "1950-01-01" }),
        json!({ "resourceType": "Patient", "id": "q" }),
        json!({ "resourceType": "Device", "id": "own", "patient": reference("Patient/p") }),
        json!({ "resourceType": "Device", "id": "handed-on", "patient": reference("Patient/q") }),
        json!({ "resourceType": "DeviceMetric", "id": "m", "type": { "text": "x" }, "category": "measurement",
            "source": reference("Device/own") }),
        json!({ "resourceType": "Encounter", "id": "stay", "status": "finished", "class": { "code": "IMP" },
            "subject": reference("Patient/p"), "period": { "start": "2026-01-05", "end": "2026-01-09" },
            "location": [{ "location": reference("Location/ward") }] }),
        json!({ "resourceType": "Condition", "id": "c", "subject": reference("Patient/p"),
            "encounter": reference("Encounter/stay") }),
        observation("o1", "2026-01-06", "Patient/p", "Device/own"),
        observation("o2", "2026-02-06", "Patient/p", "Device/handed-on"),
        observation("o3", "2026-02-07", "Patient/q", "Device/handed-on"),
        observation("o4", "2026-02-08", "Patient/q", "DeviceMetric/m"),
        // Of somebody who is not here, or no longer.
        json!({ "resourceType": "Device", "id": "foreign", "patient": reference("Patient/elsewhere") }),
        observation("o5", "2026-01-06", "Patient/elsewhere", "Device/foreign"),
        json!({ "resourceType": "Patient", "id": "gone" }),
        observation("o6", "2026-01-06", "Patient/gone", "Device/foreign"),
        json!({ "resourceType": "Condition", "id": "odd", "subject": reference("Patient/p"),
            "asserter": reference("Practitioner/dr"), "recorder": reference("Practitioner/dr"),
            "evidence": [{ "detail": [reference("Device/foreign")] }] }),
    ] {
        fhir.put(&resource).await.check(201);
    }
    fhir.raw("DELETE", "Patient/gone", &[], "").await.check(204);
}

/// The ids on all pages, what comes along in brackets; each once.
async fn ids(fhir: &Fhir, path: &str) -> String {
    let (mut found, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(page) = next {
        let bundle = fhir.get(&page).await.check(200).json();
        assert_eq!(bundle["type"], "searchset");
        for entry in bundle["entry"].as_array().map_or(&[][..], Vec::as_slice) {
            let id = entry["resource"]["id"].as_str().unwrap();
            found.push(if entry["search"]["mode"] == "match" { id.to_owned() } else { format!("({id})") });
        }
        next = link(&bundle, "next");
    }
    found.sort();
    found.dedup();
    found.join(" ")
}

#[tokio::test]
async fn everything_is_the_compartment_and_what_it_refers_to_and_nobody_elses() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed(&fhir).await;
    for (path, expected) in [
        ("Patient/p/$everything", "(clinic) (dr) (own) (ward) c o1 o2 odd p stay"),
        ("Patient/p/$everything?_count=1", "(clinic) (dr) (own) (ward) c o1 o2 odd p stay"),
        ("Patient/q/$everything", "(dr) (handed-on) o3 o4 q"),
        ("Patient/p/$everything?_type=Observation,Patient", "o1 o2 p"),
        ("Patient/p/$everything?_type=Observation&_type=Practitioner", "(dr) o1 o2"),
        ("Patient/p/$everything?_type=Practitioner&_count=2", "(dr)"),
        ("Patient/p/$everything?start=2026-02", "(dr) c o2 odd p"),
        ("Patient/p/$everything?end=2026-01-31", "(clinic) (dr) (own) (ward) c o1 odd p stay"),
        ("Patient/p/$everything?start=2026-01-07&end=2026-01-07", "(clinic) (dr) (ward) c odd p stay"),
        ("Patient/p/$everything?_since=2999-01-01T00:00:00Z", ""),
        ("Patient/p/$everything?_since=2020-01-01T00:00:00Z&_type=Condition", "c odd"),
        ("Encounter/stay/$everything", "(clinic) (p) (ward) c stay"),
        ("Encounter/stay/$everything?_type=Patient", "(p)"),
        ("Device/own/$everything", "(dr) m o1 o4 own"),
        ("Device/handed-on/$everything?_count=2", "(dr) handed-on o2 o3"),
    ] {
        assert_eq!(ids(&fhir, path).await, expected, "{path}");
    }
    let bundle = fhir.get("Patient/p/$everything?_count=2&start=2026-01").await.check(200).json();
    let own = format!("{}/fhir/Patient/p/$everything?_count=2&start=2026-01", product.http);
    assert_eq!(link(&bundle, "self"), Some(own));
    let parameters = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "start", "valueDate": "2026-02" }, { "name": "_type", "valueCode": "Observation" } ] });
    let posted = fhir.raw("POST", "Patient/p/$everything", &[], parameters.to_string()).await.check(200).json();
    assert_eq!(posted["entry"][0]["resource"]["id"], "o2");
    assert_eq!(posted["entry"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn everything_about_a_type_is_everything_about_each_of_its_resources() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed(&fhir).await;
    for (resource_type, all) in
        [("Patient", &["p", "q"][..]), ("Encounter", &["stay"]), ("Device", &["own", "handed-on", "foreign"])]
    {
        for query in [
            "",
            "?_count=1",
            "?_count=3&start=2026-02",
            "?start=2026-01-07&end=2026-01-07",
            "?_type=Observation,Practitioner,DeviceMetric",
            "?_since=2999-01-01T00:00:00Z",
        ] {
            let mut each = Vec::new();
            for id in all {
                let of_one = ids(&fhir, &format!("{resource_type}/{id}/$everything{query}")).await;
                each.extend(of_one.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
            }
            // What is a match of one may come along with another.
            let matches = each.clone();
            each.retain(|id| !id.starts_with('(') || !matches.contains(&id.trim_matches(['(', ')']).to_owned()));
            each.sort();
            each.dedup();
            let path = format!("{resource_type}/$everything{query}");
            assert_eq!(ids(&fhir, &path).await, each.join(" "), "{path}");
        }
    }
    assert_eq!(
        ids(&fhir, "Patient/$everything").await,
        "(clinic) (dr) (handed-on) (own) (ward) c o1 o2 o3 o4 odd p q stay"
    );
    let bundle = fhir.get("Patient/$everything?_count=2&start=2026-01").await.check(200).json();
    let own = format!("{}/fhir/Patient/$everything?_count=2&start=2026-01", product.http);
    assert_eq!(link(&bundle, "self"), Some(own));
    let next = link(&bundle, "next").unwrap();
    fhir.get(&next.replace("Patient/$", "Encounter/$")).await.check_outcome(400, "value", "`_cursor`");
    fhir.get(&next.replace("Patient/$", "Patient/p/$")).await.check_outcome(400, "value", "`_cursor`");
}

#[tokio::test]
async fn what_is_not_understood_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed(&fhir).await;
    for (path, status, code, says) in [
        ("Patient/nobody/$everything", 404, "not-found", "no resource"),
        ("Group/$everything", 404, "not-found", "not called here"),
        ("$everything", 404, "not-found", "not called here"),
        ("Patient/$everything?patient=p", 400, "not-supported", "patient"),
        ("Observation/o1/$everything", 404, "not-found", "not called here"),
        ("Patient/p/$everything?start=lately", 400, "value", "`start`"),
        ("Patient/p/$everything?start=ge2026", 400, "value", "`start`"),
        ("Patient/p/$everything?start=2026&end=2025", 400, "value", "before `start`"),
        ("Patient/p/$everything?_since=2026", 400, "value", "an instant"),
        ("Patient/p/$everything?_type=Nobody", 400, "value", "`_type`"),
        ("Patient/p/$everything?_count=x", 400, "value", "_count"),
        ("Patient/p/$everything?_cursor=00", 400, "value", "`_cursor`"),
        ("Patient/p/$everything?code=x", 400, "not-supported", "code"),
    ] {
        fhir.get(path).await.check_outcome(status, code, says);
    }
    let first = fhir.get("Patient/p/$everything?_count=1").await.check(200).json();
    let next = link(&first, "next").unwrap();
    fhir.get(&next.replace("Patient/p", "Patient/q")).await.check_outcome(400, "value", "`_cursor`");
    fhir.get(&format!("{next}&start=2026")).await.check_outcome(400, "value", "`_cursor`");
    fhir.raw("DELETE", "Patient/p", &[], "").await.check(204);
    fhir.get("Patient/p/$everything").await.check_outcome(410, "deleted", "deleted");
}
