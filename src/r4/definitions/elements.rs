//! The elements that search expressions walk through, and their types.
//!
//! Expressions say `Observation.effective` where JSON says `effectiveDateTime`: only the definition of the element
//! tells that it is a choice, and of what.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::table;

/// One element of a resource type, of a data type or of an inner element.
#[derive(Debug)]
pub(crate) struct Element {
    /// Where its own elements are defined: `Observation.component` for an inner element, else empty.
    pub(crate) path: &'static str,
    /// Whether the member's name carries the type: `value` becomes `valueQuantity`.
    pub(crate) shape: Shape,
    /// The names of the types it may have; `BackboneElement` and `Element` for an inner element.
    pub(crate) types: Vec<&'static str>,
    /// The code system of a `code` that is bound to exactly one, else empty.
    pub(crate) system: &'static str,
}

/// How an element is named in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// By its own name.
    Plain,
    /// By its name with the type behind.
    Choice,
}

static ELEMENTS: LazyLock<HashMap<&'static str, Element>> = LazyLock::new(|| {
    table::rows(include_str!("elements.tsv")).map(|[path, types, system]| element(path, types, system)).collect()
});

fn element(path: &'static str, types: &'static str, system: &'static str) -> (&'static str, Element) {
    let same_as = types.strip_prefix('#');
    let (name, shape) = match path.strip_suffix("[x]") {
        Some(name) => (name, Shape::Choice),
        None => (path, Shape::Plain),
    };
    let element = Element {
        path: same_as.unwrap_or(path),
        shape,
        types: match same_as {
            Some(_) => vec!["BackboneElement"],
            None => table::list(types, ',').collect(),
        },
        system,
    };
    (name, element)
}

/// The element `name` of `context`, which is a resource type, a data type or the path of an inner element.
pub(crate) fn element_of(context: &str, name: &str) -> Option<&'static Element> {
    ELEMENTS.get(format!("{context}.{name}").as_str())
}

#[cfg(test)]
mod tests {
    use super::{Shape, element_of};

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
        assert_eq!(gender.system, "http://hl7.org/fhir/administrative-gender");
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
