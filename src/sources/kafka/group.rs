//! Our place in a consumer group: which partitions come and go, and how the group stands.
//!
//! Whatever librdkafka tells, it tells on the thread that polls, in the middle of a poll. Partitions that are asked back are
//! given up when what was taken of them has ended and its offsets are stored, or after a while; those that are lost already,
//! at once.

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::{Partition, Statistics};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use super::assignment::{Assignment, Progress, Step};
use super::trouble::mend;
use super::{FetchToken, KafkaSettings, Login, STATE_LOG_TARGET};
use crate::sources::state::SourceState;

/// Longest wait for what was taken of partitions that are asked back. The group waits for it.
const REVOKE_PATIENCE: Duration = Duration::from_secs(5);
/// Longest wait for a token, during which nothing is polled.
const TOKEN_PATIENCE: Duration = Duration::from_secs(15);
/// Name in tokens, which brokers look for in the token itself.
const PRINCIPAL: &str = "vitalwire";

/// What is told by librdkafka, and kept for the poller.
pub(super) struct Group {
    connector: Arc<str>,
    assignment: Mutex<Assignment>,
    /// What was abandoned since it was last asked, to be read again.
    abandoned: Mutex<Vec<Progress>>,
    settled: Arc<Notify>,
    state: watch::Sender<SourceState>,
    behind: watch::Sender<Option<u64>>,
    runtime: Handle,
    fetch_token: Option<FetchToken>,
}

impl Group {
    /// No member yet. To be used within the runtime.
    pub(super) fn new(
        settings: &KafkaSettings,
        connector: Arc<str>,
        state: watch::Sender<SourceState>,
        behind: watch::Sender<Option<u64>>,
    ) -> Self {
        let settled = Arc::new(Notify::new());
        let fetch_token = match &settings.login {
            Login::Tokens(fetch) => Some(Arc::clone(fetch)),
            Login::Anonymous | Login::Password { .. } => None,
        };
        Self {
            connector,
            assignment: Mutex::new(Assignment::new(settings.in_flight_max, Arc::clone(&settled))),
            abandoned: Mutex::default(),
            settled,
            state,
            behind,
            runtime: Handle::current(),
            fetch_token,
        }
    }

    /// The partitions that are ours.
    pub(super) fn assignment(&self) -> MutexGuard<'_, Assignment> {
        // Every change to it is a single step, so a panic elsewhere cannot have left it half changed.
        self.assignment.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a message has ended, or `patience` is over.
    pub(super) fn wait_for_settlement(&self, patience: Duration) {
        // Over or not, whoever waits looks again.
        drop(self.runtime.block_on(tokio::time::timeout(patience, self.settled.notified())));
    }

    /// Waits for `future`, on the thread that polls.
    pub(super) fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Stores how far each partition has come, to be committed.
    pub(super) fn store_progress(&self, consumer: &BaseConsumer<Self>) {
        let (passed, again): (Vec<_>, Vec<_>) =
            self.assignment().progress().into_iter().partition(|progress| matches!(progress.step, Step::Next(_)));
        if !passed.is_empty()
            && let Err(error) = store(consumer, &passed)
        {
            // Of a partition that was lost a moment ago. Its next consumer reads from what was committed before.
            tracing::debug!(connector = %self.connector, %error, "offsets not stored");
        }
        self.abandoned.lock().unwrap_or_else(PoisonError::into_inner).extend(again);
    }

