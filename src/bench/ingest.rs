//! Writing: transactions of a hundred Observations, and Observations one by one.

use std::ops::Range;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;
use indicatif::ProgressBar;

use super::data::{BUNDLE_ENTRIES, observation, readings};
use super::http::Http;
use super::server::Server;
use super::{BenchError, BenchOptions};

/// Connections that send transactions.
const TRANSACTION_CONNECTIONS: usize = 4;
/// Connections that send single Observations.
const SINGLE_CONNECTIONS: usize = 16;
/// Measures both ways, with Observations numbered from those that are stored.
pub(super) async fn measure(
    server: &Server,
    http: &Http,
    options: &BenchOptions,
    say: &impl Fn(&str),
) -> Result<(), BenchError> {
    let (from, count) = (options.stored, options.measured);
    let started = Started::now(server);
    transactions(http, from..from + count, &ProgressBar::hidden()).await?;
    let title = format!("transactions of {BUNDLE_ENTRIES}, {TRANSACTION_CONNECTIONS} connections");
    say(&started.report(server, &title, count));

    let (from, count) = (from + count, count / 5);
    let started = Started::now(server);
    singles(http, from..from + count).await?;
    say(&started.report(server, &format!("single creates, {SINGLE_CONNECTIONS} connections"), count));
    Ok(())
}

/// Stores the Observations of these numbers in transactions.
pub(super) async fn transactions(http: &Http, numbers: Range<u64>, progress: &ProgressBar) -> Result<(), BenchError> {
    let (from, end) = (numbers.start, numbers.end);
    let bundles = (from..end).step_by(usize::try_from(BUNDLE_ENTRIES).unwrap_or(1));
    let mut sent = stream::iter(bundles)
        .map(|first| async move {
            let last = (first + BUNDLE_ENTRIES).min(end);
            http.transaction(readings(first..last)).await?;
            progress.inc(last - first);
            Ok::<_, BenchError>(())
        })
        .buffer_unordered(TRANSACTION_CONNECTIONS);
    while let Some(result) = sent.next().await {
        result?;
    }
    Ok(())
}

async fn singles(http: &Http, numbers: Range<u64>) -> Result<(), BenchError> {
    let mut sent =
        stream::iter(numbers).map(|number| http.create(observation(number))).buffer_unordered(SINGLE_CONNECTIONS);
    while let Some(result) = sent.next().await {
        result?;
    }
    Ok(())
}

/// The beginning of a measurement.
struct Started {
    at: Instant,
    processor: Option<Duration>,
}

impl Started {
    fn now(server: &Server) -> Self {
        Self { at: Instant::now(), processor: server.processor_time() }
    }

    fn report(&self, server: &Server, title: &str, count: u64) -> String {
        let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let rate = count / self.at.elapsed().as_secs_f64();
        let used = server.processor_time().zip(self.processor).map(|(now, before)| now.saturating_sub(before));
        let processor = used.map_or_else(String::new, |used| {
            format!(", {:.0} us of processor time each", used.as_secs_f64() * 1e6 / count)
        });
        format!("{title}: {rate:.0} Observations/s{processor}")
    }
}
