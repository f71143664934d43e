//! Data in a text that renders to JSON, marked so that it can be nothing but part of a string.
//!
//! Escaping alone would not do: `"value": {{values.x}}` without quotes lets `[]` or `1, "subject": ...` through. Data is
//! therefore written as hexadecimal digits between two characters that are no JSON outside of a string, and put in its
//! place after the text has been parsed.

use std::fmt::Write;

/// Private use, so no text means anything by them; a template that has them is refused.
const OPEN: char = '\u{f0000}';
const CLOSE: char = '\u{f0001}';

/// A reading for a trial, which what is made of it can be told by.
pub(super) const TRIAL: &str = "\u{f0002}";

/// Whether data is, or was on trial, part of a text.
pub(super) fn has_data(text: &str) -> bool {
    is_marked(text) || text.contains(TRIAL)
}

/// Marks data.
pub(super) fn mark(data: &str) -> String {
    let mut marked = String::with_capacity(data.len() * 2 + 8);
    marked.push(OPEN);
    for byte in data.bytes() {
        let written = write!(marked, "{byte:02x}");
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
    marked.push(CLOSE);
    marked
}

/// Whether a text holds marks.
pub(super) fn is_marked(text: &str) -> bool {
    text.contains([OPEN, CLOSE])
}

/// The text with its data in place; `None` when the marks are not as `mark` makes them.
pub(super) fn unmark(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, marked)) = rest.split_once(OPEN) {
        let (digits, after) = marked.split_once(CLOSE)?;
        plain.push_str(before);
        plain.push_str(&decode(digits)?);
        rest = after;
    }
    plain.push_str(rest);
    (!rest.contains(CLOSE)).then_some(plain)
}

fn decode(digits: &str) -> Option<String> {
    let bytes = digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::{is_marked, mark, unmark};

    proptest::proptest! {
        #[test]
        fn what_is_marked_reads_back(before in "[a-z{}\"]{0,5}", data in "\\PC{0,20}|[\\x00-\\x7f]{0,20}|[\u{f0000}\u{f0001}0-9a-f]{0,9}") {
            let marked = format!("{before}{}", mark(&data));
            proptest::prop_assert!(is_marked(&marked));
            proptest::prop_assert_eq!(unmark(&marked), Some(format!("{before}{data}")));
        }

        #[test]
        fn no_text_panics(text in "[\u{f0000}\u{f0001}0-9a-fx]{0,12}") {
            drop(unmark(&text));
        }
    }
}
