//! The FHIR REST API: the whole surface on one page, an interaction a file.
//!
//! A handler reads what was asked, does all it can outside the store, hands the rest to the store as one read or one write,
//! and turns the result into an answer. Whatever fails, also routing and panics, is an OperationOutcome (`error`).

mod body;
mod bundle;
mod capabilities;
mod conditional_update;
mod create;
mod criteria;
mod definitions;
mod delete;
pub(crate) mod error;
pub(crate) mod format;
mod history;
pub(crate) mod limits;
mod metrics;
mod operations;
mod patch;
mod plain_url;
pub(crate) mod policies;
mod preconditions;
mod profiles;
mod read;
pub(crate) mod reindexing;
pub(crate) mod resource;
mod respond;
pub(crate) mod search;
pub(crate) mod state;
mod target;
mod update;
mod vread;

use std::any::Any;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use http::header::ALLOW;
use http::{StatusCode, Uri};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::decompression::RequestDecompressionLayer;

use self::error::{ApiError, Category};
use self::format::cors;
use self::state::{ApiState, MOUNT};

/// The service, mounted at `state::MOUNT`; to be merged with the routers of other services.
pub(crate) fn router(state: ApiState) -> Router {
    let routes = Router::new()
        .route("/", base())
        .route("/_search", only("POST, OPTIONS", post(search::by_post)))
        .route("/metadata", only("GET, HEAD, OPTIONS", get(capabilities::capabilities)))
        .route(
            "/{type}",
            only(
                "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
                get(search::by_get)
                    .post(create::create)
                    .put(conditional_update::conditional_update)
                    .patch(patch::conditional_patch)
                    .delete(delete::conditional_delete),
            ),
        )
        .route("/{type}/_search", only("POST, OPTIONS", post(search::by_post)))
        .route(
            "/{type}/{id}",
            only(
                "GET, HEAD, PUT, PATCH, DELETE, OPTIONS",
                get(read::read).put(update::update).patch(patch::patch).delete(delete::delete),
            ),
        )
        .route("/{type}/{id}/{member}", only("GET, HEAD, OPTIONS", get(search::by_get)))
        .route("/{type}/{id}/{member}/_search", only("POST, OPTIONS", post(search::by_post)))
        .route("/_history", only("GET, HEAD, OPTIONS", get(history::of_system)))
        .route("/{type}/_history", only("GET, HEAD, OPTIONS", get(history::of_type)))
        .route("/{type}/{id}/_history", only("GET, HEAD, OPTIONS", get(history::of_resource)))
        .route("/{type}/{id}/_history/{version}", only("GET, HEAD, OPTIONS", get(vread::vread)))
        .route(
            &format!("{}/{{run}}", reindexing::status::PATH),
            only("GET, HEAD, DELETE, OPTIONS", get(reindexing::status::status).delete(reindexing::status::cancel)),
        )
        .merge(operations::routes())
        .fallback(unknown_path);
    // The base with a slash at its end is the base.
    let routes = Router::new().nest(MOUNT, routes).route(&format!("{MOUNT}/"), base());
    served(routes, state)
}

/// What happens around every interaction, from the inside out.
fn served(routes: Router<ApiState>, state: ApiState) -> Router {
    let service = routes
        .layer(from_fn(format::part::cut))
        .layer(from_fn_with_state(state.clone(), in_time))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(state.clone(), format::translate))
        .layer(RequestDecompressionLayer::new().pass_through_unaccepted(true))
        .layer(CompressionLayer::new())
        .layer(from_fn(metrics::measure));
    let origins = &state.settings.cors_origins;
    let service =
        if origins.is_empty() { service } else { service.layer(from_fn_with_state(cors::rules(origins), cors::keep)) };
    service.with_state(state)
}

/// A search of everything, or a Bundle.
fn base() -> MethodRouter<ApiState> {
    only("GET, HEAD, POST, OPTIONS", get(search::by_get).post(bundle::bundle))
}

/// The routes that entries of a batch may read.
fn reads() -> Router<ApiState> {
    Router::new()
        .route("/metadata", get(capabilities::capabilities))
        .route("/", get(search::by_get))
        .route("/{type}", get(search::by_get))
        .route("/{type}/{id}", get(read::read))
        .route("/{type}/{id}/{member}", get(search::by_get))
        .route("/_history", get(history::of_system))
        .route("/{type}/_history", get(history::of_type))
        .route("/{type}/{id}/_history", get(history::of_resource))
        .route("/{type}/{id}/_history/{version}", get(vread::vread))
        .fallback(unknown_path)
        .layer(from_fn(format::part::cut))
}

/// The methods of a path: OPTIONS names them, and so does the refusal of all others.
fn only(allow: &'static str, methods: MethodRouter<ApiState>) -> MethodRouter<ApiState> {
    methods
        .options(move || async move { (StatusCode::NO_CONTENT, [(ALLOW, allow)]) })
        .fallback(move || async move { ApiError::method_not_allowed(allow) })
}

/// Gives up a request that takes too long. A read ends with it; a write that waits for its turn cannot be recalled.
async fn in_time(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let limit = state.settings.request_timeout;
    tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_elapsed| {
        let detail = format!(
            "The server did not finish within {} s. Ask for less at a time (`_count`, a narrower search, a smaller Bundle); \
             a write may still take effect, so read before you repeat it.",
            limit.as_secs_f32()
        );
        ApiError::new(Category::TimedOut, detail).into_response()
    })
}

async fn unknown_path(uri: Uri) -> ApiError {
    if operations::is_path(uri.path()) {
        return operations::unknown(uri.path());
    }
    ApiError::new(
        Category::NotFound,
        "There is nothing under this path. Paths are `[type]`, `[type]/[id]`, `[type]/[id]/[member]` (a compartment), each with \
         `_history` or `_search` where it applies, `[type]/[id]/_history/[version]`, `metadata` and operations (`$...`).",
    )
}

fn panicked(_payload: Box<dyn Any + Send>) -> Response {
    ApiError::internal("a request handler panicked").into_response()
}

#[cfg(test)]
mod tests;
