//! Requests as clients and proxies send them at their worst: what can be read in two ways is refused, what breaks off
//! changes nothing, and every answer says what is wrong.

use std::io::Write as _;
use std::time::Duration;

use crate::support::config::SERVICE;
use crate::support::fhir::Fhir;
use crate::support::process::Vitalwire;
use crate::support::wait::until;
use crate::support::wire::{Wire, WireAnswer};

const PATIENCE: Duration = Duration::from_secs(60);

const FHIR_JSON: &str = "application/fhir+json; charset=utf-8";
const PATIENT: &str = r#"{"resourceType":"Patient"}"#;

/// The answer to a request with this first line, these headers and this body.
async fn ask(product: &Vitalwire, line: &str, headers: &[&str], body: &str) -> WireAnswer {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let mut wire = Wire::asking(product, format!("{line}\r\n{headers}\r\n{body}")).await;
    wire.answer().await.unwrap_or_else(|| panic!("no answer to {line}"))
}

/// The answer to a create with these headers.
async fn create(product: &Vitalwire, headers: &[&str], body: &str) -> WireAnswer {
    let headers = [&["Host: localhost", "Content-Type: application/fhir+json"], headers].concat();
    ask(product, "POST /fhir/Patient HTTP/1.1", &headers, body).await
}

fn length(body: &str) -> String {
    format!("Content-Length: {}", body.len())
}

