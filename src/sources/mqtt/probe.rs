//! Whether a broker can be reached and lets us in, asked without touching the session of the source.

use std::time::Duration;

use rumqttc::{AsyncClient, ConnectionError, Event, MqttOptions, Packet};

use super::SubscriberSettings;

/// Longest wait for the broker to let us in.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the broker cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    /// It does not answer in time.
    #[error("no answer within 5 s; check host, port and firewall")]
    Silent,
    /// It cannot be reached, or refuses.
    #[error("no connection; check that it runs, and the user name and password")]
    Refused(#[source] ConnectionError),
}

/// Connects under a name of its own with a session that ends with the connection, and disconnects.
///
/// # Errors
/// When the broker does not answer or does not let us in.
pub(crate) async fn probe(settings: &SubscriberSettings) -> Result<(), ProbeError> {
    let mut options = MqttOptions::new(format!("{}-check", settings.client_id), &settings.host, settings.port);
    options.set_clean_session(true);
    if let Some(credentials) = &settings.credentials {
        options.set_credentials(&credentials.username, credentials.password.expose());
    }
    let (client, mut connection) = AsyncClient::new(options, 1);
    let connected = async {
        loop {
            match connection.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => return Ok(()),
                Ok(_) => {}
                Err(cause) => return Err(ProbeError::Refused(cause)),
            }
        }
    };
    tokio::time::timeout(PATIENCE, connected).await.unwrap_or(Err(ProbeError::Silent))?;
    // The broker hears a goodbye or a closed connection; with a clean session both end it.
    drop(client.try_disconnect());
    Ok(())
}
