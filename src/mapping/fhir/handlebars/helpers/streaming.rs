//! `sampledData`: a series of readings as one stream.

use jiff::Timestamp;
use serde_json::Value;

use super::writing::{number, object, unit};
use super::{Answer, Call, Refusal};
use crate::mapping::decimal::sample;
use crate::mapping::sample_period::{SLOTS_MAX, SamplePeriod};

/// Most dimensions of a sample; twelve leads are common.
const DIMENSIONS_MAX: usize = 64;

/// The stream of a series, its slots counted from `start`.
///
/// The stream ends with the slot of `end`, or with the last token where that is later: a strip of an ECG that starts at
/// an instant lasts longer than it. Tokens of a strip go to the nearest slot, single readings into the slot they fall
/// in (FM-22).
pub(super) fn sampled_data(call: &Call<'_, '_>) -> Answer {
    let Some(series) = call.param(0) else { return Ok(None) };
    let period = call.option("period")?.ok_or_else(|| Refusal::new("`sampledData` needs `period`"))?;
    let Some(period) = SamplePeriod::parse(&period) else {
        return Err(Refusal::new(format!("`period` is no number of milliseconds of at most 15 digits: `{period}`")));
    };
    let dimensions = dimensions(call)?;
    let (start_ns, end_ns) = (boundary(call, "start")?, boundary(call, "end")?);
    let mut frames: Vec<(i128, String)> = Vec::new();
    for reading in series.as_array().into_iter().flatten() {
        add_frames(call, reading, (&period, dimensions), &mut frames)?;
    }
    if series.as_array().is_some_and(Vec::is_empty) {
        return Ok(None);
    }
    if frames.is_empty() {
        return Err(Refusal::new(format!("{} is no series of readings, see `series`", call.name(0))));
    }
    let end_ns = frames.iter().map(|(at_ns, _)| *at_ns).max().unwrap_or(end_ns).max(end_ns);
    let empty = vec!["E"; dimensions].join(" ");
    let samples = frames.iter().map(|(at_ns, frame)| (*at_ns, frame.as_str())).collect();
    let slots = period.slots(start_ns, end_ns, samples, &empty).ok_or_else(|| Refusal {
        code: "NotSupportedException",
        reason: format!("the stream would have more than {SLOTS_MAX} samples"),
        reading: None,
    })?;
    let mut origin = vec![("value", decimal_option(call, "origin")?.unwrap_or_else(|| 0.into()))];
    origin.extend(unit(call)?);
    let mut members = vec![("origin", object(origin)), ("period", number(period.as_str()).unwrap_or_default())];
    for name in ["factor", "lowerLimit", "upperLimit"] {
        members.extend(decimal_option(call, name)?.map(|value| (name, value)));
    }
    members.push(("dimensions", dimensions.into()));
    members.push(("data", slots.join(" ").into()));
    Ok(Some(object(members)))
}

/// The frames of one reading: as many tokens as dimensions each.
fn add_frames(
    call: &Call<'_, '_>,
    reading: &Value,
    (period, dimensions): (&SamplePeriod, usize),
    frames: &mut Vec<(i128, String)>,
) -> Result<(), Refusal> {
    let member = |name: &str| reading.get(name).and_then(Value::as_str).unwrap_or_default();
    let (time, text) = (member("time"), member("value"));
    let refusal = |reason: String| {
        let path = call.helper.param(0).and_then(handlebars::PathAndJson::relative_path);
        let name = path.and_then(|path| path.strip_prefix("series.").or_else(|| path.strip_prefix("@root.series.")));
        let name = name.map(|name| name.trim_start_matches('[').trim_end_matches(']').to_owned());
        let reading = name.map(|name| (name, Some(time.to_owned())));
        Refusal { code: "InvalidSampledDataValueException", reason, reading }
    };
    let Some(at) = time.parse::<Timestamp>().ok() else {
        return Err(Refusal::new(format!("{} is no series of readings, see `series`", call.name(0))));
    };
    let tokens: Vec<&str> = text.split_ascii_whitespace().collect();
    if tokens.is_empty() || !tokens.len().is_multiple_of(dimensions) {
        let reason = format!("{} of {at} has {} tokens, {dimensions} make a sample", call.name(0), tokens.len());
        return Err(refusal(reason));
    }
    if let Some(token) = tokens.iter().find(|token| sample(token).is_none()) {
        return Err(refusal(format!("{} of {at} is not a decimal, E, U or L: `{token}`", call.name(0))));
    }
    let is_strip = tokens.len() > dimensions;
    // Half a slot on, the slot that a time falls in is the one whose start is nearest.
    let half_ns = if is_strip { period.slot_start_ns(1) / 2 } else { 0 };
    for (index, frame) in (0_i128..).zip(tokens.chunks(dimensions)) {
        frames.push((at.as_nanosecond() + period.slot_start_ns(index) + half_ns, frame.join(" ")));
    }
    Ok(())
}

fn dimensions(call: &Call<'_, '_>) -> Result<usize, Refusal> {
    let Some(text) = call.option("dimensions")? else { return Ok(1) };
    let dimensions = text.parse().ok().filter(|dimensions| (1..=DIMENSIONS_MAX).contains(dimensions));
    dimensions.ok_or_else(|| Refusal::new(format!("`dimensions` is none of 1 to {DIMENSIONS_MAX}: `{text}`")))
}

fn boundary(call: &Call<'_, '_>, name: &str) -> Result<i128, Refusal> {
    let time = call.data.get(name).and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok());
    time.map(Timestamp::as_nanosecond).ok_or_else(|| Refusal::new(format!("`{name}` is no time")))
}

fn decimal_option(call: &Call<'_, '_>, name: &str) -> Result<Option<Value>, Refusal> {
    let Some(text) = call.option(name)? else { return Ok(None) };
    number(&text).map(Some).ok_or_else(|| Refusal {
        code: "InvalidQuantityFhirValueException",
        reason: format!("`{name}` is not a decimal: `{text}`"),
        reading: None,
    })
}
