//! What in a transaction stands for something else (<https://hl7.org/fhir/R4/http.html#trules>): references to other
//! entries by their `fullUrl`, absolute or relative to that of the entry they are in, and conditional ones such as
//! `Patient?identifier=system|value`.
//!
//! A `fullUrl` is also replaced in elements of type uri, url, oid and uuid, and where narrative links to it; canonicals
//! stay. The text is opened only where something is replaced, so that nothing else of it changes.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use crate::fhir::api::error::{ApiError, Category};
use crate::json::tree::Tree;
use crate::json::{self, Node};
use crate::r4::definitions::elements::{Shape, elements_of};
use crate::r4::id::is_id;
use crate::r4::resource_type::ResourceType;

/// What comes between a resource and its version in a reference.
const HISTORY: &str = "/_history/";

/// The elements whose links are replaced beside references.
const URI_TYPES: [&str; 4] = ["uri", "url", "oid", "uuid"];

/// How narrative names what it links to or shows.
const ATTRIBUTES: [&str; 4] = ["href=\"", "href='", "src=\"", "src='"];

/// What stands for what: by `fullUrl` or conditional reference.
pub(super) type Replacements = HashMap<String, Linked>;

/// What a link stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Linked {
    /// `Type/id`
    pub(super) local: String,
    /// The version after the transaction.
    pub(super) version: u64,
}

/// One place where something stands for something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    place: Vec<Key>,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    Member(String),
    Element(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// The text is a search.
    Conditional(String),
    /// The text stands for a resource.
    Entry(ToEntry),
    /// The text is narrative, in which these, as written, stand for resources.
    Narrative(Vec<(String, ToEntry)>),
}

/// What stands for the resource of another entry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ToEntry {
    full_url: String,
    /// It names a version, which is then that after the transaction.
    is_versioned: bool,
}

impl Link {
    /// The search that this is.
    pub(super) fn condition(&self) -> Option<&str> {
        match &self.kind {
            Kind::Conditional(condition) => Some(condition),
            Kind::Entry(_) | Kind::Narrative(_) => None,
        }
    }

    /// The `fullUrl` that this is.
    pub(super) fn full_url(&self) -> Option<&str> {
        match &self.kind {
            Kind::Entry(entry) => Some(&entry.full_url),
            Kind::Conditional(_) | Kind::Narrative(_) => None,
        }
    }
}

/// The entries of a Bundle as links know them.
pub(super) struct Entries<'a> {
    /// The `fullUrl`s of those that write.
    pub(super) full_urls: &'a HashSet<String>,
    /// This server.
    pub(super) base_url: &'a str,
}

impl Entries<'_> {
    /// The links in a resource whose entry has this `fullUrl`.
    ///
    /// # Errors
    /// When the text is not JSON.
    pub(super) fn links(&self, text: &[u8], own: Option<&str>) -> Result<Vec<Link>, ApiError> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let root = json::parse(text).map_err(|_read_before| ApiError::new(Category::Structure, "Not JSON."))?;
        let base = own.and_then(base_of).unwrap_or(self.base_url);
        let mut walk = Walk { entries: self, base, root: &root, place: Vec::new(), found: Vec::new() };
        walk.look(&root);
        Ok(walk.found)
    }

    /// The entry a text stands for. One that is relative is seen from `base`.
    fn entry(&self, text: &str, base: Option<&str>) -> Option<ToEntry> {
        let (plain, is_versioned) = match text.split_once(HISTORY) {
            Some((plain, _)) => (plain, true),
            None => (text, false),
        };
        if self.full_urls.contains(plain) {
            return Some(ToEntry { full_url: plain.to_owned(), is_versioned });
        }
        if self.full_urls.is_empty() || plain.contains(':') || plain.starts_with('#') {
            return None;
        }
        let full_url = format!("{}/{plain}", base?);
        self.full_urls.contains(&full_url).then_some(ToEntry { full_url, is_versioned })
    }
}

