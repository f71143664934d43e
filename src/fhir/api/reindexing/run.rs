//! One run: what it is about, how far it has come, and its pieces.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::fhir::api::definitions::in_force;
use crate::fhir::api::error::{ApiError, Category};
use crate::fhir::search::index::{entries, entries_under, names};
use crate::fhir::search::local::localize_entries;
use crate::fhir::search::registry::Registry;
use crate::fhir::search::registry::definition::Definition;
use crate::fhir::search::registry::definitions::Definitions;
use crate::fhir::store::interface::{Reader, Writer};
use crate::fhir::store::{Condition, Note, Parameter, Version};
use crate::json;
use crate::r4::resource_type::ResourceType;

/// Most resources of one piece.
const PIECE_MAX: usize = 100;
/// When a piece is long enough: other writes wait for it.
const PIECE_TIME_MAX: Duration = Duration::from_millis(10);

/// A run, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// The name of the run.
    pub(crate) id: String,
    /// The address of this server at which references are local.
    pub(crate) base_url: String,
    /// When it began.
    pub(crate) started_at: Timestamp,
    /// When all was done.
    pub(crate) ended_at: Option<Timestamp>,
    /// The parameters that find everything in the end.
    pub(crate) parameters: Vec<Covered>,
    /// The resources that are visited.
    pub(crate) stretches: Vec<Stretch>,
}

/// A parameter of this server's own as it was when a run began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Covered {
    /// The id of its SearchParameter.
    pub(crate) id: String,
    /// Its URL.
    pub(crate) url: String,
    /// Its code.
    pub(crate) code: String,
    /// Since which generation of the definitions it is what it is.
    since: u64,
    /// Whether the run has made it ready; it has not if the definition changed meanwhile.
    pub(crate) is_ready: bool,
}

/// The resources of a type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stretch {
    /// The name of the type.
    pub(crate) resource_type: String,
    /// The codes of the parameters; empty for all of the type.
    codes: Vec<String>,
    /// The place of the last resource visited.
    after: u64,
    /// The place of the last resource to be visited.
    last: u64,
    /// How many were visited.
    pub(crate) done: u64,
    /// How many there were in the beginning.
    pub(crate) total: u64,
}

/// What is to be indexed anew.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Everything that resources of these types are found by.
    pub(crate) types: Vec<ResourceType>,
    /// What resources are found by under the parameters of these URLs.
    pub(crate) urls: Vec<String>,
}

/// What a piece came to.
pub(crate) enum Piece {
    /// There is no run under way.
    None,
    /// There is more to do.
    Some(Run),
    /// It was the last.
    Last(Run),
}

