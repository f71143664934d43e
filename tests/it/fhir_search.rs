//! Searches as <https://hl7.org/fhir/R4/search.html> has them, and that the CapabilityStatement tells the truth.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::fhir::{Fhir, entry_ids, link};
use crate::support::process::Vitalwire;

fn observation(id: &str, date: Option<&str>, code: Value, rest: Value) -> Value {
    let mut observation = json!({
        "resourceType": "Observation", "id": id, "status": "final",
        "code": { "coding": [code] }, "subject": { "reference": "Patient/p" },
    });
    if let Some(date) = date {
        observation["effectiveDateTime"] = date.into();
    }
    for (name, value) in rest.as_object().unwrap() {
        observation[name] = value.clone();
    }
    observation
}

fn kilograms(value: &str) -> Value {
    let value: Value = serde_json::from_str(value).unwrap();
    json!({ "valueQuantity": { "value": value, "system": "http://unitsofmeasure.org", "code": "kg", "unit": "kilos" } })
}

/// Eight Observations of two patients, one of whom has a doctor in a clinic.
async fn seed(fhir: &Fhir) {
    let loinc = json!({ "system": "http://loinc.org", "code": "8867-4" });
    let odd = json!({ "system": "urn:a|b", "code": r"c,d$e\f" });
    let bare = json!({ "code": "8867-4" });
    for resource in [
        json!({ "resourceType": "Organization", "id": "clinic", "name": "Clinic" }),
        json!({ "resourceType": "Practitioner", "id": "doctor" }),
        json!({ "resourceType": "Patient", "id": "p", "name": [{ "family": "Müller", "given": ["Zoë"] }],
            "managingOrganization": { "reference": "Organization/clinic" },
            "generalPractitioner": [{ "reference": "Practitioner/doctor" }] }),
        json!({ "resourceType": "Patient", "id": "q", "name": [{ "family": "Mulligan" }] }),
        json!({ "resourceType": "Device", "id": "d" }),
        observation("day", Some("2026-11-21"), loinc.clone(), kilograms("65.0")),
        observation("month", Some("2026-11"), loinc.clone(), kilograms("65.49")),
        observation("offset", Some("2026-11-21T10:00:00+02:00"), loinc.clone(), kilograms("65.5")),
        observation("utc", Some("2026-11-21T08:00:00Z"), loinc.clone(), json!({ "valueQuantity": { "value": 65 } })),
        observation("eve", Some("2026-11-20T23:30:00-05:00"), loinc, kilograms("1e2")),
        observation("next", Some("2026-11-22"), odd, json!({})),
        observation("undated", None, bare, json!({ "device": { "reference": "Device/d" } })),
        observation(
            "other",
            None,
            json!({ "code": "x" }),
            json!({ "subject": { "reference": "Patient/q" }, "status": "amended" }),
        ),
    ] {
        fhir.put(&resource).await.check(201);
    }
}

/// Searches on what `seed` stored, and what they find.
const FOUND: &[(&str, &str)] = &[
    // A date is an interval of its own precision, whatever the offset it is written with.
    ("date=2026-11-21", "day offset utc eve"),
    ("date=eq2026-11", "day month offset utc eve next"),
    ("date=ge2026-11", "day month offset utc eve next"),
    ("date=ge2026-11-01", "day month offset utc eve next"),
    ("date=lt2026-11-21", "month"),
    ("date=gt2026-11-21", "month next"),
    ("date=sa2026-11-21", "next"),
    ("date=eb2026-11-21T08:00:00Z", "eve"),
    ("date=2026-11-21T10:00%2B02:00", "offset utc"),
    ("date=ge2026-11-21&date=lt2026-11-22T00:00:00Z", "day month offset utc eve"),
    ("date=2026-11-22,2026-11-21T08:00:00Z", "offset utc next"),
    // The four forms of a token; separators may be part of either.
    ("code=8867-4", "day month offset utc eve undated"),
    ("code=http://loinc.org%7C8867-4", "day month offset utc eve"),
    ("code=|8867-4", "undated"),
    ("code=http://loinc.org|", "day month offset utc eve"),
    (r"code=urn:a\|b|c\,d\$e\\f", "next"),
    ("code=x,http://loinc.org|8867-4&date:missing=true", "other"),
    ("code:not=8867-4", "next other"),
    ("code:not=8867-4,x", "next"),
    ("status=final&status=amended", ""),
    ("status=final,amended&_id=day,other", "day other"),
    ("%5Fid=d%61y", "day"),
    // A quantity is as precise as it is written; system and code must agree.
    ("value-quantity=65", "day month utc"),
    ("value-quantity=65.0", "day utc"),
    ("value-quantity=65|http://unitsofmeasure.org|kg", "day month"),
    ("value-quantity=65||kilos", "day month"),
    ("value-quantity=65|http://other|kg", ""),
    ("value-quantity=gt65.49|http://unitsofmeasure.org|kg", "offset eve"),
    ("value-quantity=100", "eve"),
    ("value-quantity=le65", "day utc"),
    ("value-quantity:missing=true", "next undated other"),
    // References by id, type and URL; what cannot be meant finds nothing.
    ("subject=Patient/q", "other"),
    ("patient=q", "other"),
    ("subject:Patient=q", "other"),
    ("subject:Device=q", ""),
    ("device=Device/d", "undated"),
    ("patient=Device/q", ""),
    // Along references and against them.
    ("patient.name=MULLI", "other"),
    ("subject:Patient.name:exact=Mulligan", "other"),
    ("subject.organization.name=cli&device=d", "undated"),
    ("patient._has:Observation:patient:status=amended", "other"),
];

