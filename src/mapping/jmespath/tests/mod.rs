mod bounds;
mod functions;
mod properties;
mod rules;
mod syntax;

use super::{FunctionFailure, Item, Query, Yield};
use crate::json::{Node, parse};
use crate::mapping::effort::Effort;

fn query(text: &str) -> Query {
    Query::parse(text).unwrap_or_else(|error| panic!("{text}: {error} at {:?}", error.column))
}

/// The result as text: `nothing`, a value as JSON, or the elements of a projection after `each`.
fn outcome(document: &Node<'_>, text: &str) -> Result<String, FunctionFailure> {
    query(text).evaluate(Item::Node(document), &Effort::full()).map(|outcome| shown(&outcome))
}

fn shown(outcome: &Yield<'_, '_>) -> String {
    match outcome {
        Yield::Nothing => "nothing".to_owned(),
        Yield::Value(value) => value.to_string(),
        Yield::Projection(values) => {
            format!("each [{}]", values.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
        }
    }
}

/// What an expression yields on a document.
#[track_caller]
fn check(document: &str, text: &str, expected: &str) {
    let document = parse(document.as_bytes()).unwrap();
    assert_eq!(outcome(&document, text).as_deref(), Ok(expected), "{text}");
}

/// What an expression yields whatever the document.
#[track_caller]
fn gives(text: &str, expected: &str) {
    check("{}", text, expected);
}

/// That a function fails, and which.
#[track_caller]
fn fails(document: &str, text: &str, function: &str) {
    let document = parse(document.as_bytes()).unwrap();
    let failure = outcome(&document, text).expect_err(text);
    assert_eq!(failure.function, function, "{text}: {failure}");
}

/// That a text is refused at load, where and why; the hint follows the message in brackets.
#[track_caller]
fn refused(text: &str, column: Option<usize>, expected: &str) {
    let error = Query::parse(text).expect_err(text);
    let hint = error.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
    assert_eq!(format!("{}{hint}", error.message), expected, "{text}");
    assert_eq!(error.column, column, "{text}");
}
