//! Logical ids.

/// Longest logical id; see <https://hl7.org/fhir/R4/datatypes.html#id>.
const ID_LENGTH_MAX: usize = 64;

/// Whether this is a logical id: 1 to 64 characters of `[A-Za-z0-9\-.]`.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=ID_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::is_id;

    #[test]
    fn ids_have_a_length_and_an_alphabet() {
        assert!(is_id("A-z.9"));
        assert!(is_id(&"a".repeat(64)));
        for text in ["", "a_b", "a/b", "ä", "a b"] {
            assert!(!is_id(text), "{text}");
        }
        assert!(!is_id(&"a".repeat(65)));
    }
}