#[tokio::test]
async fn a_search_finds_what_the_specification_says() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed(&fhir).await;
    for (search, expected) in FOUND {
        let expected: Vec<&str> = expected.split_whitespace().collect();
        assert_eq!(fhir.ids(&format!("Observation?{search}"), "match").await, expected, "{search}");
        assert_eq!(fhir.count(&format!("Observation?{search}")).await, expected.len() as u64, "{search}");
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let posted = fhir.raw("POST", "Observation/_search", &form, *search).await.check(200);
        assert_eq!(entry_ids(&posted.json(), "match"), expected, "POST {search}");
    }
    let absolute = format!("Observation?subject={}/fhir/Patient/q", product.http);
    assert_eq!(fhir.ids(&absolute, "match").await, ["other"]);
    for (search, expected) in [
        ("Patient?name=mul", "p q"),
        ("Patient?family=M%C3%9CLLER", "p"),
        ("Patient?name:contains=lig", "q"),
        ("Patient?_has:Observation:patient:code=x", "q"),
        ("Patient?_has:Observation:patient:device:Device._id=d", "p"),
        ("Organization?_has:Patient:organization:name=mul", "clinic"),
    ] {
        assert_eq!(fhir.ids(search, "match").await.join(" "), expected, "{search}");
    }
}

#[tokio::test]
async fn an_order_holds_over_all_pages_while_data_arrives() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed(&fhir).await;
    for (order, expected) in [
        ("date", "month day eve offset utc next undated other"),
        ("-date", "month next day offset utc eve undated other"),
        ("-date,-_id", "month next day utc offset eve undated other"),
        ("_id", "day eve month next offset other undated utc"),
        ("-value-quantity,_id", "eve offset month day utc next other undated"),
        ("status,-code", "other next day month offset utc eve undated"),
        ("-_lastUpdated,_id", ""),
    ] {
        let mut found = Vec::new();
        let mut next = Some(format!("Observation?_sort={order}&_count=2&_lastUpdated=le2999"));
        for arrival in 0.. {
            let Some(page) = next else { break };
            let bundle = fhir.get(&page).await.check(200).json();
            let ids = entry_ids(&bundle, "match");
            assert!(ids.len() <= 2 && arrival < 100, "{order}");
            found.extend(ids.into_iter().filter(|id| !id.starts_with("late")));
            next = link(&bundle, "next");
            // In front of the place and behind it, for any order.
            for (id, date) in [("early", "1999-01-01"), ("latest", "2099-01-01")].into_iter().filter(|_| arrival < 3) {
                let id = format!("late-{order}-{arrival}-{id}").replace([',', '_'], "");
                let code = json!({ "code": id });
                fhir.put(&observation(&id, Some(date), code, kilograms("70"))).await.check(201);
            }
        }
        if expected.is_empty() {
            assert_eq!(found.len(), found.iter().collect::<BTreeSet<_>>().len(), "{order}: each match once");
            assert_eq!(found.len(), 8, "{order}");
        } else {
            assert_eq!(found.join(" "), expected, "{order}");
        }
    }
    let first = fhir.get("Observation?status=amended,final&_count=2").await.check(200).json();
    let elsewhere = link(&first, "next").unwrap().replace("amended", "draft");
    fhir.get(&elsewhere).await.check_outcome(400, "value", "`_cursor`");
    let none = fhir.get("Observation?_count=0").await.check(200).json();
    assert!(none["total"].as_u64().unwrap() > 8 && none.get("entry").is_none());
}

