//! Formats of answers and bodies: <https://hl7.org/fhir/R4/http.html#mime-type>.

use serde_json::json;

use crate::support::config::SERVICE;
use crate::support::fhir::{Answer, Fhir};
use crate::support::process::Vitalwire;

const JSON: &str = "application/fhir+json; charset=utf-8";
const XML: &str = "application/fhir+xml; charset=utf-8";

async fn with_patient(product: &Vitalwire) -> Fhir {
    let fhir = product.fhir();
    fhir.put(&json!({ "resourceType": "Patient", "id": "p", "name": [{ "family": "Doe" }] })).await.check(201);
    fhir
}

#[tokio::test]
async fn the_answer_has_the_format_that_the_client_asks_for() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = with_patient(&product).await;
    for (accept, expected) in [
        ("*/*", JSON),
        ("application/fhir+json", JSON),
        ("application/json", "application/json; charset=utf-8"),
        ("application/fhir+json; fhirVersion=4.0", "application/fhir+json; fhirVersion=4.0; charset=utf-8"),
        ("application/fhir+xml", XML),
        ("text/xml", "text/xml; charset=utf-8"),
        ("application/fhir+json;q=0.5, application/fhir+xml;q=0.9", XML),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", JSON),
    ] {
        for path in
            ["Patient/p", "Patient?name=doe", "Patient/p/_history", "Patient/p/_history/1", "metadata", "Patient/none"]
        {
            let answer = fhir.raw("GET", path, &[("accept", accept), ("accept-language", "de")], "").await;
            assert_eq!(answer.header("content-type"), expected, "{path} {accept}");
            assert_eq!(answer.text.starts_with("<?xml"), expected.contains("xml"), "{path} {accept}");
            assert!(answer.header_values("vary").contains("accept"), "{path}");
        }
    }
    for (format, expected) in
        [("json", JSON), ("xml", XML), ("application/fhir%2Bxml", XML), ("application/fhir+json", JSON)]
    {
        let answer = fhir.raw("GET", &format!("Patient/p?_format={format}"), &[("accept", "text/turtle")], "").await;
        assert_eq!(answer.check(200).header("content-type"), expected, "{format}");
    }
}

#[tokio::test]
async fn a_form_asks_for_its_answer_itself() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = with_patient(&product).await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let search = |body: &'static str| fhir.raw("POST", "Patient/_search", &form, body);
    let answer = search("name=doe&_format=xml").await.check(200);
    assert_eq!(answer.header("content-type"), XML);
    assert!(answer.text.contains("<family value=\"Doe\"/>"));
    assert!(search("name=doe&_pretty=true").await.check(200).text.contains("\n  \"type\": \"searchset\""));
    search("name=doe&_format=ttl").await.check_outcome(406, "not-supported", "_format");
}

#[tokio::test]
async fn pretty_answers_say_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = with_patient(&product).await;
    let plain = fhir.get("Patient/p?_pretty=false").await.check(200);
    assert!(!plain.text.contains('\n'));
    let pretty = fhir.get("Patient/p?_pretty=true").await.check(200);
    assert_eq!((pretty.json(), pretty.header("etag")), (plain.json(), "W/\"1\""));
    assert!(pretty.text.contains("\n      \"family\": \"Doe\"\n"), "{pretty:?}");
    assert!(fhir.get("Patient/none?_pretty=true").await.check(404).text.contains("\n  \"issue\": [\n"));
    assert!(fhir.get("Patient/p?_pretty=true&_format=xml").await.text.contains("\n  <name>\n    <family value"));
}

#[tokio::test]
async fn head_answers_as_get_without_the_body() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = with_patient(&product).await;
    fhir.raw("PUT", "Binary/b", &[("content-type", "text/plain")], "content").await.check(201);
    for path in [
        "Patient/p",
        "Patient/p?_format=xml",
        "Patient?_pretty=true",
        "Patient/p/_history",
        "metadata",
        "Binary/b",
        "Patient/none",
    ] {
        let (get, head) = (fhir.get(path).await, fhir.raw("HEAD", path, &[], "").await);
        assert_eq!((head.status, head.text.as_str()), (get.status, ""), "{path}");
        for name in ["content-type", "content-length", "etag", "last-modified", "vary", "content-disposition"] {
            assert_eq!(head.header(name), get.header(name), "{path}: {name}");
        }
        assert_eq!(get.header("content-length"), get.text.len().to_string(), "{path}");
    }
}

