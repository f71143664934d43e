//! Text for a terminal. What came from devices may hold anything, also what would steer the terminal.

/// The text with its control characters spelled out, but for line breaks and tabs.
pub(super) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && !matches!(character, '\n' | '\t') {
            printable.extend(character.escape_unicode());
        } else {
            printable.push(character);
        }
    }
    printable
}

/// The text as one line.
pub(super) fn line(text: &str) -> String {
    printable(&text.replace(['\n', '\t', '\r'], " "))
}

/// Rows as columns that stand below each other; the last one is not padded.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let pad = |(cell, width): (&String, &usize)| format!("{cell:<width$}", width = *width);
    let join =
        |row: &[String; N]| row.iter().zip(&widths).map(pad).collect::<Vec<_>>().join("  ").trim_end().to_owned();
    rows.iter().map(join).collect()
}

#[cfg(test)]
mod tests {
    use super::{columns, line, printable};

    #[test]
    fn text_of_devices_cannot_steer_the_terminal() {
        assert_eq!(printable("a\x1b[2J\u{9b}b\n\tc"), "a\\u{1b}[2J\\u{9b}b\n\tc");
        assert_eq!(line("a\r\nb\x07"), "a  b\\u{7}");
    }

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [["1", "é", "x"], ["22", "longer", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(&rows), ["1   é       x", "22  longer"]);
    }
}
