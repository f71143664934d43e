//! The stages of a connector between its sources and its FHIR server, joined with bounded channels.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::settings;
use crate::client::Link;
use crate::clock::Clock;
use crate::config::ConnectorConfig;
use crate::deliver::Deliver;
use crate::group::Group;
use crate::mapping_store::MappingStore;
use crate::model::dead_letter::LetterBox;
use crate::model::intake::{Intake, Witness};
use crate::model::room::Room;
use crate::normalize::{Normalize, Shapes};
use crate::resolve::Resolve;
use crate::telemetry::meters::ProcessorMeter;

/// Stages ready to run.
pub(super) struct Pipeline {
    connector: Arc<str>,
    normalize: Normalize,
    group: Group,
    resolve: Resolve,
    deliver: Deliver,
    queue_max: usize,
    room: Arc<Room>,
}

impl Pipeline {
    /// The stages of a connector in front of the server behind `link`. Messages that match no template are counted in
    /// `unmatched`; `give_up` ends the waits that a shutdown does not end by itself.
    pub(super) fn new(
        config: &ConnectorConfig,
        mappings: MappingStore,
        resolve: Resolve,
        link: Arc<Link>,
        unmatched: Arc<Shapes>,
        clock: &Clock,
        give_up: CancellationToken,
    ) -> Self {
        let versions = mappings.versions();
        let room = Room::new(config.in_flight_bytes_max);
        Self {
            connector: Arc::clone(link.connector()),
            normalize: Normalize::new(mappings, clock.clone(), unmatched, Arc::clone(&room), give_up),
            group: Group::new(settings::group(config)),
            resolve,
            deliver: Deliver::new(settings::deliver(config), versions, link, clock.clone()),
            queue_max: config.queue_max,
            room,
        }
    }

    /// Starts the stages on `tasks`, and gives the way in for the sources. Each stage ends when its inbox does, the
    /// first one when the last copy of the way in is gone.
    pub(super) fn spawn(self, witness: Arc<dyn Witness>, letters: LetterBox, tasks: &TaskTracker) -> Intake {
        let (envelopes_in, envelopes) = mpsc::channel(self.queue_max);
        let (measurements_in, measurements) = mpsc::channel(self.queue_max);
        let (groups_in, groups) = mpsc::channel(settings::BATCHES_MAX);
        let (resolved_in, resolved) = mpsc::channel(settings::BATCHES_MAX);
        let meter = |stage| ProcessorMeter::of_stage(&self.connector, stage);
        tasks.spawn(meter("normalize").metered(self.normalize.run(envelopes, measurements_in, letters.clone())));
        tasks.spawn(meter("group").metered(self.group.run(measurements, groups_in)));
        tasks.spawn(meter("resolve").metered(self.resolve.run(groups, resolved_in, letters.clone())));
        tasks.spawn(meter("deliver").metered(self.deliver.run(resolved, letters, tasks.clone())));
        Intake::new(self.connector, witness, self.room, envelopes_in)
    }
}
