//! Search parameters of a server's own: what a SearchParameter resource makes resources found by, and when.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::fhir::{Answer, Fhir};
use crate::support::process::Vitalwire;
use crate::support::wait::until;

/// A parameter for the value of an extension, which is at `http://x/[code]`.
fn parameter(code: &str, kind: &str, base: &str, value: &str) -> Value {
    json!({
        "resourceType": "SearchParameter", "id": code, "url": format!("http://x/SearchParameter/{code}"), "name": "Own",
        "status": "active", "description": "By an extension", "code": code, "base": [base], "type": kind,
        "expression": format!("{base}.extension.where(url='http://x/{code}').value as {value}"),
    })
}

fn extension(code: &str, value: &str, content: Value) -> Value {
    let mut extension = json!({ "url": format!("http://x/{code}") });
    extension[format!("value{value}")] = content;
    extension
}

fn patient(id: &str, extensions: Vec<Value>) -> Value {
    let mut patient = json!({ "resourceType": "Patient", "id": id });
    if !extensions.is_empty() {
        patient["extension"] = extensions.into();
    }
    patient
}

async fn put_all(fhir: &Fhir, resources: &[Value]) {
    for resource in resources {
        fhir.put(resource).await.check(201);
    }
}

async fn check(fhir: &Fhir, search: &str, expected: &[&str]) {
    assert_eq!(fhir.ids(search, "match").await, expected, "{search}");
}

#[track_caller]
fn check_refused(answer: Answer, status: u16, element: &str, says: &str) {
    let answer = answer.check(status);
    let issue = &answer.json()["issue"][0];
    assert_eq!(issue["expression"][0], element, "{answer:?}");
    assert!(issue["diagnostics"].as_str().unwrap().contains(says), "{answer:?}");
}

/// Patients and an organization that they know, with an extension of each type.
async fn people(fhir: &Fhir) {
    put_all(
        fhir,
        &[
            parameter("nickname", "string", "Patient", "string"),
            parameter("sex", "token", "Patient", "CodeableConcept"),
            parameter("employer", "reference", "Patient", "Reference"),
            parameter("seen", "date", "Patient", "dateTime"),
            parameter("weight", "quantity", "Patient", "Quantity"),
            parameter("rank", "number", "Patient", "integer"),
            parameter("page", "uri", "Patient", "url"),
            json!({ "resourceType": "Organization", "id": "o", "name": "Mill" }),
        ],
    )
    .await;
    let person = |id: &str, name: &str, sex: &str, seen: &str, grams: u32, rank: u8| {
        let concept = json!({ "coding": [{ "system": "http://sex", "code": sex }], "text": format!("sex {sex}") });
        let weight = json!({ "value": grams, "system": "http://unitsofmeasure.org", "code": "g", "unit": "g" });
        patient(
            id,
            vec![
                extension("nickname", "String", json!(name)),
                extension("sex", "CodeableConcept", concept),
                extension("employer", "Reference", json!({ "reference": "Organization/o" })),
                extension("seen", "DateTime", json!(seen)),
                extension("weight", "Quantity", weight),
                extension("rank", "Integer", json!(rank)),
                extension("page", "Url", json!(format!("http://p/{id}"))),
            ],
        )
    };
    put_all(
        fhir,
        &[
            person("a", "Zoë", "f", "2024-05-01T10:00:00+02:00", 70_000, 2),
            person("b", "Bob", "m", "2023", 80_000, 1),
            patient("c", vec![]),
        ],
    )
    .await;
}

