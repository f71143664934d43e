//! The data of a measurement: patients, their devices, and readings of ten vital signs in turn. Everything follows from
//! a number, so that every run and every server gets the same.

/// Patients; each has one device.
pub(super) const PATIENTS: u64 = 200;
/// Entries of a Bundle.
pub(super) const BUNDLE_ENTRIES: u64 = 100;
/// The system of the identifiers of readings.
pub(super) const IDENTIFIERS: &str = "urn:vitalwire:bench";
/// Seconds between one reading and the next of all.
const SECONDS_BETWEEN: u64 = 7;
/// 2024-01-01T00:00:00Z.
const FIRST_SECOND: i64 = 1_704_067_200;

/// A vital sign: LOINC code, its display, UCUM unit, and the range of readings in tenths.
pub(super) struct Sign {
    /// LOINC code.
    pub(super) code: &'static str,
    display: &'static str,
    /// UCUM unit.
    pub(super) unit: &'static str,
    lowest: u64,
    highest: u64,
}

/// What is measured, each as often as the others.
pub(super) static SIGNS: [Sign; 10] = [
    sign("8867-4", "Heart rate", "/min", 450, 1_450),
    sign("9279-1", "Respiratory rate", "/min", 100, 300),
    sign("59408-5", "Oxygen saturation in Arterial blood by Pulse oximetry", "%", 880, 1_000),
    sign("8310-5", "Body temperature", "Cel", 355, 400),
    sign("29463-7", "Body weight", "kg", 450, 1_200),
    sign("39156-5", "Body mass index (BMI) [Ratio]", "kg/m2", 180, 350),
    sign("8480-6", "Systolic blood pressure", "mm[Hg]", 900, 1_800),
    sign("8462-4", "Diastolic blood pressure", "mm[Hg]", 500, 1_100),
    sign("15074-8", "Glucose [Moles/volume] in Blood", "mmol/L", 35, 120),
    sign("8302-2", "Body height", "cm", 1_450, 2_000),
];

const fn sign(code: &'static str, display: &'static str, unit: &'static str, lowest: u64, highest: u64) -> Sign {
    Sign { code, display, unit, lowest, highest }
}

impl Sign {
    /// The middle of the range of readings, whole.
    pub(super) fn middle(&self) -> u64 {
        (self.lowest + self.highest) / 20
    }
}

/// The family name of a patient.
pub(super) fn family(patient: u64) -> String {
    format!("Bench{patient:04}")
}

/// Transactions that store all patients and devices, under ids that can be told from their numbers.
pub(super) fn registry() -> Vec<String> {
    let entries: Vec<String> = (0..PATIENTS).flat_map(|number| [patient(number), device(number)]).collect();
    entries.chunks(100).map(transaction).collect()
}

fn patient(number: u64) -> String {
    let family = family(number);
    format!(
        r#"{{"resource":{{"resourceType":"Patient","id":"bench-p{number}","identifier":[{{"system":"urn:vitalwire:bench:patient","value":"{number}"}}],"name":[{{"family":"{family}","given":["Ada"]}}],"gender":"female","birthDate":"1970-01-01"}},"request":{{"method":"PUT","url":"Patient/bench-p{number}"}}}}"#
    )
}

fn device(number: u64) -> String {
    format!(
        r#"{{"resource":{{"resourceType":"Device","id":"bench-d{number}","identifier":[{{"system":"urn:vitalwire:bench:device","value":"{number}"}}],"status":"active","patient":{{"reference":"Patient/bench-p{number}"}}}},"request":{{"method":"PUT","url":"Device/bench-d{number}"}}}}"#
    )
}

/// A transaction that creates these readings.
pub(super) fn readings(numbers: std::ops::Range<u64>) -> String {
    let entries: Vec<String> = numbers
        .map(|number| {
            format!(r#"{{"resource":{},"request":{{"method":"POST","url":"Observation"}}}}"#, observation(number))
        })
        .collect();
    transaction(&entries)
}

fn transaction(entries: &[String]) -> String {
    format!(r#"{{"resourceType":"Bundle","type":"transaction","entry":[{}]}}"#, entries.join(","))
}

/// A reading. Patients take turns, and of each patient the signs.
pub(super) fn observation(number: u64) -> String {
    let patient = number % PATIENTS;
    let sign = sign_of(number);
    let span = sign.highest - sign.lowest;
    let tenths = sign.lowest + scattered(number) % span;
    format!(
        concat!(
            r#"{{"resourceType":"Observation","identifier":[{{"system":"{identifiers}","value":"{number}"}}],"#,
            r#""status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","#,
            r#""code":"vital-signs","display":"Vital Signs"}}]}}],"#,
            r#""code":{{"coding":[{{"system":"http://loinc.org","code":"{code}","display":"{display}"}}],"text":"{display}"}},"#,
            r#""subject":{{"reference":"Patient/bench-p{patient}"}},"effectiveDateTime":"{time}","issued":"{time}","#,
            r#""valueQuantity":{{"value":{whole}.{tenth},"unit":"{unit}","system":"http://unitsofmeasure.org","code":"{unit}"}},"#,
            r#""device":{{"reference":"Device/bench-d{patient}"}}}}"#
        ),
        identifiers = IDENTIFIERS,
        number = number,
        code = sign.code,
        display = sign.display,
        patient = patient,
        time = time(number),
        whole = tenths / 10,
        tenth = tenths % 10,
        unit = sign.unit,
    )
}

/// What a reading is of.
pub(super) fn sign_of(number: u64) -> &'static Sign {
    nth_sign(number / PATIENTS)
}

/// Signs in turn.
pub(super) fn nth_sign(number: u64) -> &'static Sign {
    let [first, ..] = &SIGNS;
    usize::try_from(number % 10).ok().and_then(|index| SIGNS.get(index)).unwrap_or(first)
}

/// The instant of a reading, in UTC to the millisecond; each has its own.
pub(super) fn time(number: u64) -> String {
    let seconds = i64::try_from(number * SECONDS_BETWEEN).unwrap_or_default();
    let time = jiff::Timestamp::from_second(FIRST_SECOND.saturating_add(seconds)).unwrap_or(jiff::Timestamp::MAX);
    format!("{time:.3}")
}

/// A number that looks like chance and is not.
pub(super) fn scattered(number: u64) -> u64 {
    let mixed = (number.wrapping_add(1)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 32
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{BUNDLE_ENTRIES, PATIENTS, SIGNS, observation, readings, registry, sign_of};

    #[test]
    fn every_text_is_json_and_every_reading_its_own() {
        let bundle: Value = serde_json::from_str(&readings(0..BUNDLE_ENTRIES)).unwrap();
        assert_eq!(bundle["entry"].as_array().unwrap().len(), 100);
        assert!(registry().iter().all(|text| serde_json::from_str::<Value>(text).is_ok()));
        assert_ne!(observation(1), observation(2));
        assert_eq!(observation(7), observation(7));
    }

    #[test]
    fn every_patient_has_every_sign() {
        let of_patient = |number: u64| number * PATIENTS + 3;
        let codes: std::collections::BTreeSet<_> = (0..10).map(|turn| sign_of(of_patient(turn)).code).collect();
        assert_eq!(codes.len(), SIGNS.len());
    }
}
