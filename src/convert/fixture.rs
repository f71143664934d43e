//! Templates and contents for the tests of building and merging.

use jiff::Timestamp;

use super::content::{Boundary, Content, Names, series_of};
use super::identifier::{Identifier, Naming, Precision};
use crate::mapping::fhir::TemplateKind;
use crate::mapping::fhir::code_value::CodeValueFhir;
use crate::mapping::fhir::handlebars::HandlebarsFhir;
use crate::mapping::{Mappings, Source};
use crate::model::group::Span;
use crate::model::measurement::{Measurement, Property};
use crate::model::subject::Subject;

/// The system of identifiers and own codings in these tests.
pub(super) const SYSTEM: &str = "urn:own";

/// A template for type `t` with these members besides `codes`.
pub(super) fn template(members: &str) -> CodeValueFhir {
    let device = r#"{ "templateType": "CollectionContent", "template": [] }"#;
    let fhir = format!(
        r#"{{ "templateType": "CollectionFhir", "template": [ {{ "templateType": "CodeValueFhir", "template": {{
            "typeName": "t", "codes": [ {{ "system": "urn:codes", "code": "1", "display": "One" }} ], {members} }} }} ] }}"#
    );
    let device = Source { name: "device.json", text: device };
    let fhir = Source { name: "fhir.json", text: &fhir };
    let (mappings, _) = Mappings::load(device, fhir).unwrap_or_else(|problems| panic!("{problems:#?}"));
    match mappings.fhir_template("t").unwrap().kind.clone() {
        TemplateKind::CodeValue(template) => template,
        TemplateKind::Handlebars(_) => panic!("a CodeValueFhir"),
    }
}

/// A HandlebarsFhir template with this resource.
pub(super) fn handlebars(resource: &str) -> HandlebarsFhir {
    let device = Source { name: "device.json", text: r#"{ "templateType": "CollectionContent", "template": [] }"# };
    let fhir = format!(
        r#"{{ "templateType": "CollectionFhir", "template": [ {{ "templateType": "HandlebarsFhir", "template": {{
            "typeName": "t", "resource": {resource} }} }} ] }}"#
    );
    let loaded = Mappings::load(device, Source { name: "fhir.json", text: &fhir });
    let (mappings, _) = loaded.unwrap_or_else(|problems| panic!("{problems:#?}"));
    match mappings.fhir_template("t").unwrap().kind.clone() {
        TemplateKind::Handlebars(template) => template,
        TemplateKind::CodeValue(_) => panic!("a HandlebarsFhir"),
    }
}

/// A group: its boundary and its readings as (seconds and fraction after 07:00, name, value).
pub(super) struct Group {
    subject: Subject,
    identifier: Identifier,
    boundary: Boundary,
    measurements: Vec<Measurement>,
}

pub(super) fn after_seven(seconds: &str) -> Timestamp {
    let seven: Timestamp = "2024-03-02T07:00:00Z".parse().unwrap();
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let nanoseconds: i64 = format!("{fraction:0<9}").parse().unwrap();
    let whole: i64 = whole.parse().unwrap();
    seven + jiff::SignedDuration::from_secs(whole) + jiff::SignedDuration::from_nanos(nanoseconds)
}

impl Group {
    pub(super) fn new((start, end): (&str, &str), readings: &[(&str, &str, &str)]) -> Self {
        let subject = Subject { patient_id: "p".to_owned(), device_id: "d".to_owned(), encounter_id: None };
        let naming = Naming { system: SYSTEM.into(), precision: Precision::Fraction };
        let boundary = Boundary { start: after_seven(start), end: after_seven(end) };
        let span = Span::Bucket { start: boundary.start, end: boundary.end };
        Self {
            identifier: naming.identifier(&subject, "t", span, None).unwrap(),
            subject,
            boundary,
            measurements: readings.iter().map(measurement).collect(),
        }
    }

    pub(super) fn with_encounter(mut self, id: &str) -> Self {
        self.subject.encounter_id = Some(id.to_owned());
        self
    }

    pub(super) fn content(&self) -> Content<'_> {
        Content {
            measurement_type: "T",
            boundary: self.boundary,
            series: series_of(&self.measurements),
            subject: &self.subject,
            issued: after_seven("9.5"),
            identifier: &self.identifier,
            names: Names { device: "d-identifier", ..Names::default() },
        }
    }
}

fn measurement((at, name, value): &(&str, &str, &str)) -> Measurement {
    Measurement {
        measurement_type: "T".into(),
        occurred_at: after_seven(at),
        ingested_at: after_seven(at),
        device_id: "d".to_owned(),
        patient_id: None,
        encounter_id: None,
        correlation_id: None,
        properties: vec![Property { name: (*name).into(), value: (*value).to_owned() }],
    }
}