#[tokio::test]
async fn resources_are_found_by_extensions_in_every_way_a_parameter_can_be_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    people(&fhir).await;
    for (search, expected) in [
        ("nickname=zoe", &["a"][..]),
        ("nickname:exact=Zo%C3%AB", &["a"]),
        ("nickname:contains=o", &["a", "b"]),
        ("nickname:missing=true", &["c"]),
        ("sex=http://sex%7Cf", &["a"]),
        ("sex:not=f", &["b", "c"]),
        ("sex:text=sex%20m", &["b"]),
        ("employer=Organization/o", &["a", "b"]),
        ("employer:Organization.name=mill", &["a", "b"]),
        ("employer.name=mill&rank=1", &["b"]),
        ("seen=2024-05", &["a"]),
        ("seen=lt2024", &["b"]),
        ("weight=gt75%7Chttp://unitsofmeasure.org%7Ckg", &["b"]),
        ("rank=le1", &["b"]),
        ("page:below=http://p", &["a", "b"]),
        ("_filter=nickname%20co%20%22o%22%20and%20rank%20gt%201", &["a"]),
        ("_sort=rank", &["b", "a", "c"]),
        ("_sort=-weight", &["b", "a", "c"]),
        ("_sort=nickname&_count=1", &["b"]),
    ] {
        check(&fhir, &format!("Patient?{search}"), expected).await;
    }
    check(&fhir, "Organization?_has:Patient:employer:nickname=zoe", &["o"]).await;
    check(&fhir, "Organization?_has:Patient:employer:nickname=nobody", &[]).await;
    assert_eq!(fhir.ids("Patient?_id=a&_include=Patient:employer", "include").await, ["o"]);
    assert_eq!(fhir.ids("Patient?_id=a&_include=Patient:*", "include").await, ["o"]);
    assert_eq!(fhir.ids("Organization?_revinclude=Patient:employer", "include").await, ["a", "b"]);
    let asked =
        fhir.raw("POST", "Patient", &[("if-none-exist", "nickname:exact=Bob")], patient("x", vec![]).to_string());
    assert_eq!(asked.await.check(200).json()["id"], "b");
    fhir.get("Patient?rank=x").await.check_outcome(400, "value", "`x` is not a value of `rank`");
    fhir.get("Practitioner?nickname=x").await.check_outcome(400, "not-supported", "not a search parameter");
}

#[tokio::test]
async fn the_capability_statement_names_them_and_they_survive_a_restart_and_go_when_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    people(&product.fhir()).await;
    product.kill();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    check(&fhir, "Patient?nickname=zoe", &["a"]).await;
    let of = |statement: &Value, name: &str| -> Value {
        let resources = statement["rest"][0]["resource"].as_array().unwrap();
        resources.iter().find(|resource| resource["type"] == name).unwrap().clone()
    };
    let has = |list: &Value, wanted: Value| list.as_array().unwrap().contains(&wanted);
    let nickname = json!({ "name": "nickname", "definition": "http://x/SearchParameter/nickname", "type": "string" });
    let statement = fhir.get_json("metadata").await;
    assert!(has(&of(&statement, "Patient")["searchParam"], nickname.clone()));
    assert!(has(&of(&statement, "Patient")["searchInclude"], json!("Patient:employer")));
    assert!(has(&of(&statement, "Organization")["searchRevInclude"], json!("Patient:employer")));
    assert!(!has(&of(&statement, "Person")["searchParam"], nickname.clone()));
    // Deleted, retired by a patch, retired by an update: none has an effect any more.
    fhir.raw("DELETE", "SearchParameter/nickname", &[], "").await.check(204);
    let retired = json!([{ "op": "replace", "path": "/status", "value": "retired" }]);
    let patched = fhir.raw(
        "PATCH",
        "SearchParameter/sex",
        &[("content-type", "application/json-patch+json")],
        retired.to_string(),
    );
    patched.await.check(200);
    let mut employer = parameter("employer", "reference", "Patient", "Reference");
    employer["status"] = json!("draft");
    fhir.put(&employer).await.check(200);
    for code in ["nickname", "sex", "employer"] {
        fhir.get(&format!("Patient?{code}=x")).await.check_outcome(400, "not-supported", "not a search parameter");
    }
    assert!(!has(&of(&fhir.get_json("metadata").await, "Patient")["searchParam"], nickname));
    check(&fhir, "Patient?rank=1", &["b"]).await;
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let changed = |member: &str, value: Value| {
        let mut changed = parameter("nickname", "string", "Patient", "string");
        changed[member] = value;
        changed
    };
    for (resource, status, element, says) in [
        (changed("expression", json!("Patient.nome")), 422, "expression", "Check the names"),
        (changed("expression", json!("Patient.name.first()")), 422, "expression", "this server reads"),
        (changed("type", json!("date")), 422, "expression", "no value"),
        (changed("type", json!("special")), 422, "type", "Use another type"),
        (changed("code", json!("nick.name")), 422, "code", "begins with a letter"),
        (changed("code", json!("name")), 409, "code", "R4 has a parameter"),
        (changed("base", json!(["Patient", "Group"])), 422, "expression", "on Group"),
    ] {
        let element = format!("SearchParameter.{element}");
        check_refused(fhir.put(&resource).await, status, &element, says);
        let entry = json!({ "resource": resource, "request": { "method": "PUT", "url": "SearchParameter/nickname" } });
        let entry_element = element.replace("SearchParameter", "Bundle.entry[0].resource");
        check_refused(fhir.bundle("transaction", std::slice::from_ref(&entry)).await, status, &entry_element, says);
        assert_eq!(fhir.bundle("batch", &[entry]).await.check(200).entry_statuses(), [status.to_string()]);
    }
    fhir.get("SearchParameter/nickname").await.check(404);
    // A second one by the name of the first; and the first again, which an update may not break either.
    fhir.put(&changed("id", json!("nickname"))).await.check(201);
    check_refused(fhir.put(&changed("id", json!("other"))).await, 409, "SearchParameter.code", "This server has");
    let broken = json!([{ "op": "replace", "path": "/expression", "value": "Patient.%" }]);
    let patched = fhir.raw(
        "PATCH",
        "SearchParameter/nickname",
        &[("content-type", "application/json-patch+json")],
        broken.to_string(),
    );
    check_refused(patched.await, 422, "SearchParameter.expression", "this server reads");
    fhir.put(&patient("a", vec![extension("nickname", "String", json!("Zoe"))])).await.check(201);
    check(&fhir, "Patient?nickname=zoe", &["a"]).await;
    // R4's own may be stored, and so may what is not in force.
    let active = json!({
        "resourceType": "SearchParameter", "id": "active", "url": "http://hl7.org/fhir/SearchParameter/Patient-active",
        "name": "active", "status": "active", "description": "Of R4", "code": "active", "base": ["Patient"],
        "type": "token", "expression": "Patient.active",
    });
    fhir.put(&active).await.check(201);
    // So may what says the same under another URL, as implementation guides do.
    for (code, kind, expression) in
        [("name", "string", "Patient.name"), ("birthdate", "date", "Patient.birthDate"), ("_id", "token", "Patient.id")]
    {
        let mut same = changed("expression", json!(expression));
        (same["id"], same["code"], same["type"]) = (json!(code.trim_start_matches('_')), json!(code), json!(kind));
        fhir.put(&same).await.check(201);
    }
    check(&fhir, "Patient?name=zoe&_id=a", &[]).await;
    let mut draft = changed("expression", json!("Patient.%"));
    (draft["status"], draft["id"]) = (json!("draft"), json!("draft"));
    fhir.put(&draft).await.check(201);
    check(&fhir, "Patient?active=true", &[]).await;
}

