//! A device that publishes and waits for its acknowledgements.

use std::time::Duration;

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};

/// Largest packet a device sends.
const PACKET_BYTES_MAX: usize = 64 << 20;

/// How a device is called, and what it publishes to.
pub(crate) struct Device<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) topic: &'a str,
}

impl Device<'_> {
    /// Publishes at QoS 1 to `address` and waits for every acknowledgement.
    pub(crate) async fn publish(&self, address: &str, payloads: &[&[u8]]) {
        let (host, port) = address.rsplit_once(':').unwrap();
        let mut options = MqttOptions::new(self.client_id, host, port.parse().unwrap());
        options.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
        let (client, mut connection) = AsyncClient::new(options, payloads.len());
        for payload in payloads {
            client.publish(self.topic, QoS::AtLeastOnce, false, *payload).await.unwrap();
        }
        let mut acknowledged = 0;
        while acknowledged < payloads.len() {
            let event = tokio::time::timeout(Duration::from_secs(30), connection.poll()).await.expect("no answer");
            if let Event::Incoming(Packet::PubAck(_)) = event.unwrap() {
                acknowledged += 1;
            }
        }
    }
}

/// Publishes as some device to some topic.
pub(crate) async fn publish(address: &str, payloads: &[&[u8]]) {
    Device { client_id: "device", topic: "readings" }.publish(address, payloads).await;
}
