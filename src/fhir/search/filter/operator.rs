//! The operators of `_filter`, and what each means for a type of parameter.

use super::super::error::{BadValue, SearchError};
use super::super::plan::{Modifier, Subject};
use super::super::special::Special;
use super::super::{date, string};
use crate::fhir::store::{Condition, TextMode};
use crate::r4::definitions::search_parameters::ParameterKind;

/// How the values of a resource are compared with the one in the filter; one of them has to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fhir::search) enum Operator {
    /// Is the value.
    Equal,
    /// Is another value.
    NotEqual,
    /// Contains the text.
    Contains,
    /// Starts with the text.
    StartsWith,
    /// Ends with the text.
    EndsWith,
    /// Lies above.
    Greater,
    /// Lies below.
    Less,
    /// Lies above, or is the value.
    GreaterOrEqual,
    /// Lies below, or is the value.
    LessOrEqual,
    /// Is about the value.
    About,
    /// Starts after the value.
    StartsAfter,
    /// Ends before the value.
    EndsBefore,
    /// Whether there is a value.
    Present,
    /// Overlaps the period.
    Overlaps,
    /// Is subsumed by the concept.
    Subsumes,
    /// Subsumes the concept.
    SubsumedBy,
    /// Is in the value set.
    In,
    /// Points to the URL.
    Reference,
}

const OPERATORS: [(&str, Operator); 18] = [
    ("eq", Operator::Equal),
    ("ne", Operator::NotEqual),
    ("co", Operator::Contains),
    ("sw", Operator::StartsWith),
    ("ew", Operator::EndsWith),
    ("gt", Operator::Greater),
    ("lt", Operator::Less),
    ("ge", Operator::GreaterOrEqual),
    ("le", Operator::LessOrEqual),
    ("ap", Operator::About),
    ("sa", Operator::StartsAfter),
    ("eb", Operator::EndsBefore),
    ("pr", Operator::Present),
    ("po", Operator::Overlaps),
    ("ss", Operator::Subsumes),
    ("sb", Operator::SubsumedBy),
    ("in", Operator::In),
    ("re", Operator::Reference),
];

/// Operators on values that have an order.
const ORDERED: [Operator; 9] = [
    Operator::Equal,
    Operator::NotEqual,
    Operator::Greater,
    Operator::Less,
    Operator::GreaterOrEqual,
    Operator::LessOrEqual,
    Operator::About,
    Operator::StartsAfter,
    Operator::EndsBefore,
];

/// What is expected where an operator belongs.
pub(super) const EXPECTED: &str =
    "an operator: eq, ne, co, sw, ew, gt, lt, ge, le, ap, sa, eb, pr, po, ss, sb, in or re";

impl Operator {
    /// The operator of this name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        OPERATORS.iter().find(|(known, _)| *known == name).map(|(_, operator)| *operator)
    }

    /// Its name.
    pub(super) fn as_str(self) -> &'static str {
        OPERATORS.iter().find(|(_, operator)| *operator == self).map_or("", |(name, _)| name)
    }

    /// The condition that a comparison with a parameter means.
    ///
    /// # Errors
    /// When the operator says nothing about this type of parameter, or the value does not fit it.
    pub(in crate::fhir::search) fn condition(
        self,
        subject: Subject<'_>,
        value: &str,
    ) -> Result<Condition, SearchError> {
        let parameter = subject.parameter;
        if self == Self::Present {
            return self.presence(subject, value);
        }
        let compared = match (parameter.kind, Special::of(parameter)) {
            (_, Some(Special::FirstEntry(_))) | (ParameterKind::Reference, _) => self.reference(subject, value),
            (_, Some(_)) | (ParameterKind::Special, _) => {
                (self == Self::Equal).then(|| subject.alternative(Modifier::None, value))
            }
            (ParameterKind::Composite, _) if self == Self::Equal => return subject.criterion(None, value),
            (ParameterKind::Composite, _) => None,
            (ParameterKind::Token, _) => self.token(subject, value),
            (ParameterKind::String, _) => self.text(subject, value),
            (ParameterKind::Uri, _) => self.uri(subject, value),
            (ParameterKind::Date | ParameterKind::Number | ParameterKind::Quantity, _) => self.ordered(subject, value),
        };
        let condition = compared.ok_or_else(|| {
            let reason = if self == Self::NotEqual {
                "that one of several values differs says little; write `not (... eq ...)`"
            } else {
                "the operator does not fit this parameter"
            };
            self.unsupported(subject, reason)
        })?;
        condition.map_err(|bad| bad.of(&parameter.code, value))
    }

    fn unsupported(self, subject: Subject<'_>, reason: &'static str) -> SearchError {
        SearchError::Unsupported { name: format!("{} {} ...", subject.parameter.code, self.as_str()), reason }
    }

    fn presence(self, subject: Subject<'_>, value: &str) -> Result<Condition, SearchError> {
        let missing = match value {
            "true" => "false",
            "false" => "true",
            other => other,
        };
        subject
            .modifier(Some("missing"))
            .map_err(|_unknown| self.unsupported(subject, "whether there is a value is not known of this parameter"))?;
        subject.criterion(Some("missing"), missing)
    }

    fn reference(self, subject: Subject<'_>, value: &str) -> Option<Result<Condition, BadValue>> {
        matches!(self, Self::Equal | Self::Reference).then(|| subject.alternative(Modifier::None, value))
    }

    /// What subsumes is above, what is subsumed below.
    fn token(self, subject: Subject<'_>, value: &str) -> Option<Result<Condition, BadValue>> {
        let modifiers = [
            (Self::Equal, None),
            (Self::Subsumes, Some("below")),
            (Self::SubsumedBy, Some("above")),
            (Self::In, Some("in")),
        ];
        let modifier = self.meaning(&modifiers)?;
        Some(subject.alternative(subject.modifier(modifier).ok()?, value))
    }

    fn uri(self, subject: Subject<'_>, value: &str) -> Option<Result<Condition, BadValue>> {
        let modifier = self.meaning(&[(Self::Equal, Modifier::None), (Self::StartsWith, Modifier::Below)])?;
        Some(subject.alternative(modifier, value))
    }

    fn text(self, subject: Subject<'_>, value: &str) -> Option<Result<Condition, BadValue>> {
        let mode = self.meaning(&[
            (Self::Equal, TextMode::Whole),
            (Self::Contains, TextMode::Contains),
            (Self::StartsWith, TextMode::StartsWith),
            (Self::EndsWith, TextMode::EndsWith),
        ])?;
        Some(string::test(value, mode).map(|test| Condition::Has(subject.parameter.code.clone(), test)))
    }

    fn ordered(self, subject: Subject<'_>, value: &str) -> Option<Result<Condition, BadValue>> {
        let parameter = subject.parameter;
        let is_period = parameter.kind == ParameterKind::Date && parameter.code.as_ref() != "_lastUpdated";
        if self == Self::Overlaps && is_period {
            return Some(date::overlap(value).map(|test| Condition::Has(parameter.code.clone(), test)));
        }
        // These are named like the prefixes of values.
        ORDERED.contains(&self).then(|| subject.alternative(Modifier::None, &format!("{}{value}", self.as_str())))
    }

    fn meaning<T: Copy>(self, meanings: &[(Self, T)]) -> Option<T> {
        meanings.iter().find(|(operator, _)| *operator == self).map(|(_, meaning)| *meaning)
    }
}
