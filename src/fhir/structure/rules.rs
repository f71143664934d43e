//! What is said of members that are not right, and the rules of R4 that no single element shows.

use std::collections::HashSet;

use super::place::Place;
use super::types::{Elements, Member, Rule, Type, json_name};
use super::{Checker, QUOTED_MAX, Searches};
use crate::json::Node;
use crate::r4::definitions::elements::{Element, Shape};
use crate::r4::definitions::value_sets::ValueSet;
use crate::r4::id::is_id;
use crate::r4::resource_type::ResourceType;

/// Types of a choice that are named; an extension has fifty.
const TYPES_NAMED_MAX: usize = 12;

/// What only a resource that stands for itself may have in its `meta`.
const META_OF_SERVER: [&str; 3] = ["versionId", "lastUpdated", "security"];

impl<'n> Checker<'n> {
    /// A member that the type does not have.
    pub(super) fn unknown(&mut self, own: &Type, name: &str, place: &Place<'_>) {
        let plain = name.strip_prefix('_').unwrap_or(name);
        let owner = own.name;
        let quoted = quoted(name);
        let choice = own.elements.iter().find(|element| element.shape == Shape::Choice && is_choice(element, plain));
        let detail = if let Some(element) = choice {
            format!("{owner} has no `{quoted}`: the name of `{}` ends in its type. {}", element.name, types_of(element))
        } else if own.member(plain).is_some() {
            format!(
                "`{quoted}` stands beside a primitive, which `{plain}` is not. Put `extension` into `{plain}` itself."
            )
        } else {
            let names = own.member_names().chain((own.rule == Some(Rule::Resource)).then_some("resourceType"));
            let remedy = nearest(plain, names).map_or_else(
                || "Leave it out; what R4 does not define goes into an `extension`.".to_owned(),
                |nearest| format!("Did you mean `{nearest}`?"),
            );
            format!("{owner} has no element `{quoted}`. {remedy}")
        };
        if name.len() <= QUOTED_MAX && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            self.report("structure", detail, &Place::Element(place, name));
        } else {
            self.report("structure", detail, place);
        }
    }

    /// Elements that must be there and are not.
    pub(super) fn missing(&mut self, own: &Type, present: Elements, place: &Place<'_>) {
        for (element, position) in own.elements.iter().zip(0..Elements::BITS) {
            if !element.required || present & (1 << position) != 0 {
                continue;
            }
            let remedy = match element.shape {
                Shape::Choice => types_of(element),
                Shape::Plain => example(element),
            };
            let detail = format!("{} needs `{}`. {remedy}", own.name, element.name);
            self.report("required", detail, &Place::Element(place, element.name));
        }
    }

    /// A choice has one type; only the extensions of the same one may stand beside it.
    pub(super) fn check_chosen_once(
        &mut self,
        own: &Type,
        member: &Member,
        object: &Node<'_>,
        name: &str,
        place: &Place<'_>,
    ) {
        let plain = name.strip_prefix('_').unwrap_or(name);
        let others = object.members().iter().map(|(other, _)| other.strip_prefix('_').unwrap_or(other));
        let is_other = |other: &&str| *other != plain && own.member(other).is_some_and(|it| it.bit == member.bit);
        if let Some(other) = others.take_while(|other| *other != plain).find(is_other) {
            let detail = format!("`{plain}` beside `{other}`: `{}` has one type. Leave one out.", member.element.name);
            self.report("structure", detail, place);
        }
    }

    /// What the members of an object are held to together.
    pub(super) fn rule(&mut self, own: &Type, present: Elements, place: &Place<'_>) {
        if own.rule != Some(Rule::Extension) {
            return;
        }
        let has = |name: &str| {
            own.elements
                .iter()
                .zip(0..Elements::BITS)
                .any(|(element, position)| element.name == name && present & (1 << position) != 0)
        };
        match (has("value"), has("extension")) {
            (true, true) => {
                let detail = "An extension has a value or extensions of its own. Leave one out.";
                self.report("invariant", detail, place);
            }
            (false, false) => {
                let detail = "An extension says something: give it a value, for example `valueString`, or extensions.";
                self.report("invariant", detail, place);
            }
            _ => {}
        }
    }

    /// Where a reference points to (<https://hl7.org/fhir/R4/references.html>).
    pub(super) fn reference(&mut self, element: &Element, node: &Node<'_>, place: &Place<'_>) {
        let Some(target) = node.member("reference").and_then(Node::as_str) else { return };
        let place = Place::Element(place, "reference");
        if let Some(id) = target.strip_prefix('#') {
            // `#` alone is the resource that contains this one.
            if !id.is_empty() && !self.contained.contains(id) {
                let detail = "The reference begins with `#`, but no contained resource has this id.";
                self.report("value", detail, &place);
            }
            return;
        }
        match pointed_at(target, &element.targets) {
            Target::Malformed => {
                let detail =
                    "A reference is `Type/id`, an absolute URL, a `urn:uuid:`, or `#id` of a contained resource.";
                self.report("value", detail, &place);
            }
            Target::Search if self.searches == Searches::Refused => {
                let detail =
                    "A search in the place of a reference is resolved in transactions alone. Name the resource.";
                self.report("value", detail, &place);
            }
            Target::OtherType(resource_type) => {
                let allowed = element.targets.join("`, `");
                let name = resource_type.as_str();
                let detail = format!("`{}` does not point to {name}. It may point to `{allowed}`.", element.name);
                self.report("value", detail, &place);
            }
            Target::Fitting | Target::Search => {}
        }
    }

    /// The code of a `code`.
    pub(super) fn code(&mut self, member: &Member, value: &Node<'_>, place: &Place<'_>) {
        let (Some(value_set), Some(code)) = (member.binding, value.as_str()) else { return };
        if !value_set.has_code(code) {
            let detail =
                format!("`{}` is no code of `{}`. {}", quoted(code), member.element.name, codes_of(value_set, code));
            self.report("code-invalid", detail, place);
        }
    }

    /// The codings of a CodeableConcept that must have one of a value set.
    pub(super) fn concept(&mut self, member: &Member, value: &Node<'_>, place: &Place<'_>) {
        let Some(value_set) = member.binding else { return };
        let Some(codings) = value.member("coding").map(Node::elements) else {
            return self.uncoded(value_set, place);
        };
        let mut pairs = codings.iter().map(|coding| {
            let text = |name| coding.member(name).and_then(Node::as_str).unwrap_or_default();
            (text("system"), text("code"))
        });
        if !pairs.any(|(system, code)| value_set.has_coding(system, code)) {
            self.uncoded(value_set, place);
        }
    }

    fn uncoded(&mut self, value_set: &ValueSet, place: &Place<'_>) {
        let detail = format!(
            "`{}` needs a coding with a system and code of {}. {}",
            place.name(),
            value_set.url,
            codes_of(value_set, "")
        );
        self.report("code-invalid", detail, place);
    }

    /// The ids of what a resource contains; none may be there twice.
    pub(super) fn contained_ids(&mut self, node: &'n Node<'n>, place: &Place<'_>) -> HashSet<&'n str> {
        let mut ids = HashSet::new();
        let Some(contained) = node.member("contained") else { return ids };
        for (index, resource) in contained.elements().iter().enumerate() {
            let Some(id) = resource.member("id").and_then(Node::as_str) else { continue };
            if !ids.insert(id) {
                let place = Place::Element(place, "contained");
                let detail = "Two contained resources have this id, so a reference to it could mean either.";
                self.report("invariant", detail, &Place::Index(&place, index));
            }
        }
        ids
    }

    /// Rules dom-2, dom-4 and dom-5.
    pub(super) fn contained_rules(&mut self, node: &Node<'_>, place: &Place<'_>) {
        if node.member("contained").is_some() {
            let detail = "A contained resource contains none itself. Put all into the outermost resource.";
            self.report("invariant", detail, &Place::Element(place, "contained"));
        }
        let meta = node.member("meta").map(Node::members).unwrap_or_default();
        for (name, _) in meta.iter().filter(|(name, _)| META_OF_SERVER.contains(&name.as_ref())) {
            let detail = format!("A contained resource has no `{name}` of its own. Leave it out.");
            self.report("invariant", detail, &Place::Element(&Place::Element(place, "meta"), name));
        }
    }
}

