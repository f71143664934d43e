//! Resources in XML, in and out: <https://hl7.org/fhir/R4/xml.html>.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::hl7_validator;
use crate::support::process::Vitalwire;

const XML: (&str, &str) = ("content-type", "application/fhir+xml");
const ACCEPT_XML: (&str, &str) = ("accept", "application/fhir+xml");

const OBSERVATION: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Observation xmlns="http://hl7.org/fhir">
  <id value="o"/>
  <text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml"><p>65.0 <b>bpm</b> &lt;</p></div></text>
  <status value="final"/>
  <code><coding><system value="http://loinc.org"/><code value="8867-4"/></coding></code>
  <effectiveDateTime value="2026-01-02T03:04:05.600+01:00"/>
  <valueQuantity><value value="65.0"/><unit value="&quot;beats&quot; &amp; &#10;more"/></valueQuantity>
</Observation>"#;

#[tokio::test]
async fn what_is_sent_in_xml_is_there_in_both_formats() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let created = fhir.raw("PUT", "Observation/o", &[XML, ACCEPT_XML], OBSERVATION).await.check(201);
    assert_eq!(created.header("content-type"), "application/fhir+xml; charset=utf-8");
    let read = fhir.get("Observation/o").await.check(200);
    assert!(read.text.contains(r#""value":65.0,"unit":"\"beats\" & \nmore""#), "{read:?}");
    assert!(
        read.text.contains(r#""div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>65.0 <b>bpm</b> &lt;</p></div>""#)
    );
    let xml = fhir.raw("GET", "Observation/o", &[ACCEPT_XML], "").await.check(200);
    assert!(xml.text.contains(r#"<value value="65.0"/><unit value="&quot;beats&quot; &amp; &#10;more"/>"#), "{xml:?}");
    fhir.raw("PUT", "Observation/o", &[XML], xml.text.clone()).await.check(200);
    let again = fhir.raw("GET", "Observation/o", &[ACCEPT_XML], "").await.check(200);
    let without_version = |text: &str| text.split_once("</meta>").unwrap().1.to_owned();
    assert_eq!(without_version(&again.text), without_version(&xml.text));
    assert_eq!(fhir.ids("Observation?code=http://loinc.org|8867-4&value-quantity=65", "match").await, ["o"]);
}

#[tokio::test]
async fn bundles_outcomes_and_parameters_have_xml_too() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let transaction = r#"<Bundle xmlns="http://hl7.org/fhir"><type value="transaction"/>
        <entry><fullUrl value="urn:uuid:9e3f29b5-0d0c-4a0c-b3f3-111111111111"/><resource><Patient><name><family value="Ümlaut"/></name></Patient></resource>
          <request><method value="POST"/><url value="Patient"/></request></entry>
        <entry><resource><Observation><status value="final"/><code><text value="c"/></code><subject><reference value="urn:uuid:9e3f29b5-0d0c-4a0c-b3f3-111111111111"/></subject></Observation></resource>
          <request><method value="POST"/><url value="Observation"/></request></entry></Bundle>"#;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(transaction.as_bytes()).unwrap();
    let headers = [XML, ACCEPT_XML, ("content-encoding", "gzip")];
    let answer = fhir.raw("POST", "", &headers, packed.finish().unwrap()).await.check(200);
    assert_eq!(answer.text.matches("<status value=\"201 Created\"/>").count(), 2, "{answer:?}");
    let found = fhir.raw("GET", "Observation?subject.family=umlaut&_include=*", &[ACCEPT_XML], "").await.check(200);
    assert!(
        found.text.contains("<family value=\"Ümlaut\"/>") && found.text.contains("<mode value=\"include\"/>"),
        "{found:?}"
    );
    let refused = fhir.raw("GET", "Patient?shoe-size=43", &[ACCEPT_XML], "").await.check(400);
    assert!(
        refused.text.contains("<OperationOutcome xmlns=\"http://hl7.org/fhir\"><issue><severity value=\"error\"/>"),
        "{refused:?}"
    );
    let capabilities = fhir.raw("GET", "metadata", &[ACCEPT_XML], "").await.check(200);
    assert!(capabilities.text.contains("<format value=\"application/fhir+xml\"/>"));
}

#[tokio::test]
async fn what_is_not_the_xml_of_a_resource_is_refused_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let patient = |content: &str| format!("<Patient xmlns=\"http://hl7.org/fhir\">\n  {content}\n</Patient>");
    let bomb = "<!DOCTYPE p [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;\">]><Patient xmlns=\"http://hl7.org/fhir\"><language value=\"&b;\"/></Patient>";
    for (body, says) in [
        (patient("<shoeSize value=\"43\"/>"), "line 2, column 3: `Patient` has no element `shoeSize`"),
        (patient("<active value=\"perhaps\"/>"), "line 2, column 3"),
        (patient("<active value=\"true\">"), "not well-formed"),
        (patient("<birthDate value=\"1970\"/><active value=\"true\"/>"), "order"),
        (patient("<text><status value=\"empty\"/><div>x</div></text>"), "narrative"),
        (bomb.to_owned(), "document type"),
        ("<Patient><active value=\"true\"/></Patient>".to_owned(), "namespace"),
        ("{\"resourceType\":\"Patient\"}".to_owned(), "line 1, column 1"),
        (String::new(), "no element"),
    ] {
        fhir.raw("POST", "Patient", &[XML], body).await.check_outcome(400, "structure", says);
    }
    let other = "<Patient xmlns=\"http://hl7.org/fhir\"><active value=\"true\"/></Patient>";
    fhir.raw("POST", "Observation", &[XML], other).await.check_outcome(400, "invariant", "Observation");
    assert_eq!(fhir.count("Patient").await, 0);
}

#[tokio::test]
async fn a_patch_of_paths_may_be_xml() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    fhir.put(&json!({ "resourceType": "Patient", "id": "p", "active": true })).await.check(201);
    let patch = r#"<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="operation"/>
        <part><name value="type"/><valueCode value="replace"/></part>
        <part><name value="path"/><valueString value="Patient.active"/></part>
        <part><name value="value"/><valueBoolean value="false"/></part></parameter></Parameters>"#;
    fhir.raw("PATCH", "Patient/p", &[XML], patch).await.check(200);
    assert_eq!(fhir.get("Patient/p").await.json()["active"], false);
    let statement = fhir.get("metadata").await.check(200).json();
    for format in ["application/fhir+xml", "application/fhir+json", "application/json-patch+json"] {
        assert!(statement["patchFormat"].as_array().unwrap().contains(&json!(format)), "{format}");
    }
}

#[tokio::test]
async fn a_search_as_xml_keeps_its_pages() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    for number in 0..3 {
        fhir.put(&json!({ "resourceType": "Patient", "id": format!("p{number}") })).await.check(201);
    }
    let page = fhir.get("Patient?_count=2&_format=xml").await.check(200);
    let next = page.text.split_once("<relation value=\"next\"/><url value=\"").unwrap().1.split_once('"').unwrap().0;
    let rest = fhir.get(&next.replace("&amp;", "&")).await.check(200);
    assert_eq!(rest.text.matches("<fullUrl").count(), 1, "{rest:?}");
}

