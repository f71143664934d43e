//! `\,` `\|` `\$` `\\` in search values, <https://hl7.org/fhir/R4/search.html#escaping>.

/// Cuts a text at every separator that is not escaped. The parts keep their escapes.
pub(super) fn split(text: &str, separator: char) -> Vec<&str> {
    let mut escaped = false;
    text.split(|character| {
        let is_separator = character == separator && !escaped;
        escaped = character == '\\' && !escaped;
        is_separator
    })
    .collect()
}

/// Takes the escapes away. `None` when a backslash stands before anything else.
pub(super) fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.push(characters.next().filter(|escaped| r"\,|$".contains(*escaped))?),
            _ => plain.push(character),
        }
    }
    Some(plain)
}

/// Puts escapes before every character that needs one.
pub(crate) fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, character| {
        if r"\,|$".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
        escaped
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{escape, split, unescape};

    #[test]
    fn an_escaped_separator_does_not_separate() {
        assert_eq!(split(r"a\,b,c", ','), [r"a\,b", "c"]);
        assert_eq!(split(r"a\\,b", ','), [r"a\\", "b"]);
        assert_eq!(split("", ','), [""]);
        assert_eq!(split(r"s\|t|c", '|'), [r"s\|t", "c"]);
    }

    #[test]
    fn a_backslash_before_anything_else_is_refused() {
        assert_eq!(unescape(r"a\b"), None);
        assert_eq!(unescape("a\\"), None);
    }

    proptest! {
        #[test]
        fn unescape_undoes_escape(text in r"[a\\,|$é]{0,12}") {
            prop_assert_eq!(unescape(&escape(&text)), Some(text.clone()));
            prop_assert_eq!(split(&escape(&text), ',').len(), 1);
        }
    }
}
