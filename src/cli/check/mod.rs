//! `vitalwire check`: configuration and mappings, and whether everything they name can be reached. Starts nothing.

mod sources;

use std::net::SocketAddr;
use std::path::Path;

use url::Url;

use super::mapping::example;
use super::{Failure, Setup, say};
use crate::app::{self, AppError};
use crate::client::FhirClient;
use crate::client::bundle::Request;
use crate::client::error::{SubmitError, TokenError};
use crate::config::{Config, ConnectorConfig, FhirTarget};
use crate::telemetry::chain;

/// A search as a connector makes it, for a device that is not there.
const SEARCH: &str = "Device?identifier=vitalwire-check";
const MEND_CREDENTIALS: &str =
    "; check who it is told that asks (`fhir.token`, `fhir.username` or `fhir.oauth2`), and what that one may do";

/// What was found about one thing.
type Finding = Result<String, String>;

/// Checks everything and tells of each thing on a line of its own.
pub(super) async fn run(setup: &Setup) -> Result<(), Failure> {
    let config = setup.load()?;
    say("ok    configuration");
    app::check_exposure(&config, setup.exposure()).map_err(|error| super::app_failure(&error))?;
    check_mappings(&config)?;
    let findings = reach_everything(&config).await;
    for finding in &findings {
        match finding {
            Ok(found) => say(&format!("ok    {found}")),
            Err(problem) => say(&format!("FAIL  {problem}")),
        }
    }
    match findings.iter().filter(|finding| finding.is_err()).count() {
        0 => Ok(()),
        count => Err(Failure::Other(format!("{count} of {} things named cannot be used, see above", findings.len()))),
    }
}

fn check_mappings(config: &Config) -> Result<(), Failure> {
    let mut problems = Vec::new();
    for connector in &config.connectors {
        match app::open_mapping(connector) {
            Ok((mappings, warnings)) => {
                warnings.iter().for_each(|warning| say(&warning.to_string()));
                say(&format!("ok    mappings of connector `{}`", connector.name));
                let (device, fhir) = (&connector.device_mapping, &connector.fhir_mapping);
                let in_force = mappings.in_force().ok();
                match in_force.and_then(|version| example::run(device, fhir, &version.mappings)) {
                    Some(Ok(())) => say(&format!("ok    example of connector `{}`", connector.name)),
                    Some(Err(problem)) => problems.push(problem),
                    None => {}
                }
            }
            Err(AppError::Mappings(found)) => problems.extend(found.iter().map(ToString::to_string)),
            Err(error) => problems.push(chain(&error)),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Failure::Configuration(problems)) }
}

async fn reach_everything(config: &Config) -> Vec<Finding> {
    let mut findings = vec![data_dir(&config.data_dir), port("http.listen", config.http.listen).await];
    for connector in &config.connectors {
        for source in &connector.sources {
            findings.push(sources::reach(&connector.name, source).await);
        }
        if let FhirTarget { url: Some(url), .. } = &connector.fhir {
            findings.push(fhir_server(connector, url).await);
        }
    }
    findings
}

fn data_dir(path: &Path) -> Finding {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(format!("data directory {} will be made", path.display()))
        }
        Err(error) => Err(format!("data directory {}: {error}", path.display())),
        Ok(metadata) if !metadata.is_dir() => Err(format!("data directory {} is a file", path.display())),
        Ok(metadata) if metadata.permissions().readonly() => {
            Err(format!("data directory {} may not be written", path.display()))
        }
        Ok(_) => Ok(format!("data directory {}", path.display())),
    }
}

async fn port(what: &str, address: SocketAddr) -> Finding {
    match tokio::net::TcpListener::bind(address).await {
        Ok(_) => Ok(format!("{what}: {address} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(format!(
            "{what}: {address} is in use: by vitalwire itself if it is running, else stop the other program or choose \
             another port"
        )),
        Err(error) => Err(format!("{what}: {address}: {error}; choose another address or port")),
    }
}

async fn fhir_server(connector: &ConnectorConfig, url: &Url) -> Finding {
    let settings = app::client(connector, url.clone());
    let what = format!("connector `{}`: FHIR server", connector.name);
    let client = FhirClient::new(&settings).map_err(|error| format!("{what}: {}", chain(&error)))?;
    let failed = |error: SubmitError| format!("{what}: {}{}", chain(&error), mend(&error));
    let version = match client.fhir_version().await {
        // A server that refuses our certificate says so behind the greeting of TLS 1.3, and may hang up before its reason is
        // read. The reason is what tells how to mend it.
        Err(SubmitError::Unanswered { .. }) => client.fhir_version().await,
        known => known,
    };
    let version = version.map_err(failed)?;
    let endpoint = client.endpoint();
    if !version.starts_with("4.0") {
        return Err(format!("{what}: {endpoint} speaks FHIR {version}; Observations are written in R4 (4.0.1)"));
    }
    // Whoever asks may read what a server can do. What the connector will ask for takes more.
    let search = [Request::Get { url: SEARCH.to_owned() }];
    let answers = client.submit(search.iter()).await.map_err(failed)?;
    match answers.first().map(|answer| answer.status) {
        Some(200) => Ok(format!("{what}: {endpoint} speaks FHIR {version} and searches in a batch")),
        Some(status @ (401 | 403)) => Err(format!("{what}: {endpoint} answers {status} to a search{MEND_CREDENTIALS}")),
        status => {
            Err(format!("{what}: {endpoint} answers {} to a search for a Device in a batch", status.unwrap_or(0)))
        }
    }
}

fn mend(error: &SubmitError) -> &'static str {
    match error {
        SubmitError::Unreachable { .. } | SubmitError::Unanswered { .. } | SubmitError::TimedOut { .. } => {
            "; check that it runs, and its URL (`fhir.url`)"
        }
        SubmitError::Refused { status: 401 | 403, .. } => MEND_CREDENTIALS,
        SubmitError::Refused { .. } | SubmitError::TooLarge { .. } => "; check its URL (`fhir.url`)",
        SubmitError::Token(error) => match **error {
            TokenError::Refused { .. } => "; check `fhir.oauth2`",
            TokenError::Unreached(_) => "; check that it runs, and its URL (`fhir.oauth2.token_url`)",
            TokenError::Unreadable { .. } => "",
        },
        // These say themselves what to check.
        SubmitError::UnknownHost { .. }
        | SubmitError::Untrusted { .. }
        | SubmitError::CertificateRefused { .. }
        | SubmitError::Unreadable { .. } => "",
    }
}
