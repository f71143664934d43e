//! Runs of `$reindex` as they are asked for and told of. Nothing carries them out here but the tests themselves.

use axum::body::Body;
use serde_json::{Value, json};

use super::{Answer, Bench};
use crate::fhir::api::reindexing::run::{Piece, Run};

const NICKNAME: &str = r#"{"resourceType":"SearchParameter","id":"n","url":"http://x/n","name":"N","status":"active",
    "description":"d","code":"nickname","base":["Patient"],"type":"string","expression":"Patient.extension('http://n').value as string"}"#;

fn patient(id: u32) -> String {
    let extension = r#"[{"url":"http://n","valueString":"Zoe"}]"#;
    format!(r#"{{"resourceType":"Patient","id":"p{id}","extension":{extension}}}"#)
}

impl Bench {
    async fn start(&self) -> (String, Answer) {
        let answer = self.send("POST", "/$reindex", "", Body::empty()).await.check(202);
        let location = answer.header("content-location");
        (location.strip_prefix("http://localhost:8080/fhir").unwrap().to_owned(), answer)
    }

    /// Carries out one piece; whether it was the last.
    async fn go_on(&self) -> Option<bool> {
        let now = self.clock.now();
        match self.state.store.write(move |writer| Run::go_on(writer, now)).await.unwrap() {
            Piece::None => None,
            Piece::Some(_) => Some(false),
            Piece::Last(_) => Some(true),
        }
    }
}

async fn with_patients(count: u32) -> Bench {
    let bench = Bench::new().await;
    for id in 0..count {
        bench.put(&format!("/Patient/p{id}"), &patient(id)).await.check(201);
    }
    bench.put("/SearchParameter/n", NICKNAME).await.check(201);
    bench
}

fn outputs(answer: &Answer, name: &str) -> Vec<Value> {
    let parameters = answer.json();
    let all = parameters["parameter"].as_array().unwrap().clone();
    all.into_iter().filter(|parameter| parameter["name"] == name).collect()
}

#[tokio::test]
async fn a_run_tells_how_it_is_doing_and_there_is_one_at_a_time() {
    let bench = with_patients(3).await;
    let (status, started) = bench.start().await;
    assert_eq!(outputs(&started, "status")[0]["valueCode"], "in-progress");
    let asked = bench.get(&status).await.check(202);
    assert_eq!(asked.header("x-progress"), "0 of 3 resources");
    assert_eq!(bench.start().await.0, status);
    assert_eq!(bench.go_on().await, Some(false));
    assert_eq!(bench.get(&status).await.check(202).header("x-progress"), "3 of 3 resources");
    // All is visited; what remains is to make the parameter ready.
    bench.get("/Patient?nickname=zoe").await.check(400);
    assert_eq!(bench.go_on().await, Some(true));
    let ended = bench.get(&status).await.check(200);
    let parameter = &outputs(&ended, "searchParameter")[0]["part"];
    assert_eq!(parameter[2], json!({ "name": "ready", "valueBoolean": true }));
    bench.get("/Patient?nickname=zoe").await.check(200);
    assert_eq!(bench.go_on().await, None);
    assert_ne!(bench.start().await.0, status);
    bench.get(&status).await.check(404);
}

#[tokio::test]
async fn a_run_that_is_cancelled_makes_nothing_ready() {
    let bench = with_patients(1).await;
    let (status, _) = bench.start().await;
    assert_eq!(bench.go_on().await, Some(false));
    bench.send("DELETE", &status, "", Body::empty()).await.check(202);
    bench.get(&status).await.check(404);
    bench.send("DELETE", &status, "", Body::empty()).await.check(404);
    assert_eq!(bench.go_on().await, None);
    bench.get("/Patient?nickname=zoe").await.check(400);
}

#[tokio::test]
async fn a_definition_that_changes_during_a_run_is_not_made_ready_by_it() {
    let bench = with_patients(1).await;
    let (status, _) = bench.start().await;
    assert_eq!(bench.go_on().await, Some(false));
    let changed = NICKNAME.replace("http://n", "http://other");
    bench.put("/SearchParameter/n", &changed).await.check(200);
    assert_eq!(bench.go_on().await, Some(true));
    let ended = bench.get(&status).await.check(200);
    let parameter = &outputs(&ended, "searchParameter")[0]["part"];
    assert_eq!(parameter[2], json!({ "name": "ready", "valueBoolean": false }));
    bench.get("/Patient?nickname=zoe").await.check(400);
}

#[tokio::test]
async fn a_run_visits_what_was_there_when_it_began_in_pieces() {
    let bench = with_patients(250).await;
    let (status, _) = bench.start().await;
    bench.put("/Patient/later", &patient(0).replace("p0", "later")).await.check(201);
    let mut pieces = 0;
    while bench.go_on().await == Some(false) {
        pieces += 1;
    }
    assert!(pieces >= 3, "{pieces}");
    let ended = bench.get(&status).await.check(200);
    assert_eq!(outputs(&ended, "resources")[0]["valueDecimal"], 250);
    let found = bench.get("/Patient?nickname=zoe&_summary=count").await.check(200);
    assert_eq!(found.json()["total"], 251);
}
