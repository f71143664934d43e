//! Reads the embedded tables: tab-separated, a header row, sorted.

/// The rows of a table behind its header, each cut into its `N` columns. A row of another width is skipped; a test of
/// each table counts its rows.
pub(crate) fn rows<const N: usize>(table: &'static str) -> impl Iterator<Item = [&'static str; N]> {
    table.lines().skip(1).filter_map(|line| {
        let columns: Vec<&'static str> = line.split('\t').collect();
        <[&'static str; N]>::try_from(columns).ok()
    })
}

/// The parts of a column that holds a list.
pub(crate) fn list(column: &'static str, separator: char) -> impl Iterator<Item = &'static str> {
    column.split(separator).filter(|part| !part.is_empty())
}
