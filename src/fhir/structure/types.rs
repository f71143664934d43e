//! The definitions of R4, made ready for the check: for every type its members by their names in JSON.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use foldhash::fast::FixedState;

use super::primitive::Primitive;
use crate::r4::definitions::elements::{Element, Shape, contexts, elements_of};
use crate::r4::definitions::value_sets::ValueSet;
use crate::r4::resource_type::ResourceType;

/// A resource type, data type or inner element.
#[derive(Debug)]
pub(super) struct Type {
    /// Its name, or path for an inner element.
    pub(super) name: &'static str,
    /// In the order of the definition.
    pub(super) elements: &'static [Element],
    /// By name in JSON, a choice once for each of its types.
    members: HashMap<Cow<'static, str>, Member, FixedState>,
    /// The elements that must be there.
    pub(super) required: Elements,
    /// What its members are held to together.
    pub(super) rule: Option<Rule>,
}

/// A member of an object.
#[derive(Debug)]
pub(super) struct Member {
    /// What it is, of the elements of its type.
    pub(super) element: &'static Element,
    /// The same as a set.
    pub(super) bit: Elements,
    /// What its value is.
    pub(super) kind: Kind,
    /// Whether it may have a sibling `_name` with extensions.
    pub(super) is_extensible: bool,
    /// The value set of its code, if R4 lists the codes.
    pub(super) binding: Option<&'static ValueSet>,
}

/// What the value of a member is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A primitive; beside it where the elements of its extension are defined.
    Primitive(Primitive, TypeIndex),
    /// An object of a data type or inner element.
    Complex(TypeIndex),
    /// A resource of any type.
    Resource,
}

/// Rules of one type that its elements do not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// The members of a resource may name its type.
    Resource,
    /// Either a value or extensions of its own.
    Extension,
    /// Points somewhere.
    Reference,
}

/// Elements of one type, by position. No type has more than 64.
pub(super) type Elements = u64;

/// Which of all types.
#[derive(Clone, Copy, Debug)]
pub(super) struct TypeIndex(usize);

/// All types, each with the number that `TypeIndex` holds.
struct Types {
    list: Vec<Type>,
    by_name: HashMap<&'static str, TypeIndex, FixedState>,
}

static TYPES: LazyLock<Types> = LazyLock::new(|| {
    let names: Vec<&'static str> = contexts().collect();
    let by_name = names.iter().enumerate().map(|(index, name)| (*name, TypeIndex(index))).collect();
    let list = names.iter().map(|name| Type::of(name, &by_name)).collect();
    Types { list, by_name }
});

/// A resource type.
pub(super) fn resource(resource_type: ResourceType) -> Option<&'static Type> {
    TYPES.by_name.get(resource_type.as_str()).and_then(|index| index.get())
}

impl TypeIndex {
    /// The type itself.
    pub(super) fn get(self) -> Option<&'static Type> {
        TYPES.list.get(self.0)
    }
}

impl Type {
    fn of(name: &'static str, by_name: &HashMap<&'static str, TypeIndex, FixedState>) -> Self {
        let elements = elements_of(name);
        let positions = elements.iter().zip(0..Elements::BITS);
        let required = positions.clone().filter(|(element, _)| element.required).map(|(_, position)| 1 << position);
        let rule = match name {
            "Extension" => Some(Rule::Extension),
            "Reference" => Some(Rule::Reference),
            _ => ResourceType::parse(name).map(|_| Rule::Resource),
        };
        let member = |(element, position): (&'static Element, u32), data_type: &'static str| {
            // Attributes in XML: nothing can be beside them.
            let is_attribute = matches!((rule, element.name), (None | Some(Rule::Reference), "id"))
                || (rule == Some(Rule::Extension) && matches!(element.name, "id" | "url"));
            Some(Member {
                element,
                bit: 1 << position,
                kind: kind(element, data_type, by_name)?,
                is_extensible: !is_attribute,
                binding: element.binding.filter(|value_set| value_set.is_listed()),
            })
        };
        let members = positions.flat_map(|(element, position)| {
            let types = element.types.iter();
            types.filter_map(move |data_type| {
                Some((json_name(element, data_type), member((element, position), data_type)?))
            })
        });
        Self { name, elements, members: members.collect(), required: required.sum(), rule }
    }

    /// The member of this name in JSON.
    pub(super) fn member(&self, name: &str) -> Option<&Member> {
        self.members.get(name)
    }

    /// The names of its members.
    pub(super) fn member_names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(Cow::as_ref)
    }
}

fn kind(element: &Element, data_type: &str, by_name: &HashMap<&'static str, TypeIndex, FixedState>) -> Option<Kind> {
    let context = match data_type {
        "Resource" => return Some(Kind::Resource),
        "BackboneElement" | "Element" => element.path,
        _ => data_type,
    };
    let index = *by_name.get(context)?;
    Some(Primitive::parse(data_type).map_or(Kind::Complex(index), |primitive| Kind::Primitive(primitive, index)))
}

/// The name of an element in JSON when it has this type.
pub(super) fn json_name(element: &Element, data_type: &str) -> Cow<'static, str> {
    if element.shape == Shape::Plain {
        return Cow::Borrowed(element.name);
    }
    let mut letters = data_type.chars();
    let capital = letters.next().map(|first| first.to_ascii_uppercase());
    Cow::Owned(element.name.chars().chain(capital).chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::{Elements, TYPES};
    use crate::r4::resource_type::ResourceType;

    #[test]
    fn every_element_of_every_type_became_a_member() {
        for own in &TYPES.list {
            assert!(own.elements.len() <= Elements::BITS as usize, "{}", own.name);
            let members: usize = own.elements.iter().map(|element| element.types.len()).sum();
            assert_eq!(own.members.len(), members, "{}", own.name);
        }
        assert!(ResourceType::all().all(|resource_type| super::resource(resource_type).is_some()));
    }
}
