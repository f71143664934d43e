use std::sync::{Arc, Mutex};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{DeadLetters, PAGE_MAX, SCHEMA};
use crate::database::Database;
use crate::model::Tracked;
use crate::model::dead_letter::{DeadLetter, Stage};
use crate::model::envelope::Origin;
use crate::model::receipt::{Outcome, Receipt, Settle, Settlement};

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

#[derive(Default)]
struct Heard(Mutex<Vec<Settlement>>);

impl Settle for Heard {
    fn settle(&self, _position: u64, settlement: Settlement) {
        self.0.lock().unwrap().push(settlement);
    }
}

async fn end_of_a_letter(letters: DeadLetters) -> Settlement {
    let heard = Arc::new(Heard::default());
    let receipt = Receipt::new(1, Arc::clone(&heard) as Arc<dyn Settle>);
    let (letters_in, inbox) = mpsc::channel(1);
    letters_in.send(vec![Tracked { value: letter("wards", 1), receipt }]).await.unwrap();
    drop(letters_in);
    letters.run(inbox).await;
    let ends = heard.0.lock().unwrap();
    ends[0]
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
