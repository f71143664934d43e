//! CodeSystems and ValueSets by their canonical URLs, <https://hl7.org/fhir/R4/references.html#canonical>.

use std::cmp::Ordering;

use bytes::Bytes;

use super::code_system::CodeSystem;
use super::error::TerminologyError;
use super::text;
use crate::fhir::store::interface::{Reader, StoreError};
use crate::fhir::store::{Condition, Query, ResourceKey, Selection, Test, UriMode};
use crate::json;
use crate::r4::resource_type::ResourceType;

/// Most versions of one canonical resource that are looked at.
const VERSIONS_MAX: usize = 100;

/// The code system of this URL, of this version or of the latest.
///
/// # Errors
/// When there is none with its codes, or the store fails.
pub(crate) fn code_system(
    reader: &dyn Reader,
    url: &str,
    version: Option<&str>,
) -> Result<CodeSystem, TerminologyError> {
    let unknown = || TerminologyError::UnknownSystem(canonical(url, version));
    let body = body_of(reader, "CodeSystem", url, version)?.ok_or_else(unknown)?;
    let node = json::parse(&body).map_err(|_damaged| unknown())?;
    CodeSystem::read(&node)
}

/// The body of the value set of this name: `ValueSet/id`, or a URL that may end in `|version`. `None` if none is stored.
///
/// # Errors
/// When the store fails.
pub(crate) fn value_set(reader: &dyn Reader, name: &str) -> Result<Option<Bytes>, StoreError> {
    if let Some(id) = name.strip_prefix("ValueSet/") {
        let Some(resource_type) = ResourceType::parse("ValueSet") else { return Ok(None) };
        let key = ResourceKey { resource_type, id: id.to_owned() };
        return Ok(reader.current(&key)?.and_then(|version| version.body));
    }
    let (url, version) = split(name);
    body_of(reader, "ValueSet", url, version)
}

/// A canonical URL and the version behind its bar.
pub(crate) fn split(canonical: &str) -> (&str, Option<&str>) {
    match canonical.split_once('|') {
        Some((url, version)) => (url, Some(version).filter(|version| !version.is_empty())),
        None => (canonical, None),
    }
}

/// A canonical URL with its version, if there is one.
pub(crate) fn canonical(url: &str, version: Option<&str>) -> String {
    version.map_or_else(|| url.to_owned(), |version| format!("{url}|{version}"))
}

/// The body of the resource of this type and canonical URL, of this version or of the latest. `None` if none is stored.
///
/// # Errors
/// When the store fails.
pub(crate) fn body_of(
    reader: &dyn Reader,
    resource_type: &str,
    url: &str,
    version: Option<&str>,
) -> Result<Option<Bytes>, StoreError> {
    let Some(resource_type) = ResourceType::parse(resource_type) else { return Ok(None) };
    let test = Test::Uri { uri: url.to_owned(), mode: UriMode::Exact };
    let selections = vec![Selection { resource_type, condition: Condition::Has("url".into(), test) }];
    let found = reader.find(&Query::first(selections, VERSIONS_MAX))?;
    let mut latest: Option<(Option<String>, Bytes)> = None;
    for body in found.versions.into_iter().filter_map(|version| version.body) {
        let own = json::parse(&body).ok().and_then(|node| text(&node, "version"));
        let is_wanted = version.is_none() || own.as_deref() == version;
        let is_later = latest.as_ref().is_none_or(|(known, _)| compare(known.as_deref(), own.as_deref()).is_le());
        if is_wanted && is_later {
            latest = Some((own, body));
        }
    }
    Ok(latest.map(|(_, body)| body))
}

/// Versions part by part, numbers as numbers; none comes first.
fn compare(one: Option<&str>, other: Option<&str>) -> Ordering {
    let parts = |version: &str| -> Vec<(u64, String)> {
        version.split(['.', '-']).map(|part| (part.parse().unwrap_or(u64::MAX), part.to_owned())).collect()
    };
    one.map(parts).cmp(&other.map(parts))
}

#[cfg(test)]
mod tests {
    use super::{canonical, compare, split};

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let ascending = [None, Some("1.9"), Some("1.10"), Some("2"), Some("2.0.1"), Some("2024-01"), Some("draft")];
        for pair in ascending.windows(2) {
            assert!(compare(pair[0], pair[1]).is_lt(), "{pair:?}");
        }
    }

    #[test]
    fn a_canonical_is_a_url_and_perhaps_a_version() {
        assert_eq!(split("http://x|1.0"), ("http://x", Some("1.0")));
        assert_eq!(split("http://x|"), ("http://x", None));
        assert_eq!(canonical("http://x", Some("1")), "http://x|1");
    }
}
