//! A whole pipeline: from a source through a connector into the FHIR service, until a search finds what was sent.
//!
//! This program is measured in a process of its own, over an empty directory, with one connector of the shipped mapping
//! `heart-rate` whose source reads from a broker that runs already, or takes messages over HTTP. The rate is that of
//! messages sent as fast as `vitalwire send` can, from its start until every one is stored and counted by a search; beside
//! it stands what the same sender reaches with a consumer that reads and acknowledges and does nothing else. Latencies are
//! those of single messages, at half of that rate and at rest (see `probe`). Processor time is that of the rate.

mod channel;
mod error;
mod http;
mod kafka;
mod ledger;
mod load;
mod mqtt;
mod probe;
mod processor;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use self::channel::Channel;
use self::ledger::{CONNECTOR, Ledger};
use self::load::{Load, count};
use self::probe::Prober;
use self::processor::Used;
use super::data::{PATIENTS, registry};
use super::http::Http;
use super::latency::{Latencies, milliseconds};
use super::server::Server;

pub(crate) use self::error::PipelineError;

/// Least and most time of half load; in between there are as many messages as for the rate.
const HALF_LOAD_SECONDS_MIN: u64 = 2;
const HALF_LOAD_SECONDS_MAX: u64 = 10;
/// Single messages sent to an idle pipeline.
const SINGLES: u64 = 100;

/// What is measured, and with what.
#[derive(Clone, Debug)]
pub(crate) struct PipelineOptions {
    /// Where messages come from.
    pub(crate) source: PipelineSource,
    /// How many are sent for the rate.
    pub(crate) messages: u64,
    /// Where the data of the process are kept until the end, as for the other measurements.
    pub(crate) directory: Option<PathBuf>,
}

/// Where messages come from. A broker is a host and a port; it lets anybody in, without encryption.
#[derive(Clone, Debug)]
pub(crate) enum PipelineSource {
    /// A Kafka broker that runs; topics are created there and deleted at the end.
    Kafka {
        /// One broker of the cluster.
        broker: String,
    },
    /// An MQTT broker that runs.
    Mqtt {
        /// The broker.
        broker: String,
    },
    /// Requests to the process itself.
    Http,
}

/// Measures and reports.
pub(super) async fn measure(options: &PipelineOptions, say: &impl Fn(&str)) -> Result<(), PipelineError> {
    let channel = Channel::open(&options.source).await?;
    let measured = tokio::select! {
        measured = measure_through(&channel, options, say) => measured,
        _ = tokio::signal::ctrl_c() => Err(PipelineError::Interrupted),
    };
    channel.close().await;
    measured
}

async fn measure_through(
    channel: &Channel,
    options: &PipelineOptions,
    say: &impl Fn(&str),
) -> Result<(), PipelineError> {
    let server = Server::start_own(options.directory.as_deref(), &connector(channel)).await?;
    let (fhir, root) = (Http::new(server.base())?, Http::new(server.root())?);
    for bundle in registry() {
        fhir.transaction(bundle).await?;
    }
    let pipeline = Pipeline { channel, options, server: &server, fhir: &fhir, root: &root, ledger: Ledger::new(&root) };
    say(&server.introduction());
    say(&format!("{}; heart rates of {PATIENTS} known devices", channel.introduction()));
    pipeline.ledger.connected().await?;
    let rate = pipeline.rate(say).await?;
    pipeline.latencies(rate, say).await?;
    server.stop().await;
    Ok(())
}

/// The configuration of the measured connector.
fn connector(channel: &Channel) -> String {
    format!(
        "[[connectors]]\nname = {CONNECTOR:?}\ndevice_mapping = \"shipped:heart-rate/device.json\"\n\
         fhir_mapping = \"shipped:heart-rate/fhir.json\"\nidentity = {{ mode = \"create\" }}\n[[connectors.sources]]\n{}",
        channel.source()
    )
}

/// The pipeline under measurement.
struct Pipeline<'a> {
    channel: &'a Channel,
    options: &'a PipelineOptions,
    server: &'a Server,
    fhir: &'a Http,
    root: &'a Http,
    ledger: Ledger<'a>,
}

impl Pipeline<'_> {
    /// How fast messages become searchable, in messages a second; and how fast the bare consumer has them.
    async fn rate(&self, say: &impl Fn(&str)) -> Result<u64, PipelineError> {
        let messages = self.options.messages;
        let load = Load::write(0..messages, self.options.directory.as_deref())?;
        let before = Used::now(self.server, self.root).await?;
        let (url, began) = (self.channel.url(self.root), Instant::now());
        tokio::try_join!(load.send(&url, None), self.ledger.all_stored(messages))?;
        self.all_found(messages).await?;
        let rate = per_second(messages, began.elapsed());
        let after = Used::now(self.server, self.root).await?;
        say(&format!("end to end, until searchable: {rate} messages/s"));

        let mut consumer = self.channel.consumer(messages).await?;
        let (url, began) = (consumer.url(), Instant::now());
        tokio::try_join!(load.send(&url, None), consumer.consume())?;
        let bare = per_second(messages, began.elapsed());
        say(&format!("beside it: a consumer that only reads and acknowledges: {bare} messages/s"));
        say(&format!("of that, end to end: {:.2}", real(rate) / real(bare)));
        for line in after.zip(before).map(|(after, before)| after.report(&before, messages)).unwrap_or_default() {
            say(&line);
        }
        Ok(rate)
    }

    /// How long single messages take when the pipeline has half of what it can do to do, and when it has nothing.
    async fn latencies(&self, rate: u64, say: &impl Fn(&str)) -> Result<(), PipelineError> {
        let half = (rate / 2).max(1);
        let sent = self.options.messages;
        let end = sent + sent.clamp(half * HALF_LOAD_SECONDS_MIN, half * HALF_LOAD_SECONDS_MAX);
        let load = Load::write(sent..end, self.options.directory.as_deref())?;
        let mut prober = Prober { producer: self.channel.producer(self.root).await?, fhir: self.fhir, next: end };
        // The first message of a connection takes longer.
        prober.one_by_one(1).await?;
        let url = self.channel.url(self.root);
        let beside = prober.beside(load.send(&url, Some(half))).await?;
        self.ledger.all_stored(prober.next).await?;
        say("latency of a single message, from handing it over until a search finds it:");
        say(&told(&format!("  at half load, {half} messages/s"), &beside));
        let idle = prober.one_by_one(SINGLES).await?;
        say(&told("  at rest", &idle));
        self.all_found(prober.next).await
    }

    /// Every message is an Observation that a search finds.
    async fn all_found(&self, sent: u64) -> Result<(), PipelineError> {
        let found = count(self.fhir, "Observation?_summary=count").await?;
        if found == sent { Ok(()) } else { Err(PipelineError::Miscounted { found, sent }) }
    }
}

/// The percentiles of a report.
fn told(title: &str, latencies: &Latencies) -> String {
    let [p50, p99] = [50, 99].map(|percent| milliseconds(latencies.percentile(percent)));
    format!("{title}: p50 {p50} ms, p99 {p99} ms, of {} messages", latencies.count())
}

fn per_second(messages: u64, elapsed: Duration) -> u64 {
    let rate = u128::from(messages) * 1_000_000 / elapsed.as_micros().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX).max(1)
}

fn real(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
