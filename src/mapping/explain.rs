//! One envelope against every device template, with all that happens on the way: why a template matched or did not,
//! and what each of its expressions gave.
//!
//! What is decided is decided by the functions that extract; here their steps are looked at one by one.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::device::{DeviceTemplate, Need};
use super::effort::Effort;
use super::expression::{Expression, Unresolved};
use super::extract::{Extraction, Failure, Findings, Run, envelope_node};
use super::jsonpath::Item;
use super::load::nearest;
use super::source::Position;
use super::text::{self, Text};
use super::token_path;
use super::{Bound, Mappings};
use crate::json::Node;
use crate::model::envelope::Envelope;

/// Tokens of one template that are looked at; further ones are counted.
pub(crate) const TOKENS_EXPLAINED_MAX: usize = 20;
/// Characters of a value that are shown.
const SHOWN_CHARACTERS_MAX: usize = 160;

/// What one template makes of an envelope.
#[derive(Debug)]
pub(crate) struct Explanation {
    /// Type of the measurements it yields.
    pub(crate) type_name: String,
    /// Type of the template, as it is written in mappings.
    pub(crate) template_type: &'static str,
    /// Where its body starts.
    pub(crate) at: Position,
    /// The expression that selects the tokens.
    pub(crate) type_match: Written,
    /// How many values each beginning of it selects, where its language is evaluated step by step.
    pub(crate) progress: Vec<Beginning>,
    /// How many tokens it selects.
    pub(crate) token_count: usize,
    /// The first of them, at most `TOKENS_EXPLAINED_MAX`.
    pub(crate) tokens: Vec<Token>,
    /// What the envelope lacks that it would need to match.
    pub(crate) lacks: Vec<String>,
    /// Why the type match itself failed.
    pub(crate) failure: Option<Failure>,
}

/// An expression as it is written.
#[derive(Debug)]
pub(crate) struct Written {
    /// The member that holds it, or the name of the value.
    pub(crate) name: String,
    /// Its text.
    pub(crate) text: String,
    /// Its language.
    pub(crate) language: String,
    /// Where it stands.
    pub(crate) at: Position,
}

/// A beginning of a path and how many values it selects.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Beginning {
    /// Its text.
    pub(crate) text: String,
    /// Values.
    pub(crate) count: usize,
}

/// A token and what came of it.
#[derive(Debug)]
pub(crate) struct Token {
    /// Where it stands in the envelope.
    pub(crate) path: String,
    /// It as JSON, perhaps cut short.
    pub(crate) shown: String,
    /// The other expressions of the template, in the order in which they are evaluated (DM-36).
    pub(crate) expressions: Vec<Evaluated>,
    /// The measurement, or why there is none.
    pub(crate) extraction: Extraction,
}

/// An expression and what it gave for a token.
#[derive(Debug)]
pub(crate) struct Evaluated {
    /// The expression.
    pub(crate) written: Written,
    /// What it gave.
    pub(crate) outcome: Outcome,
}

/// What an expression gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A value.
    Value {
        /// As JSON, perhaps cut short.
        selected: String,
        /// As the text it counts as (DM-29); `None` for what is no text, number or boolean.
        text: Option<String>,
    },
    /// Nothing; how far the expression got, where its language is evaluated step by step.
    Missing(Vec<Beginning>),
    /// More than one value, where at most one is allowed, or a failed function.
    Failed(String),
}

impl Mappings {
    /// Runs every template on an envelope, also those that cannot match it, in their order.
    ///
    /// # Errors
    /// When the payload is not JSON (EV-4).
    pub(crate) fn explain(&self, envelope: &Envelope) -> Result<Vec<Explanation>, Failure> {
        let root = envelope_node(envelope, self.payloads)?;
        let run = |bound: &Bound| {
            let Bound { template, period } = bound;
            let effort = Effort::full();
            explain(&Run { template, period: *period, root: &root, ingested_at: envelope.enqueued_at, effort })
        };
        Ok(self.device.iter().map(run).collect())
    }
}

fn explain(run: &Run<'_, '_, '_>) -> Explanation {
    let template = run.template;
    let (mut tokens, mut token_count) = (Vec::new(), 0);
    let matched = template.type_match.tokens(run.root, &run.effort, &mut |token| {
        token_count += 1;
        if tokens.len() < TOKENS_EXPLAINED_MAX {
            tokens.push(explain_token(run, token));
        }
        ControlFlow::Continue(())
    });
    Explanation {
        type_name: template.type_name.to_string(),
        template_type: template.template_type.name(),
        at: template.at,
        type_match: Written::of("typeMatchExpression", &template.type_match),
        progress: beginnings(&template.type_match, Item::Node(run.root)),
        token_count,
        tokens,
        lacks: if token_count == 0 { lacks(&template.type_match, run.root) } else { Vec::new() },
        failure: matched.err().and_then(|unresolved| {
            let mut findings = Findings::default();
            run.unmatched(unresolved, &mut findings);
            findings.into_extraction(run.root).failures.pop()
        }),
    }
}

