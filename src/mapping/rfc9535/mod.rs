//! JSONPath as the standard has it, [RFC 9535](https://www.rfc-editor.org/rfc/rfc9535), by the crate `jsonpath-rust`.
//!
//! For new mappings; section 3 of the mapping specification says how the older dialect differs. The crate evaluates on
//! any tree that says how it is queried, so payloads are not converted. The extended envelope is no such tree: a query
//! that begins with one of its members runs on the member's value, any other on a copy.

mod cost;
mod features;

use std::borrow::Cow;
use std::fmt;

use jsonpath_rust::parser::errors::JsonPathError;
use jsonpath_rust::parser::model::{JpQuery, Segment, Selector};
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use jsonpath_rust::query::queryable::Queryable;
use pest::error::LineColLocation;

use super::effort::Effort;
use super::index::Feature;
use super::jsonpath::{Item, MATCHED_TOKEN};
use crate::json::Node;

/// Longest query accepted, in bytes.
const QUERY_BYTES_MAX: usize = 4096;

/// Values of a document in which a query may search the whole document anew for every candidate of a filter. The crate
/// has no bound on its work, and such a query costs the square of this.
const SEARCHED_VALUES_MAX: usize = 5_000;

/// A parsed query.
#[derive(Clone)]
pub(crate) struct Query {
    query: JpQuery,
    /// Whether a filter of it searches the whole document.
    searches_document: bool,
    /// Whether it goes straight to one value.
    is_singular: bool,
    /// What is left of it, and how it begins, when it begins with a member of the extended envelope.
    start: Start,
}

/// The document is too large for what the query does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMuchWork;

/// Where a query on the extended envelope begins.
#[derive(Clone, Debug)]
enum Start {
    /// At the token; the rest of the query runs there.
    Token(JpQuery),
    /// At another member of the envelope.
    Envelope,
    /// Anywhere.
    Anywhere,
}

/// Why a text is not a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct QueryError {
    /// Character of the query, from 1, where known.
    pub(crate) at: Option<usize>,
    /// What is wrong.
    pub(crate) reason: String,
}

impl Query {
    /// Parses a query.
    ///
    /// # Errors
    /// When the text is not a query of RFC 9535. The crate also knows the functions `in`, `nin`, `none_of`, `any_of` and
    /// `subset_of`, which the standard does not have.
    pub(crate) fn parse(text: &str) -> Result<Self, QueryError> {
        if text.len() > QUERY_BYTES_MAX {
            return Err(QueryError { at: None, reason: format!("a query has at most {QUERY_BYTES_MAX} bytes") });
        }
        let query = parse_json_path(text).map_err(QueryError::of)?;
        // A `$` in a filter needs the whole document; one in a text does no harm but costs the short way.
        let mentions_root = text.trim_start().get(1..).is_some_and(|rest| rest.contains('$'));
        let start = match query.segments.split_first() {
            Some((Segment::Selector(Selector::Name(name)), rest)) if !mentions_root => {
                if name == MATCHED_TOKEN {
                    Start::Token(JpQuery::new(rest.to_vec()))
                } else {
                    Start::Envelope
                }
            }
            Some(_) | None => Start::Anywhere,
        };
        let searches_document = cost::searches_document(&query);
        Ok(Self { searches_document, is_singular: cost::is_singular(&query), query, start })
    }

    /// Every value the query selects, in the order of its node list.
    ///
    /// # Errors
    /// When the document is too large for what the query does with it.
    pub(crate) fn select<'n, 'a>(
        &self,
        document: Item<'n, 'a>,
        effort: &Effort,
    ) -> Result<Vec<Cow<'n, Node<'a>>>, TooMuchWork> {
        let looks = if self.is_singular { self.query.segments.len() } else { cost::values(document) };
        if self.searches_document && looks > SEARCHED_VALUES_MAX {
            return Err(TooMuchWork);
        }
        effort.spend(looks).map_err(|_exhausted| TooMuchWork)?;
        Ok(self.selected(document))
    }

