//! The Observations a batch of groups goes into, and the step each needs next. Pure.
//!
//! Groups for the same Observation are one target, so that no Bundle writes an Observation twice.

use std::cmp::Reverse;
use std::collections::HashMap;

use bytes::Bytes;
use jiff::Timestamp;

use crate::client::bundle::{Condition, Request};
use crate::client::search::Token;
use crate::convert;
use crate::convert::content::{Boundary, Content, Names, series_of};
use crate::convert::identifier::Identifier;
use crate::convert::merge::Merged;
use crate::convert::reading::ConversionFailure;
use crate::mapping::fhir::FhirTemplate;
use crate::model::envelope::Origin;
use crate::model::group::{Contribution, ResolvedGroup, Span};
use crate::model::measurement::Measurement;
use crate::model::receipt::Outcome;

/// A resource, mostly an Observation, and what goes into it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) kind: Kind,
    pub(super) identifier: Identifier,
    /// At least one, in order of arrival.
    pub(super) groups: Vec<ResolvedGroup>,
    pub(super) stored: Stored,
    /// What was found when its write was last turned away, and how often in a row it was the same.
    turned_away: Option<(Stored, u32)>,
}

/// What kind of resource a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) resource_type: &'static str,
    /// Whether servers can search it by identifier.
    pub(super) is_searched: bool,
}

impl Kind {
    /// What a template makes; without one nothing is written.
    pub(super) fn of(template: Option<&FhirTemplate>) -> Self {
        Self {
            resource_type: template.map_or("Observation", FhirTemplate::resource_type),
            is_searched: template.is_none_or(FhirTemplate::is_searched_by_identifier),
        }
    }
}

/// What is known of the Observation on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// Nothing: it was not looked for.
    Unknown,
    /// It was looked for and is not there.
    Absent,
    /// It is there.
    Present(Known),
}

/// An Observation as it is on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Its logical id. One that others created, a former connector for example, has another than GR-13 gives.
    pub(super) id: String,
    pub(super) body: Bytes,
    /// Entity tag of its version, when the server tells.
    pub(super) etag: Option<String>,
}

/// What a target needs next.
#[derive(Debug)]
pub(super) enum Step {
    /// To write this; `outcome` is how the messages end when it succeeds.
    Write { resource: Vec<u8>, condition: Condition, outcome: Outcome },
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
    /// Where it is when this product created it; tells targets apart, because the id follows from the identifier.
    pub(super) fn url(&self) -> String {
        self.url_of(&self.identifier.id)
    }

    fn url_of(&self, id: &str) -> String {
        format!("{}/{id}", self.kind.resource_type)
    }

    /// How it is searched, for types that can be (OB-1).
    pub(super) fn token(&self) -> Option<Token> {
        self.kind.is_searched.then(|| Token {
            resource_type: self.kind.resource_type,
            system: Some(self.identifier.system.as_ref().to_owned()),
            value: self.identifier.value.clone(),
        })
    }

    /// The logical id it has or is going to have.
    pub(super) fn id(&self) -> &str {
        match &self.stored {
            Stored::Present(known) => &known.id,
            Stored::Unknown | Stored::Absent => &self.identifier.id,
        }
    }

    /// Logical id of the patient; the identifier says that it is the same for all groups.
    pub(super) fn patient_id(&self) -> &str {
        self.groups.first().map_or("", |group| &group.subject.patient_id)
    }

    /// Forgets what is stored, because a write on top of it was turned away. Returns how often that has happened while
    /// the same was found there; 0 when it was not looked for.
    pub(super) fn turn_away(&mut self) -> u32 {
        let found = std::mem::replace(&mut self.stored, Stored::Unknown);
        let times = match &self.turned_away {
            _ if found == Stored::Unknown => 0,
            Some((before, times)) if *before == found => times + 1,
            Some(_) | None => 1,
        };
        self.turned_away = (times > 0).then_some((found, times));
        times
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
                let (resource, condition) = (built.json, Condition::Absent);
                let step = Step::Write { resource, condition, outcome: Outcome::Stored };
                Ok(Composed { step, rejected: built.rejected })
            }
            Stored::Present(known) => {
                let merged = convert::merge(&known.body, template, &content)?;
                let step = match merged.outcome {
                    Merged::Unchanged => Step::Nothing,
                    Merged::Changed(resource) => {
                        let condition = known.etag.clone().map_or(Condition::Always, Condition::Version);
                        Step::Write { resource, condition, outcome: Outcome::Merged }
                    }
                };
                Ok(Composed { step, rejected: merged.rejected })
            }
        }
    }

    /// The write. What was not looked for is named by its identifier, so that the server looks for it first.
    pub(super) fn put(&self, resource: Vec<u8>, condition: Condition) -> Request {
        let search = self.token().filter(|_| self.stored == Stored::Unknown);
        let url = search.map_or_else(|| self.url_of(self.id()), |token| token.url());
        Request::Put { url, resource: Bytes::from(resource), condition }
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

    /// Where its messages came from, in order of arrival.
    pub(super) fn origins(&self) -> impl DoubleEndedIterator<Item = &Origin> {
        let contributions = self.groups.iter().flat_map(|group| &group.group.contributions);
        contributions.map(|contribution| &contribution.envelope.origin)
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
    pub(super) fn add(&mut self, kind: Kind, identifier: Identifier, group: ResolvedGroup) {
        let target = Target { kind, identifier, groups: Vec::new(), stored: Stored::Unknown, turned_away: None };
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
