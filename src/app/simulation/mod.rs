//! The whole pipeline in bad weather, with a clock that stands still unless all wait.
//!
//! The stages are the real ones, joined as in production. At their ends are a broker that offers again what was not
//! acknowledged, and a FHIR server in memory that delays, refuses, loses answers, and carries out late what it was asked.
//! The program is killed or stopped now and then, and started again. All that happens follows from a seed: when a run
//! fails, the seed is told, and `VITALWIRE_SIMULATION_SEEDS=7..8` repeats seed 7.

mod books;
mod broker;
mod dice;
mod input;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::books::{Books, Letters, keep};
use self::broker::{Broker, take_from};
use self::dice::Dice;
use self::input::{Input, Place, devices};
use self::server::Server;
use super::pipeline::Pipeline;
use super::{open_mapping, settings};
use crate::client::{Link, LinkSettings};
use crate::clock::Clock;
use crate::config::{Config, ConnectorConfig};
use crate::normalize::Shapes;
use crate::resolve::{Freshness, Resolve};

/// Runs of each mapping, unless others are asked for.
const SEEDS: Range<u64> = 0..8;
/// Longest life of the program, in its own time; only one that stands still lives so long.
const LIFE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

const DEVICE: &str = r#"{"templateType": "CollectionContent", "template": [{"templateType": "CalculatedContent", "template": {
    "typeName": "pulse", "typeMatchExpression": "$.Body.r[?(@v)]", "deviceIdExpression": "$.Body.d",
    "patientIdExpression": "$.Body.p", "timestampExpression": "$.matchedToken.t",
    "values": [{"required": true, "valueExpression": "$.matchedToken.v", "valueName": "hr"}]}}]}"#;
const FHIR: &str = r#"{"templateType": "CollectionFhir", "template": [{"templateType": "CodeValueFhir", "template": {
    "typeName": "pulse", "codes": [{"system": "http://loinc.org", "code": "8867-4"}], "periodInterval": PERIOD,
    "value": {"valueType": "VALUE", "valueName": "hr", "defaultPeriod": 60000}}}]}"#;

/// What a mapping makes of readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mapping {
    Quantity,
    Hourly,
}

/// What outlives the program, and how it is configured.
struct World {
    mapping: Mapping,
    config: ConnectorConfig,
    server: Arc<Server>,
    letters: Arc<Letters>,
    dice: Dice,
    _folder: tempfile::TempDir,
}

/// How a life of the program ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// All messages are acknowledged.
    Finished,
    /// In the middle of whatever it does.
    Killed(Duration),
    /// It is told to stop, and goes on until what it took is acknowledged.
    Stopped(Duration),
    /// It is told to stop, and gives up at once.
    GivenUp(Duration),
}

impl World {
    fn new(seed: u64, mapping: Mapping) -> Self {
        let mut dice = Dice::new(seed);
        let folder = tempfile::tempdir().unwrap();
        let (period, value) = match mapping {
            Mapping::Quantity => ("0", "Quantity"),
            Mapping::Hourly => ("60", "SampledData"),
        };
        std::fs::write(folder.path().join("device.json"), DEVICE).unwrap();
        let fhir = FHIR.replace("PERIOD", period).replace("VALUE", value);
        std::fs::write(folder.path().join("fhir.json"), fhir).unwrap();
        let config = config(&mut dice, folder.path().to_owned());
        let server = Server::new(dice.clone());
        for (device, patient, is_registered) in devices() {
            if is_registered {
                register(&server, &device, &patient);
            }
        }
        Self { mapping, config, server, letters: Arc::default(), dice, _folder: folder }
    }

