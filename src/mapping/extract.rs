//! One envelope against all device templates (rules DM-22 to DM-50, EV-1 to EV-8).
//!
//! The envelope exists once, as a tree that borrows from the payload; what a template sees is a view of it. A failure
//! concerns one token of one template and nothing else (DM-37).

use std::ops::ControlFlow;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::device::{DeviceTemplate, Expression, Need, Scope, ValueTemplate};
use super::jsonpath::Item;
use super::problem::TEMPLATE_EXPRESSION;
use super::text::{self, Text};
use super::timestamp;
use super::{Bound, Mappings};
use crate::json::{self, Node};
use crate::model::envelope::Envelope;
use crate::model::group::Period;
use crate::model::measurement::{Measurement, Property};

/// What an envelope yields. With neither measurements nor failures no template matched it (DM-48).
#[derive(Debug, Default)]
pub(crate) struct Extraction {
    /// Measurements, by template and then by token in document order (DM-23).
    pub(crate) measurements: Vec<Extracted>,
    /// What failed beside them.
    pub(crate) failures: Vec<Failure>,
}

/// A measurement and how long a span its Observation covers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Extracted {
    /// The measurement.
    pub(crate) measurement: Measurement,
    /// The period of the FHIR template for its type.
    pub(crate) period: Period,
}

/// Why an envelope, or one token of it, yields no measurement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Failure {
    /// Error code of section 11 of the mapping specification.
    pub(crate) code: &'static str,
    /// What is wrong and where. May quote the payload's member names, so it is stored but never logged.
    pub(crate) reason: String,
    /// Type name of the template and the line of what failed in it.
    pub(crate) template: Option<(String, usize)>,
}

const INVALID_FORMAT: &str = "InvalidDataFormatException";
const INCOMPATIBLE: &str = "IncompatibleDataException";
const TEMPLATE_NOT_FOUND: &str = "TemplateNotFoundException";

impl Mappings {
    /// Runs every template on one envelope.
    ///
    /// # Errors
    /// When the payload is not JSON (EV-4); nothing can be extracted then.
    pub(crate) fn extract(&self, envelope: &Envelope) -> Result<Extraction, Failure> {
        let root = envelope_node(envelope)?;
        let mut extraction = Extraction::default();
        for Bound { template, period } in &self.device {
            let run = Run { template, root: &root, ingested_at: envelope.enqueued_at };
            match period {
                Some(period) => run.extract(*period, &mut extraction),
                None => extraction.failures.extend(run.without_fhir_template()),
            }
        }
        Ok(extraction)
    }
}

/// The envelope as templates see it (EV-1).
fn envelope_node(envelope: &Envelope) -> Result<Node<'_>, Failure> {
    let properties = envelope.properties.iter().map(|(name, value)| (name.as_str().into(), node(value)));
    let system_properties = envelope.system_properties.iter().map(|(name, value)| (name.as_str().into(), node(value)));
    Ok(Node::Object(vec![
        ("Body".into(), body(&envelope.body)?),
        ("Properties".into(), Node::Object(properties.collect())),
        ("SystemProperties".into(), Node::Object(system_properties.collect())),
    ]))
}

fn body(payload: &[u8]) -> Result<Node<'_>, Failure> {
    if payload.is_empty() {
        return Ok(Node::Null);
    }
    let text = payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload);
    json::parse(text).map_err(|error| {
        let (line, column) = error.position();
        Failure {
            code: INVALID_FORMAT,
            reason: format!("the payload is not JSON (line {line}, column {column})"),
            template: None,
        }
    })
}

fn node(value: &Value) -> Node<'_> {
    match value {
        Value::Null => Node::Null,
        Value::Bool(value) => Node::Bool(*value),
        Value::Number(number) => Node::Number(number.as_str().into()),
        Value::String(text) => Node::String(text.as_str().into()),
        Value::Array(elements) => Node::Array(elements.iter().map(node).collect()),
        Value::Object(members) => {
            Node::Object(members.iter().map(|(name, value)| (name.as_str().into(), node(value))).collect())
        }
    }
}

/// One template on one envelope.
struct Run<'r, 'a> {
    template: &'r DeviceTemplate,
    root: &'r Node<'a>,
    ingested_at: Timestamp,
}

impl<'r, 'a> Run<'r, 'a> {
    fn extract(&self, period: Period, extraction: &mut Extraction) {
        let walked = self.template.type_match.path.select(Item::Node(self.root), &mut |token| {
            match self.measurement(token) {
                Ok(measurement) => extraction.measurements.push(Extracted { measurement, period }),
                Err(fault) => extraction.failures.push(self.failure(fault, token)),
            }
            ControlFlow::Continue(())
        });
        debug_assert!(walked.is_continue(), "no token breaks the walk off");
    }

    /// One failure however many tokens match, because it is the mapping that lacks something (ER-7).
    fn without_fhir_template(&self) -> Option<Failure> {
        let matches =
            self.template.type_match.path.select(Item::Node(self.root), &mut |_| ControlFlow::Break(())).is_break();
        matches.then(|| Failure {
            code: TEMPLATE_NOT_FOUND,
            reason: format!(
                "no FHIR template exists for measurement type {}; add one to the FHIR mapping",
                self.template.type_name
            ),
            template: Some((self.template.type_name.to_string(), self.template.line)),
        })
    }

