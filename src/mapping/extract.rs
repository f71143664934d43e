//! One envelope against the device templates that can match it (rules DM-22 to DM-50, EV-1 to EV-8).
//!
//! The envelope exists once, as a tree that borrows from the payload; what a template sees is a view of it. A failure
//! concerns one token of one template and nothing else (DM-37).

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value as Json;

use super::device::{DeviceTemplate, Need, Scope, ValueTemplate};
use super::effort::Effort;
use super::expression::{Expression, Unresolved, Value};
use super::jsonpath::Item;
use super::problem::TEMPLATE_EXPRESSION;
use super::source::Position;
use super::text::{self, Text};
use super::timestamp;
use super::token_path::{self, Token};
use super::{Bound, Mappings, Payloads};
use crate::json::{self, DEPTH_MAX, Node};
use crate::model::envelope::Envelope;
use crate::model::group::Period;
use crate::model::measurement::{Measurement, Property};

/// What an envelope yields. With neither measurements nor failures no template matched it (DM-48).
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Extraction {
    /// Measurements, by template and then by token in document order (DM-23).
    pub(crate) measurements: Vec<Extracted>,
    /// What failed beside them, `FAILURES_TOLD_MAX` at most one by one.
    pub(crate) failures: Vec<Failure>,
    /// Optional values that are left out because a function failed (JM-21), as many at most.
    pub(crate) warnings: Vec<Failure>,
    /// How many values are left out so, with those not told.
    pub(crate) omitted: u64,
}

/// Failures of one message that are told one by one; a last one counts the others. Each becomes a dead letter that holds
/// the whole message, and a message may have hundreds of thousands of bad rows.
pub(crate) const FAILURES_TOLD_MAX: usize = 100;

impl Extraction {
    /// Measurements with the period of their type, and all failures: of a type without FHIR template there is one however
    /// many tokens matched, because it is the mapping that lacks something (ER-7).
    pub(crate) fn into_bound(self) -> (Vec<(Measurement, Period)>, Vec<Failure>) {
        let mut failures = self.failures;
        let mut bound = Vec::with_capacity(self.measurements.len());
        let mut unbound: HashSet<Arc<str>> = HashSet::new();
        for Extracted { measurement, period, template_at } in self.measurements {
            match period {
                Some(period) => bound.push((measurement, period)),
                None if unbound.contains(&measurement.measurement_type) => {}
                None => {
                    failures.push(template_not_found(&measurement.measurement_type, template_at));
                    unbound.insert(measurement.measurement_type);
                }
            }
        }
        (bound, failures)
    }
}

impl Extraction {
    /// As `into_bound`, but a type without FHIR template is no failure yet: what it measured goes on as if it were single,
    /// once for each identity, because who it is about comes first (ID-17). Delivery tells what is missing.
    pub(crate) fn into_groupable(self) -> (Vec<(Measurement, Period)>, Vec<Failure>) {
        let mut unbound = HashSet::new();
        let mut groupable = Vec::with_capacity(self.measurements.len());
        for Extracted { measurement, period, .. } in self.measurements {
            let identity = |one: &Measurement| {
                let ids = (one.device_id.clone(), one.patient_id.clone(), one.encounter_id.clone());
                (Arc::clone(&one.measurement_type), ids)
            };
            match period {
                Some(period) => groupable.push((measurement, period)),
                None if unbound.insert(identity(&measurement)) => groupable.push((measurement, Period::Single)),
                None => {}
            }
        }
        (groupable, self.failures)
    }
}

fn template_not_found(measurement_type: &str, at: Position) -> Failure {
    Failure {
        code: TEMPLATE_NOT_FOUND,
        reason: format!("no FHIR template exists for measurement type {measurement_type}; add one to the FHIR mapping"),
        template: Some((measurement_type.to_owned(), at)),
    }
}

/// A measurement and how long a span its Observation covers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Extracted {
    /// The measurement.
    pub(crate) measurement: Measurement,
    /// The period of the FHIR template for its type; `None` when there is none.
    pub(crate) period: Option<Period>,
    /// Where the device template stands in its file.
    pub(crate) template_at: Position,
}

/// Why an envelope, or one token of it, yields no measurement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Failure {
    /// Error code of section 11 of the mapping specification.
    pub(crate) code: &'static str,
    /// What is wrong and where. May quote the payload's member names, so it is stored but never logged.
    pub(crate) reason: String,
    /// Type name of the template and the place of what failed in it.
    pub(crate) template: Option<(String, Position)>,
}

