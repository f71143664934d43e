//! Looking for the resources of targets (OB-1, OB-2).
//!
//! Each is read under the id that this product gives it, because the index of a server may lag behind its resources, and
//! searched by its identifier, because one that was imported has another id. What a search finds counts only with exactly
//! that identifier. What has come to belong to another patient is not added to (P5).

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::lane::{Shared, refusal};
use super::target::{Known, Stored, Target};
use crate::client::GivenUp;
use crate::client::bundle::{Answer, Request};
use crate::client::search::{Hit, Searched, Token};
use crate::convert::identifier::Identifier;
use crate::convert::reading::ConversionFailure;

impl Shared {
    /// Finds out for each target whether there is a resource, or why that cannot be said.
    pub(super) async fn find(
        &self,
        targets: Vec<Target>,
    ) -> Result<Vec<(Target, Result<Stored, ConversionFailure>)>, GivenUp> {
        let reads: Vec<Request> = targets.iter().map(|target| Request::Get { url: target.url() }).collect();
        let tokens: Vec<Token> = targets.iter().filter_map(Target::token).collect();
        let (reads, searched) = self.link.read_and_search(&reads, &tokens).await?;
        let mut searched = searched.into_iter();
        let found = targets.into_iter().zip(reads).map(|(target, read)| {
            let searched = if target.kind.is_searched { searched.next() } else { None };
            let stored = stored(&target.identifier, read, searched.unwrap_or(Ok(Vec::new())));
            let stored = stored.and_then(|stored| of_same_patient(stored, target.patient_id()));
            (target, stored)
        });
        Ok(found.collect())
    }
}

/// What a read and a search together say.
fn stored(identifier: &Identifier, read: Answer, searched: Searched) -> Result<Stored, ConversionFailure> {
    // By id, so that the same resource read and searched, or on two pages, is one.
    let mut found: BTreeMap<String, Known> = BTreeMap::new();
    let hits = searched.map_err(|answer| refusal(&answer))?;
    for hit in hits.into_iter().filter(|hit| has_exactly(identifier, hit)) {
        found.insert(hit.id.clone(), known_from(hit));
    }
    found.extend(at_own_id(identifier, read)?.map(|known| (known.id.clone(), known)));
    if found.len() > 1 {
        let ids: Vec<String> = found.into_keys().collect();
        return Err(ConversionFailure {
            code: "MultipleObservationFoundException",
            reason: format!(
                "several resources have the identifier of the readings, with the ids {}; delete all but one",
                ids.join(", ")
            ),
            reading: None,
        });
    }
    Ok(found.into_values().next().map_or(Stored::Absent, Stored::Present))
}

/// What is under the id that this product gives. It counts whatever its identifier has become: the id says the same.
fn at_own_id(identifier: &Identifier, read: Answer) -> Result<Option<Known>, ConversionFailure> {
    match (read.status, read.resource) {
        (200, Some(body)) => {
            let etag = read.etag.or_else(|| etag_in(&body));
            Ok(Some(Known { id: identifier.id.clone(), body, etag }))
        }
        (404 | 410, _) => Ok(None),
        (status, resource) => Err(refusal(&Answer { status, resource, etag: read.etag, diagnosis: read.diagnosis })),
    }
}

/// Refuses what somebody has moved to another patient since: readings of this one do not follow it there.
///
/// Only a relative reference says so for certain. A server may have several addresses.
fn of_same_patient(stored: Stored, patient_id: &str) -> Result<Stored, ConversionFailure> {
    #[derive(Deserialize)]
    struct Resource {
        subject: Option<Reference>,
    }
    #[derive(Deserialize)]
    struct Reference {
        reference: Option<String>,
    }
    let Stored::Present(known) = &stored else { return Ok(stored) };
    let subject = serde_json::from_slice::<Resource>(&known.body).ok().and_then(|resource| resource.subject);
    let reference = subject.and_then(|subject| subject.reference).unwrap_or_default();
    match reference.strip_prefix("Patient/").and_then(|rest| rest.split('/').next()) {
        Some(id) if id != patient_id => Err(ConversionFailure {
            code: "PatientDeviceMismatchException",
            reason: format!(
                "the stored resource with the id {} belongs to another Patient than the device of the readings",
                known.id
            ),
            reading: None,
        }),
        Some(_) | None => Ok(stored),
    }
}

/// Whether one of its identifiers has this system and value and nothing else.
fn has_exactly(identifier: &Identifier, hit: &Hit) -> bool {
    let is = |one: &Value, member, text: &str| one.get(member).and_then(Value::as_str) == Some(text);
    let is_exact = |one: &Value| {
        let has_no_more = one.as_object().is_some_and(|members| members.len() == 2);
        has_no_more && is(one, "system", &identifier.system) && is(one, "value", &identifier.value)
    };
    match hit.resource.get("identifier") {
        Some(Value::Array(identifiers)) => identifiers.iter().any(is_exact),
        Some(one) => is_exact(one),
        None => false,
    }
}

fn known_from(hit: Hit) -> Known {
    let etag = hit.version.map(|version| format!("W/\"{version}\""));
    Known { id: hit.id, body: Bytes::from(Value::Object(hit.resource).to_string()), etag }
}

