//! To whom a Device belongs, as its `patient` says (ID-7).

use serde_json::{Map, Value};

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

    use super::{Owner, owner};

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
}
