//! TLS towards devices: what the listener shows, whether devices must show a certificate too, and whose one is.
//!
//! A device is known by the common name of its certificate, or by the first DNS name in it if it has none.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use webpki::EndEntityCert;

use crate::secret::Secret;

/// How to encrypt connections of devices.
#[derive(Clone, Debug)]
pub(crate) struct ServerTlsSettings {
    /// Certificate and key to show, as PEM.
    pub(crate) identity: Secret,
    /// Authorities, as PEM, one of which must have signed the certificate of a device; `None` asks devices for none.
    pub(crate) client_authorities: Option<String>,
}

/// Settings that were read and found usable, for any number of connections.
#[derive(Clone)]
pub(crate) struct ServerTls(TlsAcceptor);

/// Why no connection can be encrypted with some settings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerTlsError {
    /// The PEM is none.
    #[error("the certificates cannot be read")]
    Pem(#[from] pem::Error),
    /// The certificate does not go with the key, or an authority cannot be used.
    #[error("the certificates cannot be used")]
    Certificates(#[from] rustls::Error),
    /// There is no authority that clients could have been signed by.
    #[error("the authorities of client certificates cannot be used")]
    Authorities(#[from] VerifierBuilderError),
}

impl ServerTls {
    /// Reads the settings.
    ///
    /// # Errors
    /// When the certificates cannot be used.
    pub(crate) fn new(settings: &ServerTlsSettings) -> Result<Self, ServerTlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let builder = match &settings.client_authorities {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                let mut roots = RootCertStore::empty();
                certificates(authorities)?.into_iter().try_for_each(|authority| roots.add(authority))?;
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let pem = settings.identity.expose();
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())?;
        let config = builder.with_single_cert(certificates(pem)?, key)?;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Encrypts a connection; whose it is, if the client has shown a certificate that names somebody.
    ///
    /// # Errors
    /// When the client does not speak TLS, does not trust us, or shows no certificate that we trust.
    pub(super) async fn accept(&self, socket: TcpStream) -> io::Result<(TlsStream<TcpStream>, Option<Arc<str>>)> {
        let stream = self.0.accept(socket).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let name = shown.and_then(name_in);
        Ok((stream, name))
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect()
}

/// Whose certificate it is.
fn name_in(certificate: &CertificateDer<'_>) -> Option<Arc<str>> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    common_name(certificate.subject()).or_else(|| certificate.valid_dns_names().next()).map(Arc::from)
}

/// Identifiers of DER (X.690): types, and what a common name is called.
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0C;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The first common name of a subject: a list of sets of pairs (RFC 5280, 4.1.2.4).
fn common_name(subject: &[u8]) -> Option<&str> {
    let pairs = Der(subject).filter(|(tag, _)| *tag == SET).flat_map(|(_, set)| Der(set));
    let mut names = pairs.filter(|(tag, _)| *tag == SEQUENCE).filter_map(|(_, pair)| {
        let mut pair = Der(pair);
        let is_common_name = pair.next()? == (OBJECT_IDENTIFIER, COMMON_NAME);
        let (tag, text) = pair.next()?;
        let is_text = matches!(tag, UTF8_STRING | PRINTABLE_STRING | IA5_STRING);
        std::str::from_utf8(text).ok().filter(|text| is_common_name && is_text && !text.is_empty())
    });
    names.next()
}

/// Values of DER one behind the other, each with its type.
struct Der<'a>(&'a [u8]);

impl<'a> Iterator for Der<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (length, head) = match *self.0 {
            [_, length @ 0..=0x7F, ..] => (usize::from(length), 2),
            [_, 0x81, length, ..] => (usize::from(length), 3),
            [_, 0x82, high, low, ..] => (usize::from(u16::from_be_bytes([high, low])), 4),
            _ => return None,
        };
        let (tag, rest) = (*self.0.first()?, self.0.get(head..)?);
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use rcgen::string::Ia5String;
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};

    use super::{common_name, name_in};

    #[track_caller]
    fn check(names: &[(DnType, DnValue)], dns: &[&str], expected: Option<&str>) {
        let dns: Vec<String> = dns.iter().copied().map(str::to_owned).collect();
        let mut params = CertificateParams::new(dns.clone()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        names.iter().for_each(|(kind, name)| params.distinguished_name.push(kind.clone(), name.clone()));
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(name_in(certificate.der()).as_deref(), expected, "{names:?} {dns:?}");
    }

    #[test]
    fn a_certificate_is_of_whom_its_common_name_says_or_else_its_first_dns_name() {
        let organization = (DnType::OrganizationName, DnValue::from("ward 7"));
        let utf8 = (DnType::CommonName, DnValue::from("Gerät 1"));
        let printable = (DnType::CommonName, DnValue::PrintableString("monitor-1".try_into().unwrap()));
        let ia5 = (DnType::CommonName, DnValue::Ia5String(Ia5String::try_from("a@b").unwrap()));
        check(&[organization.clone(), utf8.clone()], &["other"], Some("Gerät 1"));
        check(&[printable], &[], Some("monitor-1"));
        check(&[ia5], &[], Some("a@b"));
        check(std::slice::from_ref(&organization), &["monitor-2.ward", "monitor-2"], Some("monitor-2.ward"));
        check(&[organization], &[], None);
        let long = "x".repeat(300);
        check(&[(DnType::CommonName, DnValue::from(long.as_str()))], &[], Some(&long));
    }

    proptest! {
        #[test]
        fn no_subject_panics(subject in proptest::collection::vec(proptest::prop_oneof![any::<u8>(), 0x30u8..0x32, 0u8..8], 0..40)) {
            common_name(&subject);
        }
    }
}
