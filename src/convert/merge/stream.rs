//! A stored SampledData and the samples that join it (rules OB-16 to OB-19).
//!
//! Where the stored stream has the period of the new samples, and that is nearly always, its tokens are its slots: only
//! those of new samples are looked at.

use std::borrow::Cow;

use jiff::Timestamp;

use super::super::content::{Boundary, Point};
use super::super::json_text::write_string;
use super::super::raw::RawObject;
use super::super::reading::ConversionFailure;
use super::super::sampled_data::{EMPTY, Sample, slot_count, slots, write_stream};
use super::meaning::same_meaning_json;
use crate::mapping::SamplePeriod;
use crate::mapping::decimal::same;

/// A SampledData as it is stored.
#[derive(Debug)]
pub(super) struct StoredStream<'j> {
    object: RawObject<'j>,
    data: Cow<'j, str>,
    pub(super) period: SamplePeriod,
    pub(super) dimensions: usize,
}

impl<'j> StoredStream<'j> {
    /// # Errors
    /// `NotSupportedException` when it is no SampledData, or has no period that this product could have written.
    pub(super) fn read(json: &'j str) -> Result<Self, ConversionFailure> {
        let not_an_object = || ConversionFailure::not_supported("the stored SampledData is not an object");
        let object = RawObject::parse(json.as_bytes()).ok_or_else(not_an_object)?;
        let period = object.get("period").and_then(SamplePeriod::parse);
        let period =
            period.ok_or_else(|| ConversionFailure::not_supported("the stored SampledData has no usable period"))?;
        let dimensions = object.get("dimensions").map_or(Some(1), |dimensions| dimensions.parse().ok());
        let dimensions =
            dimensions.ok_or_else(|| ConversionFailure::not_supported("the stored SampledData has no dimensions"))?;
        let data = object.string("data").unwrap_or_default();
        Ok(Self { object, data, period, dimensions })
    }

    /// All tokens, also those of empty slots.
    pub(super) fn tokens(&self) -> impl Iterator<Item = &str> {
        self.data.split_ascii_whitespace()
    }

    /// The samples of a stream of one dimension that begins at `start`, empty slots left out.
    pub(super) fn samples(&self, start: Timestamp) -> Vec<Sample<'_>> {
        let occupied = (0_i128..).zip(self.tokens()).filter(|(_, token)| *token != EMPTY);
        occupied.map(|(slot, token)| (start.as_nanosecond() + self.period.slot_start_ns(slot), token)).collect()
    }

    /// The stream with other data, which is JSON.
    pub(super) fn with_data(mut self, data: String) -> String {
        self.object.set("data", data);
        self.object.to_json()
    }

    /// Refuses a stream whose tokens new ones cannot stand beside: of several dimensions (OB-17), or of another scale,
    /// in which they would mean something else.
    fn refuse_unlike(&self, factor: &str, origin: &str) -> Result<(), ConversionFailure> {
        if self.dimensions != 1 {
            return Err(ConversionFailure::not_supported("the stored SampledData has more than one dimension"));
        }
        let (own_factor, own_origin) = self.scale();
        if !same(&own_factor, factor) || !same(&own_origin, origin) {
            return Err(ConversionFailure::not_supported("the stored SampledData has another origin or factor"));
        }
        Ok(())
    }

    /// Factor and origin: a token means origin + factor * token.
    fn scale(&self) -> (String, String) {
        let origin = self.object.get("origin").and_then(|origin| RawObject::parse(origin.as_bytes()));
        let origin = origin.as_ref().and_then(|origin| origin.get("value")).unwrap_or("0").to_owned();
        (self.object.get("factor").unwrap_or("1").to_owned(), origin)
    }

    /// The tokens as slots of a boundary that begins where the stream does. A stream longer than the boundary stays so.
    fn slots(&self, boundary: Boundary, period: &SamplePeriod) -> Result<Vec<&str>, ConversionFailure> {
        let mut tokens = if self.period == *period {
            self.tokens().collect()
        } else {
            let samples = self.samples(boundary.start);
            let last = samples.last().and_then(|(at_ns, _)| Timestamp::from_nanosecond(*at_ns).ok());
            let end = last.map_or(boundary.end, |last| last.max(boundary.end));
            slots(Boundary { end, ..boundary }, period, samples)?
        };
        let count = slot_count(boundary, period)?.max(tokens.len());
        tokens.resize(count, EMPTY);
        Ok(tokens)
    }
}