#[tokio::test]
async fn a_transaction_defines_and_uses_a_parameter_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let entry = |resource: Value| {
        let url = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        json!({ "resource": resource, "request": { "method": "PUT", "url": url } })
    };
    let part = |code: &str, value: &str| {
        json!({
            "definition": format!("http://x/SearchParameter/{code}"),
            "expression": format!("extension('http://x/{code}').value as {value}"),
        })
    };
    let mut both = parameter("both", "composite", "Patient", "string");
    both["expression"] = json!("Patient");
    both["component"] = json!([part("nickname", "string"), part("rank", "integer")]);
    let zoe = vec![extension("nickname", "String", json!("Zoe")), extension("rank", "Integer", json!(3))];
    // The resources come first in the Bundle and what is made of others before these; the order does not matter.
    let entries = [
        patient("a", zoe),
        both,
        parameter("rank", "number", "Patient", "integer"),
        parameter("nickname", "string", "Patient", "string"),
    ];
    fhir.bundle("transaction", &entries.map(entry)).await.check(200);
    check(&fhir, "Patient?nickname=zoe", &["a"]).await;
    check(&fhir, "Patient?both=zoe$3", &["a"]).await;
    check(&fhir, "Patient?both=zoe$4", &[]).await;
    let deleted = fhir.raw("DELETE", "SearchParameter/rank", &[], "").await;
    check_refused(deleted, 409, "SearchParameter.status", "The composite `both`");
}

