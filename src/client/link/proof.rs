//! What the server took, and when: the proof that it is one entry's fault, and not the server's, that the entry fails.
//!
//! Only requests of one kind speak for each other: a server whose disk is full answers every search and stores nothing.

use std::sync::{Mutex, PoisonError};

use crate::client::bundle::{Answer, Request};

/// A point in the order in which the server took things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

/// What the server took last of each kind.
#[derive(Debug, Default)]
pub(super) struct Taken(Mutex<Log>);

#[derive(Debug, Default)]
struct Log {
    now: u64,
    /// The kinds are few: what templates and identities name.
    kinds: Vec<(bool, String, u64)>,
}

impl Taken {
    /// Before everything that is noted from now on.
    pub(super) fn now(&self) -> Moment {
        Moment(self.0.lock().unwrap_or_else(PoisonError::into_inner).now)
    }

    /// Notes the requests that the server took; says whether there were any.
    pub(super) fn note<'a>(&self, answered: impl Iterator<Item = (&'a Request, &'a Answer)>) -> bool {
        let mut kinds: Vec<(bool, &str)> = Vec::new();
        for (request, answer) in answered {
            let kind = kind(request);
            if is_taken(request, answer) && !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        if kinds.is_empty() {
            return false;
        }
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.now += 1;
        let now = log.now;
        for (writes, resource_type) in kinds {
            match log.kinds.iter_mut().find(|(w, name, _)| *w == writes && name == resource_type) {
                Some((_, _, last)) => *last = now,
                None => log.kinds.push((writes, resource_type.to_owned(), now)),
            }
        }
        true
    }

    /// Whether another request of this kind was taken since.
    pub(super) fn since(&self, moment: Moment, request: &Request) -> bool {
        let (writes, resource_type) = kind(request);
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = log.kinds.iter().find(|(w, name, _)| *w == writes && name == resource_type);
        last.is_some_and(|(_, _, last)| *last > moment.0)
    }
}

/// Whether it writes, and the type of resource it is about.
fn kind(request: &Request) -> (bool, &str) {
    let resource_type = request.url().split(['/', '?']).next().unwrap_or_default();
    (matches!(request, Request::Put { .. }), resource_type)
}

/// A write counts only when it was done: refusing it well needs no disk. A read also counts when there is nothing.
fn is_taken(request: &Request, answer: &Answer) -> bool {
    match request {
        Request::Get { .. } => matches!(answer.status, 200..400 | 404 | 410),
        Request::Put { .. } => matches!(answer.status, 200..300),
    }
}
