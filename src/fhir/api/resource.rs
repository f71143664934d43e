//! From the bytes of a resource to a draft the store can write.
//!
//! The text is read once into a tree, for the rules and the index, and cut once at its outermost members: what the
//! client sent stays as sent, to the byte, apart from `resourceType`, `id` and `meta`, which are written anew. Numbers
//! therefore keep their digits.
//!
//! Checked here are the rules of the JSON format (<https://hl7.org/fhir/R4/json.html>). The structure of the resource
//! type (which members exist, how often, of which type) is not.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::error::{ApiError, Category};
use crate::fhir::search;
use crate::fhir::store::{Draft, DraftBody, IndexEntry, Method, ResourceKey};
use crate::json::tree::members;
use crate::json::{self, Node};
use crate::r4::resource_type::ResourceType;

/// Longest logical id; see <https://hl7.org/fhir/R4/datatypes.html#id>.
const ID_LENGTH_MAX: usize = 64;
/// Most values by which one resource is found. All other writes wait while they are written, a tenth of a second then.
const INDEX_VALUES_MAX: usize = 20_000;

/// A resource as a client sent it, checked and indexed.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Its type.
    pub(crate) resource_type: ResourceType,
    /// The id in its body.
    pub(crate) id: Option<String>,
    body: DraftBody,
    index: Vec<IndexEntry>,
}

impl Sent {
    /// Reads a resource of any type. References to `base_url`, which is this server, are indexed as local ones.
    ///
    /// # Errors
    /// When the text is not JSON, breaks the rules of FHIR's JSON, or names no R4 resource type.
    pub(crate) fn read(text: &[u8], base_url: &str) -> Result<Self, ApiError> {
        let node = parse(text)?;
        let resource_type = resource_type_of(&node)?;
        check_members(&node, &mut Location::new(resource_type))?;
        let id = id_of(&node, resource_type)?;
        let body = cut(text, resource_type)?;
        let mut index = search::index::entries(resource_type, &node);
        if index.len() > INDEX_VALUES_MAX {
            let detail = format!("The resource would be found by more than {INDEX_VALUES_MAX} values. Split it.");
            return Err(ApiError::new(Category::TooLarge, detail));
        }
        search::local::localize_entries(&mut index, base_url);
        Ok(Self { resource_type, id, body, index })
    }

    /// Reads a resource that must be of the type its URL names.
    ///
    /// # Errors
    /// As `read`, and when it is of another type.
    pub(crate) fn read_as(text: &[u8], resource_type: ResourceType, base_url: &str) -> Result<Self, ApiError> {
        let sent = Self::read(text, base_url)?;
        if sent.resource_type == resource_type {
            return Ok(sent);
        }
        Err(ApiError::new(
            Category::Rule,
            format!(
                "The URL is that of {}, the body is {}. Send it to the URL of its own type.",
                resource_type.as_str(),
                sent.resource_type.as_str()
            ),
        )
        .at(format!("{}.resourceType", sent.resource_type.as_str())))
    }

    /// What the store writes under this id.
    pub(crate) fn into_draft(self, id: String, method: Method) -> Draft {
        Draft { key: ResourceKey { resource_type: self.resource_type, id }, method, body: self.body, index: self.index }
    }
}

/// Reads JSON in which no object names a member twice.
///
/// # Errors
/// With line and column of the first character that does not fit.
pub(crate) fn parse(text: &[u8]) -> Result<Node<'_>, ApiError> {
    json::parse_unique(text).map_err(|error| {
        let (line, column) = error.position();
        let detail = if std::str::from_utf8(text).is_err() {
            "The body is not UTF-8 text.".to_owned()
        } else if text.trim_ascii().is_empty() {
            "The body is empty. Send the resource as JSON.".to_owned()
        } else if error.is_too_deep() {
            format!("The body nests deeper than 128: line {line}, column {column}. No resource needs that.")
        } else if error.is_too_large() {
            return ApiError::new(
                Category::TooLarge,
                format!("The body has more than {} values. Split the resource.", json::VALUES_MAX),
            );
        } else if error.is_duplicate_member() {
            format!("An object names a member twice: line {line}, column {column}. Send each member once.")
        } else {
            format!("The body is not JSON: line {line}, column {column} does not fit.")
        };
        ApiError::new(Category::Structure, detail)
    })
}

/// Whether this is a logical id: 1 to 64 characters of `[A-Za-z0-9\-.]`.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=ID_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
}

