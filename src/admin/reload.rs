//! The configuration read anew: asked for here, or by a signal, and done by `app`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::{AdminState, Refusal};

/// Reloads that wait for their turn.
const WAITING_MAX: usize = 16;

/// Where a reload is asked for. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Reloads(mpsc::Sender<ReloadRequest>);

/// Where the answer to whoever asked for a reload goes.
pub(crate) type ReloadRequest = oneshot::Sender<Result<Reloaded, NotReloaded>>;

/// What a reload did. Connectors by name, in the order of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Reloaded {
    /// Connectors that run now and did not before.
    pub(crate) added: Vec<String>,
    /// Connectors that have settings other than before.
    pub(crate) changed: Vec<String>,
    /// Connectors that run no more.
    pub(crate) removed: Vec<String>,
    /// Connectors that were not touched.
    pub(crate) kept: Vec<String>,
    /// Of those changed and removed: where not all was stored within the grace period. Their senders offer the rest again.
    pub(crate) not_drained: Vec<String>,
    /// Sections that changed and hold only from the next start on.
    pub(crate) needs_restart: Vec<&'static str>,
}

/// Why a reload changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotReloaded {
    /// The configuration, or what it names, cannot be used. Each problem a line.
    #[error("nothing was changed: {}", .0.join("\n"))]
    Problems(Vec<String>),
    /// There is nothing to read.
    #[error("nothing was changed: the program was started without --config, so there is no file to read anew")]
    NoFile,
    /// Too many were asked for.
    #[error("{WAITING_MAX} reloads are waiting; ask again when one has ended")]
    TooMany,
    /// The program ends.
    #[error("nothing was changed: the program is stopping")]
    Stopping,
}

impl Reloads {
    /// A way to ask, and where the requests arrive.
    pub(crate) fn new() -> (Self, mpsc::Receiver<ReloadRequest>) {
        let (requests, arriving) = mpsc::channel(WAITING_MAX);
        (Self(requests), arriving)
    }

    /// Asks for a reload, and waits until it is over.
    ///
    /// # Errors
    /// When nothing was changed.
    pub(crate) async fn ask(&self) -> Result<Reloaded, NotReloaded> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(answer).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotReloaded::TooMany,
            mpsc::error::TrySendError::Closed(_) => NotReloaded::Stopping,
        })?;
        answered.await.unwrap_or(Err(NotReloaded::Stopping))
    }
}

/// Reads the configuration anew and tells what came of it.
pub(super) async fn reload(State(state): State<AdminState>) -> Response {
    let refused = match state.reloads.ask().await {
        Ok(reloaded) => return axum::Json(reloaded).into_response(),
        Err(refused) => refused,
    };
    let status = match &refused {
        NotReloaded::Problems(problems) => {
            let error = "the configuration cannot be used, so nothing was changed";
            let body = axum::Json(json!({ "error": error, "problems": problems }));
            return (StatusCode::UNPROCESSABLE_ENTITY, body).into_response();
        }
        NotReloaded::NoFile => StatusCode::CONFLICT,
        NotReloaded::TooMany => StatusCode::TOO_MANY_REQUESTS,
        NotReloaded::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refusal { status, message: refused.to_string() }.into_response()
}
