//! Every write of a resource goes through here, so that two things hold whatever interaction it comes from.
//!
//! A resource is indexed by the search parameters that are in force when it is written. Its index was made before, outside
//! the store's one write at a time; when other parameters have come into force meanwhile, it is made anew.
//!
//! A SearchParameter that is written or deleted changes what is in force in the same write, or is refused. One that would
//! not find what is stored already waits for `$reindex`.

use std::sync::{Arc, PoisonError, RwLock};

use super::error::{ApiError, Category};
use super::resource::{index, parse};
use crate::fhir::search::registry::Registry;
use crate::fhir::search::registry::definition::Refusal;
use crate::fhir::search::registry::definitions::Definitions;
use crate::fhir::store::interface::{Reader, StoreError, Writer};
use crate::fhir::store::{Basis, Condition, Draft, Note, Query, ResourceKey, Selection, Version};
use crate::r4::resource_type::ResourceType;

/// The registry that was loaded last.
#[derive(Clone, Default)]
pub(crate) struct Loaded(Arc<RwLock<Option<Dated>>>);

struct Dated {
    /// The store's epoch before the registry was loaded.
    epoch: u64,
    registry: Arc<Registry>,
}

impl Loaded {
    /// The registry, if it was loaded in this epoch.
    pub(crate) fn of_epoch(&self, epoch: u64) -> Option<Arc<Registry>> {
        let loaded = self.0.read().unwrap_or_else(PoisonError::into_inner);
        loaded.as_ref().filter(|known| known.epoch == epoch).map(|known| Arc::clone(&known.registry))
    }

    /// Keeps a registry unless there is a later one.
    pub(crate) fn keep(&self, epoch: u64, registry: &Arc<Registry>) {
        let mut loaded = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if loaded.as_ref().is_none_or(|known| known.epoch <= epoch) {
            *loaded = Some(Dated { epoch, registry: Arc::clone(registry) });
        }
    }
}

/// The search parameters that are in force.
///
/// # Errors
/// When the store fails.
pub(crate) fn in_force(reader: &dyn Reader) -> Result<Arc<Registry>, ApiError> {
    match reader.generation()? {
        0 => Ok(Arc::clone(Registry::r4())),
        generation => Registry::load(generation, &reader.note(Note::Definitions)?).map_err(ApiError::internal),
    }
}

/// Writes the next version of a resource.
///
/// # Errors
/// When it is a SearchParameter that cannot be used, or the store fails.
pub(crate) fn put(writer: &mut dyn Writer, draft: Draft) -> Result<Version, ApiError> {
    let draft = indexed_anew(writer, draft)?;
    let change = Change::of(writer, &draft.key, Some(&draft))?;
    let version = writer.put(draft)?;
    change.map_or(Ok(()), |change| change.apply(writer))?;
    Ok(version)
}

/// Writes the current version of a resource anew, with other labels and no other difference.
///
/// # Errors
/// When the store fails.
pub(crate) fn amend(writer: &mut dyn Writer, draft: Draft) -> Result<Option<Version>, ApiError> {
    let draft = indexed_anew(writer, draft)?;
    Ok(writer.amend(draft)?)
}

/// Deletes a resource; `None` if there is nothing to delete.
///
/// # Errors
/// When it is a SearchParameter that is needed, or the store fails.
pub(crate) fn delete(writer: &mut dyn Writer, key: &ResourceKey) -> Result<Option<Version>, ApiError> {
    let change = Change::of(writer, key, None)?;
    let version = writer.delete(key)?;
    change.map_or(Ok(()), |change| change.apply(writer))?;
    Ok(version)
}

/// Makes unready what this program cannot use, though another version of it could. What is written from then on is not found
/// by it.
///
/// # Errors
/// When the store fails.
pub(crate) fn set_aside_unusable(writer: &mut dyn Writer) -> Result<(), ApiError> {
    let mut definitions = Definitions::read(&writer.note(Note::Definitions)?).map_err(ApiError::internal)?;
    if definitions.set_aside_unusable(writer.generation()?) {
        tracing::warn!("search parameters were stored that this version of the program cannot use");
        writer.set_note(Note::Definitions, &definitions.write().map_err(ApiError::internal)?)?;
    }
    Ok(())
}

/// The draft, indexed by what is in force.
fn indexed_anew(writer: &dyn Writer, draft: Draft) -> Result<Draft, ApiError> {
    let generation = writer.generation()?;
    if draft.basis.generation == generation {
        return Ok(draft);
    }
    let text = text(&draft);
    let (resource_type, base_url) = (draft.key.resource_type, &draft.basis.base_url);
    let index = index(&*in_force(writer)?, resource_type, &parse(&text)?, base_url)?;
    let basis = Basis { generation, ..draft.basis };
    Ok(Draft { index, basis, ..draft })
}

