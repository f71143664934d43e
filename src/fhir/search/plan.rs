//! From names and values to conditions of the store.
//!
//! A criterion is `name[:modifier]=value,value`; the values are alternatives, criteria all have to hold. A name may be
//! a chain (`subject:Patient.name`) or go backwards (`_has:Observation:patient:code`), to any mix of both.

use std::cell::Cell;

use url::form_urlencoded;

use super::error::{BadValue, SearchError, nearest};
use super::escape::{split, unescape};
use super::filter::operator::Operator;
use super::index::{
    composite, has_identifiers, identifier_parameter, of_type_parameter, text_parameter, token_forms, unsupported,
};
use super::registry::Registry;
use super::special::Special;
use super::{date, filter, number, quantity, reference, string, token, uri};
use crate::fhir::store::{CodeSet, Condition, Direction, TextMode, UriMode};
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

/// How a criterion changes the meaning of its parameter, <https://hl7.org/fhir/R4/search.html#modifiers>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Modifier {
    /// As it is.
    None,
    /// Whether there is a value at all.
    Missing,
    /// No value is any of these.
    Not,
    /// To the letter.
    Exact,
    /// Anywhere in the text.
    Contains,
    /// By the texts beside codes.
    Text,
    /// Identifiers by a code of their type.
    OfType,
    /// Codes of a value set.
    In,
    /// No code is of a value set.
    NotIn,
    /// By the identifier of the reference.
    Identifier,
    /// This code and all it subsumes; this URI and all it is the beginning of; this resource and all its parts.
    Below,
    /// This code and all that subsume it; this URI and all that is its beginning; this resource and all it is part of.
    Above,
    /// Only references to this type.
    Target(ResourceType),
}

/// What the store finds by itself, without an index.
const KEPT_BY_THE_STORE: [&str; 2] = ["_id", "_lastUpdated"];

impl Modifier {
    /// A reference to one of the types the parameter may point to.
    fn target(subject: Subject<'_>, name: &str) -> Result<ResourceType, SearchError> {
        ResourceType::parse(name)
            .filter(|target| subject.parameter.targets.contains(target))
            .ok_or_else(|| subject.unknown_modifier(name))
    }
}

/// The parameter at the end of a criterion, as one type has it.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    /// All parameters.
    registry: &'a Registry,
    /// The type of the resources.
    pub(super) resource_type: ResourceType,
    /// The parameter.
    pub(super) parameter: &'a SearchParameter,
}

impl<'a> Subject<'a> {
    /// The condition of a criterion's values.
    pub(super) fn criterion(self, modifier: Option<&str>, value: &str) -> Result<Condition, SearchError> {
        let modifier = self.modifier(modifier)?;
        if modifier == Modifier::Missing {
            return self.missing(value);
        }
        let values = split(value, ',');
        if values.len() > VALUES_MAX {
            return Err(SearchError::TooMany { parts: "values of a parameter", most: VALUES_MAX });
        }
        if self.parameter.code.as_ref() == "_id" {
            return self.each(&values, id).map(Condition::Id);
        }
        let mut alternatives = match composite(self.registry, self.resource_type, &self.parameter.code) {
            Some(composite) => self.each(&values, |value| {
                composite
                    .condition(value, |part, value| Self { parameter: part, ..self }.alternative(Modifier::None, value))
            })?,
            None => self.each(&values, |value| self.alternative(modifier, value))?,
        };
        let any = match (alternatives.pop(), alternatives.is_empty()) {
            (Some(only), true) => only,
            (last, _) => Condition::Any(alternatives.into_iter().chain(last).collect()),
        };
        let is_reversed = matches!(modifier, Modifier::Not | Modifier::NotIn);
        Ok(if is_reversed { Condition::Not(Box::new(any)) } else { any })
    }

    /// The modifier of this name, if the parameter has it.
    pub(super) fn modifier(self, name: Option<&str>) -> Result<Modifier, SearchError> {
        let Some(name) = name else {
            return Ok(Modifier::None);
        };
        match self.modifiers().iter().find(|(known, _)| *known == name) {
            Some((_, modifier)) => Ok(*modifier),
            None if self.parameter.kind == ParameterKind::Reference => {
                Modifier::target(self, name).map(Modifier::Target)
            }
            None => Err(self.unknown_modifier(name)),
        }
    }

