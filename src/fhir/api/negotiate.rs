//! Formats: this server speaks and reads JSON alone (<https://hl7.org/fhir/R4/http.html#mime-type>).

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::HeaderValue;
use http::header::{ACCEPT, HOST};
use url::form_urlencoded;

use super::error::{ApiError, Category};

/// Refuses requests whose answer the client could not read, and gives requests over HTTP/2 a `Host`.
pub(crate) async fn negotiate(mut request: Request, next: Next) -> Response {
    if let Err(error) = check(&request) {
        return error.into_response();
    }
    let authority = request.uri().authority().map(|authority| HeaderValue::from_str(authority.as_str()));
    if let Some(Ok(authority)) = authority {
        request.headers_mut().entry(HOST).or_insert(authority);
    }
    next.run(request).await
}

fn check(request: &Request) -> Result<(), ApiError> {
    let refused = || {
        ApiError::new(
            Category::NotAcceptable,
            "This server answers in the JSON of FHIR 4.0 only. Ask for `application/fhir+json` with `Accept` or `_format`.",
        )
    };
    // `_format` overrides the header.
    if let Some(format) = parameter(request.uri().query().unwrap_or_default(), "_format") {
        // A plus that was not percent-encoded reads as a space.
        let format = format.replace(' ', "+");
        return if format == "json" || is_fhir_json(&format) { Ok(()) } else { Err(refused()) };
    }
    let mut accepts = request.headers().get_all(ACCEPT).iter().peekable();
    let takes_all = accepts.peek().is_none();
    let takes_json = accepts
        .filter_map(|accept| accept.to_str().ok())
        .flat_map(|accept| accept.split(','))
        .any(|range| is_json_range(range) && !is_refused(range));
    if takes_all || takes_json { Ok(()) } else { Err(refused()) }
}

/// The first value of a parameter of a query.
pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find_map(|(known, value)| (known == name).then(|| value.into_owned()))
}

/// Whether a media type is FHIR's JSON, of a version and in a character set that this server reads.
pub(crate) fn is_fhir_json(media_type: &str) -> bool {
    let mut parts = media_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let is_json = matches!(
        essence.as_str(),
        "application/fhir+json" | "application/json" | "text/json" | "application/json+fhir"
    );
    is_json && parts.all(is_parameter_supported)
}

fn is_parameter_supported(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let value = value.trim_matches('"');
    if name.eq_ignore_ascii_case("charset") {
        return value.eq_ignore_ascii_case("utf-8");
    }
    !name.eq_ignore_ascii_case("fhirVersion") || value == "4.0"
}

fn is_json_range(range: &str) -> bool {
    let essence = range.split(';').next().unwrap_or_default().trim();
    matches!(essence, "*/*" | "application/*" | "text/*") || is_fhir_json(range)
}

fn is_refused(range: &str) -> bool {
    let mut parameters = range.split(';').skip(1).map(str::trim);
    parameters.any(|parameter| {
        let weight = parameter.strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
        weight.is_some_and(|weight| weight <= 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::is_fhir_json;

    #[test]
    fn json_is_known_by_several_names_but_one_version_and_one_character_set() {
        for known in [
            "application/fhir+json",
            "application/fhir+json; charset=UTF-8",
            "Application/JSON",
            "application/fhir+json;fhirVersion=4.0",
        ] {
            assert!(is_fhir_json(known), "{known}");
        }
        for other in [
            "application/fhir+xml",
            "application/x-www-form-urlencoded",
            "application/json; charset=latin1",
            "application/fhir+json; fhirVersion=5.0",
            "",
        ] {
            assert!(!is_fhir_json(other), "{other}");
        }
    }
}
