//! Media types: the names that JSON and XML of FHIR have (<https://hl7.org/fhir/R4/http.html#mime-type>).

use http::HeaderValue;

use crate::fhir::api::error::FHIR_JSON;

/// A format in which resources are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// <https://hl7.org/fhir/R4/json.html>
    Json,
    /// <https://hl7.org/fhir/R4/xml.html>
    Xml,
}

/// Every name, in the order in which the server chooses where a client leaves the choice to it.
pub(super) const NAMES: [(&str, Format); 8] = [
    ("application/fhir+json", Format::Json),
    ("application/json", Format::Json),
    ("text/json", Format::Json),
    // Of FHIR before R3; still sent.
    ("application/json+fhir", Format::Json),
    ("application/fhir+xml", Format::Xml),
    ("application/xml", Format::Xml),
    ("text/xml", Format::Xml),
    ("application/xml+fhir", Format::Xml),
];

/// A media type of FHIR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Media {
    /// In which format.
    pub(crate) format: Format,
    /// Its name, one of `NAMES`.
    pub(crate) name: &'static str,
    /// Whether the version of FHIR was given, which then is that of this server.
    pub(crate) versioned: bool,
}

impl Media {
    /// What this server writes when nothing is asked.
    pub(crate) const DEFAULT: Self = Self { format: Format::Json, name: "application/fhir+json", versioned: false };

    /// Reads a media type of one of the formats, of the version and in the character set that this server has.
    pub(crate) fn parse(media_type: &str) -> Option<Self> {
        let (essence, parameters) = media_type.split_once(';').unwrap_or((media_type, ""));
        let (name, format) = NAMES.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(essence.trim()))?;
        Some(Self { format, name, versioned: is_versioned(parameters)? })
    }

    /// The header of an answer in this media type.
    pub(super) fn content_type(self) -> HeaderValue {
        let version = if self.versioned { "fhirVersion=4.0; " } else { "" };
        HeaderValue::from_str(&format!("{}; {version}charset=utf-8", self.name)).unwrap_or(FHIR_JSON)
    }

    /// Whether the name is FHIR's own, and not that of a format which other content has as well.
    pub(crate) fn is_fhirs_own(self) -> bool {
        self.name.contains("fhir")
    }
}

/// Whether parameters name the version; `None` if it, or the character set, is another than this server's.
pub(super) fn is_versioned(parameters: &str) -> Option<bool> {
    let mut versioned = false;
    for parameter in parameters.split(';').map(str::trim) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim_matches('"');
        if name.eq_ignore_ascii_case("charset") && !value.eq_ignore_ascii_case("utf-8") {
            return None;
        }
        if name.eq_ignore_ascii_case("fhirVersion") {
            versioned = true;
            if value != "4.0" {
                return None;
            }
        }
    }
    Some(versioned)
}

#[cfg(test)]
mod tests {
    use super::{Format, Media};

    #[test]
    fn a_format_has_several_names_but_one_version_and_one_character_set() {
        for (known, format, versioned) in [
            ("application/fhir+json", Format::Json, false),
            ("application/fhir+json; charset=UTF-8", Format::Json, false),
            ("Application/JSON", Format::Json, false),
            ("application/fhir+json;fhirVersion=4.0", Format::Json, true),
            ("application/fhir+xml; fhirVersion=\"4.0\"; charset=utf-8", Format::Xml, true),
            ("text/xml ; charset=\"utf-8\"", Format::Xml, false),
        ] {
            let media = Media::parse(known).unwrap();
            assert_eq!((media.format, media.versioned), (format, versioned), "{known}");
        }
        for other in [
            "text/turtle",
            "application/x-www-form-urlencoded",
            "application/json; charset=latin1",
            "application/fhir+json; fhirVersion=5.0",
            "application/fhir+xml;FHIRVERSION=3.0",
            "*/*",
            "",
        ] {
            assert_eq!(Media::parse(other), None, "{other}");
        }
    }
}