/// What a reference points to, as far as its text tells.
enum Target {
    /// A resource of a type that is allowed, or one whose type the text does not tell.
    Fitting,
    /// What a search finds, of a type that is allowed.
    Search,
    /// A resource of this type, which is not allowed.
    OtherType(ResourceType),
    /// Nothing.
    Malformed,
}

/// `allowed` are names of types; none for all.
fn pointed_at(target: &str, allowed: &[&str]) -> Target {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let scheme = path.split_once(':').map(|(scheme, _)| scheme);
    if scheme
        .is_some_and(|scheme| scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && !scheme.contains('/'))
    {
        return Target::Fitting;
    }
    let mut segments = path.split('/');
    let name = segments.next().unwrap_or_default();
    let rest: Vec<&str> = segments.take(4).collect();
    let is_form = match (rest.as_slice(), query) {
        ([], Some(_)) => true,
        ([id], None) => is_id(id),
        ([id, "_history", version], None) => is_id(id) && is_id(version),
        _ => false,
    };
    let fitting = if query.is_some() { Target::Search } else { Target::Fitting };
    if is_form && allowed.contains(&name) {
        return fitting;
    }
    match ResourceType::parse(name) {
        Some(_) if is_form && allowed.is_empty() => fitting,
        Some(resource_type) if is_form => Target::OtherType(resource_type),
        _ => Target::Malformed,
    }
}

