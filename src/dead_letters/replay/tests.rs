use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::progress::State;
use super::{Progress, Replayer, Replays};
use crate::clock::Clock;
use crate::dead_letters::tests::{about, list, open};
use crate::dead_letters::{DeadLetters, RequestError, SCHEMA, Selection};
use crate::model::Tracked;
use crate::model::dead_letter::DeadLetter;
use crate::model::envelope::Envelope;
use crate::model::intake::Intake;
use crate::model::receipt::Outcome;
use crate::model::room::Room;
use crate::model::samples::{Unwitnessed, envelope};

/// A replayer and the dead letters, with the test in the place of the stages.
struct Bench {
    _directory: tempfile::TempDir,
    letters: DeadLetters,
    replays: Replays,
    inbox: mpsc::Receiver<Tracked<Envelope>>,
    letter_box: mpsc::Sender<Vec<Tracked<DeadLetter>>>,
    stop: CancellationToken,
    give_up: CancellationToken,
    tasks: TaskTracker,
}

const NOW: &str = "2024-03-02T12:00:00Z";

impl Bench {
    fn new(inbox_max: usize) -> Self {
        Self::with_room(inbox_max, usize::MAX)
    }

    fn with_room(inbox_max: usize, bytes_max: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let letters = open(&directory, &[SCHEMA]);
        let replays = Replays::new(Arc::from("wards"), letters.clone(), Clock::stopped(NOW.parse().unwrap()));
        let (outbox, inbox) = mpsc::channel(inbox_max);
        let (letter_box, letter_inbox) = mpsc::channel(8);
        let (stop, give_up, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let intake = Intake::new(Arc::from("wards"), Arc::new(Unwitnessed), Room::new(bytes_max), outbox);
        tasks.spawn(Replayer::new(replays.clone(), 100, give_up.clone()).run(intake, stop.clone()));
        tasks.spawn(letters.clone().run(letter_inbox));
        Self { _directory: directory, letters, replays, inbox, letter_box, stop, give_up, tasks }
    }

    /// Dead letters of messages with these bodies, which arrived a second apart.
    async fn keep(&self, bodies: impl IntoIterator<Item = String>) {
        let message = |(body, second): (String, u64)| {
            let enqueued_at = Timestamp::from_second(second.try_into().unwrap()).unwrap();
            about(&Arc::new(Envelope { enqueued_at, ..envelope(second, &body) }))
        };
        self.letters.record(bodies.into_iter().zip(1..).map(message).collect()).await.unwrap();
    }

    async fn next(&mut self) -> Tracked<Envelope> {
        self.inbox.recv().await.unwrap()
    }

    /// Ends a message in dead letters again.
    async fn bury(&self, Tracked { value, receipt }: Tracked<Envelope>, code: &'static str) {
        let letter = DeadLetter { code, reason: "again".to_owned(), ..about(&Arc::new(value)) };
        self.letter_box.send(vec![Tracked { value: letter, receipt }]).await.unwrap();
    }

    async fn ended(&self, id: u64) -> Progress {
        loop {
            let progress = self.replays.find(id).unwrap();
            if progress.state.is_over() {
                return progress;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Numbers, codes and reasons of the letters, newest first.
    async fn told(&self) -> Vec<(i64, String, String)> {
        let page = list(&self.letters, Selection::default()).await;
        page.entries.into_iter().map(|entry| (entry.id, entry.code, entry.reason)).collect()
    }

    async fn shut_down(self) {
        self.stop.cancel();
        drop((self.inbox, self.letter_box));
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[tokio::test]
async fn ev_10_ev_12_messages_come_as_they_were_received_and_in_the_order_of_their_arrival() {
    let mut bench = Bench::new(10);
    let members = |json: &str| serde_json::from_str(json).unwrap();
    let enqueued_at: Timestamp = "2024-03-02T07:15:00.000000001Z".parse().unwrap();
    let first = Envelope {
        properties: members(r#"{"a":1.0}"#),
        system_properties: members(r#"{"x-opt-enqueued-time":"t"}"#),
        enqueued_at,
        split_arrays: true,
        ..envelope(9, "first")
    };
    let second = Envelope { enqueued_at: enqueued_at + Duration::from_nanos(1), ..envelope(3, "second") };
    for message in [second, first] {
        bench.letters.record(vec![about(&Arc::new(message))]).await.unwrap();
    }
    bench.replays.request(Selection::default()).await.unwrap();
    let replayed = [bench.next().await, bench.next().await];
    let bodies: Vec<_> = replayed.iter().map(|message| message.value.body.as_ref()).collect();
    assert_eq!(bodies, [b"first".as_slice(), b"second"]);
    let first = &replayed[0].value;
    assert_eq!((&first.properties, first.enqueued_at), (&members(r#"{"a":1.0}"#), enqueued_at));
    assert_eq!(first.system_properties, members(r#"{"x-opt-enqueued-time":"t"}"#));
    assert_eq!((first.origin.position, &*first.origin.source, first.body_bytes_max), (9, "mqtt", 100));
    assert!(first.split_arrays && !replayed[1].value.split_arrays);
    drop(replayed);
    bench.shut_down().await;
}

#[tokio::test]
async fn letters_go_when_all_is_stored_are_replaced_when_it_fails_and_stay_when_nothing_matches() {
    let mut bench = Bench::new(10);
    bench.keep(["stored", "merged", "unchanged", "fails", "unmatched", "abandoned"].map(str::to_owned)).await;
    let replay = bench.replays.request(Selection::default()).await.unwrap();
    for _ in 0..6 {
        let message = bench.next().await;
        match message.value.body.as_ref() {
            b"stored" => message.receipt.complete(Outcome::Stored),
            b"merged" => message.receipt.complete(Outcome::Merged),
            b"unchanged" => message.receipt.complete(Outcome::Unchanged),
            b"fails" => bench.bury(message, "DeviceNotFoundException").await,
            b"unmatched" => message.receipt.complete(Outcome::Unmatched),
            _ => drop(message),
        }
    }
    let progress = bench.ended(replay.id).await;
    assert_eq!((progress.state, progress.messages, progress.done, progress.left()), (State::Ended, 6, 3, 0));
    assert_eq!((progress.failed(), progress.unmatched, progress.abandoned, progress.in_flight), (1, 1, 1, 0));
    assert_eq!(progress.failed.get("DeviceNotFoundException"), Some(&1));
    let told = bench.told().await;
    let told: Vec<_> = told.iter().map(|(id, code, reason)| (*id, code.as_str(), reason.as_str())).collect();
    let incompatible = "IncompatibleDataException";
    assert_eq!(
        told,
        [(7, "DeviceNotFoundException", "again"), (6, incompatible, "no value"), (5, incompatible, "no value")]
    );
    let entries = list(&bench.letters, Selection::default()).await.entries;
    let replays: Vec<_> = entries.iter().map(|entry| (entry.replays, entry.replay_outcome.as_deref())).collect();
    assert_eq!(replays, [(1, Some("dead_lettered")), (0, None), (1, Some("unmatched"))]);
    assert_eq!(entries[0].replayed_at, Some(NOW.parse().unwrap()));
    bench.shut_down().await;
}

#[tokio::test]
async fn replaying_does_not_add_letters_however_often_it_fails() {
    let mut bench = Bench::new(10);
    bench.keep(["fails".to_owned()]).await;
    for times in 1..=3 {
        let replay = bench.replays.request(Selection::default()).await.unwrap();
        let message = bench.next().await;
        bench.bury(message, "DeviceNotFoundException").await;
        bench.ended(replay.id).await;
        let entries = list(&bench.letters, Selection::default()).await.entries;
        assert_eq!((entries.len(), entries[0].message, entries[0].replays), (1, 1, times));
    }
    bench.shut_down().await;
}

#[tokio::test]
async fn a_message_in_the_pipeline_is_not_sent_again_and_letters_that_come_later_are_left_alone() {
    let mut bench = Bench::new(10);
    bench.keep(["one".to_owned()]).await;
    let first = bench.replays.request(Selection::default()).await.unwrap();
    let second = bench.replays.request(Selection::default()).await.unwrap();
    bench.letters.record(vec![about(&Arc::new(envelope(2, "later")))]).await.unwrap();
    let message = bench.next().await;
    assert!(bench.letters.is_under_way(1));
    assert_eq!(bench.letters.discard("wards", &Selection::of(vec![1])).await.unwrap().len(), 0);
    message.receipt.complete(Outcome::Stored);
    assert_eq!(bench.ended(first.id).await.done, 1);
    let second = bench.ended(second.id).await;
    assert_eq!((second.messages, second.done, second.left()), (1, 0, 1), "it was gone when its turn came");
    assert!(bench.inbox.is_empty());
    assert_eq!(bench.told().await.len(), 1);
    bench.shut_down().await;
}

#[tokio::test]
async fn only_so_many_messages_are_in_the_pipeline_at_once() {
    let mut bench = Bench::new(3_000);
    bench.keep((0..2_500).map(|number| number.to_string())).await;
    let replay = bench.replays.request(Selection::default()).await.unwrap();
    let mut expected = 0;
    let mut most = 0;
    while expected < 2_500 {
        most = most.max(bench.replays.find(replay.id).unwrap().in_flight);
        let message = bench.next().await;
        assert_eq!(message.value.body, expected.to_string());
        message.receipt.complete(Outcome::Stored);
        expected += 1;
    }
    assert!((1..=1_000).contains(&most), "{most}");
    assert_eq!(bench.ended(replay.id).await.done, 2_500);
    assert_eq!(bench.told().await.len(), 0);
    bench.shut_down().await;
}

/// Letters of a replay wait for its message to end, with the message; they must not take the room it waits for.
#[tokio::test]
async fn p_7_a_replay_that_fails_again_goes_on_however_little_room_there_is() {
    let mut bench = Bench::with_room(10, 1);
    bench.keep(["first", "second", "third"].map(str::to_owned)).await;
    let replay = bench.replays.request(Selection::default()).await.unwrap();
    for body in ["first", "second", "third"] {
        let message = bench.next().await;
        assert_eq!(message.value.body, body);
        assert!(bench.inbox.is_empty(), "the next one waits for room");
        bench.bury(message, "DeviceNotFoundException").await;
    }
    assert_eq!(bench.ended(replay.id).await.failed(), 3);
    bench.shut_down().await;
}

#[tokio::test]
async fn a_replay_that_is_stopped_leaves_the_letters_it_did_not_come_to() {
    let mut bench = Bench::new(1);
    bench.keep((0..10).map(|number| number.to_string())).await;
    let replay = bench.replays.request(Selection::default()).await.unwrap();
    let waiting = bench.replays.request(Selection::default()).await.unwrap();
    bench.next().await.receipt.complete(Outcome::Stored);
    bench.stop.cancel();
    bench.give_up.cancel();
    bench.inbox.close();
    while bench.inbox.recv().await.is_some() {}
    let progress = bench.ended(replay.id).await;
    assert_eq!((progress.state, bench.ended(waiting.id).await.state), (State::Stopped, State::Stopped));
    assert!(matches!(bench.replays.request(Selection::default()).await, Err(RequestError::Stopping)));
    assert!(bench.told().await.len() >= 9);
    bench.shut_down().await;
}

#[tokio::test]
async fn the_number_of_replays_that_wait_has_a_bound() {
    let bench = Bench::new(1);
    bench.keep(["one".to_owned(), "two".to_owned()]).await;
    let mut refused = 0;
    for _ in 0..20 {
        match bench.replays.request(Selection::default()).await {
            Ok(_) => {}
            Err(RequestError::TooMany) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!((3..=4).contains(&refused), "{refused}");
    bench.shut_down().await;
}
