//! What an expression is once compiled.

use super::functions::Function;
use crate::json::Node;

/// One step of an evaluation, applied to the current value.
#[derive(Clone, Debug)]
pub(super) enum Expression {
    /// `@`
    Current,
    /// `name`
    Member(String),
    /// `[3]`, `[-1]`
    Element(i32),
    /// `[1:5:2]`, never with a step of 0
    Slice { start: Option<i32>, stop: Option<i32>, step: i32 },
    /// `` `...` ``, `'...'`
    Literal(Node<'static>),
    /// `a.b`, `a | b`: the second on the value of the first
    Then(Box<Expression>, Box<Expression>),
    /// `a || b`
    Or(Box<Expression>, Box<Expression>),
    /// `a && b`
    And(Box<Expression>, Box<Expression>),
    /// `!a`
    Not(Box<Expression>),
    /// `a == b` and its kin
    Compare(Box<Expression>, Comparison, Box<Expression>),
    /// The condition of a filter, and what becomes of an element that fulfils it
    Where(Box<Expression>, Box<Expression>),
    /// `a[*].b`, `a[?...].b`, `a.*.b`, `a[].b`, `a[1:].b`: the second on every element of the first
    Project(Box<Expression>, Box<Expression>),
    /// The elements of elements, before they are projected
    Flatten(Box<Expression>),
    /// The member values of an object, in document order, before they are projected
    MemberValues(Box<Expression>),
    /// `[a, b]`
    List(Vec<Expression>),
    /// `{a: b}`
    Hash(Vec<(String, Expression)>),
    /// `f(a, &b)`; the expression after `&` is an argument like the others
    Call(&'static Function, Vec<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Expression {
    pub(super) fn then(self, next: Self) -> Self {
        Self::Then(Box::new(self), Box::new(next))
    }

    /// Whether a boolean may come out for another reason than one in the document.
    pub(super) fn is_boolean(&self) -> bool {
        match self {
            Self::Compare(..) | Self::Not(_) => true,
            Self::Call(function, _) => function.is_test(),
            Self::Then(_, last) => last.is_boolean(),
            Self::Or(left, right) | Self::And(left, right) => left.is_boolean() || right.is_boolean(),
            Self::Literal(literal) => matches!(literal, Node::Bool(_)),
            Self::Current
            | Self::Member(_)
            | Self::Element(_)
            | Self::Slice { .. }
            | Self::Where(..)
            | Self::Project(..)
            | Self::Flatten(_)
            | Self::MemberValues(_)
            | Self::List(_)
            | Self::Hash(_) => false,
        }
    }

    /// Whether some function in it may refuse its arguments.
    pub(super) fn may_fail(&self) -> bool {
        match self {
            Self::Call(function, arguments) => function.may_fail() || arguments.iter().any(Self::may_fail),
            Self::Then(left, right)
            | Self::Or(left, right)
            | Self::And(left, right)
            | Self::Compare(left, _, right)
            | Self::Where(left, right)
            | Self::Project(left, right) => left.may_fail() || right.may_fail(),
            Self::Not(inner) | Self::Flatten(inner) | Self::MemberValues(inner) => inner.may_fail(),
            Self::List(elements) => elements.iter().any(Self::may_fail),
            Self::Hash(members) => members.iter().any(|(_, member)| member.may_fail()),
            Self::Current | Self::Member(_) | Self::Element(_) | Self::Slice { .. } | Self::Literal(_) => false,
        }
    }
}
