//! Stage: resolved groups in, Bundles submitted, receipts completed.
//!
//! Groups go to lanes by device, so that the readings of a device are written in the order in which they came (GR-3)
//! while several Bundles are on their way. Each lane has one Bundle in flight. What waits for a lane goes together when
//! it is free, so one that is held up by a single entry leaves the others room to go on. A full lane holds everything
//! back: that is how a slow server slows the sources down.
//!
//! Turning groups into Observations, and merging them into those that exist, is `crate::convert`'s; retrying is the
//! link's.

mod find;
mod known;
mod lane;
mod target;
mod trace;

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use self::known::KnownObservations;
use self::lane::{Lane, Shared};
use self::trace::Tracer;
use crate::client::Link;
use crate::clock::Clock;
use crate::convert::identifier::Naming;
use crate::convert::trace::{Place, compact};
use crate::mapping_store::Versions;
use crate::model::dead_letter::LetterBox;
use crate::model::group::ResolvedGroup;
use crate::model::partition;
use crate::telemetry::meters::DeliverMeters;

/// Batches that may wait for a lane beside what it works on.
const BATCHES_PER_LANE_MAX: usize = 4;

/// How Observations are named and written.
#[derive(Clone, Debug)]
pub(crate) struct DeliverSettings {
    /// How identifiers are made.
    pub(crate) naming: Naming,
    /// Bundles in flight at most; the readings of one device are always in one lane.
    pub(crate) lanes: NonZeroUsize,
    /// What is done about an Observation not known to exist.
    pub(crate) first_write: FirstWrite,
    /// Where it is said what an Observation was made from.
    pub(crate) trace: Place,
}

/// What is done about an Observation not known to exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstWrite {
    /// It is created unless the server finds it: a conditional update by its identifier with `If-None-Match: *`, which
    /// needs a server that honours that in a Bundle, as the shipped one does. Any other would overwrite what is there.
    IfAbsent,
    /// It is looked for first: one more Bundle for each batch, but safe with every server.
    AfterReading,
}

/// The stage.
pub(crate) struct Deliver {
    shared: Arc<Shared>,
}

impl Deliver {
    /// The stage in front of the server behind `link`.
    pub(crate) fn new(settings: DeliverSettings, mappings: Arc<Versions>, link: Arc<Link>, clock: Clock) -> Self {
        let known = KnownObservations::new();
        let meters = DeliverMeters::new(link.connector());
        let tracer =
            Tracer { place: settings.trace, connector: Arc::clone(link.connector()), started: compact(clock.now()) };
        Self { shared: Arc::new(Shared { settings, mappings, link, clock, known, tracer, meters }) }
    }

    /// Runs until the inbox closes; its lanes, spawned on `tasks`, end after it.
    pub(crate) async fn run(
        self,
        mut inbox: mpsc::Receiver<Vec<ResolvedGroup>>,
        letters: LetterBox,
        tasks: TaskTracker,
    ) {
        let lanes: Vec<mpsc::Sender<Vec<ResolvedGroup>>> = (0..self.shared.settings.lanes.get())
            .map(|_| {
                let (lane_in, lane_inbox) = mpsc::channel(BATCHES_PER_LANE_MAX);
                let lane = Lane { shared: Arc::clone(&self.shared), letters: letters.clone() };
                tasks.spawn(self.shared.meters.processor().metered(lane.run(lane_inbox)));
                lane_in
            })
            .collect();
        drop(letters);
        while let Some(groups) = inbox.recv().await {
            for (lane, groups) in lanes.iter().zip(by_lane(groups, self.shared.settings.lanes)) {
                // A lane ends early only when the program does; what was for it is abandoned.
                if !groups.is_empty() && lane.send(groups).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Groups in as many parts as there are lanes; those of one device stay together and in order (NM-5).
fn by_lane(groups: Vec<ResolvedGroup>, lanes: NonZeroUsize) -> Vec<Vec<ResolvedGroup>> {
    if lanes.get() == 1 {
        return vec![groups];
    }
    let mut parts: Vec<Vec<ResolvedGroup>> = (0..lanes.get()).map(|_| Vec::new()).collect();
    for group in groups {
        let partition = usize::try_from(partition::of(&group.subject.device_id)).unwrap_or(0);
        if let Some(part) = parts.get_mut(partition % lanes) {
            part.push(group);
        }
    }
    parts
}

#[cfg(test)]
mod tests;
