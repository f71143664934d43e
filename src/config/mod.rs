//! Settings: what the defaults, a file and the environment say, checked once, all problems at once.
//!
//! `raw` layers the three into one tree in which every value knows where it stands, `section` reads it key by key, and
//! `check` makes of it the settings below, which are known to be usable. Each part of the program is given its own
//! section and never sees the whole.

mod check;
mod fhir_target;
mod origins;
mod raw;
mod section;
mod sources;
mod tls;
mod words;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

pub(crate) use self::raw::Place;
pub(crate) use self::sources::SourceConfig;
pub(crate) use self::sources::file::FileConfig;
pub(crate) use self::sources::http_push::HttpPushConfig;
pub(crate) use self::sources::kafka::{KafkaConfig, KafkaHeaderValues, KafkaLogin, KafkaStart};
pub(crate) use self::sources::mqtt::{MqttConfig, MqttProtocol, MqttQos, MqttTls};
pub(crate) use self::sources::mqtt_listener::MqttListenerConfig;

use self::raw::Raw;
use crate::r4::resource_type::ResourceType;
use crate::secret::Secret;
use crate::telemetry::LogSettings;

/// Every key with its default, and its documentation.
const DEFAULTS: &str = include_str!("../../config/default.toml");
/// What the names of environment variables begin with.
const VARIABLE_PREFIX: &str = "VITALWIRE_";

/// Settings known to be usable.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Where everything durable is kept.
    pub(crate) data_dir: PathBuf,
    /// What is logged, and how.
    pub(crate) log: LogSettings,
    /// The HTTP server.
    pub(crate) http: HttpConfig,
    /// How long what is under way at the end may take.
    pub(crate) shutdown_grace: Duration,
    /// The connectors; names are unique.
    pub(crate) connectors: Vec<ConnectorConfig>,
}

/// The HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpConfig {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Largest request body, in bytes.
    pub(crate) body_bytes_max: usize,
    /// Bytes of request bodies in memory at a time, no less than one may have.
    pub(crate) in_flight_bytes_max: usize,
    /// Longest time to answer.
    pub(crate) request_timeout: Duration,
    /// Most connections at a time.
    pub(crate) connections_max: usize,
    /// Longest time that a connection is open without a request under way.
    pub(crate) idle_timeout: Duration,
    /// The FHIR service on it.
    pub(crate) fhir: FhirConfig,
}

/// The FHIR service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FhirConfig {
    /// Origins whose pages may use it from a browser, as browsers write them; `*` is any.
    pub(crate) cors_origins: Vec<String>,
    /// Its base in links; `None`: from the request.
    pub(crate) public_url: Option<Url>,
    /// How much of a resource is checked before it is written.
    pub(crate) validation: Validation,
    /// What one request to the FHIR service may ask for.
    pub(crate) limits: FhirLimits,
    /// What a conditional delete may reach.
    pub(crate) conditional_delete: ConditionalDelete,
    /// What versions are good for.
    pub(crate) versioning: Versioning,
}

/// What a conditional delete may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConditionalDelete {
    /// One resource.
    Single,
    /// All that fulfil the condition.
    Multiple,
    /// It is refused.
    Refused,
}

/// What versions of resources are good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Versioning {
    /// Of types that are not named.
    pub(crate) default: VersioningPolicy,
    /// Of these types.
    pub(crate) of_types: Vec<(ResourceType, VersioningPolicy)>,
}

/// What versions of a type are good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VersioningPolicy {
    /// They are kept.
    Versioned,
    /// They are kept, and a change must name the one it is made to.
    VersionedUpdate,
    /// Only the current one is kept.
    NoVersion,
}

/// What one request to the FHIR service may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FhirLimits {
    /// Longest URL, in bytes.
    pub(crate) url_bytes_max: usize,
    /// Largest headers, in bytes.
    pub(crate) header_bytes_max: usize,
    /// Entries of a Bundle.
    pub(crate) bundle_entries_max: usize,
    /// Matches on a page.
    pub(crate) count_max: usize,
    /// Longest time of a search.
    pub(crate) search_time_max: Duration,
}