    /// One life of the program, from its start to its end.
    fn live(&mut self, broker: &Arc<Broker>, end: End) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let books = Arc::new(Books::default());
        let life = self.life(broker, &books, end);
        match end {
            End::Killed(after) => drop(runtime.block_on(async { tokio::time::timeout(after, life).await })),
            End::Finished | End::Stopped(_) | End::GivenUp(_) => {
                runtime.block_on(async { tokio::time::timeout(LIFE_MAX, life).await.expect("it stands still") });
                let counts = books.counts();
                assert_eq!(counts.received, counts.settled + counts.abandoned, "{end:?}");
            }
        }
        // Whatever is left of it dies here.
        drop(runtime);
    }

    /// The program, joined as in production but for its ends.
    fn life(&mut self, broker: &Arc<Broker>, books: &Arc<Books>, end: End) -> impl Future<Output = ()> + use<> {
        let (mappings, _warnings) = open_mapping(&self.config).unwrap();
        let (give_up, stop) = (CancellationToken::new(), CancellationToken::new());
        let link_settings = LinkSettings { dice: || 12_345, ..settings::link(&self.config) };
        let link = Arc::new(Link::new(Arc::from("wards"), self.server.client(), link_settings, give_up.clone()));
        let clock = Clock::stopped("2024-03-02T12:00:00Z".parse().unwrap());
        let resolve = settings::resolve(&self.config, None);
        let resolve = Resolve::new(resolve, Arc::clone(&link), clock.clone(), Arc::new(Freshness::new()));
        let unmatched = Arc::new(Shapes::default());
        let pipeline = Pipeline::new(&self.config, mappings, resolve, link, unmatched, &clock, give_up.clone());
        let (letters, dice) = (Arc::clone(&self.letters), Dice::new(self.dice.roll()));
        let (broker, books) = (Arc::clone(broker), Arc::clone(books));
        async move {
            let tasks = TaskTracker::new();
            let (letters_in, letters_inbox) = mpsc::channel(settings::LETTER_BATCHES_MAX);
            let intake = pipeline.spawn(books, letters_in, &tasks);
            tasks.spawn(keep(letters, letters_inbox));
            tasks.spawn(take_from(broker, intake, stop.clone(), dice));
            tasks.close();
            let ending = async {
                let (End::Stopped(after) | End::GivenUp(after)) = end else { return std::future::pending().await };
                tokio::time::sleep(after).await;
                stop.cancel();
                if let End::GivenUp(_) = end {
                    give_up.cancel();
                }
                std::future::pending().await
            };
            tokio::select! {
                () = tasks.wait() => {}
                () = ending => {}
            }
        }
    }

    /// Lives of the program until all is acknowledged.
    fn run(&mut self, input: &Input) {
        let broker = Broker::new(&input.payloads);
        for _ in 0..self.dice.below(5) {
            let after = Duration::from_millis(self.dice.below(20_000));
            let end = self.dice.pick(&[End::Killed, End::Killed, End::Stopped, End::GivenUp])(after);
            self.live(&broker, end);
        }
        self.live(&broker, End::Finished);
        assert!(broker.acknowledged().iter().all(|count| *count == 1), "{:?}", broker.acknowledged());
        self.server.catch_up();
    }

    /// All that must be so when all messages are acknowledged.
    fn check(&self, input: &Input) {
        let stored: BTreeSet<_> = self.stored().into_iter().collect();
        let expected: BTreeSet<_> = input.readings.iter().map(|(at, what)| (at.clone(), vec![what.clone()])).collect();
        check_same(&stored, &expected);
        let letters = self.letters.lock().unwrap();
        check_same(&letters, &input.bad);
        let patients: BTreeSet<String> = devices().map(|(_, patient, _)| patient).collect();
        let count = |resource_type| self.server.resources.resources(resource_type).len();
        assert_eq!((count("Device"), count("Patient")), (devices().count(), patients.len()));
        let all = self.server.resources.versions().len();
        assert_eq!(all, count("Device") + count("Patient") + count("Observation"), "something else is stored");
    }

    /// Patient and value of every stored reading, by device and second; more than one if it is stored more than once.
    fn stored(&self) -> BTreeMap<Place, Vec<(String, String)>> {
        let mut stored: BTreeMap<Place, Vec<(String, String)>> = BTreeMap::new();
        for (_, observation) in self.server.resources.resources("Observation") {
            let device = self.identifier(&observation["device"]);
            let patient = self.identifier(&observation["subject"]);
            for (second, value) in self.values(&observation) {
                stored.entry((device.clone(), second)).or_default().push((patient.clone(), value));
            }
        }
        stored
    }

    fn identifier(&self, reference: &Value) -> String {
        let (_, resource) = self.server.resources.resource(reference["reference"].as_str().unwrap()).unwrap();
        resource["identifier"][0]["value"].as_str().unwrap().to_owned()
    }

    fn values(&self, observation: &Value) -> Vec<(i64, String)> {
        let start = observation["effectivePeriod"]["start"].as_str().or(observation["effectiveDateTime"].as_str());
        let start = start.unwrap().parse::<Timestamp>().unwrap().as_second();
        match self.mapping {
            Mapping::Quantity => vec![(start, observation["valueQuantity"]["value"].to_string())],
            Mapping::Hourly => {
                let tokens = observation["valueSampledData"]["data"].as_str().unwrap().split(' ');
                let slots = (start..).step_by(60).zip(tokens).filter(|(_, token)| *token != "E");
                slots.map(|(second, token)| (second, token.to_owned())).collect()
            }
        }
    }
}

