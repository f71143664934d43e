//! What stands in a resource: values, each with the type that R4 gives it.
//!
//! JSON hides types in the names of choices and splits a primitive with extensions into two members. Here both are put
//! together again, for profiles and FHIRPath know neither.

use crate::json::Node;
use crate::r4::definitions::elements::{Element, Shape, element_of, elements_of};
use crate::r4::resource_type::ResourceType;

/// One value in a resource. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'n> {
    /// The value; `None` for a primitive that has extensions alone.
    pub(super) node: Option<&'n Node<'n>>,
    /// The id and extensions of a primitive.
    beside: Option<&'n Node<'n>>,
    /// The context of its elements: the name of its type (`Quantity`, `code`, `Observation`), for an inner element its
    /// path (`Observation.component`).
    pub(super) data_type: &'static str,
}

/// A value below another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child<'n> {
    /// What it is in the definition.
    pub(super) element: &'static Element,
    /// Its position among several values; `None` for an element that does not repeat.
    pub(super) index: Option<usize>,
    /// The value itself.
    pub(super) item: Item<'n>,
}

impl<'n> Item<'n> {
    /// A resource, by what it calls itself.
    pub(super) fn resource(node: &'n Node<'n>) -> Option<Self> {
        let data_type = node.member("resourceType").and_then(Node::as_str).and_then(ResourceType::parse)?.as_str();
        Some(Self { node: Some(node), beside: None, data_type })
    }

    /// Whether its type is a primitive, which the names of R4 show.
    pub(super) fn is_primitive(self) -> bool {
        is_primitive(self.data_type)
    }

    /// Whether it is a resource.
    pub(super) fn is_resource(self) -> bool {
        self.is_of("Resource")
    }

    /// Whether it is of this type or of one that specialises it.
    pub(super) fn is_of(self, name: &str) -> bool {
        let is_inner = self.data_type.contains('.');
        self.data_type == name
            || match name {
                "Resource" => ResourceType::parse(self.data_type).is_some(),
                "DomainResource" => is_domain_resource(self.data_type),
                "BackboneElement" => is_inner,
                "Element" => ResourceType::parse(self.data_type).is_none(),
                "Quantity" => matches!(self.data_type, "Age" | "Count" | "Distance" | "Duration"),
                "string" => matches!(self.data_type, "code" | "id" | "markdown"),
                "uri" => matches!(self.data_type, "url" | "canonical" | "oid" | "uuid"),
                "integer" => matches!(self.data_type, "positiveInt" | "unsignedInt"),
                _ => false,
            }
    }

    /// The values below it, in the order in which they stand.
    pub(super) fn children(self) -> Vec<Child<'n>> {
        self.below(|_element| true)
    }

    /// The values of the element of this name, a choice by its name without the type.
    pub(super) fn named(self, name: &str) -> Vec<Child<'n>> {
        if element_of(self.data_type, name).is_none() {
            return Vec::new();
        }
        self.below(|element| element.name == name)
    }

    fn below(self, is_wanted: impl Fn(&Element) -> bool) -> Vec<Child<'n>> {
        let elements = elements_of(self.data_type);
        let object = if self.is_primitive() { self.beside } else { self.node };
        let mut children = Vec::new();
        for (name, value) in object.map(Node::members).unwrap_or_default() {
            let (plain, beside) = match name.strip_prefix('_') {
                // It is taken together with the value it stands beside.
                Some(plain) if object.is_some_and(|object| object.member(plain).is_some()) => continue,
                Some(plain) => (plain, Some(value)),
                None => (name.as_ref(), None),
            };
            let wanted = elements.iter().filter(|element| is_wanted(element));
            let found = wanted.filter_map(|element| Some((element, element.type_under(plain)?))).next();
            let Some((element, data_type)) = found else { continue };
            let pair = match beside {
                Some(beside) => (None, Some(beside)),
                None => (Some(value), self.beside_of(plain, data_type)),
            };
            add(&mut children, element, data_type, pair);
        }
        children
    }

    /// What stands beside a primitive member.
    fn beside_of(self, name: &str, data_type: &str) -> Option<&'n Node<'n>> {
        let object = self.node.filter(|_| is_primitive(data_type))?;
        object.members().iter().find_map(|(other, value)| (other.strip_prefix('_') == Some(name)).then_some(value))
    }
}

/// A value and what stands beside it.
type Pair<'n> = (Option<&'n Node<'n>>, Option<&'n Node<'n>>);

/// Adds the values of a member, one for each position.
fn add<'n>(children: &mut Vec<Child<'n>>, element: &'static Element, data_type: &'static str, pair: Pair<'n>) {
    let child = |(node, beside): Pair<'n>, index| {
        let (node, beside) = (node.filter(is_value), beside.filter(is_value));
        let data_type = match data_type {
            "BackboneElement" | "Element" => element.path,
            "Resource" => Item::resource(node?)?.data_type,
            _ => data_type,
        };
        (node.is_some() || beside.is_some()).then_some(Child { element, index, item: Item { node, beside, data_type } })
    };
    if !element.repeats {
        children.extend(child(pair, None));
        return;
    }
    let (nodes, besides) = (pair.0.map_or(&[][..], Node::elements), pair.1.map_or(&[][..], Node::elements));
    let positions = 0..nodes.len().max(besides.len());
    children.extend(positions.filter_map(|index| child((nodes.get(index), besides.get(index)), Some(index))));
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that `Option::filter` asks for")]
fn is_value(node: &&Node<'_>) -> bool {
    **node != Node::Null
}

fn is_primitive(data_type: &str) -> bool {
    data_type.starts_with(|first: char| first.is_ascii_lowercase())
}

/// Whether resources of this type have a narrative and contain others.
pub(super) fn is_domain_resource(data_type: &str) -> bool {
    ResourceType::parse(data_type).is_some_and(|resource_type| resource_type.ancestors().contains(&"DomainResource"))
}

/// The path of an element in its definition: `Observation.value[x]`.
pub(super) fn path_of(context: &str, element: &Element) -> String {
    let choice = if element.shape == Shape::Choice { "[x]" } else { "" };
    format!("{context}.{}{choice}", element.name)
}

#[cfg(test)]
mod tests {
    use super::Item;
    use crate::json::parse;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let node = parse(text.as_bytes()).unwrap();
        let shown = |child: super::Child<'_>| {
            let index = child.index.map_or_else(String::new, |index| format!("[{index}]"));
            let value = child.item.node.map_or_else(|| "-".to_owned(), ToString::to_string);
            format!("{}{index}: {} {value}", child.element.name, child.item.data_type)
        };
        let found: Vec<String> = Item::resource(&node).unwrap().children().into_iter().map(shown).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_choice_has_its_type_and_an_inner_element_its_path() {
        check(
            r#"{"resourceType":"Observation","valueQuantity":{"value":1.0},"component":[{"id":"a"}]}"#,
            &[r#"value: Quantity {"value":1.0}"#, r#"component[0]: Observation.component {"id":"a"}"#],
        );
    }

    #[test]
    fn a_primitive_and_its_extensions_are_one() {
        check(
            r#"{"resourceType":"Patient","_gender":{"id":"g"},"name":[{"id":"n"}],"birthDate":"2000","_birthDate":{"id":"b"}}"#,
            &["gender: code -", r#"name[0]: HumanName {"id":"n"}"#, r#"birthDate: date "2000""#],
        );
    }

    #[test]
    fn what_r4_does_not_define_is_no_child() {
        check(r#"{"resourceType":"Patient","colour":"red","contained":[{"resourceType":"Reading"}]}"#, &[]);
    }
}
