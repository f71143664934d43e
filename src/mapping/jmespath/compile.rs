//! The syntax tree of the parser to an expression of ours, and its errors to sentences.

use std::cell::Cell;

use jmespath::ast::{Ast, Comparator};
use jmespath::{ErrorReason, JmespathError};

use super::expression::{Comparison, Expression};
use super::functions::{self, Function};
use super::{QueryError, scan};
use crate::json::{self, Node};

/// Deepest nesting of function calls.
pub(super) const CALLS_DEEP_MAX: usize = 64;

/// Parses and compiles.
pub(super) fn expression(text: &str) -> Result<Expression, QueryError> {
    scan::check(text)?;
    let ast = jmespath::parse(text).map_err(|error| not_parsed(text, &error))?;
    Compiler { text, calls_deep: Cell::new(0) }.compile(&ast)
}

struct Compiler<'t> {
    text: &'t str,
    calls_deep: Cell<usize>,
}

impl Compiler<'_> {
    fn compile(&self, ast: &Ast) -> Result<Expression, QueryError> {
        Ok(match ast {
            Ast::Identity { .. } => Expression::Current,
            Ast::Field { name, .. } => Expression::Member(name.clone()),
            Ast::Index { idx, .. } => Expression::Element(*idx),
            Ast::Slice { offset, step: 0, .. } => return Err(self.error(*offset, "the step of a slice cannot be 0")),
            Ast::Slice { start, stop, step, .. } => Expression::Slice { start: *start, stop: *stop, step: *step },
            Ast::Literal { offset, value } => Expression::Literal(self.literal(*offset, value)?),
            Ast::Subexpr { offset, lhs, rhs } => self.subexpression(*offset, lhs, rhs)?,
            Ast::Or { lhs, rhs, .. } => Expression::Or(self.boxed(lhs)?, self.boxed(rhs)?),
            Ast::And { lhs, rhs, .. } => Expression::And(self.boxed(lhs)?, self.boxed(rhs)?),
            Ast::Not { node, .. } => Expression::Not(self.boxed(node)?),
            Ast::Comparison { comparator, lhs, rhs, .. } => {
                Expression::Compare(self.boxed(lhs)?, comparison(comparator), self.boxed(rhs)?)
            }
            Ast::Condition { predicate, then, .. } => Expression::Where(self.boxed(predicate)?, self.boxed(then)?),
            Ast::Projection { lhs, rhs, .. } => {
                let then = self.boxed(rhs)?;
                self.continued(lhs, |source| Expression::Project(Box::new(source), then))?
            }
            Ast::Flatten { node, .. } => self.continued(node, |array| Expression::Flatten(Box::new(array)))?,
            Ast::ObjectValues { node, .. } => {
                self.continued(node, |object| Expression::MemberValues(Box::new(object)))?
            }
            Ast::MultiList { elements, .. } => {
                Expression::List(elements.iter().map(|element| self.compile(element)).collect::<Result<_, _>>()?)
            }
            Ast::MultiHash { elements, .. } => {
                let member = |pair: &jmespath::ast::KeyValuePair| Ok((pair.key.clone(), self.compile(&pair.value)?));
                Expression::Hash(elements.iter().map(member).collect::<Result<_, QueryError>>()?)
            }
            Ast::Function { offset, name, args } => self.call(*offset, name, args)?,
            Ast::Expref { offset, .. } => {
                return Err(self.error(*offset, "`&` belongs before an argument of map, max_by, min_by or sort_by"));
            }
        })
    }

    fn boxed(&self, ast: &Ast) -> Result<Box<Expression>, QueryError> {
        self.compile(ast).map(Box::new)
    }

    fn subexpression(&self, offset: usize, first: &Ast, next: &Ast) -> Result<Expression, QueryError> {
        let next = self.compile(next)?;
        let is_pipe = self.text.as_bytes().get(offset) == Some(&b'|');
        if is_pipe { Ok(self.compile(first)?.then(next)) } else { self.continued(first, |first| first.then(next)) }
    }

    /// The parser reads `!a.b` as `(!a).b`, which is always null; nobody means that. What continues a negated value is
    /// part of what is negated.
    fn continued(
        &self,
        start: &Ast,
        continuation: impl FnOnce(Expression) -> Expression,
    ) -> Result<Expression, QueryError> {
        let start = self.compile(start)?;
        Ok(if let Expression::Not(inner) = start {
            Expression::Not(Box::new(continuation(*inner)))
        } else {
            continuation(start)
        })
    }

    fn call(&self, offset: usize, name: &str, arguments: &[Ast]) -> Result<Expression, QueryError> {
        // The offset is that of the bracket; spaces may stand before it.
        let before = self.text.get(..offset).unwrap_or_default().trim_end();
        let name_at = before.len().saturating_sub(name.len());
        let Some(function) = functions::named(name) else {
            let mut error = self.error(name_at, &format!("there is no function `{name}`"));
            error.hint = functions::similar(name).map(|similar| format!("did you mean `{similar}`?"));
            return Err(error);
        };
        if let Some(message) = function.miscounts(arguments.len()) {
            return Err(self.error(name_at, &message));
        }
        if self.calls_deep.get() >= CALLS_DEEP_MAX {
            return Err(self.error(name_at, &format!("functions nest at most {CALLS_DEEP_MAX} deep")));
        }
        self.calls_deep.set(self.calls_deep.get() + 1);
        let compiled = arguments.iter().enumerate().map(|(place, ast)| self.argument(function, place, name_at, ast));
        let compiled = compiled.collect::<Result<_, _>>()?;
        self.calls_deep.set(self.calls_deep.get() - 1);
        Ok(Expression::Call(function, compiled))
    }

    fn argument(&self, function: &Function, place: usize, at: usize, ast: &Ast) -> Result<Expression, QueryError> {
        match (function.takes_expression(place), ast) {
            (true, Ast::Expref { ast, .. }) => self.compile(ast),
            (true, _) => {
                let message =
                    format!("argument {} of `{}` is an expression, written with `&`", place + 1, function.name);
                Err(self.error(at, &message))
            }
            (false, ast) => self.compile(ast),
        }
    }

    /// JSON literals are read again from the text: the parser's numbers have lost their digits, its objects their order.
    fn literal(&self, offset: usize, parsed: &jmespath::Variable) -> Result<Node<'static>, QueryError> {
        if let Some(text) = parsed.as_string() {
            return Ok(Node::String(text.clone().into()));
        }
        let quoted = self.text.get(offset..).and_then(|rest| rest.strip_prefix('`')).unwrap_or_default();
        let mut escaped = false;
        let end = quoted.find(|character: char| {
            let closes = character == '`' && !escaped;
            escaped = character == '\\' && !escaped;
            closes
        });
        let json = quoted.get(..end.unwrap_or(quoted.len())).unwrap_or_default().replace("\\`", "`");
        let node = json::parse(json.as_bytes()).map_err(|_error| self.error(offset, "the literal is not JSON"))?;
        Ok(owned(&node))
    }

    fn error(&self, offset: usize, message: &str) -> QueryError {
        QueryError { message: message.to_owned(), column: Some(column(self.text, offset)), hint: None }
    }
}

