//! What nobody sends by accident: each is refused with a status of the client's, and the server goes on as if nothing was.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::config::SERVICE;
use crate::support::fhir::Fhir;
use crate::support::process::Vitalwire;

/// Longer than anything here may take; a server that is stuck fails the test instead of holding it up.
const PATIENCE: Duration = Duration::from_secs(60);

async fn patiently<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("the server is stuck")
}

/// The first line and the rest of what comes back for these bytes; both empty when the connection is just closed.
async fn send_bytes(product: &Vitalwire, bytes: &[u8]) -> (String, String) {
    let mut stream = TcpStream::connect(product.http.trim_start_matches("http://")).await.unwrap();
    let (mut from, mut to) = stream.split();
    let mut answer = Vec::new();
    // A server that has heard enough closes while there is still something to say.
    let _both = patiently(async { tokio::join!(to.write_all(bytes), from.read_to_end(&mut answer)) }).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (status, rest) = answer.split_once("\r\n").unwrap_or_default();
    (status.to_owned(), rest.to_owned())
}

async fn get_bytes(product: &Vitalwire, target: &[u8]) -> (String, String) {
    let head = [b"GET /fhir/", target, b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"].concat();
    send_bytes(product, &head).await
}

#[tokio::test]
async fn urls_that_are_no_text_or_no_end_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    for (target, status) in [
        (&b"Patient?name=%FF%FE"[..], "400"),
        (b"Patient?name=%C3%28", "400"),
        (b"Patient?name=%", "400"),
        (b"Patient?name=100%25%", "400"),
        (b"Patient?name=%zz", "400"),
        (b"Patient?name=%u0041", "400"),
        (b"Patient?name=a%00b", "400"),
        (b"Patient?name=%1B%5B2J", "400"),
        (b"Patient?%FF=1", "400"),
        (b"Patient?name=\xff", "400"),
        (b"Patient?name=\xc3\xa4", "200"),
        (b"Patient?name=%25", "200"),
        (b"Patient/%00", "400"),
        (b"Patient/%FF", "404"),
        (b"Patient/..%2f..%2fetc%2fpasswd", "400"),
        (b"Patient/../../etc/passwd", "404"),
        (b"%2e%2e/Patient", "404"),
        (b"Patient/a/_history/99999999999999999999", "404"),
        (b"Patient/a/_history/-1", "404"),
        (b"Patient;drop/1", "404"),
        (b"Patient?name=';DROP TABLE resources;--", "400"),
        (b"Patient?name=';DROP%20TABLE%20resources;--", "200"),
    ] {
        let (line, rest) = get_bytes(&product, target).await;
        let shown = String::from_utf8_lossy(target);
        assert!(line.starts_with(&format!("HTTP/1.1 {status}")), "{shown}: {line} {rest}");
    }
    for length in [40_000, 70_000, 1_000_000, 10_000_000] {
        let target = [b"Patient?name=", vec![b'a'; length].as_slice()].concat();
        let (line, rest) = get_bytes(&product, &target).await;
        let refused = ["HTTP/1.1 414", "HTTP/1.1 431"].iter().any(|status| line.starts_with(status));
        assert!(refused || line.is_empty(), "{length}: {line}");
        assert!(line.is_empty() || rest.contains("OperationOutcome"), "{length}: {rest}");
    }
    product.fhir().get("Patient?_summary=count").await.check(200);
}

#[tokio::test]
async fn requests_that_are_no_http_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let many: String = (0..20_000).map(|number| format!("x-{number}: 1\r\n")).collect();
    for bytes in [
        format!("GET /fhir/Patient HTTP/1.1\r\nHost: a\r\n{many}\r\n").into_bytes(),
        b"\0\0\0\0\r\n\r\n".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"POST /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n".to_vec(),
        b"POST /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"
            .to_vec(),
        vec![b'\xff'; 500_000],
    ] {
        let (line, _) = send_bytes(&product, &bytes).await;
        assert!(line.starts_with("HTTP/1.1 4") || line.is_empty(), "{line}");
    }
    product.fhir().get("metadata").await.check(200);
}

