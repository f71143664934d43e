//! From what was written to settings that can be used. Every problem is kept, so that one run shows all.

use std::collections::HashSet;
use std::time::Duration;

use super::fhir_target::fhir_target;
use super::origins::origins;
use super::raw::{Content, Raw};
use super::section::{FromRaw, Problems, Section};
use super::sources::{self, SourceDefaults, Taken as SourcesTaken};
use super::words::words;
use super::{
    ClientAuthentication, ConditionalDelete, Config, ConfigProblem, ConnectorConfig, FhirConfig, FhirLimits,
    HttpConfig, IdentifierPrecision, IdentityMode, PayloadJson, Trace, Validation, Versioning, VersioningPolicy,
};
use crate::r4::resource_type::ResourceType;
use crate::telemetry::{LogFormat, LogSettings, parse_filter};

/// Stands in for an address after a problem with it was noted.
pub(super) const NO_ADDRESS: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Checks every key and reports all problems together.
pub(super) fn check(raw: Raw) -> Result<Config, Vec<ConfigProblem>> {
    let mut problems = Problems::new();
    let mut root = Section::root(raw, &mut problems);
    let data_dir = root.required("data_dir", Default::default(), &mut problems);
    let log = log(root.section("log", &mut problems), &mut problems);
    let fhir = fhir(root.section("fhir", &mut problems), &mut problems);
    let http = http(root.section("http", &mut problems), fhir, &mut problems);
    let shutdown_grace = shutdown_grace(root.section("shutdown", &mut problems), &mut problems);
    let connectors = connectors(&mut root, &mut problems);
    root.finish(&mut problems);
    if problems.is_empty() { Ok(Config { data_dir, log, http, shutdown_grace, connectors }) } else { Err(problems) }
}

fn log(mut section: Section, problems: &mut Problems) -> LogSettings {
    let format = section.required("format", LogFormat::Text, problems);
    let filter: String = section.required("filter", String::new(), problems);
    if let Err(error) = parse_filter(&filter) {
        problems.push(section.problem("filter", None, error.to_string()));
    }
    section.finish(problems);
    LogSettings { format, filter }
}

fn fhir(mut section: Section, problems: &mut Problems) -> FhirConfig {
    let fhir = FhirConfig {
        public_url: section.optional("public_url", problems),
        cors_origins: origins("cors_origins", &mut section, problems),
        validation: section.required("validation", Validation::Structure, problems),
        conditional_delete: section.required("conditional_delete", ConditionalDelete::Single, problems),
        versioning: versioning(section.section("versioning", problems), problems),
        limits: fhir_limits(section.section("limits", problems), problems),
    };
    section.finish(problems);
    fhir
}

fn versioning(mut section: Section, problems: &mut Problems) -> Versioning {
    let default = section.required("default", VersioningPolicy::Versioned, problems);
    let of_types = ResourceType::all()
        .filter_map(|resource_type| Some((resource_type, section.optional(resource_type.as_str(), problems)?)));
    let versioning = Versioning { default, of_types: of_types.collect() };
    section.finish(problems);
    versioning
}

/// Above it the HTTP library refuses by itself.
const URL_BYTES_MAX: usize = 60_000;
/// More are not kept while a Bundle is read.
const BUNDLE_ENTRIES_MAX: usize = 100_000;

fn fhir_limits(mut section: Section, problems: &mut Problems) -> FhirLimits {
    let limits = FhirLimits {
        url_bytes_max: section.required("url_bytes_max", 1, problems),
        header_bytes_max: section.required("header_bytes_max", 1, problems),
        bundle_entries_max: section.required("bundle_entries_max", 1, problems),
        count_max: section.required("count_max", 1, problems),
        search_time_max: section.required("search_time_max", Duration::ZERO, problems),
    };
    let bounds = [
        ("url_bytes_max", limits.url_bytes_max, URL_BYTES_MAX),
        ("bundle_entries_max", limits.bundle_entries_max, BUNDLE_ENTRIES_MAX),
    ];
    for (key, value, most) in bounds {
        if value > most {
            problems.push(section.problem(key, None, format!("may be at most {most}")));
        }
    }
    section.finish(problems);
    limits
}

fn http(mut section: Section, fhir: FhirConfig, problems: &mut Problems) -> HttpConfig {
    let http = HttpConfig {
        listen: section.required("listen", NO_ADDRESS, problems),
        body_bytes_max: section.required("body_bytes_max", 1, problems),
        in_flight_bytes_max: section.required("in_flight_bytes_max", 1, problems),
        request_timeout: section.required("request_timeout", Duration::ZERO, problems),
        connections_max: section.required("connections_max", 1, problems),
        idle_timeout: section.required("idle_timeout", Duration::ZERO, problems),
        fhir,
    };
    if http.in_flight_bytes_max < http.body_bytes_max {
        let message = "must be at least `body_bytes_max`, or the largest bodies would never be taken".to_owned();
        problems.push(section.problem("in_flight_bytes_max", None, message));
    }
    section.finish(problems);
    http
}

fn shutdown_grace(mut section: Section, problems: &mut Problems) -> Duration {
    let grace = section.required("grace", Duration::ZERO, problems);
    section.finish(problems);
    grace
}