    fn selected<'n, 'a>(&self, document: Item<'n, 'a>) -> Vec<Cow<'n, Node<'a>>> {
        let (query, node) = match (document, &self.start) {
            (Item::Node(node), _) => (&self.query, node),
            (Item::Extended { token, .. }, Start::Token(rest)) => (rest, token),
            (Item::Extended { envelope, .. }, Start::Envelope) => (&self.query, envelope),
            (Item::Extended { .. }, Start::Anywhere) => {
                let copy = document.to_node();
                return nodes(&self.query, &copy).into_iter().map(|node| Cow::Owned(node.clone())).collect();
            }
        };
        nodes(query, node).into_iter().map(Cow::Borrowed).collect()
    }

    /// Whether it looks below what it selects from, so that it finds a matched token twice (DM-26).
    pub(crate) fn descends(&self) -> bool {
        self.query.segments.iter().any(|segment| matches!(segment, Segment::Descendant(_)))
    }

    /// What a document has if the query selects something in it.
    pub(in crate::mapping) fn features(&self) -> Vec<Feature> {
        features::of(&self.query)
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.query)
    }
}

fn nodes<'n, 'a>(query: &JpQuery, node: &'n Node<'a>) -> Vec<&'n Node<'a>> {
    // A query of segments always yields references; the error is for functions that stand alone, which do not parse.
    let selected = js_path_process(query, node).unwrap_or_default();
    selected.into_iter().map(jsonpath_rust::query::QueryRef::val).collect()
}

impl QueryError {
    fn of(error: JsonPathError) -> Self {
        let JsonPathError::PestError(error) = error else {
            return Self { at: None, reason: error.to_string() };
        };
        let (LineColLocation::Pos((_, at)) | LineColLocation::Span((_, at), _)) = error.line_col;
        Self { at: Some(at), reason: "this does not fit the grammar of RFC 9535".to_owned() }
    }
}

impl Queryable for Node<'_> {
    fn get(&self, key: &str) -> Option<&Self> {
        self.member(key)
    }

    fn as_array(&self) -> Option<&Vec<Self>> {
        match self {
            Self::Array(elements) => Some(elements),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::Object(_) => None,
        }
    }

    fn as_object(&self) -> Option<Vec<(&str, &Self)>> {
        match self {
            Self::Object(members) => Some(members.iter().map(|(name, value)| (name.as_ref(), value)).collect()),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::Array(_) => None,
        }
    }

    fn as_str(&self) -> Option<&str> {
        Node::as_str(self)
    }

    fn as_i64(&self) -> Option<i64> {
        self.as_number()?.parse().ok()
    }

    fn as_f64(&self) -> Option<f64> {
        self.as_number()?.parse().ok()
    }

    fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            Self::Null | Self::Number(_) | Self::String(_) | Self::Array(_) | Self::Object(_) => None,
        }
    }

    fn null() -> Self {
        Self::Null
    }
}

#[cfg(test)]
mod tests {
    use super::super::effort::Effort;
    use super::super::jsonpath::Item;
    use super::{Node, Query};
    use crate::json::parse;

    #[track_caller]
    fn check(query: &str, document: &str, expected: &[&str]) {
        let node = parse(document.as_bytes()).unwrap();
        let selected = Query::parse(query).unwrap().select(Item::Node(&node), &Effort::full()).unwrap();
        assert_eq!(selected.iter().map(|node| node.to_string()).collect::<Vec<_>>(), expected, "{query}");
    }

