//! Mappings that come with the program, named in a configuration as `shipped:heart-rate/device.json`.

/// What their names begin with.
const PREFIX: &str = "shipped:";

const TEXTS: [(&str, &str); 8] = [
    ("demo/device.json", include_str!("../demo/data/device.json")),
    ("demo/fhir.json", include_str!("../demo/data/fhir.json")),
    ("heart-rate/device.json", include_str!("../../templates/heart-rate/device.json")),
    ("heart-rate/fhir.json", include_str!("../../templates/heart-rate/fhir.json")),
    ("heart-rate-hourly/device.json", include_str!("../../templates/heart-rate-hourly/device.json")),
    ("heart-rate-hourly/fhir.json", include_str!("../../templates/heart-rate-hourly/fhir.json")),
    ("holter-ecg/device.json", include_str!("../../templates/holter-ecg/device.json")),
    ("holter-ecg/fhir.json", include_str!("../../templates/holter-ecg/fhir.json")),
];

/// The text of the shipped mapping of this name, `None` when it names a file instead.
pub(crate) fn text(name: &str) -> Option<&'static str> {
    let path = name.strip_prefix(PREFIX)?;
    TEXTS.iter().find_map(|(known, text)| (*known == path).then_some(*text))
}
