//! The parameter at the end of a criterion: its modifiers, and what its values ask of the store.

use super::VALUES_MAX;
use crate::fhir::search::error::{BadValue, SearchError, nearest};
use crate::fhir::search::escape::{split, unescape};
use crate::fhir::search::index::{
    composite, has_identifiers, identifier_parameter, of_type_parameter, text_parameter, token_forms,
};
use crate::fhir::search::registry::Registry;
use crate::fhir::search::special::Special;
use crate::fhir::search::{date, number, quantity, reference, string, token, uri};
use crate::fhir::store::{CodeSet, Condition, Direction, TextMode, UriMode};
use crate::r4::definitions::search_parameters::{ParameterKind, SearchParameter};
use crate::r4::id::is_id;
use crate::r4::resource_type::ResourceType;

/// How a criterion changes the meaning of its parameter, <https://hl7.org/fhir/R4/search.html#modifiers>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Modifier {
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
    pub(super) fn target(subject: Subject<'_>, name: &str) -> Result<ResourceType, SearchError> {
        ResourceType::parse(name)
            .filter(|target| subject.parameter.targets.contains(target))
            .ok_or_else(|| subject.unknown_modifier(name))
    }
}

/// The parameter at the end of a criterion, as one type has it.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// All parameters.
    pub(super) registry: &'a Registry,
    /// The type of the resources.
    pub(crate) resource_type: ResourceType,
    /// The parameter.
    pub(crate) parameter: &'a SearchParameter,
}

impl<'a> Subject<'a> {
    /// The condition of a criterion's values.
    pub(crate) fn criterion(self, modifier: Option<&str>, value: &str) -> Result<Condition, SearchError> {
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
    pub(crate) fn modifier(self, name: Option<&str>) -> Result<Modifier, SearchError> {
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
    pub(crate) fn alternative(self, modifier: Modifier, value: &str) -> Result<Condition, BadValue> {
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
    if modifier == Modifier::Exact {
        TextMode::Exact
    } else if modifier == Modifier::Contains {
        TextMode::Contains
    } else {
        TextMode::StartsWith
    }
}

fn uri_mode(modifier: Modifier) -> UriMode {
    if modifier == Modifier::Below {
        UriMode::Below
    } else if modifier == Modifier::Above {
        UriMode::Above
    } else {
        UriMode::Exact
    }
}
