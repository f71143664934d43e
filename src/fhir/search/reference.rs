//! Reference parameters, <https://hl7.org/fhir/R4/search.html#reference>.
//!
//! A local reference is kept as `Type/id`, without a version; everything else as it was written. References into the
//! same resource (`#id`) are not searchable. The identifier of a reference is a token under `<parameter>:identifier`.

use super::error::BadValue;
use super::escape::unescape;
use crate::fhir::store::{Condition, Direction, Hierarchy, IndexValue, Parameter, Test};
use crate::json::Node;
use crate::r4::id::is_id;
use crate::r4::resource_type::ResourceType;

/// How a data type refers to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// By `reference`, or by `identifier`.
    Reference,
    /// By its canonical URL, found with and without the version behind the bar; or by any URI.
    Canonical,
}

impl Form {
    /// The form of a data type; `None` if it refers to nothing.
    pub(super) fn of(data_type: &str) -> Option<Self> {
        Some(match data_type {
            "Reference" => Self::Reference,
            "canonical" | "uri" => Self::Canonical,
            _ => return None,
        })
    }

    /// Where one element points, as it is written; `None` for nowhere, and for a place in the same resource.
    pub(super) fn written<'n>(self, node: &'n Node<'_>) -> Option<&'n str> {
        let written = match self {
            Self::Reference => node.member("reference"),
            Self::Canonical => Some(node),
        };
        written.and_then(Node::as_str).filter(|target| !is_contained(target))
    }

    /// The values of one element.
    pub(super) fn extract(self, node: &Node<'_>, emit: &mut impl FnMut(IndexValue)) {
        let Some(target) = self.written(node) else {
            return;
        };
        emit(IndexValue::Reference { target: without_version(target).to_owned() });
        if let (Self::Canonical, Some((url, _version))) = (self, target.split_once('|')) {
            emit(IndexValue::Reference { target: url.to_owned() });
        }
    }
}

fn is_contained(target: &str) -> bool {
    target.is_empty() || target.starts_with('#')
}

/// `Type/id` of `Type/id/_history/1`; anything else as it is.
pub(super) fn without_version(target: &str) -> &str {
    match target.split_once("/_history/") {
        Some((current, _)) if local(current).is_some() => current,
        _ => target,
    }
}

/// Type and id of `Type/id`; `None` for any other text.
pub(crate) fn local(target: &str) -> Option<(ResourceType, &str)> {
    let (name, id) = target.split_once('/')?;
    Some((ResourceType::parse(name)?, Some(id).filter(|id| is_id(id))?))
}

/// The type of the resource a `Reference` points to, as far as it can be told without following it.
pub(super) fn type_of(reference: &Node<'_>) -> Option<ResourceType> {
    let written = reference.member("reference").and_then(Node::as_str).unwrap_or_default();
    let current = written.split_once("/_history/").map_or(written, |(current, _)| current);
    let mut segments = current.rsplit('/');
    let _id = segments.next();
    segments
        .next()
        .and_then(ResourceType::parse)
        .or_else(|| ResourceType::parse(reference.member("type").and_then(Node::as_str)?))
}

/// Types whose resources are strict hierarchies, and the parameter by which a part names its whole
/// (<https://hl7.org/fhir/R4/references.html#circular>).
const HIERARCHIES: [(&str, &str); 3] = [("Encounter", "part-of"), ("Location", "partof"), ("Organization", "partof")];

/// Those of the types that are hierarchies.
pub(super) fn hierarchies(types: &[ResourceType]) -> impl Iterator<Item = (ResourceType, &'static str)> {
    let of = |only: &ResourceType| HIERARCHIES.iter().find(|(name, _)| *name == only.as_str());
    types.iter().filter_map(move |only| of(only).map(|(_, whole)| (*only, *whole)))
}

/// A place in a hierarchy and all that is below or above it (`:below`, `:above`); the value is as for `condition`.
pub(super) fn within(
    parameter: &Parameter,
    value: &str,
    types: &[ResourceType],
    direction: Direction,
) -> Result<Condition, BadValue> {
    let bad = BadValue { expected: "`Type/id` or `id` of an Encounter, a Location or an Organization" };
    let target = unescape(value).ok_or_else(|| bad.clone())?;
    let named = target.rsplit('/').nth(1).and_then(ResourceType::parse);
    if named.is_none() && !is_id(&target) {
        return Err(bad);
    }
    let of_type = hierarchies(types).filter(|(only, _)| named.is_none_or(|named| named == *only));
    let mut ways: Vec<Condition> = of_type
        .map(|(resource_type, whole)| {
            let start = if named.is_some() { target.clone() } else { format!("{}/{target}", resource_type.as_str()) };
            let hierarchy = Hierarchy { start, resource_type, whole: whole.into(), direction };
            Condition::Within(parameter.clone(), hierarchy)
        })
        .collect();
    match (ways.pop(), ways.is_empty()) {
        (None, _) => Err(bad),
        (Some(only), true) => Ok(only),
        (Some(last), false) => Ok(Condition::Any(ways.into_iter().chain([last]).collect())),
    }
}