#[tokio::test]
async fn what_has_no_xml_is_named_and_hides_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), &format!("{SERVICE}[fhir]\nvalidation = \"json\"\n"));
    let fhir = product.fhir();
    fhir.put(&json!({ "resourceType": "Patient", "id": "a", "name": [{ "family": "Readable" }] })).await.check(201);
    fhir.put(&json!({ "resourceType": "Patient", "id": "b", "nickname": "Unwritable" })).await.check(201);
    let get = |url: &str| json!({ "request": { "method": "GET", "url": url } });
    let batch = json!({ "resourceType": "Bundle", "type": "batch", "entry": [get("Patient/a"), get("Patient/b")] });
    let accept_xml = [ACCEPT_XML, ("content-type", "application/fhir+json")];
    let search = fhir.raw("GET", "Patient", &[ACCEPT_XML], "").await.check(200);
    assert!(
        search.text.contains("<mode value=\"outcome\"/>") && search.text.contains("<total value=\"2\"/>"),
        "{search:?}"
    );
    let history = fhir.raw("GET", "Patient/_history", &[ACCEPT_XML], "").await.check(200);
    let answers = fhir.raw("POST", "", &accept_xml, batch.to_string()).await.check(200);
    for answer in [search, history, answers] {
        let text = &answer.text;
        assert!(text.contains("Readable") && !text.contains("Unwritable"), "{answer:?}");
        assert!(text.contains("<OperationOutcome") || text.contains("<outcome>"), "{answer:?}");
        assert!(text.contains("`Patient/b` is left out") && text.contains("nickname"), "{answer:?}");
    }
    // By itself there is nothing to show but why; in JSON it is there.
    let alone = fhir.raw("GET", "Patient/b", &[ACCEPT_XML], "").await.check(406);
    assert!(alone.text.contains("nickname"), "{alone:?}");
    assert_eq!(fhir.get("Patient/b").await.check(200).json()["nickname"], "Unwritable");
    // A Bundle that somebody stored is given as it is, or not at all.
    let stored = json!({ "resourceType": "Bundle", "id": "s", "type": "searchset", "entry": [
        { "search": { "mode": "match" }, "resource": { "resourceType": "Patient", "id": "c", "nickname": "x" } }] });
    fhir.put(&stored).await.check(201);
    fhir.raw("GET", "Bundle/s", &[ACCEPT_XML], "").await.check(406);
}

