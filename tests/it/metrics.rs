//! What an operator's Prometheus sees, and that the documentation of it is true.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::support::config::{kafka, mqtt_listener, wearables};
use crate::support::process::Vitalwire;
use crate::support::publish::publish;
use crate::support::wait::until;

const DOCUMENT: &str = include_str!("../../docs/metrics.md");

/// A series: its labels, and its value as exposed.
type Series = (BTreeMap<String, String>, String);

/// What is exposed: of each metric its kind, its HELP line and its series.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    series: Vec<Series>,
}

/// Reads the text format. Series of histograms belong to the histogram; their buckets are left out.
fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            families.entry(name.to_owned()).or_default().help = help.to_owned();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            families.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.trim_end_matches('}').split_once('{').unwrap_or((series, ""));
            let labels = labels.split(',').filter_map(|label| label.split_once('='));
            let labels: BTreeMap<_, _> =
                labels.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect();
            let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let family = of_histogram.filter(|name| families.contains_key(*name)).unwrap_or(name);
            if !name.ends_with("_bucket") {
                families.get_mut(family).unwrap().series.push((labels, value.to_owned()));
            }
        }
    }
    families
}

/// The cells of the rows below a header, without the marks of code.
fn table(header: &str) -> Vec<Vec<String>> {
    let rows = DOCUMENT.lines().skip_while(|line| *line != header).skip(2).take_while(|line| line.starts_with('|'));
    let cell = |cell: &str| cell.trim().trim_matches('`').to_owned();
    rows.map(|row| row.trim_matches('|').split('|').map(cell).collect()).collect()
}

/// The labels that the document gives a metric, each with its value where that is always the same.
fn documented() -> BTreeMap<String, (String, BTreeMap<String, Option<String>>)> {
    let mut documented = BTreeMap::new();
    for row in table("| Name | Kind | Labels | What it counts |") {
        let labels = row[2].split(", ").filter(|label| !label.is_empty());
        let labels = labels.map(|label| (label.to_owned(), None)).collect();
        documented.insert(row[0].clone(), (row[1].clone(), labels));
    }
    for row in table("| Name | Kind | Category | Operation | What it counts |") {
        let mut labels = known_labels(&row[0], &row[2], &row[3]);
        if ["FhirResourceSaved", "FHIRResourceContention"].contains(&row[0].as_str()) {
            labels.insert("ResourceType".to_owned(), None);
        }
        if row[0] == "FhirResourceSaved" {
            labels.insert("Name".to_owned(), None);
        }
        documented.insert(row[0].clone(), (row[1].clone(), labels));
    }
    for row in table("| Name | Operation | ErrorType | ErrorSeverity | ErrorSource | What happened |") {
        let mut labels = known_labels(&row[0], "Errors", &row[1]);
        for (name, value) in ["ErrorType", "ErrorSeverity", "ErrorSource"].into_iter().zip(&row[2..]) {
            if !value.is_empty() {
                labels.insert(name.to_owned(), Some(value.clone()));
            }
        }
        // Mistakes in mappings have a series for each kind of file.
        let several = row[1] == "Setup" || row[0] == "TemplateExpressionException";
        if several {
            labels.values_mut().for_each(|value| *value = None);
        }
        documented.insert(row[0].clone(), ("counter".to_owned(), labels));
    }
    documented
}

fn known_labels(name: &str, category: &str, operation: &str) -> BTreeMap<String, Option<String>> {
    let values = [("Name", name), ("Category", category), ("Operation", operation)];
    let known = values.into_iter().map(|(label, value)| (label.to_owned(), Some(value.to_owned())));
    known.chain([("connector".to_owned(), None)]).collect()
}

/// A product that took two new readings, one of them twice, a message that matches nothing and one that is no JSON.
async fn loaded(directory: &tempfile::TempDir) -> (Vitalwire, String, Value) {
    // Of a source of Kafka a lag is told, also where no broker is.
    let sources = mqtt_listener() + &kafka("127.0.0.1:9", "nobody", &["readings"]);
    let product = Vitalwire::serve(directory.path(), &wearables(&sources));
    let reading = |minute: u8| {
        format!(
            r#"{{"deviceid":"d-secret","patientid":"p-secret","measurementdatetime":"2024-03-02T07:{minute}:00Z","heartrate":61}}"#
        )
    };
    let payloads = [reading(15), reading(16), reading(16), "{}".to_owned(), "[".to_owned()];
    for payload in &payloads {
        publish(product.mqtt.as_ref().unwrap(), &[payload.as_bytes()]).await;
    }
    let url = format!("{}/metrics", product.http);
    let scrape = async || product.fhir().send(Method::GET, &url, &[], None).await.text().await.unwrap();
    let dead = r#"envelopes_settled_total{connector="wearables",outcome="dead_lettered"} 1"#;
    let text = until(Duration::from_secs(20), scrape, |text| text.contains(dead)).await;
    let ledger = product.ledger("wearables").await;
    (product, text, ledger)
}