    /// What was abandoned since this was last asked.
    pub(super) fn take_abandoned(&self) -> Vec<Progress> {
        std::mem::take(&mut *self.abandoned.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells what is in the way; once for each change.
    pub(super) fn trouble(&self, code: Option<RDKafkaErrorCode>, reason: &str) {
        // Behind it stands how long it took and how often it was so, which is different each time.
        let reason = reason.split(" (after ").next().unwrap_or_default();
        let reason = format!("{reason}{}", code.map_or("", mend));
        let is_news = self.state.send_if_modified(|state| {
            // That all brokers are down says less than why each of them is.
            let is_less = code == Some(RDKafkaErrorCode::AllBrokersDown) && matches!(state, SourceState::Retrying(_));
            let trouble = SourceState::Retrying(reason.clone());
            let is_news = !is_less && *state != trouble;
            if is_news {
                *state = trouble;
            }
            is_news
        });
        if is_news {
            tracing::warn!(target: STATE_LOG_TARGET, connector = %self.connector, reason, "no messages from Kafka");
        }
    }

    /// Notes that messages arrive.
    pub(super) fn connected(&self) {
        let is_news = self.state.send_if_modified(|state| {
            let is_news = *state != SourceState::Connected;
            *state = SourceState::Connected;
            is_news
        });
        if is_news {
            tracing::info!(target: STATE_LOG_TARGET, connector = %self.connector, "member of the group");
        }
    }

    /// Messages of our partitions that have not ended; `None` as long as that is known of none.
    fn lag(&self, statistics: &Statistics) -> Option<u64> {
        let assignment = self.assignment();
        let partitions = statistics.topics.iter().flat_map(|(topic, of)| {
            of.partitions.values().filter(|partition| assignment.has(topic, partition.partition))
        });
        let lag = |partition: &Partition| {
            let stored = u64::try_from(partition.consumer_lag_stored).ok();
            stored.or_else(|| u64::try_from(partition.consumer_lag).ok())
        };
        partitions.filter_map(lag).reduce(u64::saturating_add)
    }

    /// Waits for the ends of what was taken of partitions that are asked back, as long as they are not lost.
    fn finish(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        let deadline = Instant::now() + REVOKE_PATIENCE;
        let elements = partitions.elements();
        loop {
            self.store_progress(consumer);
            let is_done = elements.iter().all(|it| self.assignment().is_done(it.topic(), it.partition()));
            let patience = deadline.saturating_duration_since(Instant::now());
            if is_done || patience.is_zero() || consumer.assignment_lost() {
                return;
            }
            self.wait_for_settlement(patience.min(Duration::from_millis(100)));
        }
    }
}

fn store(consumer: &BaseConsumer<Group>, passed: &[Progress]) -> KafkaResult<()> {
    let mut offsets = TopicPartitionList::with_capacity(passed.len());
    for progress in passed {
        if let Step::Next(offset) = progress.step {
            offsets.add_partition_offset(&progress.topic, progress.partition, Offset::Offset(offset))?;
        }
    }
    consumer.store_offsets(&offsets)
}

impl ConsumerContext for Group {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(_) => {}
            Rebalance::Revoke(partitions) => {
                self.finish(consumer, partitions);
                let mut assignment = self.assignment();
                for partition in partitions.elements() {
                    assignment.lose(partition.topic(), partition.partition());
                }
            }
            Rebalance::Error(error) => {
                self.assignment().lose_all();
                self.trouble(error.rdkafka_error_code(), &error.to_string());
            }
        }
    }

    fn post_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance {
            let mut assignment = self.assignment();
            for partition in partitions.elements() {
                assignment.gain(partition.topic(), partition.partition());
            }
            self.connected();
        }
        let partitions = self.assignment().partitions();
        tracing::info!(connector = %self.connector, partitions, "partitions of the group were shared out");
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        // Nothing is lost by it: what was not committed comes again.
        if let Err(error) = result
            && error.rdkafka_error_code() != Some(RDKafkaErrorCode::NoOffset)
        {
            tracing::warn!(connector = %self.connector, %error, "offsets not committed, will be tried again");
        }
    }
}

impl ClientContext for Group {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Messages that the broker had deleted before they were read, and a thread that did not poll for too long. Whatever
        // else keeps messages away is told as the state of the source; its log is for those who look for the cause.
        match facility {
            "OFFSET" | "MAXPOLL" => tracing::warn!(connector = %self.connector, facility, message, "librdkafka warns"),
            _ => tracing::debug!(target: "librdkafka", ?level, facility, message),
        }
    }

    fn stats(&self, statistics: Statistics) {
        self.behind.send_replace(self.lag(&statistics));
        let is_steady = statistics.cgrp.is_some_and(|group| group.join_state == "steady");
        if is_steady && statistics.brokers.values().any(|broker| broker.nodeid >= 0 && broker.state == "UP") {
            self.connected();
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.trouble(error.rdkafka_error_code(), reason);
    }

    fn generate_oauth_token(&self, _config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        fetch(&self.runtime, self.fetch_token.as_ref())
    }
}

/// Fetches a token while librdkafka waits for it.
pub(super) fn fetch(runtime: &Handle, fetch_token: Option<&FetchToken>) -> Result<OAuthToken, Box<dyn Error>> {
    let fetch = fetch_token.ok_or("no token endpoint is configured")?;
    let fetched = runtime.block_on(tokio::time::timeout(TOKEN_PATIENCE, fetch()));
    let token = fetched.map_err(|_elapsed| "the token endpoint does not answer")??;
    let ends_at = Timestamp::now().as_millisecond().saturating_add(i64::try_from(token.lifetime.as_millis())?);
    let principal_name = PRINCIPAL.to_owned();
    Ok(OAuthToken { token: token.token.expose().to_owned(), principal_name, lifetime_ms: ends_at })
}
