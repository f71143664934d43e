//! What can be read with some settings, asked without joining the group.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::KafkaSettings;
use super::visitor::{Asking, POLL_PATIENCE, VisitError, VisitedTopic, Visitor, visit};

/// Longest wait for the newest messages of a topic.
const NEWEST_PATIENCE: Duration = Duration::from_secs(3);

/// What was found about a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundTopic {
    /// Its name.
    pub(crate) name: String,
    /// Its partitions.
    pub(crate) partitions: usize,
    /// Messages in them, about.
    pub(crate) messages: i64,
    /// Messages that the group has not committed yet, about.
    pub(crate) behind: i64,
    /// When the newest message was enqueued.
    pub(crate) newest: Option<Timestamp>,
}

/// Asks for the topics of the settings, what is in them, and what the group has committed.
///
/// # Errors
/// When the brokers cannot be reached, do not let us in, or a topic is not there.
pub(crate) async fn probe(settings: KafkaSettings) -> Result<Vec<FoundTopic>, VisitError> {
    visit(settings, ask).await
}

fn ask(visitor: &Visitor, settings: &KafkaSettings) -> Result<Vec<FoundTopic>, VisitError> {
    let mut found = Vec::new();
    for (wanted, topics) in visitor.topics(&settings.topics)? {
        if topics.is_empty() {
            return Err(VisitError::NoTopic { topic: wanted });
        }
        for topic in topics {
            found.push(look_into(visitor, topic).map_err(|error| visitor.why(error))?);
        }
    }
    Ok(found)
}

fn look_into(visitor: &Visitor, topic: VisitedTopic) -> KafkaResult<FoundTopic> {
    let VisitedTopic { name, partitions } = topic;
    let (mut messages, mut behind) = (0_i64, 0_i64);
    let mut newest = TopicPartitionList::new();
    for partition in &partitions {
        let (low, high) = visitor.bounds(&name, partition.number)?;
        messages = messages.saturating_add(high.saturating_sub(low));
        let next = partition.committed.unwrap_or(low).max(low);
        behind = behind.saturating_add(high.saturating_sub(next));
        if high > low {
            newest.add_partition_offset(&name, partition.number, Offset::OffsetTail(1))?;
        }
    }
    let newest = newest_of(&visitor.consumer, &newest)?;
    Ok(FoundTopic { name, partitions: partitions.len(), messages, behind, newest })
}

/// When the newest message of these partitions was enqueued, as far as it is found out in time.
fn newest_of(consumer: &BaseConsumer<Asking>, ends: &TopicPartitionList) -> KafkaResult<Option<Timestamp>> {
    consumer.assign(ends)?;
    let (deadline, mut seen, mut newest) = (Instant::now() + NEWEST_PATIENCE, 0, None);
    while seen < ends.count() && Instant::now() < deadline {
        if let Some(Ok(message)) = consumer.poll(POLL_PATIENCE) {
            seen += 1;
            newest = newest.max(message.timestamp().to_millis());
        }
    }
    consumer.unassign()?;
    Ok(newest.and_then(|millis| Timestamp::from_millisecond(millis).ok()))
}
