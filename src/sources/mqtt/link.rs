//! One connection to a broker, the same for MQTT 3.1.1 and 5.
//!
//! What is said is written beside reading and beside whatever else is waited for, all that was said together in one write;
//! pings go out by themselves. Reading is up to the user: what it does not read waits in the socket, and then at the broker.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::SubscriberSettings;
use super::dialogue::{Dialogue, News, Session};
use super::pulse::{Beat, Pulse};
use super::trouble::Trouble;
use crate::sources::wire::{Ear, Moved, WRITE_PATIENCE, Wire};

/// Longest wait for the broker to take a goodbye and close.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(2);
/// Longest wait for a broker to take the reason why it is left.
const LAST_WORDS_PATIENCE: Duration = Duration::from_millis(200);

/// A connection to the broker.
pub(super) struct Link {
    wire: Wire,
    dialogue: Dialogue,
    pulse: Pulse,
    /// Since when the broker takes nothing of what is to be written.
    unwritten_since: Option<Instant>,
}

/// What is due on a connection.
#[derive(Clone, Copy)]
enum Due {
    Beat(Beat),
    Stuck,
}

impl Link {
    /// Connects and resumes the session.
    ///
    /// # Errors
    /// When the broker cannot be reached, does not answer in time, or refuses.
    pub(super) async fn connect(settings: &SubscriberSettings) -> Result<(Self, Session), Trouble> {
        let patience = settings.connect_timeout.max(Duration::from_secs(1));
        let introduced = timeout(patience, Self::introduce(settings)).await.unwrap_or(Err(Trouble::NoAnswer));
        introduced.map_err(|trouble| trouble.before_connack(settings.tls.is_some()))
    }

    async fn introduce(settings: &SubscriberSettings) -> Result<(Self, Session), Trouble> {
        let wire = Wire::connect(&settings.host, settings.port, settings.tls.as_ref()).await;
        let mut wire = wire.map_err(Trouble::of_connecting)?;
        let dialogue = Dialogue::open(settings, &mut wire.out)?;
        let now = Instant::now();
        let mut link = Self { wire, dialogue, pulse: Pulse::new(now), unwritten_since: Some(now) };
        loop {
            match link.hear()? {
                Some(News::Connected(session)) => return Ok((link, session)),
                Some(News::Subscribed { .. } | News::Unsubscribed { .. } | News::Published { .. }) => {
                    return Err(Trouble::NotConnack);
                }
                None => link.read().await?,
            }
        }
    }

    /// The next news in what was read; `None` when more must be read first.
    ///
    /// # Errors
    /// When the connection is to end.
    pub(super) fn hear(&mut self) -> Result<Option<News>, Trouble> {
        self.dialogue.hear(&mut self.wire.input, &mut self.wire.out)
    }

    /// Waits until more was read. Nothing is lost when the wait is given up.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) async fn read(&mut self) -> Result<(), Trouble> {
        while !self.turn(Ear::Open).await? {}
        Ok(())
    }

    /// Waits without reading, for as long as the connection lasts.
    pub(super) async fn hold(&mut self) -> Trouble {
        loop {
            if let Err(trouble) = self.turn(Ear::Closed).await {
                return trouble;
            }
        }
    }

    /// Subscribes to the topics of the settings; the answer is news.
    ///
    /// # Errors
    /// When a filter is not valid, or the broker cannot take so many.
    pub(super) fn subscribe(&mut self, settings: &SubscriberSettings) -> Result<(), Trouble> {
        self.dialogue.subscribe(settings, &mut self.wire.out)?;
        self.spoke();
        Ok(())
    }

    /// Takes subscriptions back; the answer is news.
    ///
    /// # Errors
    /// When a filter is not valid.
    pub(super) fn unsubscribe(&mut self, filters: &BTreeSet<String>) -> Result<(), Trouble> {
        self.dialogue.unsubscribe(filters, &mut self.wire.out)?;
        self.spoke();
        Ok(())
    }

    /// Acknowledges publications.
    ///
    /// # Errors
    /// When the protocol does not allow it, which is a bug of this program.
    pub(super) fn acknowledge(&mut self, packet_ids: Vec<u16>) -> Result<(), Trouble> {
        self.dialogue.acknowledge(packet_ids, &mut self.wire.out)?;
        self.spoke();
        Ok(())
    }

    /// Leaves the session to the broker. One that does not take the goodbye in time finds out by itself.
    ///
    /// # Errors
    /// When the protocol does not allow it, which is a bug of this program.
    pub(super) async fn disconnect(mut self) -> Result<(), Trouble> {
        self.dialogue.disconnect(&mut self.wire.out)?;
        self.wire.part(GOODBYE_PATIENCE).await;
        Ok(())
    }

    /// Leaves after trouble, with the reason if the broker can be told.
    pub(super) async fn abort(mut self) {
        let told = timeout(LAST_WORDS_PATIENCE, self.wire.write()).await;
        tracing::trace!(told = matches!(told, Ok(Ok(()))), "connection given up");
    }

    /// Waits for one thing to happen; whether it was that something was read.
    async fn turn(&mut self, ear: Ear) -> Result<bool, Trouble> {
        self.pulse.listens(ear, Instant::now());
        let due = self.due(ear);
        let exchange = self.wire.exchange(ear);
        let moved = match due {
            None => exchange.await,
            Some((at, due)) => match timeout_at(at, exchange).await {
                Ok(moved) => moved,
                Err(_elapsed) => return self.attend(due).map(|()| false),
            },
        };
        match moved.map_err(Trouble::of_io)? {
            Moved::Read(0) => Err(Trouble::Closed),
            Moved::Read(_) => {
                self.pulse.heard(Instant::now());
                Ok(true)
            }
            Moved::Written => {
                self.wrote();
                Ok(false)
            }
        }
    }

    fn due(&self, ear: Ear) -> Option<(Instant, Due)> {
        if let Some(since) = self.unwritten_since {
            return Some((since + WRITE_PATIENCE, Due::Stuck));
        }
        let (at, beat) = self.pulse.next(self.dialogue.keep_alive()?, ear);
        Some((at, Due::Beat(beat)))
    }

    fn attend(&mut self, due: Due) -> Result<(), Trouble> {
        match due {
            Due::Stuck => Err(Trouble::Stuck),
            Due::Beat(Beat::Silence) => Err(Trouble::Silent),
            Due::Beat(Beat::Ping) => {
                self.dialogue.ping(&mut self.wire.out)?;
                self.pulse.asked();
                self.spoke();
                Ok(())
            }
        }
    }

    fn spoke(&mut self) {
        if !self.wire.out.is_empty() {
            self.unwritten_since.get_or_insert_with(Instant::now);
        }
    }

    fn wrote(&mut self) {
        let now = Instant::now();
        self.pulse.said(now);
        self.unwritten_since = self.wire.has_unsent().then_some(now);
    }
}