/// Whether a member was meant to be this choice: its bare name, or its name with some type behind.
fn is_choice(element: &Element, name: &str) -> bool {
    let rest = name.strip_prefix(element.name);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(|first: char| first.is_ascii_uppercase()))
}

fn types_of(element: &Element) -> String {
    let named = element.types.iter().take(TYPES_NAMED_MAX);
    let names: Vec<String> = named.map(|data_type| format!("`{}`", json_name(element, data_type))).collect();
    let more = if element.types.len() > TYPES_NAMED_MAX { ", ..." } else { "" };
    format!("Send one of {}{more}.", names.join(", "))
}

fn example(element: &Element) -> String {
    match element.binding.filter(|value_set| value_set.is_listed()) {
        Some(value_set) if element.types == ["code"] => codes_of(value_set, ""),
        _ => "Add it.".to_owned(),
    }
}

/// The codes there are, or the nearest one.
fn codes_of(value_set: &ValueSet, code: &str) -> String {
    if let Some(nearest) = nearest(code, value_set.codes()) {
        return format!("Did you mean `{nearest}`?");
    }
    let codes: Vec<&str> = value_set.codes().take(TYPES_NAMED_MAX).collect();
    let more = if value_set.codes().nth(TYPES_NAMED_MAX).is_some() { ", ..." } else { "" };
    format!("Codes are `{}`{more}.", codes.join("`, `"))
}

/// The known name closest to an unknown one, if any is close.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.is_empty() || name.len() > QUOTED_MAX {
        return None;
    }
    let farthest = (name.chars().count() / 3).max(1);
    let distances = known.map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate));
    distances.filter(|(distance, _)| *distance <= farthest).min().map(|(_, candidate)| candidate)
}

/// What a client sent, cut to what can be read.
fn quoted(text: &str) -> String {
    text.chars().take(QUOTED_MAX).collect()
}
