//! Reads topics of Apache Kafka or Azure Event Hubs as a member of a consumer group, and commits what is durable.
//!
//! The offset of a message is stored, to be committed, when it and everything before it in its partition have ended (BT-6,
//! BT-11); a restart goes on exactly behind it (BT-8). Delivery is at least once: what ended and was not committed when a
//! process died comes again, to whoever has the partition then, and changes nothing downstream.
//!
//! librdkafka does the talking. Where a new group begins is settled before it joins (`beginning`). It is polled by a thread
//! of its own (`poller`) and tells it what becomes of the group (`group`); which partitions are here and how far each has
//! come is kept aside (`assignment`).

mod amqp;
mod assignment;
mod beginning;
mod group;
mod message;
mod options;
mod poller;
mod probe;
mod trouble;
mod visitor;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use self::beginning::begin_at_the_ends;
use self::group::Group;
use self::message::Envelopes;
use self::poller::{Ending, Poller, Waiting};
use super::backoff::Backoff;
use super::state::SourceState;
use crate::clock::Clock;
use crate::model::intake::{Closed, Intake};
use crate::secret::Secret;

pub(crate) use self::message::HeaderValues;
pub(crate) use self::probe::{FoundTopic, probe};

/// Name of the source in the origin of its messages.
pub(crate) const SOURCE: &str = "kafka";

/// Under which changes of its state are logged.
const STATE_LOG_TARGET: &str = "vitalwire::sources::kafka";

/// What to read, and as whom.
#[derive(Clone)]
pub(crate) struct KafkaSettings {
    /// Hosts and ports of some brokers, with commas between them.
    pub(crate) bootstrap_servers: String,
    /// Names of topics, or regular expressions of names, which begin with `^`.
    pub(crate) topics: Vec<String>,
    /// The consumer group.
    pub(crate) group_id: String,
    /// Name of this member, by which a restarted one takes its place at once.
    pub(crate) group_instance_id: Option<String>,
    /// Where to begin in topics of which the group has committed nothing.
    pub(crate) start: Start,
    /// How to log in.
    pub(crate) login: Login,
    /// Whether to encrypt, and with what.
    pub(crate) tls: Option<Tls>,
    /// The brokers are those of Azure Event Hubs.
    pub(crate) is_event_hubs: bool,
    /// How the values of headers are written.
    pub(crate) header_values: HeaderValues,
    /// Most messages taken and not yet ended.
    pub(crate) in_flight_max: NonZeroUsize,
    /// After how long a silence the group gives the partitions of a member to others.
    pub(crate) session_timeout: Duration,
    /// Largest payload that is looked into, in bytes.
    pub(crate) message_bytes_max: usize,
    /// Whether a body that is an array is as many messages as it has elements.
    pub(crate) split_arrays: bool,
    /// Settings of librdkafka, by their names there.
    pub(crate) properties: Vec<(String, String)>,
    /// First wait before a consumer that broke is made anew.
    pub(crate) backoff_min: Duration,
    /// Longest such wait.
    pub(crate) backoff_max: Duration,
}

/// Where a group begins in a topic of which it has committed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// With the oldest message.
    Earliest,
    /// With the next message. Partitions that are added later are read whole.
    Latest,
}

/// How to log in.
#[derive(Clone)]
pub(crate) enum Login {
    /// Not at all.
    Anonymous,
    /// SASL with a password.
    Password {
        /// PLAIN or one of SCRAM, as brokers name it.
        mechanism: &'static str,
        /// User name.
        username: String,
        /// Password; PLAIN sends it as it is.
        password: Secret,
    },
    /// SASL with bearer tokens (OAUTHBEARER).
    Tokens(FetchToken),
}

/// Fetches a bearer token; the error is fit to be shown.
pub(crate) type FetchToken = Arc<dyn Fn() -> BoxFuture<'static, Result<BearerToken, String>> + Send + Sync>;

/// A bearer token.
#[derive(Clone, Debug)]
pub(crate) struct BearerToken {
    /// The token, without `Bearer`.
    pub(crate) token: Secret,
    /// How long it is good for.
    pub(crate) lifetime: Duration,
}

/// What encrypted connections are made with.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    /// Authorities that are trusted instead of those of the system, as PEM.
    pub(crate) authorities: Option<String>,
    /// Certificate and key to show to the broker, as PEM.
    pub(crate) identity: Option<Secret>,
}

/// A member of the group, to be run.
pub(crate) struct KafkaSource {
    settings: KafkaSettings,
    clock: Clock,
    state: watch::Sender<SourceState>,
    behind: watch::Sender<Option<u64>>,
}

/// What can be seen of a source while it runs.
pub(crate) struct Seen {
    /// How it stands.
    pub(crate) state: watch::Receiver<SourceState>,
    /// Messages in its partitions that have not ended, about, once that is known.
    pub(crate) behind: watch::Receiver<Option<u64>>,
}

