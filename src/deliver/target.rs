//! The Observations a batch of groups goes into, and the step each needs next. Pure.
//!
//! Groups for the same Observation are one target, so that no Bundle writes an Observation twice.

use std::cmp::Reverse;
use std::collections::HashMap;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;

use crate::client::bundle::{Answer, Condition, Request};
use crate::convert;
use crate::convert::content::{Boundary, Content, Names, series_of};
use crate::convert::identifier::Identifier;
use crate::convert::merge::Merged;
use crate::convert::reading::ConversionFailure;
use crate::mapping::fhir::FhirTemplate;
use crate::model::group::{Contribution, ResolvedGroup, Span};
use crate::model::measurement::Measurement;
use crate::model::receipt::Outcome;

/// A resource, mostly an Observation, and what goes into it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) resource_type: &'static str,
    pub(super) identifier: Identifier,
    /// At least one, in order of arrival.
    pub(super) groups: Vec<ResolvedGroup>,
    pub(super) stored: Stored,
}

/// What is known of the Observation on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// Nothing.
    Unknown,
    /// It is not there.
    Absent,
    /// It is there.
    Present(Known),
}

/// An Observation as it is on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) body: Bytes,
    /// Entity tag of its version, when the server tells.
    pub(super) etag: Option<String>,
}

/// What a target needs next.
#[derive(Debug)]
pub(super) enum Step {
    /// This write; `outcome` is how the messages end when it succeeds.
    Write { request: Request, outcome: Outcome },
    /// Nothing: the server has it all.
    Nothing,
}

/// A step, and the readings that cannot be part of it.
#[derive(Debug)]
pub(super) struct Composed {
    pub(super) step: Step,
    pub(super) rejected: Vec<ConversionFailure>,
}

impl Target {
    /// Where to read it.
    pub(super) fn url(&self) -> String {
        format!("{}/{}", self.resource_type, self.identifier.id)
    }

    /// All measurements, in order of arrival.
    pub(super) fn measurements(&self) -> impl Iterator<Item = &Measurement> {
        self.groups.iter().flat_map(|group| &group.group.contributions).map(|contribution| &contribution.measurement)
    }

    /// The latest mapping version that any of its measurements was found with.
    pub(super) fn mapping_version(&self) -> u64 {
        let contributions = self.groups.iter().flat_map(|group| &group.group.contributions);
        contributions.map(|contribution| contribution.mapping_version).max().unwrap_or_default()
    }

    /// Whether it covers one instant, so that it is hardly ever written twice.
    pub(super) fn is_single(&self) -> bool {
        self.groups.iter().all(|group| matches!(group.group.key.span, Span::Single(_)))
    }

    /// The next step, given what is stored.
    ///
    /// # Errors
    /// When nothing can be written with all of the readings.
    pub(super) fn compose(&self, template: &FhirTemplate, issued: Timestamp) -> Result<Composed, ConversionFailure> {
        let nothing = || ConversionFailure::not_supported("an Observation without measurements");
        let first = self.groups.first().ok_or_else(nothing)?;
        let of = |group: &ResolvedGroup| {
            let measurements = group.group.contributions.iter().map(|contribution| &contribution.measurement);
            Boundary::of(group.group.key.span, measurements)
        };
        let boundary = self.groups.iter().filter_map(of).reduce(Boundary::union).ok_or_else(nothing)?;
        let content = Content {
            measurement_type: &first.group.key.measurement_type,
            boundary,
            series: series_of(self.measurements()),
            subject: &first.subject,
            issued,
            identifier: &self.identifier,
            names: self.measurements().next().map(Names::of).unwrap_or_default(),
        };
        match &self.stored {
            Stored::Unknown | Stored::Absent => {
                let built = convert::build(template, &content)?;
                let request = self.put(built.json, Condition::Absent);
                Ok(Composed { step: Step::Write { request, outcome: Outcome::Stored }, rejected: built.rejected })
            }
            Stored::Present(known) => {
                let merged = convert::merge(&known.body, template, &content)?;
                let step = match merged.outcome {
                    Merged::Unchanged => Step::Nothing,
                    Merged::Changed(json) => {
                        let condition = known.etag.clone().map_or(Condition::Always, Condition::Version);
                        Step::Write { request: self.put(json, condition), outcome: Outcome::Merged }
                    }
                };
                Ok(Composed { step, rejected: merged.rejected })
            }
        }
    }

    fn put(&self, json: Vec<u8>, condition: Condition) -> Request {
        Request::Put { url: self.url(), resource: Bytes::from(json), condition }
    }

