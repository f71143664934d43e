//! `_include` and `_revinclude`: which resources come along, <https://hl7.org/fhir/R4/search.html#include>.

use super::error::SearchError;
use super::plan::Budget;
use super::registry::Registry;
use crate::fhir::store::Parameter;
use crate::r4::definitions::search_parameters::ParameterKind;
use crate::r4::resource_type::ResourceType;

/// Resources that come along with the matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Include {
    /// Which way the reference points.
    pub(crate) direction: Direction,
    /// The type that has the reference; `None`: any.
    pub(crate) source: Option<ResourceType>,
    /// The reference parameters followed; empty: all of the source.
    pub(crate) parameters: Vec<Parameter>,
    /// Only references to this type.
    pub(crate) target: Option<ResourceType>,
    /// From where references are followed.
    pub(crate) reach: Reach,
}

/// Which way an included resource is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// It is pointed to.
    Forward,
    /// It points here.
    Reverse,
}

/// From where references are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// From the matches.
    Matches,
    /// From whatever has been included too (`:iterate`).
    Iterate,
}

/// Reads an include of a search in one type or in several; `None` when the name is of something else.
pub(super) fn parse(
    registry: &Registry,
    budget: &Budget,
    searched: Option<ResourceType>,
    name: &str,
    value: &str,
) -> Option<Result<Include, SearchError>> {
    let (base, modifier) = match name.split_once(':') {
        Some((base, modifier)) => (base, Some(modifier)),
        None => (name, None),
    };
    let direction = match base {
        "_include" => Direction::Forward,
        "_revinclude" => Direction::Reverse,
        _ => return None,
    };
    let reach = match modifier {
        None => Reach::Matches,
        Some("iterate" | "recurse") => Reach::Iterate,
        Some(modifier) => {
            return Some(Err(SearchError::UnknownModifier {
                name: base.to_owned(),
                modifier: modifier.to_owned(),
                nearest: Some("iterate".to_owned()),
            }));
        }
    };
    Some(include(registry, budget, searched, direction, reach, name, value))
}

fn include(
    registry: &Registry,
    budget: &Budget,
    searched: Option<ResourceType>,
    direction: Direction,
    reach: Reach,
    name: &str,
    value: &str,
) -> Result<Include, SearchError> {
    let bad = |expected| SearchError::BadValue { name: name.to_owned(), value: value.to_owned(), expected };
    if (value, direction) == ("*", Direction::Forward) {
        return Ok(Include { direction, source: None, parameters: Vec::new(), target: None, reach });
    }
    if value == "*" {
        return Err(bad("the type that points here in front of `*`, as in `Observation:*`"));
    }
    let mut parts = value.split(':');
    let (Some(source), Some(code), target, None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(bad("`Type:parameter`, `Type:parameter:Target` or `Type:*`"));
    };
    let source = ResourceType::parse(source).ok_or_else(|| bad("the name of a resource type in front"))?;
    let target = target
        .map(|target| ResourceType::parse(target).ok_or_else(|| bad("the name of a resource type at the end")))
        .transpose()?;
    let target = match direction {
        Direction::Forward => target,
        Direction::Reverse => target.or(searched.filter(|_| reach == Reach::Matches)),
    };
    let parameters = match code {
        "*" => references(registry, source, target),
        code => vec![reference(registry, budget, source, code, || bad("a parameter that is a reference"))?],
    };
    if direction == Direction::Reverse {
        // Each is looked up by its index, which has to be complete.
        parameters.iter().try_for_each(|parameter| budget.supported(registry, source, parameter).map(drop))?;
    }
    Ok(Include { direction, source: Some(source), parameters, target, reach })
}

fn reference(
    registry: &Registry,
    budget: &Budget,
    source: ResourceType,
    code: &str,
    not_a_reference: impl Fn() -> SearchError,
) -> Result<Parameter, SearchError> {
    let parameter = budget.supported(registry, source, code)?;
    match parameter.kind {
        ParameterKind::Reference => Ok(parameter.code.clone()),
        ParameterKind::Number
        | ParameterKind::Date
        | ParameterKind::String
        | ParameterKind::Token
        | ParameterKind::Composite
        | ParameterKind::Quantity
        | ParameterKind::Uri
        | ParameterKind::Special => Err(not_a_reference()),
    }
}

/// The reference parameters of a type, to all or to one type.
pub(crate) fn references(registry: &Registry, source: ResourceType, target: Option<ResourceType>) -> Vec<Parameter> {
    registry
        .parameters(source)
        .filter(|parameter| parameter.kind == ParameterKind::Reference)
        .filter(|parameter| target.is_none_or(|target| parameter.targets.contains(&target)))
        .map(|parameter| parameter.code.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::plan::Budget;
    use super::{Direction, Include, Reach, parse};
    use crate::fhir::search::registry::Registry;
    use crate::r4::resource_type::ResourceType;

    fn read(name: &str, value: &str) -> Result<Include, String> {
        let observation = Some(ResourceType::OBSERVATION);
        parse(Registry::r4(), &Budget::default(), observation, name, value).unwrap().map_err(|error| error.to_string())
    }

    #[test]
    fn an_include_names_type_parameter_and_target() {
        let include = read("_include", "Observation:subject").unwrap();
        assert_eq!(include.parameters, ["subject".into()]);
        assert_eq!((include.direction, include.reach, include.target), (Direction::Forward, Reach::Matches, None));
        let include = read("_include:iterate", "Patient:organization:Organization").unwrap();
        assert_eq!(include.target, ResourceType::parse("Organization"));
        assert_eq!(include.reach, Reach::Iterate);
    }

    #[test]
    fn a_star_is_every_reference() {
        assert_eq!(read("_include", "*").unwrap().source, None);
        let include = read("_revinclude", "DiagnosticReport:*").unwrap();
        assert_eq!(include.parameters, ["result".into()]);
    }

    #[test]
    fn what_is_no_include_is_refused() {
        for (name, value, expected) in [
            ("_include", "subject", "Type:parameter"),
            ("_include", "Observation:code", "a reference"),
            ("_include", "Observation:nonsense", "not a search parameter"),
            ("_include", "Nobody:subject", "resource type in front"),
            ("_include", "Observation:subject:Nobody", "resource type at the end"),
            ("_revinclude", "*", "`Observation:*`"),
            ("_include:all", "*", "did you mean `iterate`?"),
        ] {
            let message = read(name, value).unwrap_err();
            assert!(message.contains(expected), "{name}={value}: {message}");
        }
    }
}