/// The base of a RESTful URL.
fn base_of(full_url: &str) -> Option<&str> {
    let (rest, id) = full_url.rsplit_once('/')?;
    let (base, type_name) = rest.rsplit_once('/')?;
    (full_url.starts_with("http") && is_id(id) && ResourceType::parse(type_name).is_some()).then_some(base)
}

/// Whether a reference is a search: a relative URL with a query.
fn is_conditional(reference: &str) -> bool {
    reference
        .split_once('?')
        .is_some_and(|(path, _)| !path.is_empty() && path.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// A step inwards.
#[derive(Clone, Copy)]
enum Step<'n> {
    Member(&'n str),
    Element(usize),
}

struct Walk<'a, 'n> {
    entries: &'a Entries<'a>,
    base: &'a str,
    root: &'n Node<'n>,
    place: Vec<Step<'n>>,
    found: Vec<Link>,
}

impl<'n> Walk<'_, 'n> {
    fn look(&mut self, node: &'n Node<'n>) {
        match node {
            Node::Object(members) => {
                for (name, value) in members {
                    self.enter(Step::Member(name), value);
                }
            }
            Node::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    self.enter(Step::Element(index), element);
                }
            }
            Node::String(text) => {
                if let Some(kind) = self.kind(text) {
                    let place = self.place.iter().map(|step| match step {
                        Step::Member(name) => Key::Member((*name).to_owned()),
                        Step::Element(index) => Key::Element(*index),
                    });
                    self.found.push(Link { place: place.collect(), kind });
                }
            }
            Node::Null | Node::Bool(_) | Node::Number(_) => {}
        }
    }

    fn enter(&mut self, step: Step<'n>, value: &'n Node<'n>) {
        self.place.push(step);
        self.look(value);
        self.place.pop();
    }

    fn kind(&self, text: &str) -> Option<Kind> {
        if let Some(Step::Member("reference")) = self.place.last() {
            if is_conditional(text) {
                return Some(Kind::Conditional(text.to_owned()));
            }
            // One that only means something in a Bundle is a link even if no entry has it.
            let in_bundle = text.starts_with("urn:uuid:") || text.starts_with("urn:oid:");
            let unknown = || in_bundle.then(|| ToEntry { full_url: text.to_owned(), is_versioned: false });
            return self.entries.entry(text, Some(self.base)).or_else(unknown).map(Kind::Entry);
        }
        // Every `fullUrl` is absolute; most texts are not.
        if self.entries.full_urls.is_empty() || !text.contains([':', '<']) {
            return None;
        }
        if let Some(Step::Member("div")) = self.place.last() {
            let links = self.narrative_links(text);
            return (!links.is_empty()).then_some(Kind::Narrative(links));
        }
        let entry = self.entries.entry(text, None)?;
        URI_TYPES.contains(&self.type_here()?).then_some(Kind::Entry(entry))
    }

    fn narrative_links(&self, text: &str) -> Vec<(String, ToEntry)> {
        let starts =
            ATTRIBUTES.iter().flat_map(|attribute| text.split(attribute).skip(1).map(move |rest| (attribute, rest)));
        let written = starts.filter_map(|(attribute, rest)| rest.split(attribute.chars().next_back()?).next());
        written.filter_map(|link| Some((link.to_owned(), self.entries.entry(link, Some(self.base))?))).collect()
    }

    /// The type that R4 gives the element here.
    fn type_here(&self) -> Option<&'static str> {
        let (mut node, mut type_name, mut path) = (self.root, "Resource", "");
        for step in &self.place {
            match step {
                Step::Element(index) => node = node.elements().get(*index)?,
                Step::Member(member) => {
                    let context = match type_name {
                        "Resource" => ResourceType::parse(node.member("resourceType")?.as_str()?)?.as_str(),
                        "BackboneElement" | "Element" => path,
                        other => other,
                    };
                    node = node.member(member)?;
                    (type_name, path) = member_type(context, member.strip_prefix('_').unwrap_or(member))?;
                }
            }
        }
        Some(type_name)
    }
}

