//! What is done at a Kafka broker besides what the product does: topics, messages, a look at what a group has committed.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::{FutureProducer, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// Longest wait for the broker, which may be starting.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client of one broker.
pub(crate) struct Client {
    config: ClientConfig,
    producer: FutureProducer,
}

impl Client {
    pub(crate) fn new(address: &str) -> Self {
        Self::with(address, &[])
    }

    /// A client with more settings of librdkafka.
    pub(crate) fn with(address: &str, more: &[(&str, &str)]) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", address).set("reconnect.backoff.max.ms", "200");
        config.set("message.max.bytes", "33554432").set("topic.metadata.refresh.fast.interval.ms", "20");
        for (name, value) in more {
            config.set(*name, *value);
        }
        let producer = config.create().unwrap();
        Self { config, producer }
    }

    /// How many brokers there are; waits for one.
    pub(crate) fn brokers(&self) -> usize {
        let metadata = self.producer.client().fetch_metadata(None, PATIENCE);
        metadata.map_or(0, |metadata| metadata.brokers().len())
    }

    pub(crate) async fn create_topic(&self, topic: &str, partitions: i32) {
        self.create(NewTopic::new(topic, partitions, TopicReplication::Fixed(1))).await;
    }

    /// A topic of one partition that takes no message larger than this.
    pub(crate) async fn create_narrow_topic(&self, topic: &str, message_bytes_max: u32) {
        let message_bytes_max = message_bytes_max.to_string();
        let topic = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
        self.create(topic.set("max.message.bytes", &message_bytes_max)).await;
    }

    async fn create(&self, topic: NewTopic<'_>) {
        let results = self.admin().create_topics([&topic], &options()).await.unwrap();
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config.create().unwrap()
    }

    /// All messages of a topic, by partition in order.
    pub(crate) fn messages(&self, topic: &str) -> Vec<OwnedMessage> {
        let mut config = self.config.clone();
        config.set("group.id", "reads-alone").set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create().unwrap();
        let (mut assigned, mut count) = (TopicPartitionList::new(), 0);
        for (partition, end) in (0..).zip(self.ends(topic)) {
            assigned.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
            count += usize::try_from(end).unwrap();
        }
        consumer.assign(&assigned).unwrap();
        let message = |_| consumer.poll(PATIENCE).expect("no message").unwrap().detach();
        let mut messages: Vec<OwnedMessage> = (0..count).map(message).collect();
        messages.sort_by_key(Message::partition);
        messages
    }

    /// The offset that the next message of each partition will have.
    pub(crate) fn ends(&self, topic: &str) -> Vec<i64> {
        let client = self.producer.client();
        let metadata = client.fetch_metadata(Some(topic), PATIENCE).unwrap();
        let partitions = metadata.topics()[0].partitions().iter().map(|partition| partition.id());
        partitions.map(|partition| client.fetch_watermarks(topic, partition, PATIENCE).unwrap().1).collect()
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE))
}
