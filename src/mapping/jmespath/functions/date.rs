//! Dates of Unix times (JM-17), as ISO texts in UTC, which the timestamp parser reads (JM-18).

use jiff::SignedDuration;
use jiff::civil::DateTime;

use super::super::FunctionFailure;
use super::super::value::{Found, Value};
use super::Arguments;

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

pub(super) fn from_seconds<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Result<Found<'n, 'a>, FunctionFailure> {
    date(arguments, SignedDuration::from_secs(arguments.integer(0)?))
}

pub(super) fn from_milliseconds<'n, 'a>(arguments: &Arguments<'_, 'n, 'a>) -> Result<Found<'n, 'a>, FunctionFailure> {
    date(arguments, SignedDuration::from_millis(arguments.integer(0)?))
}

fn date<'n, 'a>(
    arguments: &Arguments<'_, 'n, 'a>,
    since_epoch: SignedDuration,
) -> Result<Found<'n, 'a>, FunctionFailure> {
    match EPOCH.checked_add(since_epoch) {
        Ok(date) if date.year() >= 1 => Ok(Some(Value::text(iso(date)))),
        Ok(_) | Err(_) => arguments.fail("the date is not within the years 1 to 9999"),
    }
}

fn iso(at: DateTime) -> String {
    let fraction = match at.millisecond() {
        0 => String::new(),
        millisecond => format!(".{millisecond:03}"),
    };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{fraction}Z",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}