/// The members of a resource but its `meta`, whose instants parsers write in their own time zone.
fn content(mut resource: Value) -> Value {
    resource.as_object_mut().unwrap().remove("meta");
    resource
}

#[tokio::test]
async fn the_official_parsers_read_in_our_xml_what_is_in_our_json() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    let division = "<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>65.0 <b>bpm</b></p></div>";
    let resources = [
        json!({
            "resourceType": "Patient", "id": "a", "language": "de",
            "text": { "status": "generated", "div": division },
            "contained": [{ "resourceType": "Organization", "id": "o", "name": "A & \"B\" <C>" }],
            "extension": [{ "url": "http://x/e", "extension": [{ "url": "f", "valueDecimal": 1.5 }] }],
            "identifier": [{ "id": "i1", "system": "urn:s", "value": "1" }],
            "active": true,
            "name": [{ "family": "Müller 李", "given": ["A", null], "_given": [null, { "extension": [{ "url": "http://x/g", "valueBoolean": false }] }] }],
            "birthDate": "1970-01", "_birthDate": { "extension": [{ "url": "http://x/b", "valueTime": "12:00:00" }] },
            "multipleBirthInteger": 2, "managingOrganization": { "reference": "#o" },
        }),
        json!({
            "resourceType": "Observation", "id": "b", "status": "final", "code": { "text": "line\nbreak\ttab" },
            "effectivePeriod": { "start": "2026-01-02T03:04:05+01:00" },
            "valueSampledData": { "origin": { "value": 0 }, "period": 10, "dimensions": 1, "data": "1 2 E" },
            "component": [{ "code": { "text": "c" }, "valueQuantity": { "value": 65.00, "comparator": "<" } }],
        }),
        json!({
            "resourceType": "Questionnaire", "id": "c", "status": "draft",
            "item": [{ "linkId": "1", "type": "group", "item": [{ "linkId": "1.1", "type": "choice", "answerOption": [{ "valueCoding": { "code": "x" } }, { "valueInteger": 3 }] }] }],
        }),
    ];
    for resource in resources {
        fhir.put(&resource).await.check(201);
        let path = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        let xml = fhir.raw("GET", &path, &[ACCEPT_XML], "").await.check(200).text;
        assert_eq!(content(hl7_validator::json_of(&xml)), content(fhir.get(&path).await.json()), "{xml}");
    }
}
