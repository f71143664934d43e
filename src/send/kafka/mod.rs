//! Sending to a Kafka broker, through librdkafka, which reconnects and repeats by itself.
//!
//! A message is acknowledged when all in-sync replicas have it. What is repeated is stored once (an idempotent producer), and
//! messages of a key stay in order.

mod target;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer};
use serde_json::Value;

use super::supply::Supply;
use super::{SendError, SendReport};

pub(super) use self::target::{FORM, SCHEME_TLS, Target};

/// Most messages on their way.
const WINDOW: usize = 10_000;
/// Most bytes on their way, in KiB. Larger than the largest message there is.
const WINDOW_KIB: usize = 262_144;
/// Longest wait for the first answer of the broker.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Longest time that a message waits for its acknowledgement while connections break.
const RECONNECT_PATIENCE: Duration = Duration::from_secs(60);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// How often the broker is asked for the topic until it answers.
const ASK_EVERY: Duration = Duration::from_millis(200);

type Connection = FutureProducer<Troubles>;

/// Produces everything, and waits until all is acknowledged.
///
/// # Errors
/// When the broker or the topic is not there, or it is away for too long, or refuses a message.
pub(super) async fn send(target: Target, supply: Supply) -> Result<SendReport, SendError> {
    let troubles = Troubles::default();
    let connection = connect(&target, &troubles).await?;
    let sending = Sending {
        next: 0,
        acknowledged: 0,
        connected_at: Instant::now(),
        in_flight: FuturesUnordered::new(),
        target,
        supply,
        troubles,
        connection,
    };
    sending.run().await
}

/// A producer whose broker has answered, and has the topic.
async fn connect(target: &Target, troubles: &Troubles) -> Result<Connection, SendError> {
    let mut config = target.connection();
    config
        .set("client.id", "vitalwire-send")
        .set("enable.idempotence", "true")
        .set("acks", "all")
        // That of every other client but librdkafka's: devices keep their partition whoever sends.
        .set("partitioner", "murmur2_random")
        .set("message.max.bytes", "1000000000")
        .set("reconnect.backoff.max.ms", BACKOFF_MAX.as_millis().to_string())
        .set("message.timeout.ms", RECONNECT_PATIENCE.as_millis().to_string())
        .set("queue.buffering.max.messages", WINDOW.to_string())
        .set("queue.buffering.max.kbytes", WINDOW_KIB.to_string())
        .set("topic.metadata.propagation.max.ms", CONNECT_PATIENCE.as_millis().to_string());
    let unreachable = |reason| SendError::Unreachable { peer: target.peer(), reason };
    let connection: Connection =
        config.create_with_context(troubles.clone()).map_err(|error| unreachable(error.to_string()))?;
    let (asking, topic, told) = (connection.clone(), target.topic.clone(), troubles.clone());
    let found = tokio::task::spawn_blocking(move || find(&asking, &topic, &told)).await;
    found.map_err(|error| unreachable(error.to_string()))?.map_err(unreachable)?;
    Ok(connection)
}

/// Asks for the topic until it is there. Blocks.
fn find(connection: &Connection, topic: &str, troubles: &Troubles) -> Result<(), String> {
    let deadline = Instant::now() + CONNECT_PATIENCE;
    loop {
        let reason = match connection.client().fetch_metadata(Some(topic), ASK_EVERY) {
            Ok(metadata) if metadata.topics().iter().any(|topic| topic.error().is_none()) => return Ok(()),
            Ok(_) => {
                std::thread::sleep(ASK_EVERY);
                format!("it has no topic {topic}, or hides it; create it first")
            }
            Err(error) => troubles.last().unwrap_or_else(|| error.to_string()),
        };
        if troubles.is_hopeless() || Instant::now() > deadline {
            return Err(reason);
        }
    }
}

/// A sending that runs.
struct Sending {
    target: Target,
    supply: Supply,
    connection: Connection,
    troubles: Troubles,
    connected_at: Instant,
    in_flight: FuturesUnordered<DeliveryFuture>,
    /// Number of the next message.
    next: u64,
    acknowledged: u64,
}

