use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Deliver, DeliverSettings, FirstWrite};
use crate::client::Link;
use crate::client::test_server::{Fault, TestServer};
use crate::clock::Clock;
use crate::convert::identifier::{DEFAULT_SYSTEM, Naming, Precision};
use crate::convert::trace::Place;
use crate::mapping::{Mappings, Source};
use crate::mapping_store::Versions;
use crate::model::group::{Period, ResolvedGroup};
use crate::model::partition;
use crate::model::receipt::{Outcome, Settlement};
use crate::model::samples::{Heard, group};
use crate::model::subject::Subject;
use crate::telemetry::meters::{recorder, value_of};

const DEVICE: &str = r#"{"templateType": "CollectionContent", "template": []}"#;
const FHIR: &str = r#"{"templateType": "CollectionFhir", "template": [{"templateType": "CodeValueFhir", "template": {
    "typeName": "pulse", "codes": [{"system": "http://loinc.org", "code": "8867-4"}],
    "value": {"valueType": "VALUE", "valueName": "hr", "defaultPeriod": 60000}}}]}"#;

const STORED: Settlement = Settlement::Settled(Outcome::Stored);
const MERGED: Settlement = Settlement::Settled(Outcome::Merged);
const UNCHANGED: Settlement = Settlement::Settled(Outcome::Unchanged);
const DEAD: Settlement = Settlement::Settled(Outcome::DeadLettered);

/// A reading: device, second of the day, value.
type Reading<'a> = (&'a str, i64, &'a str);

struct Bench {
    server: TestServer,
    period: Period,
    value: &'static str,
    first_write: FirstWrite,
    trace: Place,
    give_up: CancellationToken,
    link: Arc<Link>,
}

impl Bench {
    async fn new(period: Period, value: &'static str) -> Self {
        let (server, give_up) = (TestServer::start().await, CancellationToken::new());
        let link = server.link(&give_up);
        Self { server, period, value, first_write: FirstWrite::IfAbsent, trace: Place::Source, give_up, link }
    }

    fn stage(&self) -> Deliver {
        let fhir = FHIR.replace("VALUE", self.value);
        let (device, fhir) = (Source { name: "device.json", text: DEVICE }, Source { name: "fhir.json", text: &fhir });
        let (mappings, _warnings) = Mappings::load(device, fhir).unwrap();
        let naming = Naming { system: Arc::from(DEFAULT_SYSTEM), precision: Precision::Fraction };
        let lanes = NonZeroUsize::new(2).unwrap();
        let settings = DeliverSettings { naming, lanes, first_write: self.first_write, trace: self.trace };
        let mappings = Arc::new(Versions::beginning_with(mappings).0);
        Deliver::new(settings, mappings, Arc::clone(&self.link), Clock::default())
    }

