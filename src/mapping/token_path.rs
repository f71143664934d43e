//! Where tokens stand in an envelope, for the failures that concern them.
//!
//! They are looked up by identity and all at once: one walk over the envelope, however many tokens failed.

use std::collections::{HashMap, HashSet};

use crate::json::Node;

/// Longest path told, in bytes; names in payloads may be of any length.
const PATH_BYTES_MAX: usize = 1_000;

/// A token by its address. One that an expression computed is never mistaken for a value of the envelope, because it was
/// made while the envelope existed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Token(usize);

impl Token {
    pub(super) fn of(node: &Node<'_>) -> Self {
        Self(std::ptr::from_ref(node).addr())
    }
}

/// The paths of those tokens that stand in the envelope.
pub(super) fn of(tokens: impl Iterator<Item = Token>, envelope: &Node<'_>) -> HashMap<Token, String> {
    let mut search = Search { sought: tokens.collect(), found: HashMap::new(), steps: Vec::new() };
    search.visit(envelope);
    search.found
}

/// The path of one token, if it stands in the envelope.
pub(super) fn of_one(token: &Node<'_>, envelope: &Node<'_>) -> Option<String> {
    of([Token::of(token)].into_iter(), envelope).into_values().next()
}

struct Search<'n> {
    sought: HashSet<Token>,
    found: HashMap<Token, String>,
    /// The way from the root to where the search is.
    steps: Vec<Step<'n>>,
}

#[derive(Clone, Copy)]
enum Step<'n> {
    Member(&'n str),
    Element(usize),
}

impl<'n> Search<'n> {
    fn visit(&mut self, node: &'n Node<'_>) {
        if self.sought.remove(&Token::of(node)) {
            self.found.insert(Token::of(node), self.path());
        }
        if self.sought.is_empty() {
            return;
        }
        let members = node.members().iter().map(|(name, value)| (Step::Member(name), value));
        let elements = node.elements().iter().enumerate().map(|(index, value)| (Step::Element(index), value));
        for (step, value) in members.chain(elements) {
            self.steps.push(step);
            self.visit(value);
            self.steps.pop();
        }
    }

    fn path(&self) -> String {
        let steps = self.steps.iter().map(|step| match step {
            Step::Member(name) if is_plain(name) => format!(".{name}"),
            Step::Member(name) => format!("['{}']", name.replace('\\', r"\\").replace('\'', r"\'")),
            Step::Element(index) => format!("[{index}]"),
        });
        let mut path = String::from("$");
        path.extend(steps);
        if path.len() > PATH_BYTES_MAX {
            path.truncate(path.floor_char_boundary(PATH_BYTES_MAX));
            path.push_str("...");
        }
        path
    }
}

/// Whether a name needs no quotes in a path.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|character| character.is_alphanumeric() || matches!(character, '_' | '-'))
}

#[cfg(test)]
mod tests {
    use super::{PATH_BYTES_MAX, Token, of};
    use crate::json::{Node, parse};

    #[track_caller]
    fn check(document: &str, token: for<'n> fn(&'n Node<'static>) -> &'n Node<'static>, expected: &str) {
        let envelope = parse(document.to_owned().leak().as_bytes()).unwrap();
        let token = Token::of(token(&envelope));
        assert_eq!(of([token].into_iter(), &envelope).get(&token).map(String::as_str), Some(expected));
    }

    #[test]
    fn dm_37_a_path_names_members_and_counts_elements() {
        check("1", |root| root, "$");
        check(
            r#"{"Body":{"rows":[0,{"x-y":1}]}}"#,
            |root| &root.members()[0].1.members()[0].1.elements()[1],
            "$.Body.rows[1]",
        );
        check(r#"{"$ref":{"it's":1}}"#, |root| &root.members()[0].1.members()[0].1, r"$['$ref']['it\'s']");
        check(r#"{"":1}"#, |root| &root.members()[0].1, "$['']");
    }

    #[test]
    fn a_path_has_a_bound() {
        let document = format!(r#"{{"{}":1}}"#, "ä".repeat(5_000));
        let envelope = parse(document.as_bytes()).unwrap();
        let token = Token::of(&envelope.members()[0].1);
        let path = &of([token].into_iter(), &envelope)[&token];
        assert!(path.ends_with("...") && path.len() <= PATH_BYTES_MAX + 3, "{path}");
    }

    #[test]
    fn what_stands_elsewhere_has_no_path() {
        let computed = Node::Null;
        let envelope = parse(b"[null,null]").unwrap();
        assert!(of([Token::of(&computed)].into_iter(), &envelope).is_empty());
    }
}
