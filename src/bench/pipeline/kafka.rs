//! Topics of a Kafka broker: one for the measured source, one for a bare consumer.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::error::PipelineError;
use super::load::device;

/// Partitions of each topic.
const PARTITIONS: i32 = 4;
/// Longest wait for an answer of the broker.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Longest wait of the consumer for a message.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Longest wait of one poll.
const POLL_PATIENCE: Duration = Duration::from_millis(100);

/// Topics of their own at a broker.
pub(super) struct Topics {
    broker: String,
    measured: String,
    bare: String,
    admin: AdminClient<DefaultClientContext>,
}

impl Topics {
    /// Creates the topics.
    ///
    /// # Errors
    /// When the broker is not there, or does not want that.
    pub(super) async fn open(broker: &str) -> Result<Self, PipelineError> {
        let no_kafka = |cause| PipelineError::NoKafka { broker: broker.to_owned(), cause };
        let measured = format!("vitalwire-bench-{}", Uuid::new_v4().simple());
        let bare = format!("{measured}-bare");
        let admin: AdminClient<_> = client(broker).create().map_err(no_kafka)?;
        let topics = [&measured, &bare].map(|name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1)));
        for created in admin.create_topics(&topics, &options()).await.map_err(no_kafka)? {
            created.map_err(|(topic, cause)| PipelineError::NoTopic { topic, cause })?;
        }
        Ok(Self { broker: broker.to_owned(), measured, bare, admin })
    }

    /// What is measured, in words.
    pub(super) fn introduction(&self) -> String {
        format!("Kafka at {}, a topic of {PARTITIONS} partitions", self.broker)
    }

    /// The source that reads the topic, as its configuration says it.
    pub(super) fn source(&self) -> String {
        let (broker, topic) = (&self.broker, &self.measured);
        format!("type = \"kafka\"\nbootstrap_servers = {broker:?}\ntopics = [{topic:?}]\ngroup_id = {topic:?}\n")
    }

    /// The topic of the source, as `vitalwire send` wants it.
    pub(super) fn url(&self) -> String {
        self.url_of(&self.measured)
    }

    fn url_of(&self, topic: &str) -> String {
        format!("kafka://{}/{topic}?key=/deviceid", self.broker)
    }

    /// A member of a group of its own, with all partitions of the other topic.
    ///
    /// # Errors
    /// When the group does not come about.
    pub(super) async fn consumer(&self, messages: u64) -> Result<Consumer, PipelineError> {
        let mut config = client(&self.broker);
        config.set("group.id", &self.bare).set("auto.offset.reset", "earliest");
        config.set("enable.auto.commit", "true").set("enable.auto.offset.store", "false");
        let member: BaseConsumer = config.create().map_err(PipelineError::Kafka)?;
        member.subscribe(&[self.bare.as_str()]).map_err(PipelineError::Kafka)?;
        let ((ready, is_ready), (ended, end)) = (oneshot::channel(), oneshot::channel());
        tokio::task::spawn_blocking(move || {
            // Nobody listens any more when the measurement has failed.
            let ready = || ready.send(()).unwrap_or_default();
            ended.send(read(&member, messages, ready)).unwrap_or_default();
        });
        let mut consumer = Consumer { url: self.url_of(&self.bare), end };
        if is_ready.await.is_err() {
            consumer.consume().await?;
        }
        Ok(consumer)
    }

    /// A producer that sends each message at once.
    ///
    /// # Errors
    /// When librdkafka cannot make one.
    pub(super) fn producer(&self) -> Result<Producer, PipelineError> {
        let mut config = client(&self.broker);
        config.set("linger.ms", "0").set("partitioner", "murmur2_random");
        Ok(Producer { producer: config.create().map_err(PipelineError::Kafka)?, topic: self.measured.clone() })
    }

    /// Deletes the topics.
    pub(super) async fn close(self) {
        // A broker that has gone in the meantime keeps them.
        drop(self.admin.delete_topics(&[&self.measured, &self.bare], &options()).await);
    }
}

fn client(broker: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker).set("client.id", "vitalwire-bench");
    config
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER_MAX)).operation_timeout(Some(ANSWER_MAX))
}

/// A consumer that reads on a thread of its own.
pub(super) struct Consumer {
    url: String,
    end: oneshot::Receiver<Result<(), KafkaError>>,
}

impl Consumer {
    /// Its topic, as `vitalwire send` wants it.
    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    /// Waits until it has all messages.
    ///
    /// # Errors
    /// When they do not come.
    pub(super) async fn consume(&mut self) -> Result<(), PipelineError> {
        let ended = (&mut self.end).await.unwrap_or(Err(KafkaError::Canceled));
        ended.map_err(PipelineError::Kafka)
    }
}

/// Reads so many messages and commits their offsets. Blocks.
fn read(member: &BaseConsumer, messages: u64, ready: impl FnOnce()) -> Result<(), KafkaError> {
    let (mut left, mut since) = (messages, Instant::now());
    while member.assignment()?.count() == 0 {
        // There is nothing to read yet; polling makes the group go on.
        drop(poll(member, since)?);
    }
    ready();
    while left > 0 {
        if let Some(message) = poll(member, since)? {
            member.store_offset_from_message(&message)?;
            (left, since) = (left - 1, Instant::now());
        }
    }
    member.commit_consumer_state(CommitMode::Sync)
}

/// The next message, if there is one before long.
fn poll(member: &BaseConsumer, silent_since: Instant) -> Result<Option<BorrowedMessage<'_>>, KafkaError> {
    match member.poll(POLL_PATIENCE) {
        Some(Ok(message)) => Ok(Some(message)),
        Some(Err(fatal @ KafkaError::MessageConsumptionFatal(_))) => Err(fatal),
        Some(Err(error)) if silent_since.elapsed() > SILENCE_MAX => Err(error),
        None if silent_since.elapsed() > SILENCE_MAX => {
            Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))
        }
        // librdkafka goes on by itself.
        Some(Err(_)) | None => Ok(None),
    }
}

/// A producer for the topic of the source.
pub(super) struct Producer {
    producer: FutureProducer,
    topic: String,
}

impl Producer {
    /// Sends a message, to the partition that `vitalwire send` would choose.
    ///
    /// # Errors
    /// When the broker does not take it.
    pub(super) async fn send(&self, number: u64, message: &str) -> Result<(), PipelineError> {
        let device = device(number);
        let record = FutureRecord::to(&self.topic).key(&device).payload(message);
        self.producer.send(record, ANSWER_MAX).await.map(drop).map_err(|(cause, _message)| PipelineError::Kafka(cause))
    }
}
