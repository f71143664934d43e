//! What an operator's Prometheus sees.

use std::time::Duration;

use reqwest::Method;

use crate::support::config::{mqtt_listener, wearables};
use crate::support::process::Vitalwire;
use crate::support::publish::publish;
use crate::support::wait::until;

#[tokio::test]
async fn messages_states_and_delays_are_exposed() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &wearables(&mqtt_listener()));
    let good = br#"{"deviceid":"d","patientid":"p","measurementdatetime":"2024-03-02T07:15:00Z","heartrate":61}"#;
    publish(product.mqtt.as_ref().unwrap(), &[good, b"{}", b"["]).await;
    let url = format!("{}/metrics", product.http);
    let scrape = async || product.fhir().send(Method::GET, &url, &[], None).await.text().await.unwrap();
    let stored = r#"envelopes_settled_total{connector="wearables",outcome="stored"} 1"#;
    let metrics = until(Duration::from_secs(20), scrape, |metrics| metrics.contains(stored)).await;
    for line in [
        r#"envelopes_received_total{connector="wearables"} 3"#,
        r#"envelopes_settled_total{connector="wearables",outcome="unmatched"} 1"#,
        r#"envelopes_settled_total{connector="wearables",outcome="dead_lettered"} 1"#,
        r#"envelopes_in_flight{connector="wearables"} 0"#,
        r#"connector_state{connector="wearables",state="running"} 1"#,
        r#"connector_state{connector="wearables",state="halted"} 0"#,
        r#"source_connected{connector="wearables",source="0",type="mqtt-listener"} 1"#,
        r#"delivery_seconds_count{connector="wearables"} 1"#,
        r#"dead_letters_recorded_total{connector="wearables",stage="normalize",code="InvalidDataFormatException"} 1"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "no `{line}` in:\n{metrics}");
    }
}
