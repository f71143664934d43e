//! Settings that are one of a few words.

/// One of a few words.
macro_rules! words {
    ($type:ty, $expected:literal, $($word:literal => $value:expr),+) => {
        impl $crate::config::section::FromRaw for $type {
            const EXPECTED: &'static str = $expected;
            fn from_content(content: &$crate::config::raw::Content) -> Option<Self> {
                match <String as $crate::config::section::FromRaw>::from_content(content)?.as_str() {
                    $($word => Some($value),)+
                    _ => None,
                }
            }
        }
    };
}

pub(super) use words;
