//! Configurations the tests run with.

use std::path::{Path, PathBuf};

use serde_json::json;

/// A file of a shipped template.
pub(crate) fn template(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/templates")).join(path)
}

/// Nothing but the FHIR service, on a free port.
pub(crate) const SERVICE: &str = "data_dir = \"data\"\n[http]\nlisten = \"127.0.0.1:0\"\n";

/// A connector `wearables` for the recorded heart-rate readings that creates devices and patients, on free ports, with
/// these sources.
pub(crate) fn wearables(sources: &str) -> String {
    connector("wearables", "heart-rate", sources)
}

/// A connector on a shipped template, see `wearables`.
pub(crate) fn connector(name: &str, template_name: &str, sources: &str) -> String {
    let device = template(template_name).join("device.json");
    let fhir = template(template_name).join("fhir.json");
    format!(
        r#"
data_dir = "data"
[http]
listen = "127.0.0.1:0"
[[connectors]]
name = "{name}"
device_mapping = "{}"
fhir_mapping = "{}"
identity = {{ mode = "create" }}
{sources}
"#,
        device.display(),
        fhir.display()
    )
}

/// A subscription at a broker on this port.
pub(crate) fn mqtt(port: u16, topic: &str) -> String {
    format!("[[connectors.sources]]\ntype = \"mqtt\"\nport = {port}\ntopics = [\"{topic}\"]\n")
}

/// The way in over HTTP.
pub(crate) const HTTP_PUSH: &str = "[[connectors.sources]]\ntype = \"http\"\n";

/// The MQTT listener on a free port.
pub(crate) fn mqtt_listener() -> String {
    "[[connectors.sources]]\ntype = \"mqtt-listener\"\nlisten = \"127.0.0.1:0\"\n".to_owned()
}

/// Topics at a Kafka broker, read as a member of this group.
pub(crate) fn kafka(address: &str, group: &str, topics: &[&str]) -> String {
    format!(
        "[[connectors.sources]]\ntype = \"kafka\"\nbootstrap_servers = \"{address}\"\ngroup_id = \"{group}\"\ntopics = {topics:?}\n"
    )
}

/// Writes a device mapping for heart rates as `device.json`, of the expressions for what to match, device, patient, time and
/// value.
pub(crate) fn heart_rate_mapping(directory: &Path, [matched, device, patient, time, value]: [&str; 5]) {
    let mapping = json!({
        "templateType": "CollectionContent",
        "template": [{
            "templateType": "CalculatedContent",
            "template": {
                "typeName": "heart-rate",
                "typeMatchExpression": matched,
                "deviceIdExpression": device,
                "patientIdExpression": patient,
                "timestampExpression": time,
                "values": [{ "required": true, "valueName": "heart rate", "valueExpression": value }],
            }
        }]
    });
    std::fs::write(directory.join("device.json"), mapping.to_string()).unwrap();
}
