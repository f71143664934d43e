//! Single messages: how long after one is handed over a search finds it.
//!
//! The search is asked as soon as the message is handed over, a millisecond later, and then whenever a tenth of the time so
//! far has passed, for one message at a time. So a figure is too high by a tenth, or by a millisecond and the time of a
//! search. Asked more often, a busy process would be measured at answering searches.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::channel::Producer;
use super::error::PipelineError;
use super::load::{count, message, query};
use crate::bench::http::Http;
use crate::bench::latency::Latencies;

/// Least time between two searches.
const ASK_AFTER_MIN: Duration = Duration::from_millis(1);
/// Share of the time so far that passes until the next search.
const ASK_AFTER_DIVISOR: u32 = 10;
/// Longest wait for one message.
const FOUND_MAX: Duration = Duration::from_secs(30);
/// Between two messages beside a load.
const BESIDE_EVERY: Duration = Duration::from_millis(100);
/// Rest after each message of an idle pipeline.
const REST: Duration = Duration::from_millis(20);

/// Sends single messages, numbered on from the last that was sent, and looks for them.
pub(super) struct Prober<'a> {
    /// Over a connection that is kept.
    pub(super) producer: Producer,
    /// Where to search.
    pub(super) fhir: &'a Http,
    /// The next message.
    pub(super) next: u64,
}

impl Prober<'_> {
    /// So many messages, each when the one before was found and the pipeline has rested.
    ///
    /// # Errors
    /// When one cannot be sent, or is not found.
    pub(super) async fn one_by_one(&mut self, messages: u64) -> Result<Latencies, PipelineError> {
        let mut latencies = Latencies::default();
        for _ in 0..messages {
            let number = self.take();
            latencies.add(self.probe(number).await?);
            tokio::time::sleep(REST).await;
        }
        Ok(latencies)
    }

    /// As long as `load` runs, ten messages a second at most, each when the one before was found.
    ///
    /// # Errors
    /// As `one_by_one`, or when the load fails.
    pub(super) async fn beside(
        &mut self,
        load: impl Future<Output = Result<(), PipelineError>>,
    ) -> Result<Latencies, PipelineError> {
        let (mut load, mut ticks) = (pin!(load), interval(BESIDE_EVERY));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut latencies = Latencies::default();
        loop {
            tokio::select! {
                ended = load.as_mut() => return ended.map(|()| latencies),
                _ = ticks.tick() => {}
            }
            let number = self.take();
            let probe = pin!(self.probe(number));
            match select(load.as_mut(), probe).await {
                // What was sent is waited for, though the load is over.
                Either::Left((ended, probe)) => {
                    ended?;
                    latencies.add(probe.await?);
                    return Ok(latencies);
                }
                Either::Right((latency, _)) => latencies.add(latency?),
            }
        }
    }

    fn take(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    async fn probe(&self, number: u64) -> Result<Duration, PipelineError> {
        let began = Instant::now();
        let sent = self.producer.send(number, message(number));
        let ((), found) = tokio::try_join!(sent, self.found(number, began))?;
        Ok(found)
    }

    async fn found(&self, number: u64, began: Instant) -> Result<Duration, PipelineError> {
        let query = query(number);
        loop {
            let found = count(self.fhir, &query).await?;
            let elapsed = began.elapsed();
            if found > 0 {
                return Ok(elapsed);
            }
            if elapsed > FOUND_MAX {
                return Err(PipelineError::NotFound { query, seconds: FOUND_MAX.as_secs() });
            }
            sleep((elapsed / ASK_AFTER_DIVISOR).max(ASK_AFTER_MIN)).await;
        }
    }
}