impl Run {
    /// The run that the store knows, under way or ended.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn known(reader: &dyn Reader) -> Result<Option<Self>, ApiError> {
        let note = reader.note(Note::Reindexing)?;
        if note.is_empty() { Ok(None) } else { serde_json::from_slice(&note).map_err(ApiError::internal) }
    }

    /// Forgets the run that the store knows.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn forget(writer: &mut dyn Writer) -> Result<(), ApiError> {
        Ok(writer.set_note(Note::Reindexing, b"")?)
    }

    /// The run under way, which is a new one if there is none.
    ///
    /// # Errors
    /// When no parameter has a URL that is wanted, or the store fails.
    pub(crate) fn begin(
        writer: &mut dyn Writer,
        wanted: &Wanted,
        base_url: &str,
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        if let Some(known) = Self::known(writer)?.filter(|known| known.ended_at.is_none()) {
            return Ok(known);
        }
        let definitions = Definitions::read(&writer.note(Note::Definitions)?).map_err(ApiError::internal)?;
        let registry = in_force(writer)?;
        let mut run = Self {
            id: Uuid::new_v4().to_string(),
            base_url: base_url.to_owned(),
            started_at: now,
            ended_at: None,
            parameters: Vec::new(),
            stretches: Vec::new(),
        };
        for resource_type in &wanted.types {
            run.visit(writer, *resource_type, None)?;
        }
        for url in &wanted.urls {
            run.cover_url(writer, &registry, url)?;
        }
        let usable = definitions.iter().filter(|definition| is_usable(definition, &registry));
        let is_covered = |definition: &&Definition| {
            if wanted.types.is_empty() && wanted.urls.is_empty() {
                return !definition.is_ready;
            }
            wanted.urls.contains(&definition.url) || definition.types().all(|it| wanted.types.contains(&it))
        };
        for definition in usable.filter(is_covered) {
            run.parameters.push(Covered::of(definition));
            for resource_type in definition.types() {
                run.visit(writer, resource_type, Some(&definition.code))?;
            }
        }
        run.keep(writer)?;
        Ok(run)
    }

    /// Visits the types that have the parameter of this URL.
    fn cover_url(&mut self, reader: &dyn Reader, registry: &Registry, url: &str) -> Result<(), ApiError> {
        let mut is_known = false;
        for resource_type in ResourceType::all() {
            if let Some(parameter) = registry.with_url(resource_type, url) {
                is_known = true;
                self.visit(reader, resource_type, Some(&parameter.code))?;
            }
        }
        if is_known {
            return Ok(());
        }
        let detail =
            "No search parameter in force here has this `url`. To index all of a type anew, name it by `type`.";
        Err(ApiError::new(Category::Value, detail).at("Parameters.parameter.where(name='url')"))
    }

    /// Adds what resources of a type are found by; without a code, all of it.
    fn visit(&mut self, reader: &dyn Reader, resource_type: ResourceType, code: Option<&str>) -> Result<(), ApiError> {
        let name = resource_type.as_str();
        if let Some(known) = self.stretches.iter_mut().find(|stretch| stretch.resource_type == name) {
            match code {
                None => known.codes.clear(),
                Some(code) if !known.codes.is_empty() && !known.codes.iter().any(|known| known == code) => {
                    known.codes.push(code.to_owned());
                }
                Some(_) => {}
            }
            return Ok(());
        }
        self.stretches.push(Stretch {
            resource_type: name.to_owned(),
            codes: code.map(str::to_owned).into_iter().collect(),
            after: 0,
            last: reader.last_place(resource_type)?,
            done: 0,
            total: reader.count(resource_type, &Condition::All(Vec::new()))?,
        });
        Ok(())
    }

    /// Goes on with the run under way.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn go_on(writer: &mut dyn Writer, now: Timestamp) -> Result<Piece, ApiError> {
        let Some(mut run) = Self::known(writer)?.filter(|known| known.ended_at.is_none()) else {
            return Ok(Piece::None);
        };
        let base_url = run.base_url.clone();
        let is_last = match run.stretches.iter_mut().find(|stretch| stretch.after < stretch.last) {
            Some(stretch) => stretch.go_on(writer, &base_url).map(|()| false)?,
            None => run.end(writer, now).map(|()| true)?,
        };
        run.keep(writer)?;
        Ok(if is_last { Piece::Last(run) } else { Piece::Some(run) })
    }

    /// Makes the parameters ready that are still what they were.
    fn end(&mut self, writer: &mut dyn Writer, now: Timestamp) -> Result<(), ApiError> {
        let mut definitions = Definitions::read(&writer.note(Note::Definitions)?).map_err(ApiError::internal)?;
        for covered in &mut self.parameters {
            covered.is_ready = definitions.make_ready(&covered.id, covered.since);
        }
        if self.parameters.iter().any(|covered| covered.is_ready) {
            let text = definitions.write().map_err(ApiError::internal)?;
            writer.set_note(Note::Definitions, &text)?;
        }
        self.ended_at = Some(now);
        Ok(())
    }

    fn keep(&self, writer: &mut dyn Writer) -> Result<(), ApiError> {
        let text = serde_json::to_vec(self).map_err(ApiError::internal)?;
        Ok(writer.set_note(Note::Reindexing, &text)?)
    }

    /// How many resources were visited, and how many there were in the beginning.
    pub(crate) fn progress(&self) -> (u64, u64) {
        let sum = |of: fn(&Stretch) -> u64| self.stretches.iter().map(of).sum();
        (sum(|stretch| stretch.done), sum(|stretch| stretch.total))
    }
}

impl Covered {
    fn of(definition: &Definition) -> Self {
        Self {
            id: definition.id.clone(),
            url: definition.url.clone(),
            code: definition.code.clone(),
            since: definition.since,
            is_ready: false,
        }
    }
}

fn is_usable(definition: &Definition, registry: &Registry) -> bool {
    definition.types().all(|resource_type| registry.with_url(resource_type, &definition.url).is_some())
}

impl Stretch {
    fn go_on(&mut self, writer: &mut dyn Writer, base_url: &str) -> Result<(), ApiError> {
        let resource_type = ResourceType::parse(&self.resource_type)
            .ok_or_else(|| ApiError::internal("a run visits a type that is not known"))?;
        let registry = in_force(writer)?;
        let only: Vec<Parameter> = self.codes.iter().flat_map(|code| names(code)).collect();
        let began = Instant::now();
        let found = writer.in_order(resource_type, self.after, PIECE_MAX)?;
        let is_end = found.len() < PIECE_MAX;
        for (place, version) in found {
            if place > self.last {
                break;
            }
            index_anew(writer, &registry, &version, &only, base_url)?;
            self.after = place;
            self.done += 1;
            if began.elapsed() > PIECE_TIME_MAX {
                return Ok(());
            }
        }
        if is_end {
            self.after = self.last;
        }
        Ok(())
    }
}

/// Indexes a resource anew under these names, under all if none are given.
///
/// # Errors
/// When the store fails, or has something that is no JSON.
pub(crate) fn index_anew(
    writer: &mut dyn Writer,
    registry: &Registry,
    version: &Version,
    only: &[Parameter],
    base_url: &str,
) -> Result<usize, ApiError> {
    let resource_type = version.key.resource_type;
    let body = version.body.as_deref().unwrap_or_default();
    let resource = json::parse(body).map_err(|_unreadable| ApiError::internal("a stored resource is not JSON"))?;
    let mut index = if only.is_empty() {
        entries(registry, resource_type, &resource)
    } else {
        entries_under(registry, resource_type, only, &resource)
    };
    localize_entries(&mut index, base_url);
    writer.index(&version.key, (!only.is_empty()).then_some(only), &index)?;
    Ok(index.len())
}
