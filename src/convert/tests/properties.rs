use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use serde_json::Value;

use super::super::fixture::{Group, after_seven};
use super::super::raw::{RawObject, elements};
use super::Kind;
use super::oracle::{Reading, STREAMS, Said, covers, seconds};

/// What an Observation covers.
#[derive(Clone, Copy, Debug)]
enum Covers {
    /// One time.
    Single,
    /// A bucket of some minutes.
    Minutes(i64),
    /// From the first to the last reading.
    Correlation,
}

impl Covers {
    fn group(self, batch: &[Reading]) -> Group {
        let times = || batch.iter().map(|reading| seconds(reading.at));
        let (start, end) = match self {
            Self::Single => (times().next().unwrap(), times().next().unwrap()),
            Self::Minutes(minutes) => ("0".to_owned(), format!("{}.9999999", minutes * 60 - 1)),
            Self::Correlation => {
                let at = |reading: Option<&Reading>| seconds(reading.unwrap().at);
                (at(batch.iter().min_by_key(|reading| reading.at)), at(batch.iter().max_by_key(|reading| reading.at)))
            }
        };
        let times: Vec<String> = times().collect();
        let readings: Vec<(&str, &str, &str)> =
            times.iter().zip(batch).map(|(at, reading)| (at.as_str(), reading.name, reading.value.as_str())).collect();
        Group::new((&start, &end), &readings)
    }
}

