//! What a request asks about the form of its answer, whatever the interaction
//! (<https://hl7.org/fhir/R4/http.html#parameters>).

use http::header::ACCEPT;
use http::request::Parts;

use super::accept::{Fit, choose};
use super::media::{Format, Media};
use crate::fhir::api::error::{ApiError, Category};
use crate::fhir::api::limits::decode;

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// In which media type.
    pub(crate) media: Media,
    /// Whether lines are broken and indented.
    pub(crate) pretty: bool,
    /// Whether the client has named a format of FHIR, and not one that other content has as well, or any.
    pub(crate) insists: bool,
}

impl Asked {
    /// What nobody has to ask for: the form in which resources are stored.
    pub(crate) const DEFAULT: Self = Self { media: Media::DEFAULT, pretty: false, insists: false };

    /// Whether nothing is asked for but what is there.
    pub(super) fn is_default(self) -> bool {
        self.media == Media::DEFAULT && !self.pretty
    }

    /// What the URL and the headers of a request ask for; the URL overrides the headers. Content that has a format of
    /// its own (`is_free`) may be accepted under any name.
    ///
    /// # Errors
    /// When the client could not read any format of this server.
    pub(crate) fn of(request: &Parts, is_free: bool) -> Result<Self, ApiError> {
        let query = request.uri.query().unwrap_or_default();
        let asked = Self::DEFAULT.overridden(decode(query.as_bytes())?.into_iter())?;
        let mut accepts = request.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
        if asked.insists || accepts.peek().is_none() {
            return Ok(asked);
        }
        match choose(accepts) {
            Some((media, fit)) => Ok(Self { media, insists: fit == Fit::Name && media.is_fhirs_own(), ..asked }),
            None if is_free => Ok(asked),
            None => Err(not_acceptable()),
        }
    }

    /// This, as far as parameters (of a URL or a form) do not ask for something else.
    ///
    /// # Errors
    /// When they ask for what this server does not offer.
    pub(super) fn overridden<N: AsRef<str>, V: AsRef<str>>(
        mut self,
        parameters: impl Iterator<Item = (N, V)>,
    ) -> Result<Self, ApiError> {
        for (name, value) in parameters {
            match name.as_ref() {
                "_format" => {
                    self.media = format_named(value.as_ref()).ok_or_else(not_acceptable)?;
                    self.insists = true;
                }
                "_pretty" => self.pretty = is_true(value.as_ref())?,
                _ => {}
            }
        }
        Ok(self)
    }
}

/// Parameters of a search that came as a form, and with them what is asked about the form of the answer; kept with the
/// answer, as nobody knows of them before the search.
#[derive(Clone, Debug)]
pub(crate) struct Form(pub(crate) Vec<(String, String)>);

/// A value of `_format`: the short name of a format, or a media type.
fn format_named(value: &str) -> Option<Media> {
    match value {
        "json" => Some(Media::DEFAULT),
        "xml" => Some(Media { format: Format::Xml, name: "application/fhir+xml", versioned: false }),
        // A plus that was not percent-encoded reads as a space.
        media_type => Media::parse(&media_type.replacen("fhir ", "fhir+", 1)),
    }
}

fn is_true(value: &str) -> Result<bool, ApiError> {
    value.parse().map_err(|_neither| ApiError::new(Category::Value, "`_pretty` is `true` or `false`."))
}

fn not_acceptable() -> ApiError {
    ApiError::new(
        Category::NotAcceptable,
        "This server answers in the JSON and the XML of FHIR 4.0. Ask for `application/fhir+json` or \
         `application/fhir+xml` with `Accept` or `_format`.",
    )
}
