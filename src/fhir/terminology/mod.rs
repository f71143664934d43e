//! Terminology: what CodeSystems and ValueSets say of codes, <https://hl7.org/fhir/R4/terminology-service.html>.
//!
//! Everything is read from resources that are stored here, in the transaction of whoever asks; nothing is kept between
//! questions. The value sets to which R4 binds elements come with the program, code by code but without displays. LOINC,
//! SNOMED CT and other systems are known as far as they are stored as CodeSystems; UCUM, whose codes are without number,
//! is known by its grammar.
//!
//! What cannot be told is refused: a value set whose content is half known is worse than none, because a search by it
//! would miss patients in silence.

pub(crate) mod code_system;
pub(crate) mod error;
pub(crate) mod expansion;
pub(crate) mod find;
pub(crate) mod search;
pub(crate) mod value_set;

mod filter;

use crate::json::Node;

/// The system of units, <https://ucum.org>.
pub(crate) const UCUM: &str = "http://unitsofmeasure.org";

/// The text of a member.
fn text(node: &Node<'_>, name: &str) -> Option<String> {
    node.member(name).and_then(Node::as_str).map(str::to_owned)
}

/// The elements of a member that is an array.
fn list<'n, 'a>(node: &'n Node<'a>, name: &str) -> &'n [Node<'a>] {
    node.member(name).map_or(&[], Node::elements)
}

/// Whether a member is `true`.
fn is_true(node: &Node<'_>, name: &str) -> bool {
    node.member(name) == Some(&Node::Bool(true))
}
