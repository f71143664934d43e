//! The requests of an exchange, cut into Bundles.

use std::collections::VecDeque;

use super::LinkSettings;
use super::proof::Moment;
use crate::client::bundle::Request;

/// Requests that travel together, by their place in the list.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) places: Vec<usize>,
    /// Attempts after which these requests were suspected.
    pub(super) failures: u32,
    /// When they were suspected first: what others of their kind are taken after it speaks against them.
    pub(super) suspected_at: Option<Moment>,
}

impl Part {
    pub(super) fn of(places: Vec<usize>) -> Self {
        Self { places, failures: 0, suspected_at: None }
    }

    /// Its halves, or itself if it is one request. One that comes to stand alone is tried as often as any.
    pub(super) fn halves(mut self) -> impl DoubleEndedIterator<Item = Self> {
        let second = (self.places.len() > 1).then(|| {
            let places = self.places.split_off(self.places.len() / 2);
            let failures = if places.len() > 1 { self.failures } else { 0 };
            Self { places, failures, suspected_at: self.suspected_at }
        });
        if second.is_some() && self.places.len() == 1 {
            self.failures = 0;
        }
        std::iter::once(self).chain(second)
    }
}

/// Cuts requests into Bundles.
pub(super) fn cut(requests: &[Request], settings: &LinkSettings) -> VecDeque<Part> {
    let mut parts = VecDeque::new();
    let (mut places, mut bytes) = (Vec::new(), 0_usize);
    for (place, request) in requests.iter().enumerate() {
        let size = size(request);
        let full = places.len() >= settings.entries_max || bytes + size > settings.bytes_max;
        if full && !places.is_empty() {
            parts.push_back(Part::of(std::mem::take(&mut places)));
            bytes = 0;
        }
        places.push(place);
        bytes += size;
    }
    if !places.is_empty() {
        parts.push_back(Part::of(places));
    }
    parts
}

fn size(request: &Request) -> usize {
    match request {
        Request::Get { url } => url.len(),
        Request::Put { url, resource, .. } => url.len() + resource.len(),
    }
}
