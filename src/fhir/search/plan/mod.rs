//! From names and values to conditions of the store.
//!
//! A criterion is `name[:modifier]=value,value`; the values are alternatives, criteria all have to hold. A name may be
//! a chain (`subject:Patient.name`) or go backwards (`_has:Observation:patient:code`), to any mix of both.

mod subject;

use std::cell::Cell;

use url::form_urlencoded;

pub(super) use self::subject::{Modifier, Subject};
use super::error::{BadValue, SearchError, nearest};
use super::escape::unescape;
use super::filter;
use super::filter::operator::Operator;
use super::index::unsupported;
use super::registry::Registry;
use super::special::Special;
use crate::fhir::store::Condition;
use crate::r4::definitions::search_parameters::{ParameterKind, SearchParameter};
use crate::r4::id::is_id;
use crate::r4::resource_type::ResourceType;

/// Most links of a chain, forwards and backwards together.
const CHAIN_LINKS_MAX: usize = 16;
/// Most types of resource that the chains of a search are tried on; a reference to anything multiplies them with each
/// link.
const CHAIN_TYPES_MAX: usize = 2_000;
/// Most alternatives of one criterion.
const VALUES_MAX: usize = 1_000;
/// Most criteria of one search.
pub(super) const CRITERIA_MAX: usize = 100;
/// Most tests that all criteria of one search come to. A chain tries its values on each type it may lead to, an id alone
/// stands for a reference to each type that the parameter allows.
pub(super) const TESTS_MAX: usize = 10_000;

/// What a conditional interaction or a search asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Criteria {
    /// What must hold.
    pub(crate) condition: Condition,
    /// The generation of the definitions that it must be asked under, if any parameter is not R4's: later ones may mean
    /// something else by the same name, or nothing yet.
    pub(crate) relies_on: Option<u64>,
}

/// What a conditional interaction asks for, from a query string such as `identifier=urn:x|1`.
///
/// # Errors
/// When anything in it is not understood, and when it says nothing at all: everything is not a condition.
pub(crate) fn criteria(registry: &Registry, resource_type: ResourceType, query: &str) -> Result<Criteria, SearchError> {
    let budget = Budget::default();
    let conditions = form_urlencoded::parse(query.as_bytes())
        .take(CRITERIA_MAX + 1)
        .map(|(name, value)| criterion(registry, resource_type, &name, &value, &budget))
        .collect::<Result<Vec<_>, _>>()?;
    if conditions.len() > CRITERIA_MAX {
        return Err(SearchError::TooMany { parts: "parameters", most: CRITERIA_MAX });
    }
    if conditions.is_empty() {
        return Err(SearchError::NoCriteria);
    }
    Ok(Criteria { condition: all(conditions)?, relies_on: budget.relies_on(registry) })
}

/// All of these hold.
///
/// # Errors
/// When they are more work than one search may be.
pub(super) fn all(mut criteria: Vec<Condition>) -> Result<Condition, SearchError> {
    criteria.sort_by_key(Condition::reads_bodies);
    let condition = Condition::All(criteria);
    if condition.size() > TESTS_MAX {
        return Err(too_many_tests());
    }
    Ok(condition)
}

fn too_many_tests() -> SearchError {
    SearchError::TooMany {
        parts: "values to test, those of each type in a chain counted; name the types",
        most: TESTS_MAX,
    }
}

/// What one search may still come to, all its criteria and the types it is in together.
pub(super) struct Budget {
    types_left: Cell<usize>,
    tests_left: Cell<usize>,
    /// Whether a parameter was asked for that R4 does not define.
    asks_for_own: Cell<bool>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            types_left: Cell::new(CHAIN_TYPES_MAX),
            tests_left: Cell::new(TESTS_MAX),
            asks_for_own: Cell::new(false),
        }
    }
}

impl Budget {
    /// See `Criteria`.
    pub(super) fn relies_on(&self, registry: &Registry) -> Option<u64> {
        self.asks_for_own.get().then(|| registry.generation())
    }

    /// The parameter of this name, if one can search by it.
    pub(super) fn supported<'r>(
        &self,
        registry: &'r Registry,
        resource_type: ResourceType,
        name: &str,
    ) -> Result<&'r SearchParameter, SearchError> {
        let parameter = supported(registry, resource_type, name)?;
        if registry.is_own(resource_type, name) {
            self.asks_for_own.set(true);
        }
        Ok(parameter)
    }
}

