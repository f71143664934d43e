//! The service is killed in the middle of writes: what was acknowledged is there, Bundles are there as a whole or not at
//! all, and what searches find is what a look at every resource finds.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::fhir::Fhir;
use crate::support::process::Vitalwire;
use crate::support::wait::until;

/// Entries of each Bundle.
const ENTRIES: u64 = 12;

fn group(number: u64) -> Value {
    let entries: Vec<Value> = (0..ENTRIES)
        .map(|index| {
            json!({
                "resource": {
                    "resourceType": "Observation", "id": format!("g{number}-{index}"), "status": "final",
                    "identifier": [{ "system": "group", "value": number.to_string() }],
                    "code": { "coding": [{ "system": "codes", "code": (index % 3).to_string() }] },
                    "valueQuantity": { "value": index },
                },
                "request": { "method": "PUT", "url": format!("Observation/g{number}-{index}") },
            })
        })
        .collect();
    json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries })
}

/// Sends Bundles until the server is gone; writes every second group twice, so that there are histories.
async fn write_on(fhir: Fhir, next: &AtomicU64, acknowledged: &AtomicU64) -> Vec<u64> {
    let mut done = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        for _ in 0..=number % 2 {
            let Ok(status) = fhir.try_send(Method::POST, "", &group(number)).await else { return done };
            assert_eq!(status, 200);
        }
        done.push(number);
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
}

fn is_sound(database: &Path) -> bool {
    let connection = rusqlite::Connection::open(database).unwrap();
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    verdict == "ok"
}

/// How many resources have each value.
fn tally(resources: &[Value], value: impl Fn(&Value) -> String) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for resource in resources {
        *counts.entry(value(resource)).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_writes_it_has_what_it_acknowledged_and_finds_what_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let next = AtomicU64::new(0);
    let mut acknowledged = Vec::new();
    for round in 1..=3_u64 {
        let product = Vitalwire::serve(directory.path(), SERVICE);
        let count = AtomicU64::new(0);
        let writers: Vec<_> = (0..4).map(|_| write_on(product.fhir(), &next, &count)).collect();
        let killing = async {
            until(Duration::from_secs(60), async || count.load(Ordering::Relaxed), |it| *it >= 17 * round).await;
            product.kill();
        };
        let (written, ()) = futures_util::future::join(futures_util::future::join_all(writers), killing).await;
        acknowledged.extend(written.into_iter().flatten());
        assert!(is_sound(&directory.path().join("data/vitalwire.db")));
    }

    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let all = fhir.all("Observation?_count=1000").await;
    let groups = tally(&all, |resource| resource["identifier"][0]["value"].as_str().unwrap().to_owned());
    for number in &acknowledged {
        assert_eq!(groups.get(&number.to_string()), Some(&ENTRIES), "group {number} was acknowledged");
    }
    for (number, scanned) in &groups {
        assert_eq!(*scanned, ENTRIES, "group {number} is there in part");
        assert_eq!(fhir.count(&format!("Observation?identifier=group|{number}")).await, ENTRIES);
    }
    for (code, scanned) in tally(&all, |resource| resource["code"]["coding"][0]["code"].as_str().unwrap().to_owned()) {
        assert_eq!(fhir.count(&format!("Observation?code=codes|{code}")).await, scanned);
    }
    for (value, scanned) in tally(&all, |resource| resource["valueQuantity"]["value"].to_string()) {
        assert_eq!(fhir.count(&format!("Observation?value-quantity={value}")).await, scanned);
    }
    let (status, _log) = product.interrupt();
    assert!(status.success());
    assert!(!directory.path().join("data/vitalwire.db-wal").exists(), "a clean end leaves no log behind");
}