/// Two streams, of which one is a component, a Quantity and a String; once of each kind of template.
static KINDS: LazyLock<[Kind; 2]> = LazyLock::new(|| {
    let code_value = r#""value": { "valueName": "s", "valueType": "SampledData", "defaultPeriod": 1000 },
        "components": [
            { "codes": [], "value": { "valueName": "w", "valueType": "SampledData", "defaultPeriod": 1500 } },
            { "codes": [], "value": { "valueName": "q", "valueType": "Quantity", "unit": "u" } },
            { "codes": [], "value": { "valueName": "t", "valueType": "String" } } ]"#;
    let component = |name: &str, value: &str| {
        format!(r#"{{ "code": {{ "text": "{{{{#if series.{name}}}}}{name}{{{{/if}}}}" }}, {value} }}"#)
    };
    let handlebars = format!(
        r#"{{ "resourceType": "Observation", "code": {{ "text": "c" }},
              "valueSampledData": "{{{{sampledData series.s period=1000}}}}", "component": [ {}, {}, {} ] }}"#,
        component("w", r#""valueSampledData": "{{sampledData series.w period=1500}}""#),
        component("q", r#""valueQuantity": "{{quantity values.q unit='u'}}""#),
        component("t", r#""valueString": "{{#if values.t}}{{values.t}}{{/if}}""#),
    );
    [Kind::code_value(code_value), Kind::handlebars(&handlebars)]
});

/// Decimals of which no two have the same value.
const DECIMAL: &str = "-?[1-9][0-9]{0,2}(\\.[0-9]{0,2}[1-9])?";

fn reading(at: i64) -> impl Strategy<Value = Reading> {
    let named = |name: &'static str, value: &'static str| value.prop_map(move |value| Reading { at, name, value });
    let sample = "E|U|L|-?[1-9][0-9]{0,2}(\\.[0-9]{0,2}[1-9])?";
    prop_oneof![named("s", sample), named("w", sample), named("q", DECIMAL), named("t", "[a-z\"é\\\\]{1,6}")]
}

fn batches() -> impl Strategy<Value = (Covers, Vec<Vec<Reading>>)> {
    let of = |covers: Covers, times: std::ops::Range<i64>| {
        let reading = times.prop_flat_map(reading);
        let batch = proptest::collection::vec(reading, 1..6);
        (Just(covers), proptest::collection::vec(batch, 1..6))
    };
    prop_oneof![
        of(Covers::Single, 12_345..12_346),
        of(Covers::Minutes(1), 0..60_000),
        of(Covers::Minutes(15), 890_000..900_000),
        of(Covers::Minutes(60), 0..20_000),
        of(Covers::Correlation, 0..20_000),
    ]
}

/// Readings of streams, no two within three seconds, so that no two share a slot.
fn apart() -> impl Strategy<Value = Vec<Reading>> {
    let reading = |place: i64| {
        let stream = proptest::sample::select(&STREAMS[..]);
        (any::<bool>(), stream, 0_i64..1_000, DECIMAL).prop_map(move |(present, (name, _), late, value)| {
            present.then_some(Reading { at: place * 3_000 + late, name, value })
        })
    };
    let readings: Vec<_> = (0..19).map(reading).collect();
    readings
        .prop_map(|readings| readings.into_iter().flatten().collect::<Vec<_>>())
        .prop_filter("none", |readings| !readings.is_empty())
}

/// The Observation without what tells how often it was written.
fn without_status(json: &str) -> Value {
    let mut observation: Value = serde_json::from_str(json).unwrap();
    observation.as_object_mut().unwrap().remove("status");
    observation
}

#[test]
fn a_day_of_samples_merges_like_any_other_period() {
    let day = Covers::Minutes(1_440);
    let reading = |at: i64, value: &str| Reading { at, name: "s", value: value.to_owned() };
    for kind in &*KINDS {
        let batches = [vec![reading(86_399_999, "2")], vec![reading(0, "1")]];
        let stored = kind.store(&batches.each_ref().map(|batch| day.group(batch)));
        let observation: Value = serde_json::from_str(&stored).unwrap();
        let expected = format!("1{} 2", " E".repeat(86_398));
        assert_eq!(observation["valueSampledData"]["data"].as_str(), Some(expected.as_str()));
        assert_eq!(kind.merge(&stored, &day.group(&batches[0])).unwrap(), None);
    }
}

proptest::proptest! {
    #[test]
    fn ob_7_ob_15_ob_16_every_step_is_what_the_rules_say_and_a_repeat_changes_nothing((covered, batches) in batches()) {
        for kind in &*KINDS {
            let mut said: Option<Said> = None;
            let mut stored: Option<String> = None;
            for batch in &batches {
                let group = covered.group(batch);
                let covers = covers(group.content().boundary);
                let before = said.clone();
                let said = said.get_or_insert_with(|| Said::nothing(covers));
                said.hear(covers, batch);
                let merged = stored.as_ref().map(|stored| kind.merge(stored, &group).unwrap());
                if let Some(merged) = &merged {
                    proptest::prop_assert_eq!(merged.is_some(), before.as_ref() != Some(&*said), "{:?}", batch);
                }
                let now = merged.unwrap_or_else(|| Some(kind.build(&group))).or(stored).unwrap();
                proptest::prop_assert_eq!(&Said::read(&now), &*said, "{}", now);
                proptest::prop_assert_eq!(kind.merge(&now, &group).unwrap(), None, "a repeat");
                stored = Some(now);
            }
        }
    }

    #[test]
    fn ob_16_order_copies_and_batches_of_readings_in_slots_of_their_own_do_not_matter(
        readings in apart(), copies in proptest::collection::vec(any::<proptest::sample::Index>(), 0..10),
        random in proptest::collection::vec(any::<u32>(), 40), size in 1_usize..7,
    ) {
        for kind in &*KINDS {
            let once = kind.build(&Covers::Minutes(1).group(&readings));
            let mut sent = readings.clone();
            sent.extend(copies.iter().map(|copy| copy.get(&readings).clone()));
            let mut order: Vec<usize> = (0..sent.len()).collect();
            order.sort_by_key(|place| random[*place]);
            let sent: Vec<Reading> = order.into_iter().map(|place| sent[place].clone()).collect();
            let groups: Vec<Group> = sent.chunks(size).map(|batch| Covers::Minutes(1).group(batch)).collect();
            let stored = kind.store(&groups);
            proptest::prop_assert_eq!(without_status(&stored), without_status(&once));
            for group in &groups {
                proptest::prop_assert_eq!(kind.merge(&stored, group).unwrap(), None, "a repeat of an old batch");
            }
        }
    }

    #[test]
    fn ob_10_a_correlation_hears_old_batches_again_without_a_change(
        readings in apart(), random in proptest::collection::vec(any::<u32>(), 20), size in 1_usize..4,
    ) {
        let mut order: Vec<usize> = (0..readings.len()).collect();
        order.sort_by_key(|place| random[*place]);
        let sent: Vec<Reading> = order.into_iter().map(|place| readings[place].clone()).collect();
        let groups: Vec<Group> = sent.chunks(size).map(|batch| Covers::Correlation.group(batch)).collect();
        for kind in &*KINDS {
            let stored = kind.store(&groups);
            let said = Said::read(&stored);
            let samples = said.samples.values().map(BTreeMap::len).sum::<usize>();
            proptest::prop_assert_eq!(samples, readings.len(), "each reading once: {}", stored);
            for reading in &readings {
                let period = STREAMS.iter().find(|(name, _)| *name == reading.name).unwrap().1;
                let slot = said.samples[reading.name].range(..=reading.at).next_back().unwrap();
                proptest::prop_assert!(reading.at - slot.0 < period && *slot.1 == reading.value, "{:?}: {}", reading, stored);
            }
            for group in &groups {
                proptest::prop_assert_eq!(kind.merge(&stored, group).unwrap(), None, "a repeat of an old batch");
            }
        }
    }

    #[test]
    fn fm_25_ob_15_batches_in_order_of_time_do_not_matter(
        values in proptest::collection::btree_map(0_i64..60_000, (any::<bool>(), DECIMAL), 1..20), size in 1_usize..7,
    ) {
        let readings: Vec<Reading> = values.into_iter()
            .map(|(at, (is_text, value))| Reading { at, name: if is_text { "t" } else { "q" }, value }).collect();
        for kind in &*KINDS {
            let once = kind.build(&Covers::Minutes(1).group(&readings));
            let groups: Vec<Group> = readings.chunks(size).map(|batch| Covers::Minutes(1).group(batch)).collect();
            proptest::prop_assert_eq!(Said::read(&kind.store(&groups)), Said::read(&once));
        }
    }

    #[test]
    fn ob_16_ob_18_ob_19_no_merge_loses_a_stored_sample(
        tokens in proptest::collection::vec("E|U|L|[1-9][0-9]?(\\.[0-9])?|x\\\\\\\\\"y|é", 1..20),
        start in 0_i64..5_000,
        periods in proptest::sample::select(vec![(1_000, 1_000), (2_000, 1_000), (1_500, 1_000), (2_500, 500), (750, 500)]),
        new in proptest::collection::btree_map(0_i64..30_000, "[1-9]", 1..5),
    ) {
        let (stored_period, period) = periods;
        let (first, last) = (*new.keys().next().unwrap(), *new.keys().next_back().unwrap());
        let tokens_json = tokens.join(" ");
        let end = start + (i64::try_from(tokens.len()).unwrap() - 1) * stored_period;
        let stored = format!(
            r#"{{"resourceType":"Observation","effectivePeriod":{{"start":"{}","end":"{}"}},
                "valueSampledData":{{"origin":{{"value":0}},"period":{stored_period},"dimensions":1,"data":{}}}}}"#,
            after_seven(&seconds(start)), after_seven(&seconds(end)), Value::from(tokens_json)
        );
        let value = format!(r#"{{ "valueName": "s", "valueType": "SampledData", "defaultPeriod": {period} }}"#);
        let kind = Kind::code_value(&format!(r#""value": {value}"#));
        let times: Vec<String> = new.keys().map(|at| seconds(*at)).collect();
        let readings = times.iter().zip(new.values()).map(|(at, value)| (at.as_str(), "s", value.as_str()));
        let readings: Vec<(&str, &str, &str)> = readings.collect();
        let group = Group::new((&seconds(first), &seconds(last)), &readings);
        let merged = kind.merge(&stored, &group).unwrap().unwrap_or(stored);
        let observation: Value = serde_json::from_str(&merged).unwrap();
        let now = observation["valueSampledData"]["data"].as_str().unwrap();
        let now: Vec<&str> = now.split(' ').collect();
        let begins: jiff::Timestamp = observation["effectivePeriod"]["start"].as_str().unwrap().parse().unwrap();
        let begins = begins.as_millisecond() - after_seven("0").as_millisecond();
        let slot = |at: i64| usize::try_from((at - begins).div_euclid(period)).unwrap();
        let taken: BTreeSet<usize> = new.keys().map(|at| slot(*at)).collect();
        for (token, at) in tokens.iter().zip((0..).map(|index| start + index * stored_period)) {
            if token != "E" && !taken.contains(&slot(at)) {
                proptest::prop_assert_eq!(now[slot(at)], token.as_str(), "{}", merged);
            }
        }
        for (at, value) in &new {
            let is_latest = new.range(at + 1..).all(|(other, _)| slot(*other) != slot(*at));
            // A stored token of equal value keeps its digits.
            proptest::prop_assert!(!is_latest || crate::mapping::decimal::same(now[slot(*at)], value), "{}", merged);
        }
    }

    #[test]
    fn ob_9_foreign_members_keep_their_bytes_wherever_they_are(
        foreign in proptest::collection::btree_map("x[a-z]{1,5}|extension|_status|contained|note|performer", json(), 0..5),
        place in 0_usize..4,
    ) {
        let members: String = foreign.iter().map(|(name, json)| format!(" \"{name}\" :\t{json} ,")).collect();
        let at = |here: usize| if here == place { members.as_str() } else { "" };
        let stored = format!(
            r#"{{{}"resourceType":"Observation","effectivePeriod":{{{}"start":"2024-03-02T07:00:00Z","end":"2024-03-02T07:00:01Z"}},
                "component":[{{{}"code":{{"text":"q","coding":[{{"system":"urn:own","code":"q"}}]}},"valueQuantity":{{"value":1}}}}],
                "valueSampledData":{{{}"origin":{{"value":0}},"period":1000,"dimensions":1,"data":"E E"}}}}"#,
            at(0), at(1), at(2), at(3)
        );
        let batch = [("s", "5"), ("q", "2")].map(|(name, value)| Reading { at: 2_000, name, value: value.to_owned() });
        for kind in &*KINDS {
            let merged = kind.merge(&stored, &Covers::Correlation.group(&batch)).unwrap().unwrap();
            let whole = RawObject::parse(merged.as_bytes()).unwrap();
            let component = elements(whole.get("component").unwrap()).unwrap()[0];
            let (period, stream) = (whole.get("effectivePeriod").unwrap(), whole.get("valueSampledData").unwrap());
            let within = [&merged, period, component, stream];
            let holder = RawObject::parse(within[place].as_bytes()).unwrap();
            for (name, json) in &foreign {
                proptest::prop_assert_eq!(holder.get(name), Some(json.as_str()), "{}", merged);
            }
        }
    }

    #[test]
    fn p_6_digits_stay_from_reading_to_resource_and_through_merges(
        digits in "-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,9})?([eE][+-]?[0-9])?",
    ) {
        let batch = |at, names: &[&'static str]| -> Vec<Reading> {
            names.iter().map(|name| Reading { at, name, value: digits.clone() }).collect()
        };
        let [code_value, _] = &*KINDS;
        let group = Covers::Minutes(1).group(&batch(0, &["s", "q"]));
        let built = code_value.build(&group);
        let others = Covers::Minutes(1).group(&batch(5_000, &["t", "w"]));
        let merged = code_value.merge(&built, &others).unwrap().unwrap();
        for json in [&built, &merged] {
            let (quantity, data) = (format!(r#"{{"value":{digits},"unit":"u"}}"#), format!(r#""data":"{digits} E "#));
            proptest::prop_assert!(json.contains(&quantity) && json.contains(&data), "{}", json);
        }
    }

    #[test]
    fn p_2_what_was_merged_again_changes_nothing_for_every_type_of_value(
        kind in 0_usize..9, batches in proptest::collection::vec((0_u8..2, 1_i32..100), 2..6),
    ) {
        let (value_type, value) = [
            ("Quantity", "Q.50"),
            ("String", "Q"),
            ("SampledData\", \"defaultPeriod\": 1000, \"unit\": \"u", "Q"),
            ("CodeableConcept\", \"text\": \"c", "Q"),
            ("DateTime", "2024-03-02T07:00:Q+02:00"),
            ("Boolean", "Q"),
            ("Integer", "Q"),
            ("Range\", \"highValueName\": \"v2", "Q"),
            ("Ratio\", \"denominatorValueName\": \"v2", "Q.0"),
        ][kind];
        let value_template = format!(r#"{{ "valueName": "v", "valueType": "{value_type}" }}"#);
        let template = Kind::code_value(&format!(r#""components": [ {{ "codes": [], "value": {value_template} }} ]"#));
        let mut stored: Option<String> = None;
        for (at, number) in batches {
            let number = if value_type == "Boolean" { number % 2 } else { number % 50 + 10 };
            let value = value.replace('Q', &number.to_string());
            let at = at.to_string();
            let readings = [(at.as_str(), "v", value.as_str()), (at.as_str(), "v2", value.as_str())];
            let group = Group::new(("0", "3"), &readings);
            let now = match &stored {
                None => template.build(&group),
                Some(stored) => template.merge(stored, &group).unwrap().unwrap_or_else(|| stored.clone()),
            };
            proptest::prop_assert_eq!(template.merge(&now, &group).unwrap(), None, "{}", now);
            stored = Some(now);
        }
    }
}

/// The text of a JSON value, spaced and escaped as nobody would.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "null|true|-?(0|[1-9][0-9]{0,2})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,2})?",
        "\"([a-z]|\\\\u00e9|\\\\/|\\\\\")*\"",
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|elements| format!("[ {} ]", elements.join(" ,"))),
            proptest::collection::btree_map("[a-z]{1,4}", inner, 0..4).prop_map(|members| {
                let members: Vec<String> = members.iter().map(|(name, json)| format!("\"{name}\" : {json}")).collect();
                format!("{{\t{}\n}}", members.join(" , "))
            }),
        ]
    })
}