fn chunked(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

#[tokio::test]
async fn a_request_is_for_one_host_beyond_doubt() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let read = "GET /fhir/Patient HTTP/1.1";
    for (line, hosts, status) in [
        (read, &["Host: localhost", "Host: evil.example"][..], 400),
        (read, &["Host: localhost", "Host: localhost"], 400),
        (read, &["Host: evil.example"], 421),
        (read, &["Host: evil.example@localhost"], 400),
        (read, &["Host: localhost/evil.example"], 400),
        (read, &["Host: localhost?evil.example"], 400),
        (read, &["Host: local host"], 400),
        (read, &["Host:"], 400),
        (read, &[], 400),
        ("GET /fhir/Patient HTTP/1.0", &[], 421),
        ("GET http://evil.example/fhir/Patient HTTP/1.1", &["Host: localhost"], 421),
        ("GET http://evil.example@localhost/fhir/Patient HTTP/1.1", &["Host: localhost"], 400),
    ] {
        let answer = ask(&product, line, hosts, "").await;
        answer.check_outcome(status, if status == 400 { "`Host`" } else { "own machine" });
    }
    // What the target says goes before the header; what a proxy says in others counts for nothing.
    let said = ["Host: localhost", "X-Forwarded-Host: evil.example", "Forwarded: host=evil.example"];
    for (line, base) in
        [(read, "http://localhost/"), ("GET http://127.0.0.1:99/fhir/Patient HTTP/1.1", "http://127.0.0.1:99/")]
    {
        let answer = ask(&product, line, &said, "").await;
        assert!(answer.status == 200 && answer.body.contains(&format!("{base}fhir/Patient")), "{answer:?}");
        assert!(!answer.body.contains("evil"), "{answer:?}");
    }
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused_and_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let plain = length(PATIENT);
    for (headers, body, says) in [
        (&["If-None-Exist: identifier=a|1", "If-None-Exist: identifier=a|2", &plain][..], PATIENT, "`if-none-exist`"),
        (&["Content-Type: application/fhir+xml", &plain], PATIENT, "`content-type`"),
        (&["Transfer-Encoding: gzip, chunked"], &chunked(PATIENT), "`Transfer-Encoding`"),
        (&["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], &chunked(PATIENT), "`Transfer-Encoding`"),
        (&["Transfer-Encoding: identity", "Transfer-Encoding: chunked"], &chunked(PATIENT), "`Transfer-Encoding`"),
        (&["Transfer-Encoding: chunked"], "zz\r\n{}\r\n0\r\n\r\n", "broke off"),
        (&["Transfer-Encoding: chunked"], "ffffffffffffffff1\r\n{}\r\n0\r\n\r\n", "broke off"),
        (&["Transfer-Encoding: chunked"], "-1\r\n{}\r\n0\r\n\r\n", "broke off"),
    ] {
        create(&product, headers, body).await.check_outcome(400, says);
    }
    for headers in [
        &["Content-Length: 5", "Content-Length: 26"][..],
        &["Content-Length: +26"],
        &["Content-Length: 26, 26"],
        &["Content-Length: 0x1a"],
        &["Transfer-Encoding: xchunked"],
        &["Transfer-Encoding: chunked, identity"],
        &["Transfer-Encoding : chunked"],
        &["X-Folded: a", " b", &plain],
    ] {
        create(&product, headers, PATIENT).await.check_outcome(400, "framed");
    }
    assert_eq!(product.fhir().count("Patient").await, 0);
    // Whatever stands behind a body that is framed twice is not taken for a part of it.
    let twice = ["Content-Length: 3", "Transfer-Encoding: chunked"];
    let (first, hidden) = (chunked(PATIENT), "GET /fhir/metadata?_elements=status HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(create(&product, &twice, &format!("{first}{hidden}")).await.status, 201);
}

#[tokio::test]
async fn every_path_answers_every_method_with_an_outcome() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    for (line, status, allow) in [
        ("TRACE /fhir/Patient HTTP/1.1", 405, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        ("BREW /fhir/Patient/1 HTTP/1.1", 405, "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"),
        ("DELETE /fhir/Patient/1/_history/1 HTTP/1.1", 405, "GET, HEAD, OPTIONS"),
        ("GET /fhir/a/b/c/d/e HTTP/1.1", 404, ""),
        ("GET /fhir/Patient%2F1 HTTP/1.1", 404, ""),
        ("GET /fhir//Patient HTTP/1.1", 404, ""),
        ("GET /fhir/Patient/. HTTP/1.1", 400, ""),
        ("GET /fhir/Patient/.. HTTP/1.1", 400, ""),
        ("GET /fhir/Patient/%2e%2e HTTP/1.1", 400, ""),
        ("GET /Patient HTTP/1.1", 404, ""),
        ("GET /fhirs HTTP/1.1", 404, ""),
        ("OPTIONS * HTTP/1.1", 404, ""),
        ("CONNECT localhost:80 HTTP/1.1", 404, ""),
    ] {
        let answer = ask(&product, line, &["Host: localhost"], "").await;
        answer.check_outcome(status, "");
        assert_eq!(answer.header("allow"), allow, "{line}");
    }
    for line in ["GET /fhir/Patient/ HTTP/1.1", "GET /fhir/?_type=Patient HTTP/1.1", "GET /fhir/Patient#x HTTP/1.1"] {
        assert_eq!(ask(&product, line, &["Host: localhost"], "").await.status, 200, "{line}");
    }
    let shouted = ["Host: LOCALHOST", "CONTENT-TYPE: APPLICATION/FHIR+JSON; CHARSET=UTF-8", &length(PATIENT)];
    assert_eq!(ask(&product, "POST /fhir/Patient HTTP/1.1", &shouted, PATIENT).await.status, 201);
}

#[tokio::test]
async fn heads_that_no_service_sees_are_answered_with_an_outcome_too() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let many: Vec<String> = (0..101).map(|number| format!("x-{number}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (url, read) = (format!("GET /fhir/Patient?name={} HTTP/1.1", "a".repeat(70_000)), "GET /fhir/Patient HTTP/1.1");
    let long = format!("x-long: {}", "a".repeat(500_000));
    for (line, headers, status, says) in [
        (url.as_str(), &["Host: localhost"][..], 414, "_search"),
        (read, &many, 431, "100"),
        (read, &["Host: localhost", &long], 431, "headers"),
        ("GET", &[], 400, "first line"),
        ("GET /fhir/Patient HTTP/3.0", &["Host: localhost"], 400, "first line"),
        ("G\0T /fhir/Patient HTTP/1.1", &["Host: localhost"], 400, "first line"),
        (read, &["Host: localhost\0"], 400, "a header"),
        (read, &["Host localhost"], 400, "a header"),
    ] {
        let answer = ask(&product, line, headers, "").await;
        answer.check_outcome(status, says);
        assert_eq!(answer.header("content-type"), FHIR_JSON, "{line}");
    }
    // Also behind requests that were answered before, and nothing else is taken for such an answer.
    let mut wire = Wire::asking(&product, "GET /fhir/Patient/1 HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    wire.answer().await.unwrap().check_outcome(404, "");
    wire.send("nonsense\r\n\r\n").await;
    wire.answer().await.unwrap().check_outcome(400, "first line");
    assert!(wire.is_closed().await);
    let content = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    let plain = [("content-type", "text/plain")];
    product.fhir().raw("PUT", "Binary/b", &plain, content).await.check(201);
    let read = ask(&product, "GET /fhir/Binary/b HTTP/1.1", &["Host: localhost"], "").await;
    assert_eq!((read.status, read.body.as_str()), (200, content));
}

#[tokio::test]
async fn http_2_knows_the_same_bounds() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &format!("{SERVICE}body_bytes_max = 100000\n"));
    let fhir = Fhir::over_http_2(format!("{}/fhir", product.http));
    let patient =
        |bytes: usize| format!(r#"{{"resourceType":"Patient","name":[{{"family":"{}"}}]}}"#, "x".repeat(bytes));
    let created = fhir.raw("POST", "Patient", &[], patient(1)).await.check(201);
    assert!(created.header("location").starts_with(&product.http), "{created:?}");
    fhir.get(&format!("Patient?name={}", "a".repeat(30_000))).await.check(200);
    fhir.get(&format!("Patient?name={}", "a".repeat(40_000))).await.check_outcome(414, "too-long", "_search");
    let long = "a".repeat(40_000);
    fhir.raw("GET", "Patient", &[("x-long", &long)], "").await.check_outcome(431, "too-long", "headers");
    fhir.raw("POST", "Patient", &[], patient(100_000)).await.check_outcome(413, "too-long", "100000 bytes");
    let twice = [("if-none-exist", "identifier=a|1"), ("if-none-exist", "identifier=a|2")];
    fhir.raw("POST", "Patient", &twice, PATIENT).await.check_outcome(400, "value", "`if-none-exist`");
    fhir.raw("GET", "Patient", &[("host", "evil.example")], "").await.check(200);
    assert_eq!(fhir.count("Patient").await, 1);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_stored() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let head = "POST /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/fhir+json\r\n";
    for rest in [
        format!("Content-Length: {}\r\n\r\n{PATIENT}", PATIENT.len() + 1),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{PATIENT}\r\n", PATIENT.len()),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{PATIENT}\r\n0\r\n", PATIENT.len()),
    ] {
        let mut wire = Wire::asking(&product, format!("{head}{rest}")).await;
        wire.finish().await;
        wire.answer().await.unwrap().check_outcome(400, "broke off");
        drop(Wire::asking(&product, format!("{head}{rest}")).await);
    }
    assert_eq!(product.fhir().count("Patient").await, 0);
}

#[tokio::test]
async fn a_write_whose_author_has_gone_is_there_as_a_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let entry = |number: usize| {
        format!(
            r#"{{"resource":{{"resourceType":"Patient","identifier":[{{"value":"{number}"}}]}},"request":{{"method":"POST","url":"Patient"}}}}"#
        )
    };
    for number in 0..20 {
        let entries = vec![entry(number); 5].join(",");
        let body = format!(r#"{{"resourceType":"Bundle","type":"transaction","entry":[{entries}]}}"#);
        let head = "POST /fhir HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/fhir+json\r\n";
        drop(Wire::asking(&product, format!("{head}{}\r\n\r\n{body}", length(&body))).await);
    }
    let fhir = product.fhir();
    let counts = futures_util::future::join_all((0..20).map(|number| {
        let fhir = &fhir;
        async move { fhir.count(&format!("Patient?identifier={number}")).await }
    }));
    for count in counts.await {
        assert!(count == 0 || count == 5, "{count} of 5");
    }
}

#[tokio::test]
async fn requests_in_a_row_are_answered_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let get = |id: &str| format!("GET /fhir/Patient/{id} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let put = r#"{"resourceType":"Patient","id":"a"}"#;
    let put = format!(
        "PUT /fhir/Patient/a HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/fhir+json\r\n{}\r\n\r\n{put}",
        length(put)
    );
    let mut wire = Wire::asking(&product, [get("a"), put, get("a"), get(&"a".repeat(65)), get("b")].concat()).await;
    for status in [404, 201, 200, 400, 404] {
        assert_eq!(wire.answer().await.unwrap().status, status);
    }
}

#[tokio::test]
async fn who_asks_first_whether_to_send_is_told_before() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &format!("{SERVICE}body_bytes_max = 100000\n"));
    let head = |length: usize| {
        format!(
            "POST /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/fhir+json\r\n\
             Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let mut small = Wire::asking(&product, head(PATIENT.len())).await;
    assert_eq!(small.answer().await.unwrap().status, 100);
    small.send(PATIENT).await;
    assert_eq!(small.answer().await.unwrap().status, 201);
    let mut large = Wire::asking(&product, head(100_001)).await;
    large.answer().await.unwrap().check_outcome(413, "100000 bytes");
    // Who does not ask, and sends it all the same, hears it too.
    let body = " ".repeat(40 << 20);
    create(&product, &[&length(&body)], &body).await.check_outcome(413, "100000 bytes");
}

#[tokio::test]
async fn bodies_in_memory_have_a_bound_together() {
    let directory = tempfile::tempdir().unwrap();
    let bounds = "body_bytes_max = 1000000\nin_flight_bytes_max = 2000000\n";
    let product = Vitalwire::serve(directory.path(), &format!("{SERVICE}{bounds}"));
    let fhir = product.fhir();
    let body = format!(r#"{{"resourceType":"Patient","name":[{{"family":"{}"}}]}}"#, "x".repeat(900_000));
    let in_flight = async || product.metric("fhir_request_bytes_in_flight").await;
    let (most, rest) = body.split_at(body.len() - 2);
    let head = "POST /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/fhir+json\r\n";
    let mut halted = Vec::new();
    for _ in 0..2 {
        halted.push(Wire::asking(&product, format!("{head}{}\r\n\r\n{most}", length(&body))).await);
    }
    let held = u64::try_from(2 * most.len()).unwrap();
    until(PATIENCE, in_flight, |bytes| *bytes == held).await;
    let refused =
        fhir.raw("POST", "Patient", &[], body.clone()).await.check_outcome(503, "transient", "as much to read");
    assert!(!refused.header("retry-after").is_empty());
    // What it would have read stands in the way of the next request.
    assert_eq!(refused.header("connection"), "close");
    // What counts is the size behind the compression, and small requests have room.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(body.as_bytes()).unwrap();
    let (packed, gzip) = (packed.finish().unwrap(), [("content-encoding", "gzip")]);
    fhir.raw("POST", "Patient", &gzip, packed.clone()).await.check_outcome(503, "transient", "as much to read");
    fhir.raw("POST", "Patient", &[], PATIENT).await.check(201);
    for mut wire in halted {
        wire.send(rest).await;
        assert_eq!(wire.answer().await.unwrap().status, 201);
    }
    // All the room is there again, however often.
    for _ in 0..3 {
        fhir.raw("POST", "Patient", &[], body.clone()).await.check(201);
        fhir.raw("POST", "Patient", &gzip, packed.clone()).await.check(201);
        create(&product, &["Content-Length: 1000001"], "").await.check_outcome(413, "1000000 bytes");
    }
    until(PATIENCE, in_flight, |bytes| *bytes == 0).await;
}
