//! Whether a broker lets a source in and grants what it subscribes to, asked without touching its session or its group.

use std::time::Duration;

use tokio::time::timeout;

use super::dialogue::News;
use super::link::Link;
use super::trouble::Trouble;
use super::{SessionUse, SubscriberSettings, Subscription};

/// Longest wait for all answers.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the broker cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    /// Nobody is there, or does not answer.
    #[error("{0}; check that it runs, `host`, `port` and firewalls")]
    Unreachable(Trouble),
    /// It does not let us in, or not subscribe; says how to mend it.
    #[error("{0}")]
    Refused(Trouble),
    /// It would not keep messages for a source that is away.
    #[error("grants QoS 0 where 1 is asked for, so readings can be lost; check what its user may do")]
    AtMostOnce,
}

/// Connects and subscribes under a name of its own, with a session that ends with the connection.
///
/// # Errors
/// When the broker cannot be reached, does not let us in, or does not grant all topics.
pub(crate) async fn probe(settings: &SubscriberSettings) -> Result<(), ProbeError> {
    let settings = SubscriberSettings {
        client_id: format!("{}-check", settings.client_id),
        session: SessionUse::Once,
        topics: settings.topics.iter().map(Subscription::aside).collect(),
        will: None,
        ..settings.clone()
    };
    let asked = timeout(PATIENCE, ask(&settings)).await.unwrap_or(Err(Trouble::NoAnswer));
    let granted = asked.map_err(|trouble| {
        let is_away = matches!(trouble, Trouble::Io(_) | Trouble::NoAnswer);
        if is_away { ProbeError::Unreachable(trouble) } else { ProbeError::Refused(trouble) }
    })?;
    if granted < settings.quality as u8 { Err(ProbeError::AtMostOnce) } else { Ok(()) }
}

/// The lowest quality of service that is granted.
async fn ask(settings: &SubscriberSettings) -> Result<u8, Trouble> {
    let (mut link, _) = Link::connect(settings).await?;
    link.subscribe(settings)?;
    let granted = loop {
        match link.hear()? {
            Some(News::Subscribed { qos }) => break qos,
            Some(News::Connected(_) | News::Unsubscribed { .. } | News::Published { .. }) => {}
            None => link.read().await?,
        }
    };
    link.disconnect().await?;
    Ok(granted)
}
