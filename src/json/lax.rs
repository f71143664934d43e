//! JSON read as leniently as the reference reads payloads (rule EV-5), for those who switch it on.
//!
//! Accepted beyond RFC 8259: comments, single quotes, member names without quotes, trailing commas, `NaN` and
//! `Infinity` (as texts, because no JSON can hold them), hexadecimal integers, a leading plus, and whatever follows the
//! first complete value. Octal integers are refused: nobody writes `010` and means eight.

use jsonc_parser::ast;
use jsonc_parser::errors::{ParseError, ParseErrorKind};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::{DEPTH_MAX, Members, Node};

/// Why a text cannot be read even leniently, and where.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not JSON, however leniently read")]
pub(crate) struct LaxError {
    /// Line, from 1.
    pub(crate) line: usize,
    /// Column, from 1.
    pub(crate) column: usize,
    /// Whether the text nests deeper than `DEPTH_MAX`.
    pub(crate) is_too_deep: bool,
}

impl LaxError {
    /// What is wrong with the text as a whole.
    fn at_start(is_too_deep: bool) -> Self {
        Self { line: 1, column: 1, is_too_deep }
    }
}

/// Reads the first value of a text.
///
/// # Errors
/// When the text does not begin with a value, is not UTF-8, or nests deeper than 128.
pub(crate) fn parse_lax(text: &[u8]) -> Result<Node<'_>, LaxError> {
    let text = std::str::from_utf8(text).map_err(|_not_text| LaxError::at_start(false))?;
    let value = match value(text) {
        Ok(value) => value,
        // Where the text stops fitting a value may be complete; what follows it is ignored then.
        Err(error) => {
            let fitting = text.get(..error.range().start).unwrap_or_default();
            let is_too_deep = matches!(error.kind(), ParseErrorKind::NestingDepthExceeded);
            let error = LaxError { line: error.line_display(), column: error.column_display(), is_too_deep };
            value(fitting).map_err(|_incomplete| error)?
        }
    };
    let value = value.ok_or(LaxError::at_start(false))?;
    node(value, DEPTH_MAX).ok_or(LaxError::at_start(true))
}

fn value(text: &str) -> Result<Option<ast::Value<'_>>, ParseError> {
    Ok(parse_to_ast(text, &CollectOptions::default(), &options())?.value)
}

fn options() -> ParseOptions {
    ParseOptions { allow_missing_commas: false, ..ParseOptions::default() }
}

/// `None` for what nests deeper than `depth`.
fn node(value: ast::Value<'_>, depth: usize) -> Option<Node<'_>> {
    let below = depth.checked_sub(1)?;
    Some(match value {
        ast::Value::NullKeyword(_) => Node::Null,
        ast::Value::BooleanLit(literal) => Node::Bool(literal.value),
        ast::Value::NumberLit(literal) => number(literal.value),
        ast::Value::StringLit(literal) => Node::String(literal.value),
        ast::Value::Array(array) => {
            Node::Array(array.elements.into_iter().map(|element| node(element, below)).collect::<Option<_>>()?)
        }
        ast::Value::Object(object) => {
            let mut members = Members::default();
            for property in object.properties {
                let name = property.name.into_string();
                let value = node(property.value, below)?;
                match members.value_of(&name) {
                    Some(known) => *known = value,
                    None => members.push(name.into(), value),
                }
            }
            Node::Object(members.list)
        }
    })
}

/// A number as strict JSON writes it, or else its text.
fn number(text: &str) -> Node<'_> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    if let Some(hexadecimal) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return match u128::from_str_radix(hexadecimal, 16) {
            Ok(value) => Node::Number(format!("{sign}{value}").into()),
            Err(_too_long) => Node::String(text.into()),
        };
    }
    if digits.starts_with(['I', 'N']) {
        return Node::String(text.into());
    }
    if super::parse(text.as_bytes()).is_ok() {
        return Node::Number(text.into());
    }
    let (whole, rest) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let fraction = if rest.starts_with(".") && !rest.get(1..2).is_some_and(|next| next != "e" && next != "E") {
        format!(".0{}", rest.get(1..).unwrap_or_default())
    } else {
        rest.to_owned()
    };
    Node::Number(format!("{sign}{}{fraction}", if whole.is_empty() { "0" } else { whole }).into())
}

#[cfg(test)]
mod tests {
    use super::{LaxError, parse_lax};

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(parse_lax(text.as_bytes()).unwrap().to_string(), expected, "{text}");
    }

    #[test]
    fn ev_5_what_the_reference_tolerates_is_read_when_switched_on() {
        check("// pulse\n{'a': 1, b: [1, 2,], /* c */ \"c\": 0x1F}", r#"{"a":1,"b":[1,2],"c":31}"#);
        check(r#"{"a": 1} {"b": 2}"#, r#"{"a":1}"#);
        check(r#"{"a": 1} and more"#, r#"{"a":1}"#);
        check("[NaN, -Infinity]", r#"["NaN","-Infinity"]"#);
        check("[+1, .5, 5., -.5e3, 65.0, -0x10]", "[1,0.5,5.0,-0.5e3,65.0,-16]");
        check(r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#);
    }

    #[test]
    fn ev_4_what_is_no_value_is_still_refused() {
        for text in ["", "  ", "{\"a\":", "[1", "{\"a\" 1}", "[010]"] {
            assert!(parse_lax(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(parse_lax(b"{\n \"a\" 1}"), Err(LaxError { line: 2, column: 6, is_too_deep: false }));
        assert!(parse_lax(&[b'"', 0xff, b'"']).is_err());
    }

    #[test]
    fn nesting_has_a_bound() {
        assert!(parse_lax("[".repeat(100_000).as_bytes()).unwrap_err().is_too_deep);
        assert!(!parse_lax(b"[").unwrap_err().is_too_deep);
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse_lax(nested(128).as_bytes()).is_ok());
        assert!(parse_lax(nested(129).as_bytes()).unwrap_err().is_too_deep);
    }

    proptest::proptest! {
        #[test]
        fn strict_documents_read_the_same(text in "(\\{\"a\":(-?[1-9][0-9]{0,3}(\\.[0-9]{1,3})?|true|null|\"[a-z \\\\\\\\]{0,4}\"),\"b\":\\[1,\\{\\}\\]\\}|\\[\\])") {
            let strict = super::super::parse(text.as_bytes()).map(|node| node.to_string());
            if let Ok(strict) = strict {
                proptest::prop_assert_eq!(parse_lax(text.as_bytes()).unwrap().to_string(), strict);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}:,'\"0-9a-fxIN+./*\\\\ -]{0,40}") {
            drop(parse_lax(text.as_bytes()));
        }
    }
}
