//! The way of a request: let in, read, taken into the pipeline message by message, answered when all have ended.
//!
//! From the moment the first message is taken it is a task of its own: a sender that hangs up, or that waited long enough,
//! changes nothing about it.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::body::{self, Arrived};
use super::door::{Doors, Frame};
use super::format::Reading;
use super::idempotency::{Turn, UnderWay, key_of};
use super::messages::{self, Message};
use super::refusal::Refusal;
use crate::model::envelope::{Envelope, WayIn};
use crate::model::inquiry::Inquiries;
use crate::model::intake::Intake;
use crate::model::receipt::{Outcome, Settle, Settlement};

/// Says that an answer was given before, to the same key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Bodies up to this size are read where they arrive; larger and packed ones would keep others waiting.
const READ_HERE_BYTES_MAX: usize = 64 << 10;

/// Answers a request when all of its messages have ended.
///
/// # Errors
/// Why they did not.
pub(super) async fn pass(doors: &Doors, connector: &str, request: Request) -> Result<Response, Refusal> {
    let door = doors.find(connector).ok_or_else(|| Refusal::no_door(connector))?.0;
    let deadline = Instant::now() + door.settings.request_timeout;
    let (head, body) = request.into_parts();
    door.admit(&head.headers)?;
    let reading = Reading::of(&head.uri, &head.headers)?;
    let key = key_of(&head.headers)?;
    let _place = door.enter()?;
    let arrived = body::read(body, &door).await?;
    let (messages, room) = read(&door, reading, head, arrived).await?;
    let under_way = match key {
        None => None,
        Some(key) => match UnderWay::begin(&door, key, &messages).await? {
            Turn::First(under_way) => Some(under_way),
            Turn::Repeat(answer) => return Ok(repeated(answer)),
        },
    };
    take(&door, messages, (under_way, room), deadline).await
}

/// Reads the messages, and takes the room they have in memory.
async fn read(
    door: &Arc<Frame>,
    reading: Reading,
    head: Parts,
    arrived: Arrived,
) -> Result<(Vec<Message>, OwnedSemaphorePermit), Refusal> {
    let Arrived { bytes, mut room } = arrived;
    let is_packed = !reading.codings.is_empty();
    let messages = if is_packed || bytes.len() > READ_HERE_BYTES_MAX {
        let door = Arc::clone(door);
        let work = move || messages::read(reading, &head.headers, &bytes, &door.settings);
        tokio::task::spawn_blocking(work).await.map_err(|_panicked| Refusal::failed("the body could not be read"))??
    } else {
        messages::read(reading, &head.headers, &bytes, &door.settings)?
    };
    if is_packed {
        room.merge(door.room_to_read(messages.iter().map(|message| message.body.len()).sum())?);
    }
    Ok((messages, room))
}

/// Takes the messages, and waits for their ends.
async fn take(
    door: &Arc<Frame>,
    messages: Vec<Message>,
    (under_way, room): (Option<UnderWay>, OwnedSemaphorePermit),
    deadline: Instant,
) -> Result<Response, Refusal> {
    let entrance = door.way_in()?;
    let places = door.places(messages.len())?;
    let taken = Arc::new(Taken::new(messages.len()));
    let following = Arc::clone(&taken);
    let (door, intake) = (Arc::clone(door), entrance.intake);
    let ending = entrance.tasks.spawn(async move {
        send(&door, messages, intake, &following).await;
        drop(room);
        following.ended().await;
        drop(places);
        let results = following.results();
        let answer = Value::Object(results).to_string();
        if let Some(under_way) = under_way.filter(|_| following.is_settled()) {
            under_way.answered(&answer).await;
        }
        answer
    });
    match timeout_at(deadline, ending).await {
        Ok(Ok(answer)) if taken.is_settled() => Ok(json_text(answer)),
        Ok(_) | Err(_) => Err(Refusal::unfinished(Value::Object(taken.results()))),
    }
}

