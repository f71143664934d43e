//! Everything on embedded defaults, with real device recordings replayed as if devices were sending them now.
//!
//! Each recorded device is an MQTT client of its own that publishes at QoS 1 to the listener of this process, so the
//! demo goes the way every message goes. A reading keeps its values and gets the time at which it is sent. Sources and
//! terms of the recordings are in NOTICE.

mod devices;
mod recording;

use std::net::SocketAddr;
use std::path::Path;

pub(crate) use self::devices::Devices;

/// Name of the demo's only connector.
pub(crate) const CONNECTOR: &str = "demo";

/// The configuration of the demo, as one would write it in a file.
pub(crate) fn config_text(data_dir: &Path, http: SocketAddr, mqtt: SocketAddr) -> String {
    let data_dir = toml::Value::String(data_dir.display().to_string());
    format!(
        r#"data_dir = {data_dir}

[log]
filter = "warn"

[http]
listen = "{http}"

[[connectors]]
name = "{CONNECTOR}"
device_mapping = "shipped:demo/device.json"
fhir_mapping = "shipped:demo/fhir.json"
identity = {{ mode = "create" }}

[[connectors.sources]]
type = "mqtt-listener"
listen = "{mqtt}"
"#
    )
}
