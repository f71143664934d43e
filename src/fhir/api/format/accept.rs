//! The choice among formats that a client leaves to the server with `Accept`
//! (<https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1>).

use std::cmp::Reverse;

use super::media::{Format, Media, NAMES, is_versioned};

/// The media type this server answers in, given all values of `Accept`, and how closely the client described it; `None`
/// if none of its own is acceptable.
///
/// Of types with the same weight, one that is named goes before one that a wildcard allows, and one named first before
/// one named later. A browser names XML to show pages in it, not to get resources in it, so it gets JSON.
pub(super) fn choose<'a>(values: impl Iterator<Item = &'a str>) -> Option<(Media, Fit)> {
    let ranges: Vec<Range<'_>> = values.flat_map(|value| value.split(',')).filter_map(Range::parse).collect();
    let is_browser = ranges.iter().any(|range| range.essence.eq_ignore_ascii_case("text/html") && range.weight > 0);
    let candidates = NAMES.into_iter().enumerate().filter_map(|(preference, (name, format))| {
        // The most specific range that fits a type decides about it.
        let fitting = ranges.iter().enumerate().filter_map(|(place, range)| Some((range.fit(name)?, place, range)));
        let (fit, place, range) = fitting.max_by_key(|(fit, place, _)| (*fit, Reverse(*place)))?;
        let for_people = is_browser && format == Format::Json;
        let rank = (for_people, range.weight, fit, Reverse(place), Reverse(preference));
        let media = Media { format, name, versioned: range.versioned };
        (range.weight > 0).then_some((rank, (media, fit)))
    });
    candidates.max_by_key(|(rank, _)| *rank).map(|(_, choice)| choice)
}

/// A range of media types and how much it is wanted.
struct Range<'a> {
    essence: &'a str,
    /// From 0, not at all, to 1000.
    weight: u16,
    versioned: bool,
}

/// How closely a range describes a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// `*/*`
    Anything,
    /// `application/*`
    Family,
    /// By its name.
    Name,
}

impl<'a> Range<'a> {
    /// A range, unless it is one of another version of FHIR or in another character set.
    fn parse(range: &'a str) -> Option<Self> {
        let (essence, parameters) = range.split_once(';').unwrap_or((range, ""));
        let named = parameters.split(';').filter_map(|parameter| parameter.split_once('='));
        let mut weights = named.filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        let weight = weights.next().map_or(1_000, |(_, weight)| thousandths(weight.trim()));
        Some(Self { essence: essence.trim(), weight, versioned: is_versioned(parameters)? })
    }

    fn fit(&self, name: &str) -> Option<Fit> {
        if self.essence == "*/*" || self.essence == "*" {
            return Some(Fit::Anything);
        }
        if self.essence.eq_ignore_ascii_case(name) {
            return Some(Fit::Name);
        }
        let family = self.essence.strip_suffix('*')?;
        (family.ends_with('/') && name.starts_with(family)).then_some(Fit::Family)
    }
}

/// A weight of at most three decimals; one that is none counts in full.
fn thousandths(weight: &str) -> u16 {
    let decimals = match weight.split_once('.') {
        Some(("0", decimals)) => decimals,
        None if weight == "0" => "",
        _ => return 1_000,
    };
    format!("{decimals:0<3}").get(..3).and_then(|digits| digits.parse().ok()).unwrap_or(1_000)
}

#[cfg(test)]
mod tests {
    use super::choose;

    #[track_caller]
    fn check(accept: &str, expected: Option<&str>) {
        assert_eq!(choose([accept].into_iter()).map(|(media, _)| media.name), expected, "{accept}");
    }

    #[test]
    fn weights_decide_before_closeness_and_closeness_before_order() {
        check("application/fhir+xml", Some("application/fhir+xml"));
        check("application/fhir+xml;q=0.5, application/fhir+json;q=0.9", Some("application/fhir+json"));
        check("application/fhir+json;q=0.8,application/fhir+xml;Q=0.81", Some("application/fhir+xml"));
        check("application/fhir+xml, application/fhir+json", Some("application/fhir+xml"));
        check("*/*, application/xml", Some("application/xml"));
        check("text/*;q=0.2, */*;q=0.1", Some("text/json"));
        check("application/*", Some("application/fhir+json"));
        check("*", Some("application/fhir+json"));
        check("text/turtle, */*;q=0.001", Some("application/fhir+json"));
    }

    #[test]
    fn a_weight_of_zero_excludes() {
        check("application/fhir+json;q=0", None);
        check("application/fhir+json;q=0.000, */*", Some("application/json"));
        check("*/*;q=0, application/xml;q=0.1", Some("application/xml"));
    }

    #[test]
    fn what_is_not_spoken_is_not_chosen() {
        for accept in
            ["text/turtle", "text/html", "application/pdf, image/*", "application/fhir+json;fhirVersion=3.0", ""]
        {
            check(accept, None);
        }
        check(
            "application/fhir+xml;fhirVersion=5.0, application/fhir+json;fhirVersion=4.0",
            Some("application/fhir+json"),
        );
        assert!(choose(["text/xml;fhirVersion=4.0"].into_iter()).unwrap().0.versioned);
    }

    #[test]
    fn a_browser_gets_json() {
        check(
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
            Some("application/fhir+json"),
        );
        check("text/html, application/xml", Some("application/xml"));
    }

    #[test]
    fn a_weight_that_is_none_counts_in_full() {
        check("application/fhir+xml;q=nan, application/fhir+json;q=0.9", Some("application/fhir+xml"));
        check("application/fhir+xml;q=0.ü, application/fhir+json;q=0.9", Some("application/fhir+xml"));
    }
}
