//! Resources in XML: <https://hl7.org/fhir/R4/xml.html>.
//!
//! `read` turns XML into the tree that JSON of the same resource has, `write` turns such a tree into XML. Both go by the
//! definitions of R4: they say which member is an attribute, an element or several, in which order elements stand, and
//! which values JSON writes without quotes. What R4 does not define can be neither read nor written.
//!
//! Nothing is expanded but the five entities and the characters by number that XML has by itself; a document type
//! declaration is refused.

mod member;
mod read;
mod write;
mod xhtml;

pub(crate) use self::read::{read, root_name};
pub(crate) use self::write::{Layout, write};

/// The namespace of all elements but those of narratives.
const FHIR: &str = "http://hl7.org/fhir";

/// Whether XML can have this character (<https://www.w3.org/TR/xml/#charsets>).
fn is_character(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests;
