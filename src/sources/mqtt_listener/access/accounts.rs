//! Users with passwords, from a password file that is read anew when it changes.
//!
//! A password is compared with its hash once. What proves it from then on is a keyed digest in memory, so that a fleet that
//! comes back after a loss of the network costs microseconds for each device, and not the tenth of a second that makes
//! hashes hard to guess. The first comparison runs beside the runtime, a few at a time; it goes on when its client has given
//! up waiting, so that after a restart each round of attempts finds more users proven.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use ring::hmac;
use ring::rand::SystemRandom;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::file::{FileError, WatchedFile};
use super::guesses::Guesses;
use super::hash::{NoRandomness, PasswordHash};
use super::password_file::{self, Hashes};
use crate::sources::mqtt_listener::greeting::Refusal;

/// Longest wait for a turn to be compared.
const TURN_PATIENCE: Duration = Duration::from_secs(10);

/// The accounts of a listener.
#[derive(Debug)]
pub(super) struct Accounts {
    file: Mutex<WatchedFile>,
    book: RwLock<HashMap<String, Arc<Account>>>,
    guesses: Guesses,
    /// Turns to compare a password with its hash.
    turns: Arc<Semaphore>,
    /// Under which proofs are kept, different in each process.
    key: hmac::Key,
}

/// One user.
#[derive(Debug)]
pub(super) struct Account {
    hash: PasswordHash,
    /// Digest of the password, once it is known.
    proof: OnceLock<hmac::Tag>,
    /// Told when the user is gone from the file, or has another password.
    pub(super) revoked: CancellationToken,
}

/// Why accounts cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccountsError {
    /// The password file.
    #[error(transparent)]
    File(#[from] FileError),
    /// No key can be made.
    #[error(transparent)]
    Randomness(NoRandomness),
}

impl Accounts {
    /// Reads the password file.
    ///
    /// # Errors
    /// When it cannot be read, every line of it that is wrong, and when there is no randomness to be had.
    pub(super) fn open(path: &Path) -> Result<Self, AccountsError> {
        let (file, hashes) = WatchedFile::open(path, password_file::parse)?;
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_unspecified| AccountsError::Randomness(NoRandomness))?;
        // One processor is left to those who are connected.
        let turns =
            std::thread::available_parallelism().map_or(1, |processors| processors.get().saturating_sub(1).max(1));
        Ok(Self {
            file: Mutex::new(file),
            book: RwLock::new(hashes.into_iter().map(|(user, hash)| (user, Arc::new(Account::new(hash)))).collect()),
            guesses: Guesses::new(),
            turns: Arc::new(Semaphore::new(turns)),
            key,
        })
    }

    /// Reads the file anew if it has changed. Who is no longer in it is revoked; with mistakes in it all stays as it was.
    ///
    /// # Errors
    /// As `open`, once for each change.
    pub(super) fn look(&self) -> Option<Result<(), FileError>> {
        let changed = self.file.lock().unwrap_or_else(PoisonError::into_inner).changed(password_file::parse)?;
        Some(changed.map(|hashes| self.replace(hashes)))
    }

    fn replace(&self, hashes: Hashes) {
        let mut book = self.book.write().unwrap_or_else(PoisonError::into_inner);
        let mut former = std::mem::take(&mut *book);
        for (user, hash) in hashes {
            let account = match former.remove(&user) {
                Some(account) if account.hash == hash => account,
                Some(changed) => {
                    changed.revoked.cancel();
                    Arc::new(Account::new(hash))
                }
                None => Arc::new(Account::new(hash)),
            };
            book.insert(user, account);
        }
        former.values().for_each(|account| account.revoked.cancel());
    }

    /// The account of a user, if this is its password.
    ///
    /// # Errors
    /// When it is not, or that is not to be known now.
    pub(super) async fn account(&self, address: IpAddr, user: &str, password: &[u8]) -> Result<Arc<Account>, Refusal> {
        if !self.guesses.may_try(address, user) {
            return Err(Refusal::TooManyGuesses);
        }
        let account = self.book.read().unwrap_or_else(PoisonError::into_inner).get(user).cloned();
        let is_right = match &account {
            None => false,
            Some(account) => match account.proof.get() {
                Some(proof) => hmac::verify(&self.key, password, proof.as_ref()).is_ok(),
                None => self.compare(account, address, user, password).await?,
            },
        };
        match account {
            Some(account) if is_right => Ok(account),
            Some(_) | None => {
                self.guesses.count(address, user);
                Err(Refusal::Credentials)
            }
        }
    }

    async fn compare(
        &self,
        account: &Arc<Account>,
        address: IpAddr,
        user: &str,
        password: &[u8],
    ) -> Result<bool, Refusal> {
        let turn = timeout(TURN_PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Refusal::Busy) };
        // Others may have guessed meanwhile: all of them together are bounded.
        if !self.guesses.may_try(address, user) {
            return Err(Refusal::TooManyGuesses);
        }
        let (account, key, password) = (Arc::clone(account), self.key.clone(), password.to_vec());
        let compared = tokio::task::spawn_blocking(move || {
            let is_right = account.hash.is_of(&password);
            if is_right {
                account.proof.get_or_init(|| hmac::sign(&key, &password));
            }
            drop(turn);
            is_right
        });
        compared.await.map_err(|_stopped| Refusal::Busy)
    }
}