impl KafkaSource {
    /// A source, and what can be seen of it.
    pub(crate) fn new(settings: KafkaSettings, clock: Clock) -> (Self, Seen) {
        let (state, states) = watch::channel(SourceState::Connecting);
        let (behind, lag) = watch::channel(None);
        (Self { settings, clock, state, behind }, Seen { state: states, behind: lag })
    }

    /// Takes messages until `stop`, then waits until all it took have ended, and leaves the group. Returns early when the
    /// pipeline ends.
    pub(crate) async fn run(self, intake: Intake, stop: CancellationToken) {
        // Whatever is under way outside the consumer may be broken off: it is begun anew at the next start.
        if stop.run_until_cancelled(self.begin(intake.connector())).await.is_some() {
            self.keep_consuming(&intake, &stop).await;
        }
        self.behind.send_replace(None);
        self.state.send_replace(SourceState::Stopped);
    }

    /// Has the group begin at the ends of its topics, if it is to.
    async fn begin(&self, connector: &str) {
        let mut backoff = Backoff::new(self.settings.backoff_min, self.settings.backoff_max);
        while self.settings.start == Start::Latest
            && let Err(reason) = begin_at_the_ends(self.settings.clone()).await
        {
            let wait = backoff.next_wait();
            tracing::warn!(connector, %reason, retry_ms = wait.as_millis(), "the group cannot begin yet");
            self.state.send_replace(SourceState::Retrying(reason.to_string()));
            tokio::time::sleep(wait).await;
        }
    }

    async fn keep_consuming(&self, intake: &Intake, stop: &CancellationToken) {
        let mut backoff = Backoff::new(self.settings.backoff_min, self.settings.backoff_max);
        while let Ending::Broken(error) = self.consume(intake, stop).await {
            let wait = backoff.next_wait();
            let (connector, retry_ms) = (intake.connector().as_ref(), wait.as_millis());
            tracing::warn!(connector, reason = %error, retry_ms, "the consumer broke, another is made");
            self.state.send_replace(SourceState::Retrying(error.to_string()));
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    /// Runs one consumer to its end.
    async fn consume(&self, intake: &Intake, stop: &CancellationToken) -> Ending {
        let (sender, waiting) = mpsc::channel(self.settings.in_flight_max.get());
        let poller = match self.poller(intake, stop, sender) {
            Ok(poller) => poller,
            Err(error) => return Ending::Broken(error),
        };
        let polled = match start(poller) {
            Ok(polled) => polled,
            Err(error) => return Ending::Broken(KafkaError::ClientCreation(error.to_string())),
        };
        // When the pipeline has ended, the poller finds nobody to give messages to.
        let (polled, _passed) = tokio::join!(polled, pass_on(waiting, intake.clone()));
        polled.unwrap_or(Ending::Broken(KafkaError::Canceled))
    }

    fn poller(
        &self,
        intake: &Intake,
        stop: &CancellationToken,
        waiting: mpsc::Sender<Waiting>,
    ) -> Result<Poller, KafkaError> {
        let connector = intake.connector();
        let group = Group::new(&self.settings, Arc::clone(connector), self.state.clone(), self.behind.clone());
        let consumer: BaseConsumer<Group> = options::member(&self.settings).create_with_context(group)?;
        let topics: Vec<&str> = self.settings.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics)?;
        let group = Arc::clone(consumer.context());
        let envelopes = Envelopes::new(Arc::clone(connector), self.clock.clone(), &self.settings);
        Ok(Poller {
            consumer,
            group,
            envelopes,
            intake: intake.clone(),
            waiting,
            stop: stop.clone(),
            full_since: None,
            is_paused: false,
            again: Vec::new(),
        })
    }
}

/// Polls on a thread of its own, and tells how that ended.
fn start(poller: Poller) -> std::io::Result<oneshot::Receiver<Ending>> {
    let (ending, ended) = oneshot::channel();
    let runtime = Handle::current();
    let run = move || {
        let _within = runtime.enter();
        // Nobody waits for it any more when the program is ending.
        drop(ending.send(poller.run()));
    };
    std::thread::Builder::new().name("kafka-poller".to_owned()).spawn(run)?;
    Ok(ended)
}

/// Passes messages on in order until the last has gone. One whose partition was lost while it waited is abandoned: the next
/// consumer of the partition has it.
async fn pass_on(mut waiting: mpsc::Receiver<Waiting>, intake: Intake) -> Result<(), Closed> {
    while let Some(Waiting { message, claim }) = waiting.recv().await {
        if !claim.is_lost() {
            intake.send(message).await?;
        }
    }
    Ok(())
}
