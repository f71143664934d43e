//! Certificates and keys, read and tried at the start: a file that is missing, or a key that belongs to another
//! certificate, is told with its line.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::section::{Problems, Section};
use super::{ServerTlsConfig, TlsConfig};
use crate::secret::Secret;

/// Largest file of certificates or keys. A bundle of every public authority is a quarter of that.
const PEM_BYTES_MAX: u64 = 1 << 20;

pub(super) fn tls(mut section: Section, problems: &mut Problems) -> TlsConfig {
    let ca = file(&mut section, "ca_file", problems);
    let certificate = file(&mut section, "certificate_file", problems);
    let key = file(&mut section, "key_file", problems);
    check_authorities(&section, "ca_file", ca.as_deref(), problems);
    let identity = both(&section, (certificate, key), problems);
    section.finish(problems);
    TlsConfig { ca, identity }
}

/// What a listener shows, and which certificates it wants to see.
pub(super) fn server_tls(mut section: Section, problems: &mut Problems) -> ServerTlsConfig {
    let client_ca = file(&mut section, "client_ca_file", problems);
    let certificate = file(&mut section, "certificate_file", problems);
    let key = file(&mut section, "key_file", problems);
    check_authorities(&section, "client_ca_file", client_ca.as_deref(), problems);
    if !section.was_given("certificate_file") && !section.was_given("key_file") {
        let message = "is missing; clients must be shown a certificate, with its key in `key_file`".to_owned();
        problems.push(section.problem("certificate_file", None, message));
    }
    let identity = both(&section, (certificate, key), problems).unwrap_or_else(|| Secret::new(String::new()));
    section.finish(problems);
    ServerTlsConfig { identity, client_ca }
}

fn check_authorities(section: &Section, key: &'static str, pem: Option<&str>, problems: &mut Problems) {
    if let Some(Err(message)) = pem.map(authorities) {
        problems.push(section.problem(key, None, message));
    }
}

/// Certificate and key in one PEM text, if both are there and belong together.
fn both(
    section: &Section,
    (certificate, key): (Option<String>, Option<String>),
    problems: &mut Problems,
) -> Option<Secret> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => match identity(&certificate, &key) {
            Ok(identity) => Some(identity),
            Err((key, message)) => {
                problems.push(section.problem(key, None, message));
                None
            }
        },
        (None, None) => None,
        // A file that could not be read has its problem already.
        (Some(_), None) => alone(section, "certificate_file", "key_file", problems),
        (None, Some(_)) => alone(section, "key_file", "certificate_file", problems),
    }
}

fn alone<T>(section: &Section, given: &'static str, other: &'static str, problems: &mut Problems) -> Option<T> {
    if !section.was_given(other) {
        problems.push(section.problem(given, None, format!("needs a `{other}`")));
    }
    None
}

/// The text of the file a key names, if both are there.
fn file(section: &mut Section, key: &'static str, problems: &mut Problems) -> Option<String> {
    let path: PathBuf = section.optional(key, problems)?;
    match read(&path) {
        Ok(text) => Some(text),
        Err(message) => {
            problems.push(section.problem(key, None, message));
            None
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let opened = File::open(path).and_then(|file| file.take(PEM_BYTES_MAX + 1).read_to_string(&mut text));
    match opened {
        Ok(_) if u64::try_from(text.len()).unwrap_or(u64::MAX) > PEM_BYTES_MAX => {
            Err(format!("is larger than {PEM_BYTES_MAX} bytes, so it is not a file of certificates or keys"))
        }
        Ok(_) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Err("is not text; expected PEM, which begins with -----BEGIN".to_owned())
        }
        Err(error) => Err(format!("cannot be read: {error}; relative paths start at the working directory")),
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err("holds no certificate; expected PEM with -----BEGIN CERTIFICATE-----".to_owned()),
    }
}

fn authorities(pem: &str) -> Result<(), String> {
    let mut store = RootCertStore::empty();
    for (number, certificate) in (1..).zip(certificates(pem)?) {
        store.add(certificate).map_err(|error| format!("certificate {number} in it cannot be used: {error}"))?;
    }
    Ok(())
}

/// Certificate and key in one PEM text, known to belong together; or which key is at fault, and how.
fn identity(certificate: &str, key: &str) -> Result<Secret, (&'static str, String)> {
    let chain = certificates(certificate).map_err(|message| ("certificate_file", message))?;
    let no_key = |_cause| {
        let message = "holds no private key; expected PEM with -----BEGIN PRIVATE KEY-----, not encrypted";
        ("key_file", message.to_owned())
    };
    let der = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(no_key)?;
    let signer = rustls::crypto::ring::sign::any_supported_type(&der);
    let signer = signer.map_err(|error| ("key_file", format!("holds a key that cannot be used: {error}")))?;
    match CertifiedKey::new(chain, Arc::clone(&signer)).keys_match() {
        Ok(()) => Ok(Secret::new(format!("{certificate}\n{key}"))),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(("key_file", "does not belong to the certificate in `certificate_file`".to_owned()))
        }
        Err(error) => Err(("certificate_file", format!("holds a certificate that cannot be used: {error}"))),
    }
}
