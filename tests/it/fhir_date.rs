//! Date parameters, <https://hl7.org/fhir/R4/search.html#date>, row by row of the specification's table, and their order.

use serde_json::{Value, json};

use crate::support::config::SERVICE;
use crate::support::process::Vitalwire;

fn stored() -> Vec<Value> {
    let period = |start: &str, end: &str| {
        let ends = [("start", start), ("end", end)].into_iter().filter(|(_, text)| !text.is_empty());
        ("effectivePeriod", Value::Object(ends.map(|(name, text)| (name.to_owned(), text.into())).collect()))
    };
    let at = |text: &str| ("effectiveDateTime", Value::from(text));
    [
        ("midnight", at("2013-01-14T00:00:00Z")),
        ("ten", at("2013-01-14T10:00:00Z")),
        ("next", at("2013-01-15T00:00:00Z")),
        ("day", at("2013-01-14")),
        ("east", at("2013-01-15T01:00:00+02:00")),
        ("from", period("2013-01-21", "")),
        ("since", period("2013-03-15", "")),
        ("until", period("", "2013-01-13")),
        ("event", ("effectiveTiming", json!({ "event": ["2013-01-10", "2013-01-12"] }))),
        ("instant", ("effectiveInstant", "2013-01-14T23:59:59.999Z".into())),
    ]
    .into_iter()
    .map(|(id, (name, value))| {
        json!({ "resourceType": "Observation", "id": id, "status": "final", "code": { "text": "x" }, name: value })
    })
    .collect()
}

const FOUND: &[(&str, &str)] = &[
    ("eq2013-01-14", "midnight ten day east instant"),
    ("ne2013-01-14", "next from since until event"),
    ("lt2013-01-14T10:00", "midnight day until event"),
    ("gt2013-01-14T10:00", "next day east from since instant"),
    ("ge2013-03-14", "from since"),
    ("le2013-03-14", "midnight ten next day east from until event instant"),
    ("sa2013-03-14", "since"),
    ("eb2013-03-14", "midnight ten next day east until event instant"),
    ("2013", "midnight ten next day east event instant"),
    ("ge2013-01", "midnight ten next day east from since event instant"),
    ("ge2013-01-01", "midnight ten next day east from since until event instant"),
    ("gt2013-01", "from since"),
    ("sa2013-01", "since"),
    ("2013-01-15T01:00%2B02:00", "east"),
    ("2013-01-14T23:00Z", "east"),
    ("ge2013-01-10&date=le2013-01-12", "until event"),
];

#[tokio::test]
async fn a_date_means_what_the_table_of_the_specification_says() {
    let directory = tempfile::tempdir().unwrap();
    let product = Vitalwire::serve(directory.path(), SERVICE);
    let fhir = product.fhir();
    for resource in stored() {
        fhir.put(&resource).await.check(201);
    }
    for (value, expected) in FOUND {
        let search = format!("Observation?date={value}");
        assert_eq!(fhir.ids(&search, "match").await.join(" "), *expected, "{search}");
    }
    // By instant, whatever the offset; several keys.
    for (order, expected) in [
        ("date,_id", "until event day midnight ten east instant next from since"),
        ("-date,-_id", "since from next instant day east ten midnight until event"),
        ("code,-date,_id", "from since next day instant east ten midnight until event"),
    ] {
        assert_eq!(fhir.ids(&format!("Observation?_sort={order}"), "match").await.join(" "), expected, "{order}");
    }
    // A clock was set back while the device measured.
    let period = json!({ "start": "2014-05-02T10:00:05Z", "end": "2014-05-02T10:00:00Z" });
    let backwards = json!({ "resourceType": "Observation", "id": "backwards", "status": "final", "code": { "text": "x" },
        "effectivePeriod": period });
    fhir.put(&backwards).await.check(201);
    for search in ["date=2014-05-02", "date=gt2014-05-02T10:00:02Z&date=lt2014-05-02T10:00:03Z"] {
        let found = fhir.ids(&format!("Observation?{search}&_id=backwards"), "match").await;
        assert_eq!(found, ["backwards"], "{search}");
    }
    for value in ["", "2013-1-14", "2013-01-14T10", "2013-02-30", "14.01.2013", "gt", "2013-01-14T24:00"] {
        fhir.get(&format!("Observation?date={value}")).await.check_outcome(400, "value", "a date");
    }
}
