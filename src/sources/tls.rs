//! TLS towards a broker: whom we trust, and what we show. Trust is that of the operating system, as towards the FHIR server.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::stream::Stream;
use crate::secret::Secret;

/// How to encrypt the connection to a broker.
#[derive(Clone, Debug)]
pub(crate) struct TlsSettings {
    /// The name or address that the broker's certificate must be for.
    pub(crate) server_name: String,
    /// Certificates of authorities that are trusted besides those of the system, as PEM.
    pub(crate) authorities: Option<String>,
    /// Certificate and key to show to a broker that asks for one, as PEM.
    pub(crate) identity: Option<Secret>,
}

/// Settings that were read and found usable, for any number of connections.
#[derive(Clone)]
pub(crate) struct ClientTls {
    config: Arc<ClientConfig>,
    server_name: ServerName<'static>,
}

/// Why no connection can be encrypted with some settings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// No certificate could be for such a name.
    #[error("cannot encrypt: no certificate can be for the name of the broker; check `host` and `tls.server_name`")]
    Name(#[from] InvalidDnsNameError),
    /// The PEM is none.
    #[error("cannot encrypt: the certificates cannot be read")]
    Pem(#[from] pem::Error),
    /// The system has no authorities, or a certificate cannot be used.
    #[error("cannot encrypt: the certificates cannot be used")]
    Certificates(#[from] rustls::Error),
}

impl ClientTls {
    /// Reads the settings, and which authorities the system trusts.
    ///
    /// # Errors
    /// When the name or the certificates cannot be used, or the system trusts nobody.
    pub(crate) fn new(settings: &TlsSettings) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let authorities = settings.authorities.as_deref().map(certificates).transpose()?.unwrap_or_default();
        let verifier = Verifier::new_with_extra_roots(authorities, Arc::clone(&provider))?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match &settings.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let key = PrivateKeyDer::from_pem_slice(identity.expose().as_bytes())?;
                builder.with_client_auth_cert(certificates(identity.expose())?, key)?
            }
        };
        let server_name = ServerName::try_from(settings.server_name.clone())?;
        Ok(Self { config: Arc::new(config), server_name })
    }

    /// The same, for a client that makes connections itself.
    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// Encrypts a connection.
    ///
    /// # Errors
    /// When the peer does not speak TLS, is not trusted, or does not trust us; the `rustls::Error` is inside.
    pub(super) async fn connect(&self, socket: TcpStream) -> io::Result<Stream> {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        connector.connect(self.server_name.clone(), socket).await.map(Stream::from)
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect()
}
