//! The profiles that come with the program: the vital signs of R4
//! (<https://hl7.org/fhir/R4/observation-vitalsigns.html>), and those that elements of R4 have as their types.

/// The StructureDefinition of a profile as JSON, by its canonical URL without a version: of its differential what binds an
/// instance. `None` for a profile that does not come with the program. All are of version 4.0.1.
pub(crate) fn profile(url: &str) -> Option<&'static str> {
    let marker = format!(r#""url":"{url}","#);
    include_str!("profiles.ndjson").lines().find(|line| line.contains(&marker))
}

/// The version of all of them, that of R4.
pub(crate) const VERSION: &str = "4.0.1";

#[cfg(test)]
mod tests {
    use super::{VERSION, profile};

    #[test]
    fn the_vital_signs_are_known() {
        for name in
            "vitalsigns vitalspanel heartrate resprate bodytemp bp bodyheight bodyweight bmi headcircum oxygensat"
                .split(' ')
        {
            let text = profile(&format!("http://hl7.org/fhir/StructureDefinition/{name}")).unwrap();
            let profile: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!((&profile["type"], &profile["version"]), (&"Observation".into(), &VERSION.into()), "{name}");
        }
        assert!(profile("http://hl7.org/fhir/StructureDefinition/lipidprofile").is_none());
        assert!(profile("").is_none());
    }
}
