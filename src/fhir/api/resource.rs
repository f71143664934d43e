//! From the bytes of a resource to a draft the store can write.
//!
//! The text is read once into a tree, for the rules and the index, and cut once at its outermost members: what the
//! client sent stays as sent, to the byte, apart from `resourceType`, `id` and `meta`, which are written anew. Numbers
//! therefore keep their digits.
//!
//! What `structure` finds wrong with it is told, all at once.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::error::{ApiError, Category};
use crate::fhir::search;
use crate::fhir::search::registry::Registry;
use crate::fhir::store::{Basis, Draft, DraftBody, IndexEntry, Method, ResourceKey};
use crate::fhir::structure::Validation;
use crate::fhir::subset::is_part;
use crate::json::tree::members;
use crate::json::{self, Node};
use crate::r4::id::is_id;
use crate::r4::resource_type::ResourceType;

/// Most values by which one resource is found: a code system of as many concepts. All other writes wait while they are
/// written, some tenths of a second for so many.
const INDEX_VALUES_MAX: usize = 100_000;

/// How resources are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    /// This server: references to it are indexed as local ones.
    pub(crate) base_url: &'a str,
    /// How much is checked.
    pub(crate) validation: Validation,
    /// What resources are found by.
    pub(crate) registry: &'a Arc<Registry>,
}

/// The same, for work that is done later.
#[derive(Clone, Debug)]
pub(crate) struct KeptRules {
    /// This server.
    pub(crate) base_url: String,
    validation: Validation,
    registry: Arc<Registry>,
}

impl Rules<'_> {
    /// The same, for work that is done later.
    pub(crate) fn keep(&self) -> KeptRules {
        KeptRules {
            base_url: self.base_url.to_owned(),
            validation: self.validation,
            registry: Arc::clone(self.registry),
        }
    }
}

impl KeptRules {
    /// The rules.
    pub(crate) fn rules(&self) -> Rules<'_> {
        Rules { base_url: &self.base_url, validation: self.validation, registry: &self.registry }
    }
}

/// A resource as a client sent it, checked and indexed.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Its type.
    pub(crate) resource_type: ResourceType,
    /// The id in its body.
    pub(crate) id: Option<String>,
    body: DraftBody,
    index: Vec<IndexEntry>,
    basis: Basis,
}

impl Sent {
    /// Reads a resource of any type.
    ///
    /// # Errors
    /// When the text is not JSON, names no R4 resource type, or is not what R4 says of its type.
    #[cfg(test)]
    pub(crate) fn read(text: &[u8], rules: Rules<'_>) -> Result<Self, ApiError> {
        let node = parse(text)?;
        let resource_type = resource_type_of(&node)?;
        Self::of(text, &node, resource_type, rules)
    }

    fn of(text: &[u8], node: &Node<'_>, resource_type: ResourceType, rules: Rules<'_>) -> Result<Self, ApiError> {
        ApiError::unless_empty(rules.validation.check(resource_type, node))?;
        if is_part(node) {
            let detail = "The resource is tagged as a part (`SUBSETTED`); stored, it would take the place of the whole. \
                          Read it without `_summary` and `_elements`, and change that.";
            return Err(ApiError::new(Category::Rule, detail).at(format!("{}.meta.tag", resource_type.as_str())));
        }
        let id = id_of(node, resource_type)?;
        let body = cut(text, resource_type)?;
        let index = index(rules.registry, resource_type, node, rules.base_url)?;
        let basis = Basis { generation: rules.registry.generation(), base_url: rules.base_url.into() };
        Ok(Self { resource_type, id, body, index, basis })
    }

    /// Reads a resource that must be of the type its URL names.
    ///
    /// # Errors
    /// When the text is not JSON, is of another type, or is not what R4 says of its type.
    pub(crate) fn read_as(text: &[u8], resource_type: ResourceType, rules: Rules<'_>) -> Result<Self, ApiError> {
        let node = parse(text)?;
        let found = resource_type_of(&node)?;
        if found == resource_type {
            return Self::of(text, &node, resource_type, rules);
        }
        let detail = format!(
            "The URL is that of {}, the body is {}. Send it to the URL of its own type.",
            resource_type.as_str(),
            found.as_str()
        );
        Err(ApiError::new(Category::Rule, detail).at(format!("{}.resourceType", found.as_str())))
    }