/// Sends them in order. What cannot be sent any more is abandoned.
async fn send(door: &Frame, messages: Vec<Message>, intake: Intake, taken: &Arc<Taken>) {
    let enqueued_at = door.clock.now();
    let ledger = Arc::clone(taken) as Arc<dyn Settle>;
    let mut is_open = true;
    for (message, number) in messages.into_iter().zip(0_usize..) {
        let position = u64::try_from(number).unwrap_or(u64::MAX);
        if !is_open {
            ledger.settle(position, Settlement::Abandoned);
            continue;
        }
        let way_in = WayIn::Asked(OnceLock::new(), taken.inquiries.about(number));
        let envelope = envelope(door, message, enqueued_at, way_in);
        is_open = intake.send(intake.take(envelope, position, &ledger)).await.is_ok();
    }
}

fn envelope(door: &Frame, message: Message, enqueued_at: jiff::Timestamp, way_in: WayIn) -> Envelope {
    let origin = door.origin();
    let mut system_properties = Map::with_capacity(3);
    system_properties.insert("contentType".to_owned(), Value::String(message.content_type));
    system_properties.insert("x-opt-enqueued-time".to_owned(), Value::String(enqueued_at.to_string()));
    system_properties.insert("x-opt-sequence-number".to_owned(), Value::from(origin.position));
    Envelope {
        body: message.body,
        body_bytes_max: door.settings.message_bytes_max,
        split_arrays: door.settings.split_arrays,
        properties: message.properties,
        system_properties,
        enqueued_at,
        origin,
        way_in,
    }
}

/// The messages of a request on their way.
struct Taken {
    ends: Mutex<Ends>,
    /// The last one has ended.
    all_ended: Notify,
    inquiries: Arc<Inquiries>,
}

/// How the messages ended.
struct Ends {
    of_messages: Vec<Option<Settlement>>,
    open: usize,
}

impl Taken {
    fn new(count: usize) -> Self {
        let ends = Ends { of_messages: vec![None; count], open: count };
        Self { ends: Mutex::new(ends), all_ended: Notify::new(), inquiries: Arc::default() }
    }

    /// Waits until all have ended. For one waiter.
    async fn ended(&self) {
        while self.ends().open > 0 {
            self.all_ended.notified().await;
        }
    }

    /// Whether all have ended in a named state.
    fn is_settled(&self) -> bool {
        self.ends().of_messages.iter().all(|end| matches!(end, Some(Settlement::Settled(_))))
    }

    /// What the sender is told: how many ended in which way, and how each did.
    fn results(&self) -> Map<String, Value> {
        let ends = self.ends().of_messages.clone();
        let mut results = Map::new();
        results.insert("received".to_owned(), ends.len().into());
        for outcome in Outcome::ALL {
            let count = ends.iter().filter(|end| **end == Some(Settlement::Settled(outcome))).count();
            results.insert(outcome.as_str().to_owned(), count.into());
        }
        let messages = ends.into_iter().enumerate().map(|(number, end)| self.result(number, end));
        results.insert("messages".to_owned(), messages.collect());
        results
    }

    fn result(&self, number: usize, end: Option<Settlement>) -> Value {
        let outcome = match end {
            Some(Settlement::Settled(outcome)) => outcome,
            Some(Settlement::Abandoned) | None => return json!({ "outcome": "pending" }),
        };
        let mut result = json!({ "outcome": outcome.as_str() });
        let letters: Vec<Value> = self.inquiries.told(number).into_iter().map(letter).collect();
        if let Value::Object(members) = &mut result
            && !letters.is_empty()
        {
            members.insert("dead_letters".to_owned(), letters.into());
        }
        result
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn letter(told: crate::model::inquiry::Told) -> Value {
    let mut letter = json!({ "id": told.letter, "code": told.code });
    if let (Value::Object(members), Some(reason)) = (&mut letter, told.reason) {
        members.insert("reason".to_owned(), reason.into());
    }
    letter
}

impl Settle for Taken {
    fn settle(&self, position: u64, settlement: Settlement) {
        let mut guard = self.ends();
        let ends = &mut *guard;
        let end = usize::try_from(position).ok().and_then(|number| ends.of_messages.get_mut(number));
        let Some(end @ None) = end else { return };
        *end = Some(settlement);
        ends.open = ends.open.saturating_sub(1);
        if ends.open == 0 {
            self.all_ended.notify_one();
        }
    }
}

/// The answer that was given before.
fn repeated(answer: String) -> Response {
    let mut response = json_text(answer);
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

fn json_text(text: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}
