//! JSON as it was written: numbers keep their digits (an exponent is spelled `e+3`, `e-05`), objects keep their order,
//! strings borrow from the input.
//!
//! Both halves of the product read documents this way: the mapping engine needs to tell `1` from `1.0` (rule EV-7), the
//! FHIR service may not turn a decimal into a float. Parsing is strict RFC 8259 (rule EV-5), nested at most 128 deep.
//! Of members with the same name the last one wins and keeps the place of the first (rule EV-6).

pub(crate) mod elements;
mod lax;
mod pretty;
pub(crate) mod tree;

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

pub(crate) use self::lax::parse_lax;
pub(crate) use self::pretty::pretty;

/// Deepest nesting that is read; a value within 127 arrays is 128 deep.
pub(crate) const DEPTH_MAX: usize = 128;

/// Most values in a document that `parse_unique` reads: each takes up to sixty bytes of memory, even where its text is two.
pub(crate) const VALUES_MAX: usize = 500_000;

/// One JSON value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Node<'a> {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, digit for digit.
    Number(Cow<'a, str>),
    /// A string without its escapes.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Node<'a>>),
    /// An object, members in document order, names unique.
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

/// Why a text is not a JSON document.
#[derive(Debug, thiserror::Error)]
#[error("not JSON")]
pub(crate) struct JsonError {
    #[from]
    cause: serde_json::Error,
}

impl JsonError {
    /// Line (from 1) and column (from 1) of the first character that does not fit.
    pub(crate) fn position(&self) -> (usize, usize) {
        (self.cause.line(), self.cause.column())
    }

    /// Whether the text may be JSON, but nests deeper than `DEPTH_MAX`.
    pub(crate) fn is_too_deep(&self) -> bool {
        // serde_json tells this apart by nothing but the text.
        self.cause.to_string().starts_with("recursion limit exceeded")
    }

    /// Whether the text is JSON, but names a member twice (only from `parse_unique`).
    pub(crate) fn is_duplicate_member(&self) -> bool {
        self.cause.is_data() && !self.is_too_large()
    }

    /// Whether the text is JSON, but has more than `VALUES_MAX` values (only from `parse_unique`).
    pub(crate) fn is_too_large(&self) -> bool {
        self.cause.is_data() && self.cause.to_string().starts_with(TOO_LARGE)
    }
}

/// Reads one JSON document of UTF-8 text.
///
/// # Errors
/// When the text is not exactly one JSON value, is not UTF-8, or nests deeper than 128.
pub(crate) fn parse(text: &[u8]) -> Result<Node<'_>, JsonError> {
    Ok(serde_json::from_slice(text)?)
}

/// Reads one JSON document of UTF-8 text in which no object may name a member twice.
///
/// # Errors
/// As `parse`, when an object names a member twice, and when there are more than `VALUES_MAX` values.
pub(crate) fn parse_unique(text: &[u8]) -> Result<Node<'_>, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let values_left = Cell::new(VALUES_MAX);
    let visitor = NodeVisitor { duplicates: Duplicates::Refused, values_left: Some(&values_left) };
    let node = visitor.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(node)
}

/// What is done about members of the same name.
#[derive(Clone, Copy)]
enum Duplicates {
    LastWins,
    Refused,
}

impl<'a> Node<'a> {
    /// The member of an object; `None` for another kind of value.
    pub(crate) fn member(&self, name: &str) -> Option<&Node<'a>> {
        self.members().iter().find_map(|(member, value)| (member == name).then_some(value))
    }

    /// The members of an object; none for another kind of value.
    pub(crate) fn members(&self) -> &[(Cow<'a, str>, Node<'a>)] {
        match self {
            Self::Object(members) => members,
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::Array(_) => &[],
        }
    }

    /// The elements of an array; none for another kind of value.
    pub(crate) fn elements(&self) -> &[Node<'a>] {
        match self {
            Self::Array(elements) => elements,
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::Object(_) => &[],
        }
    }

    /// The text of a string; `None` for another kind of value.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Array(_) | Self::Object(_) => None,
        }
    }

    /// The same value, without borrowing from the text it was read from.
    pub(crate) fn to_static(&self) -> Node<'static> {
        match self {
            Self::Null => Node::Null,
            Self::Bool(value) => Node::Bool(*value),
            Self::Number(text) => Node::Number(text.clone().into_owned().into()),
            Self::String(text) => Node::String(text.clone().into_owned().into()),
            Self::Array(elements) => Node::Array(elements.iter().map(Node::to_static).collect()),
            Self::Object(members) => {
                let member =
                    |(name, value): &(Cow<'a, str>, Self)| (name.clone().into_owned().into(), value.to_static());
                Node::Object(members.iter().map(member).collect())
            }
        }
    }

    /// The digits of a number; `None` for another kind of value.
    pub(crate) fn as_number(&self) -> Option<&str> {
        match self {
            Self::Number(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::String(_) | Self::Array(_) | Self::Object(_) => None,
        }
    }
}

