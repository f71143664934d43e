//! `Idempotency-Key`: the same request again has the same answer, and is not counted a second time.

use std::sync::{Arc, PoisonError};

use axum::http::HeaderMap;
use sha2::{Digest as _, Sha256};

use super::door::Frame;
use super::messages::Message;
use super::refusal::Refusal;
use crate::answers::{Fingerprint, Known};

const HEADER: &str = "idempotency-key";
/// Longest key.
const KEY_BYTES_MAX: usize = 255;

/// The key of a request, if it has one: a text, in quotes or not.
///
/// # Errors
/// When it is no key.
pub(super) fn key_of(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let key = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    if values.next().is_some() || key.is_empty() || key.len() > KEY_BYTES_MAX {
        let message = format!("`Idempotency-Key` is one text of 1 to {KEY_BYTES_MAX} ASCII characters");
        return Err(Refusal::unreadable(message));
    }
    Ok(Some(key.to_owned()))
}

/// What is to be done about a request with a key.
pub(super) enum Turn {
    /// It is new: its answer is to be kept.
    First(UnderWay),
    /// It was answered so.
    Repeat(String),
}

/// A request with a key that is under way, until this is dropped.
pub(super) struct UnderWay {
    door: Arc<Frame>,
    key: String,
    request: Fingerprint,
}

impl UnderWay {
    /// Finds out whether a request was sent before.
    ///
    /// # Errors
    /// When it is under way, the key is of another request, or nobody knows.
    pub(super) async fn begin(door: &Arc<Frame>, key: String, messages: &[Message]) -> Result<Turn, Refusal> {
        if !door.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone()) {
            return Err(Refusal::under_way());
        }
        let this = Self { door: Arc::clone(door), key, request: fingerprint(messages) };
        match door.answers.find(&door.connector, &this.key, &this.request).await {
            Ok(None) => Ok(Turn::First(this)),
            Ok(Some(Known::Answered(answer))) => Ok(Turn::Repeat(answer)),
            Ok(Some(Known::Other)) => Err(Refusal::key_of_another()),
            Err(_unreadable) => Err(Refusal::failed("the database does not answer; send the same again later")),
        }
    }

    /// Keeps the answer for when the request comes again. That it could not be is no reason not to give it.
    pub(super) async fn answered(self, answer: &str) {
        let kept = self.door.answers.keep(&self.door.connector, &self.key, self.request, answer).await;
        if let Err(error) = kept {
            tracing::warn!(connector = %self.door.connector, %error, "the answer to an Idempotency-Key is not kept");
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.door.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// Of all that can be seen of the messages; lengths keep apart what stands side by side.
fn fingerprint(messages: &[Message]) -> Fingerprint {
    let mut digest = Sha256::new();
    let mut add = |bytes: &[u8]| {
        digest.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(bytes);
    };
    for message in messages {
        add(message.content_type.as_bytes());
        add(serde_json::to_string(&message.properties).unwrap_or_default().as_bytes());
        add(&message.body);
    }
    digest.finalize().into()
}
