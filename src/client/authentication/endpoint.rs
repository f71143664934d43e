//! A token endpoint: one form, one answer (<https://www.rfc-editor.org/rfc/rfc6749#section-4.4>).
//!
//! A module of this size instead of a library: the `oauth2` crate brings chrono and second versions of rand and sha2, and
//! its client is for reqwest 0.12. Signed assertions in place of a secret (`private_key_jwt`) are not offered.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded;

use super::super::connection::{self, ConnectionSettings, Read};
use super::super::error::{ClientError, SubmitError, TokenError};
use super::tokens::Granted;
use super::{ClientCredentials, bearer};
use crate::secret::Secret;

/// Largest answer with a token. Those of Entra ID are a few kilobytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// How long a token is taken to be good for whose endpoint does not say.
const LIFETIME_UNSAID: Duration = Duration::from_secs(300);

/// What an endpoint may say was wrong (RFC 6749 5.2, RFC 8707, and what Entra ID adds). Other words are not shown: an
/// endpoint may repeat what it was sent.
const ERRORS: [&str; 12] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
    "invalid_resource",
    "access_denied",
    "server_error",
    "temporarily_unavailable",
    "slow_down",
];

/// A token endpoint, and what it is told.
#[derive(Debug)]
pub(crate) struct TokenEndpoint {
    http: reqwest::Client,
    credentials: ClientCredentials,
    /// Its address as it may be shown.
    shown: String,
}

#[derive(Deserialize)]
struct Grant {
    access_token: String,
    #[serde(default)]
    token_type: Option<String>,
    /// Seconds. Some endpoints write the number as text.
    #[serde(default)]
    expires_in: Value,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl TokenEndpoint {
    /// An endpoint that is asked when a token is needed.
    ///
    /// # Errors
    /// When no connection to it can be set up.
    pub(crate) fn new(credentials: ClientCredentials, connection: &ConnectionSettings) -> Result<Self, ClientError> {
        let http = connection::open(&credentials.token_url, connection)?;
        let shown = connection::shown(&credentials.token_url);
        Ok(Self { http, credentials, shown })
    }

    /// Asks for a token for something other than FHIR requests, and says how long it is good for.
    ///
    /// # Errors
    /// When the endpoint cannot be reached, refuses, or gives no bearer token.
    pub(crate) async fn token(&self) -> Result<(Secret, Duration), TokenError> {
        let granted = self.fetch().await?;
        let header = granted.header.to_str().map_err(|_binary| self.unreadable())?;
        let token = Secret::new(header.trim_start_matches("Bearer ").to_owned());
        Ok((token, granted.lifetime.unwrap_or(LIFETIME_UNSAID)))
    }

    /// Asks for a token once.
    pub(super) async fn fetch(&self) -> Result<Granted, TokenError> {
        let reply = match connection::read(self.request(), ANSWER_BYTES_MAX).await {
            Ok(Read::Whole(reply)) => reply,
            Ok(Read::TooLarge) => return Err(self.unreadable()),
            Err(cause) => return Err(TokenError::Unreached(SubmitError::unanswered(&self.shown, cause))),
        };
        if !(200..300).contains(&reply.status) {
            let error = serde_json::from_slice(&reply.body).ok().and_then(|refusal: Refusal| known(&refusal.error));
            let endpoint = self.shown.clone();
            return Err(TokenError::Refused { endpoint, status: reply.status, error, retry_after: reply.retry_after });
        }
        let grant: Grant = serde_json::from_slice(&reply.body).map_err(|_cause| self.unreadable())?;
        if grant.token_type.is_some_and(|token_type| !token_type.eq_ignore_ascii_case("bearer")) {
            return Err(self.unreadable());
        }
        let header = bearer(&grant.access_token).ok_or_else(|| self.unreadable())?;
        Ok(Granted { header, lifetime: seconds(&grant.expires_in) })
    }

    fn request(&self) -> reqwest::RequestBuilder {
        let ClientCredentials { token_url, client_id, client_secret, secret_in_form, form } = &self.credentials;
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("grant_type", "client_credentials");
        body.extend_pairs(form);
        let request = self.http.post(token_url.clone()).header(ACCEPT, "application/json");
        let request = if *secret_in_form {
            body.append_pair("client_id", client_id).append_pair("client_secret", client_secret.expose());
            request
        } else {
            request.basic_auth(encoded(client_id), Some(encoded(client_secret.expose())))
        };
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.header(CONTENT_TYPE, form).body(body.finish())
    }

    fn unreadable(&self) -> TokenError {
        TokenError::Unreadable { endpoint: self.shown.clone() }
    }
}

/// In the header, id and secret are encoded as in a form (RFC 6749, 2.3.1).
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn known(error: &str) -> Option<&'static str> {
    ERRORS.into_iter().find(|known| *known == error)
}

