//! JSON written straight to text, for the hot path of building Observations.

/// Appends a string with quotes and escapes.
pub(super) fn write_string(out: &mut String, text: &str) {
    out.push('"');
    write_text(out, text);
    out.push('"');
}

/// Appends a part of a string, escaped where it must be.
pub(super) fn write_text(out: &mut String, text: &str) {
    let needs_escape = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    if text.bytes().any(needs_escape) {
        write_escaped(out, text);
    } else {
        out.push_str(text);
    }
}

fn write_escaped(out: &mut String, text: &str) {
    use std::fmt::Write;

    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                let written = write!(out, "\\u{:04x}", u32::from(control));
                debug_assert!(written.is_ok(), "writing to a String cannot fail");
            }
            plain => out.push(plain),
        }
    }
}

/// An object being written; it must be closed.
#[must_use]
pub(super) struct ObjectWriter<'o> {
    out: &'o mut String,
    is_empty: bool,
}

impl<'o> ObjectWriter<'o> {
    pub(super) fn open(out: &'o mut String) -> Self {
        out.push('{');
        Self { out, is_empty: true }
    }

    /// Writes the name of the next member; the caller appends its value.
    pub(super) fn member(&mut self, name: &str) -> &mut String {
        if !std::mem::replace(&mut self.is_empty, false) {
            self.out.push(',');
        }
        write_string(self.out, name);
        self.out.push(':');
        self.out
    }

    pub(super) fn string(&mut self, name: &str, text: &str) {
        write_string(self.member(name), text);
    }

    /// FHIR has no empty strings, so a blank text is left out as a missing one is.
    pub(super) fn optional_string(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text.filter(|text| !text.trim().is_empty()) {
            self.string(name, text);
        }
    }

    /// A value that is JSON already.
    pub(super) fn json(&mut self, name: &str, json: &str) {
        self.member(name).push_str(json);
    }

    pub(super) fn close(self) {
        self.out.push('}');
    }
}

/// Appends an array, its elements by `write`.
pub(super) fn write_array<T>(out: &mut String, items: impl IntoIterator<Item = T>, write: impl Fn(&mut String, T)) {
    out.push('[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::write_string;

    proptest::proptest! {
        #[test]
        fn strings_read_back(text in "\\PC*|[\\x00-\\x7f]{0,20}") {
            let mut json = String::new();
            write_string(&mut json, &text);
            proptest::prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
