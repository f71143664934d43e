//! A value as expressions see it.

use crate::json::Node;

/// The member by which expressions of CalculatedContent reach the selected token (DM-24).
pub(crate) const MATCHED_TOKEN: &str = "matchedToken";

/// A value as expressions see it: a part of the envelope, or the extended envelope, which exists as this view only.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Item<'n, 'a> {
    /// A value of the envelope.
    Node(&'n Node<'a>),
    /// The envelope with the token as one more member.
    Extended {
        /// The envelope.
        envelope: &'n Node<'a>,
        /// The selected token.
        token: &'n Node<'a>,
    },
}

impl<'n, 'a> Item<'n, 'a> {
    /// The node behind the item; `None` for the extended envelope, which is an object of no node.
    pub(crate) fn node(self) -> Option<&'n Node<'a>> {
        match self {
            Self::Node(node) => Some(node),
            Self::Extended { .. } => None,
        }
    }

    /// The item as a tree of its own.
    pub(crate) fn to_node(self) -> Node<'a> {
        match self {
            Self::Node(node) => node.clone(),
            Self::Extended { .. } => {
                let members =
                    self.members().filter_map(|(name, item)| Some((name.to_owned().into(), item.node()?.clone())));
                Node::Object(members.collect())
            }
        }
    }

    /// The member called `name`, compared exactly (JP-4).
    pub(in crate::mapping) fn member(self, name: &str) -> Option<Item<'n, 'a>> {
        match self {
            Self::Node(node) => node.member(name).map(Item::Node),
            Self::Extended { token, .. } if name == MATCHED_TOKEN => Some(Item::Node(token)),
            Self::Extended { envelope, .. } => envelope.member(name).map(Item::Node),
        }
    }

    /// Members with their names, in document order; none for what is no object.
    pub(in crate::mapping) fn members(self) -> impl Iterator<Item = (&'n str, Item<'n, 'a>)> {
        let (node, token) = match self {
            Self::Node(node) => (node, None),
            Self::Extended { envelope, token } => (envelope, Some(token)),
        };
        let own = node.members().iter().map(|(name, value)| (name.as_ref(), Item::Node(value)));
        own.filter(move |(name, _)| token.is_none() || *name != MATCHED_TOKEN)
            .chain(token.map(|token| (MATCHED_TOKEN, Item::Node(token))))
    }

    /// The elements of an array; `None` for what is no array.
    pub(super) fn elements(self) -> Option<&'n [Node<'a>]> {
        match self {
            Self::Node(Node::Array(elements)) => Some(elements),
            Self::Node(Node::Null | Node::Bool(_) | Node::Number(_) | Node::String(_) | Node::Object(_))
            | Self::Extended { .. } => None,
        }
    }

    /// Values directly below, in document order.
    pub(super) fn children(self) -> impl Iterator<Item = (Option<&'n str>, Item<'n, 'a>)> {
        let elements = self.elements().unwrap_or_default().iter().map(|element| (None, Item::Node(element)));
        elements.chain(self.members().map(|(name, value)| (Some(name), value)))
    }
}
