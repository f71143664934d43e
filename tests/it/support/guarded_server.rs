//! A FHIR server that asks who is there: the real one in a process of its own, behind a guard that wants a password, a
//! token that a token endpoint gave a moment ago, or a certificate.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::Listener;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;

use super::process::Vitalwire;

const BODY_BYTES_MAX: usize = 64 << 20;

/// Whom the guard lets in, by the header `Authorization`.
type LetsIn = dyn Fn(&str) -> bool + Send + Sync;

/// A guard in front of a server.
pub(crate) struct Guard {
    lets_in: Box<LetsIn>,
    upstream: String,
    client: reqwest::Client,
}

impl Guard {
    /// Starts a guard on a free port, in front of the FHIR service of `server`; gives its base URL.
    pub(crate) async fn start(server: &Vitalwire, lets_in: impl Fn(&str) -> bool + Send + Sync + 'static) -> String {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/fhir", socket.local_addr().unwrap());
        let router = Self::router(server, lets_in);
        TaskTracker::new().spawn(async move { axum::serve(socket, router).await.unwrap() });
        url
    }

    /// As `start`, over TLS, and only for those with a certificate of `authority`.
    pub(crate) async fn start_with_certificates(server: &Vitalwire, authority: &Authority) -> String {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/fhir", socket.local_addr().unwrap());
        let router = Self::router(server, |_| true);
        let listener = TlsListener { socket, acceptor: authority.acceptor() };
        TaskTracker::new().spawn(async move { axum::serve(listener, router).await.unwrap() });
        url
    }

    fn router(server: &Vitalwire, lets_in: impl Fn(&str) -> bool + Send + Sync + 'static) -> Router {
        drop(rustls::crypto::ring::default_provider().install_default());
        let guard = Self { lets_in: Box::new(lets_in), upstream: server.http.clone(), client: reqwest::Client::new() };
        Router::new().fallback(pass_on).with_state(Arc::new(guard))
    }
}

async fn pass_on(State(guard): State<Arc<Guard>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let who = head.headers.get(AUTHORIZATION).map_or("", |who| who.to_str().unwrap());
    if !(guard.lets_in)(who) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await.unwrap();
    let url = format!("{}{}", guard.upstream, head.uri);
    let request = guard.client.request(head.method, url).header(CONTENT_TYPE, "application/fhir+json").body(body);
    let answer = request.send().await.unwrap();
    (answer.status(), answer.bytes().await.unwrap()).into_response()
}

/// The header of basic authentication.
pub(crate) fn basic(username: &str, password: &str) -> String {
    let request = reqwest::Client::new().get("http://localhost").basic_auth(username, Some(password)).build().unwrap();
    request.headers()[AUTHORIZATION].to_str().unwrap().to_owned()
}

/// A token endpoint, with one client.
#[derive(Clone)]
pub(crate) struct TokenEndpoint(Arc<Mutex<Tokens>>);

struct Tokens {
    secret: String,
    lifetime: Duration,
    /// The ends of the lives of the tokens that were given.
    issued: HashMap<String, Instant>,
    refused: usize,
}

impl TokenEndpoint {
    /// Starts one that knows the client `connector` with this secret, and its URL. Its tokens live this many seconds.
    pub(crate) async fn start(secret: &str, seconds: u64) -> (Self, String) {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", socket.local_addr().unwrap());
        let lifetime = Duration::from_secs(seconds);
        let tokens = Tokens { secret: secret.to_owned(), lifetime, issued: HashMap::new(), refused: 0 };
        let endpoint = Self(Arc::new(Mutex::new(tokens)));
        let router = Router::new().route("/token", post(grant)).with_state(endpoint.clone());
        TaskTracker::new().spawn(async move { axum::serve(socket, router).await.unwrap() });
        (endpoint, url)
    }

    /// Takes this secret from now on.
    pub(crate) fn take(&self, secret: &str) {
        self.0.lock().unwrap().secret = secret.to_owned();
    }

    /// Ends the lives of all tokens.
    pub(crate) fn revoke(&self) {
        self.0.lock().unwrap().issued.clear();
    }

    /// Whether a header `Authorization` holds a token that lives.
    pub(crate) fn knows(&self, header: &str) -> bool {
        let tokens = self.0.lock().unwrap();
        let token = header.strip_prefix("Bearer ").and_then(|token| tokens.issued.get(token));
        token.is_some_and(|end| Instant::now() < *end)
    }

    /// Tokens given and requests refused.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let tokens = self.0.lock().unwrap();
        (tokens.issued.len(), tokens.refused)
    }
}

async fn grant(State(endpoint): State<TokenEndpoint>, headers: HeaderMap, form: Bytes) -> Response {
    let form: HashMap<String, String> = url::form_urlencoded::parse(&form).into_owned().collect();
    let member = |name: &str| form.get(name).map_or("", String::as_str);
    let mut tokens = endpoint.0.lock().unwrap();
    let in_header = headers.get(AUTHORIZATION).is_some_and(|header| *header == basic("connector", &tokens.secret));
    let in_form = member("client_id") == "connector" && member("client_secret") == tokens.secret;
    if member("grant_type") != "client_credentials" || member("scope") != "system/*.cruds" {
        return (StatusCode::BAD_REQUEST, axum::Json(json!({ "error": "invalid_scope" }))).into_response();
    }
    if !in_header && !in_form {
        tokens.refused += 1;
        // Some endpoints are careless with what they were sent.
        let description = format!("no client {}", member("client_secret"));
        let refusal = json!({ "error": "invalid_client", "error_description": description });
        return (StatusCode::UNAUTHORIZED, axum::Json(refusal)).into_response();
    }
    let token = format!("token-of-the-tests-{}", tokens.issued.len());
    let end = Instant::now() + tokens.lifetime;
    tokens.issued.insert(token.clone(), end);
    let seconds = tokens.lifetime.as_secs();
    axum::Json(json!({ "access_token": token, "token_type": "Bearer", "expires_in": seconds })).into_response()
}

/// Who gives certificates.
pub(crate) struct Authority {
    params: CertificateParams,
    key: KeyPair,
    certificate: rcgen::Certificate,
}

/// A certificate and its key.
pub(crate) struct Identity {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A certificate whose subject is its issuer is one that signed itself, to OpenSSL and others.
        params.distinguished_name.push(DnType::CommonName, "authority of the tests");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { params, key, certificate }
    }

    /// Its certificate, as PEM.
    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A certificate for a server or client on this machine.
    pub(crate) fn identity(&self) -> Identity {
        self.identity_of("this machine")
    }

    /// As `identity`, with this common name.
    pub(crate) fn identity_of(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &Issuer::from_params(&self.params, &self.key)).unwrap();
        Identity { certificate, key }
    }

    fn acceptor(&self) -> TlsAcceptor {
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let clients = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
        let identity = self.identity();
        let chain: Vec<CertificateDer<'static>> = vec![identity.certificate.der().clone()];
        let key = PrivateKeyDer::try_from(identity.key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder().with_client_cert_verifier(clients).with_single_cert(chain, key);
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }
}

impl Identity {
    /// Certificate and key, as PEM.
    pub(crate) fn pem(&self) -> (String, String) {
        (self.certificate.pem(), self.key.serialize_pem())
    }
}

struct TlsListener {
    socket: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.socket.accept().await.unwrap();
            match self.acceptor.accept(stream).into_fallible().await {
                Ok(stream) => return (stream, address),
                // Hanging up on what was sent already would take the reason away from the client.
                Err((_, mut stream)) => {
                    TaskTracker::new().spawn(async move { stream.read_to_end(&mut Vec::new()).await });
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}