impl Failure {
    /// The reason, led by line and position where they are known (DM-47).
    pub(crate) fn message(&self) -> String {
        match &self.template {
            Some((_, at)) => format!("{}{}", at.prefix(), self.reason),
            None => self.reason.clone(),
        }
    }
}

const INVALID_FORMAT: &str = "InvalidDataFormatException";
const INCOMPATIBLE: &str = "IncompatibleDataException";
const TEMPLATE_NOT_FOUND: &str = "TemplateNotFoundException";
const EXPRESSION_FUNCTION: &str = "ExpressionFunctionException";
const NORMALIZATION_FAILED: &str = "NormalizationDataMappingException";

impl Mappings {
    /// Runs every template that can match on one envelope.
    ///
    /// # Errors
    /// When the payload is not JSON (EV-4); nothing can be extracted then.
    pub(crate) fn extract(&self, envelope: &Envelope) -> Result<Extraction, Failure> {
        let root = envelope_node(envelope, self.payloads)?;
        Ok(self.run(self.index.candidates(&root), &root, envelope.enqueued_at))
    }

    /// As `extract`, without the index.
    ///
    /// # Errors
    /// As `extract`.
    #[cfg(test)]
    pub(super) fn extract_with_every_template(&self, envelope: &Envelope) -> Result<Extraction, Failure> {
        let root = envelope_node(envelope, self.payloads)?;
        Ok(self.run((0..self.device.len()).collect(), &root, envelope.enqueued_at))
    }

    fn run(&self, templates: Vec<usize>, root: &Node<'_>, ingested_at: Timestamp) -> Extraction {
        let mut findings = Findings::default();
        for Bound { template, period } in templates.into_iter().filter_map(|at| self.device.get(at)) {
            Run { template, period: *period, root, ingested_at, effort: Effort::full() }.extract(&mut findings);
        }
        findings.into_extraction(root)
    }
}

/// What the templates found so far, places of failures not yet looked up.
#[derive(Default)]
pub(super) struct Findings<'t> {
    measurements: Vec<Extracted>,
    failures: Faults<'t>,
    doubts: Faults<'t>,
}

impl Findings<'_> {
    /// Them all, with the places of what failed looked up.
    pub(super) fn into_extraction(self, root: &Node<'_>) -> Extraction {
        Extraction {
            measurements: self.measurements,
            omitted: self.doubts.count,
            failures: self.failures.into_failures(root, "failures in this message"),
            warnings: self.doubts.into_failures(root, "values of this message left out for such reasons"),
        }
    }
}

/// Faults in the order in which they occurred; of those beyond `FAILURES_TOLD_MAX` the number.
#[derive(Default)]
struct Faults<'t> {
    told: Vec<(&'t DeviceTemplate, Fault, Option<Token>)>,
    count: u64,
}

impl<'t> Faults<'t> {
    fn add(&mut self, template: &'t DeviceTemplate, fault: Fault, token: Option<Token>) {
        self.count += 1;
        if self.told.len() < FAILURES_TOLD_MAX {
            self.told.push((template, fault, token));
        }
    }

    fn into_failures(self, root: &Node<'_>, of_others: &str) -> Vec<Failure> {
        let paths = token_path::of(self.told.iter().filter_map(|(_, _, token)| *token), root);
        let untold = self.count - u64::try_from(self.told.len()).unwrap_or(u64::MAX);
        let told = self.told.into_iter().map(|(template, fault, token)| {
            // A token that an expression computed stands nowhere in the envelope.
            let place = token.map(|token| paths.get(&token).map_or("computed", String::as_str));
            let place = place.map(|path| format!(" (token {path})")).unwrap_or_default();
            let template = Some((template.type_name.to_string(), fault.at));
            Failure { code: fault.code, reason: format!("{}{place}", fault.reason), template }
        });
        let others = (untold > 0).then(|| Failure {
            code: NORMALIZATION_FAILED,
            reason: format!("{untold} more {of_others}, which are not told one by one"),
            template: None,
        });
        told.chain(others).collect()
    }
}

/// The envelope as templates see it (EV-1).
pub(super) fn envelope_node(envelope: &Envelope, payloads: Payloads) -> Result<Node<'_>, Failure> {
    let properties = envelope.properties.iter().map(|(name, value)| (name.as_str().into(), node(value)));
    let system_properties = envelope.system_properties.iter().map(|(name, value)| (name.as_str().into(), node(value)));
    Ok(Node::Object(vec![
        ("Body".into(), body(&envelope.body, payloads)?),
        ("Properties".into(), Node::Object(properties.collect())),
        ("SystemProperties".into(), Node::Object(system_properties.collect())),
    ]))
}

