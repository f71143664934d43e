//! What the definitions say of a member by its name, which is the same in JSON and in XML.

use crate::r4::definitions::elements::{Element, elements_of};
use crate::r4::resource_type::ResourceType;

/// A member that a context may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// Its place among the members of its context.
    pub(super) place: usize,
    /// Whether it is an array in JSON.
    pub(super) repeats: bool,
    /// How it is written.
    pub(super) kind: Kind,
}

/// How a member is written in XML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An attribute of its parent.
    Attribute,
    /// An element with its value, of this type, as an attribute.
    Primitive(&'static str),
    /// An element whose own elements this context defines.
    Complex(&'static str),
    /// An element that holds a resource.
    Resource,
    /// A narrative.
    Xhtml,
}

/// The member of this name in a context (a resource type, data type or inner element).
pub(super) fn member(context: &str, name: &str) -> Option<Member> {
    elements_of(context).iter().enumerate().find_map(|(place, element)| {
        let data_type = element.type_under(name)?;
        Some(Member { place, repeats: element.repeats, kind: kind(context, element, data_type) })
    })
}

fn kind(context: &str, element: &'static Element, data_type: &'static str) -> Kind {
    let is_attribute = match element.name {
        "id" => ResourceType::parse(context).is_none(),
        "url" => context == "Extension",
        _ => false,
    };
    match data_type {
        _ if is_attribute => Kind::Attribute,
        "xhtml" => Kind::Xhtml,
        "BackboneElement" | "Element" => Kind::Complex(element.path),
        "Resource" => Kind::Resource,
        name if ResourceType::parse(name).is_some() => Kind::Resource,
        name if name.starts_with(|first: char| first.is_ascii_lowercase()) => Kind::Primitive(name),
        name => Kind::Complex(name),
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, member};

    #[track_caller]
    fn check(context: &str, name: &str, expected: Option<Kind>) {
        assert_eq!(member(context, name).map(|member| member.kind), expected, "{context}.{name}");
    }

    #[test]
    fn the_definitions_tell_how_a_member_is_written() {
        check("Patient", "id", Some(Kind::Primitive("id")));
        check("HumanName", "id", Some(Kind::Attribute));
        check("Extension", "url", Some(Kind::Attribute));
        check("Bundle.link", "url", Some(Kind::Primitive("uri")));
        check("Narrative", "div", Some(Kind::Xhtml));
        check("Observation", "contained", Some(Kind::Resource));
        check("Bundle.entry.response", "outcome", Some(Kind::Resource));
        check("Observation", "valueQuantity", Some(Kind::Complex("Quantity")));
        check("Observation", "valueDateTime", Some(Kind::Primitive("dateTime")));
        check("Observation.component", "referenceRange", Some(Kind::Complex("Observation.referenceRange")));
        check("Element", "extension", Some(Kind::Complex("Extension")));
        for unknown in ["value", "valueAddress", "valuequantity", "Value", "effectiveTime", "", "resourceType"] {
            check("Observation", unknown, None);
        }
    }
}
