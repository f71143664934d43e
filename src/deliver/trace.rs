//! What each write was made from, taken from the messages in it.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::target::Target;
use crate::client::bundle::{Answer, Condition, Request};
use crate::convert::trace::{Place, Trace};

/// Marks the writes of a connector.
#[derive(Debug)]
pub(super) struct Tracer {
    pub(super) place: Place,
    pub(super) connector: Arc<str>,
    /// When the program started, as traces have it.
    pub(super) started: Arc<str>,
}

impl Tracer {
    /// The resource with its trace, and the Provenance to send with it.
    pub(super) fn mark(
        &self,
        target: &Target,
        mapping: &Arc<str>,
        resource: Vec<u8>,
        now: Timestamp,
    ) -> (Vec<u8>, Option<Request>) {
        let Some(trace) = self.trace(target, mapping) else { return (resource, None) };
        let provenance = (self.place == Place::Provenance).then(|| {
            let (url, resource) = trace.provenance((target.kind.resource_type, target.id()), now);
            // Of the same write it is the same, so one that is there needs no other.
            Request::Put { url, resource: Bytes::from(resource), condition: Condition::Absent }
        });
        (trace.mark(resource, self.place), provenance)
    }

    /// The messages of a target have mostly one source. If not, those of the last one's are told.
    fn trace(&self, target: &Target, mapping: &Arc<str>) -> Option<Trace> {
        let source = target.origins().last().map(|origin| Arc::clone(&origin.source))?;
        let of_source = || target.origins().filter(|origin| origin.source == source).map(|origin| origin.position);
        Some(Trace {
            positions: (of_source().min()?, of_source().max()?),
            connector: Arc::clone(&self.connector),
            source,
            mapping: Arc::clone(mapping),
            started: Arc::clone(&self.started),
        })
    }
}

/// Tells of Provenances that the server did not take. What they are about is stored.
pub(super) fn tell_refused(answers: &[Answer]) {
    let is_refused = |answer: &&Answer| !matches!(answer.status, 200..=299 | 409 | 412);
    let mut refused = answers.iter().filter(is_refused);
    if let Some(first) = refused.next() {
        let provenances = 1 + refused.count();
        tracing::warn!(provenances, status = first.status, "provenances refused, what they are about is stored");
    }
}