fn resource_type_of(node: &Node<'_>) -> Result<ResourceType, ApiError> {
    let Node::Object(_) = node else {
        return Err(ApiError::new(Category::Structure, "The body is not a JSON object."));
    };
    let Some(name) = node.member("resourceType") else {
        return Err(ApiError::new(
            Category::Required,
            "The body has no `resourceType`. Name the type of the resource, for example `Observation`.",
        ));
    };
    name.as_str().and_then(ResourceType::parse).ok_or_else(|| {
        ApiError::new(Category::Value, "`resourceType` does not name a resource type of FHIR R4.").at("resourceType")
    })
}

fn id_of(node: &Node<'_>, resource_type: ResourceType) -> Result<Option<String>, ApiError> {
    let Some(id) = node.member("id") else {
        return Ok(None);
    };
    match id.as_str() {
        Some(id) if is_id(id) => Ok(Some(id.to_owned())),
        _ => Err(ApiError::new(Category::Value, "A logical id has 1 to 64 characters of A-Z, a-z, 0-9, `-` and `.`.")
            .at(format!("{}.id", resource_type.as_str()))),
    }
}

/// Where the check is, written out only for an error.
struct Location<'a> {
    root: ResourceType,
    steps: Vec<Step<'a>>,
}

enum Step<'a> {
    Member(&'a str),
    Element(usize),
}

impl Location<'_> {
    fn new(root: ResourceType) -> Self {
        Self { root, steps: Vec::new() }
    }

    fn error(&self, detail: &str) -> ApiError {
        ApiError::new(Category::Structure, detail).at(self.to_string())
    }
}

impl fmt::Display for Location<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.root.as_str())?;
        self.steps.iter().try_for_each(|step| match step {
            Step::Member(name) => write!(f, ".{name}"),
            Step::Element(index) => write!(f, "[{index}]"),
        })
    }
}

fn check_members<'a>(object: &'a Node<'_>, location: &mut Location<'a>) -> Result<(), ApiError> {
    if object.members().is_empty() {
        return Err(location.error("An empty object. Leave the member out."));
    }
    for (name, value) in object.members() {
        location.steps.push(Step::Member(name));
        if *value == Node::Null {
            return Err(location.error("`null` is no value. Leave the member out."));
        }
        check_value(value, location)?;
        location.steps.pop();
    }
    Ok(())
}

fn check_value<'a>(value: &'a Node<'_>, location: &mut Location<'a>) -> Result<(), ApiError> {
    match value {
        // Arrays pair values with extensions by position, and mark a missing one with null.
        Node::Null | Node::Bool(_) | Node::Number(_) => Ok(()),
        Node::String(text) if text.is_empty() => Err(location.error("An empty string. Leave the member out.")),
        Node::String(_) => Ok(()),
        Node::Object(_) => check_members(value, location),
        Node::Array(elements) => check_elements(elements, location),
    }
}

fn check_elements<'a>(elements: &'a [Node<'_>], location: &mut Location<'a>) -> Result<(), ApiError> {
    if elements.is_empty() {
        return Err(location.error("An empty array. Leave the member out."));
    }
    for (index, element) in elements.iter().enumerate() {
        location.steps.push(Step::Element(index));
        if let Node::Array(_) = element {
            return Err(location.error("An array within an array, which FHIR does not have."));
        }
        check_value(element, location)?;
        location.steps.pop();
    }
    Ok(())
}

