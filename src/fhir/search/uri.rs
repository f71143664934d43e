//! URI parameters, compared to the letter, <https://hl7.org/fhir/R4/search.html#uri>.

use super::error::BadValue;
use super::escape::{split, unescape};
use crate::fhir::store::{IndexValue, Test, UriMode};
use crate::json::Node;

/// How a data type holds a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A URI.
    Plain,
    /// A URI that may carry a version behind a bar, and is found with and without it.
    Canonical,
}

impl Form {
    /// The form of a data type; `None` if it is not a URI.
    pub(super) fn of(data_type: &str) -> Option<Self> {
        Some(match data_type {
            "uri" | "url" => Self::Plain,
            "canonical" => Self::Canonical,
            _ => return None,
        })
    }

    /// The values of one element.
    pub(super) fn extract(self, node: &Node<'_>, emit: &mut impl FnMut(IndexValue)) {
        let Some(uri) = node.as_str().filter(|uri| !uri.is_empty()) else {
            return;
        };
        emit(IndexValue::Uri { uri: uri.to_owned() });
        if let (Self::Canonical, Some((uri, _version))) = (self, uri.split_once('|')) {
            emit(IndexValue::Uri { uri: uri.to_owned() });
        }
    }
}

/// A URL and the version behind its bar, which need not be escaped there.
pub(super) fn split_version(value: &str) -> Option<(&str, &str)> {
    match split(value, '|').as_slice() {
        [url, version] if !url.is_empty() && !version.is_empty() => Some((url, version)),
        _ => None,
    }
}

/// The URNs in which this program's connectors tell, level by level, what an Observation was made from.
const OWN_NAMESPACE: &str = "urn:vitalwire:";

/// A URI as a search value.
pub(super) fn test(value: &str, mode: UriMode) -> Result<Test, BadValue> {
    match unescape(value) {
        Some(uri) if mode != UriMode::Exact && uri.starts_with("urn:") && !uri.starts_with(OWN_NAMESPACE) => {
            Err(BadValue { expected: "a URL; a URN has nothing above or below it" })
        }
        Some(uri) if !uri.is_empty() => Ok(Test::Uri { uri, mode }),
        _ => Err(BadValue { expected: "a URI" }),
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, split_version, test};
    use crate::fhir::store::{IndexValue, Test, UriMode};
    use crate::json::Node;

    #[track_caller]
    fn check(data_type: &str, uri: &str, expected: &[&str]) {
        let mut found = Vec::new();
        Form::of(data_type).unwrap().extract(&Node::String(uri.into()), &mut |value| found.push(value));
        let expected: Vec<_> = expected.iter().map(|uri| IndexValue::Uri { uri: (*uri).to_owned() }).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_canonical_is_found_with_and_without_its_version() {
        check("canonical", "http://a/b|1.0", &["http://a/b|1.0", "http://a/b"]);
        check("canonical", "http://a/b", &["http://a/b"]);
        check("uri", "urn:x|y", &["urn:x|y"]);
        check("uri", "", &[]);
    }

    #[test]
    fn a_value_is_taken_to_the_letter() {
        let uri = "http://A/b?c=d".to_owned();
        assert_eq!(test("http://A/b?c=d", UriMode::Below), Ok(Test::Uri { uri, mode: UriMode::Below }));
        assert!(test("", UriMode::Exact).is_err());
        assert!(test("urn:oid:1.2", UriMode::Exact).is_ok());
        assert!(test("urn:oid:1.2", UriMode::Below).is_err());
    }

    #[test]
    fn a_version_stands_behind_a_bar() {
        assert_eq!(split_version("http://x|1.0"), Some(("http://x", "1.0")));
        for value in ["http://x", r"http://x\|1", "http://x|", "|1", "a|b|c"] {
            assert_eq!(split_version(value), None, "{value}");
        }
    }
}