impl Sending {
    async fn run(mut self) -> Result<SendReport, SendError> {
        let stop = self.supply.stop.clone();
        loop {
            self.fill()?;
            let has_more = self.has_more();
            if !has_more && self.in_flight.is_empty() {
                break;
            }
            let delivery = tokio::select! {
                () = stop.cancelled(), if has_more => {
                    self.supply.total = Some(self.next);
                    continue;
                }
                Some(delivery) = self.in_flight.next() => delivery,
                () = self.supply.due(), if has_more && self.in_flight.len() < WINDOW => continue,
            };
            match delivery {
                Ok(Ok(_)) => {
                    self.acknowledged = self.acknowledged.saturating_add(1);
                    self.supply.progress.inc(1);
                }
                Ok(Err((error, _message))) => return Err(self.failed(&error)),
                // The producer is alive, and so are its promises.
                Err(_cancelled) => return Err(self.failed(&KafkaError::Canceled)),
            }
        }
        self.supply.progress.finish_and_clear();
        Ok(SendReport { acknowledged: self.acknowledged, elapsed: self.connected_at.elapsed() })
    }

    fn has_more(&self) -> bool {
        self.supply.total.is_none_or(|total| self.next < total)
    }

    /// Hands over what window and pace allow.
    fn fill(&mut self) -> Result<(), SendError> {
        while self.has_more()
            && self.in_flight.len() < WINDOW
            && self.supply.is_due()
            && let Some(message) = self.supply.message(self.next)
        {
            let key = self.target.key.as_deref().and_then(|pointer| key(message, pointer));
            let record = FutureRecord { key: key.as_ref(), ..FutureRecord::to(&self.target.topic) };
            match self.connection.send_result(record.payload(message.as_ref())) {
                Ok(delivery) => self.in_flight.push(delivery),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) if !self.in_flight.is_empty() => {
                    return Ok(());
                }
                Err((error, _)) => return Err(self.failed(&error)),
            }
            self.next = self.next.saturating_add(1);
            self.supply.sent();
        }
        Ok(())
    }

    /// What a failed message says of the sending: whether the broker was away, or does not want it.
    fn failed(&self, error: &KafkaError) -> SendError {
        let peer = self.target.peer();
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageTimedOut) {
            let reason = self.troubles.last().unwrap_or_else(|| error.to_string());
            return SendError::Lost { peer, acknowledged: self.acknowledged, reason };
        }
        SendError::Refused { peer, reason: error.to_string() }
    }
}

/// The text a message has at a JSON Pointer: that of a string, or a number, `true` and `false` as they are written. There is
/// none otherwise; such a message may go to any partition.
fn key(message: &[u8], pointer: &str) -> Option<String> {
    let message: Value = serde_json::from_slice(message).ok()?;
    match message.pointer(pointer)? {
        Value::String(text) => Some(text.clone()),
        value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What librdkafka told of its connections. It never gives up by itself.
#[derive(Clone, Default)]
struct Troubles(Arc<Mutex<Option<(KafkaError, String)>>>);

impl Troubles {
    fn last(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(_, reason)| reason.clone())
    }

    /// Whether another try will end in the same way.
    fn is_hopeless(&self) -> bool {
        let trouble = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let code = trouble.as_ref().and_then(|(error, _)| error.rdkafka_error_code());
        matches!(code, Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL))
    }
}

impl ClientContext for Troubles {
    fn error(&self, error: KafkaError, reason: &str) {
        // This one says only that all others have been said.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((error, reason.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::key;

    #[track_caller]
    fn check(message: &str, pointer: &str, expected: Option<&str>) {
        assert_eq!(key(message.as_bytes(), pointer).as_deref(), expected, "{message}");
    }

    #[test]
    fn the_key_is_the_text_at_the_pointer() {
        check(r#"{"deviceid":"d-1"}"#, "/deviceid", Some("d-1"));
        check(r#"{"device":[{"a/b":7.50}]}"#, "/device/0/a~1b", Some("7.50"));
        check(r#"{"deviceid":true}"#, "/deviceid", Some("true"));
    }

    #[test]
    fn a_message_without_that_text_has_no_key() {
        check(r#"{"device":"d-1"}"#, "/deviceid", None);
        check(r#"{"deviceid":null}"#, "/deviceid", None);
        check(r#"{"deviceid":{"id":1}}"#, "/deviceid", None);
        check("7", "/deviceid", None);
    }
}
