//! How many files the process may have open. Every connection takes one, and the usual limit of 1,024 is less than a fleet.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::{Config, SourceConfig};

/// Files beside connections from outside: the database, logs, connections to brokers and FHIR servers.
const OTHER_FILES: usize = 256;

/// Raises the limit as far as the system allows and the configuration wants, and tells when that is not enough.
pub(super) fn raise(config: &Config) {
    let wanted = u64::try_from(wanted(config)).unwrap_or(u64::MAX);
    let limit = getrlimit(Resource::Nofile);
    // `None` is no limit.
    let Some(allowed) = limit.current.filter(|allowed| *allowed < wanted) else { return };
    let possible = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)).max(allowed);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(possible), maximum: limit.maximum });
    let allowed = if raised.is_ok() { possible } else { allowed };
    if allowed < wanted {
        tracing::warn!(
            allowed,
            wanted,
            "more connections are configured than files may be open: those beyond wait until others end; raise the limit \
             (`ulimit -Hn`, LimitNOFILE= of systemd, --ulimit nofile= of docker) or lower `connections_max`"
        );
    }
}

fn wanted(config: &Config) -> usize {
    let listeners =
        config.connectors.iter().flat_map(|connector| &connector.sources).filter_map(|source| match source {
            SourceConfig::MqttListener(listener) => Some(listener.connections_max),
            SourceConfig::Mqtt(_) | SourceConfig::Kafka(_) | SourceConfig::Http(_) | SourceConfig::File(_) => None,
        });
    listeners.fold(config.http.connections_max.saturating_add(OTHER_FILES), usize::saturating_add)
}
