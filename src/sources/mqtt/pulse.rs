//! When to ping a broker, and when to give it up.
//!
//! MQTT wants a packet from the client in every keep-alive, and knows no other way to find out that a broker is gone than to
//! ask. So a ping is due when nothing was said for a keep-alive, and when nothing was heard for one; a broker that is silent
//! for half as long again is gone. While nothing is read, silence means nothing, but pings go out all the same.

use std::time::Duration;

use tokio::time::Instant;

use crate::sources::wire::Ear;

/// The life signs of one connection.
#[derive(Debug)]
pub(super) struct Pulse {
    said_at: Instant,
    heard_at: Instant,
    /// A ping was sent since something was heard.
    has_asked: bool,
    /// What was last heard was long ago for lack of listening.
    is_deaf: bool,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// To ping.
    Ping,
    /// To give up.
    Silence,
}

impl Pulse {
    /// A connection made now.
    pub(super) fn new(now: Instant) -> Self {
        Self { said_at: now, heard_at: now, has_asked: false, is_deaf: false }
    }

    /// Something was written.
    pub(super) fn said(&mut self, now: Instant) {
        self.said_at = now;
    }

    /// A ping was said.
    pub(super) fn asked(&mut self) {
        self.has_asked = true;
    }

    /// Something was read.
    pub(super) fn heard(&mut self, now: Instant) {
        (self.heard_at, self.has_asked) = (now, false);
    }

    /// Reading goes on, or stops.
    pub(super) fn listens(&mut self, ear: Ear, now: Instant) {
        if ear == Ear::Open && self.is_deaf {
            self.heard(now);
        }
        self.is_deaf = ear == Ear::Closed;
    }

    /// What is due next, and when.
    pub(super) fn next(&self, keep_alive: Duration, ear: Ear) -> (Instant, Beat) {
        let speak_at = self.said_at + keep_alive;
        if ear == Ear::Closed {
            return (speak_at, Beat::Ping);
        }
        let ask_at = if self.has_asked { speak_at } else { speak_at.min(self.heard_at + keep_alive) };
        let silent_at = self.heard_at + keep_alive + keep_alive / 2;
        if silent_at <= ask_at { (silent_at, Beat::Silence) } else { (ask_at, Beat::Ping) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Beat, Pulse};
    use crate::sources::wire::Ear;

    const KEEP_ALIVE: Duration = Duration::from_secs(10);

    #[track_caller]
    fn check(pulse: &Pulse, start: Instant, ear: Ear, secs: u64, beat: Beat) {
        assert_eq!(pulse.next(KEEP_ALIVE, ear), (start + Duration::from_secs(secs), beat));
    }

    #[test]
    fn a_silent_broker_is_pinged_once_and_then_given_up() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        check(&pulse, start, Ear::Open, 10, Beat::Ping);
        pulse.asked();
        pulse.said(start + KEEP_ALIVE);
        check(&pulse, start, Ear::Open, 15, Beat::Silence);
        pulse.heard(start + Duration::from_secs(11));
        check(&pulse, start, Ear::Open, 20, Beat::Ping);
    }

    #[test]
    fn a_broker_is_pinged_for_its_silence_though_it_is_spoken_to() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        pulse.said(start + Duration::from_secs(9));
        check(&pulse, start, Ear::Open, 10, Beat::Ping);
    }

    #[test]
    fn silence_means_nothing_while_nobody_listens() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        pulse.listens(Ear::Closed, start);
        pulse.asked();
        pulse.said(start + Duration::from_secs(40));
        check(&pulse, start, Ear::Closed, 50, Beat::Ping);
        pulse.listens(Ear::Open, start + Duration::from_secs(45));
        check(&pulse, start, Ear::Open, 50, Beat::Ping);
        pulse.listens(Ear::Open, start + Duration::from_secs(47));
        check(&pulse, start, Ear::Open, 50, Beat::Ping);
    }
}
