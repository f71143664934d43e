//! What can be read with some settings, asked without joining the group.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::metadata::MetadataTopic;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use regex::Regex;
use tokio::runtime::Handle;

use super::group::fetch;
use super::trouble::mend;
use super::{FetchToken, KafkaSettings, Login, options};

/// Longest wait for an answer of a broker.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest wait for the newest messages of a topic.
const NEWEST_PATIENCE: Duration = Duration::from_secs(3);
/// Most complaints listened to; they do not end.
const COMPLAINTS_MAX: usize = 20;
/// Longest wait for one event.
const POLL_PATIENCE: Duration = Duration::from_millis(100);

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

/// Why the topics cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    /// The brokers do not answer, or refuse.
    #[error("{reason}{mend}")]
    Refused {
        /// What was said.
        reason: String,
        /// What to do about it.
        mend: &'static str,
    },
    /// No such topic, as far as we may see.
    #[error("there is no topic `{topic}`, or whoever connects may not see it; check `topics`")]
    NoTopic {
        /// As configured.
        topic: String,
    },
    /// A pattern cannot be read.
    #[error("the pattern `{topic}` in `topics` cannot be read")]
    Pattern {
        /// As configured.
        topic: String,
        /// Why.
        source: regex::Error,
    },
}

/// Asks for the topics of the settings, what is in them, and what the group has committed.
///
/// # Errors
/// When the brokers cannot be reached, do not let us in, or a topic is not there.
pub(crate) async fn probe(settings: KafkaSettings) -> Result<Vec<FoundTopic>, ProbeError> {
    let runtime = Handle::current();
    let asked = tokio::task::spawn_blocking(move || ask(&settings, runtime)).await;
    asked.unwrap_or_else(|_panic| Err(ProbeError::Refused { reason: "the check broke".to_owned(), mend: "" }))
}

/// What librdkafka tells while it is asked.
struct Asking {
    runtime: Handle,
    fetch_token: Option<FetchToken>,
    /// The last complaint, which says more than the answer that did not come.
    complaint: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

fn ask(settings: &KafkaSettings, runtime: Handle) -> Result<Vec<FoundTopic>, ProbeError> {
    let fetch_token = match &settings.login {
        Login::Tokens(fetch) => Some(std::sync::Arc::clone(fetch)),
        Login::Anonymous | Login::Password { .. } => None,
    };
    let asking = Asking { runtime, fetch_token, complaint: Mutex::new(None) };
    let consumer: BaseConsumer<Asking> = options::visitor(settings).create_with_context(asking).map_err(refused)?;
    if matches!(settings.login, Login::Tokens(_)) {
        // Tokens are fetched while polling.
        drop(consumer.poll(POLL_PATIENCE));
    }
    let failed = |error| why(&consumer, error);
    let metadata = consumer.fetch_metadata(None, PATIENCE).map_err(failed)?;
    let mut found = Vec::new();
    for wanted in &settings.topics {
        let names = matching(wanted, metadata.topics())?;
        if names.is_empty() {
            return Err(ProbeError::NoTopic { topic: wanted.clone() });
        }
        for topic in names {
            found.push(look_into(&consumer, topic).map_err(failed)?);
        }
    }
    Ok(found)
}

/// The topics that a name or pattern means.
fn matching<'a>(wanted: &str, topics: &'a [MetadataTopic]) -> Result<Vec<&'a MetadataTopic>, ProbeError> {
    let usable = topics.iter().filter(|topic| topic.error().is_none());
    if !wanted.starts_with('^') {
        return Ok(usable.filter(|topic| topic.name() == wanted).collect());
    }
    let pattern = Regex::new(wanted).map_err(|source| ProbeError::Pattern { topic: wanted.to_owned(), source })?;
    Ok(usable.filter(|topic| pattern.is_match(topic.name())).collect())
}

fn look_into(consumer: &BaseConsumer<Asking>, topic: &MetadataTopic) -> KafkaResult<FoundTopic> {
    let mut partitions = TopicPartitionList::new();
    for partition in topic.partitions() {
        partitions.add_partition(topic.name(), partition.id());
    }
    let committed = committed(consumer, &partitions)?;
    let (mut messages, mut behind) = (0_i64, 0_i64);
    let mut newest = TopicPartitionList::new();
    for partition in committed.elements() {
        partition.error()?;
        let (low, high) = consumer.fetch_watermarks(topic.name(), partition.partition(), PATIENCE)?;
        messages = messages.saturating_add(high.saturating_sub(low));
        let next = partition.offset().to_raw().filter(|offset| *offset >= 0).unwrap_or(low).max(low);
        behind = behind.saturating_add(high.saturating_sub(next));
        if high > low {
            newest.add_partition_offset(topic.name(), partition.partition(), Offset::OffsetTail(1))?;
        }
    }
    let newest = newest_of(consumer, &newest)?;
    Ok(FoundTopic { name: topic.name().to_owned(), partitions: topic.partitions().len(), messages, behind, newest })
}

/// What the group has committed. A cluster that has had no groups so far is still about to make room for their offsets.
fn committed(consumer: &BaseConsumer<Asking>, partitions: &TopicPartitionList) -> KafkaResult<TopicPartitionList> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let committed = consumer.committed_offsets(partitions.clone(), PATIENCE);
        let code = committed.as_ref().err().and_then(KafkaError::rdkafka_error_code);
        let is_passing = matches!(
            code,
            Some(
                RDKafkaErrorCode::NotCoordinator
                    | RDKafkaErrorCode::CoordinatorNotAvailable
                    | RDKafkaErrorCode::CoordinatorLoadInProgress
            )
        );
        if !is_passing || Instant::now() > deadline {
            return committed;
        }
        std::thread::sleep(POLL_PATIENCE);
    }
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

/// Why an answer did not come. Complaints are told while polling.
fn why(consumer: &BaseConsumer<Asking>, error: KafkaError) -> ProbeError {
    for _ in 0..COMPLAINTS_MAX {
        if consumer.poll(POLL_PATIENCE).is_none() {
            break;
        }
    }
    consumer.context().complaint().unwrap_or_else(|| refused(error))
}

fn refused(error: KafkaError) -> ProbeError {
    let mend = error.rdkafka_error_code().map_or("", mend);
    ProbeError::Refused { reason: error.to_string(), mend }
}

impl Asking {
    fn complaint(&self) -> Option<ProbeError> {
        let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner).take();
        complaint.map(|(code, reason)| ProbeError::Refused { reason, mend: mend(code) })
    }
}

impl ConsumerContext for Asking {}

impl ClientContext for Asking {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        // That all brokers are down says less than why each of them is.
        if complaint.is_none() || code != RDKafkaErrorCode::AllBrokersDown {
            *complaint = Some((code, reason.to_owned()));
        }
    }

    fn generate_oauth_token(&self, _config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        fetch(&self.runtime, self.fetch_token.as_ref())
    }
}
