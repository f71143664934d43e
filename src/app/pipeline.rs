//! The stages of a connector between its sources and its FHIR server, joined with bounded channels.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::settings;
use crate::deliver::Deliver;
use crate::group::Group;
use crate::model::dead_letter::LetterBox;
use crate::model::intake::{Intake, Witness};
use crate::model::room::Room;
use crate::normalize::Normalize;
use crate::resolve::Resolve;

/// Stages ready to run.
pub(super) struct Pipeline {
    /// Name of the connector.
    pub(super) name: Arc<str>,
    pub(super) normalize: Normalize,
    pub(super) group: Group,
    pub(super) resolve: Resolve,
    pub(super) deliver: Deliver,
    /// Messages, and measurements, that may wait for the next stage.
    pub(super) queue_max: usize,
    /// Bytes of messages that have come in and not yet ended.
    pub(super) in_flight_bytes_max: usize,
}

impl Pipeline {
    /// Starts the stages on `tasks`, and gives the way in for the sources. Each stage ends when its inbox does, the
    /// first one when the last copy of the way in is gone.
    pub(super) fn spawn(self, witness: Arc<dyn Witness>, letters: LetterBox, tasks: &TaskTracker) -> Intake {
        let (envelopes_in, envelopes) = mpsc::channel(self.queue_max);
        let (measurements_in, measurements) = mpsc::channel(self.queue_max);
        let (groups_in, groups) = mpsc::channel(settings::BATCHES_MAX);
        let (resolved_in, resolved) = mpsc::channel(settings::BATCHES_MAX);
        tasks.spawn(self.normalize.run(envelopes, measurements_in, letters.clone()));
        tasks.spawn(self.group.run(measurements, groups_in));
        tasks.spawn(self.resolve.run(groups, resolved_in, letters.clone()));
        tasks.spawn(self.deliver.run(resolved, letters, tasks.clone()));
        Intake::new(self.name, witness, Room::new(self.in_flight_bytes_max), envelopes_in)
    }
}
