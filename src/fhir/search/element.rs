//! `_elements`: which elements of resources are shown, <https://hl7.org/fhir/R4/search.html#elements>.

use super::error::{SearchError, nearest};
use crate::r4::definitions::elements::{Shape, elements_of};
use crate::r4::resource_type::ResourceType;

/// An element of a resource, as a client names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Of this type alone.
    pub(crate) resource_type: Option<ResourceType>,
    /// A choice without its type: `value`.
    pub(crate) element: String,
}

impl Named {
    /// Reads the name of an element of the type in question (`None`: of any type), or of the type in front of it.
    ///
    /// # Errors
    /// When there is no such element at the root of these types.
    pub(crate) fn parse(text: &str, of: Option<ResourceType>) -> Result<Self, SearchError> {
        let (resource_type, name) = match text.split_once('.') {
            Some((first, rest)) if ResourceType::parse(first).is_some() => (ResourceType::parse(first), rest),
            _ => (None, text),
        };
        let name = name.strip_suffix("[x]").unwrap_or(name);
        let types: Vec<ResourceType> = match resource_type.or(of) {
            Some(only) => vec![only],
            None => ResourceType::all().collect(),
        };
        let known = || types.iter().flat_map(|it| elements_of(it.as_str()));
        // The type is always there. Client libraries that think in JSON ask for it all the same.
        if name == "resourceType" || known().any(|element| element.name == name) {
            return Ok(Self { resource_type, element: name.to_owned() });
        }
        let choice = known().find(|element| element.shape == Shape::Choice && element.type_under(name).is_some());
        let near = choice
            .map(|element| element.name.to_owned())
            .or_else(|| nearest(name, known().map(|element| element.name)));
        Err(SearchError::UnknownElement { name: name.to_owned(), nearest: near })
    }
}

#[cfg(test)]
mod tests {
    use super::Named;
    use crate::r4::resource_type::ResourceType;

    #[track_caller]
    fn check(text: &str, of: &str, expected: Result<(&str, &str), &str>) {
        let found = Named::parse(text, ResourceType::parse(of)).map_err(|error| error.to_string());
        match (found, expected) {
            (Ok(found), Ok((resource_type, element))) => {
                let resource_type = ResourceType::parse(resource_type);
                assert_eq!(found, Named { resource_type, element: element.to_owned() }, "{text}");
            }
            (Err(message), Err(says)) => assert!(message.contains(says), "{text}: {message}"),
            (found, expected) => panic!("{text}: {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn an_element_is_one_at_the_root_of_the_types_in_question() {
        check("status", "Observation", Ok(("", "status")));
        check("value[x]", "Observation", Ok(("", "value")));
        check("Patient.name", "Observation", Ok(("Patient", "name")));
        check("birthDate", "", Ok(("", "birthDate")));
        check("resourceType", "Patient", Ok(("", "resourceType")));
        check("nam", "Patient", Err("did you mean `name`?"));
        check("name.family", "Patient", Err("no element at the root"));
        check("valueQuantity", "Observation", Err("did you mean `value`?"));
        check("birthDate", "Observation", Err("no element"));
        check("Patient.shoeSize", "", Err("`shoeSize`"));
        check("", "Patient", Err("no element"));
    }
}
