//! How far a path gets in a document, for those who ask why it selects nothing.

use std::ops::ControlFlow;

use super::super::effort::Effort;
use super::evaluate::select;
use super::{Item, Path};

impl Path {
    /// How many values each beginning of the path selects, with its text; `text` is what the path was parsed from. Ends
    /// at the first beginning that selects none, and before one that takes too much work.
    pub(in crate::mapping) fn progress<'t>(&self, text: &'t str, document: Item<'_, '_>) -> Vec<(&'t str, usize)> {
        let mut progress = Vec::with_capacity(self.ends.len());
        for (index, end) in self.ends.iter().enumerate() {
            let mut count = 0;
            let steps = self.steps.get(..=index).unwrap_or_default();
            let selected = select(steps, document, &Effort::full(), &mut |_| {
                count += 1;
                ControlFlow::Continue(())
            });
            if selected.is_err() {
                break;
            }
            progress.push((text.get(..*end).unwrap_or(text).trim(), count));
            if count == 0 {
                break;
            }
        }
        progress
    }
}

#[cfg(test)]
mod tests {
    use super::{Item, Path};
    use crate::json::parse;

    #[track_caller]
    fn check(path: &str, expected: &[(&str, usize)]) {
        let document = parse(br#"{"Body":{"rows":[{"k":"hr","v":61},{"k":"spo2","v":97},{"v":5}]}}"#).unwrap();
        let progress = Path::parse(path).unwrap().progress(path, Item::Node(&document));
        assert_eq!(progress, expected, "{path}");
    }

    #[test]
    fn every_beginning_of_a_path_is_counted_up_to_the_first_that_selects_nothing() {
        check("$.Body.rows[*].k", &[("$.Body", 1), ("$.Body.rows", 1), ("$.Body.rows[*]", 3), ("$.Body.rows[*].k", 2)]);
        check("$.Body['row'].k.x", &[("$.Body", 1), ("$.Body['row']", 0)]);
        check(
            "$..[?(@.k == 'hr' && @.v)].v",
            &[("$..[?(@.k == 'hr' && @.v)]", 1), ("$..[?(@.k == 'hr' && @.v)].v", 1)],
        );
        check("$..rows[0,2] ", &[("$..rows", 1), ("$..rows[0,2]", 2)]);
        check("$", &[]);
        check("Body.rows", &[("Body", 1), ("Body.rows", 1)]);
    }
}
