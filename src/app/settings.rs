//! From the configuration to the settings each part takes.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::{AppError, sources};
use crate::client::authentication::ClientCredentials;
use crate::client::connection::ConnectionSettings;
use crate::client::link::dice;
use crate::client::retry::RetrySettings;
use crate::client::{self, ClientSettings, LinkSettings};
use crate::config::{
    Authentication, ClientAuthentication, Config, ConnectorConfig, IdentifierPrecision, IdentityMode, OAuth2Config,
    PayloadJson, Trace,
};
use crate::convert::identifier::{Naming, Precision};
use crate::convert::trace::Place;
use crate::deliver::{DeliverSettings, FirstWrite};
use crate::group::{GroupSettings, PendingLimits};
use crate::mapping::Payloads;
use crate::resolve::{self, ResolveSettings};

/// How long giving up may take after the grace period.
pub(super) const GIVE_UP_MAX: Duration = Duration::from_secs(5);
/// Batches that wait between two stages. While one waits, the stage before it gathers a larger one: a full channel is
/// what makes Bundles large under load.
pub(super) const BATCHES_MAX: usize = 1;
/// Batches of dead letters that wait to be written.
pub(super) const LETTER_BATCHES_MAX: usize = 64;

/// Longest wait for a connection to open.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Measurements that wait for company in a connector, for each Observation that may leave.
const MEASUREMENTS_PER_GROUP_MAX: usize = 20;
/// Who may reach the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exposure {
    /// This machine only.
    Loopback,
    /// Whoever the network lets through, without authentication.
    InsecureNoAuth,
}

impl Exposure {
    /// What the flag `--insecure-no-auth` asks for.
    pub(crate) fn from_flag(insecure_no_auth: bool) -> Self {
        if insecure_no_auth { Self::InsecureNoAuth } else { Self::Loopback }
    }
}

/// Refuses addresses that strangers can reach, unless that was asked for, which is then said plainly.
pub(crate) fn check_exposure(config: &Config, exposure: Exposure) -> Result<(), AppError> {
    let is_exposed = |address: &SocketAddr| !address.ip().is_loopback();
    let mut listeners = config.connectors.iter().flat_map(|connector| {
        let addresses = connector.sources.iter().filter_map(sources::lets_strangers_in_at).filter(is_exposed);
        addresses.map(|address| (connector.name.clone(), address))
    });
    match exposure {
        Exposure::Loopback if is_exposed(&config.http.listen) => {
            Err(AppError::Exposed { key: "http.listen".to_owned(), address: config.http.listen })
        }
        Exposure::Loopback => match listeners.next() {
            Some((connector, address)) => Err(AppError::ExposedListener { connector, address }),
            None => Ok(()),
        },
        Exposure::InsecureNoAuth => {
            tracing::warn!(
                "--insecure-no-auth: whoever can reach the listening addresses can read and write all health data"
            );
            Ok(())
        }
    }
}

pub(crate) fn client(connector: &ConnectorConfig, own_fhir: url::Url) -> ClientSettings {
    let target = &connector.fhir;
    ClientSettings {
        base_url: target.url.clone().unwrap_or(own_fhir),
        authentication: authentication(&target.authentication),
        connection: ConnectionSettings {
            request_timeout: target.timeout,
            connect_timeout: CONNECT_TIMEOUT,
            authorities: target.tls.ca.clone(),
            identity: target.tls.identity.clone(),
        },
    }
}

fn authentication(authentication: &Authentication) -> client::authentication::Authentication {
    match authentication {
        Authentication::None => client::authentication::Authentication::None,
        Authentication::Token(token) => client::authentication::Authentication::Bearer(token.clone()),
        Authentication::Basic { username, password } => {
            client::authentication::Authentication::Basic { username: username.clone(), password: password.clone() }
        }
        Authentication::OAuth2(oauth2) => {
            client::authentication::Authentication::ClientCredentials(client_credentials(oauth2))
        }
    }
}

