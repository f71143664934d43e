//! The resource of one measurement alone, for those who write a mapping: nothing is stored and nobody is known (VA-9).

use jiff::Timestamp;

use super::content::{Boundary, Content, Names, series_of};
use super::identifier::{DEFAULT_SYSTEM, Naming, Precision};
use super::observation::Built;
use super::raw::RawObject;
use super::reading::ConversionFailure;
use crate::mapping::fhir::FhirTemplate;
use crate::model::group::Span;
use crate::model::measurement::Measurement;
use crate::model::subject::Subject;

/// Members that come from the server or the connector and not from the mapping.
const NOT_OF_THE_MAPPING: [&str; 6] = ["id", "identifier", "subject", "encounter", "device", "issued"];

/// Stands for ids that only the server knows.
const UNKNOWN: &str = "unknown";

/// What a template makes of a measurement.
#[derive(Debug)]
pub(crate) struct Preview {
    /// The resource as JSON, without what does not come from the mapping.
    pub(crate) json: String,
    /// Readings that are not in it, because they do not convert.
    pub(crate) rejected: Vec<ConversionFailure>,
}

/// Builds the resource of a measurement as if it were the first of its group.
///
/// # Errors
/// When nothing can be written with its readings, or its period is correlation and it has no correlation id.
pub(crate) fn preview(template: &FhirTemplate, measurement: &Measurement) -> Result<Preview, ConversionFailure> {
    let span = template.period.span(measurement.occurred_at);
    let encounter_id = measurement.encounter_id.as_ref().map(|_| UNKNOWN.to_owned());
    let subject = Subject { patient_id: UNKNOWN.to_owned(), device_id: UNKNOWN.to_owned(), encounter_id };
    let built = build_alone(template, std::slice::from_ref(measurement), span, &subject)?;
    let not_an_object = || ConversionFailure::not_supported("a resource that is no JSON object");
    let mut resource = RawObject::parse(&built.json).ok_or_else(not_an_object)?;
    NOT_OF_THE_MAPPING.iter().for_each(|name| resource.remove(name));
    Ok(Preview { json: resource.to_json(), rejected: built.rejected })
}

/// Builds the resource of measurements of one group as if nothing were stored, made at the beginning of 1970 and named
/// as the default configuration names them.
///
/// # Errors
/// When there is no measurement, or nothing can be written with their readings.
pub(crate) fn build_alone(
    template: &FhirTemplate,
    measurements: &[Measurement],
    span: Span,
    subject: &Subject,
) -> Result<Built, ConversionFailure> {
    let nothing = || ConversionFailure::not_supported("a resource without measurements");
    let first = measurements.first().ok_or_else(nothing)?;
    let naming = Naming { system: DEFAULT_SYSTEM.into(), precision: Precision::Fraction };
    let measurement_type = &first.measurement_type;
    let identifier = naming.identifier(subject, measurement_type, span, first.correlation_id.as_deref())?;
    let content = Content {
        measurement_type,
        boundary: Boundary::of(span, measurements).ok_or_else(nothing)?,
        series: series_of(measurements),
        subject,
        issued: Timestamp::UNIX_EPOCH,
        identifier: &identifier,
        names: Names::of(first),
    };
    super::build(template, &content)
}

#[cfg(test)]
mod tests {
    use super::preview;
    use crate::mapping::{Mappings, Source};
    use crate::model::measurement::{Measurement, Property};

    #[track_caller]
    fn check(members: &str, correlation_id: Option<&str>, value: &str, expected: &str) {
        let fhir = format!(
            r#"{{ "templateType": "CollectionFhir", "template": [ {{ "templateType": "CodeValueFhir", "template": {{
                "typeName": "t", "codes": [], {members} }} }} ] }}"#
        );
        let mappings = Mappings::inspect(None, Some(Source { name: "fhir.json", text: &fhir })).mappings;
        let measurement = Measurement {
            measurement_type: "t".into(),
            occurred_at: "2024-03-02T07:15:00.25Z".parse().unwrap(),
            ingested_at: "2024-03-02T07:15:01Z".parse().unwrap(),
            device_id: "d".to_owned(),
            patient_id: Some("p".to_owned()),
            encounter_id: Some("e".to_owned()),
            correlation_id: correlation_id.map(str::to_owned),
            properties: vec![Property { name: "v".into(), value: value.to_owned() }],
        };
        let shown = match preview(mappings.fhir_template("t").unwrap(), &measurement) {
            Ok(preview) => preview.json,
            Err(failure) => failure.code.to_owned(),
        };
        assert_eq!(shown, expected);
    }

    const QUANTITY: &str = r#""value": { "valueType": "Quantity", "valueName": "v" }"#;

    #[test]
    fn va_9_the_resource_has_only_what_comes_from_the_mapping() {
        let system = super::DEFAULT_SYSTEM;
        let expected = format!(
            r#"{{"resourceType":"Observation","status":"final","code":{{"coding":[{{"system":"{system}","code":"t","display":"t"}}],"text":"t"}},"effectivePeriod":{{"start":"2024-03-02T07:15:00.2500000Z","end":"2024-03-02T07:15:00.2500000Z"}},"valueQuantity":{{"value":120.10}}}}"#
        );
        check(QUANTITY, None, "120.10", &expected);
    }

    #[test]
    fn va_9_what_cannot_be_converted_keeps_its_code() {
        check(QUANTITY, None, "high", "InvalidQuantityFhirValueException");
        check(
            r#""periodInterval": "CorrelationId", "value": { "valueType": "String", "valueName": "v" }"#,
            None,
            "high",
            "CorrelationIdNotDefinedException",
        );
    }

    #[test]
    fn the_system_of_own_codings_is_that_of_the_default_configuration() {
        let config = include_str!("../../config/default.toml");
        assert!(config.contains(&format!("identifier_system = \"{}\"\n", super::DEFAULT_SYSTEM)));
    }
}
