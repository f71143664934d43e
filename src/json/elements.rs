//! The elements of an array as texts, each byte for byte as it was written, without a look into them.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Why a text is not taken apart.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ElementsError {
    /// It is JSON, but no array, or no JSON at all.
    #[error("not an array of JSON")]
    NotArray(#[source] serde_json::Error),
    /// It has more elements than may be.
    #[error("more than {0} elements")]
    TooMany(usize),
}

/// The elements of the array that `text` is, `elements_max` at most.
///
/// # Errors
/// See [`ElementsError`]; what comes after the element that is too many is not read.
pub(crate) fn elements(text: &[u8], elements_max: usize) -> Result<Vec<&RawValue>, ElementsError> {
    let mut found = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let read =
        Collect { found: &mut found, elements_max }.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    match read {
        Ok(()) => Ok(found),
        Err(_) if found.len() > elements_max => Err(ElementsError::TooMany(elements_max)),
        Err(cause) => Err(ElementsError::NotArray(cause)),
    }
}

struct Collect<'f, 'a> {
    found: &'f mut Vec<&'a RawValue>,
    elements_max: usize,
}

impl<'de> DeserializeSeed<'de> for Collect<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Collect<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element()? {
            self.found.push(element);
            if self.found.len() > self.elements_max {
                return Err(de::Error::custom("too many elements"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{ElementsError, elements};

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<&str> = elements(text.as_bytes(), 3).unwrap().into_iter().map(|raw| raw.get()).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn elements_are_given_as_they_were_written() {
        check(" [ {\"v\": 65.0 } ,[1,\n2], \"a\\u0041\" ] ", &["{\"v\": 65.0 }", "[1,\n2]", "\"a\\u0041\""]);
        check("[]", &[]);
    }

    #[test]
    fn what_is_no_array_is_refused_wherever_it_goes_wrong() {
        for text in ["", "{}", "1", "[1,", "[1,]", "[1] 2", "[1 2]", "[{\"a\":}]", "[nul]"] {
            assert!(matches!(elements(text.as_bytes(), 3), Err(ElementsError::NotArray(_))), "{text}");
        }
        assert!(matches!(elements(b"[\"\xff\"]", 3), Err(ElementsError::NotArray(_))));
    }

    #[test]
    fn p_7_more_elements_than_may_be_are_not_collected() {
        assert!(matches!(elements(b"[1,2,3,4 and no more", 3), Err(ElementsError::TooMany(3))));
    }
}
