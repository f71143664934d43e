//! The prefixes of ordered values, <https://hl7.org/fhir/R4/search.html#prefix>.

use crate::fhir::store::Relation;

/// What a prefix asks for, and the value behind it. Without a prefix, `eq`.
pub(super) fn split_prefix(value: &str) -> (Relation, &str) {
    const PREFIXES: &[(&str, Relation)] = &[
        ("eq", Relation::Within),
        ("ne", Relation::NotWithin),
        ("gt", Relation::Above),
        ("lt", Relation::Below),
        ("ge", Relation::AtLeast),
        ("le", Relation::AtMost),
        ("sa", Relation::StartsAfter),
        ("eb", Relation::EndsBefore),
        ("ap", Relation::Overlaps),
    ];
    PREFIXES
        .iter()
        .find_map(|(prefix, relation)| Some((*relation, value.strip_prefix(prefix)?)))
        .unwrap_or((Relation::Within, value))
}

#[cfg(test)]
mod tests {
    use super::split_prefix;
    use crate::fhir::store::Relation;

    #[test]
    fn a_value_without_a_prefix_asks_for_equality() {
        assert_eq!(split_prefix("2024"), (Relation::Within, "2024"));
        assert_eq!(split_prefix("ge2024"), (Relation::AtLeast, "2024"));
        assert_eq!(split_prefix("ap-5"), (Relation::Overlaps, "-5"));
        assert_eq!(split_prefix("xx2024"), (Relation::Within, "xx2024"));
    }
}
