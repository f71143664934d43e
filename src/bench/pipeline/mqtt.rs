//! Topics of an MQTT broker: one for the measured source, one for a bare consumer, both at QoS 1.

use std::time::Duration;

use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, NetworkOptions, Packet, QoS};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use url::Url;
use uuid::Uuid;

use super::error::PipelineError;

/// Longest wait for an answer of the broker.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Longest wait of the consumer for anything at all.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Publications that may wait for the connection.
const REQUESTS_MAX: usize = 100;

/// Topics of their own at a broker.
pub(super) struct Topics {
    host: String,
    port: u16,
    /// Of the source; the session of the source has the same name.
    measured: String,
    bare: String,
}

impl Topics {
    /// Looks whether the broker lets anybody in.
    ///
    /// # Errors
    /// When it is not there, or does not.
    pub(super) async fn open(broker: &str) -> Result<Self, PipelineError> {
        let address = || PipelineError::Address(broker.to_owned());
        let url = Url::parse(&format!("mqtt://{broker}")).map_err(|_none| address())?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(address)?;
        let measured = format!("vitalwire-bench-{}", Uuid::new_v4().simple());
        let topics = Self {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port().unwrap_or(1883),
            bare: format!("{measured}-bare"),
            measured,
        };
        drop(topics.connect(&topics.measured).await?);
        Ok(topics)
    }

    /// What is measured, in words.
    pub(super) fn introduction(&self) -> String {
        format!("MQTT at {}, QoS 1", self.broker())
    }

    /// The source that subscribes to the topic, as its configuration says it.
    pub(super) fn source(&self) -> String {
        let Self { host, port, measured, .. } = self;
        format!("type = \"mqtt\"\nhost = {host:?}\nport = {port}\ntopics = [{measured:?}]\nclient_id = {measured:?}\n")
    }

    /// The topic of the source, as `vitalwire send` wants it.
    pub(super) fn url(&self) -> String {
        format!("mqtt://{}/{}", self.broker(), self.measured)
    }

    fn broker(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// A connection that has subscribed to the other topic.
    ///
    /// # Errors
    /// When the broker does not want that.
    pub(super) async fn consumer(&self, messages: u64) -> Result<Consumer, PipelineError> {
        let (client, mut events) = self.connect(&self.bare).await?;
        client.subscribe(&self.bare, QoS::AtLeastOnce).await.map_err(|_ended| PipelineError::MqttEnded)?;
        while !matches!(next(&mut events, ANSWER_MAX).await?, Event::Incoming(Packet::SubAck(_))) {}
        let url = format!("mqtt://{}/{}", self.broker(), self.bare);
        Ok(Consumer { url, _client: client, events, left: messages })
    }

    /// A connection that publishes.
    ///
    /// # Errors
    /// When the broker does not want it.
    pub(super) async fn producer(&self) -> Result<Producer, PipelineError> {
        let (client, mut events) = self.connect(&format!("{}-single", self.measured)).await?;
        let stop = CancellationToken::new();
        let ended = stop.clone();
        // Ends with the producer, or with its connection, which the next publication notices.
        let work = async move { while events.poll().await.is_ok() {} };
        TaskTracker::new().spawn(async move { ended.run_until_cancelled(work).await });
        Ok(Producer { client, topic: self.measured.clone(), _stop: stop.drop_guard() })
    }

    /// Has the broker forget the session of the source.
    pub(super) async fn close(self) {
        // A clean session takes the place of the old one and ends with its connection. A broker that has gone has none.
        drop(self.connect(&self.measured).await);
    }

    /// A connection with a clean session of this name, which the broker has taken.
    async fn connect(&self, client_id: &str) -> Result<(AsyncClient, EventLoop), PipelineError> {
        let options = MqttOptions::new(client_id, &self.host, self.port);
        let (client, mut events) = AsyncClient::new(options, REQUESTS_MAX);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        let answered = timeout(ANSWER_MAX, async {
            while !matches!(events.poll().await?, Event::Incoming(Packet::ConnAck(_))) {}
            Ok(())
        });
        let answered = answered.await.unwrap_or(Err(ConnectionError::NetworkTimeout));
        answered.map_err(|cause| PipelineError::NoMqtt { broker: self.broker(), cause: Box::new(cause) })?;
        Ok((client, events))
    }
}

/// What happens next on a connection.
async fn next(events: &mut EventLoop, patience: Duration) -> Result<Event, PipelineError> {
    let event = timeout(patience, events.poll()).await.unwrap_or(Err(ConnectionError::NetworkTimeout));
    event.map_err(|cause| PipelineError::Mqtt(Box::new(cause)))
}

/// A subscriber that acknowledges by itself.
pub(super) struct Consumer {
    url: String,
    /// The connection ends without it.
    _client: AsyncClient,
    events: EventLoop,
    left: u64,
}

impl Consumer {
    /// Its topic, as `vitalwire send` wants it.
    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    /// Reads until it has all messages.
    ///
    /// # Errors
    /// When they do not come.
    pub(super) async fn consume(&mut self) -> Result<(), PipelineError> {
        while self.left > 0 {
            if let Event::Incoming(Packet::Publish(_)) = next(&mut self.events, SILENCE_MAX).await? {
                self.left -= 1;
            }
        }
        Ok(())
    }
}

/// A publisher to the topic of the source.
pub(super) struct Producer {
    client: AsyncClient,
    topic: String,
    _stop: DropGuard,
}

impl Producer {
    /// Hands a message to the connection.
    ///
    /// # Errors
    /// When that has ended.
    pub(super) async fn send(&self, message: String) -> Result<(), PipelineError> {
        let sent = self.client.publish(&self.topic, QoS::AtLeastOnce, false, message).await;
        sent.map_err(|_ended| PipelineError::MqttEnded)
    }
}
