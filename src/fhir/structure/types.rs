//! The definitions of R4, made ready for the check: for every type its members by their names in JSON.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

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
    /// The names of its members in JSON, in the order of the definition; a choice once for each of its types.
    names: Vec<Cow<'static, str>>,
    /// What stands under the names.
    members: Vec<Member>,
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

/// All types, each with the number that `TypeIndex` holds. A type is made ready on its first use: who writes
/// Observations needs a dozen of nine hundred.
struct Types {
    list: Vec<(&'static str, OnceLock<Type>)>,
    by_name: HashMap<&'static str, TypeIndex, FixedState>,
}

static TYPES: LazyLock<Types> = LazyLock::new(|| {
    let list: Vec<_> = contexts().map(|name| (name, OnceLock::new())).collect();
    let by_name = list.iter().enumerate().map(|(index, (name, _))| (*name, TypeIndex(index))).collect();
    Types { list, by_name }
});

/// A resource type.
pub(super) fn resource(resource_type: ResourceType) -> Option<&'static Type> {
    TYPES.by_name.get(resource_type.as_str()).and_then(|index| index.get())
}

impl TypeIndex {
    /// The type itself.
    pub(super) fn get(self) -> Option<&'static Type> {
        TYPES.list.get(self.0).map(|(name, own)| own.get_or_init(|| Type::of(name)))
    }
}

impl Type {
    fn of(name: &'static str) -> Self {
        let elements = elements_of(name);
        let rule = match name {
            "Extension" => Some(Rule::Extension),
            "Reference" => Some(Rule::Reference),
            _ => ResourceType::parse(name).map(|_| Rule::Resource),
        };
        let mut required = 0;
        let mut names = Vec::new();
        let mut members = Vec::new();
        for (element, position) in elements.iter().zip(0..Elements::BITS) {
            let bit = 1 << position;
            required |= if element.required { bit } else { 0 };
            for data_type in &element.types {
                let Some(kind) = kind(element, data_type) else { continue };
                names.push(json_name(element, data_type));
                members.push(Member {
                    element,
                    bit,
                    kind,
                    is_extensible: !is_attribute(rule, element.name),
                    binding: element.binding.filter(|value_set| value_set.is_listed()),
                });
            }
        }
        Self { name, elements, names, members, required, rule }
    }

    /// The member of this name in JSON.
    pub(super) fn member(&self, name: &str) -> Option<&Member> {
        self.member_from(&mut 0, name)
    }

    /// As `member`, looked for from a position on, which becomes that of the member. Members mostly stand in the order
    /// of the definition, and then this is three times quicker than a map.
    pub(super) fn member_from(&self, position: &mut usize, name: &str) -> Option<&Member> {
        let (before, behind) = self.names.split_at_checked(*position)?;
        let is_it = |known: &Cow<'static, str>| known == name;
        let found = match behind.iter().position(is_it) {
            Some(distance) => before.len() + distance,
            None => before.iter().position(is_it)?,
        };
        *position = found;
        self.members.get(found)
    }

    /// The names of its members.
    pub(super) fn member_names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(Cow::as_ref)
    }
}

/// Whether an element is an attribute in XML: nothing can stand beside it.
fn is_attribute(rule: Option<Rule>, name: &str) -> bool {
    match rule {
        Some(Rule::Resource) => false,
        Some(Rule::Extension) => matches!(name, "id" | "url"),
        Some(Rule::Reference) | None => name == "id",
    }
}

fn kind(element: &Element, data_type: &str) -> Option<Kind> {
    let context = match data_type {
        "Resource" => return Some(Kind::Resource),
        "BackboneElement" | "Element" => element.path,
        _ => data_type,
    };
    let index = *TYPES.by_name.get(context)?;
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
    use super::{Elements, TYPES, TypeIndex};
    use crate::r4::resource_type::ResourceType;

    #[test]
    fn every_element_of_every_type_became_a_member() {
        for own in (0..TYPES.list.len()).map(|index| TypeIndex(index).get().unwrap()) {
            assert!(own.elements.len() <= Elements::BITS as usize, "{}", own.name);
            let members: usize = own.elements.iter().map(|element| element.types.len()).sum();
            assert_eq!(own.members.len(), members, "{}", own.name);
        }
        assert!(ResourceType::all().all(|resource_type| super::resource(resource_type).is_some()));
    }
}