/// Puts new samples into their slots, of several in one slot the last; says whether that changes a slot.
///
/// An empty sample takes nothing away, and one of equal value leaves the digits as they are stored.
fn put<'s>(slots: &mut [&'s str], new: impl DoubleEndedIterator<Item = (usize, &'s str)>) -> bool {
    let (mut changed, mut latest) = (false, None);
    for (slot, token) in new.rev().filter(|(_, token)| *token != EMPTY) {
        let is_latest = latest.replace(slot) != Some(slot);
        if let Some(stored) = slots.get_mut(slot).filter(|stored| is_latest && !same(stored, token)) {
            *stored = token;
            changed = true;
        }
    }
    changed
}

/// Merges readings, sorted by time, into a stored stream; `None` when that has them already.
///
/// # Errors
/// `NotSupportedException` when the stream cannot hold them.
pub(super) fn merge_samples(
    stored: &str,
    (period, unit): (&SamplePeriod, Option<&str>),
    points: &[Point<'_>],
    boundary: Boundary,
) -> Result<Option<String>, ConversionFailure> {
    let stream = StoredStream::read(stored)?;
    stream.refuse_unlike("1", "0")?;
    let mut slots = stream.slots(boundary, period)?;
    let start_ns = boundary.start.as_nanosecond();
    let samples = points.iter().filter_map(|(at, token)| {
        let slot = period.slot_of(at.as_nanosecond() - start_ns);
        usize::try_from(slot).ok().map(|slot| (slot, *token))
    });
    let mut changed = put(&mut slots, samples.collect::<Vec<_>>().into_iter());
    let origin = origin_with(&stream, unit);
    changed |= stream.period != *period || origin.is_some();
    if !changed {
        return Ok(None);
    }
    let mut data = String::new();
    write_stream(&mut data, slots.iter().copied());
    let mut object = stream.object.clone();
    if let Some(origin) = origin {
        object.set("origin", origin);
    }
    object.set("period", period.as_str().to_owned());
    object.set("data", data);
    Ok(Some(object.to_json()))
}

/// The origin with the unit of the template (OB-18); `None` when it has that.
///
/// A code of the old unit goes with it.
fn origin_with(stream: &StoredStream<'_>, unit: Option<&str>) -> Option<String> {
    let unit = unit.filter(|unit| !unit.trim().is_empty());
    let json = stream.object.get("origin").unwrap_or(r#"{"value":0}"#);
    let mut origin = RawObject::parse(json.as_bytes())?;
    if origin.string("unit").as_deref() == unit {
        return None;
    }
    for name in ["unit", "code", "system"] {
        origin.remove(name);
    }
    if let Some(unit) = unit {
        let mut json = String::new();
        write_string(&mut json, unit);
        origin.set("unit", json);
    }
    Some(origin.to_json())
}

/// Merges a rendered stream into a stored one that begins when it does; `None` when that says it already.
///
/// # Errors
/// `NotSupportedException` when one of the two has several dimensions, or they have different scales.
pub(super) fn merge_rendered(
    stored: &str,
    rendered: &str,
    boundary: Boundary,
) -> Result<Option<String>, ConversionFailure> {
    if same_meaning_json(stored, rendered) {
        return Ok(None);
    }
    let (stream, new) = (StoredStream::read(stored)?, StoredStream::read(rendered)?);
    let (factor, origin) = new.scale();
    new.refuse_unlike(&factor, &origin)?;
    stream.refuse_unlike(&factor, &origin)?;
    let mut slots = stream.slots(boundary, &new.period)?;
    let new_tokens: Vec<&str> = new.tokens().collect();
    slots.resize(slots.len().max(new_tokens.len()), EMPTY);
    let mut changed = put(&mut slots, new_tokens.into_iter().enumerate());
    let mut object = stream.object.clone();
    for name in new.object.names().filter(|name| *name != "data") {
        let Some(json) = new.object.get(name) else { continue };
        if object.get(name).is_none_or(|stored| !same_meaning_json(stored, json)) {
            object.set(name, json.to_owned());
            changed = true;
        }
    }
    let mut data = String::new();
    write_stream(&mut data, slots.iter().copied());
    object.set("data", data);
    Ok(changed.then(|| object.to_json()))
}
