//! Mappings as files: what loads, what is refused and where, and what is extracted.

use crate::model::envelope::{Envelope, Origin, WayIn};

mod bounds;
mod explaining;
mod extracting;
mod iot;
mod languages;
mod loading_device;
mod loading_fhir;
mod properties;

/// An envelope with a body and one property of each kind.
fn envelope(body: &str) -> Envelope {
    let members = |json: &str| serde_json::from_str(json).unwrap();
    Envelope {
        body_bytes_max: usize::MAX,
        split_arrays: false,
        body: body.to_owned().into(),
        properties: members(r#"{"site":"ward-4","bed":4,"iothub-creation-time-utc":"2024-03-02T07:00:00Z"}"#),
        system_properties: members(
            r#"{"iothub-connection-device-id":"dev-1","iothub-enqueuedtime":"2024-03-02T07:30:00Z","partition":7}"#,
        ),
        enqueued_at: "2024-03-02T07:15:01Z".parse().unwrap(),
        origin: Origin { connector: "test".into(), source: "test".into(), position: 1 },
        way_in: WayIn::default(),
    }
}

/// A FHIR mapping with a template for each of `pulse` and `Temp`.
const FHIR: &str = r#"{ "templateType": "CollectionFhir", "template": [
    { "templateType": "CodeValueFhir", "template": { "typeName": "pulse", "codes": [],
        "value": { "valueType": "Quantity", "valueName": "bpm" } } },
    { "templateType": "CodeValueFhir", "template": { "typeName": "Temp", "periodInterval": 60, "codes": [],
        "value": { "valueType": "SampledData", "valueName": "c", "defaultPeriod": 1000 } } } ] }"#;

fn collection(elements: &[String]) -> String {
    format!(r#"{{ "templateType": "CollectionContent", "template": [ {} ] }}"#, elements.join(", "))
}

fn element(template_type: &str, members: &str) -> String {
    format!(r#"{{ "templateType": "{template_type}", "template": {{ {members} }} }}"#)
}
