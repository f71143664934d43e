//! The versions of a mapping since the start, the last few of them.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use crate::mapping::Mappings;

/// Versions kept. What began with an older one is finished with the oldest that is left.
const VERSIONS_MAX: usize = 16;

/// Mappings and the number under which they are found again, counted from 1 since the start.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    /// The number.
    pub(crate) number: u64,
    /// The mappings.
    pub(crate) mappings: Arc<Mappings>,
}

/// The last versions of a mapping.
#[derive(Debug)]
pub(crate) struct Versions {
    /// Oldest first; never empty.
    kept: RwLock<VecDeque<Version>>,
}

impl Versions {
    /// The first version, and the list of it.
    pub(crate) fn beginning_with(mappings: Mappings) -> (Self, Version) {
        let version = Version { number: 1, mappings: Arc::new(mappings) };
        (Self { kept: RwLock::new(VecDeque::from([version.clone()])) }, version)
    }

    /// One more version.
    pub(super) fn add(&self, mappings: Mappings) -> Version {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let number = kept.back().map_or(0, |last| last.number) + 1;
        let version = Version { number, mappings: Arc::new(mappings) };
        kept.push_back(version.clone());
        if kept.len() > VERSIONS_MAX {
            kept.pop_front();
        }
        version
    }

    /// The mappings of a version, or of the oldest that is left.
    ///
    /// # Panics
    /// Never: there is always one version.
    #[expect(clippy::expect_used, reason = "versions are added and the last one is never taken away")]
    pub(crate) fn get(&self, number: u64) -> Arc<Mappings> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let version = kept.iter().find(|version| version.number >= number).or_else(|| kept.back());
        Arc::clone(&version.expect("there is a version").mappings)
    }
}

#[cfg(test)]
mod tests {
    use super::{VERSIONS_MAX, Versions};
    use crate::mapping::{Mappings, Source};

    fn mappings(type_name: &str) -> Mappings {
        let device = Source { name: "d", text: r#"{"templateType": "CollectionContent", "template": []}"# };
        let fhir = format!(
            r#"{{"templateType": "CollectionFhir", "template": [{{"templateType": "CodeValueFhir",
                "template": {{"typeName": "{type_name}", "codes": []}}}}]}}"#
        );
        Mappings::load(device, Source { name: "f", text: &fhir }).unwrap().0
    }

    #[test]
    fn the_last_versions_are_kept() {
        let (versions, first) = Versions::beginning_with(mappings("t1"));
        assert_eq!(first.number, 1);
        for number in 2..VERSIONS_MAX + 3 {
            versions.add(mappings(&format!("t{number}")));
        }
        assert!(versions.get(7).fhir_template("t7").is_some());
        assert!(versions.get(1).fhir_template("t3").is_some(), "the oldest that is left");
    }
}
