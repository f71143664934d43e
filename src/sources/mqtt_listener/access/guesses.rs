//! How often a password may be wrong: by each address for each user, and by each address in all, in a minute.
//!
//! Counted for a user too because a whole ward may be behind one address: a device with a forgotten password must not
//! lock out its neighbours. The latter bound stops who tries one password on many users.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use moka::sync::Cache;

/// How long a wrong password counts, from the first of its like.
const WINDOW: Duration = Duration::from_secs(60);
/// Wrong passwords of one address for one user.
pub(super) const GUESSES_OF_USER_MAX: u32 = 10;
/// Wrong passwords of one address.
pub(super) const GUESSES_OF_ADDRESS_MAX: u32 = 300;
/// Counts kept at a time; those least used go.
const COUNTS_MAX: u64 = 100_000;

/// Wrong passwords of late.
pub(super) struct Guesses {
    counts: Cache<u64, Arc<AtomicU32>>,
    /// What is counted may have any length and is nobody's business, so that only its hash is kept.
    hasher: RandomState,
}

impl Guesses {
    /// None so far.
    pub(super) fn new() -> Self {
        let counts = Cache::builder().max_capacity(COUNTS_MAX).time_to_live(WINDOW).build();
        Self { counts, hasher: RandomState::new() }
    }

    /// Whether another password may be tried.
    pub(super) fn may_try(&self, address: IpAddr, user: &str) -> bool {
        let below = |key, max| self.counts.get(&key).is_none_or(|count| count.load(Ordering::Relaxed) < max);
        let [of_user, of_address] = self.keys(address, user);
        below(of_user, GUESSES_OF_USER_MAX) && below(of_address, GUESSES_OF_ADDRESS_MAX)
    }

    /// A password was wrong.
    pub(super) fn count(&self, address: IpAddr, user: &str) {
        for key in self.keys(address, user) {
            self.counts.get_with(key, Arc::default).fetch_add(1, Ordering::Relaxed);
        }
    }

    fn keys(&self, address: IpAddr, user: &str) -> [u64; 2] {
        let network = network(address);
        [self.hasher.hash_one((network, Some(user))), self.hasher.hash_one((network, None::<&str>))]
    }
}

impl std::fmt::Debug for Guesses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guesses")
    }
}

/// An address, or for IPv6 the network of its last 64 bits, in which everybody has as many addresses as they like.
fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::{GUESSES_OF_ADDRESS_MAX, GUESSES_OF_USER_MAX, Guesses};

    #[test]
    fn a_user_that_is_guessed_at_locks_out_neither_others_nor_other_addresses() {
        let guesses = Guesses::new();
        let (here, there) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        for _ in 0..GUESSES_OF_USER_MAX {
            assert!(guesses.may_try(here, "monitor"));
            guesses.count(here, "monitor");
        }
        assert!(!guesses.may_try(here, "monitor"));
        assert!(guesses.may_try(here, "pump") && guesses.may_try(there, "monitor"));
    }

    #[test]
    fn one_password_cannot_be_tried_on_all_users() {
        let guesses = Guesses::new();
        let address = |text: &str| text.parse().unwrap();
        for user in 0..GUESSES_OF_ADDRESS_MAX {
            guesses.count(address("2001:db8::1"), &user.to_string());
        }
        assert!(!guesses.may_try(address("2001:db8::2"), "another"));
        assert!(guesses.may_try(address("2001:db8:0:1::1"), "another"));
    }
}