/// How much of a resource is checked before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validation {
    /// All that R4 defines of its type.
    Structure,
    /// The rules of the JSON format alone.
    Json,
}

/// One connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConnectorConfig {
    /// Its name: letters, digits, `-`, `_`.
    pub(crate) name: String,
    /// File of the device mapping.
    pub(crate) device_mapping: PathBuf,
    /// File of the FHIR mapping.
    pub(crate) fhir_mapping: PathBuf,
    /// How strictly payloads are read.
    pub(crate) payload_json: PayloadJson,
    /// Messages that wait between the sources and the mapping.
    pub(crate) queue_max: usize,
    /// Bytes of messages that have come in and not yet ended.
    pub(crate) in_flight_bytes_max: usize,
    /// Longest wait of a measurement for company.
    pub(crate) linger: Duration,
    /// Observations that leave together.
    pub(crate) groups_max: usize,
    /// What is done about unknown devices and patients.
    pub(crate) identity_mode: IdentityMode,
    /// System of device identifiers; empty for any.
    pub(crate) device_system: String,
    /// How long what was found about a device is believed.
    pub(crate) identity_cache_age_max: Duration,
    /// System of Observation identifiers.
    pub(crate) identifier_system: String,
    /// How the time of a single measurement is written into its identifier.
    pub(crate) identifier_precision: IdentifierPrecision,
    /// Where it is said what an Observation was made from.
    pub(crate) trace: Trace,
    /// Where the Observations go.
    pub(crate) fhir: FhirTarget,
    /// Where the messages come from; at least one.
    pub(crate) sources: Vec<SourceConfig>,
}

/// How strictly payloads are read (rule EV-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PayloadJson {
    /// As RFC 8259 has it.
    Strict,
    /// As Microsoft's connector does.
    Lax,
}

/// What is done about unknown devices and patients (rule ID-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdentityMode {
    /// They must exist.
    Lookup,
    /// As `Lookup`, and every measurement names an encounter.
    LookupWithEncounter,
    /// They are created.
    Create,
}

/// How the time of a single measurement is written into its identifier (rule GR-12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdentifierPrecision {
    /// With the fraction of a second.
    Fraction,
    /// Whole seconds.
    Second,
}

/// Where it is said what an Observation was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trace {
    /// In `meta.source`.
    Source,
    /// In `meta.tag`.
    Tag,
    /// In a Provenance for each write.
    Provenance,
    /// Nowhere.
    None,
}

/// The FHIR server a connector delivers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FhirTarget {
    /// Its base; `None`: the service in this process.
    pub(crate) url: Option<Url>,
    /// How the connector proves who it is.
    pub(crate) authentication: Authentication,
    /// Certificates of its own.
    pub(crate) tls: TlsConfig,
    /// Entries in one Bundle.
    pub(crate) bundle_entries_max: usize,
    /// Bundles on their way at a time.
    pub(crate) bundles_in_flight_max: usize,
    /// Bytes of resources in one Bundle.
    pub(crate) bundle_bytes_max: usize,
    /// Longest wait for an answer.
    pub(crate) timeout: Duration,
}

/// How a connector proves to a FHIR server who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Authentication {
    /// Not at all.
    None,
    /// With a bearer token that does not change.
    Token(Secret),
    /// With a user and a password (RFC 7617).
    Basic {
        /// The user.
        username: String,
        /// Its password.
        password: Secret,
    },
    /// With tokens that a token endpoint gives for a while (RFC 6749, section 4.4).
    OAuth2(OAuth2Config),
}