fn seconds(expires_in: &Value) -> Option<Duration> {
    let seconds = expires_in.as_u64().or_else(|| expires_in.as_str()?.trim().parse().ok());
    seconds.map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::post;
    use tokio_util::task::TaskTracker;

    use super::{ClientCredentials, ConnectionSettings, Granted, TokenEndpoint, TokenError};
    use crate::secret::Secret;

    /// What an endpoint was told: the header `Authorization`, and the form.
    type Told = Arc<Mutex<(String, String)>>;

    /// Asks an endpoint that answers so.
    async fn ask(secret_in_form: bool, status: u16, answer: &'static str) -> (Result<Granted, TokenError>, Told) {
        let told = Told::default();
        let heard = Arc::clone(&told);
        let listen = move |headers: HeaderMap, form: String| async move {
            let header = headers.get("authorization").map_or("", |header| header.to_str().unwrap());
            *heard.lock().unwrap() = (header.to_owned(), form);
            (StatusCode::from_u16(status).unwrap(), [("retry-after", "7")], answer)
        };
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let token_url = format!("http://{}/token?tenant=t", socket.local_addr().unwrap()).parse().unwrap();
        let router = axum::Router::new().route("/token", post(listen));
        TaskTracker::new().spawn(async move { axum::serve(socket, router).await });
        let credentials = ClientCredentials {
            token_url,
            client_id: "a b".to_owned(),
            client_secret: Secret::new("p:w&ü".to_owned()),
            secret_in_form,
            form: vec![("scope", "https://fhir/.default".to_owned()), ("audience", "x".to_owned())],
        };
        let second = Duration::from_secs(30);
        let connection =
            ConnectionSettings { request_timeout: second, connect_timeout: second, authorities: None, identity: None };
        let endpoint = TokenEndpoint::new(credentials, &connection).unwrap();
        assert!(!format!("{endpoint:?}").contains("p:w"), "{endpoint:?}");
        (endpoint.fetch().await, told)
    }

    const GRANT: &str = r#"{"access_token":"t","token_type":"bearer","expires_in":3599}"#;

    #[tokio::test]
    async fn id_and_secret_are_put_into_the_header_or_into_the_form() {
        let scope = "grant_type=client_credentials&scope=https%3A%2F%2Ffhir%2F.default&audience=x";
        let (_, told) = ask(false, 200, GRANT).await;
        // a+b:p%3Aw%26%C3%BC
        let header = "Basic YStiOnAlM0F3JTI2JUMzJUJD".to_owned();
        assert_eq!(*told.lock().unwrap(), (header, scope.to_owned()));
        let (_, told) = ask(true, 200, GRANT).await;
        let form = format!("{scope}&client_id=a+b&client_secret=p%3Aw%26%C3%BC");
        assert_eq!(*told.lock().unwrap(), (String::new(), form));
    }

    #[track_caller]
    fn check(granted: Result<Granted, TokenError>, seconds: Option<u64>) {
        let granted = granted.unwrap();
        assert_eq!(granted.header, "Bearer t");
        assert!(!format!("{granted:?}").contains("Bearer"), "{granted:?}");
        assert_eq!(granted.lifetime, seconds.map(Duration::from_secs));
    }

    #[tokio::test]
    async fn a_life_is_told_as_number_or_text_or_not_at_all() {
        check(ask(false, 200, GRANT).await.0, Some(3_599));
        check(ask(false, 200, r#"{"access_token":"t","expires_in":"60"}"#).await.0, Some(60));
        check(ask(false, 200, r#"{"access_token":"t","token_type":"Bearer"}"#).await.0, None);
    }

    #[tokio::test]
    async fn what_is_no_bearer_token_is_none() {
        for answer in [
            "<html>",
            "{}",
            r#"{"access_token":"t","token_type":"mac"}"#,
            r#"{"access_token":"a\nb"}"#,
            r#"{"access_token":7}"#,
        ] {
            let fetched = ask(false, 200, answer).await.0;
            assert!(matches!(fetched, Err(TokenError::Unreadable { .. })), "{answer} {fetched:?}");
        }
    }

    #[tokio::test]
    async fn er_12_er_13_a_refusal_tells_the_words_of_the_standard_and_nothing_else() {
        for (answer, says) in [
            (r#"{"error":"invalid_client","error_description":"p:w"}"#, "answered 401 (invalid_client)"),
            (r#"{"error":"p:w"}"#, "answered 401"),
            ("p:w", "answered 401"),
        ] {
            let refusal = ask(false, 401, answer).await.0.unwrap_err();
            assert!(matches!(&refusal, TokenError::Refused { retry_after: Some(pause), .. } if pause.as_secs() == 7));
            let text = refusal.to_string();
            assert!(text.ends_with(says) && !text.contains("tenant"), "{text}");
        }
    }
}
