//! A value during evaluation: borrowed while possible, shared when made.

use std::borrow::Cow;
use std::rc::Rc;

use super::super::jsonpath::Item;
use crate::json::Node;

const NULL: &Node<'static> = &Node::Null;
const TRUE: &Node<'static> = &Node::Bool(true);
const FALSE: &Node<'static> = &Node::Bool(false);

/// What an evaluation finds: a value, or that it is missing. An explicit null is a value (JM-8).
pub(super) type Found<'n, 'a> = Option<Value<'n, 'a>>;

/// Names and values of an object, in order.
pub(super) type Members<'n, 'a> = Vec<(Cow<'n, str>, Found<'n, 'a>)>;

/// A value; to clone it is cheap, whatever it holds.
#[derive(Clone, Debug)]
pub(super) enum Value<'n, 'a> {
    /// A value of the document, the query, or the extended envelope.
    Item(Item<'n, 'a>),
    /// A number or text that was computed.
    Made(Rc<Node<'a>>),
    /// An array of a projection, a multi-select or a function; what is missing stays so, and is null to the outside.
    List(Rc<Vec<Found<'n, 'a>>>),
    /// An object of a multi-select or `merge`, names unique.
    Hash(Rc<Members<'n, 'a>>),
}

impl<'n, 'a> From<Item<'n, 'a>> for Value<'n, 'a> {
    fn from(item: Item<'n, 'a>) -> Self {
        Self::Item(item)
    }
}

impl<'n, 'a> Value<'n, 'a> {
    pub(super) fn node(node: &'n Node<'a>) -> Self {
        Self::Item(Item::Node(node))
    }

    pub(super) fn bool(truth: bool) -> Self {
        Self::node(if truth { TRUE } else { FALSE })
    }

    pub(super) fn number(digits: String) -> Self {
        Self::Made(Rc::new(Node::Number(digits.into())))
    }

    pub(super) fn text(text: String) -> Self {
        Self::Made(Rc::new(Node::String(text.into())))
    }

    pub(super) fn list(elements: Vec<Found<'n, 'a>>) -> Self {
        Self::List(Rc::new(elements))
    }

    pub(super) fn hash(members: Members<'n, 'a>) -> Self {
        Self::Hash(Rc::new(members))
    }

    /// The node where there is one: scalars always have one.
    pub(super) fn as_node(&self) -> Option<&Node<'a>> {
        match self {
            Self::Item(item) => item.node(),
            Self::Made(node) => Some(node),
            Self::List(_) | Self::Hash(_) => None,
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        self.as_node().and_then(Node::as_str)
    }

    pub(super) fn as_number(&self) -> Option<&str> {
        self.as_node().and_then(Node::as_number)
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.as_node(), Some(Node::Null))
    }

    /// The name of the type, as the function `type` gives it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::List(_) => "array",
            Self::Hash(_) | Self::Item(Item::Extended { .. }) => "object",
            Self::Item(Item::Node(_)) | Self::Made(_) => match self.as_node().unwrap_or(NULL) {
                Node::Null => "null",
                Node::Bool(_) => "boolean",
                Node::Number(_) => "number",
                Node::String(_) => "string",
                Node::Array(_) => "array",
                Node::Object(_) => "object",
            },
        }
    }

    /// How many elements an array has; `None` for what is no array.
    pub(super) fn elements(&self) -> Option<usize> {
        match self {
            Self::Item(Item::Node(Node::Array(elements))) => Some(elements.len()),
            Self::List(elements) => Some(elements.len()),
            Self::Item(_) | Self::Made(_) | Self::Hash(_) => None,
        }
    }

    pub(super) fn element(&self, index: usize) -> Found<'n, 'a> {
        match self {
            Self::Item(Item::Node(Node::Array(elements))) => elements.get(index).map(Self::node),
            Self::List(elements) => elements.get(index).cloned().flatten(),
            Self::Item(_) | Self::Made(_) | Self::Hash(_) => None,
        }
    }

    pub(super) fn member(&self, name: &str) -> Found<'n, 'a> {
        match self {
            Self::Item(item) => item.member(name).map(Self::Item),
            Self::Hash(members) => {
                members.iter().find_map(|(member, value)| (member == name).then(|| value.clone())).flatten()
            }
            Self::Made(_) | Self::List(_) => None,
        }
    }

    /// The members of an object, in order; `None` for what is no object.
    pub(super) fn members(&self) -> Option<Members<'n, 'a>> {
        match self {
            Self::Hash(members) => Some(members.to_vec()),
            Self::Item(item @ (Item::Extended { .. } | Item::Node(Node::Object(_)))) => {
                Some(item.members().map(|(name, value)| (Cow::Borrowed(name), Some(Self::Item(value)))).collect())
            }
            Self::Item(_) | Self::Made(_) | Self::List(_) => None,
        }
    }

    /// False are null, `false`, and empty texts, arrays and objects.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::List(elements) => !elements.is_empty(),
            Self::Hash(members) => !members.is_empty(),
            Self::Item(Item::Extended { .. }) => true,
            Self::Item(Item::Node(_)) | Self::Made(_) => match self.as_node().unwrap_or(NULL) {
                Node::Null => false,
                Node::Bool(truth) => *truth,
                Node::Number(_) => true,
                Node::String(text) => !text.is_empty(),
                Node::Array(elements) => !elements.is_empty(),
                Node::Object(members) => !members.is_empty(),
            },
        }
    }
}