    /// What the store writes under this id.
    pub(crate) fn into_draft(self, id: String, method: Method) -> Draft {
        let key = ResourceKey { resource_type: self.resource_type, id };
        Draft { key, method, body: self.body, index: self.index, basis: self.basis }
    }
}

/// What a resource is found by.
///
/// # Errors
/// When that is too much.
pub(crate) fn index(
    registry: &Registry,
    resource_type: ResourceType,
    resource: &Node<'_>,
    base_url: &str,
) -> Result<Vec<IndexEntry>, ApiError> {
    let mut index = search::index::entries(registry, resource_type, resource);
    if index.len() > INDEX_VALUES_MAX {
        let detail = format!("The resource would be found by more than {INDEX_VALUES_MAX} values. Split it.");
        return Err(ApiError::new(Category::TooLarge, detail));
    }
    search::local::localize_entries(&mut index, base_url);
    Ok(index)
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
    use proptest::prelude::*;
    use serde_json::Value;

    use super::{Rules, Sent};
    use crate::fhir::search::registry::Registry;
    use crate::fhir::store::{DraftBody, IndexValue};
    use crate::fhir::structure::Validation;

    fn json() -> Rules<'static> {
        let (base_url, registry) = ("http://localhost/fhir", Registry::r4());
        Rules { base_url, validation: Validation::Json, registry }
    }

    #[track_caller]
    fn check(text: &str, meta_rest: &str, tail: &str) {
        let sent = Sent::read(text.as_bytes(), json()).unwrap();
        assert_eq!(sent.body.head, r#"{"resourceType":"Observation","#);
        assert_eq!(sent.body.meta_rest, meta_rest);
        assert_eq!(sent.body.tail, tail);
    }

    #[track_caller]
    fn check_refused(text: &str, location: &str) {
        let outcome = String::from_utf8(Sent::read(text.as_bytes(), json()).unwrap_err().outcome()).unwrap();
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
            let sent = Sent::read(text.as_bytes(), json()).unwrap();
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

    /// Something like JSON, now and then exactly that.
    fn text() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            r#"[{}\[\],:"]"#,
            r#""(\\PC|\\\\[nu"/]|[a-z]){0,6}""#,
            r#""(resourceType|id|meta|status|versionId|lastUpdated|reference|text|div)""#,
            "-?[0-9]{1,5}(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,6})?",
            "true|false|null| |\n|\t",
            Just(r#""resourceType":"Patient","#.to_owned()),
            Just(r#""name":[{"family":"#.to_owned()),
        ];
        let free = prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat());
        let value = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            "\\PC{0,6}".prop_map(Value::String),
            any::<i32>().prop_map(Value::from),
        ];
        let names = || "resourceType|id|meta|versionId|name|given|text|div|reference|[a-z]{1,3}";
        let tree = value.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::vec((names(), inner), 0..4).prop_map(|members| members.into_iter().collect()),
            ]
        });
        let resource = prop::collection::vec((names(), tree), 0..5).prop_map(|members| {
            let mut resource: serde_json::Map<String, Value> = members.into_iter().collect();
            resource.insert("resourceType".to_owned(), "Patient".into());
            Value::Object(resource).to_string()
        });
        prop_oneof![free, resource]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn any_text_is_a_resource_or_refused(text in text()) {
            drop(Sent::read(text.as_bytes(), Rules { validation: Validation::Structure, ..json() }));
            if let Ok(sent) = Sent::read(text.as_bytes(), json()) {
                let DraftBody { head, meta_rest, tail } = &sent.body;
                let pieces = [&**head, b"\"id\":\"a\",\"meta\":{\"versionId\":\"1\"", &**meta_rest, b"}", &**tail].concat();
                let mut stored: Value = serde_json::from_slice(&pieces).unwrap();
                let mut asked: Value = serde_json::from_str(&text).unwrap();
                for resource in [&mut stored, &mut asked] {
                    let resource = resource.as_object_mut().unwrap();
                    resource.remove("id");
                    let meta = resource.entry("meta").or_insert_with(|| Value::Object(serde_json::Map::new()));
                    meta.as_object_mut().unwrap().retain(|name, _| name != "versionId" && name != "lastUpdated");
                }
                prop_assert_eq!(stored, asked);
            }
        }

        #[test]
        fn any_bytes_are_a_resource_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            drop(Sent::read(&bytes, json()));
        }
    }
}
