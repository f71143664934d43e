//! A short name for what mapping files say: the same on every machine and after every start.

use std::cell::RefCell;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::source::Source;

/// Hexadecimal digits of a fingerprint. Chance gives two versions of a mapping the same once in 280 million million.
const DIGITS: usize = 12;

/// A fingerprint being taken; files that are named while others are read are added as they come.
pub(super) struct FingerprintTaker(RefCell<Sha256>);

impl FingerprintTaker {
    pub(super) fn of(files: [Option<Source<'_>>; 2]) -> Self {
        let taker = Self(RefCell::new(Sha256::new()));
        files.into_iter().for_each(|file| taker.add(file.map_or("", |file| file.text)));
        taker
    }

    /// One more text. Its length goes before it, so that no two lists of texts are the same stream.
    pub(super) fn add(&self, text: &str) {
        let mut hash = self.0.borrow_mut();
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    }

    pub(super) fn take(self) -> Arc<str> {
        let digest = self.0.into_inner().finalize();
        let mut digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        digits.truncate(DIGITS);
        digits.into()
    }
}

#[cfg(test)]
mod tests {
    use super::FingerprintTaker;
    use crate::mapping::Source;

    fn fingerprint(device: &str, fhir: &str, included: &[&str]) -> String {
        let source = |text| Some(Source { name: "any name", text });
        let taker = FingerprintTaker::of([source(device), source(fhir)]);
        included.iter().for_each(|text| taker.add(text));
        taker.take().as_ref().to_owned()
    }

    #[test]
    fn it_is_the_same_for_the_same_texts_and_another_for_others() {
        let first = fingerprint("a", "b", &["c"]);
        assert_eq!(first, fingerprint("a", "b", &["c"]));
        assert!(first.len() == 12 && first.chars().all(|digit| digit.is_ascii_hexdigit()), "{first}");
        for (device, fhir, included) in
            [("x", "b", &["c"][..]), ("a", "x", &["c"]), ("a", "b", &["x"]), ("a", "b", &[]), ("ab", "", &["c"])]
        {
            assert_ne!(first, fingerprint(device, fhir, included), "{device} {fhir} {included:?}");
        }
    }
}