    /// Takes out the measurements that a failure is about: those with the reading to blame, or all of them.
    pub(super) fn take_blamed(&mut self, failure: &ConversionFailure) -> Vec<Contribution> {
        let is_blamed = |contribution: &mut Contribution| match &failure.reading {
            Some((name, at)) => {
                let measurement = &contribution.measurement;
                measurement.occurred_at == *at && measurement.properties.iter().any(|property| *property.name == **name)
            }
            None => true,
        };
        let mut blamed = Vec::new();
        for group in &mut self.groups {
            blamed.extend(group.group.contributions.extract_if(.., is_blamed));
        }
        self.groups.retain(|group| !group.group.contributions.is_empty());
        blamed
    }

    /// When the measurements arrived that count: of those taken at one instant the one that arrived last (GR-2).
    pub(super) fn ingestion_times(&self) -> Vec<Timestamp> {
        let times = |measurement: &Measurement| (measurement.occurred_at, Reverse(measurement.ingested_at));
        let mut times: Vec<_> = self.measurements().map(times).collect();
        times.sort_unstable();
        times.dedup_by_key(|(occurred_at, _)| *occurred_at);
        times.into_iter().map(|(_, Reverse(ingested_at))| ingested_at).collect()
    }

    /// When the messages arrived that each of its measurements is from.
    pub(super) fn arrival_times(&self) -> impl Iterator<Item = Timestamp> {
        let contributions = self.groups.iter().flat_map(|group| &group.group.contributions);
        contributions.map(|contribution| contribution.envelope.enqueued_at)
    }

    /// Ends all of its messages.
    pub(super) fn complete(self, outcome: Outcome) {
        for contribution in self.groups.into_iter().flat_map(|group| group.group.contributions) {
            contribution.receipt.complete(outcome);
        }
    }
}

/// Targets under way, one for each Observation, in order of first arrival.
#[derive(Debug, Default)]
pub(super) struct Targets {
    targets: Vec<Target>,
    by_url: HashMap<String, usize>,
}

impl Targets {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self { targets: Vec::with_capacity(capacity), by_url: HashMap::with_capacity(capacity) }
    }

    /// Puts a group to the others of its resource.
    pub(super) fn add(&mut self, resource_type: &'static str, identifier: Identifier, group: ResolvedGroup) {
        let target = Target { resource_type, identifier, groups: Vec::new(), stored: Stored::Unknown };
        let place = *self.by_url.entry(target.url()).or_insert(self.targets.len());
        if place == self.targets.len() {
            self.targets.push(target);
        }
        if let Some(target) = self.targets.get_mut(place) {
            target.groups.push(group);
        }
    }

    pub(super) fn into_vec(self) -> Vec<Target> {
        self.targets
    }
}

/// What a read found; `None` when the server refuses to say.
pub(super) fn stored(answer: Answer) -> Option<Stored> {
    match (answer.status, answer.resource) {
        (200, Some(body)) => {
            let etag = answer.etag.or_else(|| etag_in(&body));
            Some(Stored::Present(Known { body, etag }))
        }
        (404 | 410, _) => Some(Stored::Absent),
        _ => None,
    }
}

/// The version a resource names, as an entity tag.
fn etag_in(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Resource {
        meta: Meta,
    }
    #[derive(Deserialize)]
    struct Meta {
        #[serde(rename = "versionId")]
        version_id: String,
    }
    let resource: Resource = serde_json::from_slice(body).ok()?;
    Some(format!("W/\"{}\"", resource.meta.version_id))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Known, Stored, stored};
    use crate::client::bundle::Answer;

    #[track_caller]
    fn check(status: u16, etag: Option<&str>, body: &'static str, expected: Option<&Stored>) {
        let resource = Some(Bytes::from_static(body.as_bytes()));
        let answer = Answer { status, etag: etag.map(str::to_owned), resource, diagnosis: None };
        assert_eq!(stored(answer).as_ref(), expected, "{status}");
    }

    fn present(body: &'static str, etag: Option<&str>) -> Stored {
        Stored::Present(Known { body: Bytes::from_static(body.as_bytes()), etag: etag.map(str::to_owned) })
    }

    #[test]
    fn the_version_comes_from_the_tag_or_from_the_resource() {
        let body = r#"{"meta":{"versionId":"7"}}"#;
        check(200, Some("W/\"3\""), body, Some(&present(body, Some("W/\"3\""))));
        check(200, None, body, Some(&present(body, Some("W/\"7\""))));
        check(200, None, "{}", Some(&present("{}", None)));
    }

    #[test]
    fn ob_5_what_is_gone_is_absent() {
        check(404, None, "{}", Some(&Stored::Absent));
        check(410, None, "{}", Some(&Stored::Absent));
        check(400, None, "{}", None);
    }
}