#[tokio::test]
async fn searches_without_sense_are_refused_by_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let digits = "9".repeat(10_000);
    for (search, code) in [
        ("Observation?date=0000-00-00".to_owned(), "value"),
        ("Observation?date=2024-02-30".to_owned(), "value"),
        ("Observation?date=2024-13".to_owned(), "value"),
        ("Observation?date=99999999999".to_owned(), "value"),
        ("Observation?date=-2024".to_owned(), "value"),
        ("Observation?date=2024-01-01T25:00:00Z".to_owned(), "value"),
        ("Observation?date=2024-01-01T10:00:00%2B99:99".to_owned(), "value"),
        ("Observation?date=gegegege2024".to_owned(), "value"),
        (format!("Observation?date={digits}"), "value"),
        (format!("Observation?value-quantity={digits}"), "value"),
        (format!("Observation?value-quantity=0.{digits}"), "value"),
        ("Observation?value-quantity=1e999999".to_owned(), "value"),
        ("Observation?value-quantity=1e99999999999".to_owned(), "value"),
        ("Observation?value-quantity=1e-2147483648".to_owned(), "value"),
        ("Observation?value-quantity=NaN".to_owned(), "value"),
        ("Observation?value-quantity=Infinity".to_owned(), "value"),
        ("Observation?value-quantity=1|2|3|4|5".to_owned(), "value"),
        ("Observation?value-quantity=".to_owned(), "value"),
        ("Observation?subject=Patient/../1".to_owned(), "value"),
        ("Observation?subject=Patient/".to_owned(), "value"),
        (format!("Observation?subject=Patient/{}", "a".repeat(65)), "value"),
        ("Observation?_id=a/b".to_owned(), "value"),
        ("Observation?code=a|b|c|d".to_owned(), "value"),
        (r"Observation?code=a\".to_owned(), "value"),
        ("Observation?code=|".to_owned(), "value"),
        ("Observation?_lastUpdated=now".to_owned(), "value"),
        ("Observation?_cursor=00".to_owned(), "value"),
        (format!("Observation?_cursor={}", "f".repeat(20_000)), "value"),
        ("Observation?_sort=-".to_owned(), "value"),
        ("Observation?_include=:::::".to_owned(), "value"),
        ("Observation?_total=maybe".to_owned(), "value"),
        ("Observation?code:missing=perhaps".to_owned(), "value"),
        ("Observation?=".to_owned(), "not-supported"),
        ("Observation?&&code".to_owned(), "value"),
        ("Observation?...".to_owned(), "not-supported"),
        ("Observation?_has:=1".to_owned(), "not-supported"),
        ("Observation?_has:::=1".to_owned(), "not-supported"),
        ("Observation?subject:Patient:Patient=1".to_owned(), "not-supported"),
        ("Observation?__proto__=1".to_owned(), "not-supported"),
    ] {
        let answer = patiently(fhir.get(&search)).await;
        let shown: String = search.chars().take(60).collect();
        assert!(answer.status == 400, "{shown}: {answer:?}");
        answer.check_outcome(400, code, "");
    }
    // Patterns are no patterns here: they are looked for as they stand.
    for text in ["(a%2B)%2B\\$", "%25%25%25%25", "____", "*", "[a-z]{1,100000}"] {
        fhir.get(&format!("Patient?name:contains={text}")).await.check(200);
    }
}

fn observation(value: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","status":"final","code":{{"text":"x"}},"valueQuantity":{{"value":{value}}}}}"#
    )
}

/// The status of an answer to a body, which is an OperationOutcome unless the body was taken.
async fn post(fhir: &Fhir, path: &str, body: Vec<u8>) -> u16 {
    let answer = patiently(fhir.raw("POST", path, &[], body)).await;
    if answer.status >= 300 {
        assert_eq!(answer.json()["resourceType"], "OperationOutcome", "{answer:?}");
    }
    answer.status
}