/// The type of a member, and the path of its definition if it is an inner element.
fn member_type(context: &str, member: &str) -> Option<(&'static str, &'static str)> {
    elements_of(context).iter().find_map(|element| {
        let type_name = match element.shape {
            Shape::Plain => element.types.first().copied().filter(|_type| element.name == member),
            Shape::Choice => {
                let suffix = member.strip_prefix(element.name)?;
                element.types.iter().copied().find(|type_name| {
                    let first = |text: &str| text.chars().next().map(|first| first.to_ascii_uppercase());
                    first(type_name) == suffix.chars().next() && type_name.get(1..) == suffix.get(1..)
                })
            }
        };
        type_name.map(|type_name| (type_name, element.path))
    })
}

/// The text with each link replaced by what it stands for, if that is known.
pub(super) fn replace(text: &Bytes, links: &[Link], replacements: &Replacements) -> Bytes {
    let mut tree = Tree::Raw(text.clone());
    for link in links {
        if let Some(value) = reach(&mut tree, &link.place) {
            let replaced = match &link.kind {
                Kind::Conditional(condition) => replacements.get(condition).map(|linked| linked.local.clone()),
                Kind::Entry(entry) => entry.replacement(replacements),
                Kind::Narrative(links) => {
                    serde_json::from_slice(&value.to_bytes()).ok().map(|text| in_narrative(text, links, replacements))
                }
            };
            if let Some(replaced) = replaced {
                *value = Tree::Raw(Node::String(replaced.into()).to_string().into());
            }
        }
    }
    tree.to_bytes()
}

impl ToEntry {
    fn replacement(&self, replacements: &Replacements) -> Option<String> {
        let Linked { local, version } = replacements.get(&self.full_url)?;
        Some(if self.is_versioned { format!("{local}{HISTORY}{version}") } else { local.clone() })
    }
}

fn in_narrative(mut text: String, links: &[(String, ToEntry)], replacements: &Replacements) -> String {
    for (written, entry) in links {
        let Some(replacement) = entry.replacement(replacements) else { continue };
        for attribute in ATTRIBUTES {
            let quote = attribute.chars().next_back().unwrap_or('"');
            text = text.replace(&format!("{attribute}{written}{quote}"), &format!("{attribute}{replacement}{quote}"));
        }
    }
    text
}

