//! What is done at a Kafka broker besides what the product does: topics, messages, a look at what a group has committed.

use std::time::Duration;

use futures_util::future::join_all;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;

/// Longest wait for the broker, which may be starting.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client of one broker.
pub(crate) struct Client {
    config: ClientConfig,
    producer: FutureProducer,
}

/// A message as it is sent. Without a payload it is what log compaction calls a tombstone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// Milliseconds since 1970; now without.
    pub(crate) timestamp: Option<i64>,
    /// That of the key without, or any.
    pub(crate) partition: Option<i32>,
}

impl Record {
    pub(crate) fn new(payload: impl Into<Vec<u8>>) -> Self {
        Self { payload: Some(payload.into()), ..Self::default() }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn key(mut self, key: &str) -> Self {
        self.key = Some(key.into());
        self
    }

    pub(crate) fn in_partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }
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

    /// All topics there are.
    pub(crate) fn topics(&self) -> Vec<String> {
        let metadata = self.producer.client().fetch_metadata(None, PATIENCE).unwrap();
        metadata.topics().iter().map(|topic| topic.name().to_owned()).collect()
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

    /// A topic has so many partitions from now on.
    pub(crate) async fn add_partitions(&self, topic: &str, count: usize) {
        let partitions = NewPartitions::new(topic, count);
        let results = self.admin().create_partitions([&partitions], &options()).await.unwrap();
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }

    /// Messages of a partition before this offset are gone, as when they are too old.
    pub(crate) async fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut before = TopicPartitionList::new();
        before.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        let deleted = self.admin().delete_records(&before, &options()).await.unwrap();
        assert!(deleted.elements().iter().all(|partition| partition.error().is_ok()), "{deleted:?}");
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config.create().unwrap()
    }

    /// Sends messages; all are at the broker when it returns.
    pub(crate) async fn send(&self, topic: &str, records: &[Record]) {
        let sent = join_all(records.iter().map(|record| self.producer.send(of(topic, record), PATIENCE))).await;
        for delivery in sent {
            delivery.unwrap();
        }
    }

    /// Sends JSON, spread over the partitions.
    pub(crate) async fn send_json(&self, topic: &str, messages: &[Value]) {
        let records: Vec<Record> = messages.iter().map(|message| Record::new(message.to_string())).collect();
        self.send(topic, &records).await;
    }

    /// Sends JSON little by little, a few hundred messages a second.
    pub(crate) async fn trickle(&self, topic: &str, messages: &[Value]) {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        for some in messages.chunks(25) {
            ticks.tick().await;
            self.send_json(topic, some).await;
        }
    }

    /// How many members of a group have partitions.
    pub(crate) fn members_at_work(&self, group: &str) -> usize {
        let consumer: BaseConsumer = self.config.create().unwrap();
        let list = consumer.fetch_group_list(Some(group), PATIENCE).unwrap();
        let members = list.groups().iter().flat_map(|group| group.members());
        // A version in two bytes, then the number of topics in four.
        members.filter(|member| member.assignment().is_some_and(|bytes| bytes[2..6] != [0; 4])).count()
    }

    /// The offset a group reads on from in each partition of a topic; `None` when it has committed none.
    pub(crate) fn committed(&self, group: &str, topic: &str) -> Vec<Option<i64>> {
        let consumer: BaseConsumer = self.config.clone().set("group.id", group).create().unwrap();
        let mut asked = TopicPartitionList::new();
        let partitions = i32::try_from(self.ends(topic).len()).unwrap();
        asked.add_partition_range(topic, 0, partitions - 1);
        let committed = consumer.committed_offsets(asked, PATIENCE).unwrap();
        committed.elements().iter().map(|element| element.offset().to_raw().filter(|offset| *offset >= 0)).collect()
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

fn of<'a>(topic: &'a str, record: &'a Record) -> FutureRecord<'a, [u8], [u8]> {
    let headers = record
        .headers
        .iter()
        .fold(OwnedHeaders::new(), |headers, (name, value)| headers.insert(Header { key: name, value: Some(value) }));
    FutureRecord {
        topic,
        partition: record.partition,
        payload: record.payload.as_deref(),
        key: record.key.as_deref(),
        timestamp: record.timestamp,
        headers: Some(headers),
    }
}
