//! From the configuration of the way in over HTTP to its settings.

use crate::config::{ConnectorConfig, HttpPushConfig, PayloadJson};
use crate::sources::http::PushSettings;

/// What the source is told.
pub(super) fn push(connector: &ConnectorConfig, push: &HttpPushConfig) -> PushSettings {
    PushSettings {
        token: push.token.clone(),
        headers: push.headers.clone(),
        body_bytes_max: push.body_bytes_max,
        reading_bytes_max: connector.in_flight_bytes_max.max(push.body_bytes_max.saturating_mul(2)),
        messages_max: push.messages_max,
        requests_max: push.requests_max,
        in_flight_max: push.in_flight_max,
        request_timeout: push.request_timeout,
        message_bytes_max: push.message_bytes_max,
        split_arrays: push.split_arrays,
        is_strict: connector.payload_json == PayloadJson::Strict,
    }
}
