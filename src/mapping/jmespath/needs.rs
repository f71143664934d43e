//! Which member names a type match cannot do without, for the index of templates.
//!
//! The question is always: with no member of this name anywhere in the envelope, does the expression certainly come to
//! nothing, without failing on the way? A failure must be reported, so it is not nothing. Three kinds of nothing nest:
//! *missing*, *empty* (missing or an empty list, so no tokens), and *false* (what a filter does not let pass).

use std::collections::BTreeSet;

use super::expression::{Comparison, Expression};
use crate::json::Node;

type Names<'q> = BTreeSet<&'q str>;

/// What an expression must come to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nothing {
    Missing,
    Empty,
    False,
}

/// Where the value under evaluation comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The document: its members are members of the document.
    Document,
    /// A multi-select, a literal or a function: its members may have any name.
    Made,
}

pub(super) fn of(expression: &Expression) -> Names<'_> {
    without(expression, Origin::Document, Nothing::Empty)
}

/// Names without which an expression comes to `nothing`.
fn without(expression: &Expression, origin: Origin, nothing: Nothing) -> Names<'_> {
    let same = |part| without(part, origin, nothing);
    match expression {
        Expression::Member(name) if origin == Origin::Document => Names::from([name.as_str()]),
        Expression::Then(first, next) => then(first, next, origin, nothing),
        Expression::Or(left, right) if !left.may_fail() => {
            let left = without(left, origin, Nothing::False);
            left.intersection(&same(right)).copied().collect()
        }
        // What is false on the left is the result; only in a filter does it not matter which false it is.
        Expression::And(left, right) if nothing == Nothing::False && !left.may_fail() => {
            same(left).union(&same(right)).copied().collect()
        }
        Expression::And(left, _) => same(left),
        Expression::Where(condition, next) => {
            let mut names = without(condition, origin, Nothing::False);
            if !condition.may_fail() {
                names.append(&mut without(next, origin, Nothing::Missing));
            }
            names
        }
        Expression::Project(source, next) => project(source, next, origin, nothing),
        Expression::Flatten(source) => same(source),
        Expression::MemberValues(source) => without(source, origin, Nothing::Missing),
        Expression::Compare(left, comparison, right) => compared(left, *comparison, right, origin, nothing),
        Expression::Member(_)
        | Expression::Or(..)
        | Expression::Current
        | Expression::Element(_)
        | Expression::Slice { .. }
        | Expression::Literal(_)
        | Expression::Not(_)
        | Expression::List(_)
        | Expression::Hash(_)
        | Expression::Call(..) => Names::new(),
    }
}

fn then<'q>(first: &'q Expression, next: &'q Expression, origin: Origin, nothing: Nothing) -> Names<'q> {
    let mut names = if passes_empty(next) {
        without(first, origin, Nothing::Empty)
    } else if passes_missing(next) {
        without(first, origin, Nothing::Missing)
    } else {
        Names::new()
    };
    if !first.may_fail() {
        names.append(&mut without(next, origin_of(first, origin), nothing));
    }
    names
}

fn project<'q>(source: &'q Expression, next: &'q Expression, origin: Origin, nothing: Nothing) -> Names<'q> {
    if nothing == Nothing::Missing {
        return without(source, origin, Nothing::Missing);
    }
    let mut names = without(source, origin, Nothing::Empty);
    if !source.may_fail() {
        names.append(&mut without(next, origin_of(source, origin), Nothing::Missing));
    }
    names
}

/// What is missing has no order, and equals nothing but null.
fn compared<'q>(
    left: &'q Expression,
    comparison: Comparison,
    right: &'q Expression,
    origin: Origin,
    nothing: Nothing,
) -> Names<'q> {
    if left.may_fail() || right.may_fail() {
        return Names::new();
    }
    let missing = |side| without(side, origin, Nothing::Missing);
    let is_value = |side: &Expression| matches!(side, Expression::Literal(literal) if *literal != Node::Null);
    match comparison {
        Comparison::Less | Comparison::LessOrEqual | Comparison::Greater | Comparison::GreaterOrEqual => {
            missing(left).union(&missing(right)).copied().collect()
        }
        // The result is `false`, which is a token.
        Comparison::Equal if nothing != Nothing::False => Names::new(),
        Comparison::Equal if is_value(right) => missing(left),
        Comparison::Equal if is_value(left) => missing(right),
        Comparison::Equal | Comparison::NotEqual => Names::new(),
    }
}

/// Whether an expression finds nothing in what is missing.
fn passes_missing(expression: &Expression) -> bool {
    match expression {
        Expression::Current
        | Expression::Member(_)
        | Expression::Element(_)
        | Expression::Slice { .. }
        | Expression::List(_)
        | Expression::Hash(_) => true,
        Expression::Then(first, next) => passes_missing(first) && passes_missing(next),
        Expression::Or(left, right) => passes_missing(left) && passes_missing(right),
        Expression::And(left, _) => passes_missing(left),
        Expression::Project(source, _) | Expression::Flatten(source) | Expression::MemberValues(source) => {
            passes_missing(source)
        }
        Expression::Literal(_)
        | Expression::Not(_)
        | Expression::Compare(..)
        | Expression::Where(..)
        | Expression::Call(..) => false,
    }
}

/// Whether an expression finds nothing in what is missing and in an empty list alike.
fn passes_empty(expression: &Expression) -> bool {
    if let Expression::Then(first, next) = expression {
        return passes_empty(first) && passes_missing(next);
    }
    matches!(expression, Expression::Member(_) | Expression::Element(_))
}

/// Where the result of an expression comes from. Elements of a list count like the list.
fn origin_of(expression: &Expression, origin: Origin) -> Origin {
    match expression {
        Expression::Current | Expression::Member(_) | Expression::Element(_) | Expression::Slice { .. } => origin,
        Expression::Then(first, next) | Expression::Project(first, next) => origin_of(next, origin_of(first, origin)),
        Expression::Where(_, next) => origin_of(next, origin),
        Expression::Flatten(source) | Expression::MemberValues(source) => origin_of(source, origin),
        Expression::Or(left, right) | Expression::And(left, right) => {
            match (origin_of(left, origin), origin_of(right, origin)) {
                (Origin::Document, Origin::Document) => Origin::Document,
                _ => Origin::Made,
            }
        }
        Expression::Call(function, arguments) if function.keeps_members() => {
            arguments.first().map_or(Origin::Made, |argument| origin_of(argument, origin))
        }
        // A boolean has no members.
        Expression::Not(_) | Expression::Compare(..) => Origin::Document,
        Expression::Literal(_) | Expression::List(_) | Expression::Hash(_) | Expression::Call(..) => Origin::Made,
    }
}