/// One criterion.
pub(super) fn criterion(
    registry: &Registry,
    resource_type: ResourceType,
    name: &str,
    value: &str,
    budget: &Budget,
) -> Result<Condition, SearchError> {
    match name {
        "_filter" => filter::condition(registry, resource_type, value, budget),
        name => asked_of(registry, resource_type, name, Asked::Value(value), budget),
    }
}

/// One comparison of a `_filter`; the path is as the name of a criterion, without a modifier at its end.
pub(super) fn comparison(
    registry: &Registry,
    resource_type: ResourceType,
    path: &str,
    operator: Operator,
    value: &str,
    budget: &Budget,
) -> Result<Condition, SearchError> {
    asked_of(registry, resource_type, path, Asked::Compared(operator, value), budget)
}

fn asked_of(
    registry: &Registry,
    resource_type: ResourceType,
    name: &str,
    asked: Asked<'_>,
    budget: &Budget,
) -> Result<Condition, SearchError> {
    Scope { registry, resource_type, links_left: CHAIN_LINKS_MAX, budget }.criterion(name, asked)
}

/// What is asked of the values at the end of a chain.
#[derive(Clone, Copy)]
enum Asked<'a> {
    /// To be one of the values of a criterion.
    Value(&'a str),
    /// To compare so with a value.
    Compared(Operator, &'a str),
}

/// The parameter of this name, if one can search by it.
pub(crate) fn supported<'r>(
    registry: &'r Registry,
    resource_type: ResourceType,
    name: &str,
) -> Result<&'r SearchParameter, SearchError> {
    let Some(parameter) = registry.parameter(resource_type, name) else {
        let known = registry.parameters(resource_type).map(|parameter| parameter.code.as_ref());
        let nearest = nearest(name, known);
        return Err(SearchError::UnknownParameter { name: name.to_owned(), resource_type, nearest });
    };
    if registry.is_incomplete(resource_type, name) {
        return Err(SearchError::NotReady { name: name.to_owned(), resource_type });
    }
    match unsupported(parameter) {
        Some(reason) => Err(SearchError::Unsupported { name: name.to_owned(), reason }),
        None => Ok(parameter),
    }
}

/// Where in a chain a name is read.
#[derive(Clone, Copy)]
struct Scope<'a> {
    registry: &'a Registry,
    resource_type: ResourceType,
    links_left: usize,
    budget: &'a Budget,
}

impl<'a> Scope<'a> {
    fn criterion(self, name: &str, asked: Asked<'_>) -> Result<Condition, SearchError> {
        if let Some(reverse) = name.strip_prefix("_has:") {
            return self.reverse(name, reverse, asked);
        }
        if let ("_list", Asked::Value(value)) = (name, asked) {
            return listed(value);
        }
        let (link, rest) = match name.split_once('.') {
            Some((link, rest)) => (link, Some(rest)),
            None => (name, None),
        };
        let (code, modifier) = match link.split_once(':') {
            Some((code, modifier)) => (code, Some(modifier)),
            None => (link, None),
        };
        let parameter = self.budget.supported(self.registry, self.resource_type, code)?;
        match rest {
            Some(rest) => self.chain(parameter, modifier, rest, asked),
            None => {
                let subject = self.subject(parameter);
                let condition = asked.of(subject, modifier)?;
                let tests_left =
                    self.budget.tests_left.get().checked_sub(condition.size()).ok_or_else(too_many_tests)?;
                self.budget.tests_left.set(tests_left);
                Ok(condition)
            }
        }
    }