/// The version a resource names, as an entity tag.
fn etag_in(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Resource {
        meta: Meta,
    }
    #[derive(Deserialize)]
    struct Meta {
        #[serde(rename = "versionId")]
        version_id: String,
    }
    let resource: Resource = serde_json::from_slice(body).ok()?;
    Some(format!("W/\"{}\"", resource.meta.version_id))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::{Known, Stored, of_same_patient, stored};
    use crate::client::bundle::Answer;
    use crate::client::search::Hit;
    use crate::convert::identifier::Identifier;

    fn read(status: u16, etag: Option<&str>, body: &'static str) -> Answer {
        let resource = Some(Bytes::from_static(body.as_bytes()));
        Answer { status, etag: etag.map(str::to_owned), resource, diagnosis: None }
    }

    fn hit(id: &str, identifier: &Value) -> Hit {
        let resource = json!({"id": id, "identifier": [identifier]}).as_object().unwrap().clone();
        Hit { id: id.to_owned(), version: Some("2".to_owned()), resource }
    }

    /// What is found in short: id and entity tag, `absent`, or the error code.
    #[track_caller]
    fn check(read: Answer, hits: Result<Vec<Hit>, Answer>, expected: &str) {
        let identifier = Identifier { system: "urn:s".into(), value: "v".to_owned(), id: "own".to_owned() };
        let described = match stored(&identifier, read, hits) {
            Ok(Stored::Present(Known { id, etag, .. })) => format!("{id} {}", etag.unwrap_or_default()),
            Ok(Stored::Absent) => "absent".to_owned(),
            Ok(Stored::Unknown) => "unknown".to_owned(),
            Err(failure) => failure.code.to_owned(),
        };
        assert_eq!(described.trim(), expected);
    }

    fn absent() -> Answer {
        read(404, None, "{}")
    }

    fn exact() -> Value {
        json!({"system": "urn:s", "value": "v"})
    }

    #[test]
    fn the_version_comes_from_the_tag_or_from_the_resource() {
        let body = r#"{"meta":{"versionId":"7"}}"#;
        check(read(200, Some("W/\"3\""), body), Ok(vec![]), "own W/\"3\"");
        check(read(200, None, body), Ok(vec![]), "own W/\"7\"");
        check(read(200, None, "{}"), Ok(vec![]), "own");
    }

    #[test]
    fn ob_5_what_is_gone_is_absent() {
        check(absent(), Ok(vec![]), "absent");
        check(read(410, None, "{}"), Ok(vec![]), "absent");
        check(read(400, None, "{}"), Ok(vec![]), "FHIRServiceErrorBadRequest");
    }

    #[test]
    fn ob_1_one_under_another_id_is_found_by_its_identifier() {
        check(absent(), Ok(vec![hit("x", &exact())]), "x W/\"2\"");
    }

    #[test]
    fn ob_1_only_exactly_the_identifier_counts() {
        for other in [
            json!({"system": "urn:s", "value": "v2"}),
            json!({"system": "urn:t", "value": "v"}),
            json!({"value": "v"}),
            json!({"system": "urn:s", "value": "v", "use": "old"}),
        ] {
            check(absent(), Ok(vec![hit("x", &other)]), "absent");
        }
    }

    #[test]
    fn ob_1_the_same_resource_read_and_searched_is_one() {
        let own = || hit("own", &exact());
        check(read(200, Some("W/\"3\""), "{}"), Ok(vec![own()]), "own W/\"3\"");
        check(absent(), Ok(vec![own(), own()]), "own W/\"2\"");
    }

    #[test]
    fn ob_2_several_are_refused() {
        check(absent(), Ok(vec![hit("x", &exact()), hit("y", &exact())]), "MultipleObservationFoundException");
        check(read(200, None, "{}"), Ok(vec![hit("x", &exact())]), "MultipleObservationFoundException");
    }

    #[test]
    fn p_5_what_belongs_to_another_patient_is_refused() {
        for (subject, expected) in [
            (r#"{"subject":{"reference":"Patient/p"}}"#, true),
            (r#"{"subject":{"reference":"Patient/p/_history/3"}}"#, true),
            (r#"{"subject":{"reference":"http://other.name/fhir/Patient/q"}}"#, true),
            (r#"{"subject":{"reference":"Group/q"}}"#, true),
            (r#"{"subject":{"display":"Eve"}}"#, true),
            ("{}", true),
            (r#"{"subject":{"reference":"Patient/q"}}"#, false),
            (r#"{"subject":{"reference":"Patient/q/_history/3"}}"#, false),
        ] {
            let body = Bytes::from_static(subject.as_bytes());
            let stored = Stored::Present(Known { id: "x".to_owned(), body, etag: None });
            assert_eq!(of_same_patient(stored, "p").is_ok(), expected, "{subject}");
        }
    }

    #[test]
    fn a_server_that_does_not_search_is_not_taken_for_an_empty_one() {
        check(absent(), Err(read(400, None, "{}")), "FHIRServiceErrorBadRequest");
    }
}
