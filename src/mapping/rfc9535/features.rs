//! What a document must have for a query to select anything in it, for the index of templates.

use jsonpath_rust::parser::model::{
    Comparable, Comparison, Filter, FilterAtom, JpQuery, Literal, Segment, Selector, SingularQuery,
    SingularQuerySegment, Test,
};

use crate::mapping::index::Feature;

/// Features of every document in which a query selects something.
pub(super) fn of(query: &JpQuery) -> Vec<Feature> {
    query.segments.iter().flat_map(segment_features).collect()
}

fn segment_features(segment: &Segment) -> Vec<Feature> {
    match segment {
        Segment::Descendant(inner) => segment_features(inner),
        Segment::Selector(Selector::Name(name)) => vec![Feature::name(name)],
        Segment::Selector(Selector::Filter(filter)) => filter_features(filter),
        Segment::Selector(Selector::Wildcard | Selector::Index(_) | Selector::Slice(..)) | Segment::Selectors(_) => {
            Vec::new()
        }
    }
}

fn filter_features(filter: &Filter) -> Vec<Feature> {
    match filter {
        Filter::And(filters) => filters.iter().flat_map(filter_features).collect(),
        Filter::Or(filters) => Feature::common(filters.iter().map(filter_features)),
        Filter::Atom(FilterAtom::Filter { expr, not: false }) => filter_features(expr),
        Filter::Atom(FilterAtom::Test { expr, not: false }) => match expr.as_ref() {
            Test::RelQuery(segments) => segments.iter().flat_map(segment_features).collect(),
            Test::AbsQuery(query) => query.segments.iter().flat_map(segment_features).collect(),
            Test::Function(_) => Vec::new(),
        },
        Filter::Atom(FilterAtom::Filter { not: true, .. } | FilterAtom::Test { not: true, .. }) => Vec::new(),
        Filter::Atom(FilterAtom::Comparison(comparison)) => comparison_features(comparison),
    }
}

/// Two missing values are equal, so only a comparison with a literal needs its path to be there.
fn comparison_features(comparison: &Comparison) -> Vec<Feature> {
    let (path, literal) = match comparison {
        Comparison::Ne(..) => return Vec::new(),
        Comparison::Eq(left, right)
        | Comparison::Gt(left, right)
        | Comparison::Gte(left, right)
        | Comparison::Lt(left, right)
        | Comparison::Lte(left, right) => match (left, right) {
            (Comparable::SingularQuery(path), Comparable::Literal(literal))
            | (Comparable::Literal(literal), Comparable::SingularQuery(path)) => (path, literal),
            _ => return Vec::new(),
        },
    };
    let (SingularQuery::Current(segments) | SingularQuery::Root(segments)) = path;
    let names = segments.iter().filter_map(|segment| match segment {
        SingularQuerySegment::Name(name) => Some(Feature::name(name)),
        SingularQuerySegment::Index(_) => None,
    });
    let mut features: Vec<Feature> = names.collect();
    if let (Comparison::Eq(..), Literal::String(text), Some(SingularQuerySegment::Name(name))) =
        (comparison, literal, segments.last())
    {
        features.push(Feature::text(name, text));
    }
    features
}
