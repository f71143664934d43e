//! The time an Observation covers, and how it grows (rule OB-10).
//!
//! Slots of a stream are counted from the start of that time, and nothing else is known of when a stored sample was
//! taken. So the start goes back by whole slots of every stream there is: each sample stays in its slot, and a reading
//! that comes again finds itself (promise P2). The effective time then begins up to a slot before the first reading.
//! To begin at that reading, as the reference does, would lay stored samples into new slots, each time a bit too early,
//! and what came again would be stored twice. Streams whose slots never meet are laid anew all the same.

use jiff::Timestamp;

use super::super::content::Boundary;
use super::super::observation::write_period;
use super::super::raw::{RawObject, elements};
use super::super::reading::ConversionFailure;
use super::super::sampled_data::{EMPTY, write_stream};
use super::STREAM;
use super::stream::StoredStream;
use crate::json::{self, Node};
use crate::mapping::{SLOTS_MAX, SamplePeriod, timestamp};

/// The stored boundary: a period, or an instant as a period without length.
///
/// # Errors
/// `NotSupportedException` for anything else, also for a period without start or end.
pub(in super::super) fn effective(observation: &RawObject<'_>) -> Result<Boundary, ConversionFailure> {
    let instant = observation.get("effectiveDateTime").xor(observation.get("effectiveInstant"));
    let boundary = match (observation.get("effectivePeriod"), instant) {
        (Some(period), None) => json::parse(period.as_bytes()).ok().and_then(|period| {
            let instant = |name| period.member(name).and_then(Node::as_str).and_then(timestamp::parse);
            instant("start").zip(instant("end"))
        }),
        (None, Some(date_time)) => {
            let node = json::parse(date_time.as_bytes()).ok();
            node.and_then(|node| node.as_str().and_then(timestamp::parse)).map(|at| (at, at))
        }
        (None, None) | (Some(_), Some(_)) => None,
    };
    boundary
        .map(|(start, end)| Boundary { start, end })
        .ok_or_else(|| ConversionFailure::not_supported("the stored Observation has no effective period or instant"))
}

/// Writes the boundary, always as a period. Members of a stored one that are not times stay, and extensions of an instant
/// become those of the start.
pub(super) fn set_effective(observation: &mut RawObject<'_>, boundary: Boundary) {
    if effective(observation).is_ok_and(|stored| stored == boundary) && observation.get("effectivePeriod").is_some() {
        return;
    }
    let stored = observation.get("effectivePeriod").unwrap_or("{}").to_owned();
    let mut written = String::new();
    write_period(&mut written, boundary);
    let (Some(mut period), Some(new)) = (RawObject::parse(stored.as_bytes()), RawObject::parse(written.as_bytes()))
    else {
        return;
    };
    for name in ["start", "end"] {
        period.set(name, new.get(name).unwrap_or_default().to_owned());
    }
    for name in ["effectiveDateTime", "effectiveInstant"] {
        let extensions = format!("_{name}");
        if let Some(extensions) = observation.get(&extensions).map(str::to_owned) {
            period.set("_start", extensions);
        }
        observation.remove(&extensions);
        observation.remove(name);
    }
    observation.set("effectivePeriod", period.to_json());
}

/// The boundary that holds the stored one and a new one, its start on the slots of the stored streams.
///
/// # Errors
/// `NotSupportedException` when a stream has to move whose period cannot be read.
pub(super) fn grown(
    observation: &RawObject<'_>,
    stored: Boundary,
    new: Boundary,
) -> Result<Boundary, ConversionFailure> {
    let union = stored.union(new);
    if union.start == stored.start {
        return Ok(union);
    }
    let streams = streams(observation)?;
    let periods: Result<Vec<SamplePeriod>, _> =
        streams.iter().map(|json| StoredStream::read(json).map(|stream| stream.period)).collect();
    let Some(step_ns) = SamplePeriod::common_step_ns(&periods?) else { return Ok(union) };
    let (stored_ns, union_ns) = (stored.start.as_nanosecond(), union.start.as_nanosecond());
    let start_ns = stored_ns - (stored_ns - union_ns + step_ns - 1).div_euclid(step_ns) * step_ns;
    Ok(Boundary { start: Timestamp::from_nanosecond(start_ns).unwrap_or(union.start), end: union.end })
}