#[tokio::test]
async fn what_is_connected_comes_along_once() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed(&fhir).await;
    for (search, expected) in [
        ("Observation?_id=day,undated&_include=Observation:subject&_include=Observation:patient", "p"),
        ("Observation?_id=undated&_include=Observation:subject&_include=Observation:device", "p d"),
        ("Observation?_id=undated&_include=*", "d p"),
        ("Observation?_id=undated&_include=Observation:subject:Group", ""),
        ("Observation?_id=day&_include=Observation:patient&_include:iterate=Patient:organization", "p clinic"),
        ("Observation?_id=day&_include=Observation:patient&_include=Patient:organization", "p"),
        ("Patient?_id=q&_revinclude=Observation:subject", "other"),
        (
            "Organization?_revinclude=Patient:organization&_revinclude:iterate=Observation:patient&_include:iterate=Observation:device",
            "p day month offset utc eve next undated d",
        ),
    ] {
        assert_eq!(fhir.ids(search, "include").await.join(" "), expected, "{search}");
    }
    let bundle = fhir.get("Observation?_id=day&_include=Observation:subject").await.check(200).json();
    assert_eq!((&bundle["total"], &bundle["entry"][1]["search"]["mode"]), (&json!(1), &json!("include")));
    assert_eq!(bundle["entry"][1]["fullUrl"], format!("{}/fhir/Patient/p", product.http));
}

/// What is not understood, with what the refusal says.
const REFUSED: &[(&str, &str, &str)] = &[
    ("cod=1", "not-supported", "did you mean `code`?"),
    ("code:nonsense=1", "not-supported", "`:nonsense`"),
    ("status:text=x", "not-supported", "`:text`"),
    ("identifier:in=http://x", "not-supported", "`:in`"),
    ("date:exact=2026", "not-supported", "`:exact`"),
    ("code-value-quantity=x", "value", "a value for each part"),
    ("subject.nonsense=1", "not-supported", "`nonsense`"),
    ("code.text=1", "not-supported", "only references"),
    ("_has:Patient:link:name=x", "not-supported", "does not point to this type"),
    ("_filter=x", "value", "`eq`"),
    ("_text=-", "value", "one or more words"),
    ("_elements=notes", "value", "did you mean `note`?"),
    ("_contained=true", "not-supported", "`_contained`"),
    ("_include=Observation:code", "value", "a reference"),
    ("_include=Observation:nonsense", "not-supported", "`nonsense`"),
    ("_revinclude=*", "value", "`Observation:*`"),
    ("_sort=nonsense", "not-supported", "`nonsense`"),
    ("_sort=", "value", "`_sort`"),
    ("_count=-1", "value", "`_count`"),
    ("_count=1&_count=2", "value", "only once"),
    ("_cursor=00", "value", "`_cursor`"),
    ("code=", "value", "`system|code`"),
    ("code=a,,b", "value", "`system|code`"),
    ("code=a%5Cb", "value", "`system|code`"),
    ("date=2026-13", "value", "a date"),
    ("date=yesterday", "value", "a date"),
    ("date=2026-11-21T10:00+02:00", "value", "`%2B`"),
    ("value-quantity=heavy", "value", "number"),
    ("subject:missing=maybe", "value", "`true` or `false`"),
    ("_id=a_b", "value", "a logical id"),
    ("subject=a%20b", "value", "`Type/id`"),
];

#[tokio::test]
async fn what_is_not_understood_never_widens_a_search() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    seed(&fhir).await;
    for (search, code, says) in REFUSED {
        let refused = fhir.get(&format!("Observation?{search}&status=final")).await.check_outcome(400, code, says);
        assert!(!refused.text.contains("Patient/p"), "{refused:?}");
    }
    let lenient = [("prefer", "handling=lenient")];
    let found = fhir.raw("GET", "Observation?cod=1&_id=day", &lenient, "").await.check(200).json();
    assert_eq!(
        (entry_ids(&found, "match"), &found["link"][0]["url"]),
        (vec!["day".to_owned()], &json!(format!("{}/fhir/Observation?_id=day", product.http)),)
    );
    let told = &found["entry"][1];
    assert_eq!(
        (&told["search"]["mode"], &told["resource"]["resourceType"]),
        (&json!("outcome"), &json!("OperationOutcome"))
    );
    fhir.raw("GET", "Observation?code:nonsense=1", &lenient, "").await.check_outcome(
        400,
        "not-supported",
        "`:nonsense`",
    );
}

/// A value that a parameter of this name and type takes.
fn value(name: &str, kind: &str) -> &'static str {
    match kind {
        "composite" if name.ends_with("-coordinate") => "x$1$1",
        "composite" if name.ends_with("-quantity") => "x$1",
        "composite" if name.ends_with("-date") => "x$2026",
        "composite" if name == "relationship" => "http://x/1$x",
        "composite" => "x$x",
        "date" => "2026-11",
        "number" | "quantity" => "1",
        "reference" => "http://x/1",
        "uri" => "http://x",
        "special" => "1|1",
        _ => "x",
    }
}

