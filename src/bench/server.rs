//! The measured process: this program itself, over an empty directory, until the measurement ends.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::BenchOptions;
use super::http::Http;

/// Longest wait for the first answer.
const START_MAX: Duration = Duration::from_secs(60);
/// Between two looks whether it answers.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A tick of the processor times that Linux tells.
const TICK: Duration = Duration::from_millis(10);

/// Why there is no server to measure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    /// The program cannot be started, or has no place for its data.
    #[error("cannot start a server process to measure")]
    Start(#[source] std::io::Error),
    /// It does not answer.
    #[error("the server to measure does not answer at {base}; is it a FHIR server's base URL?")]
    Silent {
        /// Where it was asked.
        base: String,
    },
}

/// A server under measurement.
pub(super) struct Server {
    base: String,
    started: Option<Started>,
}

struct Started {
    process: Child,
    first_answer: Duration,
    /// Removed with the server.
    _directory: TempDir,
}

impl Server {
    /// The given server, or a new process of this program.
    pub(super) async fn start(options: &BenchOptions) -> Result<Self, ServerError> {
        let Some(base) = &options.server else {
            return Self::start_own(options.directory.as_deref(), "").await;
        };
        let server = Self { base: base.clone(), started: None };
        server.answers().await.then_some(()).ok_or_else(|| ServerError::Silent { base: base.clone() })?;
        Ok(server)
    }

    /// A new process of this program over an empty directory in the given one, with `more` in its configuration.
    pub(super) async fn start_own(directory: Option<&Path>, more: &str) -> Result<Self, ServerError> {
        let directory = match directory {
            Some(parent) => TempDir::new_in(parent),
            None => TempDir::new(),
        }
        .map_err(ServerError::Start)?;
        let address = free_address().map_err(ServerError::Start)?;
        let config = directory.path().join("config.toml");
        let text = format!(
            "data_dir = {:?}\nlog = {{ filter = \"warn\" }}\nhttp = {{ listen = {address:?} }}\n{more}",
            directory.path().join("data")
        );
        std::fs::write(&config, text).map_err(ServerError::Start)?;
        let started = Instant::now();
        let process = Command::new(std::env::current_exe().map_err(ServerError::Start)?)
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(ServerError::Start)?;
        let mut server = Self { base: format!("http://{address}/fhir"), started: None };
        while !server.answers().await {
            if started.elapsed() > START_MAX {
                return Err(ServerError::Silent { base: server.base });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        server.started = Some(Started { process, first_answer: started.elapsed(), _directory: directory });
        Ok(server)
    }

    async fn answers(&self) -> bool {
        match Http::new(&self.base) {
            Ok(http) => http.get("metadata").await.is_ok(),
            Err(_) => false,
        }
    }

    /// Its base URL.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Where its other services are, when its FHIR service is one of this program.
    pub(super) fn root(&self) -> &str {
        self.base.strip_suffix("/fhir").unwrap_or(&self.base)
    }

    /// What is measured, for the head of a report.
    pub(super) fn introduction(&self) -> String {
        match &self.started {
            Some(started) => format!(
                "vitalwire {}, a process of its own; start to first answer (its CapabilityStatement): {:.2} s",
                env!("CARGO_PKG_VERSION"),
                started.first_answer.as_secs_f64()
            ),
            None => format!("the server at {}", self.base),
        }
    }

    /// Processor time it has used so far, to 10 ms; only on Linux, and only of a process started here.
    pub(super) fn processor_time(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process_id()?)).ok()?;
        Some(used(&stat)?.1)
    }

    /// As `processor_time`, of each of its threads with its name, of which the system keeps 15 bytes.
    pub(super) fn threads(&self) -> Vec<(String, Duration)> {
        let Some(process) = self.process_id() else { return Vec::new() };
        let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
        // A thread that ends meanwhile is left out.
        let stats = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("stat")).ok());
        stats.filter_map(|stat| used(&stat)).collect()
    }

    /// Memory it holds, in megabytes; only on Linux, and only of a process started here.
    pub(super) fn resident_megabytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process_id()?)).ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(resident.split_whitespace().next()?.parse::<u64>().ok()? / 1_000)
    }

    fn process_id(&self) -> Option<u32> {
        self.started.as_ref()?.process.id()
    }

    /// Ends a process started here and removes its data.
    pub(super) async fn stop(mut self) {
        if let Some(started) = &mut self.started {
            // It may have ended by itself.
            drop(started.process.kill().await);
        }
    }
}

/// Name and processor time of a process or thread, from its `stat`.
fn used(stat: &str) -> Option<(String, Duration)> {
    // The name, in parentheses, may hold anything.
    let (head, fields) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let mut times = fields.split_whitespace().skip(11);
    let ticks: u32 = times.next()?.parse::<u32>().ok()?.checked_add(times.next()?.parse().ok()?)?;
    Some((name.to_owned(), TICK * ticks))
}

/// An address of this machine that is free now.
fn free_address() -> std::io::Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.local_addr().map(|address| address.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::used;

    #[test]
    fn a_stat_tells_name_and_processor_time_in_ticks() {
        let stat = "4711 (rdk:main (1)) S 1 4711 4711 0 -1 4194368 9 0 0 0 25 17 3 4 20 0 9 0 100 200";
        assert_eq!(used(stat), Some(("rdk:main (1)".to_owned(), Duration::from_millis(420))));
        assert_eq!(used("4711 (rdk:main"), None);
    }
}
