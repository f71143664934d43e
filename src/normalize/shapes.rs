//! Which messages match no template, by shape, so that a renamed field shows up.
//!
//! Kept in memory for the admin page. Member names may come from anywhere, so they are never logged nor made a metric.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::json;

/// Shapes told apart; messages of further ones are counted together.
const SHAPES_MAX: usize = 100;
/// Bytes of a shape that are kept.
const SHAPE_BYTES_MAX: usize = 256;

/// Counts of unmatched messages since the start.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    by_names: BTreeMap<String, u64>,
    others: u64,
}

/// A shape and how many messages had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Names of the payload's members, sorted, with commas between; `None` for all shapes that are not told apart.
    pub(crate) names: Option<String>,
    /// Messages.
    pub(crate) count: u64,
}

impl Shapes {
    /// Counts a message that matched nothing.
    pub(crate) fn count(&self, payload: &[u8]) {
        let names = names(payload);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.by_names.get_mut(&names) {
            *count += 1;
        } else if counts.by_names.len() < SHAPES_MAX {
            counts.by_names.insert(names, 1);
        } else {
            counts.others += 1;
        }
    }

    /// The shapes, most frequent first.
    pub(crate) fn list(&self) -> Vec<Shape> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let told_apart =
            counts.by_names.iter().map(|(names, count)| Shape { names: Some(names.clone()), count: *count });
        let mut shapes: Vec<Shape> = told_apart.collect();
        shapes.sort_by_key(|shape| std::cmp::Reverse(shape.count));
        shapes.extend((counts.others > 0).then_some(Shape { names: None, count: counts.others }));
        shapes
    }
}

fn names(payload: &[u8]) -> String {
    let parsed = json::parse(payload);
    let mut names: Vec<&str> = match &parsed {
        Ok(body) => body.members().iter().map(|(name, _)| name.as_ref()).collect(),
        Err(_not_json) => Vec::new(),
    };
    names.sort_unstable();
    let mut joined = names.join(",");
    joined.truncate(joined.floor_char_boundary(SHAPE_BYTES_MAX));
    joined
}

#[cfg(test)]
mod tests {
    use super::{SHAPES_MAX, Shape, Shapes};

    #[test]
    fn messages_are_counted_by_their_sorted_member_names() {
        let shapes = Shapes::default();
        for payload in [r#"{"b":1,"a":2}"#, r#"{"a":1,"b":3}"#, "[]"] {
            shapes.count(payload.as_bytes());
        }
        let shape = |names: &str, count| Shape { names: Some(names.to_owned()), count };
        assert_eq!(shapes.list(), [shape("a,b", 2), shape("", 1)]);
    }

    #[test]
    fn the_number_of_shapes_has_a_bound() {
        let shapes = Shapes::default();
        (0..SHAPES_MAX + 7).for_each(|number| shapes.count(format!(r#"{{"m{number}":1}}"#).as_bytes()));
        assert_eq!(shapes.list().len(), SHAPES_MAX + 1);
        assert_eq!(shapes.list().last(), Some(&Shape { names: None, count: 7 }));
    }
}
