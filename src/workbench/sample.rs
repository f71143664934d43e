//! A sample event as the envelope that the pipeline would see (VA-8).

use std::collections::HashMap;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::exception::Exception;
use crate::mapping::timestamp;
use crate::model::envelope::{Envelope, Origin, WayIn};

/// What a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrapping {
    /// An envelope: `Body`, and perhaps `Properties` and `SystemProperties`.
    Envelope,
    /// The payload alone, whatever its members are called.
    Body,
}

/// An envelope made of a sample.
pub(super) struct Sample {
    pub(super) envelope: Envelope,
    /// When a broker took it, if the sample says so; nothing is made up.
    pub(super) enqueued_at: Option<Timestamp>,
}

impl Sample {
    /// Reads an event; numbers of its body keep their digits, because the body stays the text it is.
    pub(super) fn of(event: &RawValue, wrapping: Wrapping) -> Result<Self, Exception> {
        let (body, properties, system_properties) = match wrapping {
            Wrapping::Body => (event.get(), Map::new(), Map::new()),
            Wrapping::Envelope => envelope_members(event)?,
        };
        let enqueued_at = enqueued_at(&system_properties);
        let envelope = Envelope {
            body: Bytes::copy_from_slice(body.as_bytes()),
            body_bytes_max: usize::MAX,
            split_arrays: false,
            properties,
            system_properties,
            enqueued_at: enqueued_at.unwrap_or_default(),
            origin: Origin { connector: "workbench".into(), source: "sample".into(), position: 1 },
            way_in: WayIn::default(),
        };
        Ok(Self { envelope, enqueued_at })
    }
}

type Members<'e> = (&'e str, Map<String, Value>, Map<String, Value>);

fn envelope_members(event: &RawValue) -> Result<Members<'_>, Exception> {
    // A map, so that the last of two members with one name wins (EV-6).
    let members: HashMap<String, &RawValue> = serde_json::from_str(event.get()).map_err(|_not_an_object| {
        Exception::of_sample("The event is not an object; an event is {\"Body\": ..., \"Properties\": ..., \"SystemProperties\": ...}. To try bare payloads, use --wrap-body.")
    })?;
    let Some(body) = members.get("Body") else {
        return Err(Exception::of_sample(
            "The event has no member `Body`. If the events are bare payloads, use --wrap-body.",
        ));
    };
    Ok((body.get(), properties(&members, "Properties")?, properties(&members, "SystemProperties")?))
}

fn properties(members: &HashMap<String, &RawValue>, name: &str) -> Result<Map<String, Value>, Exception> {
    let Some(member) = members.get(name).filter(|member| member.get() != "null") else {
        return Ok(Map::new());
    };
    serde_json::from_str(member.get())
        .map_err(|_not_an_object| Exception::of_sample(format!("The member `{name}` of the event is not an object.")))
}

/// EV-12, by the annotations of EV-10.
fn enqueued_at(system_properties: &Map<String, Value>) -> Option<Timestamp> {
    let texts = ["x-opt-enqueued-time", "iothub-enqueuedtime"].map(|name| system_properties.get(name)?.as_str());
    texts.into_iter().flatten().find_map(timestamp::parse)
}
