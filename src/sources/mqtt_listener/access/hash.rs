//! Hashes of passwords, as `mosquitto_passwd` writes them: `$7$iterations$salt$hash`, which is PBKDF2 with HMAC-SHA-512
//! ([RFC 8018](https://www.rfc-editor.org/rfc/rfc8018)), and `$6$salt$hash`, which is SHA-512 of password and salt. The
//! latter is quick to guess, so it is read and never written. Salt and hash are base64.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::pbkdf2::PBKDF2_HMAC_SHA512;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{digest, hmac, pbkdf2};

/// Bytes of a hash.
const HASH_BYTES: usize = digest::SHA512_OUTPUT_LEN;
/// Bytes of a new salt. Mosquitto 2.0 reads no others.
const SALT_BYTES: usize = 12;
/// Most iterations of a hash: seconds on any machine.
pub(crate) const ITERATIONS_MAX: u32 = 10_000_000;

/// What is kept of a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PasswordHash {
    /// `None`: plain SHA-512.
    iterations: Option<NonZeroU32>,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

/// Why a text is no hash that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HashError {
    /// It has no scheme, so it is the password.
    #[error(
        "has a password instead of its hash; `mosquitto_passwd -U FILE` replaces all passwords of a file by hashes"
    )]
    Password,
    /// Of another scheme.
    #[error(
        "has a hash of an unknown kind; expected `$7$` (PBKDF2) or `$6$` (SHA-512), as written by `vitalwire passwd`, or \
         by `mosquitto_passwd -H sha512-pbkdf2`"
    )]
    Scheme,
    /// Cut off or altered.
    #[error("has a damaged hash; set the password again with `vitalwire passwd FILE USER`")]
    Damaged,
    /// So many that whoever connects would keep a processor busy.
    #[error("has a hash of more than {ITERATIONS_MAX} iterations, which would take seconds for every attempt")]
    Iterations,
}

/// The system has no random numbers to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub(crate) struct NoRandomness;

impl PasswordHash {
    /// Reads a hash as it stands in a file.
    ///
    /// # Errors
    /// When it is not one, or not of a known kind.
    pub(crate) fn parse(text: &str) -> Result<Self, HashError> {
        let mut parts = text.strip_prefix('$').ok_or(HashError::Password)?.split('$');
        let iterations = match parts.next() {
            Some("7") => Some(iterations(parts.next())?),
            Some("6") => None,
            Some(_) | None => return Err(HashError::Scheme),
        };
        let mut bytes = || parts.next().and_then(|part| STANDARD.decode(part).ok()).ok_or(HashError::Damaged);
        let (salt, hash) = (bytes()?, bytes()?);
        let is_whole = !salt.is_empty() && hash.len() == HASH_BYTES && parts.next().is_none();
        if is_whole { Ok(Self { iterations, salt, hash }) } else { Err(HashError::Damaged) }
    }

    /// The hash of a new password, with a salt of its own.
    ///
    /// # Errors
    /// When there is no randomness to be had.
    pub(crate) fn of(password: &[u8], iterations: NonZeroU32) -> Result<Self, NoRandomness> {
        let mut salt = vec![0; SALT_BYTES];
        SystemRandom::new().fill(&mut salt).map_err(|_unspecified| NoRandomness)?;
        let mut hash = vec![0; HASH_BYTES];
        pbkdf2::derive(PBKDF2_HMAC_SHA512, iterations, &salt, password, &mut hash);
        Ok(Self { iterations: Some(iterations), salt, hash })
    }

    /// Whether it is the hash of this password. Takes as long as its iterations do, a tenth of a second perhaps, whether
    /// it is or not.
    pub(crate) fn is_of(&self, password: &[u8]) -> bool {
        let Some(iterations) = self.iterations else {
            return self.is_sha512_of(password);
        };
        pbkdf2::verify(PBKDF2_HMAC_SHA512, iterations, &self.salt, password, &self.hash).is_ok()
    }

