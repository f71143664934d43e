//! Patch, also conditional: changes to a resource instead of the resource (<https://hl7.org/fhir/R4/http.html#patch>).
//!
//! What comes of the changes is checked and written like an update. A patch that does not fit the resource as it is, such
//! as a `test` that fails, gives 422. One that changes nothing makes no new version.

use std::sync::Arc;

use axum::extract::{FromRequest, RawQuery, Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};

use super::body::{JsonBody, read_text};
use super::create::several;
use super::criteria::{Found, criteria, look_up};
use super::error::{ApiError, Category};
use super::plain_url::PlainUrl;
use super::preconditions::Preconditions;
use super::read;
use super::resource::{KeptRules, Sent, parse};
use super::respond::{Done, Return};
use super::state::ApiState;
use super::target::{KeyInPath, TypeInPath};
use super::update::Update;
use crate::fhir::patch::{Fault, Patch, PatchError};
use crate::fhir::search::plan::Criteria;
use crate::fhir::search::registry::Registry;
use crate::fhir::store::interface::{Head, Reader, Writer};
use crate::fhir::store::{Method, ResourceKey, Version};
use crate::json::Node;
use crate::r4::resource_type::ResourceType;

/// The media type of JSON Patch (RFC 6902).
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";

/// A patch, ready to be carried out.
#[derive(Debug)]
pub(crate) struct PatchOf {
    /// Of which resource.
    pub(crate) target: Target,
    /// What changes.
    pub(crate) patch: Patch,
    /// Only if these hold.
    pub(crate) preconditions: Preconditions,
    /// What the resource may grow to.
    pub(crate) bytes_max: usize,
    /// How the patched resource is read.
    pub(crate) rules: KeptRules,
}

/// What comes of a patch.
#[derive(Debug)]
pub(crate) enum Patched {
    /// Nothing: the resource stays as it is.
    Unchanged(Version),
    /// Another version.
    Changed {
        /// What is written.
        update: Box<Update>,
        /// Over this.
        head: Head,
        /// The patched resource.
        text: Bytes,
    },
}

/// Which resource is meant.
#[derive(Debug)]
pub(crate) enum Target {
    /// This one.
    Key(ResourceKey),
    /// The one of this type that fulfils a condition.
    Condition(ResourceType, Criteria),
}

impl Target {
    /// The type of the resource.
    pub(crate) fn resource_type(&self) -> ResourceType {
        match self {
            Self::Key(key) => key.resource_type,
            Self::Condition(resource_type, _) => *resource_type,
        }
    }

    /// The resource, if there is one under a condition.
    ///
    /// # Errors
    /// When a condition leads to none or to several, or the store fails.
    pub(crate) fn key(&self, reader: &dyn Reader) -> Result<ResourceKey, ApiError> {
        match self {
            Self::Key(key) => Ok(key.clone()),
            Self::Condition(resource_type, condition) => match look_up(reader, *resource_type, condition)? {
                Found::Nothing => Err(ApiError::new(Category::NotFound, "No resource fulfils the condition.")),
                Found::One(version) => Ok(version.key),
                Found::Several => Err(several()),
            },
        }
    }
}

/// `PATCH [base]/[type]/[id]`
pub(crate) async fn patch(
    State(state): State<ApiState>,
    KeyInPath(key): KeyInPath,
    _: PlainUrl,
    headers: HeaderMap,
    PatchBody(patch): PatchBody,
) -> Result<Response, ApiError> {
    let registry = state.registry().await?;
    answer(&state, &registry, &headers, Target::Key(key), patch).await
}

/// `PATCH [base]/[type]?[criteria]`
pub(crate) async fn conditional_patch(
    State(state): State<ApiState>,
    TypeInPath(resource_type): TypeInPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    PatchBody(patch): PatchBody,
) -> Result<Response, ApiError> {
    let registry = state.registry().await?;
    let condition = criteria(&registry, resource_type, &query.unwrap_or_default(), &state.base_url(&headers)?)?;
    answer(&state, &registry, &headers, Target::Condition(resource_type, condition), patch).await
}

async fn answer(
    state: &ApiState,
    registry: &Arc<Registry>,
    headers: &HeaderMap,
    target: Target,
    patch: Patch,
) -> Result<Response, ApiError> {
    let base_url = state.base_url(headers)?;
    let resource_type = target.resource_type();
    let patch = PatchOf {
        target,
        patch,
        preconditions: Preconditions::in_headers(headers)?.of_change(state.settings.versioning.of(resource_type)),
        bytes_max: state.settings.body_bytes_max,
        rules: state.rules(&base_url, registry).keep(),
    };
    let done = state.store.write(move |writer| patch.apply(writer)).await?;
    Ok(done.into_response(&base_url, Return::in_headers(headers)))
}

