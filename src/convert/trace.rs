//! What a resource was made from, written into it or beside it.
//!
//! ```text
//! urn:vitalwire:wearables:mqtt-listener:3f2a9c0b11de:20261121T142023Z#17-340
//!               connector source        mapping      start            first and last message
//! ```
//!
//! Sources number their messages from 1 when the program starts, so its start belongs to a position. Only a number is
//! told of a message: its topic may name a person. The mapping is named by its fingerprint.
//!
//! The trace is that of the latest write; the history of a resource keeps the former ones. It is no part of what a
//! merge compares, so a message that comes again under another position writes nothing (OB-4). What others wrote into
//! `meta`, a source or tags, stays (OB-9).

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;

use super::json_text::{ObjectWriter, write_array, write_string};
use super::observation::{write_reference, write_time};
use super::raw::{RawObject, elements};
use crate::json;
use crate::model::logical_id::logical_id;

/// What sources of this product begin with.
const URN: &str = "urn:vitalwire:";
const CONNECTOR_SYSTEM: &str = "urn:vitalwire:connector";
const MAPPING_SYSTEM: &str = "urn:vitalwire:mapping";
const MESSAGE_SYSTEM: &str = "urn:vitalwire:message";
/// System of identifiers that are URIs.
const URI_SYSTEM: &str = "urn:ietf:rfc:3986";

/// Where the trace of a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `meta.source`
    Source,
    /// `meta.tag`: a tag each for connector, mapping and messages.
    Tag,
    /// A Provenance of its own for each write.
    Provenance,
    /// Nowhere.
    Nowhere,
}

/// What a resource was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    /// Name of the connector.
    pub(crate) connector: Arc<str>,
    /// Name of the source within it.
    pub(crate) source: Arc<str>,
    /// Fingerprint of the mapping.
    pub(crate) mapping: Arc<str>,
    /// When the program started, see [`compact`].
    pub(crate) started: Arc<str>,
    /// First and last of its messages, as the source numbers them.
    pub(crate) positions: (u64, u64),
}

/// A time as traces have it: to the second, in UTC, without separators, of which URNs have enough.
pub(crate) fn compact(at: Timestamp) -> Arc<str> {
    at.strftime("%Y%m%dT%H%M%SZ").to_string().into()
}

impl Trace {
    /// All of it as one URI.
    pub(crate) fn uri(&self) -> String {
        let Self { connector, source, mapping, .. } = self;
        format!("{URN}{connector}:{source}:{mapping}:{}", self.messages())
    }

    /// The messages within the source.
    fn messages(&self) -> String {
        let started = &self.started;
        match self.positions {
            (first, last) if first == last => format!("{started}#{first}"),
            (first, last) => format!("{started}#{first}-{last}"),
        }
    }

    fn tags(&self) -> [(&'static str, String); 3] {
        [
            (CONNECTOR_SYSTEM, self.connector.as_ref().to_owned()),
            (MAPPING_SYSTEM, self.mapping.as_ref().to_owned()),
            (MESSAGE_SYSTEM, format!("{}:{}", self.source, self.messages())),
        ]
    }

    /// Writes the trace into a resource that is about to be written, in place of a former one.
    pub(crate) fn mark(&self, mut resource: Vec<u8>, place: Place) -> Vec<u8> {
        let in_meta = matches!(place, Place::Source | Place::Tag);
        if !names_meta(&resource) {
            // The common case, a resource just built: nothing to take apart.
            if in_meta && resource.pop_if(|last| *last == b'}').is_some() {
                let mut meta = RawObject::default();
                self.mark_meta(&mut meta, place);
                resource.extend_from_slice(format!(",\"meta\":{}}}", meta.to_json()).as_bytes());
            }
            return resource;
        }
        match self.marked(&resource, place) {
            Some(marked) => marked.into_bytes(),
            None => resource,
        }
    }

    fn marked(&self, resource: &[u8], place: Place) -> Option<String> {
        let mut resource = RawObject::parse(resource)?;
        let stored = resource.get("meta").unwrap_or("{}").to_owned();
        let mut meta = RawObject::parse(stored.as_bytes())?;
        unmark(&mut meta);
        self.mark_meta(&mut meta, place);
        if meta.names().next().is_some() {
            resource.set("meta", meta.to_json());
        } else {
            resource.remove("meta");
        }
        Some(resource.to_json())
    }

    fn mark_meta(&self, meta: &mut RawObject<'_>, place: Place) {
        match place {
            Place::Source if meta.get("source").is_none() => {
                let mut source = String::new();
                write_string(&mut source, &self.uri());
                meta.set("source", source);
            }
            Place::Tag => {
                let mut own = String::new();
                write_array(&mut own, self.tags(), |out, (system, code)| {
                    let mut tag = ObjectWriter::open(out);
                    tag.string("system", system);
                    tag.string("code", &code);
                    tag.close();
                });
                let stored = meta.get("tag").and_then(elements).unwrap_or_default();
                let tags: Vec<&str> = stored.into_iter().chain(elements(&own).unwrap_or_default()).collect();
                let tags = format!("[{}]", tags.join(","));
                meta.set("tag", tags);
            }
            Place::Source | Place::Provenance | Place::Nowhere => {}
        }
    }

    /// The Provenance of a write: its URL and itself. Of the same write it is always the same one.
    pub(crate) fn provenance(&self, (resource_type, id): (&str, &str), recorded_at: Timestamp) -> (String, Vec<u8>) {
        let uri = self.uri();
        let own_id = logical_id(&uri, &format!("{resource_type}/{id}"));
        let mut json = String::with_capacity(1024);
        let mut object = ObjectWriter::open(&mut json);
        object.string("resourceType", "Provenance");
        object.string("id", &own_id);
        write_array(object.member("target"), [id], |out, id| write_reference(out, resource_type, id));
        write_time(object.member("recorded"), recorded_at);
        write_array(object.member("agent"), [()], |out, ()| {
            let mut agent = ObjectWriter::open(out);
            write_logical_reference(agent.member("who"), CONNECTOR_SYSTEM, &self.connector);
            agent.close();
        });
        write_array(object.member("entity"), [()], |out, ()| {
            let mut entity = ObjectWriter::open(out);
            entity.string("role", "source");
            write_logical_reference(entity.member("what"), URI_SYSTEM, &uri);
            entity.close();
        });
        object.close();
        (format!("Provenance/{own_id}"), json.into_bytes())
    }
}

/// A `meta` without the trace, to compare what the others wrote.
pub(super) fn unmarked(meta: &str) -> Cow<'_, str> {
    match RawObject::parse(meta.as_bytes()) {
        Some(mut object) => {
            unmark(&mut object);
            Cow::Owned(object.to_json())
        }
        None => Cow::Borrowed(meta),
    }
}

