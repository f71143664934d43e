//! Where a group begins that is to read only what comes from now on.
//!
//! librdkafka's own setting for that would go to the end of every partition of which nothing is committed, and of every one
//! whose committed messages were deleted. That skips messages nobody has read: those of a partition that was added a moment
//! ago, those that were taken and not yet committed when the process died for the first time, those that are left of a
//! long absence. So the ends of a topic are committed once, before the group reads it, and from then on nothing is skipped.

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::KafkaSettings;
use super::visitor::{VisitError, VisitedTopic, Visitor, visit};

/// Commits the ends of the topics of which the group has committed nothing at all.
///
/// A group that has members already does not let itself be told by others. It has begun, and goes on by itself: with the
/// oldest message of a topic that was added to it meanwhile.
///
/// # Errors
/// When the brokers do not answer, or do not let us in.
pub(super) async fn begin_at_the_ends(settings: KafkaSettings) -> Result<(), VisitError> {
    visit(settings, begin).await
}

fn begin(visitor: &Visitor, settings: &KafkaSettings) -> Result<(), VisitError> {
    let topics = visitor.topics(&settings.topics)?;
    let ends = ends(visitor, topics.iter().flat_map(|(_, topics)| topics)).map_err(|error| visitor.why(error))?;
    if ends.count() == 0 {
        return Ok(());
    }
    match visitor.consumer.commit(&ends, CommitMode::Sync) {
        Ok(()) => Ok(()),
        Err(error) if has_members(&error) => Ok(()),
        Err(error) => Err(visitor.why(error)),
    }
}

/// The ends of all partitions of topics that are new to the group.
fn ends<'a>(visitor: &Visitor, topics: impl Iterator<Item = &'a VisitedTopic>) -> KafkaResult<TopicPartitionList> {
    let mut ends = TopicPartitionList::new();
    for topic in topics.filter(|topic| topic.partitions.iter().all(|partition| partition.committed.is_none())) {
        for partition in &topic.partitions {
            let (_low, high) = visitor.bounds(&topic.name, partition.number)?;
            ends.add_partition_offset(&topic.name, partition.number, Offset::Offset(high))?;
        }
    }
    Ok(ends)
}

fn has_members(error: &KafkaError) -> bool {
    matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::UnknownMemberId | RDKafkaErrorCode::IllegalGeneration))
}
