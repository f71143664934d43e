//! Binary goes over the wire as it is: <https://hl7.org/fhir/R4/binary.html>.

use serde_json::json;

use crate::support::config::SERVICE;
use crate::support::fhir::Answer;
use crate::support::process::Vitalwire;

const ACCEPT_JSON: (&str, &str) = ("accept", "application/fhir+json");

#[track_caller]
fn check_content(answer: Answer, content_type: &str, content: &str) {
    let answer = answer.check(200);
    assert_eq!((answer.header("content-type"), answer.text.as_str()), (content_type, content));
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("content-disposition"), "attachment");
    assert_eq!(answer.header("content-security-policy"), "default-src 'none'; sandbox");
}

#[tokio::test]
async fn content_goes_in_and_out_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let page = "<html><script>alert(1)</script></html>";
    let created = fhir.raw("POST", "Binary", &[("content-type", "text/html; charset=utf-8")], page).await.check(201);
    let path = format!("Binary/{}", created.json()["id"].as_str().unwrap());
    assert_eq!(created.json()["contentType"], "text/html; charset=utf-8");
    for accept in ["*/*", "text/html", "image/png", "application/json", "text/html, */*;q=0.8"] {
        check_content(fhir.raw("GET", &path, &[("accept", accept)], "").await, "text/html; charset=utf-8", page);
    }
    let headers = [("content-type", "text/plain"), ("x-security-context", "Patient/p")];
    let updated = fhir.raw("PUT", &path, &headers, "plain").await.check(200);
    assert_eq!(updated.json()["securityContext"], json!({ "reference": "Patient/p" }));
    let read = fhir.get(&path).await;
    assert_eq!((read.header("etag"), read.header("x-security-context")), ("W/\"2\"", "Patient/p"));
    check_content(read, "text/plain", "plain");
    check_content(fhir.get(&format!("{path}/_history/1")).await, "text/html; charset=utf-8", page);
    fhir.raw("GET", &path, &[("if-none-match", "W/\"2\"")], "").await.check(304);
    fhir.raw("PUT", &path, &[("content-type", "image/png"), ("if-match", "W/\"1\"")], "x").await.check(412);
    fhir.raw("PUT", "Binary/empty", &[("content-type", "text/plain")], "").await.check(201);
    check_content(fhir.get("Binary/empty").await, "text/plain", "");
}

#[tokio::test]
async fn a_client_that_names_a_format_of_fhir_gets_the_resource() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    fhir.raw("PUT", "Binary/b", &[("content-type", "text/plain")], "abc").await.check(201);
    let resource = fhir.raw("GET", "Binary/b", &[ACCEPT_JSON], "").await.check(200).json();
    assert_eq!((&resource["contentType"], &resource["data"]), (&json!("text/plain"), &json!("YWJj")));
    assert_eq!(fhir.get("Binary/b?_format=json").await.check(200).json(), resource);
    let xml = fhir.raw("GET", "Binary/b", &[("accept", "application/fhir+xml")], "").await.check(200);
    assert!(xml.text.contains("<contentType value=\"text/plain\"/><data value=\"YWJj\"/></Binary>"), "{xml:?}");
    let entry = json!({ "request": { "method": "GET", "url": "Binary/b" } });
    assert_eq!(fhir.bundle("batch", &[entry]).await.check(200).json()["entry"][0]["resource"], resource);
    assert_eq!(fhir.all("Binary?_id=b").await, [resource]);
}

#[tokio::test]
async fn a_binary_that_is_sent_as_one_is_no_content() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let binary = r#"{"resourceType":"Binary","id":"b","contentType":"text/plain","data":"YWJj"}"#;
    for media_type in ["application/fhir+json", "application/json"] {
        fhir.raw("PUT", "Binary/b", &[("content-type", media_type)], binary).await;
        check_content(fhir.get("Binary/b").await, "text/plain", "abc");
    }
    let xml = r#"<Binary xmlns="http://hl7.org/fhir"><id value="b"/><contentType value="text/css"/><data value="YWJj"/></Binary>"#;
    fhir.raw("PUT", "Binary/b", &[("content-type", "application/fhir+xml")], xml).await.check(200);
    check_content(fhir.get("Binary/b").await, "text/css", "abc");
    for (media_type, content) in [
        ("application/fhir+json", r#"{"resourceType":"Patient"}"#),
        ("application/json", "[1"),
        ("text/xml", "<ClinicalDocument xmlns=\"urn:hl7-org:v3\"/>"),
    ] {
        fhir.raw("PUT", "Binary/b", &[("content-type", media_type)], content).await.check(200);
        check_content(fhir.get("Binary/b").await, media_type, content);
    }
    let broken = fhir.raw("PUT", "Binary/b", &[("content-type", "application/fhir+json")], "{").await;
    broken.check_outcome(400, "structure", "not JSON");
    fhir.get("Binary/none").await.check_outcome(404, "not-found", "no resource");
}