impl Account {
    fn new(hash: PasswordHash) -> Self {
        Self { hash, proof: OnceLock::new(), revoked: CancellationToken::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::num::NonZeroU32;
    use std::path::Path;

    use super::Accounts;
    use crate::sources::mqtt_listener::access::guesses::GUESSES_OF_USER_MAX;
    use crate::sources::mqtt_listener::access::hash::PasswordHash;
    use crate::sources::mqtt_listener::greeting::Refusal;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn write(file: &Path, users: &[(&str, &str)]) {
        let lines = users.iter().map(|(user, password)| {
            format!("{user}:{}\n", PasswordHash::of(password.as_bytes(), NonZeroU32::new(100).unwrap()).unwrap())
        });
        std::fs::write(file, lines.collect::<String>()).unwrap();
    }

    async fn check(accounts: &Accounts, user: &str, password: &str, expected: Result<(), Refusal>) {
        let found = accounts.account(HERE, user, password.as_bytes()).await.map(drop);
        assert_eq!(found, expected, "{user} {password}");
    }

    #[tokio::test]
    async fn a_password_is_right_before_it_is_proven_and_after() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("devices.passwd");
        write(&file, &[("a", "secret"), ("b", "other")]);
        let accounts = Accounts::open(&file).unwrap();
        for _ in 0..2 {
            check(&accounts, "a", "other", Err(Refusal::Credentials)).await;
            check(&accounts, "a", "secret", Ok(())).await;
            check(&accounts, "b", "", Err(Refusal::Credentials)).await;
            check(&accounts, "c", "secret", Err(Refusal::Credentials)).await;
        }
    }

    #[tokio::test]
    async fn after_too_many_wrong_passwords_not_even_the_right_one_is_heard() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("devices.passwd");
        write(&file, &[("a", "secret"), ("b", "secret")]);
        let accounts = Accounts::open(&file).unwrap();
        check(&accounts, "a", "secret", Ok(())).await;
        for _ in 0..GUESSES_OF_USER_MAX {
            check(&accounts, "a", "wrong", Err(Refusal::Credentials)).await;
        }
        check(&accounts, "a", "secret", Err(Refusal::TooManyGuesses)).await;
        check(&accounts, "b", "secret", Ok(())).await;
    }

    #[tokio::test]
    async fn a_change_of_the_file_revokes_those_it_concerns() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("devices.passwd");
        write(&file, &[("stays", "1"), ("goes", "2"), ("changes", "3")]);
        let stays =
            std::fs::read_to_string(&file).unwrap().lines().find(|line| line.starts_with("stays")).unwrap().to_owned();
        let accounts = Accounts::open(&file).unwrap();
        let mut users = Vec::new();
        for (user, password) in [("stays", "1"), ("goes", "2"), ("changes", "3")] {
            users.push(accounts.account(HERE, user, password.as_bytes()).await.unwrap());
        }
        assert!(accounts.look().is_none());
        std::fs::write(&file, "broken\n").unwrap();
        assert!(accounts.look().unwrap().is_err());
        check(&accounts, "goes", "2", Ok(())).await;

        write(&file, &[("changes", "4"), ("comes", "5")]);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{text}{stays}\n")).unwrap();
        accounts.look().unwrap().unwrap();
        let revoked: Vec<bool> = users.iter().map(|account| account.revoked.is_cancelled()).collect();
        assert_eq!(revoked, [false, true, true]);
        check(&accounts, "stays", "1", Ok(())).await;
        check(&accounts, "goes", "2", Err(Refusal::Credentials)).await;
        check(&accounts, "changes", "3", Err(Refusal::Credentials)).await;
        check(&accounts, "changes", "4", Ok(())).await;
        check(&accounts, "comes", "5", Ok(())).await;
    }
}
