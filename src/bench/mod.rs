//! `vitalwire bench`: how fast a FHIR server, and a whole pipeline into it, is on this machine, measured from outside.
//!
//! Any FHIR R4 server can be measured, so that figures of several stand beside each other from the same requests on the
//! same machine. Without an address, this program is started in a process of its own over an empty directory; then its
//! processor time and memory are told as well. The data are made up (`data`), the same in every run; `ingest` writes
//! them in two ways, `search` asks what clinicians' tools ask most. `pipeline` sends messages through a connector.
//!
//! A report has a line for each figure: what it is, a colon, and numbers with their units. What is wrong is no figure: a
//! measurement that does not find what was sent fails.

mod data;
mod disk;
mod http;
mod ingest;
mod latency;
mod pipeline;
mod search;
mod server;

use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};

use self::http::{Http, HttpError};
use self::server::{Server, ServerError};

pub(crate) use self::pipeline::{PipelineError, PipelineOptions, PipelineSource};

/// What is measured, and on what.
#[derive(Clone, Debug)]
pub(crate) struct BenchOptions {
    /// Base URL of a FHIR server that runs already; `None`: a process of this program.
    pub(crate) server: Option<String>,
    /// Where the data of the started process are kept until the end; the system's directory for temporary files if not
    /// given. Its disk is part of what is measured.
    pub(crate) directory: Option<PathBuf>,
    /// Observations stored before the measuring begins.
    pub(crate) stored: u64,
    /// How much is measured: Observations written in transactions (a fifth as many one by one), or requests of each kind.
    pub(crate) measured: u64,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The server process.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A request.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A pipeline.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The directory of the data cannot be used.
    #[error("cannot write to the directory of the measurement")]
    Disk(#[source] std::io::Error),
    /// A query came back without what was stored for it to find.
    #[error("`{query}` found nothing, although matching resources had been stored; a fast wrong answer is no figure")]
    Empty {
        /// The query, relative to the base.
        query: String,
    },
}

/// Measures writing; `say` gets the report line by line.
///
/// # Errors
/// See [`BenchError`].
pub(crate) async fn ingest(options: &BenchOptions, say: impl Fn(&str)) -> Result<(), BenchError> {
    let server = Server::start(options).await?;
    let http = Http::new(server.base())?;
    say(&server.introduction());
    load(&http, options.stored).await?;
    say(&format!("{} Observations of {} patients stored beforehand", options.stored, data::PATIENTS));
    ingest::measure(&server, &http, options, &say).await?;
    say(&disk::measure(options)?);
    say_memory(&server, &say);
    server.stop().await;
    Ok(())
}

/// Measures reading and searching; `say` gets the report line by line.
///
/// # Errors
/// See [`BenchError`].
pub(crate) async fn search(options: &BenchOptions, say: impl Fn(&str)) -> Result<(), BenchError> {
    let server = Server::start(options).await?;
    let http = Http::new(server.base())?;
    say(&server.introduction());
    load(&http, options.stored).await?;
    say(&format!("{} Observations of {} patients stored; one connection, warm", options.stored, data::PATIENTS));
    search::measure(&http, options, &say).await?;
    say_memory(&server, &say);
    server.stop().await;
    Ok(())
}

/// Measures a pipeline from its source to the FHIR service; `say` gets the report line by line.
///
/// # Errors
/// See [`BenchError`].
pub(crate) async fn pipeline(options: &PipelineOptions, say: impl Fn(&str)) -> Result<(), BenchError> {
    Ok(pipeline::measure(options, &say).await?)
}

fn say_memory(server: &Server, say: impl Fn(&str)) {
    if let Some(megabytes) = server.resident_megabytes() {
        say(&format!("resident memory now: {megabytes} MB"));
    }
}

/// Stores patients, devices and the first Observations.
async fn load(http: &Http, stored: u64) -> Result<(), BenchError> {
    for bundle in data::registry() {
        http.transaction(bundle).await?;
    }
    let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} stored, {per_sec}, {eta} left");
    let progress = ProgressBar::new(stored).with_style(style.unwrap_or_else(|_invalid| ProgressStyle::default_bar()));
    ingest::transactions(http, 0..stored, &progress).await?;
    progress.finish_and_clear();
    Ok(())
}