fn explain_token(run: &Run<'_, '_, '_>, token: &Node<'_>) -> Token {
    let document = run.template.scope.document(run.root, token);
    let mut findings = Findings::default();
    run.token(token, &mut findings);
    let evaluated = |(name, expression): (String, &Expression)| Evaluated {
        written: Written::of(name, expression),
        outcome: outcome(expression, document),
    };
    Token {
        path: token_path::of_one(token, run.root).unwrap_or_else(|| "computed".to_owned()),
        shown: shown(token),
        expressions: expressions(run.template).into_iter().map(evaluated).collect(),
        extraction: findings.into_extraction(run.root),
    }
}

/// The expressions of a template besides its type match, with the names they have in mappings.
fn expressions(template: &DeviceTemplate) -> Vec<(String, &Expression)> {
    let mut expressions = vec![("deviceIdExpression".to_owned(), &template.device_id)];
    expressions.extend(template.timestamps.iter().map(|expression| ("timestampExpression".to_owned(), expression)));
    let ids = [
        ("correlationIdExpression", &template.correlation_id),
        ("patientIdExpression", &template.patient_id),
        ("encounterIdExpression", &template.encounter_id),
    ];
    expressions.extend(ids.into_iter().filter_map(|(name, id)| Some((name.to_owned(), id.as_ref()?))));
    expressions.extend(template.values.iter().map(|value| {
        let need = match value.need {
            Need::Required => "required value",
            Need::Optional => "value",
        };
        (format!("{need} `{}`", value.name), &value.expression)
    }));
    expressions
}

fn outcome(expression: &Expression, document: Item<'_, '_>) -> Outcome {
    match expression.single(document, &Effort::full()) {
        Ok(Some(value)) => Outcome::Value {
            selected: value.node().map_or_else(|| "the envelope with its matchedToken".to_owned(), shown),
            text: match text::of(&value) {
                Text::Scalar(text) => Some(text.into_owned()),
                Text::Null | Text::Unconvertible => None,
            },
        },
        Ok(None) => Outcome::Missing(beginnings(expression, document)),
        Err(Unresolved::Several) => {
            let count = beginnings(expression, document).last().map(|beginning| beginning.count);
            let several = count.map_or_else(|| "several".to_owned(), |count| count.to_string());
            Outcome::Failed(format!("selects {several} values, at most one is allowed"))
        }
        Err(Unresolved::TooMuchWork) => Outcome::Failed("takes too much work on a message of this size".to_owned()),
        Err(Unresolved::Function { function, reason }) => Outcome::Failed(format!("function {function}: {reason}")),
    }
}

fn beginnings(expression: &Expression, document: Item<'_, '_>) -> Vec<Beginning> {
    let progress = expression.progress(document).into_iter();
    progress.map(|(text, count)| Beginning { text: text.to_owned(), count }).collect()
}

/// What an expression needs and the envelope has nowhere, with the member that may have been meant.
fn lacks(expression: &Expression, root: &Node<'_>) -> Vec<String> {
    let mut names = BTreeSet::new();
    note_names(root, &mut names);
    let names: Vec<&str> = names.into_iter().collect();
    let mut lacks: Vec<String> = Vec::new();
    for feature in expression.features().iter().filter(|feature| !feature.is_in(root)) {
        let hint = nearest(feature.member(), &names).filter(|_| !names.contains(&feature.member()));
        let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
        let lacking = format!("{feature}{hint}");
        if !lacks.contains(&lacking) {
            lacks.push(lacking);
        }
    }
    lacks
}

fn note_names<'n>(node: &'n Node<'_>, names: &mut BTreeSet<&'n str>) {
    for (name, value) in node.members() {
        names.insert(name);
        note_names(value, names);
    }
    node.elements().iter().for_each(|element| note_names(element, names));
}

/// A value as JSON, cut short.
fn shown(node: &Node<'_>) -> String {
    let mut text = node.to_string();
    if let Some((end, _)) = text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}

impl Written {
    fn of(name: impl Into<String>, expression: &Expression) -> Self {
        Self {
            name: name.into(),
            text: expression.text().to_owned(),
            language: format!("{:?}", expression.language()),
            at: expression.at(),
        }
    }
}
