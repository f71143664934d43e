//! The first command of the README: everything on embedded defaults with real data flowing.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::process::{Vitalwire, vitalwire};
use crate::support::wait::until;

/// The demo on free ports, ten times as fast as it is by itself.
pub(crate) fn demo(directory: &Path) -> Vitalwire {
    let mut command = vitalwire(&["demo", "--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0", "--rate", "100"]);
    command.arg("--data-dir").arg(directory).env("VITALWIRE_LOG__FORMAT", "json").env("VITALWIRE_LOG__FILTER", "info");
    Vitalwire::start(command)
}

#[tokio::test]
async fn readings_of_real_devices_can_be_queried_within_five_seconds_and_are_still_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let first = demo(directory.path());
    let search = "Observation?code=http://loinc.org|8867-4&_sort=-date&_count=5&_include=Observation:subject&_include=Observation:device";
    let has_five = |bundle: &Value| matches(bundle).len() == 5;
    let bundle = until(Duration::from_secs(10), async || first.fhir().get_json(search).await, has_five).await;
    assert!(started.elapsed() < Duration::from_secs(5), "took {:?}", started.elapsed());

    let types: Vec<&str> = bundle["entry"].as_array().unwrap().iter().map(resource_type).collect();
    assert!(types.contains(&"Patient") && types.contains(&"Device"), "{types:?}");
    let newest = matches(&bundle);
    let times: Vec<&str> =
        newest.iter().map(|observation| observation["effectivePeriod"]["start"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
    assert_eq!(newest[0]["valueQuantity"]["code"], "/min");

    let (status, log) = first.interrupt();
    assert!(status.success(), "{status}: {}", log.join("\n"));

    let second = demo(directory.path());
    let stored = second.fhir().get_json(&format!("Observation/{}", newest[4]["id"].as_str().unwrap())).await;
    assert_eq!(&stored, newest[4]);
    let ledger = until(
        Duration::from_secs(10),
        async || second.ledger("demo").await,
        |ledger| ledger["stored"].as_u64() > Some(20),
    )
    .await;
    assert_eq!(ledger["unexplained"], 0);
}

fn matches(bundle: &Value) -> Vec<&Value> {
    let entries = bundle["entry"].as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().filter(|entry| entry["search"]["mode"] == "match").map(|entry| &entry["resource"]).collect()
}

fn resource_type(entry: &Value) -> &str {
    entry["resource"]["resourceType"].as_str().unwrap()
}
