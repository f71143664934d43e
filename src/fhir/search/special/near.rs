//! `near` of Location: `latitude|longitude|distance|units`, <https://hl7.org/fhir/R4/location.html#search>.
//!
//! Without units the distance is in kilometres; without a distance `NEAR_METERS` count as near. The earth is a sphere
//! here, which is right to half a percent.

use super::super::error::BadValue;
use crate::fhir::store::{Condition, Parameter, Relation, Test};

/// What is near when nobody says how far: five kilometres.
const NEAR_METERS: f64 = 5_000.0;
/// Half the way round the earth; what is farther is everywhere.
const METERS_MAX: f64 = 20_100_000.0;
/// The least that a degree of latitude measures, so that a box of degrees is never too small.
const METERS_PER_DEGREE: f64 = 110_000.0;

/// Units of a distance, by their UCUM code, in meters.
const UNITS: [(&str, f64); 7] = [
    ("km", 1_000.0),
    ("m", 1.0),
    ("[mi_i]", 1_609.344),
    ("[mi_us]", 1_609.347_219),
    ("[nmi_i]", 1_852.0),
    ("[yd_i]", 0.914_4),
    ("[ft_i]", 0.304_8),
];

/// The names under which the two halves of a position are indexed.
pub(in crate::fhir::search) const HALVES: [(&str, &str); 2] =
    [("near:latitude", "latitude"), ("near:longitude", "longitude")];

/// The condition of one value: first a box of degrees, which an index knows, and within it the distance.
pub(super) fn condition(value: &str) -> Result<Condition, BadValue> {
    let bad = BadValue {
        expected: "`latitude|longitude|distance|units` in degrees, with units km, m, [mi_i], [mi_us], [nmi_i], [yd_i] or [ft_i]",
    };
    let parts: Vec<&str> = value.split('|').collect();
    let (place, distance) = parts.split_at_checked(2).ok_or_else(|| bad.clone())?;
    let &[latitude, longitude] = place else { return Err(bad) };
    let (Some(latitude), Some(longitude)) = (degrees(latitude, 90.0), degrees(longitude, 180.0)) else {
        return Err(bad);
    };
    let meters = match *distance {
        [] | [""] | ["", ""] => Some(NEAR_METERS),
        [distance] | [distance, ""] => meters(distance, "km"),
        [distance, unit] => meters(distance, unit),
        _ => None,
    };
    let meters = meters.ok_or(bad)?;
    Ok(within(latitude, longitude, meters))
}

fn degrees(text: &str, most: f64) -> Option<f64> {
    number(text).filter(|degrees| degrees.abs() <= most)
}

fn meters(distance: &str, unit: &str) -> Option<f64> {
    let (_, factor) = UNITS.iter().find(|(code, _)| *code == unit)?;
    Some((number(distance).filter(|distance| *distance >= 0.0)? * factor).min(METERS_MAX))
}

/// A number as JSON and URLs write it; no infinity, no hexadecimal, no space.
fn number(text: &str) -> Option<f64> {
    let plain = text.starts_with(|first: char| first.is_ascii_digit() || first == '-')
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"-+.eE".contains(&byte));
    text.parse().ok().filter(|number: &f64| plain && number.is_finite())
}

fn within(latitude: f64, longitude: f64, meters: f64) -> Condition {
    let [latitude_of, longitude_of] = HALVES.map(|(name, _)| Parameter::from(name));
    let reach = meters / METERS_PER_DEGREE + 1e-6;
    let mut parts = vec![between(&latitude_of, latitude - reach, latitude + reach)];
    // Degrees of longitude shrink towards the poles, and 180 is -180: a box there would have to be cut in pieces.
    let farthest = latitude.abs() + reach;
    if farthest < 89.0 {
        let reach = reach / farthest.to_radians().cos();
        if longitude - reach > -180.0 && longitude + reach < 180.0 {
            parts.push(between(&longitude_of, longitude - reach, longitude + reach));
        }
    }
    parts.push(Condition::Near { latitude_of, longitude_of, latitude, longitude, meters });
    Condition::All(parts)
}

fn between(parameter: &Parameter, low: f64, high: f64) -> Condition {
    Condition::Has(parameter.clone(), Test::Number { relation: Relation::Within, low, high, value: low })
}

#[cfg(test)]
mod tests {
    use super::condition;
    use crate::fhir::store::Condition;

    fn reach(value: &str) -> Option<f64> {
        let Condition::All(parts) = condition(value).ok()? else { panic!("{value}") };
        let Some(Condition::Near { meters, .. }) = parts.last() else { panic!("{parts:?}") };
        Some(*meters)
    }

    #[test]
    fn a_distance_has_units_or_is_in_kilometres() {
        for (value, meters) in [
            ("48.1|11.5", Some(5_000.0)),
            ("48.1|11.5||", Some(5_000.0)),
            ("48.1|11.5|2", Some(2_000.0)),
            ("48.1|11.5|2|", Some(2_000.0)),
            ("-48.1|-11.5|2|m", Some(2.0)),
            ("0|0|1|[mi_i]", Some(1_609.344)),
            ("0|0|0|km", Some(0.0)),
            ("90|180|1e9|km", Some(20_100_000.0)),
            ("91|0|1|km", None),
            ("0|181|1|km", None),
            ("0|0|-1|km", None),
            ("0|0|1|parsec", None),
            ("0|0|1|km|x", None),
            ("0", None),
            ("", None),
            ("|", None),
            ("inf|0", None),
            ("NaN|0", None),
            (" 1|0", None),
        ] {
            let found = reach(value);
            let same = found.zip(meters).is_some_and(|(found, meters)| (found - meters).abs() < 1e-9);
            assert!(same || found.is_none() && meters.is_none(), "{value}: {found:?}");
        }
    }
}
