use std::sync::Arc;
use std::time::Duration;

use super::{Answer, ResponseError, SubmitError, TokenError};
use crate::client::bundle;
use crate::model::fate::Fate;

const ASKED: Option<Duration> = Some(Duration::from_secs(7));

fn refused(status: u16, diagnosis: Option<&str>) -> SubmitError {
    let diagnosis = diagnosis.map(str::to_owned);
    SubmitError::Refused { endpoint: String::new(), status, retry_after: ASKED, diagnosis }
}

fn network(make: impl Fn(String, Box<dyn std::error::Error + Send + Sync>) -> SubmitError) -> SubmitError {
    make("http://x/fhir".to_owned(), std::io::Error::other("cause").into())
}

/// A Bundle that was answered with this status, and an entry that was.
#[track_caller]
fn check_status(statuses: &[u16], of_bundle: Fate, of_entry: Option<Fate>) {
    for status in statuses {
        assert_eq!(refused(*status, Some("no")).fate(), of_bundle, "{status}");
        assert_eq!(Answer { status: *status, ..Answer::default() }.fate(), of_entry, "{status}");
    }
}

#[track_caller]
fn check(error: &SubmitError, fate: Fate, code: &str) {
    assert_eq!((error.fate(), error.code()), (fate, code), "{error}");
}

const SUSPECT: Fate = Fate::Suspect { attempts: 3 };
const SUSPECT_AT_ONCE: Fate = Fate::Suspect { attempts: 1 };
const NOT_NOW: Fate = Fate::Retry(ASKED);

#[test]
fn er_8_the_table_of_statuses() {
    check_status(&[408, 425, 429, 503], NOT_NOW, Some(Fate::Retry(None)));
    check_status(&[500, 502, 504, 507, 508, 520, 599], SUSPECT, Some(SUSPECT));
    check_status(&[423, 424], SUSPECT, Some(SUSPECT));
    check_status(&[409, 412], SUSPECT, None);
    check_status(&[400, 413, 422], Fate::Split, None);
    check_status(&[401, 403, 405, 501], Fate::Halt, Some(Fate::Halt));
    check_status(&[505, 506, 510, 511], Fate::Halt, Some(SUSPECT));
    check_status(&[300, 301, 302, 303, 307, 308, 402, 404, 406, 410, 415, 431, 451], Fate::Halt, None);
}

#[test]
fn er_8_a_gateway_that_refuses_everything_is_not_the_fault_of_readings() {
    for status in [400, 422] {
        check(&refused(status, None), Fate::Halt, super::code(status));
    }
}

#[test]
fn er_8_er_13_the_table_of_what_happens_on_the_way() {
    check(
        &network(|endpoint, cause| SubmitError::Unreachable { endpoint, cause }),
        Fate::Retry(None),
        "FHIRServiceErrorConnection",
    );
    check(
        &network(|endpoint, cause| SubmitError::Unanswered { endpoint, cause }),
        SUSPECT,
        "FHIRServiceErrorConnection",
    );
    check(
        &network(|endpoint, cause| SubmitError::TimedOut { endpoint, cause }),
        SUSPECT_AT_ONCE,
        "FHIRServiceErrorTimeout",
    );
    check(
        &network(|endpoint, cause| SubmitError::UnknownHost { endpoint, cause }),
        Fate::Halt,
        "FHIRServiceErrorConfigurationError",
    );
    check(
        &network(|endpoint, cause| SubmitError::Untrusted { endpoint, cause }),
        Fate::Halt,
        "FHIRServiceErrorConfigurationError",
    );
    check(
        &network(|endpoint, cause| SubmitError::CertificateRefused { endpoint, cause }),
        Fate::Halt,
        "FHIRServiceErrorAuthorizationError",
    );
    let too_large = SubmitError::TooLarge { endpoint: String::new() };
    check(&too_large, SUSPECT_AT_ONCE, "FHIRServiceErrorAnswerTooLarge");
}

/// What is done when the server says yes with this body to two requests.
#[track_caller]
fn check_body(body: &'static str, fate: Fate) {
    let cause: ResponseError = bundle::read(&body.into(), 2).unwrap_err();
    check(&SubmitError::Unreadable { endpoint: String::new(), cause }, fate, "FHIRServiceErrorConfigurationError");
}

