//! What a document must have for a path to select anything in it, for the index of templates.
//!
//! Sound because comparison is existential: a path that selects nothing makes every comparison false (JP-26).

use super::super::index::Feature;
use super::super::timestamp;
use super::{Comparison, Filter, Path, Side, Step};
use crate::json::Node;

impl Path {
    /// Features of every document in which the path selects something.
    pub(in crate::mapping) fn features(&self) -> Vec<Feature> {
        self.steps.iter().flat_map(Step::features).collect()
    }

    /// The name of the member that the path selects, when it ends with one name.
    fn last_name(&self) -> Option<&str> {
        match self.steps.last()? {
            Step::Member(name) => Some(name),
            Step::DescendMembers(names) | Step::Members(names) => match names.as_slice() {
                [name] => Some(name),
                _ => None,
            },
            Step::AllMembers
            | Step::AllElements
            | Step::Index(_)
            | Step::Indexes(_)
            | Step::Slice(_)
            | Step::Filter(_)
            | Step::DescendAll
            | Step::DescendFilter(_) => None,
        }
    }
}

impl Step {
    fn features(&self) -> Vec<Feature> {
        match self {
            Self::Member(name) => vec![Feature::name(name)],
            Self::Members(names) | Self::DescendMembers(names) => {
                Feature::common(names.iter().map(|name| vec![Feature::name(name)]))
            }
            Self::Filter(filter) | Self::DescendFilter(filter) => filter.features(),
            Self::AllMembers
            | Self::AllElements
            | Self::Index(_)
            | Self::Indexes(_)
            | Self::Slice(_)
            | Self::DescendAll => Vec::new(),
        }
    }
}

impl Filter {
    fn features(&self) -> Vec<Feature> {
        match self {
            Self::All(filters) => filters.iter().flat_map(Self::features).collect(),
            Self::Any(filters) => Feature::common(filters.iter().map(Self::features)),
            Self::Exists(side) | Self::Matches(side, _) => side.features(),
            Self::Compare(left, comparison, right) => {
                let mut features = left.features();
                features.extend(right.features());
                if matches!(comparison, Comparison::Equal | Comparison::StrictEqual) {
                    features.extend(equal_text(left, right).or_else(|| equal_text(right, left)));
                }
                features
            }
        }
    }
}

/// A text that a member must be; date-times are equal in several spellings (JP-31), so those do not count.
fn equal_text(path: &Side, literal: &Side) -> Option<Feature> {
    let (Side::Candidate(path) | Side::Root(path), Side::Literal(Node::String(text))) = (path, literal) else {
        return None;
    };
    let name = path.last_name()?;
    timestamp::iso(text).is_none().then(|| Feature::text(name, text))
}

impl Side {
    fn features(&self) -> Vec<Feature> {
        match self {
            Self::Candidate(path) | Self::Root(path) => path.features(),
            Self::Literal(_) => Vec::new(),
        }
    }
}
