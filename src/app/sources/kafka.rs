//! From the configuration of a Kafka source to its settings.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::app::settings::{self, CONNECT_TIMEOUT};
use crate::client::authentication::TokenEndpoint;
use crate::client::connection::ConnectionSettings;
use crate::client::error::ClientError;
use crate::config::{KafkaConfig, KafkaHeaderValues, KafkaLogin, KafkaStart, OAuth2Config, TlsConfig};
use crate::sources::kafka::{BearerToken, FetchToken, HeaderValues, KafkaSettings, Login, Start, Tls};
use crate::telemetry::chain;

/// Longest wait for a token.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

/// What the source is told.
///
/// # Errors
/// When no client for the token endpoint can be made.
pub(crate) fn kafka(config: &KafkaConfig) -> Result<KafkaSettings, ClientError> {
    Ok(KafkaSettings {
        bootstrap_servers: config.bootstrap_servers.clone(),
        topics: config.topics.clone(),
        group_id: config.group_id.clone(),
        group_instance_id: config.group_instance_id.clone(),
        start: match config.start {
            KafkaStart::Earliest => Start::Earliest,
            KafkaStart::Latest => Start::Latest,
        },
        login: login(&config.login, config.tls.as_ref())?,
        tls: config.tls.as_ref().map(|tls| Tls { authorities: tls.ca.clone(), identity: tls.identity.clone() }),
        is_event_hubs: config.is_event_hubs,
        header_values: match config.header_values {
            KafkaHeaderValues::Text => HeaderValues::Text,
            KafkaHeaderValues::Amqp => HeaderValues::Amqp,
        },
        in_flight_max: NonZeroUsize::new(config.in_flight_max).unwrap_or(NonZeroUsize::MIN),
        session_timeout: config.session_timeout,
        message_bytes_max: config.message_bytes_max,
        split_arrays: config.split_arrays,
        properties: config.properties.clone(),
        backoff_min: Duration::from_millis(250),
        backoff_max: Duration::from_secs(30),
    })
}

fn login(login: &KafkaLogin, tls: Option<&TlsConfig>) -> Result<Login, ClientError> {
    Ok(match login {
        KafkaLogin::Anonymous => Login::Anonymous,
        KafkaLogin::Password { mechanism, username, password } => {
            Login::Password { mechanism: mechanism.as_str(), username: username.clone(), password: password.clone() }
        }
        KafkaLogin::OAuth2(oauth2) => Login::Tokens(fetch_token(oauth2, tls)?),
    })
}

/// Tokens of the endpoint, which is reached with the same authorities and certificate as the brokers.
fn fetch_token(oauth2: &OAuth2Config, tls: Option<&TlsConfig>) -> Result<FetchToken, ClientError> {
    let connection = ConnectionSettings {
        request_timeout: TOKEN_TIMEOUT,
        connect_timeout: CONNECT_TIMEOUT,
        authorities: tls.and_then(|tls| tls.ca.clone()),
        identity: tls.and_then(|tls| tls.identity.clone()),
    };
    let endpoint = Arc::new(TokenEndpoint::new(settings::client_credentials(oauth2), &connection)?);
    Ok(Arc::new(move || {
        let endpoint = Arc::clone(&endpoint);
        let fetch = async move {
            let (token, lifetime) = endpoint.token().await.map_err(|error| chain(&error))?;
            Ok(BearerToken { token, lifetime })
        };
        fetch.boxed()
    }))
}
