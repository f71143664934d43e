//! JSON with a line for each value, for people: strings and numbers stay as they are written.

const INDENT: &str = "  ";

/// Breaks the lines of a JSON document that is well-formed.
pub(crate) fn pretty(text: &[u8]) -> Vec<u8> {
    let mut lines = Lines { text: Vec::with_capacity(text.len() * 2), depth: 0, opened: false };
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                lines.value(byte);
                lines.depth += 1;
                lines.opened = true;
            }
            b'}' | b']' => lines.close(byte),
            b',' => {
                lines.text.push(byte);
                lines.break_line();
            }
            b':' => lines.text.extend_from_slice(b": "),
            b'"' => {
                lines.value(byte);
                lines.rest_of_string(&mut bytes);
            }
            b' ' | b'\t' | b'\n' | b'\r' => {}
            _ => lines.value(byte),
        }
    }
    lines.text
}

struct Lines {
    text: Vec<u8>,
    depth: usize,
    /// Whether the last token opened an array or object.
    opened: bool,
}

impl Lines {
    /// A byte with which a value begins or goes on.
    fn value(&mut self, byte: u8) {
        if std::mem::take(&mut self.opened) {
            self.break_line();
        }
        self.text.push(byte);
    }

    fn close(&mut self, byte: u8) {
        self.depth = self.depth.saturating_sub(1);
        if !std::mem::take(&mut self.opened) {
            self.break_line();
        }
        self.text.push(byte);
    }

    fn break_line(&mut self) {
        self.text.push(b'\n');
        (0..self.depth).for_each(|_| self.text.extend_from_slice(INDENT.as_bytes()));
    }

    fn rest_of_string(&mut self, bytes: &mut impl Iterator<Item = u8>) {
        while let Some(byte) = bytes.next() {
            self.text.push(byte);
            match byte {
                b'"' => return,
                b'\\' => self.text.extend(bytes.next()),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::pretty;

    #[test]
    fn every_value_has_a_line_and_is_written_as_it_was() {
        let text = r#"{"a":{"b":1.00 ,"c":"x, {\"y\": [\\"},"d":[], "e":{ },"f":[true,null,-1E+05,"ü"]}"#;
        let expected = r#"{
  "a": {
    "b": 1.00,
    "c": "x, {\"y\": [\\"
  },
  "d": [],
  "e": {},
  "f": [
    true,
    null,
    -1E+05,
    "ü"
  ]
}"#;
        assert_eq!(String::from_utf8(pretty(text.as_bytes())).unwrap(), expected);
        assert_eq!(pretty(expected.as_bytes()), expected.as_bytes());
    }
}
