//! A FHIR server in bad weather: it delays, refuses, loses answers, and carries out what nobody waits for any more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::dice::Dice;
use crate::client::FhirClient;
use crate::client::simulated_wire::{Answered, Broken, SimulatedWire};
use crate::client::test_server::TestServer;

/// Refusals of one entry by itself; more could not be told from a final one.
const REFUSALS_PER_ENTRY_MAX: u64 = 2;

/// The server, which outlives every life of the program.
pub(super) struct Server {
    pub(super) resources: TestServer,
    seed: u64,
    /// Bad things of a hundred that happen to Bundles.
    weather: u64,
    entries_max: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    dice: Dice,
    /// Bundles to come that meet a server that is starting.
    down: u64,
    /// How often each entry was asked for.
    asked: BTreeMap<String, u64>,
    /// Bundles that are under way still, though nobody waits for their answer.
    under_way: Vec<Value>,
    /// What happened, to be compared between two runs.
    log: Vec<String>,
}

/// What happens to a Bundle.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered,
    Refused(u16, Option<u64>),
    /// It never arrives.
    Lost,
    /// It is carried out and the answer is lost.
    AnswerLost,
    /// It is carried out after the program has stopped waiting, perhaps long after.
    Late,
}

impl Server {
    pub(super) fn new(mut dice: Dice) -> Arc<Self> {
        let (seed, weather, entries_max) = (dice.roll(), dice.pick(&[0, 10, 30, 50]), dice.pick(&[1, 3, 20, 500]));
        let inner = Inner { dice, down: 0, asked: BTreeMap::new(), under_way: Vec::new(), log: Vec::new() };
        Arc::new(Self { resources: TestServer::offline(), seed, weather, entries_max, inner: Mutex::new(inner) })
    }

    pub(super) fn client(self: &Arc<Self>) -> FhirClient {
        let server = Arc::clone(self);
        let wire = SimulatedWire::new(move |asked| {
            let server = Arc::clone(&server);
            Box::pin(async move { server.serve(serde_json::from_slice(&asked.unwrap_or_default()).unwrap()).await })
        });
        FhirClient::simulated(wire, "http://simulated/fhir".parse().unwrap())
    }

    /// What happened so far.
    pub(super) fn log(&self) -> Vec<String> {
        self.inner.lock().unwrap().log.clone()
    }

    /// Carries out all that is under way still.
    pub(super) fn catch_up(&self) {
        let late = std::mem::take(&mut self.inner.lock().unwrap().under_way);
        late.iter().for_each(|bundle| drop(self.carry_out(bundle)));
    }

    /// Some of what nobody waits for any more is carried out now, and so between any two requests.
    fn catch_up_a_little(&self) {
        let mut inner = self.inner.lock().unwrap();
        let late = match inner.under_way.len() {
            count if count > 0 && inner.dice.chance(10) => {
                let place = inner.dice.below(count as u64);
                Some(inner.under_way.remove(usize::try_from(place).unwrap()))
            }
            _ => None,
        };
        drop(inner);
        late.iter().for_each(|bundle| drop(self.carry_out(bundle)));
    }

    async fn serve(self: Arc<Self>, bundle: Value) -> Answered {
        let entries = bundle["entry"].as_array().unwrap().len();
        let (fate, before, after) = self.decide(entries);
        self.catch_up_a_little();
        // If the program dies meanwhile, its request lives on.
        let mut under_way = UnderWay { server: Arc::clone(&self), bundle: Some(bundle) };
        sleep(before).await;
        let bundle = under_way.bundle.take().unwrap();
        drop(under_way);
        match fate {
            Fate::Lost => Err(Broken::Lost),
            Fate::Refused(status, retry_after) => Ok((status, retry_after.map(Duration::from_secs), Bytes::new())),
            Fate::Late => {
                self.inner.lock().unwrap().under_way.push(bundle);
                sleep(Duration::from_secs(30)).await;
                Err(Broken::TimedOut)
            }
            Fate::Answered | Fate::AnswerLost => {
                let answer = self.carry_out(&bundle);
                sleep(after).await;
                if matches!(fate, Fate::AnswerLost) { Err(Broken::Lost) } else { Ok((200, None, answer)) }
            }
        }
    }

    fn decide(&self, entries: usize) -> (Fate, Duration, Duration) {
        let mut inner = self.inner.lock().unwrap();
        let delay =
            |dice: &mut Dice| Duration::from_millis(if dice.chance(10) { dice.below(5_000) } else { dice.below(40) });
        let (before, after) = (delay(&mut inner.dice), delay(&mut inner.dice));
        let fate = self.fate(&mut inner, entries);
        inner.log.push(format!("{entries} {fate:?} {before:?} {after:?}"));
        (fate, before, after)
    }

    fn fate(&self, inner: &mut Inner, entries: usize) -> Fate {
        if inner.down > 0 {
            inner.down -= 1;
            return Fate::Lost;
        }
        if entries > self.entries_max {
            return Fate::Refused(413, None);
        }
        if !inner.dice.chance(self.weather) {
            return Fate::Answered;
        }
        match inner.dice.below(14) {
            0 | 1 => Fate::Lost,
            2..=4 => Fate::AnswerLost,
            5..=7 => Fate::Late,
            8 => {
                inner.down = inner.dice.below(6);
                Fate::AnswerLost
            }
            9 => Fate::Refused(401, None),
            10 => Fate::Refused(429, Some(inner.dice.below(20))),
            11 => Fate::Refused(503, Some(inner.dice.below(400))),
            12 => Fate::Refused(409, None),
            _ => Fate::Refused(500, None),
        }
    }

    /// Processes entry by entry. What happens to one depends on what it is and on nothing else, because the order of
    /// searches in a Bundle is anybody's.
    fn carry_out(&self, bundle: &Value) -> Bytes {
        let answers: Vec<Value> = bundle["entry"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| self.refusal(entry).unwrap_or_else(|| self.resources.answer_to(entry)))
            .collect();
        json!({"resourceType": "Bundle", "type": "batch-response", "entry": answers}).to_string().into()
    }

    fn refusal(&self, entry: &Value) -> Option<Value> {
        let request = &entry["request"];
        let name = format!("{} {} {}", request["method"], request["url"], request["ifMatch"]);
        let mut inner = self.inner.lock().unwrap();
        let count = inner.asked.entry(name.clone()).or_default();
        *count += 1;
        let mut dice = Dice::of(self.seed, &name, *count);
        if *count > REFUSALS_PER_ENTRY_MAX || !dice.chance(self.weather / 3) {
            return None;
        }
        let status = match request["method"].as_str() {
            Some("GET") => dice.pick(&[401, 429, 500, 503]),
            _ => dice.pick(&[401, 409, 412, 429, 500, 503]),
        };
        Some(json!({"response": {"status": status.to_string()}}))
    }
}

/// A Bundle between the program and the server.
struct UnderWay {
    server: Arc<Server>,
    bundle: Option<Value>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(bundle) = self.bundle.take() {
            self.server.inner.lock().unwrap().under_way.push(bundle);
        }
    }
}