    /// `_has:Type:parameter:name=value`: something of that type points here and has the value.
    fn reverse(self, name: &str, reverse: &str, asked: Asked<'_>) -> Result<Condition, SearchError> {
        let malformed = |reason| SearchError::Unsupported { name: name.to_owned(), reason };
        let mut parts = reverse.splitn(3, ':');
        let (Some(source), Some(code), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed("write `_has:Type:reference:parameter`"));
        };
        let source = ResourceType::parse(source).ok_or_else(|| malformed("no resource type of that name"))?;
        let parameter = self.budget.supported(self.registry, source, code)?;
        if parameter.kind != ParameterKind::Reference || !parameter.targets.contains(&self.resource_type) {
            return Err(malformed("that parameter does not point to this type"));
        }
        let condition = Box::new(self.behind(source)?.criterion(rest, asked)?);
        Ok(Condition::LinkedFrom { source, parameter: parameter.code.clone(), condition })
    }

    /// `reference[:Type].rest=value`: what it points to has the value. Without a type, any of the types that know the
    /// rest.
    fn chain(
        self,
        parameter: &'a SearchParameter,
        modifier: Option<&str>,
        rest: &str,
        asked: Asked<'_>,
    ) -> Result<Condition, SearchError> {
        let refused = |reason| SearchError::Unsupported { name: format!("{}.{rest}", parameter.code), reason };
        if parameter.kind != ParameterKind::Reference {
            return Err(refused("only references can be followed"));
        }
        if Special::of(parameter).is_some() {
            return Err(refused("what a resource inside a Bundle says is not searched; it is found by its id"));
        }
        let subject = self.subject(parameter);
        let only = modifier.map(|name| Modifier::target(subject, name)).transpose()?;
        let types = only.as_ref().map_or(parameter.targets.as_slice(), std::slice::from_ref);
        let mut linked: Vec<(Vec<ResourceType>, Condition)> = Vec::new();
        let mut refused = None;
        for target in types {
            match self.behind(*target)?.criterion(rest, asked) {
                Ok(condition) => match linked.iter_mut().find(|(_, known)| *known == condition) {
                    Some((targets, _)) => targets.push(*target),
                    None => linked.push((vec![*target], condition)),
                },
                Err(error) if error.is_about_an_unknown_parameter() => refused = refused.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        let mut links: Vec<Condition> = linked
            .into_iter()
            .map(|(targets, condition)| Condition::Linked {
                parameter: parameter.code.clone(),
                targets,
                condition: Box::new(condition),
            })
            .collect();
        match (links.pop(), links.is_empty()) {
            (Some(only), true) => Ok(only),
            (Some(last), false) => Ok(Condition::Any(links.into_iter().chain([last]).collect())),
            (None, _) => Err(refused.unwrap_or_else(|| SearchError::Unsupported {
                name: format!("{}.{rest}", parameter.code),
                reason: "it points to no type of resource",
            })),
        }
    }

    fn subject(self, parameter: &'a SearchParameter) -> Subject<'a> {
        Subject { registry: self.registry, resource_type: self.resource_type, parameter }
    }

    fn behind(self, resource_type: ResourceType) -> Result<Self, SearchError> {
        let links_left = self
            .links_left
            .checked_sub(1)
            .ok_or(SearchError::TooMany { parts: "links in a chain", most: CHAIN_LINKS_MAX })?;
        let types_left = self.budget.types_left.get().checked_sub(1).ok_or(SearchError::TooMany {
            parts: "types in a chain; name the types, as in `subject:Patient.name`",
            most: CHAIN_TYPES_MAX,
        })?;
        self.budget.types_left.set(types_left);
        Ok(Self { resource_type, links_left, ..self })
    }
}

/// `_list=id`: a member of a List (<https://hl7.org/fhir/R4/search.html#list>).
fn listed(value: &str) -> Result<Condition, SearchError> {
    if value.starts_with('$') {
        let reason = "lists that a server would have to work out, such as `$current-allergies`, are not kept";
        return Err(SearchError::Unsupported { name: "_list".to_owned(), reason });
    }
    let expected = BadValue { expected: "the logical id of a List" };
    let id = unescape(value).filter(|id| is_id(id)).ok_or_else(|| expected.of("_list", value))?;
    Ok(Condition::LinkedFrom {
        source: ResourceType::LIST,
        parameter: "item".into(),
        condition: Box::new(Condition::Id(vec![id])),
    })
}

impl Asked<'_> {
    fn of(self, subject: Subject<'_>, modifier: Option<&str>) -> Result<Condition, SearchError> {
        match (self, modifier) {
            (Self::Value(value), _) => subject.criterion(modifier, value),
            (Self::Compared(operator, value), None) => operator.condition(subject, value),
            (Self::Compared(..), Some(modifier)) => Err(SearchError::Unsupported {
                name: format!("{}:{modifier}", subject.parameter.code),
                reason: "a filter compares with an operator, not with a modifier",
            }),
        }
    }
}

#[cfg(test)]
mod tests;
