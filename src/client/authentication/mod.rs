//! Who the client is, as each request to the FHIR server says it.
//!
//! Nothing here is ever shown: secrets print as dots, and headers made of them are marked sensitive.

mod endpoint;
mod tokens;

use std::sync::Arc;

use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use url::Url;

use self::tokens::Tokens;
use super::connection::ConnectionSettings;
use super::error::{ClientError, TokenError};
use crate::secret::Secret;

pub(crate) use self::endpoint::TokenEndpoint;

/// How the client proves who it is.
#[derive(Clone, Debug)]
pub(crate) enum Authentication {
    /// Not at all, or by its certificate alone.
    None,
    /// With a bearer token that does not change.
    Bearer(Secret),
    /// With a user and a password (<https://www.rfc-editor.org/rfc/rfc7617>).
    Basic {
        /// The user; without a colon.
        username: String,
        /// Its password.
        password: Secret,
    },
    /// With tokens that a token endpoint gives for a while.
    ClientCredentials(ClientCredentials),
}

/// What a token endpoint is told (<https://www.rfc-editor.org/rfc/rfc6749#section-4.4>).
#[derive(Clone, Debug)]
pub(crate) struct ClientCredentials {
    /// The token endpoint.
    pub(crate) token_url: Url,
    /// Name of the client there.
    pub(crate) client_id: String,
    /// Its secret.
    pub(crate) client_secret: Secret,
    /// Whether id and secret are put into the form instead of the header `Authorization`.
    pub(crate) secret_in_form: bool,
    /// Further members of the form, for example `scope`.
    pub(crate) form: Vec<(&'static str, String)>,
}

/// Signs requests. Cheap to clone; clones share tokens.
#[derive(Clone, Debug)]
pub(super) struct Signer(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    Anonymous,
    Bearer(HeaderValue),
    Basic { username: String, password: Secret },
    Tokens { tokens: Tokens, endpoint: Box<TokenEndpoint> },
}

/// A request that says who asks, and the token it says so with if that is one of several.
pub(super) struct Signed {
    pub(super) request: RequestBuilder,
    pub(super) token: Option<HeaderValue>,
}

impl Signer {
    /// A signer that asks for no token before the first request.
    ///
    /// # Errors
    /// When a token cannot be sent, or no connection to the token endpoint can be set up.
    pub(super) fn new(authentication: &Authentication, connection: &ConnectionSettings) -> Result<Self, ClientError> {
        Ok(Self(Arc::new(match authentication {
            Authentication::None => Kind::Anonymous,
            Authentication::Bearer(token) => Kind::Bearer(bearer(token.expose()).ok_or(ClientError::Token)?),
            Authentication::Basic { username, password } => {
                Kind::Basic { username: username.clone(), password: password.clone() }
            }
            Authentication::ClientCredentials(credentials) => Kind::Tokens {
                tokens: Tokens::default(),
                endpoint: Box::new(TokenEndpoint::new(credentials.clone(), connection)?),
            },
        })))
    }

    /// Adds to a request who asks. May have to fetch a token first.
    ///
    /// # Errors
    /// When there is no token to be had.
    pub(super) async fn sign(&self, request: RequestBuilder) -> Result<Signed, Arc<TokenError>> {
        Ok(match &*self.0 {
            Kind::Anonymous => Signed { request, token: None },
            Kind::Bearer(header) => Signed { request: request.header(AUTHORIZATION, header.clone()), token: None },
            Kind::Basic { username, password } => {
                Signed { request: request.basic_auth(username, Some(password.expose())), token: None }
            }
            Kind::Tokens { tokens, endpoint } => {
                let token = tokens.get(async || endpoint.fetch().await).await?;
                Signed { request: request.header(AUTHORIZATION, token.clone()), token: Some(token) }
            }
        })
    }

    /// Forgets a token that the server does not take, unless there is another already.
    pub(super) async fn forget(&self, token: &HeaderValue) {
        if let Kind::Tokens { tokens, .. } = &*self.0 {
            tokens.forget(token).await;
        }
    }
}

/// The header with a bearer token; `None` when it has characters that no header can carry.
fn bearer(token: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}