#[tokio::test]
async fn bodies_out_of_all_proportion_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let nested = |open: &str, close: &str, depth: usize| {
        format!(r#"{{"resourceType":"Patient","extension":{}1{}}}"#, open.repeat(depth), close.repeat(depth))
    };
    let array = |element: &str, count: usize| {
        let elements = vec![element; count].join(",");
        format!(r#"{{"resourceType":"Patient","name":[{{"given":[{elements}]}}]}}"#)
    };
    let names: String = (0..100_000).map(|number| format!(r#""n{number}","#)).collect();
    for (name, body) in [
        ("deep arrays", nested("[", "]", 1_000_000)),
        ("deep objects", nested(r#"{"a":"#, "}", 300_000)),
        ("deep and open", r#"{"a":"#.repeat(300_000)),
        ("two of a name", r#"{"resourceType":"Patient","active":true,"active":false}"#.to_owned()),
        ("two of a name within", r#"{"resourceType":"Patient","name":[{"family":"a","family":"b"}]}"#.to_owned()),
        ("two of a name, one escaped", r#"{"resourceType":"Patient","active":true,"\u0061ctive":false}"#.to_owned()),
        ("two types", r#"{"resourceType":"Patient","resourceType":"Observation"}"#.to_owned()),
        ("many values to be found by", array(&names[..names.len() - 1], 1)),
        ("a million values", array("1", 1_000_000)),
        ("a million empty arrays", array("[]", 1_000_000)),
        ("half a surrogate", r#"{"resourceType":"Patient","name":[{"family":"\ud800"}]}"#.to_owned()),
        ("a number that is none", observation("1e")),
        ("a number in hexadecimal", observation("0x10")),
        ("a number with a leading zero", observation("01")),
        ("not a number", observation("NaN")),
        ("endless", observation("-Infinity")),
        ("text behind", format!("{}x", observation("1"))),
        ("a second document", observation("1").repeat(2)),
        ("a comment", format!("/* */{}", observation("1"))),
    ] {
        let status = post(&fhir, "Patient", body.into_bytes()).await;
        assert!((400..500).contains(&status), "{name}: {status}");
    }
    for (name, body) in [
        ("a NUL between", b"{\"resourceType\":\"Patient\"\0}".to_vec()),
        ("a NUL within", b"{\"resourceType\":\"Patient\",\"language\":\"a\0b\"}".to_vec()),
        ("not UTF-8", b"{\"resourceType\":\"Patient\",\"language\":\"\xff\"}".to_vec()),
        ("UTF-8 too long", b"{\"resourceType\":\"Patient\",\"language\":\"\xc0\x80\"}".to_vec()),
        ("UTF-16", "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect()),
    ] {
        assert_eq!(post(&fhir, "Patient", body).await, 400, "{name}");
    }
    assert_eq!(fhir.count("Patient").await, 0);
}

#[tokio::test]
async fn numbers_of_any_length_are_kept_or_refused_but_never_bent() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    for value in [&*"9".repeat(10_000), &format!("0.{}", "3".repeat(10_000)), "1e999999", "-1E-999999", "1e99999999999"]
    {
        let answer = patiently(fhir.raw("POST", "Observation", &[], observation(value))).await;
        let shown: String = value.chars().take(20).collect();
        match answer.status {
            201 => {
                let id = answer.json()["id"].as_str().unwrap().to_owned();
                let text = fhir.get(&format!("Observation/{id}")).await.check(200).text;
                assert!(text.contains(&format!(r#""value":{value}}}"#)), "{shown}");
            }
            status => assert!((400..500).contains(&status), "{shown}: {status}"),
        }
    }
    // Whatever was kept, searches by value go on.
    fhir.get("Observation?value-quantity=gt1").await.check(200);
    fhir.get("Observation?_sort=-value-quantity").await.check(200);
}

#[tokio::test]
async fn bundles_that_bite_their_own_tail_end() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let patient = |own: u8, other: u8| {
        let link = json!([{ "other": { "reference": format!("urn:uuid:{other}") }, "type": "seealso" }]);
        json!({ "fullUrl": format!("urn:uuid:{own}"), "request": { "method": "POST", "url": "Patient" },
            "resource": { "resourceType": "Patient", "link": link } })
    };
    // Two that point to each other, and one to itself, are no contradiction.
    let created = fhir.bundle("transaction", &[patient(1, 2), patient(2, 1), patient(3, 3)]).await.check(200).json();
    let location = |entry: usize| {
        let location = created["entry"][entry]["response"]["location"].as_str().unwrap();
        let (path, _version) = location.split_once("/_history").unwrap();
        path.rsplit('/').next().unwrap().to_owned()
    };
    let links =
        async |id: String| fhir.get_json(&format!("Patient/{id}")).await["link"][0]["other"]["reference"].clone();
    for (own, other) in [(0, 1), (1, 0), (2, 2)] {
        assert_eq!(links(location(own)).await, format!("Patient/{}", location(other)));
    }
    // One that depends on what it itself creates finds nothing.
    let conditional = json!([{ "other": { "reference": "Patient?identifier=urn:x|self" }, "type": "seealso" }]);
    let own = json!({ "request": { "method": "POST", "url": "Patient" }, "resource": {
        "resourceType": "Patient", "identifier": [{ "system": "urn:x", "value": "self" }], "link": conditional } });
    fhir.bundle("transaction", &[own]).await.check_outcome(412, "conflict", "finds no resource");
    assert_eq!(fhir.count("Patient").await, 3);
    // Bundles in Bundles are resources like others, up to the depth of all JSON.
    let mut bundle = json!({ "resourceType": "Bundle", "type": "collection" });
    for _ in 0..10 {
        bundle = json!({ "resourceType": "Bundle", "type": "collection", "entry": [{ "resource": bundle }] });
    }
    fhir.raw("POST", "Bundle", &[], bundle.to_string()).await.check(201);
    for _ in 0..60 {
        bundle = json!({ "resourceType": "Bundle", "type": "collection", "entry": [{ "resource": bundle }] });
    }
    assert_eq!(post(&fhir, "Bundle", bundle.to_string().into_bytes()).await, 400);
    let batch: Value = json!({ "request": { "method": "POST", "url": "" }, "resource": { "resourceType": "Bundle", "type": "batch" } });
    let statuses = fhir.bundle("batch", &[batch]).await.check(200).entry_statuses();
    assert!(statuses[0].starts_with('4'), "{statuses:?}");
}

#[tokio::test]
async fn a_body_that_never_ends_keeps_nobody_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let config = format!("{SERVICE}request_timeout = 5000\n");
    let product = Vitalwire::serve(directory.path(), &config);
    let head = "POST /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/fhir+json\r\n\
                Content-Length: 1000\r\nConnection: close\r\n\r\n{";
    let fhir = product.fhir();
    let slow = futures_util::future::join_all((0..50).map(|_| send_bytes(&product, head.as_bytes())));
    let (slow, quick) = tokio::join!(slow, fhir.get("Patient?_summary=count"));
    quick.check(200);
    for (line, rest) in slow {
        assert!(line.starts_with("HTTP/1.1 408") || line.starts_with("HTTP/1.1 503"), "{line} {rest}");
        assert!(rest.contains("OperationOutcome"), "{rest}");
    }
}