fn owned(node: &Node<'_>) -> Node<'static> {
    match node {
        Node::Null => Node::Null,
        Node::Bool(truth) => Node::Bool(*truth),
        Node::Number(digits) => Node::Number(digits.to_string().into()),
        Node::String(text) => Node::String(text.to_string().into()),
        Node::Array(elements) => Node::Array(elements.iter().map(owned).collect()),
        Node::Object(members) => {
            Node::Object(members.iter().map(|(name, value)| (name.to_string().into(), owned(value))).collect())
        }
    }
}

fn comparison(comparator: &Comparator) -> Comparison {
    match comparator {
        Comparator::Equal => Comparison::Equal,
        Comparator::NotEqual => Comparison::NotEqual,
        Comparator::LessThan => Comparison::Less,
        Comparator::LessThanEqual => Comparison::LessOrEqual,
        Comparator::GreaterThan => Comparison::Greater,
        Comparator::GreaterThanEqual => Comparison::GreaterOrEqual,
    }
}

/// Counts characters from 1; `offset` counts bytes from 0.
fn column(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or(text).chars().count() + 1
}

/// The parser names its own tokens; people see characters.
fn not_parsed(text: &str, error: &JmespathError) -> QueryError {
    let rest = text.get(error.offset..).unwrap_or_default();
    let ErrorReason::Parse(reason) = &error.reason else {
        return QueryError { message: error.reason.to_string(), column: None, hint: None };
    };
    let found = rest.chars().next();
    let message = match (reason.split_once(" -- found "), found) {
        (Some(_), None) => "the expression ends too early".to_owned(),
        (Some((expected, _)), Some(found)) if expected.starts_with("Expected ") => {
            format!("{}, found `{found}`", expected.replacen("Expected", "expected", 1))
        }
        (Some(_), Some(found)) => format!("unexpected `{found}`"),
        (None, Some(found)) if reason.starts_with("Invalid character") => format!("unexpected `{found}`"),
        (None, _) => unreadable(reason),
    };
    QueryError { message, column: Some(column(text, error.offset)), hint: hint(text, error.offset, found) }
}

/// What the lexer says, without the text it quotes.
fn unreadable(reason: &str) -> String {
    let known = [
        ("Unclosed '", "the text in single quotes is not closed"),
        ("Unclosed \"", "the name in double quotes is not closed"),
        ("Unclosed `", "the literal is not closed"),
        ("Unable to parse literal", "the literal is not JSON"),
        ("Unable to parse quoted", "the name in double quotes is not a JSON string"),
        ("'=' is not valid", "`=` is no operator"),
        ("'-' must be", "`-` stands only before an index"),
        ("Expected valid number", "the index is too large"),
    ];
    let sentence = known.iter().find_map(|(start, sentence)| reason.starts_with(start).then_some(*sentence));
    sentence.map_or_else(|| reason.to_owned(), str::to_owned)
}

/// The usual confusions.
fn hint(text: &str, offset: usize, found: Option<char>) -> Option<String> {
    let hint = match found? {
        '$' => "the envelope is `@` or nothing here; `$` is JSONPath",
        '=' => "equality is `==`",
        '-' => "a name with a hyphen stands in double quotes, as in \"x-opt-offset\"; a number in backticks",
        '0'..='9' => "a number stands in backticks, as in `5`",
        '`' if text.get(offset..).is_some_and(|rest| !rest.contains('"')) => {
            "a text stands in single quotes, as in 'hr', or in backticks and double quotes"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}
