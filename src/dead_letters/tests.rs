use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{DeadLetters, PAGE_MAX, SCHEMA, Unrecorded};
use crate::database::Database;
use crate::model::dead_letter::{DeadLetter, Stage};
use crate::model::envelope::Origin;

fn letter(connector: &str, position: u64) -> DeadLetter {
    DeadLetter {
        origin: Origin { connector: Arc::from(connector), source: Arc::from("mqtt"), position },
        stage: Stage::Normalize,
        code: "IncompatibleDataException",
        reason: "no value".to_owned(),
        template: Some(("pulse".to_owned(), 12)),
        payload: Bytes::from_static(b"{\"a\":1}"),
        at: Timestamp::UNIX_EPOCH,
    }
}

fn open(directory: &tempfile::TempDir, schemas: &[crate::database::Schema]) -> DeadLetters {
    DeadLetters::new(Database::open(directory.path(), schemas).unwrap(), CancellationToken::new())
}

#[tokio::test]
async fn letters_are_listed_by_connector_newest_first_a_page_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let letters = open(&directory, &[SCHEMA]);
    let many = u64::from(PAGE_MAX) + 1;
    letters.record((1..=many).map(|position| letter("wards", position)).collect()).await.unwrap();
    letters.record(vec![letter("homes", 1)]).await.unwrap();
    let first = letters.list("wards", None).await.unwrap();
    let second = letters.list("wards", first.next).await.unwrap();
    let positions: Vec<u64> = first.entries.iter().chain(&second.entries).map(|entry| entry.position).collect();
    assert_eq!(positions, (1..=many).rev().collect::<Vec<_>>());
    assert_eq!((second.next, letters.count("wards").await.unwrap()), (None, many));
    assert_eq!((second.entries[0].payload.as_slice(), second.entries[0].line), (b"{\"a\":1}".as_slice(), Some(12)));
}

#[tokio::test(start_paused = true)]
async fn letters_the_database_refuses_are_not_taken_for_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let letters = open(&directory, &[]);
    letters.give_up.cancel();
    assert_eq!(letters.record(vec![letter("wards", 1)]).await, Err(Unrecorded));
}
