mod races;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Freshness, IdentityMode, Resolve, ResolveSettings};
use crate::client::test_server::{Fault, TestServer};
use crate::clock::Clock;
use crate::model::group::{MeasurementGroup, Span};
use crate::model::receipt::{Outcome, Settlement};
use crate::model::samples::{Heard, group};

const ABANDONED: Settlement = Settlement::Abandoned;

fn settings(mode: IdentityMode) -> ResolveSettings {
    ResolveSettings {
        mode,
        device_identifier_system: None,
        other_base_urls: Vec::new(),
        cache_age_max: Duration::from_secs(300),
    }
}

/// Sends batches of (device, patient) through the stage; describes what comes out, and the codes of the letters.
async fn run(server: &TestServer, batches: &[&[(&str, Option<&str>)]]) -> (Vec<String>, Vec<&'static str>) {
    let link = server.link(&CancellationToken::new());
    let resolve = Resolve::new(settings(IdentityMode::Create), link, Clock::default(), Arc::new(Freshness::new()));
    let (groups_in, groups) = mpsc::channel(8);
    let (resolved_in, mut resolved) = mpsc::channel(8);
    let (letters_in, mut letters) = mpsc::channel(8);
    let heard = Arc::new(Heard::default());
    let one = |(device, patient): &(&str, Option<&str>)| -> MeasurementGroup {
        let at = Timestamp::UNIX_EPOCH;
        group(&heard, 1, (device, *patient), (at, Span::Single(at)), "65")
    };
    for batch in batches {
        groups_in.send(batch.iter().map(one).collect()).await.unwrap();
    }
    drop(groups_in);
    resolve.run(groups, resolved_in, letters_in).await;
    let mut described = Vec::new();
    while let Some(batch) = resolved.recv().await {
        described
            .extend(batch.iter().map(|one| format!("{} is {:.4}", one.group.key.device_id, one.subject.patient_id)));
        complete(batch.into_iter().map(|one| one.group));
    }
    let mut codes = Vec::new();
    while let Some(batch) = letters.recv().await {
        for letter in batch {
            codes.push(letter.value.code);
            letter.receipt.complete(Outcome::DeadLettered);
        }
    }
    assert!(heard.settlements().iter().all(|(_, settlement)| *settlement != ABANDONED));
    (described, codes)
}

fn complete(groups: impl Iterator<Item = MeasurementGroup>) {
    groups.flat_map(|group| group.contributions).for_each(|one| one.receipt.complete(Outcome::Stored));
}

#[tokio::test]
async fn unknown_devices_of_a_batch_are_created_with_three_bundles_and_known_ones_with_none() {
    let server = TestServer::start().await;
    let batch: &[_] = &[("a", Some("p")), ("b", Some("q")), ("c", Some("p"))];
    let (resolved, codes) = run(&server, &[batch, batch]).await;
    assert_eq!((resolved.len(), codes.len()), (6, 0));
    assert_eq!(server.bundles(), [5, 2, 3]);
    assert_eq!((server.resources("Patient").len(), server.resources("Device").len()), (2, 3));
}

#[tokio::test]
async fn id_14_a_device_is_never_given_to_a_second_patient() {
    let server = TestServer::start().await;
    let (resolved, codes) = run(&server, &[&[("a", Some("p")), ("a", Some("q"))]]).await;
    assert_eq!((resolved.len(), codes), (1, vec!["PatientDeviceMismatchException"]));
}

#[tokio::test]
async fn id_14_a_server_that_remembers_searches_does_not_hide_whose_a_device_is() {
    let server = TestServer::start().await;
    assert_eq!(run(&server, &[&[("a", Some("p"))]]).await.1.len(), 0);
    assert_eq!(run(&server, &[&[("a", Some("q"))]]).await.1, ["PatientDeviceMismatchException"]);
}

#[tokio::test]
async fn id_14_a_patient_created_between_two_searches_is_no_mismatch() {
    let server = TestServer::start().await;
    run(&server, &[&[("a", Some("p"))]]).await;
    server.fail_next(Fault::Overlook("Patient"));
    let (resolved, codes) = run(&server, &[&[("a", Some("p"))]]).await;
    assert_eq!((resolved.len(), codes.len()), (1, 0));
}

#[tokio::test]
async fn one_unresolvable_identity_leaves_its_neighbours_alone() {
    let server = TestServer::start().await;
    let (resolved, codes) = run(&server, &[&[("a", None), ("b", Some("p"))]]).await;
    assert_eq!((resolved.len(), codes), (1, vec!["PatientIdentityNotDefinedException"]));
}

#[tokio::test]
async fn id_15_a_device_is_served_as_soon_as_it_is_registered() {
    let server = TestServer::start().await;
    let (_, codes) = run(&server, &[&[("a", None)]]).await;
    assert_eq!(codes, ["PatientIdentityNotDefinedException"]);
    let device =
        json!({"resourceType": "Device", "identifier": [{"value": "a"}], "patient": {"reference": "Patient/p7"}});
    server.store("Device/x", device);
    assert_eq!(run(&server, &[&[("a", None)]]).await, (vec!["a is p7".to_owned()], vec![]));
}

#[tokio::test]
async fn a_device_without_a_patient_keeps_what_it_has_and_gets_one() {
    let server = TestServer::start().await;
    server.store("Device/x", json!({"resourceType": "Device", "identifier": [{"value": "a"}], "lotNumber": "7"}));
    let (resolved, _) = run(&server, &[&[("a", Some("p"))]]).await;
    assert_eq!(resolved.len(), 1);
    let (version, device) = server.resource("Device/x").unwrap();
    assert_eq!((version, device["lotNumber"].as_str()), (2, Some("7")));
    assert!(device["patient"]["reference"].as_str().unwrap().starts_with("Patient/"));
}

#[tokio::test]
async fn answers_lost_in_the_middle_create_nothing_twice() {
    let server = TestServer::start().await;
    (0..3).for_each(|_| server.fail_next(Fault::LoseAnswer));
    let (resolved, codes) = run(&server, &[&[("a", Some("p"))]]).await;
    assert_eq!((resolved.len(), codes.len()), (1, 0));
    assert_eq!((server.resources("Patient").len(), server.resources("Device").len()), (1, 1));
}
