use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Normalize, Shapes};
use crate::clock::Clock;
use crate::mapping::Payloads;
use crate::mapping_store::MappingStore;
use crate::model::Tracked;
use crate::model::receipt::{Outcome, Settlement};
use crate::model::samples::{Heard, envelope};

const DEVICE: &str = r#"{"templateType": "CollectionContent", "template": [{"templateType": "JsonPathContent", "template": {
    "typeName": "pulse", "typeMatchExpression": "$..[?(@hr)]", "deviceIdExpression": "$.id",
    "timestampExpression": "$.at",
    "values": [{"required": true, "valueExpression": "$.hr", "valueName": "hr"}]}}]}"#;
const FHIR: &str = r#"{"templateType": "CollectionFhir", "template": [{"templateType": "CodeValueFhir", "template": {
    "typeName": "pulse", "codes": [], "value": {"valueType": "Quantity", "valueName": "hr"}}}]}"#;

/// What becomes of payloads: how many measurements, the codes of the letters, the ends of the messages.
async fn run(payloads: &[&str], shapes: &Arc<Shapes>) -> (usize, Vec<&'static str>, Vec<Settlement>) {
    let folder = tempfile::tempdir().unwrap();
    let (device, fhir) = (folder.path().join("device.json"), folder.path().join("fhir.json"));
    std::fs::write(&device, DEVICE).unwrap();
    std::fs::write(&fhir, FHIR).unwrap();
    let (mappings, _warnings) = MappingStore::open("wards", (device, fhir), Payloads::Strict).unwrap();
    let heard = Arc::new(Heard::default());
    let (envelopes_in, envelopes) = mpsc::channel(100);
    let (measurements_in, mut measurements) = mpsc::channel(100);
    let (letters_in, mut letters) = mpsc::channel(100);
    for (payload, position) in payloads.iter().zip(1..) {
        let tracked = Tracked { value: envelope(position, payload), receipt: heard.receipt(position) };
        envelopes_in.send(tracked).await.unwrap();
    }
    drop(envelopes_in);
    Normalize::new(mappings, Clock::default(), Arc::clone(shapes), CancellationToken::new())
        .run(envelopes, measurements_in, letters_in)
        .await;
    let (mut count, mut codes) = (0, Vec::new());
    while let Some(measurement) = measurements.recv().await {
        count += 1;
        measurement.contribution.receipt.complete(Outcome::Stored);
    }
    while let Some(batch) = letters.recv().await {
        for letter in batch {
            codes.push(letter.value.code);
            letter.receipt.complete(Outcome::DeadLettered);
        }
    }
    (count, codes, heard.settlements().into_iter().map(|(_, settlement)| settlement).collect())
}

const GOOD: &str = r#"{"id": "d", "at": "2024-03-02T07:15:00Z", "hr": 65.0}"#;

#[tokio::test]
async fn bad_payloads_go_to_the_dead_letters_and_their_neighbours_go_on() {
    let payloads = [GOOD, "{\"hr\":", r#"{"at": "2024-03-02T07:15:00Z", "hr": 1}"#, GOOD];
    let (count, codes, ends) = run(&payloads, &Arc::default()).await;
    assert_eq!((count, codes), (2, vec!["InvalidDataFormatException", "IncompatibleDataException"]));
    let [stored, dead] = [Outcome::Stored, Outcome::DeadLettered].map(Settlement::Settled);
    assert_eq!(ends, [stored, dead, dead, stored]);
}

#[tokio::test]
async fn dm_48_what_matches_nothing_ends_as_unmatched_and_is_counted_by_shape() {
    let shapes = Arc::new(Shapes::default());
    let (count, codes, ends) = run(&[r#"{"id": "d", "heartrate": 65}"#], &shapes).await;
    assert_eq!((count, codes.len(), ends), (0, 0, vec![Settlement::Settled(Outcome::Unmatched)]));
    assert_eq!(shapes.list()[0].names.as_deref(), Some("heartrate,id"));
}

#[tokio::test]
async fn a_message_with_good_and_bad_parts_stores_the_good_ones() {
    let payload = r#"[{"id": "d", "at": "2024-03-02T07:15:00Z", "hr": 1}, {"id": "d", "at": "never", "hr": 2}]"#;
    let (count, codes, ends) = run(&[payload], &Arc::default()).await;
    assert_eq!((count, codes.len()), (1, 1));
    assert_eq!(ends, [Settlement::Settled(Outcome::DeadLettered)]);
}
