use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::params;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::store::End;
use super::{DeadLetters, PAGE_MAX, Page, SCHEMA, Selection};
use crate::database::{Database, Schema};
use crate::model::Tracked;
use crate::model::dead_letter::{DeadLetter, Stage};
use crate::model::envelope::{Envelope, Origin, WayIn};
use crate::model::receipt::{Outcome, Settlement};
use crate::model::samples::{Heard, envelope};

/// A letter about this message.
pub(super) fn about(envelope: &Arc<Envelope>) -> DeadLetter {
    DeadLetter {
        envelope: Arc::clone(envelope),
        stage: Stage::Normalize,
        code: "IncompatibleDataException",
        reason: "no value".to_owned(),
        template: Some(("pulse".to_owned(), 12)),
        mapping: Arc::from("3f2a"),
        at: Timestamp::UNIX_EPOCH,
    }
}

fn letter(connector: &str, position: u64) -> DeadLetter {
    let origin = Origin { connector: Arc::from(connector), source: Arc::from("mqtt"), position };
    about(&Arc::new(Envelope { origin, ..envelope(position, r#"{"a":1}"#) }))
}

pub(super) fn open(directory: &tempfile::TempDir, schemas: &[Schema]) -> DeadLetters {
    DeadLetters::new(Database::open(directory.path(), schemas).unwrap(), CancellationToken::new())
}

/// All letters of `wards` that are selected, newest first.
pub(super) async fn list(letters: &DeadLetters, selection: Selection) -> Page {
    letters.list("wards", selection, None, PAGE_MAX).await.unwrap()
}

async fn messages(letters: &DeadLetters) -> i64 {
    let query = "SELECT count(*) FROM dead_messages";
    letters.read(move |connection| connection.query_row(query, [], |row| row.get(0))).await.unwrap()
}

#[tokio::test]
async fn letters_are_listed_by_connector_newest_first_a_page_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let letters = open(&directory, &[SCHEMA]);
    letters.record((1..=5).map(|position| letter("wards", position)).collect()).await.unwrap();
    letters.record(vec![letter("homes", 1)]).await.unwrap();
    let mut positions = Vec::new();
    let mut before = None;
    loop {
        let page = letters.list("wards", Selection::default(), before, 2).await.unwrap();
        positions.push(page.entries.iter().map(|entry| entry.position).collect::<Vec<_>>());
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(positions, [vec![5, 4], vec![3, 2], vec![1]]);
    assert_eq!(letters.count("wards").await.unwrap(), 5);
}

#[tokio::test]
async fn ev_3_a_message_without_a_body_is_listed_among_its_neighbours() {
    let directory = tempfile::tempdir().unwrap();
    let letters = open(&directory, &[SCHEMA]);
    let empty = about(&Arc::new(envelope(2, "")));
    letters.record(vec![letter("wards", 1), empty, letter("wards", 3)]).await.unwrap();
    let page = list(&letters, Selection::default()).await;
    let payloads: Vec<&[u8]> = page.entries.iter().map(|entry| entry.payload.as_slice()).collect();
    assert_eq!(payloads, [br#"{"a":1}"#.as_slice(), b"", br#"{"a":1}"#]);
}

#[tokio::test]
async fn ev_12_a_message_is_kept_once_and_whole_however_many_letters_are_about_it() {
    let directory = tempfile::tempdir().unwrap();
    let letters = open(&directory, &[SCHEMA]);
    let members = |json: &str| serde_json::from_str(json).unwrap();
    let message = Arc::new(Envelope {
        body: bytes::Bytes::from_static(b"{\"a\":1.0}\xff"),
        properties: members(r#"{"site":"ward-4","bed":4.0}"#),
        system_properties: members(r#"{"topic":"a/b","qos":1}"#),
        enqueued_at: "2024-03-02T07:15:00.123456789Z".parse().unwrap(),
        ..envelope(7, "")
    });
    letters.record(vec![about(&message), about(&message)]).await.unwrap();
    letters.record(vec![about(&message)]).await.unwrap();
    assert_eq!(messages(&letters).await, 1);
    let newest = list(&letters, Selection::default()).await.entries[0].clone();
    let whole = letters.find("wards", newest.id).await.unwrap().unwrap();
    assert_eq!(whole.others, [1, 2]);
    assert_eq!(whole.entry.mapping.as_deref(), Some("3f2a"));
    assert_eq!((whole.entry.line, whole.entry.position, &*whole.entry.source), (Some(12), 7, "mqtt"));
    assert_eq!(whole.properties, r#"{"site":"ward-4","bed":4.0}"#);
    assert_eq!(whole.system_properties, r#"{"topic":"a/b","qos":1}"#);
    assert_eq!(whole.entry.enqueued_at, message.enqueued_at);
    assert_eq!(whole.entry.payload, b"{\"a\":1.0}\xff");
    assert_eq!(letters.find("homes", newest.id).await.unwrap(), None);
}

#[tokio::test]
async fn letters_of_an_earlier_version_keep_their_payload_and_can_be_replayed() {
    let directory = tempfile::tempdir().unwrap();
    {
        let earlier = Schema { steps: &SCHEMA.steps[..1], ..SCHEMA };
        let letters = open(&directory, &[earlier]);
        let insert = "INSERT INTO dead_letters(connector, source, position, stage, code, reason, payload, at)
            VALUES ('wards', 'mqtt', ?1, 'resolve', 'DeviceNotFoundException', 'no Device', ?2, 1000000)";
        let rows = [(3, b"{}".as_slice()), (4, b"[1]")];
        let inserted = letters.write(move |connection| {
            rows.iter()
                .try_for_each(|(position, payload)| connection.execute(insert, params![position, payload]).map(drop))
        });
        inserted.await.unwrap();
        letters.database.close().await;
    }
    let letters = open(&directory, &[SCHEMA]);
    let page = list(&letters, Selection::default()).await;
    let shown: Vec<_> = page.entries.iter().map(|entry| (entry.id, entry.position, entry.payload.as_slice())).collect();
    assert_eq!(shown, [(2, 4, b"[1]".as_slice()), (1, 3, b"{}")]);
    let kept = letters.take(vec![1, 2]).await.unwrap();
    assert_eq!((kept[1].body.as_ref(), kept[1].properties.as_str(), kept[1].position), (b"[1]".as_slice(), "{}", 4));
    assert_eq!((kept[1].enqueued_at, kept[1].split_arrays), (Timestamp::from_second(1).unwrap(), false));
    letters.record(vec![letter("wards", 9)]).await.unwrap();
    assert_eq!(list(&letters, Selection::default()).await.entries[0].id, 3);
}

/// Six letters of two codes, two stages, two templates, at the seconds 1 to 6.
async fn varied(letters: &DeadLetters) {
    let varied = (1..=6).map(|second| {
        let mut letter = letter("wards", second);
        letter.at = Timestamp::from_second(second.try_into().unwrap()).unwrap();
        if second % 2 == 0 {
            letter.code = "DeviceNotFoundException";
            letter.template = None;
        }
        if second > 4 {
            letter.stage = Stage::Resolve;
        }
        letter
    });
    letters.record(varied.collect()).await.unwrap();
}

#[tokio::test]
async fn letters_are_selected_by_number_code_stage_template_and_time_together() {
    let directory = tempfile::tempdir().unwrap();
    let letters = open(&directory, &[SCHEMA]);
    varied(&letters).await;
    let text = |text: &str| Some(text.to_owned());
    let all = Selection::default;
    let device = || Selection { code: text("DeviceNotFoundException"), ..all() };
    for (selection, expected) in [
        (all(), vec![6, 5, 4, 3, 2, 1]),
        (Selection::of(vec![2, 5, 77]), vec![5, 2]),
        (device(), vec![6, 4, 2]),
        (Selection { stage: text("resolve"), ..device() }, vec![6]),
        (Selection { template: text("pulse"), ..all() }, vec![5, 3, 1]),
        (Selection { since: Some(Timestamp::from_second(4).unwrap()), ..device() }, vec![6, 4]),
        (Selection { code: text("x' OR '1'='1"), ..all() }, vec![]),
    ] {
        let found: Vec<i64> = list(&letters, selection.clone()).await.entries.iter().map(|entry| entry.id).collect();
        assert_eq!(found, expected, "{selection:?}");
    }
}

#[tokio::test]
async fn a_summary_counts_letters_by_cause_the_most_frequent_first() {
    let directory = tempfile::tempdir().unwrap();
    let letters = open(&directory, &[SCHEMA]);
    varied(&letters).await;
    let sums = letters.summary("wards", Selection::default()).await.unwrap();
    let told: Vec<_> =
        sums.iter().map(|sum| (sum.code.as_str(), sum.stage.as_str(), sum.letters, sum.newest)).collect();
    let (device, incompatible) = ("DeviceNotFoundException", "IncompatibleDataException");
    assert_eq!(
        told,
        [
            (device, "normalize", 2, 4),
            (incompatible, "normalize", 2, 3),
            (device, "resolve", 1, 6),
            (incompatible, "resolve", 1, 5)
        ]
    );
    assert_eq!((sums[0].first_at, sums[0].last_at.as_second()), (Timestamp::from_second(2).unwrap(), 4));
}

#[tokio::test]
async fn discarded_letters_take_their_messages_along_but_for_those_under_way() {
    let directory = tempfile::tempdir().unwrap();
    let letters = open(&directory, &[SCHEMA]);
    let twice = Arc::new(envelope(1, "{}"));
    letters.record(vec![about(&twice), about(&twice), letter("wards", 2), letter("homes", 3)]).await.unwrap();
    letters.discard("wards", &Selection::of(vec![1])).await.unwrap();
    assert_eq!((letters.count("wards").await.unwrap(), messages(&letters).await), (2, 3), "its other letter needs it");
    assert_eq!(letters.take(vec![2]).await.unwrap().len(), 1);
    let discarded = letters.discard("wards", &Selection::default()).await.unwrap();
    assert_eq!(discarded, BTreeMap::from([("IncompatibleDataException".to_owned(), 1)]));
    assert!(letters.is_under_way(2));
    letters.end_abandoned(&[2]);
    letters.discard("wards", &Selection::default()).await.unwrap();
    assert_eq!((letters.count("wards").await.unwrap(), letters.count("homes").await.unwrap()), (0, 1));
    assert_eq!(messages(&letters).await, 1);
}

#[tokio::test]
async fn very_many_letters_are_discarded_in_several_writes() {
    let directory = tempfile::tempdir().unwrap();
    let letters = open(&directory, &[SCHEMA]);
    let many = u64::from(super::DISCARDED_PER_WRITE_MAX) + 1;
    letters.record((1..=many).map(|position| letter("wards", position)).collect()).await.unwrap();
    let discarded = letters.discard("wards", &Selection::default()).await.unwrap();
    assert_eq!(discarded.values().sum::<u64>(), many);
    assert_eq!((letters.count("wards").await.unwrap(), messages(&letters).await), (0, 0));
}

#[tokio::test]
async fn a_message_under_way_is_not_taken_again() {
    let directory = tempfile::tempdir().unwrap();
    let letters = open(&directory, &[SCHEMA]);
    letters.record(vec![letter("wards", 1), letter("wards", 2)]).await.unwrap();
    assert_eq!(letters.take(vec![1]).await.unwrap().len(), 1);
    let taken = letters.take(vec![2, 1]).await.unwrap();
    assert_eq!(taken.iter().map(|kept| kept.id).collect::<Vec<_>>(), [2]);
}

/// A letter that its source's message gets after a replay has removed it is kept again, with the message.
#[tokio::test]
async fn a_letter_that_comes_after_its_message_has_gone_brings_it_back() {
    let directory = tempfile::tempdir().unwrap();
    let letters = open(&directory, &[SCHEMA]);
    let message = Arc::new(envelope(1, "{}"));
    letters.record(vec![about(&message)]).await.unwrap();
    letters.end(Arc::new(vec![(1, End::Done)]), Timestamp::UNIX_EPOCH).await;
    assert_eq!(messages(&letters).await, 0);
    letters.record(vec![about(&message)]).await.unwrap();
    assert!(matches!(&message.way_in, WayIn::Source(number) if number.get() == Some(&1)));
    assert_eq!(list(&letters, Selection::default()).await.entries[0].payload, b"{}");
}

async fn end_of_a_letter(letters: DeadLetters) -> Settlement {
    let heard = Arc::new(Heard::default());
    let receipt = heard.receipt(1);
    let (letters_in, inbox) = mpsc::channel(1);
    letters_in.send(vec![Tracked { value: letter("wards", 1), receipt }]).await.unwrap();
    drop(letters_in);
    letters.run(inbox).await;
    heard.settlements()[0].1
}

#[tokio::test]
async fn a_receipt_completes_once_its_letter_is_durable() {
    let directory = tempfile::tempdir().unwrap();
    let letters = open(&directory, &[SCHEMA]);
    assert_eq!(end_of_a_letter(letters.clone()).await, Settlement::Settled(Outcome::DeadLettered));
    assert_eq!(letters.count("wards").await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn letters_the_database_refuses_are_not_taken_for_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let letters = open(&directory, &[]);
    letters.give_up.cancel();
    assert_eq!(end_of_a_letter(letters).await, Settlement::Abandoned);
}
