//! The partition of a device (rule NM-5): where its readings go, always the same, so that their order is kept.

/// How many partitions there are.
pub(crate) const PARTITIONS: u32 = 256;

/// The partition of a device, from 0 to 255: the same number that the reference gives it, without regard to case.
pub(crate) fn of(device_id: &str) -> u32 {
    let units = device_id.to_lowercase();
    let hash = units.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // The smallest number has no positive one beside it, which only an unsigned type holds.
    hash.unsigned_abs() % PARTITIONS
}

#[cfg(test)]
mod tests {
    use super::{PARTITIONS, of};

    #[test]
    fn nm_5_the_partition_is_that_of_the_reference() {
        for (device_id, partition) in [
            ("abba", 32),
            ("aaabbb", 191),
            ("", 0),
            ("a", 97),
            // Two UTF-16 units: 0xd83d * 31 + 0xde00.
            ("\u{1f600}", (0xd83d * 31 + 0xde00) % 256),
        ] {
            assert_eq!(of(device_id), partition, "{device_id}");
        }
    }

    #[test]
    fn nm_5_case_makes_no_difference() {
        assert_eq!(of("AbBa"), of("abba"));
        assert_eq!(of("ÄÖ"), of("äö"));
    }

    #[test]
    fn nm_5_a_hash_without_positive_counterpart_has_a_partition() {
        // The text whose hash is the smallest number of 32 bits.
        assert_eq!(of("polygenelubricants"), 0);
    }

    proptest::proptest! {
        #[test]
        fn nm_5_every_text_has_a_partition(device_id in ".*") {
            proptest::prop_assert!(of(&device_id) < PARTITIONS);
        }
    }
}
