//! What the program keeps durably: how messages ended, and dead letters.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::model::Tracked;
use crate::model::dead_letter::DeadLetter;
use crate::model::intake::Witness;
use crate::model::receipt::{Outcome, Receipt, Settle, Settlement};

/// How the messages of one life of the program ended.
#[derive(Debug, Default)]
pub(super) struct Books {
    counts: Mutex<Counts>,
}

/// Messages taken, and how many ended in which way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) received: u64,
    pub(super) settled: u64,
    pub(super) abandoned: u64,
}

impl Books {
    pub(super) fn counts(&self) -> Counts {
        self.counts.lock().unwrap().clone()
    }
}

impl Witness for Books {
    fn receipt(self: Arc<Self>, position: u64, ledger: &Arc<dyn Settle>) -> Receipt {
        self.counts.lock().unwrap().received += 1;
        Receipt::new(position, Arc::new(Witnessed { books: self, ledger: Arc::clone(ledger) }))
    }
}

struct Witnessed {
    books: Arc<Books>,
    ledger: Arc<dyn Settle>,
}

impl Settle for Witnessed {
    fn settle(&self, position: u64, settlement: Settlement) {
        let mut counts = self.books.counts.lock().unwrap();
        match settlement {
            Settlement::Settled(_) => counts.settled += 1,
            Settlement::Abandoned => counts.abandoned += 1,
        }
        drop(counts);
        self.ledger.settle(position, settlement);
    }
}

/// Payloads of dead letters.
pub(super) type Letters = Mutex<BTreeSet<String>>;

/// Writes letters down after a while, and completes their receipts then.
pub(super) async fn keep(letters: Arc<Letters>, mut inbox: mpsc::Receiver<Vec<Tracked<DeadLetter>>>) {
    while let Some(batch) = inbox.recv().await {
        tokio::time::sleep(Duration::from_millis(3)).await;
        for Tracked { value: letter, receipt } in batch {
            letters.lock().unwrap().insert(String::from_utf8(letter.envelope.body.to_vec()).unwrap());
            receipt.complete(Outcome::DeadLettered);
        }
    }
}