    /// The modifiers by name, but for the types of references.
    fn modifiers(self) -> Vec<(&'static str, Modifier)> {
        let mut modifiers = Vec::new();
        if KEPT_BY_THE_STORE.contains(&self.parameter.code.as_ref()) {
            return modifiers;
        }
        match Special::of(self.parameter) {
            Some(Special::Content | Special::Near) => return modifiers,
            Some(Special::Text | Special::Sound | Special::FirstEntry(_)) => {
                modifiers.push(("missing", Modifier::Missing));
                return modifiers;
            }
            None => {}
        }
        modifiers.push(("missing", Modifier::Missing));
        match self.parameter.kind {
            ParameterKind::Token => modifiers.extend(self.token_modifiers()),
            ParameterKind::String => {
                modifiers.extend([("exact", Modifier::Exact), ("contains", Modifier::Contains)]);
            }
            ParameterKind::Reference => {
                if has_identifiers(self.registry, self.resource_type, &self.parameter.code) {
                    modifiers.push(("identifier", Modifier::Identifier));
                }
                if reference::hierarchies(&self.parameter.targets).next().is_some() {
                    modifiers.extend([("below", Modifier::Below), ("above", Modifier::Above)]);
                }
            }
            ParameterKind::Uri => modifiers.extend([("below", Modifier::Below), ("above", Modifier::Above)]),
            ParameterKind::Date | ParameterKind::Number | ParameterKind::Quantity => {}
            ParameterKind::Composite | ParameterKind::Special => return Vec::new(),
        }
        modifiers
    }

    /// Those that mean something for at least one of the elements.
    fn token_modifiers(self) -> impl Iterator<Item = (&'static str, Modifier)> + use<> {
        let forms = token_forms(self.registry, self.resource_type, &self.parameter.code);
        let any = |is: fn(token::Form) -> bool| forms.iter().any(|form| is(*form));
        let is_coded = any(token::Form::is_coded);
        let has_hierarchy = is_coded && !any(token::Form::is_media_type);
        [
            ("not", Modifier::Not, true),
            ("text", Modifier::Text, any(token::Form::has_text)),
            ("of-type", Modifier::OfType, forms.contains(&token::Form::Identifier)),
            ("in", Modifier::In, is_coded),
            ("not-in", Modifier::NotIn, is_coded),
            ("below", Modifier::Below, is_coded),
            ("above", Modifier::Above, has_hierarchy),
        ]
        .into_iter()
        .filter_map(|(name, modifier, applies)| applies.then_some((name, modifier)))
    }

    fn unknown_modifier(self, modifier: &str) -> SearchError {
        let known = self.modifiers();
        let targets = self.parameter.targets.iter().map(|target| target.as_str());
        SearchError::UnknownModifier {
            name: self.parameter.code.as_ref().to_owned(),
            modifier: modifier.to_owned(),
            nearest: nearest(modifier, known.iter().map(|(name, _)| *name).chain(targets)),
        }
    }

    fn each<T>(self, values: &[&str], read: impl Fn(&str) -> Result<T, BadValue>) -> Result<Vec<T>, SearchError> {
        values.iter().map(|value| read(value).map_err(|bad| bad.of(&self.parameter.code, value))).collect()
    }

    fn missing(self, value: &str) -> Result<Condition, SearchError> {
        let present = Condition::Present(self.parameter.code.clone());
        match value {
            "true" => Ok(Condition::Not(Box::new(present))),
            "false" => Ok(present),
            _ => Err(BadValue { expected: "`true` or `false`" }.of(&self.parameter.code, value)),
        }
    }

    /// One value.
    pub(super) fn alternative(self, modifier: Modifier, value: &str) -> Result<Condition, BadValue> {
        if self.parameter.code.as_ref() == "_id" {
            return id(value).map(|id| Condition::Id(vec![id]));
        }
        if self.parameter.code.as_ref() == "_lastUpdated" {
            return date::last_updated(value);
        }
        let special = Special::of(self.parameter).and_then(|special| special.condition(self.parameter, value));
        if let Some(condition) = special {
            return condition;
        }
        let has = |test| Condition::Has(self.parameter.code.clone(), test);
        match self.parameter.kind {
            ParameterKind::Token => self.token(modifier, value),
            ParameterKind::Reference => self.reference(modifier, value),
            ParameterKind::Date => date::test(value).map(has),
            ParameterKind::Number => number::test(value).map(has),
            ParameterKind::Quantity => quantity::test(value).map(has),
            ParameterKind::String => string::test(value, text_mode(modifier)).map(has),
            ParameterKind::Uri => self.uri(modifier, value),
            ParameterKind::Composite | ParameterKind::Special => {
                Err(BadValue { expected: "a parameter of another type" })
            }
        }
    }

