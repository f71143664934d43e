//! A client that asks about topics and a group without being a member of it.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{ClientContext, TopicPartitionList};
use regex::Regex;
use tokio::runtime::Handle;

use super::group::fetch;
use super::trouble::mend;
use super::{FetchToken, KafkaSettings, Login, options};

/// Longest wait for an answer of a broker.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most complaints listened to; they do not end.
const COMPLAINTS_MAX: usize = 20;
/// Longest wait for one event.
pub(super) const POLL_PATIENCE: Duration = Duration::from_millis(100);

/// The client. Whatever it is asked blocks until it is answered.
pub(super) struct Visitor {
    pub(super) consumer: BaseConsumer<Asking>,
}

/// A topic, and what the group has committed of it.
pub(super) struct VisitedTopic {
    pub(super) name: String,
    pub(super) partitions: Vec<VisitedPartition>,
}

/// A partition, and what the group has committed of it.
pub(super) struct VisitedPartition {
    pub(super) number: i32,
    /// The offset behind what was committed, if anything was.
    pub(super) committed: Option<i64>,
}

/// What librdkafka tells while it is asked.
pub(super) struct Asking {
    runtime: Handle,
    fetch_token: Option<FetchToken>,
    /// The last complaint, which says more than the answer that did not come.
    complaint: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

/// Why the topics cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VisitError {
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

/// Has a client of these settings ask, aside.
///
/// # Errors
/// As `ask`, and when librdkafka makes no client.
pub(super) async fn visit<T: Send + 'static>(
    settings: KafkaSettings,
    ask: fn(&Visitor, &KafkaSettings) -> Result<T, VisitError>,
) -> Result<T, VisitError> {
    let runtime = Handle::current();
    let asked = tokio::task::spawn_blocking(move || ask(&Visitor::new(&settings, runtime)?, &settings)).await;
    asked.unwrap_or_else(|_panic| Err(VisitError::Refused { reason: "the question broke off".to_owned(), mend: "" }))
}

impl Visitor {
    /// A client for these settings.
    ///
    /// # Errors
    /// When librdkafka cannot make one.
    fn new(settings: &KafkaSettings, runtime: Handle) -> Result<Self, VisitError> {
        let fetch_token = match &settings.login {
            Login::Tokens(fetch) => Some(Arc::clone(fetch)),
            Login::Anonymous | Login::Password { .. } => None,
        };
        let asking = Asking { runtime, fetch_token, complaint: Mutex::new(None) };
        let consumer: BaseConsumer<Asking> = options::visitor(settings).create_with_context(asking).map_err(refused)?;
        if matches!(settings.login, Login::Tokens(_)) {
            // Tokens are fetched while polling.
            drop(consumer.poll(POLL_PATIENCE));
        }
        Ok(Self { consumer })
    }

    /// Each name or pattern with the topics that it means, as far as they exist and may be seen.
    ///
    /// # Errors
    /// When the brokers do not answer, do not let us in, or a pattern cannot be read.
    pub(super) fn topics(&self, wanted: &[String]) -> Result<Vec<(String, Vec<VisitedTopic>)>, VisitError> {
        let metadata = self.consumer.fetch_metadata(None, PATIENCE).map_err(|error| self.why(error))?;
        let topics = wanted.iter().map(|wanted| {
            let found = matching(wanted, metadata.topics())?.into_iter();
            let visited = found.map(|topic| self.visit(topic)).collect::<KafkaResult<_>>();
            Ok((wanted.clone(), visited.map_err(|error| self.why(error))?))
        });
        topics.collect()
    }

    fn visit(&self, topic: &MetadataTopic) -> KafkaResult<VisitedTopic> {
        let mut asked = TopicPartitionList::new();
        for partition in topic.partitions() {
            asked.add_partition(topic.name(), partition.id());
        }
        let committed = committed(&self.consumer, &asked)?;
        let partitions = committed.elements().into_iter().map(|partition| {
            partition.error()?;
            let committed = partition.offset().to_raw().filter(|offset| *offset >= 0);
            Ok(VisitedPartition { number: partition.partition(), committed })
        });
        Ok(VisitedTopic { name: topic.name().to_owned(), partitions: partitions.collect::<KafkaResult<_>>()? })
    }

    /// The offset of the oldest message that a partition keeps, and the one that its next message will have.
    ///
    /// # Errors
    /// When the brokers do not answer.
    pub(super) fn bounds(&self, topic: &str, partition: i32) -> KafkaResult<(i64, i64)> {
        self.consumer.fetch_watermarks(topic, partition, PATIENCE)
    }

    /// Why an answer did not come. Complaints are told while polling.
    pub(super) fn why(&self, error: KafkaError) -> VisitError {
        for _ in 0..COMPLAINTS_MAX {
            if self.consumer.poll(POLL_PATIENCE).is_none() {
                break;
            }
        }
        self.consumer.context().complaint().unwrap_or_else(|| refused(error))
    }
}

/// The topics that a name or pattern means.
fn matching<'a>(wanted: &str, topics: &'a [MetadataTopic]) -> Result<Vec<&'a MetadataTopic>, VisitError> {
    let usable = topics.iter().filter(|topic| topic.error().is_none());
    if !wanted.starts_with('^') {
        return Ok(usable.filter(|topic| topic.name() == wanted).collect());
    }
    let pattern = Regex::new(wanted).map_err(|source| VisitError::Pattern { topic: wanted.to_owned(), source })?;
    Ok(usable.filter(|topic| pattern.is_match(topic.name())).collect())
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

fn refused(error: KafkaError) -> VisitError {
    let mend = error.rdkafka_error_code().map_or("", mend);
    VisitError::Refused { reason: error.to_string(), mend }
}

impl Asking {
    fn complaint(&self) -> Option<VisitError> {
        let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner).take();
        complaint.map(|(code, reason)| VisitError::Refused { reason, mend: mend(code) })
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