    #[test]
    fn it_is_the_standard_and_not_the_older_dialect() {
        let document = r#"{"a":{"x":1.50,"y":"2"},"rows":[{"k":"hr","v":61},{"k":"spo2"},{"v":5}]}"#;
        check("$.a.x", document, &["1.50"]);
        check("$['a']['x','y']", document, &["1.50", r#""2""#]);
        check("$.a[?@ == 1.5]", document, &["1.50"]);
        check("$.a.*", document, &["1.50", r#""2""#]);
        check("$.rows[?@.k != 'hr']", document, &[r#"{"k":"spo2"}"#, r#"{"v":5}"#]);
        check("$.rows[?(@.k == 'hr' || @.v < 6) && !@.z].v", document, &["61", "5"]);
        check("$.rows[-1:].v", document, &["5"]);
        check("$.rows[?match(@.k, 's.*2')].k", document, &[r#""spo2""#]);
        check("$.rows[?length(@.k) == 2].v", document, &["61"]);
        check("$..v", document, &["61", "5"]);
        check("$..[?@.rows]", document, &[]);
    }

    #[track_caller]
    fn check_extended(query: &str, expected: &[&str]) {
        let envelope = parse(br#"{"Body":{"t":{"v":1},"want":1},"Properties":{}}"#).unwrap();
        let token = envelope.member("Body").and_then(|body| body.member("t")).unwrap();
        let document = Item::Extended { envelope: &envelope, token };
        let selected = Query::parse(query).unwrap().select(document, &Effort::full()).unwrap();
        assert_eq!(selected.iter().map(|node| node.to_string()).collect::<Vec<_>>(), expected, "{query}");
    }

    #[test]
    fn dm_24_the_token_is_a_member_of_what_queries_run_on() {
        check_extended("$.matchedToken.v", &["1"]);
        check_extended("$['matchedToken']", &[r#"{"v":1}"#]);
        check_extended("$.Body.want", &["1"]);
        check_extended("$.Body.t[?@ == $.matchedToken.v]", &["1"]);
        check_extended("$.matchedToken[?@ == $.Body.want]", &["1"]);
        check_extended("$..v", &["1", "1"]);
        check_extended("$.*", &[r#"{"t":{"v":1},"want":1}"#, "{}", r#"{"v":1}"#]);
    }

    #[test]
    fn dm_21_what_is_no_query_is_refused_with_its_place() {
        for (text, at) in [("$.a[", Some(4)), ("a.b", Some(1)), ("$..[?(@pulse)]", Some(8)), ("$.a[?nope(@.x)]", None)]
        {
            let error = Query::parse(text).unwrap_err();
            if at.is_some() {
                assert!(error.at.is_some(), "{text}: {error:?}");
            }
        }
        assert!(Query::parse(&format!("$.{}", "a".repeat(5000))).is_err());
        assert!(Query::parse(&format!("$[?{}@.a{}]", "(".repeat(1500), ")".repeat(1500))).is_err());
    }

    #[test]
    fn numbers_of_any_size_compare_and_stay() {
        check("$[?@ > 5]", "[123456789012345678901234567890, 1e400, 4]", &["123456789012345678901234567890", "1e+400"]);
        assert_eq!(Node::from(f64::NAN), Node::Null);
    }

    #[test]
    fn a_filter_that_searches_the_document_is_for_small_documents() {
        let rows = |count: usize| format!("[{}]", vec!["1"; count].join(","));
        for query in ["$[?$..x]", "$[?count($.*) == @]", "$[?@[?$[*]]]", "$[?!(@.a || $[?@.b])]"] {
            let query = Query::parse(query).unwrap();
            for (count, expected) in [(100, true), (10_000, false)] {
                let (text, is_taken) = (rows(count), |text: &str| {
                    query.select(Item::Node(&parse(text.as_bytes()).unwrap()), &Effort::full()).is_ok()
                });
                assert_eq!(is_taken(&text), expected, "{query:?} {count}");
            }
        }
        let direct = Query::parse("$[?@ == $[0] && $.a.b != @..c && length(@) > 1 || @[?@.x]]");
        assert!(direct.is_err(), "a comparison takes single values only");
        let direct = Query::parse("$[?@ == $[0] && $[1] != @.c || @[?@.x]]").unwrap();
        assert!(direct.select(Item::Node(&parse(rows(10_000).as_bytes()).unwrap()), &Effort::full()).is_ok());
    }
}
