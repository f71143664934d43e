//! Carries runs out, beside all else the service does.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::run::{Piece, Run};
use crate::fhir::api::definitions::set_aside_unusable;
use crate::fhir::api::error::ApiError;
use crate::fhir::api::state::ApiState;

/// How long to wait before a piece that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Carries out the run that is under way, and those that come, until `stop`.
pub(crate) async fn work(state: ApiState, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = carry_out(&state) => {}
    }
}

async fn carry_out(state: &ApiState) {
    while let Err(error) = state.store.write(set_aside_unusable).await {
        error.log();
        tokio::time::sleep(RETRY_AFTER).await;
    }
    let mut announced = String::new();
    loop {
        let now = state.clock.now();
        let piece = state.store.write(move |writer| Run::go_on(writer, now)).await;
        match piece {
            Ok(Piece::None) => state.run_began.notified().await,
            Ok(Piece::Some(run)) => announce(&run, &mut announced),
            Ok(Piece::Last(run)) => {
                announce(&run, &mut announced);
                let resources = run.progress().0;
                let ready = run.parameters.iter().filter(|parameter| parameter.is_ready).count();
                tracing::info!(run = %run.id, resources, parameters.ready = ready, "reindexing ended");
            }
            Err(error) => {
                log(&error);
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }
}

/// Says once in this process that a run is under way.
fn announce(run: &Run, announced: &mut String) {
    if *announced != run.id {
        announced.clone_from(&run.id);
        let (done, resources) = run.progress();
        tracing::info!(run = %run.id, resources, done, parameters = run.parameters.len(), "reindexing");
    }
}

fn log(error: &ApiError) {
    tracing::warn!(%error, "reindexing stopped, and is tried again");
    error.log();
}
