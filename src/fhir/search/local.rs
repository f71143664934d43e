//! References to this very server: `http://here/fhir/Patient/1` is `Patient/1`, in resources as in searches, so that each
//! finds the other. Only the API knows under which address it was asked.

use super::reference::{local, without_version};
use crate::fhir::store::{CodeSet, Condition, IndexEntry, IndexValue, Test};

/// Makes the absolute references to `base` (without a slash at its end) among index entries local.
pub(crate) fn localize_entries(entries: &mut [IndexEntry], base: &str) {
    entries.iter_mut().for_each(|entry| localize_value(&mut entry.value, base));
}

fn localize_value(value: &mut IndexValue, base: &str) {
    match value {
        IndexValue::Reference { target } | IndexValue::Series { subject: target, .. } => localize_target(target, base),
        IndexValue::Composite { parts } => {
            parts.iter_mut().flatten().for_each(|value| localize_value(value, base));
        }
        IndexValue::Token { .. }
        | IndexValue::Date { .. }
        | IndexValue::Number { .. }
        | IndexValue::Quantity { .. }
        | IndexValue::Range { .. }
        | IndexValue::String { .. }
        | IndexValue::Uri { .. }
        | IndexValue::Display { .. } => {}
    }
}

/// Makes the absolute references to `base` (without a slash at its end) in a condition local.
pub(crate) fn localize(condition: &mut Condition, base: &str) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter_mut().for_each(|part| localize(part, base)),
        Condition::Not(condition) | Condition::Linked { condition, .. } | Condition::LinkedFrom { condition, .. } => {
            localize(condition, base);
        }
        Condition::Has(_, test) => localize_test(test, base),
        Condition::Coded(_, CodeSet::ValueSet(name)) => localize_target(name, base),
        Condition::Within(_, hierarchy) => localize_target(&mut hierarchy.start, base),
        Condition::Coded(_, CodeSet::Below(_) | CodeSet::Above(_))
        | Condition::Id(_)
        | Condition::LastUpdated { .. }
        | Condition::Words(_)
        | Condition::Near { .. }
        | Condition::Present(_) => {}
    }
}

fn localize_test(test: &mut Test, base: &str) {
    match test {
        Test::Reference { target } => localize_target(target, base),
        Test::Composite { parts } => parts.iter_mut().flatten().for_each(|test| localize_test(test, base)),
        Test::Token { .. }
        | Test::MediaType { .. }
        | Test::Date { .. }
        | Test::Number { .. }
        | Test::Quantity { .. }
        | Test::String { .. }
        | Test::Uri { .. }
        | Test::Display { .. } => {}
    }
}

/// `Type/id` for an absolute reference to `base`; any other stays as it is.
pub(crate) fn localize_target(target: &mut String, base: &str) {
    let relative = target.strip_prefix(base).and_then(|rest| rest.strip_prefix('/')).map(without_version);
    if let Some(relative) = relative.filter(|relative| local(relative).is_some()) {
        *target = relative.to_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::{localize, localize_entries};
    use crate::fhir::store::{Condition, IndexEntry, IndexValue, Test};

    #[track_caller]
    fn check(target: &str, expected: &str) {
        let base = "http://here/fhir";
        let entries = |target: &str| {
            let reference = || IndexValue::Reference { target: target.to_owned() };
            [reference(), IndexValue::Composite { parts: vec![vec![reference()]] }]
                .map(|value| IndexEntry { parameter: "subject".into(), value })
        };
        let mut localized = entries(target);
        localize_entries(&mut localized, base);
        assert_eq!(localized, entries(expected));
        let condition = |target: &str| {
            let points = || Test::Reference { target: target.to_owned() };
            let pair = Test::Composite { parts: vec![vec![points()]] };
            let has = |test| Condition::Has("subject".into(), test);
            Condition::All(vec![Condition::Not(Box::new(has(points()))), has(pair)])
        };
        let mut localized = condition(target);
        localize(&mut localized, base);
        assert_eq!(localized, condition(expected));
    }

    #[test]
    fn only_references_to_this_server_become_local() {
        check("http://here/fhir/Patient/1", "Patient/1");
        check("http://here/fhir/Patient/1/_history/2", "Patient/1");
        check("http://there/fhir/Patient/1", "http://there/fhir/Patient/1");
        check("http://here/fhirs/Patient/1", "http://here/fhirs/Patient/1");
        check("http://here/fhir/ValueSet", "http://here/fhir/ValueSet");
        check("Patient/1", "Patient/1");
    }
}