/// The streams of an Observation and its components, as JSON.
fn streams(observation: &RawObject<'_>) -> Result<Vec<String>, ConversionFailure> {
    let mut streams: Vec<String> = observation.get(STREAM).map(str::to_owned).into_iter().collect();
    for component in components(observation)? {
        let component = RawObject::parse(component.as_bytes());
        streams.extend(component.and_then(|component| component.get(STREAM).map(str::to_owned)));
    }
    Ok(streams)
}

/// The components of an Observation, as JSON.
pub(super) fn components<'o>(observation: &'o RawObject<'_>) -> Result<Vec<&'o str>, ConversionFailure> {
    let components = observation.get("component").map_or(Some(Vec::new()), elements);
    components.ok_or_else(|| ConversionFailure::not_supported("the components are not an array"))
}

/// Counts the slots of all streams from an earlier start.
///
/// # Errors
/// `NotSupportedException` when a stream cannot be read, or would be too long.
pub(super) fn move_streams(
    observation: &mut RawObject<'_>,
    from: Timestamp,
    to: Timestamp,
) -> Result<(), ConversionFailure> {
    if from == to {
        return Ok(());
    }
    if let Some(stream) = observation.get(STREAM) {
        let moved = moved(stream, from, to)?;
        observation.set(STREAM, moved);
    }
    let mut moved_components = Vec::new();
    for component in components(observation)? {
        let object = RawObject::parse(component.as_bytes());
        let stream = object.as_ref().and_then(|object| object.get(STREAM)).map(str::to_owned);
        moved_components.push(match (object, stream) {
            (Some(mut object), Some(stream)) => {
                object.set(STREAM, moved(&stream, from, to)?);
                object.to_json()
            }
            (Some(_) | None, _) => component.to_owned(),
        });
    }
    if !moved_components.is_empty() {
        observation.set("component", format!("[{}]", moved_components.join(",")));
    }
    Ok(())
}

/// A stream, counted from an earlier start.
fn moved(json: &str, from: Timestamp, to: Timestamp) -> Result<String, ConversionFailure> {
    let stream = StoredStream::read(json)?;
    let offset_ns = from.as_nanosecond() - to.as_nanosecond();
    let slots = stream.period.slot_of(offset_ns);
    let is_whole = stream.period.slot_start_ns(slots) == offset_ns;
    let tokens = usize::try_from(slots).ok().and_then(|slots| slots.checked_mul(stream.dimensions));
    let tokens = tokens.filter(|tokens| u64::try_from(*tokens).is_ok_and(|tokens| tokens <= SLOTS_MAX));
    let too_long =
        || ConversionFailure::not_supported(format!("more than {SLOTS_MAX} samples lie between {to} and {from}"));
    let in_front = std::iter::repeat_n(EMPTY, tokens.ok_or_else(too_long)?);
    let mut data = String::new();
    if is_whole {
        write_stream(&mut data, in_front.chain(stream.tokens()));
    } else if stream.dimensions == 1 {
        let samples = stream.samples(from);
        let last_ns = samples.last().map_or(from.as_nanosecond(), |(at_ns, _)| *at_ns);
        let slots = stream.period.slots(to.as_nanosecond(), last_ns, samples, EMPTY);
        write_stream(&mut data, slots.ok_or_else(too_long)?);
    } else {
        return Err(ConversionFailure::not_supported("the slots of a SampledData with several dimensions would move"));
    }
    Ok(stream.with_data(data))
}
