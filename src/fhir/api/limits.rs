//! What a request may be before anything of it is read: the length of its URL and of its headers, how the URL is spelled,
//! and which headers contradict each other.
//!
//! Far above these bounds (a URL of 64 KiB, 100 headers) the HTTP library itself refuses.

use http::header::{CONTENT_TYPE, HeaderName, IF_MODIFIED_SINCE, TRANSFER_ENCODING};
use http::request::Parts;
use percent_encoding::percent_decode;
use url::form_urlencoded;

use super::error::{ApiError, Category};
use super::state::ApiSettings;

/// Headers of which there is one, or none. Of two, one would be passed over, and with it perhaps a condition.
const SINGLE: [HeaderName; 4] = [
    CONTENT_TYPE,
    IF_MODIFIED_SINCE,
    HeaderName::from_static("if-none-exist"),
    HeaderName::from_static("x-security-context"),
];

/// Checks a request against the bounds.
///
/// # Errors
/// When it is out of bounds or contradicts itself.
pub(crate) fn check(request: &Parts, settings: &ApiSettings) -> Result<(), ApiError> {
    let uri = &request.uri;
    let path_and_query = uri.path_and_query().map_or("", |it| it.as_str());
    if path_and_query.len() > settings.url_bytes_max {
        let detail = format!(
            "The URL is longer than the {} bytes this server takes. Send a long search as `POST [type]/_search` with \
             the parameters in the body.",
            settings.url_bytes_max
        );
        return Err(ApiError::new(Category::UrlTooLong, detail));
    }
    let header_bytes: usize = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if header_bytes > settings.header_bytes_max {
        let detail = format!("The headers are larger than the {} bytes this server takes.", settings.header_bytes_max);
        return Err(ApiError::new(Category::HeadersTooLarge, detail));
    }
    if let Some(name) = SINGLE.iter().find(|name| request.headers.get_all(*name).iter().nth(1).is_some()) {
        return Err(ApiError::new(Category::Value, format!("The header `{name}` comes more than once.")));
    }
    let mut codings = request.headers.get_all(TRANSFER_ENCODING).iter();
    let is_plain = codings.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    if !is_plain || codings.next().is_some() {
        let detail = "The only `Transfer-Encoding` of a body is `chunked`. Compress it with `Content-Encoding: gzip`.";
        return Err(ApiError::new(Category::NotSupported, detail));
    }
    // What a path names is found or not, whatever its spelling; a query is what somebody asks for.
    check_encoding(uri.query().unwrap_or_default())
}

/// Names and values of a query string or form.
///
/// # Errors
/// When it is not percent-encoded UTF-8 text without control characters: a value that would have to be guessed is never
/// searched for.
pub(crate) fn decode(query: &[u8]) -> Result<Vec<(String, String)>, ApiError> {
    let Ok(text) = std::str::from_utf8(query) else {
        return Err(ApiError::new(Category::Value, "The parameters are not UTF-8 text."));
    };
    check_encoding(text)?;
    Ok(form_urlencoded::parse(query).into_owned().collect())
}

fn check_encoding(text: &str) -> Result<(), ApiError> {
    let mut escapes = text.split('%').skip(1);
    if !escapes.all(
        |behind| matches!(behind.as_bytes(), [high, low, ..] if [high, low].iter().all(|it| it.is_ascii_hexdigit())),
    ) {
        let detail =
            "A `%` in the URL or the form is not followed by two hexadecimal digits. Write a `%` itself as `%25`.";
        return Err(ApiError::new(Category::Value, detail));
    }
    let Ok(decoded) = percent_decode(text.as_bytes()).decode_utf8() else {
        return Err(ApiError::new(
            Category::Value,
            "The URL or the form is not UTF-8 text behind its percent-encoding.",
        ));
    };
    if decoded.chars().any(|character| character.is_control() && !"\t\n\r".contains(character)) {
        let detail = "The URL or the form has a control character, which no value of FHIR may have.";
        return Err(ApiError::new(Category::Value, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[track_caller]
    fn check(query: &str, expected: Option<&[(&str, &str)]>) {
        let decoded = decode(query.as_bytes()).ok();
        let expected: Option<Vec<_>> =
            expected.map(|pairs| pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
        assert_eq!(decoded, expected, "{query}");
    }

    #[test]
    fn what_is_decoded_is_what_was_meant_or_refused() {
        check("a=%C3%A9+b&c", Some(&[("a", "é b"), ("c", "")]));
        check("a=50%25", Some(&[("a", "50%")]));
        check("", Some(&[]));
        check("a=50%", None);
        check("a=%C", None);
        check("a=%zz", None);
        check("a=%é0", None);
        check("a=%FF", None);
        check("a=%C3%28", None);
        check("a=%00", None);
        check("a=%1b", None);
        check("a=\u{7f}", None);
        assert!(decode(b"a=\xff").is_err());
    }
}