/// Bounds so small that they are met, or so large that they are not.
fn config(dice: &mut Dice, folder: PathBuf) -> ConnectorConfig {
    let url = dice.pick(&["", r#"fhir.url = "http://simulated/fhir""#]);
    let text = format!(
        r#"[[connectors]]
        name = "wards"
        device_mapping = "{folder}/device.json"
        fhir_mapping = "{folder}/fhir.json"
        identity.mode = "create"
        queue_max = {queue_max}
        in_flight_bytes_max = {bytes_max}
        group.groups_max = {groups_max}
        fhir.bundle_entries_max = {entries_max}
        {url}
        [[connectors.sources]]
        type = "mqtt-listener"
        "#,
        folder = folder.display(),
        queue_max = dice.pick(&[1, 10, 2_000]),
        bytes_max = dice.pick(&[1, 5_000, 256 << 20]),
        groups_max = dice.pick(&[1, 7, 500]),
        entries_max = dice.pick(&[1, 5, 500]),
    );
    Config::parse(Some(("simulation.toml", &text)), &[]).unwrap().connectors.remove(0)
}

/// As a hospital would have it, with ids of its own.
fn register(server: &Server, device: &str, patient: &str) {
    let reference = format!("Patient/of-{patient}");
    let of_patient = json!({"resourceType": "Patient", "identifier": [{"value": patient}]});
    server.resources.store(&reference, of_patient);
    let of_device =
        json!({"resourceType": "Device", "identifier": [{"value": device}], "patient": {"reference": reference}});
    server.resources.store(&format!("Device/of-{device}"), of_device);
}

/// Shows what differs and not what does not, which is much.
#[track_caller]
fn check_same<T: Ord + Debug>(found: &BTreeSet<T>, expected: &BTreeSet<T>) {
    let (more, less): (Vec<_>, Vec<_>) = (found.difference(expected).collect(), expected.difference(found).collect());
    assert!(more.is_empty() && less.is_empty(), "not expected: {more:?}, not found: {less:?}");
}

/// One run: all messages through any number of lives, and all of them once more.
fn simulate(seed: u64, mapping: Mapping) -> Vec<String> {
    let input = Input::new(&mut Dice::new(!seed));
    let mut world = World::new(seed, mapping);
    world.run(&input);
    world.check(&input);
    let versions = world.server.resources.versions();
    world.run(&input);
    world.check(&input);
    assert_eq!(world.server.resources.versions(), versions, "messages that came again changed something");
    world.server.log()
}

fn check(mapping: Mapping) {
    #[expect(clippy::disallowed_methods, reason = "the seed of a test is no configuration of the program")]
    let asked = std::env::var("VITALWIRE_SIMULATION_SEEDS");
    let seeds = asked.map_or(SEEDS, |asked| {
        let (first, end) = asked.split_once("..").unwrap();
        first.parse().unwrap()..end.parse().unwrap()
    });
    for seed in seeds {
        if catch_unwind(AssertUnwindSafe(|| simulate(seed, mapping))).is_err() {
            panic!("run it again with VITALWIRE_SIMULATION_SEEDS={seed}..{}", seed + 1);
        }
    }
}

#[test]
fn p_1_p_2_p_3_p_5_single_readings_are_stored_once_in_any_weather() {
    check(Mapping::Quantity);
}

#[test]
fn p_1_p_2_p_3_p_5_hourly_readings_are_stored_once_in_any_weather() {
    check(Mapping::Hourly);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [2, 3] {
        assert_eq!(simulate(seed, Mapping::Hourly), simulate(seed, Mapping::Hourly), "{seed}");
    }
}