#[tokio::test]
async fn a_parameter_that_came_after_resources_of_its_type_is_not_searched_by() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let zoe = || patient("a", vec![extension("nickname", "String", json!("Zoe"))]);
    fhir.put(&zoe()).await.check(201);
    fhir.put(&parameter("nickname", "string", "Patient", "string")).await.check(201);
    fhir.put(&parameter("employer", "reference", "Patient", "Reference")).await.check(201);
    for search in [
        "Patient?nickname=zoe",
        "Patient?nickname:missing=true",
        "Patient?_sort=nickname",
        "Patient?_filter=nickname%20eq%20%22Zoe%22",
        "Patient?_has:Patient:link:nickname=zoe",
        "Observation?subject:Patient.nickname=zoe",
        "Organization?_revinclude=Patient:employer",
        "Organization?_revinclude=Patient:*",
    ] {
        fhir.get(search).await.check_outcome(400, "not-supported", "$reindex");
        let lenient = fhir.raw("GET", search, &[("prefer", "handling=lenient")], "").await;
        lenient.check_outcome(400, "not-supported", "$reindex");
    }
    let condition = ("if-none-exist", "nickname=zoe");
    fhir.raw("POST", "Patient", &[condition], zoe().to_string()).await.check_outcome(400, "not-supported", "$reindex");
    fhir.raw("DELETE", "Patient?nickname=zoe", &[], "").await.check_outcome(400, "not-supported", "$reindex");
    let statement = fhir.get("metadata").await.check(200);
    assert!(!statement.text.contains("http://x/SearchParameter/nickname"));
    // The write of every resource that came before does not help: that there are no others is not known.
    fhir.put(&zoe()).await.check(200);
    fhir.get("Patient?nickname=zoe").await.check(400);
}

/// Starts `$reindex` and waits until it has ended. The `Parameters` that tell of it.
async fn reindex(fhir: &Fhir, body: &Value) -> Value {
    let started = fhir.raw("POST", "$reindex", &[("prefer", "respond-async")], body.to_string()).await.check(202);
    ended(fhir, started.header("content-location")).await
}

async fn ended(fhir: &Fhir, location: &str) -> Value {
    assert!(location.contains("/fhir/_operations/reindex/"), "{location}");
    let limit = Duration::from_secs(60);
    let answer = until(limit, async || fhir.get(location).await, |answer| answer.status != 202).await.check(200);
    let report = answer.json();
    assert_eq!(report["resourceType"], "Parameters");
    report
}

fn nothing() -> Value {
    json!({ "resourceType": "Parameters" })
}

fn named(id: usize) -> Value {
    patient(&format!("p{id}"), vec![extension("nickname", "String", json!(format!("N{}", id % 3)))])
}

/// Patients `p0` to `p[count]`, all at once.
fn batch(count: usize) -> Vec<Value> {
    let entry = |id| {
        let request = json!({ "method": "PUT", "url": format!("Patient/p{id}") });
        json!({ "resource": named(id), "request": request })
    };
    (0..count).map(entry).collect()
}

#[tokio::test]
async fn reindex_makes_a_parameter_find_what_was_there_before() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    fhir.bundle("transaction", &batch(250)).await.check(200);
    fhir.raw("DELETE", "Patient/p3", &[], "").await.check(204);
    fhir.put(&parameter("nickname", "string", "Patient", "string")).await.check(201);
    fhir.put(&parameter("rank", "number", "Patient", "integer")).await.check(201);
    fhir.get("Patient?nickname=n0").await.check(400);
    let report = reindex(&fhir, &nothing()).await;
    let has = |wanted: Value| report["parameter"].as_array().unwrap().contains(&wanted);
    assert!(has(json!({ "name": "status", "valueCode": "completed" })), "{report}");
    assert!(has(json!({ "name": "resources", "valueDecimal": 249 })), "{report}");
    let nickname = json!([
        { "name": "url", "valueUri": "http://x/SearchParameter/nickname" },
        { "name": "code", "valueCode": "nickname" },
        { "name": "ready", "valueBoolean": true },
    ]);
    assert!(has(json!({ "name": "searchParameter", "part": nickname })), "{report}");
    assert_eq!(fhir.count("Patient?nickname=n0").await, 83);
    assert_eq!(fhir.count("Patient?nickname:missing=true").await, 0);
    assert_eq!(fhir.count("Patient?rank:missing=true").await, 249);
    assert_eq!(fhir.get_json("Patient/p5").await["meta"]["versionId"], "1");
    // Another expression under the same name: what was found by the first is not found by the second.
    let mut other = parameter("nickname", "string", "Patient", "string");
    other["expression"] = json!("Patient.extension('http://x/other').value as string");
    fhir.put(&other).await.check(200);
    fhir.get("Patient?nickname=n0").await.check(400);
    reindex(&fhir, &nothing()).await;
    assert_eq!(fhir.count("Patient?nickname=n0").await, 0);
    // With nothing to do it is done at once.
    let report = reindex(&fhir, &nothing()).await;
    assert!(report["parameter"].as_array().unwrap().contains(&json!({ "name": "resources", "valueDecimal": 0 })));
}