fn cut(text: &[u8], resource_type: ResourceType) -> Result<DraftBody, ApiError> {
    let members = members(text).ok_or_else(|| ApiError::new(Category::Structure, "The body is not a JSON object."))?;
    let mut meta_rest = Vec::new();
    let mut tail = Vec::with_capacity(text.len());
    for (name, value) in &members {
        match name.as_ref() {
            "resourceType" | "id" => {}
            "meta" => meta_rest = rest_of_meta(value, resource_type)?,
            _ => append(&mut tail, name, value),
        }
    }
    tail.push(b'}');
    Ok(DraftBody {
        head: Bytes::from(format!(r#"{{"resourceType":"{}","#, resource_type.as_str())),
        meta_rest: Bytes::from(meta_rest),
        tail: Bytes::from(tail),
    })
}

fn rest_of_meta(meta: &RawValue, resource_type: ResourceType) -> Result<Vec<u8>, ApiError> {
    let members = members(meta.get().as_bytes()).ok_or_else(|| {
        ApiError::new(Category::Structure, "`meta` is an object.").at(format!("{}.meta", resource_type.as_str()))
    })?;
    let mut rest = Vec::new();
    for (name, value) in &members {
        if name != "versionId" && name != "lastUpdated" {
            append(&mut rest, name, value);
        }
    }
    Ok(rest)
}

fn append(text: &mut Vec<u8>, name: &str, value: &RawValue) {
    text.push(b',');
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        text.push(b'"');
        text.extend_from_slice(name.as_bytes());
        text.push(b'"');
    } else {
        text.extend_from_slice(Node::String(Cow::Borrowed(name)).to_string().as_bytes());
    }
    text.push(b':');
    text.extend_from_slice(value.get().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::{Sent, is_id};
    use crate::fhir::store::IndexValue;

    const BASE_URL: &str = "http://localhost/fhir";

    #[track_caller]
    fn check(text: &str, meta_rest: &str, tail: &str) {
        let sent = Sent::read(text.as_bytes(), BASE_URL).unwrap();
        assert_eq!(sent.body.head, r#"{"resourceType":"Observation","#);
        assert_eq!(sent.body.meta_rest, meta_rest);
        assert_eq!(sent.body.tail, tail);
    }

    #[track_caller]
    fn check_refused(text: &str, location: &str) {
        let outcome = String::from_utf8(Sent::read(text.as_bytes(), BASE_URL).unwrap_err().outcome()).unwrap();
        assert!(outcome.contains(location), "{outcome}");
    }

    #[test]
    fn what_is_not_the_servers_stays_as_sent() {
        check(
            r#"{ "status" : "final", "id":"a", "valueQuantity": { "value" : 65.00, "unit":"\u0031\/min" },
                 "resourceType":"Observation", "meta": { "versionId":"7", "source":"urn:x", "lastUpdated":"2020", "tag":[{"code":"t"}] } }"#,
            r#","source":"urn:x","tag":[{"code":"t"}]"#,
            r#","status":"final","valueQuantity":{ "value" : 65.00, "unit":"\u0031\/min" }}"#,
        );
        check(r#"{"resourceType":"Observation"}"#, "", "}");
    }

    #[test]
    fn the_rules_of_the_json_format_are_kept_with_a_location() {
        check_refused(
            r#"{"resourceType":"Observation","component":[{"a":1},{"code":null}]}"#,
            "Observation.component[1].code",
        );
        check_refused(r#"{"resourceType":"Observation","note":[]}"#, "Observation.note");
        check_refused(r#"{"resourceType":"Observation","code":{}}"#, "Observation.code");
        check_refused(r#"{"resourceType":"Observation","note":[{"text":""}]}"#, "Observation.note[0].text");
        check_refused(r#"{"resourceType":"Observation","a":[[1]]}"#, "Observation.a[0]");
        check_refused(r#"{"resourceType":"Observation","meta":"x"}"#, "Observation.meta");
        check_refused(r#"{"resourceType":"Observation","id":"a_b"}"#, "Observation.id");
        check_refused(r#"{"resourceType":"Observation","id":12}"#, "Observation.id");
        check_refused("{\"resourceType\":\"Observation\",\n \"a\":1, \"a\":2}", "line 2");
        check_refused("{\n\"resourceType\":\"Observation\",}", "line 2, column");
        check_refused(r#"{"resourceType":"Reading"}"#, "resourceType");
        check_refused(r#"{"id":"1"}"#, "resourceType");
        check_refused("[]", "object");
    }

    #[test]
    fn an_absolute_reference_to_this_server_is_found_as_a_local_one() {
        for reference in ["http://localhost/fhir/Patient/1/_history/2", "http://localhost/fhir/Patient/1", "Patient/1"]
        {
            let text = format!(r#"{{"resourceType":"Observation","subject":{{"reference":"{reference}"}}}}"#);
            let sent = Sent::read(text.as_bytes(), BASE_URL).unwrap();
            let expected = IndexValue::Reference { target: "Patient/1".to_owned() };
            assert!(sent.index.iter().any(|entry| entry.value == expected), "{reference}");
        }
    }

    #[test]
    fn nulls_that_pair_values_with_extensions_are_kept() {
        check(
            r#"{"resourceType":"Observation","given":["a",null],"_given":[null,{"id":"x"}]}"#,
            "",
            r#","given":["a",null],"_given":[null,{"id":"x"}]}"#,
        );
    }

    #[test]
    fn ids_have_a_length_and_an_alphabet() {
        assert!(is_id("A-z.9"));
        assert!(is_id(&"a".repeat(64)));
        for text in ["", "a_b", "a/b", "ä", "a b"] {
            assert!(!is_id(text), "{text}");
        }
        assert!(!is_id(&"a".repeat(65)));
    }
}