    fn token(self, modifier: Modifier, value: &str) -> Result<Condition, BadValue> {
        let code = &self.parameter.code;
        let forms = token_forms(self.registry, self.resource_type, code);
        let coded = |set| Condition::Coded(code.clone(), set);
        match modifier {
            Modifier::Text => Ok(Condition::Has(text_parameter(code), token::text_test(value)?)),
            Modifier::OfType => Ok(Condition::Has(of_type_parameter(code), token::of_type_test(value)?)),
            Modifier::In | Modifier::NotIn => token::value_set(value).map(CodeSet::ValueSet).map(coded),
            Modifier::Below if forms.iter().any(|form| form.is_media_type()) => {
                Ok(Condition::Has(code.clone(), token::media_type_test(value)?))
            }
            Modifier::Below => token::code(value).map(CodeSet::Below).map(coded),
            Modifier::Above => token::code(value).map(CodeSet::Above).map(coded),
            Modifier::None
            | Modifier::Missing
            | Modifier::Not
            | Modifier::Exact
            | Modifier::Contains
            | Modifier::Identifier
            | Modifier::Target(_) => token::condition(code, forms, value),
        }
    }

    /// The URL of a canonical resource may be followed by its version.
    fn uri(self, modifier: Modifier, value: &str) -> Result<Condition, BadValue> {
        let has = |test| Condition::Has(self.parameter.code.clone(), test);
        let mode = uri_mode(modifier);
        let is_url = mode == UriMode::Exact && self.parameter.code.as_ref() == "url";
        if let (true, Some((url, version))) = (is_url, uri::split_version(value))
            && let Some(parameter) = self.registry.parameter(self.resource_type, "version")
        {
            let forms = token_forms(self.registry, self.resource_type, &parameter.code);
            let is_of_version = token::condition(&parameter.code, forms, version)?;
            return Ok(Condition::All(vec![has(uri::test(url, mode)?), is_of_version]));
        }
        uri::test(value, mode).map(has)
    }

    fn reference(self, modifier: Modifier, value: &str) -> Result<Condition, BadValue> {
        let parameter = self.parameter;
        match modifier {
            Modifier::Identifier => {
                let test = token::test(value)?;
                Ok(Condition::Has(identifier_parameter(&parameter.code), test))
            }
            Modifier::Target(only) => reference::condition(&parameter.code, value, &[only]),
            Modifier::Below => reference::within(&parameter.code, value, &parameter.targets, Direction::Below),
            Modifier::Above => reference::within(&parameter.code, value, &parameter.targets, Direction::Above),
            Modifier::None
            | Modifier::Missing
            | Modifier::Not
            | Modifier::Exact
            | Modifier::Contains
            | Modifier::Text
            | Modifier::OfType
            | Modifier::In
            | Modifier::NotIn => reference::condition(&parameter.code, value, &parameter.targets),
        }
    }
}

fn id(value: &str) -> Result<String, BadValue> {
    unescape(value).filter(|id| is_id(id)).ok_or(BadValue { expected: "a logical id" })
}

fn text_mode(modifier: Modifier) -> TextMode {
    match modifier {
        Modifier::Exact => TextMode::Exact,
        Modifier::Contains => TextMode::Contains,
        Modifier::None
        | Modifier::Missing
        | Modifier::Not
        | Modifier::Text
        | Modifier::OfType
        | Modifier::In
        | Modifier::NotIn
        | Modifier::Identifier
        | Modifier::Below
        | Modifier::Above
        | Modifier::Target(_) => TextMode::StartsWith,
    }
}

fn uri_mode(modifier: Modifier) -> UriMode {
    match modifier {
        Modifier::Below => UriMode::Below,
        Modifier::Above => UriMode::Above,
        Modifier::None
        | Modifier::Missing
        | Modifier::Not
        | Modifier::Exact
        | Modifier::Contains
        | Modifier::Text
        | Modifier::OfType
        | Modifier::In
        | Modifier::NotIn
        | Modifier::Identifier
        | Modifier::Target(_) => UriMode::Exact,
    }
}