/// Where tokens come from, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OAuth2Config {
    /// The token endpoint.
    pub(crate) token_url: Url,
    /// Name of the client there.
    pub(crate) client_id: String,
    /// Its secret.
    pub(crate) client_secret: Secret,
    /// Where the two are put.
    pub(crate) client_authentication: ClientAuthentication,
    /// What is asked for.
    pub(crate) scope: Option<String>,
    /// For whom the token is, where the endpoint asks for `audience`.
    pub(crate) audience: Option<String>,
    /// For what the token is, where the endpoint asks for `resource` (RFC 8707).
    pub(crate) resource: Option<String>,
}

/// Where id and secret of a client are put (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAuthentication {
    /// Into the header `Authorization`.
    Basic,
    /// Into the form.
    Post,
}

/// Certificates, read and tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsConfig {
    /// Authorities that are trusted besides those of the system, as PEM.
    pub(crate) ca: Option<String>,
    /// Certificate and key to show to the server, as PEM.
    pub(crate) identity: Option<Secret>,
}

/// How connections of clients are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerTlsConfig {
    /// Certificate and key to show to clients, as PEM.
    pub(crate) identity: Secret,
    /// Authorities of the certificates that clients must show, as PEM; `None`: they need not show any.
    pub(crate) client_ca: Option<String>,
}

/// One thing that is wrong with the configuration.
#[derive(Debug)]
pub(crate) struct ConfigProblem {
    /// Where it stands, if it stands anywhere.
    pub(crate) place: Option<Place>,
    /// The key concerned, outermost section first; empty when the text as a whole is at fault.
    pub(crate) key: String,
    /// What is wrong and what is expected.
    pub(crate) message: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "`{}` ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

impl Config {
    /// Reads the defaults, then the file, then the environment.
    ///
    /// # Errors
    /// All problems together.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, Vec<ConfigProblem>> {
        let text = file.map(|path| (path.display().to_string(), std::fs::read_to_string(path)));
        let text = match text {
            None => None,
            Some((name, Ok(text))) => Some((name, text)),
            Some((name, Err(error))) => {
                let message = format!("cannot read {name}: {error}");
                return Err(vec![ConfigProblem { place: None, key: String::new(), message }]);
            }
        };
        let variables: Vec<_> = std::env::vars().collect();
        Self::parse(text.as_ref().map(|(name, text)| (name.as_str(), text.as_str())), &variables)
    }

    /// As `load`, from texts: the file as (name, text), and the environment.
    ///
    /// # Errors
    /// All problems together.
    pub(crate) fn parse(
        file: Option<(&str, &str)>,
        variables: &[(String, String)],
    ) -> Result<Self, Vec<ConfigProblem>> {
        let mut raw = Raw::parse("config/default.toml", DEFAULTS).map_err(|problem| vec![problem])?;
        if let Some((name, text)) = file {
            raw.overlay(Raw::parse(name, text).map_err(|problem| vec![problem])?);
        }
        let mut variables: Vec<_> = variables
            .iter()
            .filter_map(|(name, value)| Some((name, name.strip_prefix(VARIABLE_PREFIX)?, value)))
            .collect();
        // Sections before what is in them, whatever order the system lists them in.
        variables.sort_unstable();
        for (name, path, value) in variables {
            let keys: Vec<String> = path.split("__").map(str::to_lowercase).collect();
            raw.set_from_variable(name, &keys, value);
        }
        check::check(raw)
    }

    /// The sections apart from those of connectors in which another configuration says something else.
    pub(crate) fn differing_sections(&self, other: &Self) -> Vec<&'static str> {
        let http = HttpConfig { fhir: self.http.fhir.clone(), ..other.http.clone() };
        let sections = [
            ("data_dir", self.data_dir != other.data_dir),
            ("log", self.log != other.log),
            ("http", self.http != http),
            ("fhir", self.http.fhir != other.http.fhir),
            ("shutdown", self.shutdown_grace != other.shutdown_grace),
        ];
        sections.into_iter().filter(|(_, differs)| *differs).map(|(section, _)| section).collect()
    }
}

#[cfg(test)]
mod tests;
