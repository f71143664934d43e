//! Every element of every resource type, data type and inner element, and what its definition says of it.
//!
//! A *context* is what elements are defined in: a resource type (`Observation`), a data type (`Quantity`, `string`) or an
//! inner element, named by its path (`Observation.component`). What a context inherits (`id`, `extension`, `meta`, ...) is
//! among its elements.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::table;
use super::value_sets::{ValueSet, value_set};

/// One element of a context.
#[derive(Debug)]
pub(crate) struct Element {
    /// Its name, for a choice without the type: `value`.
    pub(crate) name: &'static str,
    /// The context of its own elements if it is an inner element, wherever that is defined: both
    /// `Observation.referenceRange` and `Observation.component.referenceRange` say the former. Empty for the others.
    pub(crate) path: &'static str,
    /// Whether the member's name carries the type: `value` becomes `valueQuantity`.
    pub(crate) shape: Shape,
    /// Whether it must be there (`min` is 1; R4 asks for no more than one).
    pub(crate) required: bool,
    /// Whether it is an array in JSON (`max` is `*`).
    pub(crate) repeats: bool,
    /// The names of the types it may have; `BackboneElement` and `Element` for an inner element.
    pub(crate) types: Vec<&'static str>,
    /// The types of resources a `Reference` or `canonical` may point to, sorted; empty for all of them.
    pub(crate) targets: Vec<&'static str>,
    /// Whether it is part of a summary, <https://hl7.org/fhir/R4/search.html#summary>.
    pub(crate) summary: bool,
    /// The value set its code must be from.
    pub(crate) binding: Option<&'static ValueSet>,
}

/// How an element is named in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// By its own name.
    Plain,
    /// By its name with the type behind.
    Choice,
}

static ELEMENTS: LazyLock<HashMap<&'static str, Vec<Element>>> = LazyLock::new(|| {
    let mut contexts: HashMap<&'static str, Vec<Element>> = HashMap::new();
    for row in table::rows(include_str!("elements.tsv")) {
        if let Some((context, element)) = parse_row(row) {
            contexts.entry(context).or_default().push(element);
        }
    }
    contexts
});

/// `element cardinality types summary binding`
type Row = [&'static str; 5];

fn parse_row([path, cardinality, types, summary, binding]: Row) -> Option<(&'static str, Element)> {
    let (context, member) = path.rsplit_once('.')?;
    let (name, shape) = match member.strip_suffix("[x]") {
        Some(name) => (name, Shape::Choice),
        None => (member, Shape::Plain),
    };
    let (min, max) = cardinality.split_once("..")?;
    let same_as = types.strip_prefix('#');
    let element = Element {
        name,
        path: same_as.unwrap_or(path),
        shape,
        required: min == "1",
        repeats: max == "*",
        types: match same_as {
            Some(_) => vec!["BackboneElement"],
            None => table::list(types, ',').map(type_name).collect(),
        },
        targets: targets(types),
        summary: summary == "summary",
        binding: value_set(binding),
    };
    Some((context, element))
}

/// `Reference` of `Reference(Group|Patient)`
fn type_name(text: &'static str) -> &'static str {
    text.split_once('(').map_or(text, |(name, _)| name)
}

/// No element has two types with targets.
fn targets(types: &'static str) -> Vec<&'static str> {
    let listed = types.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    listed.map_or_else(Vec::new, |(targets, _)| table::list(targets, '|').collect())
}

/// The names of all contexts, in no order.
pub(crate) fn contexts() -> impl Iterator<Item = &'static str> {
    ELEMENTS.keys().copied()
}

/// The elements of a context in the order of its definition; none for a name that is no context.
pub(crate) fn elements_of(context: &str) -> &'static [Element] {
    ELEMENTS.get(context).map_or(&[], Vec::as_slice)
}

/// The element `name` of a context, a choice by its name without the type.
pub(crate) fn element_of(context: &str, name: &str) -> Option<&'static Element> {
    elements_of(context).iter().find(|element| element.name == name)
}

impl Element {
    /// Its type, if this is the name of its member; that of a choice has the type behind: `valueQuantity`.
    pub(crate) fn type_under(&self, member: &str) -> Option<&'static str> {
        let rest = member.strip_prefix(self.name)?;
        match self.shape {
            Shape::Plain => self.types.first().copied().filter(|_| rest.is_empty()),
            Shape::Choice => self.types.iter().copied().find(|data_type| is_capitalised(rest, data_type)),
        }
    }

    /// The code system of a `code` that is bound to exactly one, else empty.
    pub(crate) fn system(&self) -> &'static str {
        if self.types == ["code"] { self.binding.map_or("", ValueSet::only_system) } else { "" }
    }
}

