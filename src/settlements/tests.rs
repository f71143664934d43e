use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;

use super::{SCHEMA, Settlements};
use crate::database::Database;
use crate::model::receipt::{Outcome, Settle, Settlement};
use crate::telemetry::meters::{recorder, value_of};

#[derive(Default)]
struct Heard(Mutex<Vec<(u64, Settlement)>>);

impl Settle for Heard {
    fn settle(&self, position: u64, settlement: Settlement) {
        self.0.lock().unwrap().push((position, settlement));
    }
}

async fn open(directory: &tempfile::TempDir) -> Settlements {
    let database = Database::open(directory.path(), &[SCHEMA]).unwrap();
    Settlements::open(database, Arc::from("wards")).await.unwrap()
}

#[tokio::test]
async fn bt_11_ends_are_passed_on_only_when_counted_and_in_the_order_in_which_messages_ended() {
    let directory = tempfile::tempdir().unwrap();
    let settlements = open(&directory).await;
    let heard = Arc::new(Heard::default());
    let ledger = Arc::clone(&heard) as Arc<dyn Settle>;
    let (first, second) = (settlements.witness().receipt(1, &ledger), settlements.witness().receipt(2, &ledger));
    second.complete(Outcome::Stored);
    drop(first);
    assert_eq!(*heard.0.lock().unwrap(), []);
    let stop = CancellationToken::new();
    stop.cancel();
    settlements.run(stop).await;
    let expected = [(2, Settlement::Settled(Outcome::Stored)), (1, Settlement::Abandoned)];
    assert_eq!(*heard.0.lock().unwrap(), expected);
}

#[tokio::test]
async fn the_ledger_closes_at_every_moment_and_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Heard::default()) as Arc<dyn Settle>;
    {
        let settlements = open(&directory).await;
        let witness = settlements.witness();
        let open_receipt = Arc::clone(&witness).receipt(1, &ledger);
        for (position, outcome) in (2..).zip(Outcome::ALL) {
            Arc::clone(&witness).receipt(position, &ledger).complete(outcome);
        }
        drop(Arc::clone(&witness).receipt(9, &ledger));
        let noted = settlements.snapshot();
        assert_eq!((noted.received, noted.in_flight, noted.unexplained()), (7, 7, 0));
        settlements.settle_noted(&CancellationToken::new()).await;
        let counted = settlements.snapshot();
        assert_eq!((counted.received, counted.in_flight, counted.unexplained()), (6, 1, 0));
        assert_eq!(counted.counts.abandoned(), 1);
        // As a crash would leave it: the last receipt is never settled.
        drop(open_receipt);
    }
    let reopened = reopen(&directory).await.snapshot();
    assert_eq!((reopened.received, reopened.in_flight, reopened.unexplained()), (5, 0, 0));
    assert!(Outcome::ALL.iter().all(|outcome| reopened.counts.of(*outcome) == 1));
}

/// The lock on the directory goes a moment after the last handle.
async fn reopen(directory: &tempfile::TempDir) -> Settlements {
    for _attempt in 0..10_000 {
        if let Ok(database) = Database::open(directory.path(), &[SCHEMA]) {
            return Settlements::open(database, Arc::from("wards")).await.unwrap();
        }
        tokio::task::yield_now().await;
    }
    panic!("the database stays locked");
}

#[tokio::test]
async fn tm_6_a_durable_count_of_ends_is_timed_as_a_checkpoint() {
    let recorder = recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let directory = tempfile::tempdir().unwrap();
    let settlements = open(&directory).await;
    let ledger = Arc::new(Heard::default()) as Arc<dyn Settle>;
    settlements.witness().receipt(1, &ledger).complete(Outcome::Merged);
    drop(settlements.witness().receipt(2, &ledger));
    settlements.settle_noted(&CancellationToken::new()).await;
    settlements.settle_noted(&CancellationToken::new()).await;
    for (series, value) in [
        ("CheckpointUpdateDurationMs_count{", 1.0),
        ("envelopes_received_total{", 2.0),
        (r#"envelopes_settled_total{connector="wards",outcome="merged"}"#, 1.0),
        (r#"envelopes_settled_total{connector="wards",outcome="stored"}"#, 0.0),
        ("envelopes_abandoned_total{", 1.0),
    ] {
        assert!((value_of(&recorder, series) - value).abs() < 1e-6, "{series}");
    }
}