impl From<bool> for Node<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Node<'_> {
    fn from(value: i64) -> Self {
        Self::Number(Cow::Owned(value.to_string()))
    }
}

/// A number that JSON cannot write (an infinity, no number) is null.
impl From<f64> for Node<'_> {
    fn from(value: f64) -> Self {
        if value.is_finite() { Self::Number(Cow::Owned(format!("{value:?}"))) } else { Self::Null }
    }
}

impl From<&str> for Node<'_> {
    fn from(text: &str) -> Self {
        Self::String(Cow::Owned(text.to_owned()))
    }
}

impl From<String> for Node<'_> {
    fn from(text: String) -> Self {
        Self::String(Cow::Owned(text))
    }
}

impl From<Vec<Self>> for Node<'_> {
    fn from(elements: Vec<Self>) -> Self {
        Self::Array(elements)
    }
}

/// Compact JSON; numbers digit for digit.
impl fmt::Display for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(text) => f.write_str(text),
            Self::String(text) => write_string(f, text),
            Self::Array(elements) => {
                f.write_str("[")?;
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        f.write_str(",")?;
                    }
                    element.fmt(f)?;
                }
                f.write_str("]")
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        f.write_str(",")?;
                    }
                    write_string(f, name)?;
                    f.write_str(":")?;
                    value.fmt(f)?;
                }
                f.write_str("}")
            }
        }
    }
}

fn write_string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str(&serde_json::to_string(text).map_err(|_error| fmt::Error)?)
}

impl<'de: 'a, 'a> Deserialize<'de> for Node<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        NodeVisitor { duplicates: Duplicates::LastWins, values_left: None }.deserialize(deserializer)
    }
}

/// The name under which serde_json hands over the text of a number (its feature `arbitrary_precision`).
const NUMBER: &str = "$serde_json::private::Number";

/// What a document is refused with that has more than `VALUES_MAX` values.
const TOO_LARGE: &str = "too many values";

#[derive(Clone, Copy)]
struct NodeVisitor<'b> {
    duplicates: Duplicates,
    /// Values that may still come; `None`: any number.
    values_left: Option<&'b Cell<usize>>,
}

impl<'de> DeserializeSeed<'de> for NodeVisitor<'_> {
    type Value = Node<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        if let Some(values_left) = self.values_left {
            let left = values_left.get().checked_sub(1).ok_or_else(|| de::Error::custom(TOO_LARGE))?;
            values_left.set(left);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NodeVisitor<'_> {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node<'de>, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node<'de>, E> {
        Ok(Node::Number(Cow::Owned(value.to_string())))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node<'de>, E> {
        Ok(Node::Number(Cow::Owned(value.to_string())))
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::String(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Node<'de>, E> {
        Ok(Node::String(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node<'de>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element_seed(self)? {
            elements.push(element);
        }
        Ok(Node::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node<'de>, A::Error> {
        let mut members = Members::default();
        while let Some(Name(name)) = map.next_key()? {
            if name == NUMBER && members.list.is_empty() {
                match map.next_value_seed(EitherVisitor(self))? {
                    NumberOrNode::Number(text) => return Ok(Node::Number(Cow::Owned(text))),
                    NumberOrNode::Node(value) => members.push(name, value),
                }
                continue;
            }
            let value = map.next_value_seed(self)?;
            match (members.value_of(&name), self.duplicates) {
                (None, _) => members.push(name, value),
                (Some(known), Duplicates::LastWins) => *known = value,
                (Some(_), Duplicates::Refused) => return Err(de::Error::custom("an object names a member twice")),
            }
        }
        Ok(Node::Object(members.list))
    }
}

/// Members up to which looking at each is quicker than a map.
const LISTED_MAX: usize = 32;

/// The members of an object so far. Many of them are also found by name, for a look at each of them for each of them
/// would make a large object a denial of service.
#[derive(Default)]
struct Members<'a> {
    list: Vec<(Cow<'a, str>, Node<'a>)>,
    /// Places in the list by name, once there are more than `LISTED_MAX`.
    places: HashMap<Cow<'a, str>, usize>,
}

impl<'a> Members<'a> {
    fn value_of(&mut self, name: &str) -> Option<&mut Node<'a>> {
        let place = if self.list.len() <= LISTED_MAX {
            self.list.iter().position(|(member, _)| member == name)?
        } else {
            *self.places.get(name)?
        };
        self.list.get_mut(place).map(|(_, value)| value)
    }

    fn push(&mut self, name: Cow<'a, str>, value: Node<'a>) {
        self.list.push((name, value));
        let from = match self.list.len() {
            length if length <= LISTED_MAX => return,
            length if length == LISTED_MAX + 1 => 0,
            length => length - 1,
        };
        let added = self.list.iter().enumerate().skip(from);
        self.places.extend(added.map(|(place, (name, _))| (name.clone(), place)));
    }
}

