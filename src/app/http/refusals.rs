//! What the HTTP library refuses by itself, with an OperationOutcome.
//!
//! hyper answers what it cannot read before any service sees it, with a status alone: no request line, broken headers,
//! a body framed in two ways, a URL of more than 64 KiB, more than 100 headers. It closes the connection behind it.

use axum::http::header::CONTENT_TYPE;

use crate::fhir::api::error::{ApiError, Category, FHIR_JSON};

/// How the library says that there is no body.
const NO_BODY: &str = "content-length: 0\r\n";

/// The same answer with an OperationOutcome; `None` if this is not an answer of the library.
pub(super) fn explained(answer: &[u8]) -> Option<Vec<u8>> {
    let head = std::str::from_utf8(answer).ok().filter(|head| head.ends_with("\r\n\r\n"))?;
    let refused = match head.strip_prefix("HTTP/1.1 ")?.get(..3)? {
        "400" => ApiError::new(
            Category::Structure,
            "The request is not HTTP/1.1 as this server reads it: its first line, a header, or how its body is framed.",
        ),
        "414" => ApiError::new(
            Category::UrlTooLong,
            "The URL is longer than any this server takes. Send a long search as `POST [type]/_search` with the \
             parameters in the body.",
        ),
        "431" => ApiError::new(
            Category::HeadersTooLarge,
            "The headers are larger than any this server takes, or more than 100.",
        ),
        _ => return None,
    };
    let (before, after) = head.split_once(NO_BODY)?;
    let outcome = refused.outcome();
    let media_type = FHIR_JSON;
    let (media_type, length) = (media_type.to_str().ok()?, outcome.len());
    let described = format!("{before}{CONTENT_TYPE}: {media_type}\r\ncontent-length: {length}\r\n{after}");
    Some([described.into_bytes(), outcome].concat())
}

#[cfg(test)]
mod tests {
    use super::explained;

    #[test]
    fn an_answer_of_the_library_gets_a_body() {
        let answer = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let explained = String::from_utf8(explained(answer.as_bytes()).unwrap()).unwrap();
        let (head, body) = explained.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n"), "{head}");
        assert!(head.contains("\r\ncontent-type: application/fhir+json"), "{head}");
        assert!(head.ends_with(&format!("\r\ncontent-length: {}", body.len())), "{head}");
        let outcome: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(outcome["issue"][0]["code"], "too-long");
    }

    #[test]
    fn anything_else_stays_as_it_is() {
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 7\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\nHTTP/1.1 400",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 4",
            "\0\0\u{12}\u{4}",
            "",
        ] {
            assert_eq!(explained(answer.as_bytes()), None, "{answer}");
        }
    }
}
