//! What happens between a search and its answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::{complete, settings};
use crate::client::Link;
use crate::client::simulated_wire::SimulatedWire;
use crate::clock::Clock;
use crate::model::group::{MeasurementGroup, ResolvedGroup, Span};
use crate::model::samples::{Heard, group};
use crate::resolve::{Freshness, IdentityMode, Resolve};

fn device(identifier: &str, owner: &str) -> Value {
    let patient = json!({"reference": format!("Patient/{owner}")});
    let identifier = json!([{"value": identifier}]);
    let device = json!({"resourceType": "Device", "id": "d", "identifier": identifier, "patient": patient});
    json!({"resourceType": "Bundle", "entry": [{"resource": device}]})
}

/// A stage that runs, with lookups.
struct Running {
    groups: mpsc::Sender<Vec<MeasurementGroup>>,
    resolved: mpsc::Receiver<Vec<ResolvedGroup>>,
}

impl Running {
    fn start(link: Arc<Link>, freshness: Arc<Freshness>) -> Self {
        let resolve = Resolve::new(settings(IdentityMode::Lookup), link, Clock::default(), freshness);
        let (groups, groups_out) = mpsc::channel(1);
        let (resolved_in, resolved) = mpsc::channel(1);
        let (letters, _no_letters) = mpsc::channel(1);
        TaskTracker::new().spawn(resolve.run(groups_out, resolved_in, letters));
        Self { groups, resolved }
    }

    async fn send(&self, devices: &[&str]) {
        let heard = Arc::new(Heard::default());
        let at = Timestamp::UNIX_EPOCH;
        let groups = devices.iter().map(|device| group(&heard, 1, (device, None), (at, Span::Single(at)), "65"));
        self.groups.send(groups.collect()).await.unwrap();
    }

    /// The next groups to go on: device and patient.
    async fn next(&mut self) -> Vec<(String, String)> {
        let batch = timeout(Duration::from_secs(60), self.resolved.recv()).await.expect("nothing goes on").unwrap();
        let named = |one: &ResolvedGroup| (one.group.key.device_id.clone(), one.subject.patient_id.clone());
        let described = batch.iter().map(named).collect();
        complete(batch.into_iter().map(|one| one.group));
        described
    }
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(device, patient)| ((*device).to_owned(), (*patient).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn id_15_what_a_search_saw_before_a_write_is_not_believed_after_it() {
    let freshness = Arc::new(Freshness::new());
    let owners = Arc::new(Mutex::new(vec!["third", "second", "first"]));
    let (told, left) = (Arc::clone(&freshness), Arc::clone(&owners));
    // Each search sees an owner who has been replaced, and somebody told so, when its answer arrives.
    let answer = move |_url: &str| {
        let seen = left.lock().unwrap().pop().unwrap();
        told.note("Device", "d", std::iter::once("a"));
        device("a", seen)
    };
    let mut stage = Running::start(SimulatedWire::reading(answer).link(), freshness);
    for owner in ["first", "second", "third"] {
        stage.send(&["a"]).await;
        assert_eq!(stage.next().await, pairs(&[("a", owner)]));
    }
}

#[tokio::test(start_paused = true)]
async fn id_15_what_is_known_is_not_searched_until_a_write_concerns_it() {
    let freshness = Arc::new(Freshness::new());
    let count = Mutex::new(0);
    let answer = move |_url: &str| {
        let mut count = count.lock().unwrap();
        *count += 1;
        device("a", &format!("p{count}"))
    };
    let mut stage = Running::start(SimulatedWire::reading(answer).link(), Arc::clone(&freshness));
    for (written, owner) in [(None, "p1"), (None, "p1"), (Some("other"), "p1"), (Some("d"), "p2"), (None, "p2")] {
        if let Some(id) = written {
            freshness.note("Device", id, std::iter::empty());
        }
        stage.send(&["a"]).await;
        assert_eq!(stage.next().await, pairs(&[("a", owner)]));
    }
}

#[tokio::test(start_paused = true)]
async fn known_devices_go_on_before_unknown_ones_are_searched() {
    let gate = Arc::new(Notify::new());
    let answer = |url: &str| device(url.trim_start_matches("Device?identifier="), "p");
    let wire = SimulatedWire::reading(answer).behind(Arc::clone(&gate));
    let mut stage = Running::start(wire.link(), Arc::new(Freshness::new()));
    gate.notify_one();
    stage.send(&["a"]).await;
    assert_eq!(stage.next().await, pairs(&[("a", "p")]));
    stage.send(&["b", "a", "c"]).await;
    // The search for the others has no answer yet.
    assert_eq!(stage.next().await, pairs(&[("a", "p")]));
    gate.notify_one();
    assert_eq!(stage.next().await, pairs(&[("b", "p"), ("c", "p")]));
}
