//! Entity tags and what clients make depend on them (<https://hl7.org/fhir/R4/http.html#concurrency>).

use http::header::{HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;

use super::create::IF_NONE_EXIST;
use super::error::{ApiError, Category};
use super::policies::VersioningPolicy;
use crate::fhir::store::Method;
use crate::fhir::store::interface::Head;

/// The entity tag of a version.
pub(crate) fn etag(number: u64) -> String {
    format!("W/\"{number}\"")
}

/// A list of entity tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tags {
    /// `*`: any version.
    Any,
    /// Any of these; tags that this server never gives out are left out, as no version has them.
    Of(Vec<u64>),
}

impl Tags {
    /// Reads the value of `If-Match` or `If-None-Match`, or of the members of a Bundle that stand for them.
    ///
    /// # Errors
    /// When it is neither `*` nor a list of entity tags.
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        let numbers = text.split(',').map(|tag| quoted(tag.trim()).map(|value| value.parse().ok()));
        let numbers: Option<Vec<Option<u64>>> = numbers.collect();
        let Some(numbers) = numbers else {
            return Err(ApiError::new(
                Category::Value,
                "A condition on the version is not an entity tag. Write it as the server does, for example `W/\"3\"`.",
            ));
        };
        Ok(Self::Of(numbers.into_iter().flatten().collect()))
    }

    /// Whether a version has one of the tags.
    pub(crate) fn include(&self, number: u64) -> bool {
        match self {
            Self::Any => true,
            Self::Of(numbers) => numbers.contains(&number),
        }
    }
}

fn quoted(tag: &str) -> Option<&str> {
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let value = tag.strip_prefix('"')?.strip_suffix('"')?;
    (!value.contains('"')).then_some(value)
}

/// What a write depends on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Preconditions {
    /// `If-Match`: there is a current version with one of these tags.
    pub(crate) matching: Option<Tags>,
    /// `If-None-Match`: there is no current version with one of these tags.
    pub(crate) not_matching: Option<Tags>,
    /// `If-Unmodified-Since`: the current version was not written after this second since 1970.
    pub(crate) unmodified_since: Option<i64>,
    /// Whether `If-Match` must be there where something is changed.
    pub(crate) needs_match: bool,
}

impl Preconditions {
    /// Those in the headers of a request. A date that is none is passed over, and so is a date beside `If-Match`, as HTTP
    /// asks.
    ///
    /// # Errors
    /// When one is malformed, or is the condition of a create.
    pub(crate) fn in_headers(headers: &HeaderMap) -> Result<Self, ApiError> {
        if headers.contains_key(IF_NONE_EXIST) {
            let detail = "`If-None-Exist` is a condition of creates (POST) alone. Nothing was done; leave it out.";
            return Err(ApiError::new(Category::NotSupported, detail));
        }
        let matching = tags(headers, IF_MATCH)?;
        let unmodified_since = date(headers, IF_UNMODIFIED_SINCE).filter(|_date| matching.is_none());
        Ok(Self {
            matching,
            not_matching: tags(headers, IF_NONE_MATCH)?,
            unmodified_since: unmodified_since.map(Timestamp::as_second),
            needs_match: false,
        })
    }

    /// The same for a change of a resource whose type has this policy.
    pub(crate) fn of_change(self, policy: VersioningPolicy) -> Self {
        Self { needs_match: policy == VersioningPolicy::VersionedUpdate, ..self }
    }

    /// Checks them against what is stored.
    ///
    /// # Errors
    /// When one does not hold.
    pub(crate) fn check(&self, head: Option<Head>) -> Result<(), ApiError> {
        let current = head.filter(|head| head.method != Method::Delete).map(|head| head.number);
        let matches = |tags: &Tags| current.is_some_and(|number| tags.include(number));
        if self.matching.as_ref().is_some_and(|tags| !matches(tags)) {
            return Err(ApiError::new(
                Category::Stale,
                "The resource does not have the version that `If-Match` names. Read it again and decide anew.",
            ));
        }
        if self.not_matching.as_ref().is_some_and(matches) {
            return Err(ApiError::new(
                Category::Stale,
                "The resource exists in a version that `If-None-Match` excludes. Nothing was written.",
            ));
        }
        let changed = head.filter(|_head| current.is_some()).map(|head| head.last_updated.as_second());
        if self.unmodified_since.is_some_and(|since| changed.is_some_and(|changed| changed > since)) {
            return Err(ApiError::new(
                Category::Stale,
                "The resource was changed after the time that `If-Unmodified-Since` names. Read it again and decide anew.",
            ));
        }
        if self.needs_match && self.matching.is_none() && current.is_some() {
            return Err(ApiError::new(
                Category::Required,
                "A resource of this type is changed with `If-Match` only. Read it, and send the `ETag` you were given.",
            ));
        }
        Ok(())
    }
}

/// What a read depends on.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadConditions {
    known: Option<Tags>,
    since: Option<Timestamp>,
}

impl ReadConditions {
    /// Those of an entry of a Bundle: `ifNoneMatch` and `ifModifiedSince`.
    ///
    /// # Errors
    /// When `ifNoneMatch` is malformed.
    pub(crate) fn of(none_match: Option<&str>, since: Option<Timestamp>) -> Result<Self, ApiError> {
        Ok(Self { known: none_match.map(Tags::parse).transpose()?, since })
    }

    /// Those in the headers of a request. A date that is none is passed over, as HTTP asks.
    ///
    /// # Errors
    /// When `If-None-Match` is malformed.
    pub(crate) fn in_headers(headers: &HeaderMap) -> Result<Self, ApiError> {
        Ok(Self { known: tags(headers, IF_NONE_MATCH)?, since: date(headers, IF_MODIFIED_SINCE) })
    }

    /// Whether the client has this version already. `If-None-Match` overrides the date.
    pub(crate) fn is_known(&self, number: u64, last_updated: Timestamp) -> bool {
        match (&self.known, self.since) {
            (Some(tags), _) => tags.include(number),
            // HTTP dates are whole seconds.
            (None, Some(since)) => last_updated.as_second() <= since.as_second(),
            (None, None) => false,
        }
    }
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<Timestamp> {
    let text = headers.get(name)?.to_str().ok()?;
    Timestamp::try_from(httpdate::parse_http_date(text).ok()?).ok()
}

fn tags(headers: &HeaderMap, name: HeaderName) -> Result<Option<Tags>, ApiError> {
    let values: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
    if values.is_empty() {
        return Ok(None);
    }
    let texts: Vec<&str> = values.iter().map(|value| value.to_str().unwrap_or_default()).collect();
    Tags::parse(&texts.join(",")).map(Some)
}

#[cfg(test)]
mod tests {
    use super::Tags;

    #[test]
    fn tags_are_weak_or_strong_one_or_several() {
        assert_eq!(Tags::parse("*").unwrap(), Tags::Any);
        assert_eq!(Tags::parse(r#"W/"3""#).unwrap(), Tags::Of(vec![3]));
        assert_eq!(Tags::parse(r#""3", W/"4""#).unwrap(), Tags::Of(vec![3, 4]));
        assert_eq!(Tags::parse(r#"W/"abc""#).unwrap(), Tags::Of(Vec::new()));
        for malformed in ["", "3", "W/3", r#"W/"3"#, r#"W/"3" W/"4""#] {
            assert!(Tags::parse(malformed).is_err(), "{malformed}");
        }
    }
}