fn names<'a>(resource: &'a Value, list: &str, member: &str) -> BTreeSet<&'a str> {
    resource[list].as_array().unwrap().iter().map(|item| item[member].as_str().unwrap()).collect()
}

/// The statuses of GETs, asked in one Bundle.
async fn statuses_of(fhir: &Fhir, urls: impl Iterator<Item = String>) -> Vec<(String, String)> {
    let urls: Vec<String> = urls.collect();
    let entries: Vec<Value> = urls.iter().map(|url| json!({ "request": { "method": "GET", "url": url } })).collect();
    let statuses = fhir.bundle("batch", &entries).await.check(200).entry_statuses();
    urls.into_iter().zip(statuses).collect()
}

#[tokio::test]
async fn the_capability_statement_tells_the_truth() {
    let directory = tempfile::tempdir().unwrap();
    // Resources without what their type asks for: what is tried here is every type, not its structure.
    let product = Vitalwire::serve(directory.path(), &format!("{SERVICE}[fhir]\nvalidation = \"json\"\n"));
    let fhir = product.fhir();
    let statement = fhir.get("metadata").await.check(200).json();
    assert_eq!((&statement["fhirVersion"], &statement["kind"]), (&json!("4.0.1"), &json!("instance")));
    assert_eq!(statement["implementation"]["url"], format!("{}/fhir", product.http));
    let rest = &statement["rest"][0];
    let system = ["batch", "history-system", "search-system", "transaction"];
    assert_eq!(names(rest, "interaction", "code"), system.into());
    assert_eq!(names(rest, "searchParam", "name"), ["_filter", "_list"].into());
    for compartment in rest["compartment"].as_array().unwrap() {
        let name = compartment.as_str().unwrap().rsplit('/').next().unwrap();
        let of = ["Patient", "Encounter", "Device", "Practitioner", "RelatedPerson"]
            .into_iter()
            .find(|of| of.eq_ignore_ascii_case(name))
            .unwrap();
        fhir.get(&format!("{of}/1/Observation")).await.check(200);
    }
    assert_eq!(rest["compartment"].as_array().unwrap().len(), 5);
    let resources = rest["resource"].as_array().unwrap();
    assert_eq!(resources.len(), 146);
    let everything: BTreeSet<&str> =
        resources.iter().flat_map(|resource| names(resource, "searchParam", "name")).collect();
    for (at, resource) in resources.iter().enumerate() {
        let name = resource["type"].as_str().unwrap();
        let claimed =
            ["create", "delete", "history-instance", "history-type", "read", "search-type", "update", "vread"];
        let patched = (name != "Binary").then_some("patch");
        assert_eq!(names(resource, "interaction", "code"), claimed.into_iter().chain(patched).collect());
        assert_eq!(resource["versioning"], "versioned", "an update without If-Match is taken");

        let path = format!("{name}/one");
        fhir.put(&json!({ "resourceType": name, "id": "one" })).await.check(201);
        fhir.put(&json!({ "resourceType": name, "id": "one" })).await.check(200);
        fhir.raw("POST", name, &[], json!({ "resourceType": name }).to_string()).await.check(201);
        let read = fhir.raw("GET", &path, &[("accept", "application/fhir+json")], "").await;
        assert_eq!(read.check(200).json()["meta"]["versionId"], "2");
        fhir.get(&format!("{path}/_history/1")).await.check(200);
        assert_eq!(fhir.ids(&format!("{name}?_id=one"), "match").await, ["one"]);
        fhir.raw("DELETE", &path, &[], "").await.check(204);
        assert_eq!(fhir.get(&format!("{path}/_history")).await.check(200).json()["total"], 3);
        assert_eq!(fhir.get(&format!("{name}/_history")).await.check(200).json()["total"], 4);

        let parameters = resource["searchParam"].as_array().unwrap();
        let searches = parameters.iter().map(|parameter| {
            let [code, kind] = ["name", "type"].map(|member| parameter[member].as_str().unwrap());
            format!("{name}?{code}={}", value(code, kind))
        });
        let includes = resource["searchInclude"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| format!("{name}?_include={}", it.as_str().unwrap()));
        let reverse = resource["searchRevInclude"].as_array().unwrap().iter();
        let reverse = reverse.map(|it| format!("{name}?_revinclude={}", it.as_str().unwrap()));
        for (url, status) in statuses_of(&fhir, searches.chain(includes).chain(reverse)).await {
            assert_eq!(status, "200", "{url} is claimed");
        }
        // Of the parameters of other types a share, another for each type.
        let own = names(resource, "searchParam", "name");
        let foreign = everything.difference(&own).skip(at % 10).step_by(10).map(|other| format!("{name}?{other}=1"));
        for (url, status) in statuses_of(&fhir, foreign).await {
            assert_eq!(status, "400", "{url} is not claimed");
        }
    }
}
