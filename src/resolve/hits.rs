//! What a search found, checked against what was asked.
//!
//! A server that does not know a parameter may ignore it and answer with everybody. So a resource counts only when it
//! carries the identifier that was searched.

use serde_json::{Map, Value};

/// A page of a search.
#[derive(Debug, Default)]
pub(super) struct SearchPage {
    /// The resources that carry the identifier.
    pub(super) hits: Vec<Hit>,
    /// Where the next page is (ID-18).
    pub(super) next: Option<String>,
}

/// A resource that carries the identifier.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hit {
    /// Its logical id.
    pub(super) id: String,
    /// Its version, when the server tells.
    pub(super) version: Option<String>,
    /// All of it.
    pub(super) resource: Map<String, Value>,
}

/// An identifier as it is searched; without a system it matches any.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Token {
    pub(super) resource_type: &'static str,
    pub(super) system: Option<String>,
    pub(super) value: String,
}

impl Token {
    fn is_carried_by(&self, resource: &Map<String, Value>) -> bool {
        let identifiers = resource.get("identifier").and_then(Value::as_array);
        let fits = |identifier: &Value| {
            let text = |member| identifier.get(member).and_then(Value::as_str);
            let system_fits = self.system.is_none() || text("system") == self.system.as_deref();
            system_fits && text("value") == Some(self.value.as_str())
        };
        identifiers.is_some_and(|identifiers| identifiers.iter().any(fits))
    }
}

/// Reads a searchset. What is not one has no hits; `None` says so, so that nothing is created for want of an answer.
pub(super) fn read(searchset: &[u8], token: &Token) -> Option<SearchPage> {
    let Ok(Value::Object(mut bundle)) = serde_json::from_slice(searchset) else { return None };
    if bundle.get("resourceType").and_then(Value::as_str) != Some("Bundle") {
        return None;
    }
    let entries = match bundle.remove("entry") {
        Some(Value::Array(entries)) => entries,
        None => Vec::new(),
        Some(_) => return None,
    };
    let hits = entries.into_iter().filter_map(|entry| hit(entry, token)).collect();
    Some(SearchPage { hits, next: next(&bundle) })
}

fn hit(mut entry: Value, token: &Token) -> Option<Hit> {
    let Value::Object(resource) = entry.get_mut("resource")?.take() else { return None };
    let is_type = resource.get("resourceType").and_then(Value::as_str) == Some(token.resource_type);
    if !is_type || !token.is_carried_by(&resource) {
        return None;
    }
    let id = resource.get("id")?.as_str()?.to_owned();
    let meta = resource.get("meta");
    let version = meta.and_then(|meta| meta.get("versionId")).and_then(Value::as_str).map(str::to_owned);
    Some(Hit { id, version, resource })
}

fn next(bundle: &Map<String, Value>) -> Option<String> {
    let links = bundle.get("link")?.as_array()?;
    let link = links.iter().find(|link| link.get("relation").and_then(Value::as_str) == Some("next"))?;
    link.get("url")?.as_str().map(str::to_owned)
}

/// To whom a Device belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// It has no patient.
    None,
    /// Logical id of its patient.
    Patient(String),
    /// It has one, but in a form that names no Patient of this server (ID-7).
    Unusable,
}

/// The `patient` of a Device (ID-7): `Patient/<id>`, also with a version, also absolute if it is below `base_url`. The
/// Patient of another server is not the one with the same id here.
pub(super) fn owner(device: &Map<String, Value>, base_url: &str) -> Owner {
    let Some(patient) = device.get("patient") else { return Owner::None };
    let Some(reference) = patient.get("reference").and_then(Value::as_str) else { return Owner::Unusable };
    let below_base = reference.strip_prefix(base_url.trim_end_matches('/')).map(|rest| rest.trim_start_matches('/'));
    let parts: Vec<&str> = below_base.unwrap_or(reference).split('/').collect();
    let (resource_type, id) = match parts.as_slice() {
        [resource_type, id, "_history", _] | [resource_type, id] => (resource_type, id),
        _ => return Owner::Unusable,
    };
    let allowed = |character: char| character.is_alphanumeric() || "_.-~#".contains(character);
    if resource_type.eq_ignore_ascii_case("Patient") && !id.is_empty() && id.chars().all(allowed) {
        Owner::Patient((*id).to_owned())
    } else {
        Owner::Unusable
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Owner, Token, owner, read};

    #[track_caller]
    fn check(patient: &serde_json::Value, expected: Owner) {
        assert_eq!(owner(json!({"patient": patient}).as_object().unwrap(), "http://x/fhir/"), expected);
    }

    #[test]
    fn id_7_absolute_and_versioned_references_are_usable() {
        for reference in ["Patient/p", "patient/p", "http://x/fhir/Patient/p", "Patient/p/_history/3"] {
            check(&json!({"reference": reference}), Owner::Patient("p".to_owned()));
        }
        assert_eq!(owner(&serde_json::Map::new(), "http://x/fhir"), Owner::None);
    }

    #[test]
    fn id_7_other_references_are_not() {
        for patient in [
            json!({"reference": "Group/p"}),
            json!({"reference": "Patient/"}),
            json!({"reference": "http://elsewhere/fhir/Patient/p"}),
            json!({"display": "Eve"}),
        ] {
            check(&patient, Owner::Unusable);
        }
    }

    #[test]
    fn resources_without_the_identifier_searched_are_no_hits() {
        let token = Token { resource_type: "Device", system: Some("urn:s".to_owned()), value: "d".to_owned() };
        let device = |system, value| json!({"resource": {"resourceType": "Device", "id": "x", "identifier": [{"system": system, "value": value}]}});
        let bundle = json!({"resourceType": "Bundle", "link": [{"relation": "next", "url": "n"}],
            "entry": [device("urn:s", "d"), device("urn:t", "d"), device("urn:s", "dd")]});
        let page = read(bundle.to_string().as_bytes(), &token).unwrap();
        assert_eq!((page.hits.len(), page.next.as_deref()), (1, Some("n")));
        assert!(read(br#"{"resourceType":"OperationOutcome"}"#, &token).is_none());
    }
}