    /// Both hashes are compared under a key that whoever guesses does not know, which tells nothing by its timing.
    fn is_sha512_of(&self, password: &[u8]) -> bool {
        let mut context = digest::Context::new(&digest::SHA512);
        context.update(password);
        context.update(&self.salt);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.hash);
        let expected = hmac::sign(&key, &self.hash);
        hmac::verify(&key, context.finish().as_ref(), expected.as_ref()).is_ok()
    }
}

fn iterations(text: Option<&str>) -> Result<NonZeroU32, HashError> {
    let iterations: NonZeroU32 = text.and_then(|text| text.parse().ok()).ok_or(HashError::Damaged)?;
    if iterations.get() > ITERATIONS_MAX { Err(HashError::Iterations) } else { Ok(iterations) }
}

/// As it stands in a file.
impl std::fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.iterations {
            Some(iterations) => write!(f, "$7${iterations}")?,
            None => f.write_str("$6")?,
        }
        write!(f, "${}${}", STANDARD.encode(&self.salt), STANDARD.encode(&self.hash))
    }
}

/// Hashes can be guessed, so they are not shown.
impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash")
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::{any, proptest};

    use super::{HashError, ITERATIONS_MAX, PasswordHash};

    /// Written by `mosquitto_passwd` 2.0 for the password `secret`.
    const PBKDF2: &str = "$7$101$beVubBIJjb5XYXDY$qBikKKcITj/EeFqP0AtsSoaVBMUAuz3r8wDA9cewroewJlWf0w0JipB6O59OIPCECYg+UpW18U94Fx+mhOeTCA==";
    const SHA512: &str =
        "$6$JNaAHjvbWCVgGyTP$oVf6MqZV61k3d41TY3jP36407dkTumx0xBJ+IItjMGvMUQ/FVmqe7hQM70LWPgy7HE3MbNki09pjUXjng2ZZ/A==";

    #[test]
    fn hashes_of_mosquitto_passwd_are_those_of_their_passwords_alone() {
        for text in [PBKDF2, SHA512] {
            let hash = PasswordHash::parse(text).unwrap();
            assert!(hash.is_of(b"secret"), "{text}");
            assert!(!hash.is_of(b"Secret") && !hash.is_of(b"") && !hash.is_of(b"secrets"), "{text}");
            assert_eq!(hash.to_string(), text);
        }
    }

    #[test]
    fn a_new_hash_has_a_salt_of_its_own() {
        let iterations = NonZeroU32::new(3).unwrap();
        let [one, other] = [(); 2].map(|()| PasswordHash::of(b"secret", iterations).unwrap());
        assert!(one.is_of(b"secret") && other.is_of(b"secret") && one != other);
        assert_eq!(PasswordHash::parse(&one.to_string()), Ok(one));
    }

    #[test]
    fn what_is_no_hash_says_why() {
        let check = |text: &str, expected| assert_eq!(PasswordHash::parse(text), Err(expected), "{text}");
        check("secret", HashError::Password);
        check("", HashError::Password);
        check("$argon2id$v=19$m=47104,t=1$c2FsdA$aGFzaA", HashError::Scheme);
        check("$7$101$c2FsdA==", HashError::Damaged);
        check("$7$0$c2FsdA==$aGFzaA==", HashError::Damaged);
        check("$6$c2FsdA==$aGFzaA==", HashError::Damaged);
        check(&format!("{SHA512}$"), HashError::Damaged);
        check(&PBKDF2.replace("$7$101$", "$7$101$!"), HashError::Damaged);
        check(&PBKDF2.replace("$101$", &format!("${}$", ITERATIONS_MAX + 1)), HashError::Iterations);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\$?[67]?\\$?[A-Za-z0-9+/=$]{0,120}", password in any::<Vec<u8>>()) {
            if let Ok(hash) = PasswordHash::parse(&text) {
                assert!(!hash.is_of(&password));
            }
        }
    }
}
