//! How a run is doing, as the pattern of asynchronous requests has it: <https://hl7.org/fhir/R4/async.html>.

use axum::extract::{Path, State};
use axum::response::Response;
use http::header::{CONTENT_LOCATION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};

use super::run::Run;
use crate::fhir::api::error::{ApiError, Category};
use crate::fhir::api::operations::parameters::{output, resource};
use crate::fhir::api::respond;
use crate::fhir::api::state::ApiState;
use crate::fhir::store::interface::Reader;
use crate::json::Node;

/// The path of a run's status below the base, with the name of the run behind it.
pub(crate) const PATH: &str = "/_operations/reindex";

const X_PROGRESS: HeaderName = HeaderName::from_static("x-progress");
/// When to ask again, in seconds.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("1");

/// `GET [base]/_operations/reindex/[run]`
pub(crate) async fn status(State(state): State<ApiState>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let run = state.store.read(move |reader| named(reader, &id)).await?;
    if run.ended_at.is_some() {
        return Ok(respond::json(StatusCode::OK, described(&run).into()));
    }
    let mut response = respond::empty(StatusCode::ACCEPTED);
    let (done, total) = run.progress();
    let progress = HeaderValue::from_str(&format!("{done} of {total} resources")).map_err(ApiError::internal)?;
    response.headers_mut().extend([(X_PROGRESS, progress), (RETRY_AFTER, ASK_AGAIN)]);
    Ok(response)
}

/// `DELETE [base]/_operations/reindex/[run]`: ends the run if it is under way, and forgets it.
pub(crate) async fn cancel(State(state): State<ApiState>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let cancelled = state.store.write(move |writer| {
        named(writer, &id)?;
        Run::forget(writer)
    });
    cancelled.await?;
    Ok(respond::empty(StatusCode::ACCEPTED))
}

fn named(reader: &dyn Reader, id: &str) -> Result<Run, ApiError> {
    let run = Run::known(reader)?.filter(|run| run.id == *id);
    run.ok_or_else(|| {
        let detail =
            "There is no such run of `$reindex`: it was cancelled, or another one was started after it had ended.";
        ApiError::new(Category::NotFound, detail)
    })
}

/// Where the status of a run is, as a header.
pub(crate) fn location(run: &Run, base_url: &str) -> Option<(HeaderName, HeaderValue)> {
    let value = HeaderValue::from_str(&format!("{base_url}{PATH}/{}", run.id)).ok()?;
    Some((CONTENT_LOCATION, value))
}

/// A run as `Parameters`.
pub(crate) fn described(run: &Run) -> String {
    let (done, total) = run.progress();
    let status = if run.ended_at.is_some() { "completed" } else { "in-progress" };
    let mut outputs = vec![
        output("id", "valueId", run.id.as_str()),
        output("status", "valueCode", status),
        output("startTime", "valueInstant", format!("{:.3}", run.started_at)),
    ];
    outputs.extend(run.ended_at.map(|ended_at| output("endTime", "valueInstant", format!("{ended_at:.3}"))));
    outputs.push(output("resources", "valueDecimal", count(done)));
    outputs.push(output("resourcesInTheBeginning", "valueDecimal", count(total)));
    for stretch in &run.stretches {
        let parts = vec![
            output("type", "valueCode", stretch.resource_type.as_str()),
            output("resources", "valueDecimal", count(stretch.done)),
        ];
        outputs.push(output("resourceType", "part", parts));
    }
    for parameter in &run.parameters {
        let parts = vec![
            output("url", "valueUri", parameter.url.as_str()),
            output("code", "valueCode", parameter.code.as_str()),
            output("ready", "valueBoolean", parameter.is_ready),
        ];
        outputs.push(output("searchParameter", "part", parts));
    }
    resource(outputs)
}

fn count(count: u64) -> Node<'static> {
    Node::Number(count.to_string().into())
}