/// What `[connector]` says for all, taken apart by whom it concerns.
struct ConnectorDefaults {
    connector: Raw,
    sources: SourceDefaults,
}

/// What only one may have.
#[derive(Default)]
struct Taken {
    names: HashSet<String>,
    sources: SourcesTaken,
}

fn connectors(root: &mut Section, problems: &mut Problems) -> Vec<ConnectorConfig> {
    let defaults = connector_defaults(root, problems);
    let sections = root.sections("connectors", problems, |_item| defaults.connector.clone());
    let mut taken = Taken::default();
    sections.into_iter().map(|section| connector(section, &defaults, &mut taken, problems)).collect()
}

fn connector_defaults(root: &mut Section, problems: &mut Problems) -> ConnectorDefaults {
    let mut section = root.section("connector", problems);
    let sources = SourceDefaults::take(&mut section);
    ConnectorDefaults { connector: section.into_raw(), sources }
}

fn connector(
    mut section: Section,
    defaults: &ConnectorDefaults,
    taken: &mut Taken,
    problems: &mut Problems,
) -> ConnectorConfig {
    let name = connector_name(&mut section, &mut taken.names, problems);
    let mut group = section.section("group", problems);
    let linger = group.required("linger", Duration::ZERO, problems);
    let groups_max = group.required("groups_max", 1, problems);
    group.finish(problems);
    let mut identity = section.section("identity", problems);
    let identity_mode = identity.required("mode", IdentityMode::Lookup, problems);
    let device_system = identity.required("device_system", String::new(), problems);
    let identity_cache_age_max = identity.required("cache_age_max", Duration::ZERO, problems);
    identity.finish(problems);
    let mut observation = section.section("observation", problems);
    let identifier_system = observation.required("identifier_system", String::new(), problems);
    let identifier_precision = observation.required("identifier_precision", IdentifierPrecision::Fraction, problems);
    let trace = observation.required("trace", Trace::Source, problems);
    observation.finish(problems);
    let connector = ConnectorConfig {
        device_mapping: section.required("device_mapping", Default::default(), problems),
        fhir_mapping: section.required("fhir_mapping", Default::default(), problems),
        payload_json: section.required("payload_json", PayloadJson::Strict, problems),
        queue_max: section.required("queue_max", 1, problems),
        in_flight_bytes_max: section.required("in_flight_bytes_max", 1, problems),
        linger,
        groups_max,
        identity_mode,
        device_system,
        identity_cache_age_max,
        identifier_system,
        identifier_precision,
        trace,
        fhir: fhir_target(section.section("fhir", problems), problems),
        sources: sources::sources(&mut section, &name, &defaults.sources, &mut taken.sources, problems),
        name,
    };
    section.finish(problems);
    connector
}

fn connector_name(section: &mut Section, names: &mut HashSet<String>, problems: &mut Problems) -> String {
    let name: String = section.required("name", String::new(), problems);
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.chars().all(allowed) || name.len() > 64 {
        let message = "may have letters, digits, `-` and `_`, 64 at most: it is part of URLs and metrics".to_owned();
        problems.push(section.problem("name", None, message));
    }
    if !name.is_empty() && !names.insert(name.clone()) {
        let message = format!("`{name}` is taken by another connector; each has a ledger of its own by this name");
        problems.push(section.problem("name", None, message));
    }
    name
}

words!(LogFormat, "\"text\" or \"json\"", "text" => Self::Text, "json" => Self::Json);
words!(IdentifierPrecision, "\"fraction\" or \"second\"", "fraction" => Self::Fraction, "second" => Self::Second);
words!(
    Trace,
    "\"source\", \"tag\", \"provenance\" or \"none\"",
    "source" => Self::Source,
    "tag" => Self::Tag,
    "provenance" => Self::Provenance,
    "none" => Self::None
);
words!(Validation, "\"structure\" or \"json\"", "structure" => Self::Structure, "json" => Self::Json);
words!(
    ConditionalDelete,
    "\"single\", \"multiple\" or \"refused\"",
    "single" => Self::Single,
    "multiple" => Self::Multiple,
    "refused" => Self::Refused
);
words!(
    VersioningPolicy,
    "\"versioned\", \"versioned-update\" or \"no-version\"",
    "versioned" => Self::Versioned,
    "versioned-update" => Self::VersionedUpdate,
    "no-version" => Self::NoVersion
);
words!(PayloadJson, "\"strict\" or \"lax\"", "strict" => Self::Strict, "lax" => Self::Lax);
words!(ClientAuthentication, "\"basic\" or \"post\"", "basic" => Self::Basic, "post" => Self::Post);

/// Also as Microsoft's connector has them: `LookupWithEncounter`, in any case (rule ID-1).
impl FromRaw for IdentityMode {
    const EXPECTED: &'static str = "\"lookup\", \"lookup-with-encounter\" or \"create\"";
    fn from_content(content: &Content) -> Option<Self> {
        match String::from_content(content)?.to_ascii_lowercase().as_str() {
            "lookup" => Some(Self::Lookup),
            "lookup-with-encounter" | "lookupwithencounter" => Some(Self::LookupWithEncounter),
            "create" => Some(Self::Create),
            _ => None,
        }
    }
}