/// A member name, borrowed where it has no escapes.
pub(crate) struct Name<'a>(
    /// Its text, without escapes.
    pub(crate) Cow<'a, str>,
);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member name")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

/// What follows the reserved name: the text of a real number arrives as an owned string, which a document cannot
/// produce, so a payload that uses the reserved name stays an object.
enum NumberOrNode<'a> {
    Number(String),
    Node(Node<'a>),
}

#[derive(Clone, Copy)]
struct EitherVisitor<'b>(NodeVisitor<'b>);

impl<'de> DeserializeSeed<'de> for EitherVisitor<'_> {
    type Value = NumberOrNode<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for EitherVisitor<'_> {
    type Value = NumberOrNode<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(NumberOrNode::Number(text))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        self.0.visit_unit().map(NumberOrNode::Node)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
        self.0.visit_bool(value).map(NumberOrNode::Node)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
        self.0.visit_u64(value).map(NumberOrNode::Node)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        self.0.visit_i64(value).map(NumberOrNode::Node)
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        self.0.visit_borrowed_str(text).map(NumberOrNode::Node)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        self.0.visit_str(text).map(NumberOrNode::Node)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        self.0.visit_seq(seq).map(NumberOrNode::Node)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        self.0.visit_map(map).map(NumberOrNode::Node)
    }
}

#[cfg(test)]
mod tests {
    use super::{parse, parse_unique};

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(parse(text.as_bytes()).unwrap().to_string(), expected);
    }

    #[test]
    fn numbers_keep_their_digits() {
        check("[65.0, 1E-05, 123456789012345678901234567890, -0]", "[65.0,1e-05,123456789012345678901234567890,-0]");
    }

    #[test]
    fn ev_6_the_last_of_two_members_wins_in_the_place_of_the_first() {
        check(r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#);
    }

    #[test]
    fn a_strict_reader_refuses_a_member_named_twice_at_any_depth() {
        let error = parse_unique(br#"{"a":[{"b":1,"c":2.50,"\u0062":3}]}"#).unwrap_err();
        assert!(error.is_duplicate_member());
        assert_eq!(parse_unique(br#"{"a":[{"b":1.0},{"b":2}]}"#).unwrap().to_string(), r#"{"a":[{"b":1.0},{"b":2}]}"#);
        assert!(!parse_unique(b"{} {}").unwrap_err().is_duplicate_member());
    }

    #[test]
    fn a_payload_cannot_pass_an_object_off_as_a_number() {
        check(r#"{"$serde_json::private::Number":"1 OR 2"}"#, r#"{"$serde_json::private::Number":"1 OR 2"}"#);
    }

    #[test]
    fn ev_5_lax_json_is_refused() {
        for text in ["{'a':1}", "[1,]", "{} {}", "NaN", "", "// x\n1", "01"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_large_object_keeps_order_and_uniqueness() {
        let members: Vec<String> = (0..1_000).map(|number| format!(r#""m{number}":{number}"#)).collect();
        let text = format!("{{{}}}", members.join(","));
        check(&text, &text);
        for twice in [0, 31, 32, 33, 999] {
            let text = format!(r#"{{{},"m{twice}":-1}}"#, members.join(","));
            assert!(parse_unique(text.as_bytes()).unwrap_err().is_duplicate_member(), "{twice}");
            let last_wins = parse(text.as_bytes()).unwrap();
            assert_eq!(last_wins.members().len(), 1_000);
            assert_eq!(last_wins.members()[twice].1.as_number(), Some("-1"));
        }
    }

    #[test]
    fn nesting_has_a_bound() {
        assert!(parse("[".repeat(100_000).as_bytes()).unwrap_err().is_too_deep());
        assert!(!parse(b"[").unwrap_err().is_too_deep());
    }
}