#[cfg(test)]
mod tests {
    use super::{CRITERIA_MAX, criteria};
    use crate::fhir::search::registry::Registry;
    use crate::fhir::store::{Code, CodeSet, Condition, Relation, Test, TextMode, UriMode};
    use crate::r4::resource_type::ResourceType;

    fn plan(search: &str) -> Result<Condition, String> {
        let (resource_type, query) = search.split_once('?').unwrap();
        let resource_type = ResourceType::parse(resource_type).unwrap();
        let criteria = criteria(Registry::r4(), resource_type, query).map_err(|error| error.to_string())?;
        assert_eq!(criteria.relies_on, None);
        Ok(criteria.condition)
    }

    #[track_caller]
    fn check(search: &str, expected: Condition) {
        assert_eq!(plan(search), Ok(Condition::All(vec![expected])), "{search}");
    }

    #[track_caller]
    fn check_refused(search: &str, expected: &str) {
        let message = plan(search).unwrap_err();
        assert!(message.contains(expected), "{search}: {message}");
    }

    fn token(parameter: &str, system: Option<&str>, code: Option<&str>) -> Condition {
        let part = |text: Option<&str>| text.map(str::to_owned);
        Condition::Has(parameter.into(), Test::Token { system: part(system), code: part(code) })
    }

    fn points_to(parameter: &str, target: &str) -> Condition {
        Condition::Has(parameter.into(), Test::Reference { target: target.to_owned() })
    }

    fn not(condition: Condition) -> Condition {
        Condition::Not(Box::new(condition))
    }

    fn resource_type(name: &str) -> ResourceType {
        ResourceType::parse(name).unwrap()
    }

    #[test]
    fn a_comma_is_or_and_a_repetition_is_and() {
        let a = token("code", None, Some("a"));
        let b = token("code", None, Some("b"));
        check("Observation?code=a,b", Condition::Any(vec![a.clone(), b.clone()]));
        assert_eq!(plan("Observation?code=a&code=b"), Ok(Condition::All(vec![a, b])));
    }

    #[test]
    fn an_escaped_comma_belongs_to_the_value() {
        check(r"Observation?code=a\,b", token("code", None, Some("a,b")));
        check("Observation?identifier=urn%3Ax%7C1", token("identifier", Some("urn:x"), Some("1")));
    }

    #[test]
    fn modifiers_change_the_test() {
        let text = |mode, text: &str| Condition::Has("name".into(), Test::String { mode, text: text.to_owned() });
        check("Patient?name=Ro", text(TextMode::StartsWith, "ro"));
        check("Patient?name:contains=Ro", text(TextMode::Contains, "ro"));
        check("Patient?name:exact=Ro", text(TextMode::Exact, "Ro"));
        let uri = |mode| Condition::Has("url".into(), Test::Uri { uri: "http://x".to_owned(), mode });
        check("ValueSet?url=http://x", uri(UriMode::Exact));
        check("ValueSet?url:below=http://x", uri(UriMode::Below));
        check("ValueSet?url:above=http://x", uri(UriMode::Above));
        check("Observation?subject:Patient=1", points_to("subject", "Patient/1"));
        check("Observation?subject:identifier=s|1", token("subject:identifier", Some("s"), Some("1")));
        check("Observation?code:missing=false", Condition::Present("code".into()));
        check("Observation?code:missing=true", not(Condition::Present("code".into())));
    }

    #[test]
    fn a_canonical_url_may_be_followed_by_a_version() {
        let url = Condition::Has("url".into(), Test::Uri { uri: "http://x".to_owned(), mode: UriMode::Exact });
        check("ValueSet?url=http://x|1.0", Condition::All(vec![url, token("version", None, Some("1.0"))]));
        check_refused("ValueSet?url:below=urn:oid:1.2", "a URN has nothing above or below");
    }