fn body(payload: &[u8], payloads: Payloads) -> Result<Node<'_>, Failure> {
    if payload.is_empty() {
        return Ok(Node::Null);
    }
    let text = payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload);
    let parsed = match payloads {
        Payloads::Strict => json::parse(text).map_err(|error| (error.position(), error.is_too_deep())),
        Payloads::Lax => json::parse_lax(text).map_err(|error| ((error.line, error.column), error.is_too_deep)),
    };
    parsed.map_err(|((line, column), is_too_deep)| {
        let what = if is_too_deep { format!("nests deeper than {DEPTH_MAX}") } else { "is not JSON".to_owned() };
        let reason = format!("the payload {what} (line {line}, column {column})");
        Failure { code: INVALID_FORMAT, reason, template: None }
    })
}

fn node(value: &Json) -> Node<'_> {
    match value {
        Json::Null => Node::Null,
        Json::Bool(value) => Node::Bool(*value),
        Json::Number(number) => Node::Number(number.as_str().into()),
        Json::String(text) => Node::String(text.as_str().into()),
        Json::Array(elements) => Node::Array(elements.iter().map(node).collect()),
        Json::Object(members) => {
            Node::Object(members.iter().map(|(name, value)| (name.as_str().into(), node(value))).collect())
        }
    }
}

/// One template on one envelope.
pub(super) struct Run<'t, 'r, 'a> {
    pub(super) template: &'t DeviceTemplate,
    pub(super) period: Option<Period>,
    pub(super) root: &'r Node<'a>,
    pub(super) ingested_at: Timestamp,
    /// What all of its expressions may do on the envelope.
    pub(super) effort: Effort,
}

impl<'t> Run<'t, '_, '_> {
    fn extract(&self, findings: &mut Findings<'t>) {
        let matched = self.template.type_match.tokens(self.root, &self.effort, &mut |token| {
            self.token(token, findings);
            ControlFlow::Continue(())
        });
        if let Err(unresolved) = matched {
            self.unmatched(unresolved, findings);
        }
    }

    /// Notes what one token yields.
    pub(super) fn token(&self, token: &Node<'_>, findings: &mut Findings<'t>) {
        let template = self.template;
        let mut doubts = Vec::new();
        let at = Some(Token::of(token));
        match self.measurement(token, &mut doubts) {
            Ok(measurement) => {
                findings.measurements.push(Extracted { measurement, period: self.period, template_at: template.at });
            }
            Err(fault) => findings.failures.add(template, fault, at),
        }
        doubts.into_iter().for_each(|fault| findings.doubts.add(template, fault, at));
    }

    /// Notes why the type match itself failed.
    pub(super) fn unmatched(&self, unresolved: Unresolved, findings: &mut Findings<'t>) {
        let fault = Fault::unresolved(unresolved, "the type match", &self.template.type_match);
        findings.failures.add(self.template, fault, None);
    }

    /// Evaluates in the order of DM-36, so the first failure is the one reported.
    fn measurement(&self, token: &Node<'_>, doubts: &mut Vec<Fault>) -> Result<Measurement, Fault> {
        let template = self.template;
        let document = template.scope.document(self.root, token);
        let mut evaluation = Evaluation { document, effort: &self.effort, doubts };
        let device_id = evaluation.required(&template.device_id, "device id")?;
        let occurred_at = evaluation.occurred_at(&template.timestamps)?;
        let correlation_id = template.correlation_id.as_ref();
        let correlation_id =
            correlation_id.map(|expression| evaluation.required(expression, "correlation id")).transpose()?;
        let patient_id = evaluation.optional(template.patient_id.as_ref(), "patient id")?;
        let encounter_id = evaluation.optional(template.encounter_id.as_ref(), "encounter id")?;
        Ok(Measurement {
            measurement_type: Arc::clone(&template.type_name),
            occurred_at,
            ingested_at: self.ingested_at,
            device_id,
            patient_id,
            encounter_id,
            correlation_id,
            properties: evaluation.properties(&template.values)?,
        })
    }
}