/// The resource of a draft. What the server says in it is not what it is about.
fn text(draft: &Draft) -> Vec<u8> {
    draft.body.text(&draft.key.id, r#""versionId":"0""#)
}

/// What the write of a SearchParameter changes.
struct Change {
    id: String,
    definitions: Definitions,
}

impl Change {
    /// The change that a write under this key brings; `None` if it brings none.
    fn of(writer: &dyn Writer, key: &ResourceKey, draft: Option<&Draft>) -> Result<Option<Self>, ApiError> {
        if key.resource_type.as_str() != "SearchParameter" {
            return Ok(None);
        }
        let text = draft.map(text).unwrap_or_default();
        let resource = draft.map(|_draft| parse(&text)).transpose()?;
        let known = Definitions::read(&writer.note(Note::Definitions)?).map_err(ApiError::internal)?;
        let changed = known.with(&key.id, resource.as_ref(), writer.generation()? + 1)?;
        Ok(changed.map(|definitions| Self { id: key.id.clone(), definitions }))
    }

    fn apply(mut self, writer: &mut dyn Writer) -> Result<(), ApiError> {
        self.definitions.settle(&self.id, |resource_type| is_any_stored(writer, resource_type))?;
        Ok(writer.set_note(Note::Definitions, &self.definitions.write().map_err(ApiError::internal)?)?)
    }
}

fn is_any_stored(reader: &dyn Reader, resource_type: ResourceType) -> Result<bool, StoreError> {
    let selections = vec![Selection { resource_type, condition: Condition::All(Vec::new()) }];
    let found = reader.find(&Query::first(selections, 1))?;
    Ok(!found.versions.is_empty())
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let category = if refusal.is_clash { Category::Conflict } else { Category::Unprocessable };
        Self::new(category, refusal.detail).at(refusal.element)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{in_force, put};
    use crate::clock::Clock;
    use crate::database::Database;
    use crate::fhir::api::error::ApiError;
    use crate::fhir::api::resource::{Rules, Sent};
    use crate::fhir::search::registry::Registry;
    use crate::fhir::store::interface::{Reader, Store, StoreError};
    use crate::fhir::store::sqlite::{SCHEMA, SqliteStore};
    use crate::fhir::store::{Condition, Draft, IndexValue, Method, Test};
    use crate::fhir::structure::Validation;
    use crate::r4::resource_type::ResourceType;

    const DOCTOR: &str = r#"{"resourceType":"SearchParameter","status":"active","url":"http://here/doctor","code":"doctor",
        "type":"reference","base":["Patient"],"expression":"Patient.extension('http://d').value as Reference"}"#;
    const PATIENT: &str = r#"{"resourceType":"Patient","extension":[{"url":"http://d",
        "valueReference":{"reference":"http://here/fhir/Practitioner/1"}}]}"#;

    fn draft(registry: &Arc<Registry>, id: &str, resource: &str) -> Draft {
        let rules = Rules { base_url: "http://here/fhir", validation: Validation::Json, registry };
        Sent::read(resource.as_bytes(), rules).unwrap().into_draft(id.to_owned(), Method::Put)
    }

    /// How many patients are found by their doctor, whom this server has.
    fn found(reader: &dyn Reader) -> u64 {
        let target = "Practitioner/1".to_owned();
        let condition = Condition::Has("doctor".into(), Test::Reference { target });
        reader.count(ResourceType::parse("Patient").unwrap(), &condition).unwrap()
    }

    #[tokio::test]
    async fn what_was_indexed_before_a_definition_came_into_force_is_indexed_anew() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(directory.path(), &[SCHEMA]).unwrap();
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(database, Clock::default()).await.unwrap());
        let early = draft(Registry::r4(), "early", PATIENT);
        assert!(early.index.iter().all(|entry| !matches!(entry.value, IndexValue::Reference { .. })));
        let epoch = store.definitions_epoch();
        let definition = draft(Registry::r4(), "d", DOCTOR);
        store.write(|writer| put(writer, definition)).await.unwrap();
        assert_ne!(store.definitions_epoch(), epoch);
        let outdated = early.clone();
        let refused = store.write(|writer| writer.put(outdated)).await;
        assert!(matches!(refused, Err(StoreError::Outdated)), "{refused:?}");
        let written = store.write(move |writer| {
            put(writer, early)?;
            let late = draft(&in_force(writer)?, "late", PATIENT);
            put(writer, late)?;
            Ok::<_, ApiError>(found(writer))
        });
        assert_eq!(written.await.unwrap(), 2);
    }

    #[tokio::test]
    async fn what_a_failed_write_defines_is_not_in_force() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(directory.path(), &[SCHEMA]).unwrap();
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(database, Clock::default()).await.unwrap());
        let definition = draft(Registry::r4(), "d", DOCTOR);
        let failed = store.write(move |writer| {
            put(writer, definition)?;
            put(writer, draft(Registry::r4(), "p", PATIENT))?;
            assert_eq!(found(writer), 1);
            Err::<(), _>(ApiError::internal("no"))
        });
        assert!(failed.await.is_err());
        let registry = store.read(in_force).await.unwrap();
        assert_eq!(registry.generation(), 0);
    }
}
