use std::io::Write as _;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Normalize, Shapes};
use crate::clock::Clock;
use crate::mapping::Payloads;
use crate::mapping::extract::FAILURES_TOLD_MAX;
use crate::mapping_store::MappingStore;
use crate::model::Tracked;
use crate::model::dead_letter::{DeadLetter, Stage};
use crate::model::envelope::Envelope;
use crate::model::receipt::{Outcome, Settlement};
use crate::model::room::Room;
use crate::model::samples::{Heard, envelope};
use crate::telemetry::meters::{recorder, value_of};

const DEVICE: &str = r#"{"templateType": "CollectionContent", "template": [{"templateType": "JsonPathContent", "template": {
    "typeName": "pulse", "typeMatchExpression": "$..[?(@hr)]", "deviceIdExpression": "$.id",
    "timestampExpression": "$.at",
    "values": [{"required": true, "valueExpression": "$.hr", "valueName": "hr"}]}}]}"#;
const FHIR: &str = r#"{"templateType": "CollectionFhir", "template": [{"templateType": "CodeValueFhir", "template": {
    "typeName": "pulse", "codes": [], "value": {"valueType": "Quantity", "valueName": "hr"}}}]}"#;

/// What becomes of payloads: how many measurements, the codes of the letters, the ends of the messages.
async fn run(payloads: &[&str], shapes: &Arc<Shapes>) -> (usize, Vec<&'static str>, Vec<Settlement>) {
    let envelopes = payloads.iter().zip(1..).map(|(payload, position)| envelope(position, payload));
    let (count, letters, ends) = run_envelopes(envelopes.collect(), shapes).await;
    (count, letters.iter().map(|letter| letter.code).collect(), ends)
}

/// As `run`, with the letters themselves.
async fn run_envelopes(envelopes: Vec<Envelope>, shapes: &Arc<Shapes>) -> (usize, Vec<DeadLetter>, Vec<Settlement>) {
    run_at(Clock::default(), envelopes, shapes).await
}

/// As `run_envelopes`, at some time.
async fn run_at(
    clock: Clock,
    envelopes: Vec<Envelope>,
    shapes: &Arc<Shapes>,
) -> (usize, Vec<DeadLetter>, Vec<Settlement>) {
    let folder = tempfile::tempdir().unwrap();
    let (device, fhir) = (folder.path().join("device.json"), folder.path().join("fhir.json"));
    std::fs::write(&device, DEVICE).unwrap();
    std::fs::write(&fhir, FHIR).unwrap();
    let (mappings, _warnings) = MappingStore::open("wards", (device, fhir), Payloads::Strict).unwrap();
    let heard = Arc::new(Heard::default());
    let (envelopes_in, inbox) = mpsc::channel(100);
    let (measurements_in, mut measurements) = mpsc::channel(100);
    let (letters_in, mut letters) = mpsc::channel(100);
    for envelope in envelopes {
        let receipt = heard.receipt(envelope.origin.position);
        envelopes_in.send(Tracked { value: envelope, receipt }).await.unwrap();
    }
    drop(envelopes_in);
    Normalize::new(mappings, clock, Arc::clone(shapes), Room::new(1), CancellationToken::new())
        .run(inbox, measurements_in, letters_in)
        .await;
    let (mut count, mut kept) = (0, Vec::new());
    while let Some(measurement) = measurements.recv().await {
        count += 1;
        measurement.contribution.receipt.complete(Outcome::Stored);
    }
    while let Some(batch) = letters.recv().await {
        for letter in batch {
            kept.push(letter.value);
            letter.receipt.complete(Outcome::DeadLettered);
        }
    }
    (count, kept, heard.settlements().into_iter().map(|(_, settlement)| settlement).collect())
}

const GOOD: &str = r#"{"id": "d", "at": "2024-03-02T07:15:00Z", "hr": 65.0}"#;