fn is_capitalised(text: &str, data_type: &str) -> bool {
    let (mut own, mut other) = (text.chars(), data_type.chars());
    own.next() == other.next().map(|first| first.to_ascii_uppercase()) && own.as_str() == other.as_str()
}

#[cfg(test)]
mod tests {
    use super::{ELEMENTS, Shape, element_of, elements_of, parse_row, table};
    use crate::r4::resource_type::ResourceType;

    #[test]
    fn every_row_loads_and_every_type_and_inner_element_has_its_elements() {
        let rows: Vec<_> = table::rows(include_str!("elements.tsv")).map(parse_row).collect();
        assert_eq!(rows.len(), include_str!("elements.tsv").lines().count() - 1);
        for (context, element) in rows.into_iter().map(Option::unwrap) {
            for data_type in &element.types {
                let inner = matches!(*data_type, "BackboneElement" | "Element");
                let own = if inner { element.path } else { data_type };
                assert!(ELEMENTS.contains_key(own), "{own}, the type of {context}.{}", element.name);
            }
        }
        assert!(ResourceType::all().all(|resource_type| ELEMENTS.contains_key(resource_type.as_str())));
    }

    #[test]
    fn elements_stand_in_the_order_of_the_definition_with_what_is_inherited() {
        let names = |context| elements_of(context).iter().map(|element| element.name).collect::<Vec<_>>();
        assert_eq!(names("Quantity"), ["id", "extension", "value", "comparator", "unit", "system", "code"]);
        assert_eq!(
            names("Observation.component"),
            "id extension modifierExtension code value dataAbsentReason interpretation referenceRange"
                .split(' ')
                .collect::<Vec<_>>()
        );
        assert_eq!(names("string"), ["id", "extension"]);
        assert_eq!(names("Observation")[..3], ["id", "meta", "implicitRules"]);
        assert!(elements_of("Reading").is_empty());
    }

    #[test]
    fn an_element_knows_how_often_it_may_be_there_and_where() {
        let of = |context, name| {
            let element = element_of(context, name).unwrap();
            (element.required, element.repeats, element.summary)
        };
        assert_eq!(of("Observation", "status"), (true, false, true));
        assert_eq!(of("Observation", "note"), (false, true, false));
        assert_eq!(of("Bundle.link", "url"), (true, false, true));
        assert_eq!(of("Appointment", "participant"), (true, true, false));
    }

    #[test]
    fn a_reference_knows_its_targets() {
        assert_eq!(element_of("Observation", "encounter").unwrap().targets, ["Encounter"]);
        assert_eq!(element_of("Claim.accident", "location").unwrap().types, ["Address", "Reference"]);
        assert!(element_of("Observation", "focus").unwrap().targets.is_empty());
    }

    #[test]
    fn an_id_is_an_id_in_a_resource_and_any_string_in_an_element() {
        assert_eq!(element_of("Observation", "id").unwrap().types, ["id"]);
        assert_eq!(element_of("Observation.component", "id").unwrap().types, ["string"]);
        assert_eq!(element_of("Extension", "url").unwrap().types, ["uri"]);
    }

    #[test]
    fn a_choice_knows_its_types() {
        let effective = element_of("Observation", "effective").unwrap();
        assert_eq!(effective.shape, Shape::Choice);
        assert_eq!(effective.types, ["dateTime", "Period", "Timing", "instant"]);
    }

    #[test]
    fn a_code_knows_the_system_it_is_bound_to() {
        let gender = element_of("Patient", "gender").unwrap();
        assert_eq!((gender.shape, gender.types.as_slice()), (Shape::Plain, ["code"].as_slice()));
        assert_eq!(gender.system(), "http://hl7.org/fhir/administrative-gender");
    }

    #[test]
    fn an_element_defined_elsewhere_points_there() {
        let product = element_of("ConceptMap.group.element.target", "product").unwrap();
        assert_eq!(product.path, "ConceptMap.group.element.target.dependsOn");
        assert!(element_of(product.path, "property").is_some());
    }

    #[test]
    fn what_r4_does_not_define_is_unknown() {
        assert!(element_of("Patient", "effective").is_none());
    }
}