fn reach<'t>(tree: &'t mut Tree, place: &[Key]) -> Option<&'t mut Tree> {
    let mut value = tree;
    for key in place {
        value.open();
        value = match key {
            Key::Member(name) => value.member_mut(name)?,
            Key::Element(index) => value.elements_mut()?.get_mut(*index)?,
        };
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Entries, Link, Linked, Replacements, replace};

    const PATIENT: &str = "http://other/fhir/Patient/1";

    fn links(text: &str, own: Option<&str>) -> Vec<Link> {
        let full_urls =
            HashSet::from(["urn:uuid:1".to_owned(), PATIENT.to_owned(), "http://here/Patient/1".to_owned()]);
        Entries { full_urls: &full_urls, base_url: "http://here" }.links(text.as_bytes(), own).unwrap()
    }

    #[track_caller]
    fn check_from(own: Option<&str>, text: &str, expected: &str) {
        let linked = |local: &str, version| Linked { local: local.to_owned(), version };
        let replacements = Replacements::from([
            ("urn:uuid:1".to_owned(), linked("Patient/a", 1)),
            (PATIENT.to_owned(), linked("Patient/b", 7)),
            ("http://here/Patient/1".to_owned(), linked("Patient/c", 2)),
            ("Patient?name=x".to_owned(), linked("Patient/d", 3)),
        ]);
        let replaced = replace(&text.to_owned().into(), &links(text, own), &replacements);
        assert_eq!(std::str::from_utf8(&replaced).unwrap(), expected);
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        check_from(None, text, expected);
    }

    #[test]
    fn references_are_replaced_and_nothing_else_changes() {
        check(
            r#"{ "subject" : { "reference" : "urn:uuid:1" }, "value": 65.00, "x": "urn:uuid:1", "y" : [ 1 ] }"#,
            r#"{"subject":{"reference":"Patient/a"},"value":65.00,"x":"urn:uuid:1","y":[ 1 ]}"#,
        );
        check(r#"{"reference":"urn\u003auuid:1"}"#, r#"{"reference":"Patient/a"}"#);
        check(r#"{"r\u0065ference":"urn:uuid:1"}"#, r#"{"reference":"Patient/a"}"#);
        check(r#"[{"reference":{"reference":"urn:uuid:1"}}]"#, r#"[{"reference":{"reference":"Patient/a"}}]"#);
        check(r#"{"reference":"Patient?name=x"}"#, r#"{"reference":"Patient/d"}"#);
        for kept in [
            r#"{ "text" : "say \"reference\":\"urn:uuid:1\"" , "a": "reference" }"#,
            r#"{ "reference" : "Patient/9" }"#,
            r#"{ "reference" : "http://elsewhere/Patient/1" }"#,
            "{ \"reference\" : \"#1\" }",
        ] {
            check(kept, kept);
        }
    }

    #[test]
    fn a_relative_reference_is_seen_from_the_entry_it_is_in_and_a_version_follows() {
        let reference = |text: &str| format!(r#"{{"reference":"{text}"}}"#);
        let other = Some("http://other/fhir/Observation/9");
        check_from(other, &reference("Patient/1"), &reference("Patient/b"));
        check_from(other, &reference("Patient/1/_history/3"), &reference("Patient/b/_history/7"));
        check_from(other, &reference(&format!("{PATIENT}/_history/3")), &reference("Patient/b/_history/7"));
        check_from(None, &reference("Patient/1"), &reference("Patient/c"));
        check_from(Some("urn:uuid:2"), &reference("Patient/1"), &reference("Patient/c"));
        check_from(Some("http://third/Observation/9"), &reference("Patient/1"), &reference("Patient/1"));
    }

    #[test]
    fn uris_and_links_in_narrative_are_replaced_and_canonicals_are_not() {
        check(
            r#"{"resourceType":"DocumentReference","content":[{"attachment":{"url":"urn:uuid:1"}}],"masterIdentifier":{"system":"urn:uuid:1","value":"urn:uuid:1"}}"#,
            r#"{"resourceType":"DocumentReference","content":[{"attachment":{"url":"Patient/a"}}],"masterIdentifier":{"system":"Patient/a","value":"urn:uuid:1"}}"#,
        );
        check(
            r#"{"resourceType":"Basic","extension":[{"url":"u","valueUuid":"urn:uuid:1"},{"url":"u","valueCanonical":"urn:uuid:1"}],"contained":[{"resourceType":"Basic","implicitRules":"urn:uuid:1"}],"meta":{"profile":["urn:uuid:1"]}}"#,
            r#"{"resourceType":"Basic","extension":[{"url":"u","valueUuid":"Patient/a"},{"url":"u","valueCanonical":"urn:uuid:1"}],"contained":[{"resourceType":"Basic","implicitRules":"Patient/a"}],"meta":{"profile":["urn:uuid:1"]}}"#,
        );
        check(
            r#"{"text":{"status":"generated","div":"<div><a href=\"urn:uuid:1\">urn:uuid:1</a><img src='Patient/1'/></div>"}}"#,
            r#"{"text":{"status":"generated","div":"<div><a href=\"Patient/a\">urn:uuid:1</a><img src='Patient/c'/></div>"}}"#,
        );
    }

    #[test]
    fn what_only_means_something_in_a_bundle_is_a_link_also_without_an_entry() {
        for text in ["urn:uuid:9", "urn:oid:1.2.3"] {
            let links = links(&format!(r#"{{"reference":"{text}"}}"#), None);
            assert_eq!(links.first().and_then(Link::full_url), Some(text));
        }
        assert_eq!(links(r#"{"reference":"urn:isbn:1"}"#, None), []);
    }
}