    fn batch(&self, heard: &Arc<Heard>, first: u64, readings: &[Reading<'_>]) -> Vec<ResolvedGroup> {
        (first..).zip(readings).map(|(position, reading)| self.resolved(heard, position, *reading)).collect()
    }

    /// Sends batches through the stage, each when the one before it has ended; gives the ends of the messages in order,
    /// and the codes of the letters.
    async fn run(&self, batches: &[&[Reading<'_>]]) -> (Vec<Settlement>, Vec<&'static str>) {
        let (stage, heard) = (self.stage(), Arc::new(Heard::default()));
        let (letters_in, mut letters) = mpsc::channel(64);
        let mut first = 1;
        for readings in batches {
            let (groups_in, groups) = mpsc::channel(1);
            groups_in.send(self.batch(&heard, first, readings)).await.unwrap();
            first += u64::try_from(readings.len()).unwrap();
            drop(groups_in);
            let tasks = TaskTracker::new();
            Deliver { shared: Arc::clone(&stage.shared) }.run(groups, letters_in.clone(), tasks.clone()).await;
            tasks.close();
            tasks.wait().await;
        }
        drop(letters_in);
        let mut codes = Vec::new();
        while let Some(batch) = letters.recv().await {
            for letter in batch {
                codes.push(letter.value.code);
                letter.receipt.complete(Outcome::DeadLettered);
            }
        }
        (heard.settlements().into_iter().map(|(_, settlement)| settlement).collect(), codes)
    }

    fn resolved(&self, heard: &Arc<Heard>, position: u64, (device, second, hr): Reading<'_>) -> ResolvedGroup {
        let at = Timestamp::from_second(second).unwrap();
        let group = group(heard, position, (device, None), (at, self.period.span(at)), hr);
        let (patient_id, device_id) = (format!("p-{device}"), device.to_owned());
        ResolvedGroup { group, subject: Arc::new(Subject { patient_id, device_id, encounter_id: None }) }
    }

    /// Versions and values of all Observations.
    fn stored(&self) -> Vec<(u64, String)> {
        let value = |resource: serde_json::Value| match self.value {
            "Quantity" => resource["valueQuantity"]["value"].to_string(),
            _ => resource["valueSampledData"]["data"].as_str().unwrap().replace(" E", ""),
        };
        let mut stored: Vec<_> =
            self.server.resources("Observation").into_iter().map(|(version, one)| (version, value(one))).collect();
        stored.sort();
        stored
    }
}

fn values(stored: &[(u64, &str)]) -> Vec<(u64, String)> {
    stored.iter().map(|(version, value)| (*version, (*value).to_owned())).collect()
}

#[tokio::test]
async fn p_2_a_reading_that_comes_again_changes_nothing() {
    let bench = Bench::new(Period::Single, "Quantity").await;
    let batch: &[Reading<'_>] = &[("a", 1, "65.0"), ("b", 1, "70")];
    assert_eq!(bench.run(&[batch]).await.0, [STORED, STORED]);
    assert_eq!(bench.run(&[batch]).await.0, [UNCHANGED, UNCHANGED]);
    assert_eq!(bench.stored(), values(&[(1, "65.0"), (1, "70")]));
}

#[tokio::test]
async fn readings_of_an_hour_join_one_observation_without_reading_it() {
    let bench = Bench::new(Period::HOUR, "SampledData").await;
    let (ends, _) = bench.run(&[&[("a", 0, "60"), ("a", 60, "61")], &[("a", 120, "62")], &[("a", 120, "62")]]).await;
    assert_eq!(ends, [STORED, STORED, MERGED, UNCHANGED]);
    assert_eq!(bench.stored(), values(&[(2, "60 61 62")]));
    assert_eq!(bench.server.bundles(), [1, 1]);
}

#[tokio::test]
async fn ob_5_a_change_by_others_is_merged_and_not_overwritten() {
    let bench = Bench::new(Period::HOUR, "SampledData").await;
    bench.run(&[&[("a", 0, "60")]]).await;
    let (_, mut stored) = bench.server.resources("Observation").remove(0);
    stored["note"] = serde_json::json!([{"text": "moved"}]);
    bench.server.store(&format!("Observation/{}", stored["id"].as_str().unwrap()), stored);
    assert_eq!(bench.run(&[&[("a", 60, "61")]]).await.0, [MERGED]);
    assert_eq!(bench.stored(), values(&[(3, "60 61")]));
    assert_eq!(bench.server.resources("Observation")[0].1["note"][0]["text"], "moved");
}

#[tokio::test]
async fn p_4_devices_go_on_while_the_lane_of_another_is_held_up() {
    let bench = Bench::new(Period::HOUR, "SampledData").await;
    let lane = |device: &str| partition::of(device) % 2;
    let other = ["b", "c", "d", "e", "f", "g"].into_iter().find(|device| lane(device) != lane("a")).unwrap();
    bench.server.overload_bodies_with(Some("Device/a"));
    let heard = Arc::new(Heard::default());
    let (groups_in, groups) = mpsc::channel(1);
    let (letters_in, _letters) = mpsc::channel(64);
    let tasks = TaskTracker::new();
    tasks.spawn(bench.stage().run(groups, letters_in, tasks.clone()));
    for minute in 0..4 {
        let readings = [("a", 60 * minute, "60"), (other, 60 * minute, "70")];
        let first = u64::try_from(2 * minute).unwrap();
        groups_in.send(bench.batch(&heard, first, &readings)).await.unwrap();
    }
    let ended = async |messages: usize| {
        while heard.settlements().len() < messages {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended(4)).await.unwrap();
    assert!(heard.settlements().iter().all(|(position, _)| position % 2 == 1), "{:?}", heard.settlements());
    bench.server.overload_bodies_with(None);
    drop(groups_in);
    tokio::time::timeout(Duration::from_secs(30), ended(8)).await.unwrap();
    tasks.close();
    tasks.wait().await;
    assert_eq!(bench.server.resources("Observation").len(), 2);
}

#[tokio::test]
async fn lost_answers_store_nothing_twice() {
    let bench = Bench::new(Period::HOUR, "SampledData").await;
    (0..3).for_each(|_| bench.server.fail_next(Fault::LoseAnswer));
    let (ends, codes) = bench.run(&[&[("a", 0, "60")], &[("a", 60, "61")]]).await;
    assert_eq!((ends.len(), codes.len()), (2, 0));
    assert!(ends.iter().all(|end| matches!(end, Settlement::Settled(_))));
    assert_eq!(bench.stored(), values(&[(2, "60 61")]));
}

#[tokio::test]
async fn p_4_a_refused_observation_leaves_its_neighbours_alone() {
    let bench = Bench::new(Period::Single, "Quantity").await;
    bench.server.refuse_bodies_with("66.6", 422);
    let (ends, codes) = bench.run(&[&[("a", 1, "65"), ("a", 2, "66.6"), ("a", 3, "67")]]).await;
    assert_eq!((ends, codes), (vec![STORED, DEAD, STORED], vec!["FHIRServiceErrorUnprocessableEntity"]));
}

#[tokio::test]
async fn readings_that_do_not_convert_are_buried_alone() {
    let bench = Bench::new(Period::Single, "Quantity").await;
    let (ends, codes) = bench.run(&[&[("a", 1, "65"), ("a", 2, "36,6")]]).await;
    assert_eq!((ends, codes), (vec![STORED, DEAD], vec!["InvalidQuantityFhirValueException"]));
    let bench = Bench::new(Period::HOUR, "SampledData").await;
    let (ends, codes) = bench.run(&[&[("a", 0, "60"), ("a", 60, "high"), ("a", 120, "62")]]).await;
    assert_eq!((ends, codes), (vec![STORED, DEAD, STORED], vec!["InvalidSampledDataValueException"]));
    assert_eq!(bench.stored(), values(&[(1, "60 62")]));
}

#[tokio::test]
async fn ob_3_a_server_without_conditional_creation_is_asked_first() {
    let mut bench = Bench::new(Period::HOUR, "SampledData").await;
    bench.first_write = FirstWrite::AfterReading;
    assert_eq!(bench.run(&[&[("a", 0, "60")]]).await.0, [STORED]);
    assert_eq!(bench.run(&[&[("a", 60, "61")]]).await.0, [MERGED]);
    assert_eq!(bench.server.bundles(), [2, 1, 2, 1]);
}

/// Makes the one stored Observation look as if another connector had made it, under an id of its own.
fn import(bench: &Bench, id: &str) {
    let (_, mut stored) = bench.server.resources("Observation").remove(0);
    bench.server.remove(&format!("Observation/{}", stored["id"].as_str().unwrap()));
    stored["note"] = serde_json::json!([{"text": "imported"}]);
    bench.server.store(&format!("Observation/{id}"), stored);
}

#[tokio::test]
async fn ob_1_ob_4_an_imported_observation_is_merged_into_under_its_own_id() {
    for first_write in [FirstWrite::IfAbsent, FirstWrite::AfterReading] {
        let mut bench = Bench::new(Period::HOUR, "SampledData").await;
        bench.first_write = first_write;
        bench.run(&[&[("a", 0, "60")]]).await;
        import(&bench, "imported");
        assert_eq!(bench.run(&[&[("a", 0, "60")]]).await.0, [UNCHANGED], "{first_write:?}");
        assert_eq!(bench.run(&[&[("a", 60, "61")], &[("a", 120, "62")]]).await.0, [MERGED, MERGED]);
        let (version, stored) = bench.server.resource("Observation/imported").unwrap();
        assert_eq!((version, &stored["note"][0]["text"]), (3, &"imported".into()));
        assert_eq!(bench.stored(), values(&[(3, "60 61 62")]));
    }
}

#[tokio::test]
async fn ob_6_what_was_found_under_another_id_is_known_from_then_on() {
    let bench = Bench::new(Period::HOUR, "SampledData").await;
    bench.run(&[&[("a", 0, "60")]]).await;
    import(&bench, "imported");
    let before = bench.server.bundles().len();
    bench.run(&[&[("a", 60, "61")], &[("a", 120, "62")]]).await;
    // Refused, looked for, written; then written at once.
    assert_eq!(bench.server.bundles()[before..], [1, 2, 1, 1]);
}

#[tokio::test]
async fn ob_1_pages_are_followed_and_values_that_only_begin_the_same_do_not_count() {
    let mut bench = Bench::new(Period::HOUR, "SampledData").await;
    bench.first_write = FirstWrite::AfterReading;
    bench.run(&[&[("a", 0, "60")]]).await;
    let (_, exact) = bench.server.resources("Observation").remove(0);
    import(&bench, "z");
    for id in ["b", "c"] {
        let mut longer = exact.clone();
        longer["identifier"][0]["value"] = (exact["identifier"][0]["value"].as_str().unwrap().to_owned() + id).into();
        bench.server.store(&format!("Observation/{id}"), longer);
    }
    bench.server.search_loosely();
    assert_eq!(bench.run(&[&[("a", 60, "61")]]).await.0, [MERGED]);
    assert_eq!(bench.stored(), values(&[(1, "60"), (1, "60"), (2, "60 61")]));
    assert_eq!(bench.server.resource("Observation/z").unwrap().0, 2);
}

#[tokio::test]
async fn ob_1_what_an_index_does_not_show_yet_is_found_by_its_id() {
    let mut bench = Bench::new(Period::HOUR, "SampledData").await;
    bench.first_write = FirstWrite::AfterReading;
    bench.server.hide_from_search();
    assert_eq!(bench.run(&[&[("a", 0, "60")]]).await.0, [STORED]);
    assert_eq!(bench.run(&[&[("a", 60, "61")]]).await.0, [MERGED]);
    assert_eq!(bench.stored(), values(&[(2, "60 61")]));
}

#[tokio::test]
async fn ob_2_two_with_one_identifier_are_not_guessed_between() {
    for first_write in [FirstWrite::IfAbsent, FirstWrite::AfterReading] {
        let mut bench = Bench::new(Period::HOUR, "SampledData").await;
        bench.first_write = first_write;
        bench.run(&[&[("a", 0, "60")]]).await;
        let (_, twin) = bench.server.resources("Observation").remove(0);
        bench.server.store("Observation/twin", twin);
        let (ends, codes) = bench.run(&[&[("a", 60, "61"), ("b", 60, "70")]]).await;
        assert_eq!((ends, codes), (vec![DEAD, STORED], vec!["MultipleObservationFoundException"]), "{first_write:?}");
        assert_eq!(bench.stored(), values(&[(1, "60"), (1, "60"), (1, "E 70")]));
    }
}

#[tokio::test]
async fn ob_3_a_first_write_that_is_the_second_version_counts_as_contention() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let contended = || {
        let shown = recorder.handle().render();
        shown.lines().any(|line| line.starts_with("observations_contended_total") && !line.ends_with(" 0"))
    };
    let bench = Bench::new(Period::HOUR, "SampledData").await;
    bench.run(&[&[("a", 0, "60")]]).await;
    assert!(!contended());
    bench.server.fail_next(Fault::WriteAnyway);
    assert_eq!(bench.run(&[&[("a", 60, "61")]]).await.0, [STORED]);
    assert!(contended());
}

#[tokio::test]
async fn p_5_an_observation_that_was_moved_to_another_patient_gets_no_more_readings() {
    let bench = Bench::new(Period::HOUR, "SampledData").await;
    bench.run(&[&[("a", 0, "60")]]).await;
    let (_, mut moved) = bench.server.resources("Observation").remove(0);
    moved["subject"]["reference"] = "Patient/other".into();
    bench.server.store(&format!("Observation/{}", moved["id"].as_str().unwrap()), moved);
    let (ends, codes) = bench.run(&[&[("a", 60, "61"), ("b", 60, "70")]]).await;
    assert_eq!((ends, codes), (vec![DEAD, STORED], vec!["PatientDeviceMismatchException"]));
}

#[tokio::test]
async fn ob_5_a_write_that_is_turned_away_without_a_cause_is_given_up_and_its_neighbours_are_not() {
    for first_write in [FirstWrite::IfAbsent, FirstWrite::AfterReading] {
        for status in [409, 412] {
            let mut bench = Bench::new(Period::Single, "Quantity").await;
            bench.first_write = first_write;
            bench.server.refuse_bodies_with("66.6", status);
            let (ends, codes) = bench.run(&[&[("a", 0, "66.6"), ("b", 0, "65")]]).await;
            assert_eq!((ends, codes.len()), (vec![DEAD, STORED], 1), "{first_write:?} {status}");
        }
    }
}

#[tokio::test]
async fn ob_5_what_has_gone_is_created_again() {
    let bench = Bench::new(Period::HOUR, "SampledData").await;
    [Fault::None, Fault::ForgetAll].into_iter().for_each(|fault| bench.server.fail_next(fault));
    let (ends, _) = bench.run(&[&[("a", 0, "60")], &[("a", 60, "61")]]).await;
    assert_eq!(ends, [STORED, STORED]);
    assert_eq!(bench.stored(), values(&[(1, "E 61")]));
    assert_eq!(bench.server.bundles(), [1, 1, 2, 1]);
}

const PLACES: [Place; 4] = [Place::Source, Place::Tag, Place::Provenance, Place::Nowhere];

#[tokio::test]
async fn ob_4_ob_11_a_message_that_comes_again_elsewhere_writes_nothing_whatever_is_traced() {
    for (first, second) in PLACES.into_iter().flat_map(|first| PLACES.map(|second| (first, second))) {
        let mut bench = Bench::new(Period::HOUR, "SampledData").await;
        (bench.trace, bench.first_write) = (first, FirstWrite::AfterReading);
        bench.run(&[&[("a", 0, "60")]]).await;
        let before = (bench.server.resources("Observation"), bench.server.resources("Provenance"));
        bench.trace = second;
        let other_position: &[Reading<'_>] = &[("a", 0, "60"), ("a", 0, "60")];
        assert_eq!(bench.run(&[other_position, &[("a", 0, "60")]]).await.0, [UNCHANGED; 3], "{first:?} {second:?}");
        assert_eq!((bench.server.resources("Observation"), bench.server.resources("Provenance")), before);
    }
}

#[tokio::test]
async fn the_trace_is_that_of_the_latest_write() {
    let bench = Bench::new(Period::HOUR, "SampledData").await;
    let source = || bench.server.resources("Observation")[0].1["meta"]["source"].as_str().unwrap().to_owned();
    bench.run(&[&[("a", 0, "60")]]).await;
    assert!(source().starts_with("urn:vitalwire:wards:") && source().ends_with("Z#1"), "{}", source());
    bench.run(&[&[("a", 0, "60")], &[("a", 60, "61"), ("a", 120, "62")]]).await;
    assert!(source().ends_with("Z#2-3"), "{}", source());
    bench.run(&[&[("a", 0, "60")]]).await;
    assert!(source().ends_with("Z#2-3"), "{}", source());
}

#[tokio::test]
async fn each_write_has_a_provenance_and_only_one_whatever_is_lost() {
    let mut bench = Bench::new(Period::HOUR, "SampledData").await;
    (bench.trace, bench.first_write) = (Place::Provenance, FirstWrite::AfterReading);
    [Fault::None, Fault::LoseAnswer, Fault::LoseAnswer].into_iter().for_each(|fault| bench.server.fail_next(fault));
    bench.run(&[&[("a", 0, "60")], &[("a", 60, "61")]]).await;
    assert_eq!(bench.stored(), values(&[(2, "60 61")]));
    let of = format!("Observation/{}", bench.server.resources("Observation")[0].1["id"].as_str().unwrap());
    let provenances = bench.server.resources("Provenance");
    let mut sources: Vec<&str> = provenances
        .iter()
        .map(|(version, one)| {
            assert_eq!((*version, &one["target"][0]["reference"]), (1, &of.as_str().into()));
            one["entity"][0]["what"]["identifier"]["value"].as_str().unwrap().rsplit_once('#').unwrap().1
        })
        .collect();
    sources.sort_unstable();
    assert_eq!(sources, ["1", "2"]);
    assert!(bench.server.resources("Observation")[0].1["meta"].get("source").is_none());
}

#[tokio::test]
async fn a_provenance_that_is_refused_leaves_its_observation_stored() {
    let mut bench = Bench::new(Period::HOUR, "SampledData").await;
    (bench.trace, bench.first_write) = (Place::Provenance, FirstWrite::AfterReading);
    bench.server.refuse_bodies_with("Provenance", 422);
    assert_eq!(bench.run(&[&[("a", 0, "60"), ("b", 0, "70")]]).await, (vec![STORED, STORED], vec![]));
    assert_eq!((bench.stored().len(), bench.server.resources("Provenance").len()), (2, 0));
}

#[tokio::test]
async fn gr_3_a_later_reading_of_a_device_does_not_overtake_one_that_is_held_up() {
    let bench = Bench::new(Period::Single, "Quantity").await;
    bench.server.fail_next(Fault::Refuse(503));
    bench.run(&[&[("a", 1, "65")], &[("a", 1, "66")], &[("a", 1, "67")]]).await;
    assert_eq!(bench.stored().last().map(|(_, value)| value.as_str()), Some("67"));
}

#[tokio::test]
async fn gr_15_an_hour_that_fails_leaves_the_next_one_alone() {
    let bench = Bench::new(Period::HOUR, "SampledData").await;
    let (ends, codes) = bench.run(&[&[("a", 0, "high"), ("a", 3_600, "61"), ("a", 7_200, "62")]]).await;
    assert_eq!((ends, codes), (vec![DEAD, STORED, STORED], vec!["InvalidSampledDataValueException"]));
    assert_eq!(bench.stored(), values(&[(1, "61"), (1, "62")]));
}

#[tokio::test]
async fn p_1_what_is_in_hand_at_the_end_is_abandoned_and_not_lost() {
    let bench = Bench::new(Period::Single, "Quantity").await;
    bench.give_up.cancel();
    let (ends, codes) = bench.run(&[&[("a", 1, "65")], &[("a", 2, "66")]]).await;
    assert_eq!((ends, codes.len()), (vec![Settlement::Abandoned; 2], 0));
    assert_eq!(bench.stored(), []);
}

#[tokio::test]
async fn two_connectors_writing_one_observation_lose_no_reading() {
    let bench = Bench::new(Period::HOUR, "SampledData").await;
    let of = |minutes: std::ops::Range<i64>| -> Vec<Vec<Reading<'static>>> {
        minutes.map(|minute| vec![("a", minute * 60, "60")]).collect()
    };
    let (first, second) = (of(0..20), of(20..40));
    let (first, second): (Vec<_>, Vec<_>) =
        (first.iter().map(Vec::as_slice).collect(), second.iter().map(Vec::as_slice).collect());
    tokio::join!(bench.run(&first), bench.run(&second));
    assert_eq!(bench.stored().first().map(|(_, data)| data.as_str()), Some(["60"; 40].join(" ").as_str()));
}

#[tokio::test]
async fn tm_4_groups_measurements_and_what_was_saved_are_counted() {
    let recorder = recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let bench = Bench::new(Period::HOUR, "SampledData").await;
    // Two of one instant count once.
    bench.run(&[&[("a", 0, "60"), ("a", 0, "61"), ("a", 60, "62")], &[("a", 120, "63")], &[("a", 120, "63")]]).await;
    // Known to exist by another; the first write finds that out.
    bench.run(&[&[("a", 180, "64")]]).await;
    let saved =
        |name: &str| format!(r#"FhirResourceSaved{{connector="wards",ResourceType="Observation",Name="{name}""#);
    for (series, value) in [
        ("MeasurementGroup{", 4.0),
        ("Measurement{", 5.0),
        ("MeasurementIngestionLatency_count{", 5.0),
        ("MeasurementIngestionLatencyMs_count{", 5.0),
        (&saved("ObservationCreated"), 1.0),
        (&saved("ObservationUpdated"), 2.0),
        (&saved("ObservationNoOperation"), 1.0),
        ("FHIRResourceContention{", 1.0),
        ("observations_contended_total{", 1.0),
    ] {
        assert!((value_of(&recorder, series) - value).abs() < 1e-6, "{series} {}", value_of(&recorder, series));
    }
    let (seconds, milliseconds) = ("MeasurementIngestionLatency_sum{", "MeasurementIngestionLatencyMs_sum{");
    let ratio = value_of(&recorder, milliseconds) / value_of(&recorder, seconds);
    assert!((ratio - 1_000.0).abs() < 1e-6, "{ratio}");
}