/// What a token endpoint is told.
pub(super) fn client_credentials(oauth2: &OAuth2Config) -> ClientCredentials {
    let form = [("scope", &oauth2.scope), ("audience", &oauth2.audience), ("resource", &oauth2.resource)];
    ClientCredentials {
        token_url: oauth2.token_url.clone(),
        client_id: oauth2.client_id.clone(),
        client_secret: oauth2.client_secret.clone(),
        secret_in_form: oauth2.client_authentication == ClientAuthentication::Post,
        form: form.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect(),
    }
}

pub(super) fn link(connector: &ConnectorConfig) -> LinkSettings {
    LinkSettings {
        entries_max: connector.fhir.bundle_entries_max,
        bytes_max: connector.fhir.bundle_bytes_max,
        retry: RetrySettings {
            pause_first: Duration::from_millis(250),
            pause_max: Duration::from_secs(30),
            pause_halted: Duration::from_secs(30),
        },
        dice,
    }
}

pub(super) fn payloads(json: PayloadJson) -> Payloads {
    match json {
        PayloadJson::Strict => Payloads::Strict,
        PayloadJson::Lax => Payloads::Lax,
    }
}

pub(super) fn group(connector: &ConnectorConfig) -> GroupSettings {
    let groups_max = connector.groups_max;
    let measurements_max = groups_max.saturating_mul(MEASUREMENTS_PER_GROUP_MAX);
    GroupSettings { limits: PendingLimits { groups_max, measurements_max }, linger: connector.linger }
}

/// `public_url` is that of the service in this process.
pub(super) fn resolve(connector: &ConnectorConfig, public_url: Option<&url::Url>) -> ResolveSettings {
    let system = connector.device_system.trim();
    let own_url = public_url.filter(|_| connector.fhir.url.is_none());
    ResolveSettings {
        mode: match connector.identity_mode {
            IdentityMode::Lookup => resolve::IdentityMode::Lookup,
            IdentityMode::LookupWithEncounter => resolve::IdentityMode::LookupWithEncounter,
            IdentityMode::Create => resolve::IdentityMode::Create,
        },
        device_identifier_system: (!system.is_empty()).then(|| system.to_owned()),
        other_base_urls: own_url.map(url::Url::to_string).into_iter().collect(),
        cache_age_max: connector.identity_cache_age_max,
    }
}

pub(super) fn deliver(connector: &ConnectorConfig) -> DeliverSettings {
    let naming = Naming {
        system: connector.identifier_system.as_str().into(),
        precision: match connector.identifier_precision {
            IdentifierPrecision::Fraction => Precision::Fraction,
            IdentifierPrecision::Second => Precision::Second,
        },
    };
    let trace = match connector.trace {
        Trace::Source => Place::Source,
        Trace::Tag => Place::Tag,
        Trace::Provenance => Place::Provenance,
        Trace::None => Place::Nowhere,
    };
    let first_write = match (&connector.fhir.url, trace) {
        // Only of the shipped service is it known that a conditional create by PUT is honoured within a Bundle.
        (None, Place::Source | Place::Tag | Place::Nowhere) => FirstWrite::IfAbsent,
        // The Provenance of a write that turns out to be a repeat would be written all the same.
        (None, Place::Provenance) | (Some(_), _) => FirstWrite::AfterReading,
    };
    let lanes = NonZeroUsize::new(connector.fhir.bundles_in_flight_max).unwrap_or(NonZeroUsize::MIN);
    DeliverSettings { naming, lanes, first_write, trace }
}

#[cfg(test)]
mod tests {
    use super::resolve;
    use crate::config::Config;

    #[track_caller]
    fn check_device_system(written: &str, expected: Option<&str>) {
        let text = format!(
            "[[connectors]]\nname = \"a\"\ndevice_mapping = \"d\"\nfhir_mapping = \"f\"\n\
             identity = {{ device_system = \"{written}\" }}\n[[connectors.sources]]\ntype = \"mqtt-listener\"\n"
        );
        let config = Config::parse(Some(("a.toml", &text)), &[]).unwrap();
        assert_eq!(resolve(&config.connectors[0], None).device_identifier_system.as_deref(), expected, "{written:?}");
    }

    #[test]
    fn id_2_a_blank_device_system_is_none() {
        for blank in ["", " ", "\\t "] {
            check_device_system(blank, None);
        }
        check_device_system("urn:wards", Some("urn:wards"));
    }
}