#[tokio::test]
async fn what_is_indexed_anew_can_be_named_and_what_was_found_stays_found() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    fhir.bundle("transaction", &batch(5)).await.check(200);
    fhir.put(&parameter("nickname", "string", "Patient", "string")).await.check(201);
    fhir.put(&parameter("rank", "number", "Patient", "integer")).await.check(201);
    let url = json!({ "name": "url", "valueUri": "http://x/SearchParameter/nickname" });
    reindex(&fhir, &json!({ "resourceType": "Parameters", "parameter": [url] })).await;
    check(&fhir, "Patient?nickname=n1", &["p1", "p4"]).await;
    fhir.get("Patient?rank=1").await.check_outcome(400, "not-supported", "$reindex");
    let of_patients = json!({ "name": "type", "valueCode": "Patient" });
    reindex(&fhir, &json!({ "resourceType": "Parameters", "parameter": [of_patients] })).await;
    check(&fhir, "Patient?rank=1", &[]).await;
    check(&fhir, "Patient?nickname=n1&deceased=false&_id=p1,p2", &["p1"]).await;
    for (name, value) in [("type", "Nobody"), ("url", "http://x/nothing"), ("what", "x")] {
        let wrong = json!({ "resourceType": "Parameters", "parameter": [{ "name": name, "valueString": value }] });
        fhir.raw("POST", "$reindex", &[], wrong.to_string()).await.check(400);
    }
    fhir.get("$reindex").await.check(405);
    fhir.get("_operations/reindex/nothing").await.check_outcome(404, "not-found", "no such run");
    // One resource by itself; it does not make a parameter ready.
    fhir.put(&parameter("page", "uri", "Patient", "url")).await.check(201);
    let one = fhir.raw("POST", "Patient/p1/$reindex", &[], "").await.check(200).json();
    assert_eq!(one["parameter"][1]["valueReference"]["reference"], "Patient/p1");
    fhir.get("Patient?page=x").await.check(400);
    fhir.raw("POST", "Patient/nobody/$reindex", &[], "").await.check(404);
}

#[tokio::test]
async fn a_run_goes_on_where_a_kill_found_it() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    for part in batch(3_000).chunks(1_000) {
        fhir.bundle("transaction", part).await.check(200);
    }
    fhir.put(&parameter("nickname", "string", "Patient", "string")).await.check(201);
    let started = fhir.raw("POST", "$reindex", &[], "").await.check(202);
    let run = started.header("content-location").rsplit('/').next().unwrap().to_owned();
    product.kill();
    // Each time it gets on by some pieces at least.
    for _ in 0..3 {
        let product = Vitalwire::serve(directory.path(), SERVICE);
        let answer = product.fhir().get("Patient?nickname=n0").await;
        assert!([200, 400].contains(&answer.status), "{answer:?}");
        product.kill();
    }
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let limit = Duration::from_secs(60);
    let status = format!("_operations/reindex/{run}");
    let ended = until(limit, async || fhir.get(&status).await, |answer| answer.status != 202).await.check(200);
    let visited = json!({ "name": "resources", "valueDecimal": 3000 });
    assert!(ended.json()["parameter"].as_array().unwrap().contains(&visited), "{ended:?}");
    for remainder in 0..3 {
        assert_eq!(fhir.count(&format!("Patient?nickname=n{remainder}")).await, 1_000);
    }
}

/// Writers go on while parameters come into force and the index is made anew: what is searched by is always complete.
#[tokio::test]
async fn nothing_that_is_written_while_a_parameter_comes_into_force_is_missed() {
    const WRITERS: usize = 8;
    const EACH: usize = 40;
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    fhir.put(&named(1_000_000)).await.check(201);
    let written = AtomicUsize::new(0);
    let write = async |writer: usize| {
        for index in 0..EACH {
            fhir.put(&named(writer * EACH + index)).await.check(201);
            written.fetch_add(1, Ordering::Relaxed);
        }
    };
    let define = async {
        let limit = Duration::from_secs(60);
        until(limit, async || written.load(Ordering::Relaxed), |written| *written > WRITERS).await;
        fhir.put(&parameter("nickname", "string", "Patient", "string")).await.check(201);
        reindex(&fhir, &nothing()).await;
        // From here on an answer has all that was acknowledged before it was asked for.
        for _ in 0..20 {
            let acknowledged = written.load(Ordering::Relaxed) as u64 + 1;
            let found = fhir.count("Patient?nickname=n").await;
            assert!(found >= acknowledged, "{found} of {acknowledged}");
        }
    };
    let writers = futures_util::future::join_all((0..WRITERS).map(write));
    tokio::join!(writers, define);
    assert_eq!(fhir.count("Patient?nickname=n").await, (WRITERS * EACH) as u64 + 1);
}