/// Whether resources of a type can be patched (<https://hl7.org/fhir/R4/binary.html#patch>).
pub(crate) fn is_patchable(resource_type: ResourceType) -> bool {
    resource_type.as_str() != "Binary"
}

/// A patch in the notation that the `Content-Type` names.
pub(crate) struct PatchBody(Patch);

impl FromRequest<ApiState> for PatchBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = essence(media_type);
        if essence == JSON_PATCH {
            return Ok(Self(Patch::json(&read_text(request, state).await?)?));
        }
        if !essence.contains("fhir") && essence != "application/json" {
            return Err(ApiError::new(
                Category::UnsupportedMedia,
                "A patch is sent as JSON Patch (`Content-Type: application/json-patch+json`) or as FHIRPath Patch, a \
                 Parameters resource (`application/fhir+json`).",
            ));
        }
        let JsonBody(text) = JsonBody::from_request(request, state).await?;
        parse(&text)?;
        Ok(Self(Patch::fhir_path(&text)?))
    }
}

/// Reads a patch from an entry of a Bundle, which holds a resource: a FHIRPath Patch, or a Binary with a JSON Patch.
///
/// # Errors
/// When it is neither, or not a patch.
pub(crate) fn in_resource(text: &Bytes) -> Result<Patch, ApiError> {
    let node = parse(text)?;
    let member = |name: &str| node.member(name).and_then(Node::as_str);
    if member("resourceType") != Some("Binary") {
        return Ok(Patch::fhir_path(text)?);
    }
    let is_json_patch = member("contentType").is_some_and(|media_type| essence(media_type) == JSON_PATCH);
    if !is_json_patch {
        let detail = "A Binary that is a patch has the `contentType` `application/json-patch+json`.";
        return Err(ApiError::new(Category::UnsupportedMedia, detail).at("Binary.contentType"));
    }
    let patch = member("data").and_then(|data| BASE64_STANDARD.decode(data).ok());
    let patch = patch.ok_or_else(|| {
        ApiError::new(Category::Value, "A Binary that is a patch holds it in `data`, in base64.").at("Binary.data")
    })?;
    Ok(Patch::json(&patch.into())?)
}

/// A media type without its parameters.
fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

impl PatchOf {
    /// Carries it out. Nothing is written unless it succeeds.
    ///
    /// # Errors
    /// When there is no such resource, a precondition does not hold, the patch does not fit the resource, what comes of
    /// it is not a resource of the same type and id, or the store fails.
    pub(crate) fn apply(self, writer: &mut dyn Writer) -> Result<Done, ApiError> {
        match self.patched(writer)? {
            Patched::Unchanged(version) => Ok(Done { status: StatusCode::OK, version: Some(version) }),
            Patched::Changed { update, head, .. } => update.apply_to(Some(head), writer),
        }
    }

    /// Finds out what comes of it.
    ///
    /// # Errors
    /// As `apply`.
    pub(crate) fn patched(&self, reader: &dyn Reader) -> Result<Patched, ApiError> {
        let key = self.target.key(reader)?;
        if !is_patchable(key.resource_type) {
            let detail = "A Binary is not patched: a patch could not tell its content from what describes it. Use PUT.";
            return Err(ApiError::new(Category::NotSupported, detail));
        }
        self.preconditions.check(reader.head(&key)?)?;
        let current = read::current(reader, &key)?;
        let Some(text) = self.patch.apply(current.body.as_ref().unwrap_or(&Bytes::new()))? else {
            return Ok(Patched::Unchanged(current));
        };
        if text.len() > self.bytes_max {
            let detail =
                format!("The patch makes the resource larger than the {} bytes this server takes.", self.bytes_max);
            return Err(ApiError::new(Category::TooLarge, detail));
        }
        let sent = Sent::read_as(&text, key.resource_type, self.rules.rules())?;
        let mut update = Update::new(key, sent, Preconditions::default())?;
        update.draft.method = Method::Patch;
        Ok(Patched::Changed { update: Box::new(update), head: current.head(), text })
    }
}

impl From<PatchError> for ApiError {
    fn from(error: PatchError) -> Self {
        let category = match error.fault {
            Fault::Malformed => Category::Structure,
            Fault::NotSupported => Category::NotSupported,
            Fault::Inapplicable => Category::Unprocessable,
            Fault::TooLarge => Category::TooLarge,
        };
        let failure = Self::new(category, error.detail);
        match error.location {
            Some(location) => failure.at(location),
            None => failure,
        }
    }
}
