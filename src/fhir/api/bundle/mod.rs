//! Batch and transaction: many interactions in one request (<https://hl7.org/fhir/R4/http.html#transaction>).
//!
//! Everything that can be done before is done before the store is asked: reading, checking, indexing. All writes of a
//! Bundle are one write of the store. In a batch each entry succeeds or fails for itself, which is safe because an
//! interaction checks before it writes; writes come before reads. In a transaction the first failure undoes all.

mod batch;
mod entry;
mod links;
mod planned_read;
mod respond;
mod settled;
mod transaction;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use self::entry::{Here, Request};
use super::body::JsonBody;
use super::error::{ApiError, Category};
use super::resource::Rules;
use super::respond::{Return, json};
use super::state::ApiState;
use crate::telemetry::meters::ProcessorMeter;

/// What kind of Bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Batch,
    Transaction,
}

/// `POST [base]`
pub(crate) async fn bundle(
    State(state): State<ApiState>,
    headers: HeaderMap,
    JsonBody(text): JsonBody,
) -> Result<Response, ApiError> {
    let base_url = state.base_url(&headers)?;
    let prefer = Return::in_headers(&headers).unwrap_or(Return::Minimal);
    let registry = state.registry().await?;
    let (rules, settings) = (state.rules(&base_url, &registry).keep(), Arc::clone(&state.settings));
    // Entries are copies. As long as they are there, so is the room that was taken for them.
    let _room = text.clone();
    // Reading hundreds of resources would hold up other requests on this thread.
    let reading = move || read(&text, Here { rules: rules.rules(), settings: &settings });
    let (kind, requests) = tokio::task::spawn_blocking(move || ProcessorMeter::of_http().call(reading))
        .await
        .map_err(ApiError::internal)??;
    let answer = match kind {
        Kind::Batch => batch::run(&state, requests, &base_url, prefer).await?,
        Kind::Transaction => transaction::run(&state, requests, state.rules(&base_url, &registry), prefer).await?,
    };
    Ok(json(StatusCode::OK, answer.into()))
}

/// The requests of a Bundle in order, each checked for itself.
type Requests = Vec<Result<Request, ApiError>>;

fn read(text: &Bytes, here: Here<'_>) -> Result<(Kind, Requests), ApiError> {
    let entries_max = here.settings.bundle_entries_max.min(entry::ENTRIES_MAX);
    let bundle = entry::split(text)?;
    let kind = match bundle.kind.as_ref() {
        "batch" => Kind::Batch,
        "transaction" => Kind::Transaction,
        _ => {
            let detail = "The base URL takes Bundles of type `batch` and `transaction`. Send others to `/Bundle`.";
            return Err(ApiError::new(Category::Value, detail).at("Bundle.type"));
        }
    };
    let here = match kind {
        Kind::Batch => here,
        Kind::Transaction => {
            Here { rules: Rules { validation: here.rules.validation.of_entry(), ..here.rules }, ..here }
        }
    };
    if bundle.entries.len() > entries_max {
        let detail = format!("The Bundle has more than the {entries_max} entries this server takes. Split it.");
        return Err(ApiError::new(Category::TooLarge, detail).at("Bundle.entry"));
    }
    let requests = bundle
        .entries
        .iter()
        .enumerate()
        .map(|(index, entry)| Request::read(entry, here).map_err(|error| error.in_entry(index)))
        .collect();
    Ok((kind, requests))
}
