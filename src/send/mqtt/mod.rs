//! Sending to an MQTT broker: QoS 1. What was on its way when a connection broke is published again on the next.

mod link;
mod outbox;
mod target;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use self::link::{Link, News};
use self::outbox::Outbox;
use super::supply::Supply;
use super::{SendError, SendReport};
use crate::sources::backoff::Backoff;
use crate::sources::tls::ClientTls;

pub(super) use self::target::{FORM, SCHEME_TLS, Target};

/// Most messages on their way.
const WINDOW: u16 = 1_000;
/// Longest time without an acknowledgement while connections break, once there was one.
const RECONNECT_PATIENCE: Duration = Duration::from_secs(60);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Longest wait for DISCONNECT to go out.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(2);

/// Publishes everything, and waits until all is acknowledged.
///
/// # Errors
/// When the broker is away for too long, or refuses a message.
pub(super) async fn send(target: Target, supply: Supply) -> Result<SendReport, SendError> {
    let tls = target.encryption().map_err(|reason| SendError::Unencrypted { peer: target.peer(), reason })?;
    Sending { outbox: Outbox::new(supply.total), connected_at: None, target, tls, supply }.run().await
}

/// A sending that runs.
struct Sending {
    target: Target,
    tls: Option<ClientTls>,
    supply: Supply,
    outbox: Outbox,
    /// When there first was a connection.
    connected_at: Option<Instant>,
}

/// How a connection ended before all was sent.
enum Break {
    Lost(String),
    Refused(String),
}

impl Sending {
    async fn run(mut self) -> Result<SendReport, SendError> {
        let mut backoff = Backoff::new(BACKOFF_MIN, BACKOFF_MAX);
        let (mut acknowledged, mut lost_at) = (0, Instant::now());
        while !self.outbox.is_done() {
            let reason = match self.connect_once().await {
                Ok(()) => break,
                Err(Break::Refused(reason)) => {
                    return Err(SendError::Refused { peer: self.target.peer(), reason });
                }
                Err(Break::Lost(reason)) => reason,
            };
            self.outbox.lost();
            if self.outbox.count() > acknowledged {
                acknowledged = self.outbox.count();
                lost_at = Instant::now();
                backoff.reset();
            }
            if self.is_given_up(lost_at) {
                return Err(self.gone(reason));
            }
            sleep(backoff.next_wait()).await;
        }
        self.supply.progress.finish_and_clear();
        let elapsed = self.connected_at.map(|start| start.elapsed()).unwrap_or_default();
        Ok(SendReport { acknowledged: self.outbox.count(), elapsed })
    }

    fn is_given_up(&self, lost_at: Instant) -> bool {
        self.connected_at.is_none() || self.supply.stop.is_cancelled() || lost_at.elapsed() > RECONNECT_PATIENCE
    }

    fn gone(&self, reason: String) -> SendError {
        let peer = self.target.peer();
        match self.connected_at {
            None => SendError::Unreachable { peer, reason },
            Some(_) => SendError::Lost { peer, acknowledged: self.outbox.count(), reason },
        }
    }

    /// Publishes on one connection until all is acknowledged.
    async fn connect_once(&mut self) -> Result<(), Break> {
        let mut link = Link::new(&self.target, self.tls.as_ref(), WINDOW);
        let mut is_connected = false;
        let stop = self.supply.stop.clone();
        while !self.outbox.is_done() {
            if is_connected {
                self.fill(&link)?;
            }
            let news = tokio::select! {
                () = stop.cancelled(), if !self.outbox.has_end() => {
                    self.outbox.end();
                    continue;
                }
                news = link.next() => news,
                () = self.supply.due(), if is_connected && self.has_room() => continue,
            };
            match news.map_err(Break::Lost)? {
                News::Connected => {
                    is_connected = true;
                    self.connected_at.get_or_insert_with(Instant::now);
                }
                News::Published(packet_id) => self.outbox.published(packet_id),
                News::Acknowledged(packet_id) => {
                    self.supply.progress.inc(u64::from(self.outbox.acknowledged(packet_id)));
                }
                News::Refused(reason) => return Err(Break::Refused(reason)),
                News::Disconnected | News::Other => {}
            }
        }
        goodbye(link).await;
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.outbox.next().is_some() && self.outbox.in_flight() < usize::from(WINDOW)
    }

    /// Requests what window and pace allow.
    fn fill(&mut self, link: &Link) -> Result<(), Break> {
        while self.has_room()
            && self.supply.is_due()
            && let Some(number) = self.outbox.next()
            && let Some(message) = self.supply.message(number)
        {
            if !link.publish(&self.target.topic, message) {
                return Err(Break::Lost("the client takes no more requests".to_owned()));
            }
            self.outbox.requested(number);
            self.supply.sent();
        }
        Ok(())
    }
}

async fn goodbye(mut link: Link) {
    if !link.disconnect() {
        return;
    }
    let said = async { while !matches!(link.next().await, Ok(News::Disconnected) | Err(_)) {} };
    if timeout(GOODBYE_PATIENCE, said).await.is_err() {
        tracing::debug!("the broker did not take the goodbye in time");
    }
}