/// `Type/id`, `id` (of any of the types), an absolute URL, a URN or a canonical URL.
pub(super) fn condition(parameter: &Parameter, value: &str, types: &[ResourceType]) -> Result<Condition, BadValue> {
    let bad = BadValue { expected: "`Type/id`, `id` or an absolute URL" };
    let target = unescape(value).ok_or_else(|| bad.clone())?;
    let points_to = |target: String| Condition::Has(parameter.clone(), Test::Reference { target });
    if let Some((resource_type, _)) = local(&target) {
        let fits = types.is_empty() || types.contains(&resource_type);
        return if fits { Ok(points_to(target)) } else { Ok(Condition::Any(Vec::new())) };
    }
    if target.contains(':') {
        return Ok(points_to(target));
    }
    match types {
        [] => Err(BadValue { expected: "`Type/id` or an absolute URL" }),
        _ if !is_id(&target) => Err(bad),
        [only] => Ok(points_to(format!("{}/{target}", only.as_str()))),
        several => {
            let targets = several.iter().map(|known| points_to(format!("{}/{target}", known.as_str())));
            Ok(Condition::Any(targets.collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, condition, type_of, within};
    use crate::fhir::store::{Condition, Direction, IndexValue, Test};
    use crate::json;
    use crate::r4::resource_type::ResourceType;

    #[track_caller]
    fn check(data_type: &str, json: &str, expected: &[&str]) {
        let mut found = Vec::new();
        let form = Form::of(data_type).unwrap();
        form.extract(&json::parse(json.as_bytes()).unwrap(), &mut |value| found.push(value));
        let expected: Vec<_> =
            expected.iter().map(|target| IndexValue::Reference { target: (*target).to_owned() }).collect();
        assert_eq!(found, expected, "{json}");
    }

    #[test]
    fn a_local_reference_loses_its_version_and_others_stay() {
        check("Reference", r#"{"reference":"Patient/1"}"#, &["Patient/1"]);
        check("Reference", r#"{"reference":"Patient/1/_history/2"}"#, &["Patient/1"]);
        check("Reference", r#"{"reference":"urn:uuid:1"}"#, &["urn:uuid:1"]);
        check("Reference", r#"{"reference":"http://x/Patient/1"}"#, &["http://x/Patient/1"]);
        check("Reference", r##"{"reference":"#p"}"##, &[]);
        check("Reference", r#"{"display":"x"}"#, &[]);
        check("canonical", r#""http://x/a|1""#, &["http://x/a|1", "http://x/a"]);
    }

    #[test]
    fn the_type_of_the_target_is_read_from_the_reference() {
        for (reference, expected) in [
            (r#"{"reference":"Patient/1"}"#, Some("Patient")),
            (r#"{"reference":"http://x/fhir/Patient/1/_history/2"}"#, Some("Patient")),
            (r#"{"reference":"urn:uuid:1","type":"Patient"}"#, Some("Patient")),
            (r#"{"type":"Group","identifier":{"value":"1"}}"#, Some("Group")),
            (r#"{"reference":"urn:uuid:1"}"#, None),
            ("{}", None),
        ] {
            let node = json::parse(reference.as_bytes()).unwrap();
            assert_eq!(type_of(&node).map(ResourceType::as_str), expected, "{reference}");
        }
    }

    #[track_caller]
    fn check_condition(value: &str, types: &[&str], expected: Option<&[&str]>) {
        let parameter: crate::fhir::store::Parameter = "subject".into();
        let types: Vec<_> = types.iter().map(|name| ResourceType::parse(name).unwrap()).collect();
        let has = |target: &&str| Condition::Has(parameter.clone(), Test::Reference { target: (*target).to_owned() });
        let expected = expected.map(|targets| match targets {
            [only] => has(only),
            several => Condition::Any(several.iter().map(has).collect()),
        });
        assert_eq!(condition(&parameter, value, &types).ok(), expected, "{value}");
    }

    #[test]
    fn an_id_alone_means_each_type_the_parameter_may_point_to() {
        check_condition("1", &["Group", "Patient"], Some(&["Group/1", "Patient/1"]));
        check_condition("Patient/1", &["Group", "Patient"], Some(&["Patient/1"]));
        check_condition("http://x/Patient/1", &["Patient"], Some(&["http://x/Patient/1"]));
        check_condition("1", &[], None);
    }

    #[track_caller]
    fn check_within(value: &str, types: &[&str], expected: Option<&[&str]>) {
        let types: Vec<_> = types.iter().map(|name| ResourceType::parse(name).unwrap()).collect();
        let found = within(&"subject".into(), value, &types, Direction::Below).ok().map(|condition| {
            let ways = if let Condition::Any(ways) = condition { ways } else { vec![condition] };
            let starts = ways.into_iter().map(|way| {
                let Condition::Within(_, hierarchy) = way else { panic!("{way:?}") };
                format!("{} {}", hierarchy.start, hierarchy.whole)
            });
            starts.collect::<Vec<_>>()
        });
        let expected = expected.map(|starts| starts.iter().map(|start| (*start).to_owned()).collect());
        assert_eq!(found, expected, "{value}");
    }

    #[test]
    fn a_hierarchy_starts_at_a_resource_of_a_type_that_has_one() {
        check_within("1", &["Location", "Patient"], Some(&["Location/1 partof"]));
        check_within("1", &["Encounter", "Location"], Some(&["Encounter/1 part-of", "Location/1 partof"]));
        check_within("Location/1", &["Encounter", "Location"], Some(&["Location/1 partof"]));
        check_within("http://x/Location/1", &["Location"], Some(&["http://x/Location/1 partof"]));
        for value in ["Patient/1", "Encounter/1", "", "a b", "urn:uuid:1", "http://x/Patient/1"] {
            check_within(value, &["Location", "Patient"], None);
        }
    }

    #[test]
    fn a_type_the_parameter_cannot_point_to_finds_nothing() {
        check_condition("Device/1", &["Patient"], Some(&[]));
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for value in ["", "Patient/", "patient/1", "a b", "Patient/1/_history/1", "#p"] {
            check_condition(value, &["Patient"], None);
        }
    }
}