#[test]
fn er_8_the_table_of_answers_that_say_yes_and_cannot_be_read() {
    check_body("<html>Please log in</html>", Fate::Halt);
    check_body("", Fate::Halt);
    check_body("\u{1f}\u{8b}compressed", Fate::Halt);
    check_body("{}", Fate::Halt);
    check_body(r#"{"resourceType":"OperationOutcome"}"#, Fate::Halt);
    check_body(r#"{"resourceType":"Bundle","entry":[{"response":{"sta"#, SUSPECT);
    check_body(r#"{"resourceType":"Bundle"}"#, SUSPECT_AT_ONCE);
    check_body(r#"{"resourceType":"Bundle","entry":[{"response":{"status":"201"}}]}"#, SUSPECT_AT_ONCE);
    for status in ["100 Continue", "0", "600", "OK", ""] {
        let body = format!(r#"{{"resourceType":"Bundle","entry":[{{"response":{{"status":"{status}"}}}}]}}"#);
        let cause = bundle::read(&body.into(), 1).unwrap_err();
        assert_eq!(SubmitError::Unreadable { endpoint: String::new(), cause }.fate(), SUSPECT_AT_ONCE, "{status}");
    }
}

#[track_caller]
fn check_token(error: TokenError, fate: Fate, code: &str) {
    check(&SubmitError::Token(Arc::new(error)), fate, code);
}

fn no_token(status: u16, error: Option<&'static str>) -> TokenError {
    TokenError::Refused { endpoint: String::new(), status, error, retry_after: ASKED }
}

#[test]
fn er_8_er_13_the_table_of_tokens_that_are_not_to_be_had() {
    let away = network(|endpoint, cause| SubmitError::TimedOut { endpoint, cause });
    check_token(TokenError::Unreached(away), Fate::Retry(None), "FHIRServiceErrorTimeout");
    let unknown = network(|endpoint, cause| SubmitError::UnknownHost { endpoint, cause });
    check_token(TokenError::Unreached(unknown), Fate::Halt, "FHIRServiceErrorConfigurationError");
    check_token(no_token(503, None), NOT_NOW, "FHIRServiceErrorServiceUnavailable");
    check_token(no_token(500, Some("server_error")), NOT_NOW, "FHIRServiceErrorInternalServerError");
    check_token(no_token(429, None), NOT_NOW, "FHIRServiceErrorTooManyRequests");
    for status in [400, 401] {
        check_token(no_token(status, Some("invalid_client")), Fate::Halt, "FHIRServiceErrorAuthorizationError");
    }
    // The audience is wrong.
    check_token(no_token(400, Some("invalid_resource")), Fate::Halt, "FHIRServiceErrorConfigurationError");
    check_token(no_token(400, Some("invalid_scope")), Fate::Halt, "FHIRServiceErrorConfigurationError");
    check_token(no_token(404, None), Fate::Halt, "FHIRServiceErrorConfigurationError");
    check_token(TokenError::Unreadable { endpoint: String::new() }, Fate::Halt, "FHIRServiceErrorConfigurationError");
}

#[test]
fn er_13_who_may_not_is_told_so_what_is_not_there_was_named_wrongly_and_others_keep_their_name() {
    for (status, code) in [
        (403, "FHIRServiceErrorAuthorizationError"),
        (404, "FHIRServiceErrorConfigurationError"),
        (302, "FHIRServiceErrorConfigurationError"),
        (401, "FHIRServiceErrorUnauthorized"),
        (422, "FHIRServiceErrorUnprocessableEntity"),
        (429, "FHIRServiceErrorTooManyRequests"),
        (500, "FHIRServiceErrorInternalServerError"),
        (599, "FHIRServiceError"),
    ] {
        assert_eq!(refused(status, None).code(), code, "{status}");
    }
    let of_entry = |status| Answer { status, ..Answer::default() }.code();
    assert_eq!(
        (of_entry(403), of_entry(422)),
        ("FHIRServiceErrorAuthorizationError", "FHIRServiceErrorUnprocessableEntity")
    );
}