impl Scope {
    /// What the expressions of a template run on for a token (DM-24, DM-38).
    pub(super) fn document<'n, 'a>(self, root: &'n Node<'a>, token: &'n Node<'a>) -> Item<'n, 'a> {
        match self {
            Self::ExtendedEnvelope => Item::Extended { envelope: root, token },
            Self::Token => Item::Node(token),
        }
    }
}

/// Why one token yields no measurement, or an incomplete one.
struct Fault {
    code: &'static str,
    reason: String,
    at: Position,
}

impl Fault {
    fn unresolved(unresolved: Unresolved, what: &str, expression: &Expression) -> Self {
        let (code, reason) = match unresolved {
            Unresolved::Several => (
                TEMPLATE_EXPRESSION,
                format!("the expression for {what} selects several values, at most one is allowed"),
            ),
            Unresolved::TooMuchWork => (
                TEMPLATE_EXPRESSION,
                format!("the expression for {what} takes too much work on a message of this size"),
            ),
            Unresolved::Function { function, reason } => {
                (EXPRESSION_FUNCTION, format!("function {function} in the expression for {what}: {reason}"))
            }
        };
        Self { code, reason, at: expression.at() }
    }
}

/// The expressions of a template on what they see of one token.
struct Evaluation<'e, 'n, 'a> {
    document: Item<'n, 'a>,
    effort: &'e Effort,
    /// What was left out and why.
    doubts: &'e mut Vec<Fault>,
}

impl<'n, 'a> Evaluation<'_, 'n, 'a> {
    /// A text that must be there and not be blank (DM-30, DM-31).
    fn required(&self, expression: &Expression, what: &str) -> Result<String, Fault> {
        let value = expression.single(self.document, self.effort);
        let value = value.map_err(|unresolved| Fault::unresolved(unresolved, what, expression))?;
        let reason = match value.as_ref().map(text::of) {
            Some(Text::Scalar(text)) if !text.trim().is_empty() => return Ok(text.into_owned()),
            Some(Text::Scalar(_)) => "is blank",
            Some(Text::Null) => "is null",
            Some(Text::Unconvertible) => "is no text, number or boolean",
            None => "was not found",
        };
        Err(Fault { code: INCOMPATIBLE, reason: format!("the required {what} {reason}"), at: expression.at() })
    }

    /// A text that may be missing; blank and unconvertible ones are (DM-30, DM-31, DM-34), and those of a function that
    /// fails (JM-21).
    fn optional(&mut self, expression: Option<&Expression>, what: &str) -> Result<Option<String>, Fault> {
        let Some(expression) = expression else {
            return Ok(None);
        };
        let value = match expression.single(self.document, self.effort) {
            Ok(value) => value,
            Err(function @ Unresolved::Function { .. }) => {
                self.doubts.push(Fault::unresolved(function, what, expression));
                None
            }
            Err(other @ (Unresolved::Several | Unresolved::TooMuchWork)) => {
                return Err(Fault::unresolved(other, what, expression));
            }
        };
        Ok(match value.as_ref().map(text::of) {
            Some(Text::Scalar(text)) if !text.trim().is_empty() => Some(text.into_owned()),
            Some(Text::Scalar(_) | Text::Null | Text::Unconvertible) | None => None,
        })
    }

    /// The first of the expressions that gives a text which is a time (DM-33, DM-39, DM-43).
    fn occurred_at(&self, expressions: &[Expression]) -> Result<Timestamp, Fault> {
        let mut at = Position::default();
        for expression in expressions {
            at = expression.at();
            let value = expression.single(self.document, self.effort);
            let value = value.map_err(|unresolved| Fault::unresolved(unresolved, "timestamp", expression))?;
            let text = value.as_ref().and_then(Value::node).and_then(Node::as_str);
            if let Some(occurred_at) = text.and_then(timestamp::parse) {
                return Ok(occurred_at);
            }
        }
        let reason = "the timestamp expression gives nothing that is a date and time text".to_owned();
        Err(Fault { code: INCOMPATIBLE, reason, at })
    }

    fn properties(&mut self, values: &[ValueTemplate]) -> Result<Vec<Property>, Fault> {
        let mut properties = Vec::with_capacity(values.len());
        for value in values {
            let text = match value.need {
                Need::Required => Some(self.required(&value.expression, &value.name)?),
                Need::Optional => self.optional(Some(&value.expression), &value.name)?,
            };
            properties.extend(text.map(|text| Property { name: Arc::clone(&value.name), value: text }));
        }
        Ok(properties)
    }
}