    #[test]
    fn token_modifiers_ask_for_texts_types_and_sets_of_codes() {
        let display = Test::Display { folded: "heart".to_owned() };
        check("Observation?code:text=Heart", Condition::Has("code:text".into(), display));
        check("Patient?identifier:of-type=t|MR|4", token("identifier:of-type", Some("t"), Some("MR|4")));
        let coded = |set| Condition::Coded("code".into(), set);
        let set = || coded(CodeSet::ValueSet("http://x|1".to_owned()));
        check("Observation?code:in=http://x|1", set());
        check("Observation?code:not-in=http://x|1", not(set()));
        let code = || Code { system: "s".to_owned(), code: "c".to_owned() };
        check("Observation?code:below=s|c", coded(CodeSet::Below(code())));
        check("Observation?code:above=s|c", coded(CodeSet::Above(code())));
        let base = "text/xml".to_owned();
        check(
            "DocumentReference?contenttype:below=text/xml",
            Condition::Has("contenttype".into(), Test::MediaType { base }),
        );
    }

    #[test]
    fn not_excludes_all_of_its_values() {
        let either = Condition::Any(vec![token("status", None, Some("a")), token("status", None, Some("b"))]);
        check("Observation?status:not=a,b", not(either));
    }

    #[test]
    fn the_store_knows_ids_and_changes_itself() {
        check("Patient?_id=a,b", Condition::Id(vec!["a".to_owned(), "b".to_owned()]));
        check("Patient?_lastUpdated=ge1970-01-01", Condition::LastUpdated { start: 0, end: i64::MAX });
    }

    #[test]
    fn numbers_have_the_range_of_their_precision() {
        let expected = Test::Number { relation: Relation::Within, low: 99.5, high: 100.5, value: 100.0 };
        check("MolecularSequence?variant-start=100", Condition::Has("variant-start".into(), expected));
    }

    #[test]
    fn a_chain_is_followed_into_the_types_that_know_its_end() {
        let linked = |targets: &[&str], condition| Condition::Linked {
            parameter: "subject".into(),
            targets: targets.iter().map(|name| resource_type(name)).collect(),
            condition: Box::new(condition),
        };
        let identifier = token("identifier", None, Some("1"));
        check("Observation?subject:Patient.identifier=1", linked(&["Patient"], identifier.clone()));
        check("Observation?subject.identifier=1", linked(&["Device", "Group", "Location", "Patient"], identifier));
        check("Observation?subject.gender=male", linked(&["Patient"], token("gender", None, Some("male"))));
        check(
            "Observation?subject:Patient.organization:Organization._id=1",
            linked(
                &["Patient"],
                Condition::Linked {
                    parameter: "organization".into(),
                    targets: vec![resource_type("Organization")],
                    condition: Box::new(Condition::Id(vec!["1".to_owned()])),
                },
            ),
        );
    }

    #[test]
    fn has_goes_against_the_direction_of_a_reference() {
        check(
            "Patient?_has:Observation:patient:code=1234-5",
            Condition::LinkedFrom {
                source: ResourceType::OBSERVATION,
                parameter: "patient".into(),
                condition: Box::new(token("code", None, Some("1234-5"))),
            },
        );
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        check_refused("Observation?cod=1", "did you mean `code`?");
        check_refused(
            "Observation?nonsense-of-this-kind=1",
            "`nonsense-of-this-kind` is not a search parameter of Observation",
        );
        check_refused("Patient?name:exat=1", "did you mean `exact`?");
        check_refused("Patient?gender:text=male", "`:text` is not a modifier");
        check_refused("Patient?identifier:in=http://x", "`:in` is not a modifier");
        check_refused("Observation?code:of-type=a|b|c", "`:of-type` is not a modifier");
        check_refused("Patient?active:in=http://x", "`:in` is not a modifier");
        check_refused("Observation?patient:above=Patient/1", "`:above` is not a modifier");
        check_refused("Observation?subject:text=x", "`:text` is not a modifier");
        check_refused("Patient?name:text=x", "`:text` is not a modifier");
        check_refused("DocumentReference?contenttype:above=text/xml", "`:above` is not a modifier");
        check_refused("QuestionnaireResponse?questionnaire:identifier=a|b", "`:identifier` is not a modifier");
        check_refused("Observation?subject:Practitioner=1", "`:Practitioner` is not a modifier");
        check_refused("Observation?date:exact=2024", "`:exact` is not a modifier");
        check_refused("Observation?_id:not=1", "`:not` is not a modifier");
        check_refused("Patient?phonetic:contains=x", "`:contains` is not a modifier");
        check_refused("Location?near=1", "`latitude|longitude|distance|units`");
        check_refused("Patient?_query=x", "stored queries are not built");
        check_refused("Bundle?composition.type=x", "inside a Bundle");
    }