#[tokio::test]
async fn what_is_exposed_is_what_is_documented() {
    let directory = tempfile::tempdir().unwrap();
    let (_product, text, _ledger) = loaded(&directory).await;
    let (families, documented) = (families(&text), documented());
    let names = |names: Vec<&String>| names.into_iter().cloned().collect::<BTreeSet<String>>();
    assert_eq!(names(families.keys().collect()), names(documented.keys().collect()));
    for (name, family) in &families {
        let (kind, labels) = &documented[name];
        assert_eq!(&family.kind, kind, "{name}");
        assert!(!family.help.is_empty(), "{name}");
        for (found, _value) in &family.series {
            assert_eq!(names(found.keys().collect()), names(labels.keys().collect()), "{name}");
            let differing = |(label, value): &(&String, &Option<String>)| {
                value.as_ref().is_some_and(|value| found[*label] != *value)
            };
            assert_eq!(labels.iter().find(differing), None, "{name}: {found:?}");
        }
    }
}

#[tokio::test]
async fn tm_2_tm_3_tm_4_tm_5_tm_6_counts_are_those_of_the_ledger_and_name_no_person() {
    let directory = tempfile::tempdir().unwrap();
    let (_product, text, ledger) = loaded(&directory).await;
    let of_ledger = ["received", "stored", "unchanged", "unmatched", "dead_lettered", "in_flight", "unexplained"]
        .map(|state| ledger[state].as_u64().unwrap());
    assert_eq!(of_ledger, [5, 2, 1, 1, 1, 0, 0]);
    for line in [
        r#"envelopes_received_total{connector="wearables"} 5"#,
        r#"envelopes_settled_total{connector="wearables",outcome="stored"} 2"#,
        r#"envelopes_settled_total{connector="wearables",outcome="unchanged"} 1"#,
        r#"envelopes_settled_total{connector="wearables",outcome="unmatched"} 1"#,
        r#"envelopes_settled_total{connector="wearables",outcome="dead_lettered"} 1"#,
        r#"envelopes_in_flight{connector="wearables"} 0"#,
        r#"envelopes_unexplained{connector="wearables"} 0"#,
        r#"connector_state{connector="wearables",state="running"} 1"#,
        r#"connector_state{connector="wearables",state="halted"} 0"#,
        r#"source_connected{connector="wearables",source="0",type="mqtt-listener"} 1"#,
        r#"delivery_seconds_count{connector="wearables"} 3"#,
        r#"dead_letters_recorded_total{connector="wearables",stage="normalize",code="InvalidDataFormatException"} 1"#,
        r#"DeviceEvent{connector="wearables",Name="DeviceEvent",Category="Traffic",Operation="Normalization"} 5"#,
        r#"NormalizedEvent{connector="wearables",Name="NormalizedEvent",Category="Traffic",Operation="Normalization"} 3"#,
        r#"DroppedEvent{connector="wearables",Name="DroppedEvent",Category="Traffic",Operation="Normalization"} 1"#,
        r#"EventsFlushed{connector="wearables",Name="EventsFlushed",Category="Traffic",Operation="Normalization"} 5"#,
        r#"Measurement{connector="wearables",Name="Measurement",Category="Traffic",Operation="FHIRConversion"} 3"#,
        r#"MeasurementGroup{connector="wearables",Name="MeasurementGroup",Category="Traffic",Operation="FHIRConversion"} 3"#,
        r#"FhirResourceSaved{connector="wearables",ResourceType="Observation",Name="ObservationCreated",Category="Traffic",Operation="FHIRConversion"} 2"#,
        r#"FhirResourceSaved{connector="wearables",ResourceType="Observation",Name="ObservationNoOperation",Category="Traffic",Operation="FHIRConversion"} 1"#,
        r#"InvalidDataFormatException{connector="wearables",Name="InvalidDataFormatException",Category="Errors",Operation="Normalization",ErrorType="DeviceMessageError",ErrorSeverity="Critical",ErrorSource="User"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "no `{line}` in:\n{text}");
    }
    for personal in ["d-secret", "p-secret", "readings", "heartrate"] {
        assert!(!text.contains(personal), "{personal}");
    }
}