#[tokio::test]
async fn er_4_ev_4_bad_payloads_go_to_the_dead_letters_and_their_neighbours_go_on() {
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

#[tokio::test]
async fn er_5_er_12_a_letter_tells_code_reason_template_line_and_time_and_holds_the_message() {
    let payload = r#"{"id": "d", "at": "2024-03-02T07:15:00Z", "hr": null}"#;
    let (count, letters, ends) = run_envelopes(vec![envelope(7, payload)], &Arc::default()).await;
    assert_eq!((count, ends), (0, vec![Settlement::Settled(Outcome::DeadLettered)]));
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!(
        (letter.stage, letter.code, letter.envelope.origin.position),
        (Stage::Normalize, "IncompatibleDataException", 7)
    );
    assert_eq!(letter.template, Some(("pulse".to_owned(), 4)));
    assert!(letter.reason.starts_with("Line Number: 4, Position: "), "{}", letter.reason);
    assert!(letter.reason.ends_with("the required hr is null (token $.Body)"), "{}", letter.reason);
    assert_eq!(letter.envelope.body, payload);
    assert!(letter.at > jiff::Timestamp::UNIX_EPOCH);
}

#[tokio::test]
async fn nm_6_a_message_that_is_too_large_becomes_a_letter_and_its_neighbours_go_on() {
    let limited = |position, bytes| Envelope { body_bytes_max: bytes, ..envelope(position, GOOD) };
    let envelopes = vec![limited(1, GOOD.len()), limited(2, GOOD.len() - 1), limited(3, GOOD.len())];
    let (count, letters, ends) = run_envelopes(envelopes, &Arc::default()).await;
    assert_eq!((count, letters.len(), letters[0].code), (2, 1, "InvalidDataFormatException"));
    assert!(letters[0].reason.contains("`message_bytes_max` of its source is"), "{}", letters[0].reason);
    assert_eq!(letters[0].envelope.body, GOOD);
    let [stored, dead] = [Outcome::Stored, Outcome::DeadLettered].map(Settlement::Settled);
    assert_eq!(ends, [stored, dead, stored]);
}

#[tokio::test]
async fn dm_37_the_letters_of_one_message_have_a_bound_and_the_last_counts_the_others() {
    let rows = vec![r#"{"hr": 1}"#; 1_000].join(",");
    let (count, letters, ends) = run_envelopes(vec![envelope(1, &format!("[{rows}]"))], &Arc::default()).await;
    assert_eq!((count, letters.len()), (0, FAILURES_TOLD_MAX + 1));
    assert_eq!(letters[FAILURES_TOLD_MAX].reason, "900 more failures in this message, which are not told one by one");
    assert_eq!(ends, [Settlement::Settled(Outcome::DeadLettered)]);
}

fn packed(payload: &str) -> bytes::Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(payload.as_bytes()).unwrap();
    encoder.finish().unwrap().into()
}

/// Room for a message that does not become smaller by being packed.
const BYTES_MAX: usize = 100;

/// A message whose sender says how its payload is packed.
fn coded(position: u64, coding: &str, body: bytes::Bytes) -> Envelope {
    let mut envelope = envelope(position, "");
    envelope.properties.insert("Content-Encoding".to_owned(), coding.into());
    Envelope { body, body_bytes_max: BYTES_MAX, ..envelope }
}

#[tokio::test]
async fn a_payload_is_unpacked_as_its_sender_says_and_kept_as_received_when_it_cannot_be() {
    let good = coded(1, "GZIP", packed(GOOD));
    let bomb = coded(2, "gzip", packed(&" ".repeat(BYTES_MAX + 1)));
    let envelopes = vec![
        good,
        bomb.clone(),
        coded(3, "gzip", GOOD.into()),
        coded(4, "br", packed(GOOD)),
        coded(5, "identity", GOOD.into()),
        coded(6, "gzip", packed(r#"{"hr": 1}"#)),
    ];
    let (count, letters, ends) = run_envelopes(envelopes, &Arc::default()).await;
    let [stored, dead] = [Outcome::Stored, Outcome::DeadLettered].map(Settlement::Settled);
    assert_eq!((count, ends), (2, vec![stored, dead, dead, dead, stored, dead]));
    let told: Vec<_> = letters.iter().map(|letter| (letter.envelope.origin.position, letter.code)).collect();
    let expected = [
        (2, "InvalidDataFormatException"),
        (3, "InvalidDataFormatException"),
        (4, "CompressionNotSupportedException"),
        (6, "IncompatibleDataException"),
    ];
    assert_eq!(told, expected);
    assert!(letters[0].reason.contains("`message_bytes_max` of its source"), "{}", letters[0].reason);
    // A replay reads them as they came.
    assert_eq!((&letters[0].envelope.body, &letters[0].envelope.properties), (&bomb.body, &bomb.properties));
    assert_eq!(letters[3].envelope.body, packed(r#"{"hr": 1}"#));
}

#[tokio::test]
async fn an_array_is_one_message_unless_its_source_splits_and_then_each_element_is_mapped_alone() {
    let array = format!("\u{feff} [{GOOD}, 7, {{\"hr\": 1}}, [{GOOD}]]");
    let whole = envelope(1, &array);
    let split = Envelope { split_arrays: true, ..envelope(2, &array) };
    let in_coding = coded(3, "gzip", packed(&array));
    let in_coding = Envelope { split_arrays: true, body_bytes_max: array.len(), ..in_coding };
    let empty = Envelope { split_arrays: true, ..envelope(4, "[]") };
    let object = Envelope { split_arrays: true, ..envelope(5, GOOD) };
    let shapes = Arc::default();
    let (count, letters, ends) = run_envelopes(vec![whole, split, in_coding, empty, object], &shapes).await;
    let [stored, dead, unmatched] =
        [Outcome::Stored, Outcome::DeadLettered, Outcome::Unmatched].map(Settlement::Settled);
    assert_eq!((count, ends), (7, vec![dead, dead, dead, unmatched, stored]));
    let bodies: Vec<_> = letters.iter().map(|letter| letter.envelope.body.as_ref()).collect();
    assert_eq!(bodies, [array.as_bytes(), b"{\"hr\": 1}", b"{\"hr\": 1}"]);
    // The letter of an element is replayed as it is.
    assert!(
        letters.iter().skip(1).all(|letter| !letter.envelope.split_arrays && letter.envelope.properties.is_empty())
    );
}

#[tokio::test]
async fn what_is_no_array_or_too_long_a_one_is_a_letter_about_the_whole() {
    let split = |position, payload: &str| Envelope { split_arrays: true, ..envelope(position, payload) };
    let long = format!("[{}1]", "1,".repeat(10_000));
    let (count, letters, ends) = run_envelopes(vec![split(1, "[1,"), split(2, &long)], &Arc::default()).await;
    assert_eq!((count, ends), (0, vec![Settlement::Settled(Outcome::DeadLettered); 2]));
    let told: Vec<_> = letters.iter().map(|letter| (letter.code, letter.envelope.body.len())).collect();
    assert_eq!(told, [("InvalidDataFormatException", 3), ("InvalidDataFormatException", long.len())]);
    assert!(letters[1].reason.contains("more than 10000 elements"), "{}", letters[1].reason);
}

/// Values of metrics after two good messages, one that is no JSON and one that matches nothing, half a second old all.
async fn check_metrics(expected: &[(&str, f64)]) {
    let recorder = recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let payloads = [GOOD, "[", "{}", GOOD];
    let envelopes = payloads.into_iter().zip(1..).map(|(payload, position)| envelope(position, payload)).collect();
    run_at(Clock::stopped("1970-01-01T00:00:00.5Z".parse().unwrap()), envelopes, &Arc::default()).await;
    for (series, value) in expected {
        assert!((value_of(&recorder, series) - value).abs() < 1e-6, "{series} {}", value_of(&recorder, series));
    }
}

#[tokio::test]
async fn tm_2_each_message_is_counted_with_its_latency_in_seconds_and_in_milliseconds() {
    check_metrics(&[
        ("DeviceEvent{", 4.0),
        ("DeviceEventProcessingLatency_count{", 4.0),
        ("DeviceEventProcessingLatency_sum{", 2.0),
        ("DeviceEventProcessingLatencyMs_count{", 4.0),
        ("DeviceEventProcessingLatencyMs_sum{", 2_000.0),
    ])
    .await;
}

#[tokio::test]
async fn tm_3_what_comes_of_messages_is_counted_and_an_error_is_not_a_dropped_one() {
    let bytes = u32::try_from(2 * GOOD.len() + "[".len() + "{}".len()).unwrap();
    check_metrics(&[
        ("NormalizedEvent{", 2.0),
        ("DroppedEvent{", 1.0),
        ("NormalizedEventGenerationTimeMs_count{", 4.0),
        ("NormalizationTimePerBatchMs_count{", 1.0),
        ("NormalizationTemplateGenerationMs_count{", 1.0),
        ("MeasurementBatchSize_sum{", 2.0),
        ("MeasurementBatchSubmissionMs_count{", 1.0),
        ("DeviceIngressSizeBytes{", f64::from(bytes)),
    ])
    .await;
}

#[tokio::test]
async fn tm_6_a_batch_is_flushed_when_all_that_came_of_it_is_sent_on() {
    check_metrics(&[("EventsFlushed{", 4.0), ("BatchFlushDurationMs_count{", 1.0)]).await;
}
