//! The recorded devices, each a client of the MQTT listener.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use rumqttc::{AsyncClient, MqttOptions, QoS};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::recording::Recording;
use crate::clock::Clock;

/// Publications that wait for the connection of one device; more make the replay wait.
const WAITING_MAX: usize = 1_000;
/// How often readings leave; a reading waits this long at most for its turn.
const TURN: Duration = Duration::from_millis(20);
/// Pause before a device connects again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Devices that send.
pub(crate) struct Devices {
    devices: Vec<(Recording, AsyncClient)>,
}

impl Devices {
    /// Connects every recorded device to the listener at `address`, until `stop`.
    pub(crate) fn connect(address: SocketAddr, tasks: &TaskTracker, stop: &CancellationToken) -> Self {
        let devices = Recording::all().into_iter().map(|recording| {
            let mut options = MqttOptions::new(&recording.name, address.ip().to_string(), address.port());
            options.set_clean_session(true);
            let (client, connection) = AsyncClient::new(options, WAITING_MAX);
            tasks.spawn(drive(connection, stop.clone()));
            (recording, client)
        });
        Self { devices: devices.collect() }
    }

    /// Sends `rate` readings a second, the devices taking turns, until `stop`. `sent_before` is where in the recordings
    /// an earlier replay ended.
    pub(crate) async fn replay(self, rate: NonZeroU32, sent_before: usize, clock: Clock, stop: CancellationToken) {
        let mut turns = tokio::time::interval(TURN);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let started = Instant::now();
        let mut sent = 0_usize;
        loop {
            tokio::select! {
                _ = turns.tick() => {}
                () = stop.cancelled() => return,
            }
            let due = readings_due(started.elapsed(), rate);
            while sent < due {
                if !self.send(sent_before.saturating_add(sent), &clock).await {
                    return;
                }
                sent = sent.saturating_add(1);
            }
        }
    }

    async fn send(&self, number: usize, clock: &Clock) -> bool {
        let turn = number.checked_rem(self.devices.len()).unwrap_or(0);
        let Some((recording, client)) = self.devices.get(turn) else { return false };
        let round = number.checked_div(self.devices.len()).unwrap_or(0);
        let message = recording.message_at(round, clock.now());
        client.publish(recording.topic, QoS::AtLeastOnce, false, message).await.is_ok()
    }
}

/// Readings to have been sent after `elapsed`: the first at once.
fn readings_due(elapsed: Duration, rate: NonZeroU32) -> usize {
    let due = elapsed.as_millis().saturating_mul(u128::from(rate.get())) / 1_000;
    usize::try_from(due).unwrap_or(usize::MAX).saturating_add(1)
}

async fn drive(mut connection: rumqttc::EventLoop, stop: CancellationToken) {
    loop {
        let event = tokio::select! {
            event = connection.poll() => event,
            () = stop.cancelled() => return,
        };
        if event.is_err() {
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::readings_due;

    #[test]
    fn the_first_reading_leaves_at_once_and_the_others_at_the_rate() {
        let rate = NonZeroU32::new(50).unwrap();
        let due: Vec<usize> =
            [0, 19, 20, 1_000].into_iter().map(|millis| readings_due(Duration::from_millis(millis), rate)).collect();
        assert_eq!(due, [1, 1, 2, 51]);
    }
}
