//! Logical ids that everyone who creates a resource for the same identifier arrives at (rule GR-13).

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Lower-case hex SHA-256 of `<system>_<value>`; a missing system is the empty text.
pub(crate) fn logical_id(system: &str, value: &str) -> String {
    let digest = Sha256::new().chain_update(system).chain_update("_").chain_update(value).finalize();
    let mut id = String::with_capacity(64);
    for byte in digest {
        // Writing to a String cannot fail.
        write!(id, "{byte:02x}").unwrap_or_default();
    }
    id
}

#[cfg(test)]
mod tests {
    use super::logical_id;

    #[test]
    fn gr_13_an_id_is_the_hash_of_system_and_value() {
        // printf '_p-7' | sha256sum
        assert_eq!(logical_id("", "p-7"), "1b46eaf022014dd45adfb96b4d043db199aa8320dbf3cdb85c89b0314244d864");
        assert_ne!(logical_id("a", "b"), logical_id("", "a_b"));
    }
}