/// Takes a former trace out, wherever it was.
fn unmark(meta: &mut RawObject<'_>) {
    if meta.get("source").is_some_and(|source| source.trim_start_matches('"').starts_with(URN)) {
        meta.remove("source");
    }
    let Some(tags) = meta.get("tag").and_then(elements) else { return };
    let kept: Vec<&str> = tags.iter().copied().filter(|tag| !is_own(tag)).collect();
    if kept.len() == tags.len() {
        return;
    }
    let tags = format!("[{}]", kept.join(","));
    if tags == "[]" { meta.remove("tag") } else { meta.set("tag", tags) }
}

fn is_own(tag: &str) -> bool {
    let tag = json::parse(tag.as_bytes()).ok();
    let system = tag.as_ref().and_then(|tag| tag.member("system")).and_then(json::Node::as_str);
    system.is_some_and(|system| [CONNECTOR_SYSTEM, MAPPING_SYSTEM, MESSAGE_SYSTEM].contains(&system))
}

/// Whether there may be a member `meta`.
fn names_meta(resource: &[u8]) -> bool {
    std::str::from_utf8(resource).is_ok_and(|resource| resource.contains("\"meta\""))
}

fn write_logical_reference(out: &mut String, system: &str, value: &str) {
    let mut reference = ObjectWriter::open(out);
    let mut identifier = ObjectWriter::open(reference.member("identifier"));
    identifier.string("system", system);
    identifier.string("value", value);
    identifier.close();
    reference.close();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop_oneof, proptest};
    use serde_json::{Value, json};

    use super::{Place, Trace};
    use crate::convert;
    use crate::convert::fixture::{Group, handlebars, template};
    use crate::convert::merge::Merged;
    use crate::mapping::Position;
    use crate::mapping::fhir::{FhirTemplate, TemplateKind};
    use crate::model::group::Period;

    fn trace(positions: (u64, u64)) -> Trace {
        Trace {
            connector: "wearables".into(),
            source: "mqtt-listener".into(),
            mapping: "3f2a9c0b11de".into(),
            started: super::compact("2026-11-21T14:20:23.5Z".parse().unwrap()),
            positions,
        }
    }

    #[track_caller]
    fn check(place: Place, meta: &Value, expected: &Value) {
        let resource = |meta: &Value| match meta.is_null() {
            true => json!({"resourceType": "Observation", "note": [{"text": "}"}]}),
            false => json!({"resourceType": "Observation", "meta": meta, "note": [{"text": "}"}]}),
        };
        let marked = trace((17, 340)).mark(resource(meta).to_string().into_bytes(), place);
        let marked: Value = serde_json::from_slice(&marked).unwrap();
        assert_eq!(marked, resource(expected));
    }

    const URI: &str = "urn:vitalwire:wearables:mqtt-listener:3f2a9c0b11de:20261121T142023Z#17-340";

    fn tags() -> [Value; 3] {
        [
            json!({"system": "urn:vitalwire:connector", "code": "wearables"}),
            json!({"system": "urn:vitalwire:mapping", "code": "3f2a9c0b11de"}),
            json!({"system": "urn:vitalwire:message", "code": "mqtt-listener:20261121T142023Z#17-340"}),
        ]
    }

    #[test]
    fn one_message_is_one_number() {
        assert!(trace((5, 5)).uri().ends_with(":20261121T142023Z#5"));
    }

    #[test]
    fn a_resource_without_meta_gets_one_that_holds_the_trace_alone() {
        check(Place::Source, &Value::Null, &json!({ "source": URI }));
        check(Place::Tag, &Value::Null, &json!({ "tag": tags() }));
    }

    #[test]
    fn fm_18_no_tags_are_written_unless_asked_for() {
        check(Place::Nowhere, &Value::Null, &Value::Null);
        check(Place::Provenance, &Value::Null, &Value::Null);
        check(Place::Source, &json!({"versionId": "3"}), &json!({"versionId": "3", "source": URI}));
    }

    #[test]
    fn the_trace_of_an_earlier_write_is_replaced_wherever_it_is() {
        let former = trace((1, 2));
        let (source, mut tag) = (json!(former.uri()), tags().to_vec());
        tag[2]["code"] = "mqtt-listener:20200101T000000Z#1".into();
        let stored = json!({"versionId": "3", "source": source, "tag": tag});
        check(Place::Source, &stored, &json!({"versionId": "3", "source": URI}));
        check(Place::Tag, &stored, &json!({"versionId": "3", "tag": tags()}));
        check(Place::Nowhere, &stored, &json!({"versionId": "3"}));
        check(Place::Nowhere, &json!({ "source": source }), &Value::Null);
    }

    #[test]
    fn ob_9_a_source_and_tags_of_others_stay() {
        let others = json!({"source": "urn:others#1", "tag": [{"system": "urn:others", "code": "x"}]});
        for place in [Place::Source, Place::Nowhere, Place::Provenance] {
            check(place, &others, &others);
        }
        let [one, two, three] = tags();
        let both = json!({"source": "urn:others#1", "tag": [{"system": "urn:others", "code": "x"}, one, two, three]});
        check(Place::Tag, &others, &both);
    }

    #[test]
    fn a_provenance_names_resource_connector_and_messages_and_is_the_same_for_the_same_write() {
        let at = "2026-11-21T15:00:00Z".parse().unwrap();
        let (url, provenance) = trace((17, 340)).provenance(("Observation", "o"), at);
        let provenance: Value = serde_json::from_slice(&provenance).unwrap();
        assert_eq!(url, format!("Provenance/{}", provenance["id"].as_str().unwrap()));
        assert_eq!(provenance["target"], json!([{"reference": "Observation/o"}]));
        assert_eq!(provenance["agent"][0]["who"]["identifier"]["value"], "wearables");
        assert_eq!(provenance["entity"][0]["what"]["identifier"]["value"], URI);
        let later = "2026-11-21T16:00:00Z".parse().unwrap();
        assert_eq!(trace((17, 340)).provenance(("Observation", "o"), later).0, url);
        assert_ne!(trace((17, 341)).provenance(("Observation", "o"), at).0, url);
        assert_ne!(trace((17, 340)).provenance(("Observation", "p"), at).0, url);
    }

    fn places() -> impl Strategy<Value = Place> {
        use proptest::prelude::Just;
        prop_oneof![Just(Place::Source), Just(Place::Tag), Just(Place::Provenance), Just(Place::Nowhere)]
    }

    const TAGGED: &str = r#"{ "resourceType": "Observation", "meta": { "tag": [ { "code": "own" } ] },
        "code": { "text": "pulse" }, "valueString": "{{values.v}}" }"#;

    proptest! {
        #[test]
        fn ob_4_ob_11_a_trace_makes_no_merge_a_change(place in places(), positions in any::<(u64, u64)>()) {
            let group = Group::new(("0", "59"), &[("1", "v", "61")]);
            let templates = [
                TemplateKind::CodeValue(template(r#""value": { "valueType": "Quantity", "valueName": "v" }"#)),
                TemplateKind::Handlebars(handlebars(TAGGED)),
            ];
            for kind in templates {
                let template = FhirTemplate { type_name: "t".to_owned(), at: Position::default(), period: Period::Single, kind };
                let built = convert::build(&template, &group.content()).unwrap().json;
                let marked = trace(positions).mark(built, place);
                let merge = convert::merge(&marked, &template, &group.content()).unwrap();
                proptest::prop_assert_eq!(merge.outcome, Merged::Unchanged);
            }
        }

        #[test]
        fn ob_9_marking_twice_leaves_the_last_trace_and_all_that_is_foreign(
            first in places(), second in places(), positions in any::<(u64, u64)>(),
            foreign in any::<(bool, bool)>(),
        ) {
            let mut meta = json!({"versionId": "1"});
            if foreign.0 { meta["source"] = "urn:others".into(); }
            if foreign.1 { meta["tag"] = json!([{"code": "x"}]); }
            let resource = json!({"resourceType": "Observation", "meta": meta}).to_string().into_bytes();
            let once = trace((17, 340)).mark(resource.clone(), second);
            let twice = trace((17, 340)).mark(trace(positions).mark(resource, first), second);
            proptest::prop_assert_eq!(
                serde_json::from_slice::<Value>(&twice).unwrap(), serde_json::from_slice::<Value>(&once).unwrap()
            );
        }
    }
}