    fn pair(code: &str, low: f64, value: f64, high: f64) -> Condition {
        let code = Test::Token { system: None, code: Some(code.to_owned()) };
        let relation = Relation::Within;
        let amount = Test::Quantity { relation, low, high, value, system: None, code: None };
        Condition::All(vec![
            Condition::Has("code".into(), code.clone()),
            Condition::Has("value-quantity".into(), amount.clone()),
            Condition::Has("code-value-quantity".into(), Test::Composite { parts: vec![vec![code], vec![amount]] }),
        ])
    }

    #[test]
    fn a_composite_is_each_part_and_all_together() {
        check("Observation?code-value-quantity=a$5", pair("a", 4.5, 5.0, 5.5));
        check(r"Observation?code-value-quantity=a\$b$5", pair("a$b", 4.5, 5.0, 5.5));
        check(
            "Observation?code-value-quantity=a$5,b$7.0",
            Condition::Any(vec![pair("a", 4.5, 5.0, 5.5), pair("b", 6.95, 7.0, 7.05)]),
        );
        check_refused("Observation?code-value-quantity=a", "a value for each part");
        check_refused("Observation?code-value-quantity=a$5$6", "a value for each part");
        check_refused("Observation?code-value-quantity=a$", "a number");
        check_refused("Observation?code-value-quantity=$5", "`system|code`");
        check_refused("Observation?code-value-quantity=a$5,", "a value for each part");
        check_refused("Observation?code-value-quantity:missing=true", "`:missing` is not a modifier");
        check_refused("Patient?_has:Observation:patient:code-value-quantity=a", "a value for each part");
    }

    #[test]
    fn a_part_of_a_composite_may_be_a_reference() {
        let condition = plan("DocumentReference?relationship=1$replaces").unwrap();
        let Condition::All(of) = condition else { panic!("{condition:?}") };
        let [Condition::All(parts)] = of.as_slice() else { panic!("{of:?}") };
        assert_eq!(parts[0], points_to("relatesto", "DocumentReference/1"));
    }

    #[test]
    fn values_that_do_not_fit_are_refused() {
        check_refused("Observation?code=", "``");
        check_refused("Observation?code=a,,b", "``");
        check_refused("Observation?date=yesterday", "a date");
        check_refused("Observation?date=2024-01-01T00:00:00+01:00", "`%2B`");
        check_refused("Observation?value-quantity=5|mg", "`number|system|code`");
        check_refused("Observation?code:missing=maybe", "`true` or `false`");
        check_refused("Observation?subject=a%20b", "`Type/id`");
        check_refused("Observation?_id=a_b", "a logical id");
    }

    #[test]
    fn malformed_links_are_refused() {
        check_refused("Observation?code.text=1", "only references can be followed");
        check_refused("Observation?subject:Nobody.name=1", "`:Nobody` is not a modifier");
        check_refused("Observation?subject.nonsense=1", "not a search parameter");
        check_refused("Patient?_has:Observation:code=1", "write `_has:");
        check_refused("Patient?_has:Observation:encounter:code=1", "does not point to this type");
        check_refused("Patient?_has:Nobody:patient:code=1", "no resource type");
        check_refused(&format!("Patient?{}_id=1", "link:Patient.".repeat(17)), "at most 16");
        assert!(plan(&format!("Patient?{}_id=1", "link:Patient.".repeat(16))).is_ok());
    }

    #[test]
    fn everything_is_not_a_condition() {
        check_refused("Patient?", "at least one");
        check_refused("Patient?_count=1", "`_count`");
    }

    #[test]
    fn a_condition_has_a_bound() {
        check_refused(&format!("Patient?{}", "active=true&".repeat(CRITERIA_MAX + 1)), "at most 100");
        check_refused(&format!("Patient?gender={}", "a,".repeat(1_001)), "at most 1000");
    }

    #[test]
    fn a_chain_may_fan_out_only_so_far() {
        check_refused("Basic?subject.subject.subject.subject._id=1", "name the types");
        assert!(plan("Basic?subject.patient.link._id=1").is_ok());
    }
}
