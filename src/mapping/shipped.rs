//! Mappings that come with the program, named in a configuration as `shipped:heart-rate/device.json`.

/// What their names begin with.
const PREFIX: &str = "shipped:";

const TEXTS: [(&str, &str); 70] = [
    ("demo/device.json", include_str!("../demo/data/device.json")),
    ("demo/fhir.json", include_str!("../demo/data/fhir.json")),
    ("apple-health/device.json", include_str!("../../templates/apple-health/device.json")),
    ("apple-health/fhir.json", include_str!("../../templates/apple-health/fhir.json")),
    ("bedside-monitor/device.json", include_str!("../../templates/bedside-monitor/device.json")),
    ("bedside-monitor/fhir.json", include_str!("../../templates/bedside-monitor/fhir.json")),
    ("blood-pressure/device.json", include_str!("../../templates/blood-pressure/device.json")),
    ("blood-pressure/fhir.json", include_str!("../../templates/blood-pressure/fhir.json")),
    ("body-scale/device.json", include_str!("../../templates/body-scale/device.json")),
    ("body-scale/fhir.json", include_str!("../../templates/body-scale/fhir.json")),
    ("dexcom-cgm/device.json", include_str!("../../templates/dexcom-cgm/device.json")),
    ("dexcom-cgm/fhir.json", include_str!("../../templates/dexcom-cgm/fhir.json")),
    ("ecg-strip/device.json", include_str!("../../templates/ecg-strip/device.json")),
    ("ecg-strip/fhir.json", include_str!("../../templates/ecg-strip/fhir.json")),
    ("exercise-session/device.json", include_str!("../../templates/exercise-session/device.json")),
    ("exercise-session/fhir.json", include_str!("../../templates/exercise-session/fhir.json")),
    ("fitbit-heart-rate/device.json", include_str!("../../templates/fitbit-heart-rate/device.json")),
    ("fitbit-heart-rate/fhir.json", include_str!("../../templates/fitbit-heart-rate/fhir.json")),
    ("fitbit-sleep/device.json", include_str!("../../templates/fitbit-sleep/device.json")),
    ("fitbit-sleep/fhir.json", include_str!("../../templates/fitbit-sleep/fhir.json")),
    ("fitbit-steps/device.json", include_str!("../../templates/fitbit-steps/device.json")),
    ("fitbit-steps/fhir.json", include_str!("../../templates/fitbit-steps/fhir.json")),
    ("glucose-meter/device.json", include_str!("../../templates/glucose-meter/device.json")),
    ("glucose-meter/fhir.json", include_str!("../../templates/glucose-meter/fhir.json")),
    ("heart-rate/device.json", include_str!("../../templates/heart-rate/device.json")),
    ("heart-rate/fhir.json", include_str!("../../templates/heart-rate/fhir.json")),
    ("heart-rate-hourly/device.json", include_str!("../../templates/heart-rate-hourly/device.json")),
    ("heart-rate-hourly/fhir.json", include_str!("../../templates/heart-rate-hourly/fhir.json")),
    ("holter-ecg/device.json", include_str!("../../templates/holter-ecg/device.json")),
    ("holter-ecg/fhir.json", include_str!("../../templates/holter-ecg/fhir.json")),
    ("ieee-11073-phd/device.json", include_str!("../../templates/ieee-11073-phd/device.json")),
    ("ieee-11073-phd/fhir.json", include_str!("../../templates/ieee-11073-phd/fhir.json")),
    ("infant-measuring-station/device.json", include_str!("../../templates/infant-measuring-station/device.json")),
    ("infant-measuring-station/fhir.json", include_str!("../../templates/infant-measuring-station/fhir.json")),
    ("infusion-pump/device.json", include_str!("../../templates/infusion-pump/device.json")),
    ("infusion-pump/fhir.json", include_str!("../../templates/infusion-pump/fhir.json")),
    ("iot-central-vitals/device.json", include_str!("../../templates/iot-central-vitals/device.json")),
    ("iot-central-vitals/fhir.json", include_str!("../../templates/iot-central-vitals/fhir.json")),
    ("iot-hub-scale/device.json", include_str!("../../templates/iot-hub-scale/device.json")),
    ("iot-hub-scale/fhir.json", include_str!("../../templates/iot-hub-scale/fhir.json")),
    ("omron/device.json", include_str!("../../templates/omron/device.json")),
    ("omron/fhir.json", include_str!("../../templates/omron/fhir.json")),
    ("open-mhealth/device.json", include_str!("../../templates/open-mhealth/device.json")),
    ("open-mhealth/fhir.json", include_str!("../../templates/open-mhealth/fhir.json")),
    ("pulse-oximeter/device.json", include_str!("../../templates/pulse-oximeter/device.json")),
    ("pulse-oximeter/fhir.json", include_str!("../../templates/pulse-oximeter/fhir.json")),
    ("pulse-oximeter-hourly/device.json", include_str!("../../templates/pulse-oximeter-hourly/device.json")),
    ("pulse-oximeter-hourly/fhir.json", include_str!("../../templates/pulse-oximeter-hourly/fhir.json")),
    ("respiration-monitor/device.json", include_str!("../../templates/respiration-monitor/device.json")),
    ("respiration-monitor/fhir.json", include_str!("../../templates/respiration-monitor/fhir.json")),
    ("senml/device.json", include_str!("../../templates/senml/device.json")),
    ("senml/fhir.json", include_str!("../../templates/senml/fhir.json")),
    ("sensorthings/device.json", include_str!("../../templates/sensorthings/device.json")),
    ("sensorthings/fhir.json", include_str!("../../templates/sensorthings/fhir.json")),
    ("sleep-tracker/device.json", include_str!("../../templates/sleep-tracker/device.json")),
    ("sleep-tracker/fhir.json", include_str!("../../templates/sleep-tracker/fhir.json")),
    ("spirometer/device.json", include_str!("../../templates/spirometer/device.json")),
    ("spirometer/fhir.json", include_str!("../../templates/spirometer/fhir.json")),
    ("spot-check-monitor/device.json", include_str!("../../templates/spot-check-monitor/device.json")),
    ("spot-check-monitor/fhir.json", include_str!("../../templates/spot-check-monitor/fhir.json")),
    ("step-counter-daily/device.json", include_str!("../../templates/step-counter-daily/device.json")),
    ("step-counter-daily/fhir.json", include_str!("../../templates/step-counter-daily/fhir.json")),
    ("swe-data-array/device.json", include_str!("../../templates/swe-data-array/device.json")),
    ("swe-data-array/fhir.json", include_str!("../../templates/swe-data-array/fhir.json")),
    ("thermometer/device.json", include_str!("../../templates/thermometer/device.json")),
    ("thermometer/fhir.json", include_str!("../../templates/thermometer/fhir.json")),
    ("ventilator/device.json", include_str!("../../templates/ventilator/device.json")),
    ("ventilator/fhir.json", include_str!("../../templates/ventilator/fhir.json")),
    ("withings/device.json", include_str!("../../templates/withings/device.json")),
    ("withings/fhir.json", include_str!("../../templates/withings/fhir.json")),
];

/// The text of a file that a shipped mapping names; `None` when `mapping` is no shipped one.
pub(crate) fn included(mapping: &str, name: &str) -> Option<Result<String, String>> {
    let (directory, _) = mapping.strip_prefix(PREFIX)?.rsplit_once('/').unwrap_or_default();
    let found = text(&format!("{PREFIX}{directory}/{name}"));
    Some(found.map(str::to_owned).ok_or_else(|| "it is not shipped".to_owned()))
}

/// The text of the shipped mapping of this name, `None` when it names a file instead.
pub(crate) fn text(name: &str) -> Option<&'static str> {
    let path = name.strip_prefix(PREFIX)?;
    TEXTS.iter().find_map(|(known, text)| (*known == path).then_some(*text))
}
