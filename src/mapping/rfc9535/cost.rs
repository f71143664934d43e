//! Whether a query may cost more than a document is worth.
//!
//! A filter is tried on every candidate. What it looks for below the candidate adds up to the depth of the document times
//! its size; what it looks for in the whole document (`$`) adds up to the square of its size.

use jsonpath_rust::parser::model::{
    Comparable, Filter, FilterAtom, FnArg, JpQuery, Segment, Selector, Test, TestFunction,
};

use crate::json::Node;
use crate::mapping::jsonpath::Item;

/// Whether a filter of the query looks through the whole document.
pub(super) fn searches_document(query: &JpQuery) -> bool {
    query.segments.iter().any(in_segment)
}

/// Whether the query goes straight to one value, so that it costs the same on every document.
pub(super) fn is_singular(query: &JpQuery) -> bool {
    query.segments.iter().all(selects_one)
}

/// How many values a document has.
pub(super) fn values(document: Item<'_, '_>) -> usize {
    fn count(node: &Node<'_>) -> usize {
        let below = node.members().iter().map(|(_, value)| value).chain(node.elements());
        1 + below.map(count).sum::<usize>()
    }
    let (Item::Node(node) | Item::Extended { envelope: node, .. }) = document;
    count(node)
}

fn in_segment(segment: &Segment) -> bool {
    match segment {
        Segment::Descendant(inner) => in_segment(inner),
        Segment::Selector(selector) => in_selector(selector),
        Segment::Selectors(selectors) => selectors.iter().any(in_selector),
    }
}

fn in_selector(selector: &Selector) -> bool {
    match selector {
        Selector::Filter(filter) => in_filter(filter),
        Selector::Name(_) | Selector::Wildcard | Selector::Index(_) | Selector::Slice(..) => false,
    }
}

fn in_filter(filter: &Filter) -> bool {
    match filter {
        Filter::And(filters) | Filter::Or(filters) => filters.iter().any(in_filter),
        Filter::Atom(FilterAtom::Filter { expr, .. }) => in_filter(expr),
        Filter::Atom(FilterAtom::Test { expr, .. }) => in_test(expr),
        Filter::Atom(FilterAtom::Comparison(comparison)) => {
            let (left, right) = comparison.vals();
            [left, right].into_iter().any(|side| match side {
                Comparable::Function(function) => in_function(function),
                // Of a path that stands in a comparison every segment selects one value at most.
                Comparable::Literal(_) | Comparable::SingularQuery(_) => false,
            })
        }
    }
}

fn in_test(test: &Test) -> bool {
    match test {
        Test::RelQuery(segments) => segments.iter().any(in_segment),
        Test::AbsQuery(query) => !is_singular(query),
        Test::Function(function) => in_function(function),
    }
}

fn selects_one(segment: &Segment) -> bool {
    matches!(segment, Segment::Selector(Selector::Name(_) | Selector::Index(_)))
}

fn in_function(function: &TestFunction) -> bool {
    let in_argument = |argument: &FnArg| match argument {
        FnArg::Literal(_) => false,
        FnArg::Test(test) => in_test(test),
        FnArg::Filter(filter) => in_filter(filter),
    };
    match function {
        TestFunction::Custom(_, arguments) => arguments.iter().any(in_argument),
        TestFunction::Length(argument) => in_argument(argument),
        TestFunction::Value(argument) | TestFunction::Count(argument) => in_argument(argument),
        TestFunction::Search(text, pattern) | TestFunction::Match(text, pattern) => {
            in_argument(text) || in_argument(pattern)
        }
    }
}
