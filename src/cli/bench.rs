//! `vitalwire bench`: figures of a FHIR server, or of a whole pipeline, on this machine.

use std::path::PathBuf;

use super::{Failure, say};
use crate::bench::{self, BenchOptions, PipelineOptions, PipelineSource};

/// What may be typed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    measure: Measure,
}

#[derive(Debug, clap::Subcommand)]
enum Measure {
    /// Write Observations in transactions of a hundred and one by one; tells rates and processor time
    Ingest {
        #[command(flatten)]
        what: What,
        /// Observations written in transactions; a fifth as many are written one by one
        #[arg(long, value_name = "N", default_value = "100000", value_parser = clap::value_parser!(u64).range(100..))]
        written: u64,
    },
    /// Ask what clinicians' tools ask most; tells latencies
    Search {
        #[command(flatten)]
        what: What,
        /// Requests of each kind
        #[arg(long, value_name = "N", default_value = "500", value_parser = clap::value_parser!(u64).range(1..))]
        requests: u64,
    },
    /// Send messages through a source and its connector into the FHIR service; tells rate, latencies and processor time
    Pipeline(Pipeline),
}

#[derive(Debug, clap::Args)]
struct Pipeline {
    /// What the messages come through
    #[arg(long, value_name = "KIND")]
    source: SourceKind,
    /// The broker that runs already, which lets anybody in without encryption; needed for kafka and mqtt. Mosquitto drops
    /// messages unless it has max_queued_messages 0
    #[arg(long, value_name = "HOST:PORT", required_if_eq_any = [("source", "kafka"), ("source", "mqtt")])]
    broker: Option<String>,
    /// Messages sent for the rate
    #[arg(long, value_name = "N", default_value = "100000", value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    messages: u64,
    /// Where the measured process keeps its data until the end; its disk is part of what is measured
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum SourceKind {
    /// A topic of a Kafka broker
    Kafka,
    /// A topic of an MQTT broker, at QoS 1
    Mqtt,
    /// Requests to the connector itself
    Http,
}

#[derive(Debug, clap::Args)]
struct What {
    /// A FHIR server that runs already, by its base URL; its store is written to. Without it, this program is measured in a
    /// process of its own
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Where the measured process keeps its data until the end; its disk is part of what is measured
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Observations stored before measuring
    #[arg(long, value_name = "N", default_value = "100000", value_parser = clap::value_parser!(u64).range(2_000..))]
    stored: u64,
}

/// Measures and reports.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let measured = match arguments.measure {
        Measure::Ingest { what, written } => bench::ingest(&what.options(written), say).await,
        Measure::Search { what, requests } => bench::search(&what.options(requests), say).await,
        Measure::Pipeline(pipeline) => bench::pipeline(&pipeline.options()?, say).await,
    };
    measured.map_err(|error| Failure::other(&error))
}

impl Pipeline {
    fn options(self) -> Result<PipelineOptions, Failure> {
        let source = match (self.source, self.broker) {
            (SourceKind::Kafka, Some(broker)) => PipelineSource::Kafka { broker },
            (SourceKind::Mqtt, Some(broker)) => PipelineSource::Mqtt { broker },
            (SourceKind::Http, None) => PipelineSource::Http,
            (SourceKind::Kafka | SourceKind::Mqtt, None) => {
                return Err(Failure::Usage("--broker HOST:PORT names the broker to send through".to_owned()));
            }
            (SourceKind::Http, Some(_)) => {
                return Err(Failure::Usage("--broker is for kafka and mqtt; http needs none".to_owned()));
            }
        };
        Ok(PipelineOptions { source, messages: self.messages, directory: self.directory })
    }
}

impl What {
    fn options(self, measured: u64) -> BenchOptions {
        BenchOptions { server: self.server, directory: self.directory, stored: self.stored, measured }
    }
}