#[tokio::test]
async fn every_path_says_which_methods_it_takes() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    for path in
        ["", "metadata", "Patient", "Patient/_search", "Patient/p", "Patient/p/_history", "Patient/p/_history/1"]
    {
        let options = fhir.raw("OPTIONS", path, &[("origin", "https://app.example.org")], "").await.check(204);
        assert_ne!(options.header("allow"), "", "{path}");
        let refused = fhir.raw("TRACE", path, &[], "").await.check_outcome(405, "not-supported", "This path");
        assert_eq!(refused.header("allow"), options.header("allow"), "{path}");
        assert_eq!(options.header("access-control-allow-origin"), "", "nobody was let in");
    }
}

#[tokio::test]
async fn pages_of_the_origins_in_the_configuration_may_use_the_service() {
    let directory = tempfile::tempdir().unwrap();
    let config = format!("{SERVICE}[fhir]\ncors_origins = [\"https://app.example.org\"]\n");
    let product = Vitalwire::serve(directory.path(), &config);
    let fhir = with_patient(&product).await;
    let ask = async |origin: &str, method: &str, headers: &str| {
        let asked = [
            ("origin", origin),
            ("access-control-request-method", method),
            ("access-control-request-headers", headers),
        ];
        fhir.raw("OPTIONS", "Patient/p", &asked, "").await
    };
    let allowed = ask("https://app.example.org", "PUT", "authorization,content-type,if-match,prefer").await.check(200);
    assert_eq!(allowed.header("access-control-allow-origin"), "https://app.example.org");
    assert!(allowed.header("access-control-allow-methods").contains("PUT"));
    for name in ["authorization", "content-type", "if-match", "prefer", "if-none-exist"] {
        assert!(allowed.header("access-control-allow-headers").contains(name), "{name}");
    }
    assert_eq!(allowed.header("access-control-allow-credentials"), "");
    let stranger = ask("https://evil.example.org", "PUT", "authorization").await;
    assert_eq!(stranger.header("access-control-allow-origin"), "");

    let get = async |path: &str, origin: &str| fhir.raw("GET", path, &[("origin", origin)], "").await;
    for path in ["Patient/p", "Patient/none", "nonsense/a/b/c/d"] {
        let answer = get(path, "https://app.example.org").await;
        assert_eq!(answer.header("access-control-allow-origin"), "https://app.example.org", "{path}");
        for name in ["etag", "location", "last-modified", "content-location"] {
            assert!(answer.header("access-control-expose-headers").contains(name), "{path}: {name}");
        }
        assert!(answer.header_values("vary").contains("origin"), "{path}");
        assert_eq!(get(path, "https://evil.example.org").await.header("access-control-allow-origin"), "", "{path}");
    }
    let options = fhir.raw("OPTIONS", "Patient/p", &[("origin", "https://app.example.org")], "").await.check(204);
    assert!(options.header("allow").contains("PUT"));
}

#[tokio::test]
async fn any_origin_is_let_in_only_when_that_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &format!("{SERVICE}[fhir]\ncors_origins = [\"*\"]\n"));
    let answer = product.fhir().raw("GET", "metadata", &[("origin", "https://any.example.org")], "").await.check(200);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
}

#[tokio::test]
async fn what_the_server_cannot_read_or_write_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = with_patient(&product).await;
    let body = r#"{"resourceType":"Patient"}"#;
    for media_type in [
        "text/turtle",
        "application/json; charset=latin1",
        "application/fhir+json; fhirVersion=5.0",
        "application/fhir+xml; fhirVersion=3.0",
        "application/xml; charset=utf-16",
        "application/x-www-form-urlencoded",
    ] {
        let refused: Answer = fhir.raw("POST", "Patient", &[("content-type", media_type)], body).await;
        refused.check_outcome(415, "not-supported", "Content-Type");
    }
    for accept in ["text/turtle", "text/html", "application/fhir+json;q=0", "application/fhir+xml; fhirVersion=5.0"] {
        fhir.raw("POST", "Patient", &[("accept", accept)], body).await.check_outcome(406, "not-supported", "Accept");
    }
    assert_eq!(fhir.count("Patient").await, 1, "nothing that was refused has written");
}