    /// Evaluates in the order of DM-36, so the first failure is the one reported.
    fn measurement(&self, token: Item<'_, 'a>) -> Result<Measurement, Fault> {
        let scope = match (self.template.scope, token.node()) {
            (Scope::ExtendedEnvelope, Some(token)) => Item::Extended { envelope: self.root, token },
            (Scope::ExtendedEnvelope | Scope::Token, _) => token,
        };
        let template = self.template;
        let device_id = required(&template.device_id, "device id", scope)?.into_owned();
        let occurred_at = occurred_at(&template.timestamps, scope)?;
        let correlation_id = template.correlation_id.as_ref();
        let correlation_id =
            correlation_id.map(|expression| required(expression, "correlation id", scope)).transpose()?;
        let patient_id = optional(template.patient_id.as_ref(), "patient id", scope)?;
        let encounter_id = optional(template.encounter_id.as_ref(), "encounter id", scope)?;
        Ok(Measurement {
            measurement_type: Arc::clone(&template.type_name),
            occurred_at,
            ingested_at: self.ingested_at,
            device_id,
            patient_id,
            encounter_id,
            correlation_id: correlation_id.map(Into::into),
            properties: properties(&template.values, scope)?,
        })
    }

    fn failure(&self, fault: Fault, token: Item<'_, 'a>) -> Failure {
        let place = token.node().and_then(|token| path_to(token, self.root)).unwrap_or_else(|| "$".to_owned());
        Failure {
            code: fault.code,
            reason: format!("{} (token {place}, mapping line {})", fault.reason, fault.line),
            template: Some((self.template.type_name.to_string(), fault.line)),
        }
    }
}

/// Why one token yields no measurement.
struct Fault {
    code: &'static str,
    reason: String,
    line: usize,
}

fn properties(values: &[ValueTemplate], scope: Item<'_, '_>) -> Result<Vec<Property>, Fault> {
    let mut properties = Vec::with_capacity(values.len());
    for value in values {
        let text = match value.need {
            Need::Required => Some(required(&value.expression, &value.name, scope)?.into_owned()),
            Need::Optional => optional(Some(&value.expression), &value.name, scope)?,
        };
        properties.extend(text.map(|text| Property { name: Arc::clone(&value.name), value: text }));
    }
    Ok(properties)
}

fn selected<'n, 'a>(expression: &Expression, what: &str, scope: Item<'n, 'a>) -> Result<Option<Item<'n, 'a>>, Fault> {
    expression.path.single(scope).map_err(|super::jsonpath::SeveralSelected| Fault {
        code: TEMPLATE_EXPRESSION,
        reason: format!("the expression for {what} selects several values, at most one is allowed"),
        line: expression.line,
    })
}

/// A text that must be there and not be blank (DM-30, DM-31).
fn required<'n>(expression: &Expression, what: &str, scope: Item<'n, '_>) -> Result<std::borrow::Cow<'n, str>, Fault> {
    let reason = match selected(expression, what, scope)?.map(text::of) {
        Some(Text::Scalar(text)) if !text.trim().is_empty() => return Ok(text),
        Some(Text::Scalar(_)) => "is blank",
        Some(Text::Null) => "is null",
        Some(Text::Unconvertible) => "is no text, number or boolean",
        None => "was not found",
    };
    Err(Fault { code: INCOMPATIBLE, reason: format!("the required {what} {reason}"), line: expression.line })
}

/// A text that may be missing; blank and unconvertible ones are (DM-30, DM-31, DM-34).
fn optional(expression: Option<&Expression>, what: &str, scope: Item<'_, '_>) -> Result<Option<String>, Fault> {
    let Some(expression) = expression else {
        return Ok(None);
    };
    Ok(match selected(expression, what, scope)?.map(text::of) {
        Some(Text::Scalar(text)) if !text.trim().is_empty() => Some(text.into_owned()),
        Some(Text::Scalar(_) | Text::Null | Text::Unconvertible) | None => None,
    })
}

/// The first of the expressions that selects a text which is a time (DM-33, DM-39, DM-43).
fn occurred_at(expressions: &[Expression], scope: Item<'_, '_>) -> Result<Timestamp, Fault> {
    let mut line = 0;
    for expression in expressions {
        line = expression.line;
        let text = selected(expression, "timestamp", scope)?.and_then(Item::node).and_then(Node::as_str);
        if let Some(at) = text.and_then(timestamp::parse) {
            return Ok(at);
        }
    }
    Err(Fault {
        code: INCOMPATIBLE,
        reason: "the timestamp expression selects nothing that is a date and time text".to_owned(),
        line,
    })
}

/// Where a token stands in the envelope, found by identity.
fn path_to(token: &Node<'_>, within: &Node<'_>) -> Option<String> {
    if std::ptr::eq(token, within) {
        return Some("$".to_owned());
    }
    let below_member = within.members().iter().find_map(|(name, value)| {
        let path = path_to(token, value)?;
        Some(format!("$.{name}{}", path.trim_start_matches('$')))
    });
    below_member.or_else(|| {
        within.elements().iter().enumerate().find_map(|(index, value)| {
            let path = path_to(token, value)?;
            Some(format!("$[{index}]{}", path.trim_start_matches('$')))
        })
    })
}
