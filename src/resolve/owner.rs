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

/// The `patient` of a Device (ID-7): `Patient/<id>`, also with a version, also absolute if it is below one of the bases of
/// this server. The Patient of another server is not the one with the same id here.
pub(super) fn owner(device: &Map<String, Value>, base_urls: &[&str]) -> Owner {
    let Some(patient) = device.get("patient") else { return Owner::None };
    let Some(reference) = patient.get("reference").and_then(Value::as_str) else { return Owner::Unusable };
    let below = |base: &&str| reference.strip_prefix(base.trim_end_matches('/'))?.strip_prefix('/');
    let parts: Vec<&str> = base_urls.iter().find_map(below).unwrap_or(reference).split('/').collect();
    let (resource_type, id) = match parts.as_slice() {
        [resource_type, id, "_history", _] | [resource_type, id] => (resource_type, id),
        _ => return Owner::Unusable,
    };
    let allowed = |character: char| character.is_ascii_alphanumeric() || "_.-~#".contains(character);
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
        let bases = ["http://x/fhir/", "https://public.example"];
        assert_eq!(owner(json!({"patient": patient}).as_object().unwrap(), &bases), expected, "{patient}");
    }

    #[test]
    fn id_7_absolute_and_versioned_references_are_usable() {
        for reference in [
            "Patient/p",
            "patient/p",
            "PATIENT/p",
            "http://x/fhir/Patient/p",
            "https://public.example/Patient/p",
            "Patient/p/_history/3",
            "http://x/fhir/Patient/p/_history/3",
        ] {
            check(&json!({"reference": reference}), Owner::Patient("p".to_owned()));
        }
        assert_eq!(owner(&serde_json::Map::new(), &["http://x/fhir"]), Owner::None);
    }

    #[test]
    fn id_7_an_id_is_made_of_letters_digits_and_five_signs() {
        check(&json!({"reference": "Patient/aZ0_.-~#"}), Owner::Patient("aZ0_.-~#".to_owned()));
        for character in ["é", " ", "?", "|", "%", ":", "\u{130}"] {
            check(&json!({"reference": format!("Patient/p{character}")}), Owner::Unusable);
        }
    }

    #[test]
    fn id_7_other_references_are_not() {
        for patient in [
            json!({"reference": "Group/p"}),
            json!({"reference": "Patient/"}),
            json!({"reference": "http://elsewhere/fhir/Patient/p"}),
            json!({"reference": "http://x/fhirPatient/p"}),
            json!({"reference": "http://x/fhir/elsewhere/Patient/p"}),
            json!({"reference": "/Patient/p"}),
            json!({"reference": "Patient/p/_history/3/x"}),
            json!({"reference": "urn:uuid:0b9e9d4e-2b61-4b0a-8c0c-0a6f1d4cf5a1"}),
            json!({"reference": "#p"}),
            json!({"reference": 7}),
            json!("Patient/p"),
            json!(null),
            json!({"display": "Eve"}),
        ] {
            check(&patient, Owner::Unusable);
        }
    }
}
