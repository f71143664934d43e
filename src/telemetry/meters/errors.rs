//! What each error code is about, and the metric that counts it (rule TM-5).
//!
//! The metric of an error is named as its code. Type, severity, source and operation are those the reference gives it;
//! what it leaves blank is left out. Codes of this product's own are sorted in beside those they resemble.

use metrics::{Counter, Label};

use super::catalogue::{CATEGORY, CONNECTOR, ERRORS, FHIR_CONVERSION, NAME, NORMALIZATION, OPERATION};

/// An error code and its dimensions.
#[derive(Debug)]
pub(super) struct Known {
    /// Name of the metric, and the code unless the code is a part of it.
    pub(super) name: &'static str,
    pub(super) error_type: &'static str,
    pub(super) severity: &'static str,
    pub(super) source: &'static str,
    pub(super) operation: &'static str,
    /// What happened, in a few words.
    pub(super) help: &'static str,
}

/// The label names of TM-1 that only errors have.
pub(super) const ERROR_TYPE: &str = "ErrorType";
pub(super) const ERROR_SEVERITY: &str = "ErrorSeverity";
pub(super) const ERROR_SOURCE: &str = "ErrorSource";

// Their values.
const MESSAGE: &str = "DeviceMessageError";
const DEVICE_TEMPLATE: &str = "DeviceTemplateError";
const FHIR_TEMPLATE: &str = "FHIRTemplateError";
const CONVERSION: &str = "FHIRConversionError";
const RESOURCE: &str = "FHIRResourceError";
const SERVICE: &str = "FHIRServiceError";
const GENERAL: &str = "GeneralError";
const CRITICAL: &str = "Critical";
const WARNING: &str = "Warning";
const USER: &str = "User";
const OF_SERVICE: &str = "Service";
const UNDEFINED: &str = "Undefined";
const BLANK: &str = "";
const SETUP: &str = "Setup";
const GROUPING: &str = "Grouping";

const fn resource(name: &'static str, help: &'static str) -> Known {
    Known { name, error_type: RESOURCE, severity: CRITICAL, source: UNDEFINED, operation: FHIR_CONVERSION, help }
}

const fn message(name: &'static str, help: &'static str) -> Known {
    Known { error_type: MESSAGE, source: USER, operation: NORMALIZATION, ..resource(name, help) }
}

const fn mapping(name: &'static str, error_type: &'static str, help: &'static str) -> Known {
    Known { error_type, source: USER, operation: SETUP, ..resource(name, help) }
}

const fn service(name: &'static str, help: &'static str) -> Known {
    Known { error_type: SERVICE, source: OF_SERVICE, ..resource(name, help) }
}

const TEMPLATE_EXPRESSION: &str = "TemplateExpressionException";
const INVALID_TEMPLATE: &str = "InvalidTemplateException";
const INVALID_MAPPING: &str = "ValidationException";
const UNHANDLED: &str = "UnhandledException";

/// All errors that are counted. Of several with one name the first is for messages, the others are for mapping files.
pub(super) static KNOWN: [Known; 55] = [
    message("InvalidDataFormatException", "a payload is not JSON, cannot be unpacked, or is too large"),
    message("CompressionNotSupportedException", "a payload is packed in a way that is not known"),
    message("IncompatibleDataException", "a required value is missing, blank or not convertible"),
    message("ExpressionFunctionException", "a function of an expression failed"),
    Known {
        error_type: DEVICE_TEMPLATE,
        ..message(TEMPLATE_EXPRESSION, "an expression gives several values where one is wanted")
    },
    Known {
        error_type: DEVICE_TEMPLATE,
        ..message(
            concat!("DeviceTemplateError", "NormalizationDataMappingException"),
            "a message could not be normalized for another reason",
        )
    },
    Known {
        error_type: MESSAGE,
        operation: GROUPING,
        ..resource("CorrelationIdNotDefinedException", "measurements to be correlated have no correlation id")
    },
    Known { error_type: GENERAL, ..resource("TemplateNotFoundException", "a measurement type has no FHIR template") },
    resource("InvalidQuantityFhirValueException", "a value is not a decimal"),
    resource("InvalidSampledDataValueException", "a value may not stand in a stream"),
    resource("InvalidFhirValueException", "a value does not fit its FHIR type"),
    Known {
        severity: WARNING,
        source: BLANK,
        ..resource("NotSupportedException", "what is stored cannot be merged with")
    },
    Known {
        error_type: CONVERSION,
        ..resource(
            concat!("FHIRConversionError", "FhirDataMappingException"),
            "a measurement could not be converted for another reason",
        )
    },
    Known {
        severity: WARNING,
        source: BLANK,
        ..resource("PatientDeviceMismatchException", "a message and the record disagree on whose device it is")
    },
    resource("DeviceNotFoundException", "the FHIR server has no such device"),
    resource("PatientNotFoundException", "the FHIR server has no such patient"),
    resource("EncounterNotFoundException", "the FHIR server has no such encounter"),
    resource("DeviceIdentityNotDefinedException", "a message names no device"),
    resource("PatientIdentityNotDefinedException", "a message names no patient"),
    resource("EncounterIdentityNotDefinedException", "a message names no encounter"),
    resource("MultipleDeviceFoundException", "several devices have the identifier"),
    resource("MultiplePatientFoundException", "several patients have the identifier"),
    resource("MultipleEncounterFoundException", "several encounters have the identifier"),
    resource("MultipleObservationFoundException", "several Observations have the identifier"),
    service("FHIRServiceError", "the FHIR server answered with a status that has no code of its own"),
    Known {
        source: USER,
        ..service(
            "FHIRServiceErrorAuthorizationError",
            "the FHIR server, or whoever gives out tokens, does not let the connector in",
        )
    },
    Known { source: USER, ..service("FHIRServiceErrorUnauthorized", "the FHIR server answered 401") },
    Known {
        source: USER,
        ..service("FHIRServiceErrorConfigurationError", "there is no FHIR server at the configured address")
    },
    service("FHIRServiceErrorConnection", "the FHIR server cannot be reached, or the connection broke"),
    service("FHIRServiceErrorTimeout", "the FHIR server did not answer in time"),
    service("FHIRServiceErrorAnswerTooLarge", "the FHIR server answered with more than is read of one answer"),
    service("FHIRServiceErrorBadRequest", "the FHIR server answered 400"),
    service("FHIRServiceErrorMethodNotAllowed", "the FHIR server answered 405"),
    service("FHIRServiceErrorRequestTimeout", "the FHIR server answered 408"),
    service("FHIRServiceErrorConflict", "the FHIR server answered 409"),
    service("FHIRServiceErrorGone", "the FHIR server answered 410"),
    service("FHIRServiceErrorPreconditionFailed", "the FHIR server answered 412"),
    service("FHIRServiceErrorPayloadTooLarge", "the FHIR server answered 413"),
    service("FHIRServiceErrorUnsupportedMediaType", "the FHIR server answered 415"),
    service("FHIRServiceErrorUnprocessableEntity", "the FHIR server answered 422"),
    service("FHIRServiceErrorLocked", "the FHIR server answered 423"),
    service("FHIRServiceErrorFailedDependency", "the FHIR server answered 424"),
    service("FHIRServiceErrorTooManyRequests", "the FHIR server answered 429"),
    service("FHIRServiceErrorInternalServerError", "the FHIR server answered 500"),
    service("FHIRServiceErrorNotImplemented", "the FHIR server answered 501"),
    service("FHIRServiceErrorBadGateway", "the FHIR server answered 502"),
    service("FHIRServiceErrorServiceUnavailable", "the FHIR server answered 503"),
    service("FHIRServiceErrorGatewayTimeout", "the FHIR server answered 504"),
    service("FHIRServiceErrorInsufficientStorage", "the FHIR server answered 507"),
    Known {
        error_type: GENERAL,
        severity: WARNING,
        source: OF_SERVICE,
        ..resource(
            UNHANDLED,
            "a failure of the FHIR server after which a Bundle, or a part of it, is tried again by itself; counted under its own code as well",
        )
    },
    mapping(INVALID_MAPPING, GENERAL, "changed mapping files were refused; messages wait until they are mended"),
    mapping(INVALID_TEMPLATE, DEVICE_TEMPLATE, "a mistake in a template of a device mapping"),
    mapping(TEMPLATE_EXPRESSION, DEVICE_TEMPLATE, "a mistake in an expression of a device mapping"),
    mapping(INVALID_TEMPLATE, FHIR_TEMPLATE, "a mistake in a template of a FHIR mapping"),
    mapping(TEMPLATE_EXPRESSION, FHIR_TEMPLATE, "a mistake in an expression of a FHIR mapping"),
];

impl Known {
    fn counter(&self, connector: &str) -> Counter {
        let dimensions = [
            (NAME, self.name),
            (CATEGORY, ERRORS),
            (OPERATION, self.operation),
            (ERROR_TYPE, self.error_type),
            (ERROR_SEVERITY, self.severity),
            (ERROR_SOURCE, self.source),
        ];
        let mut labels = vec![Label::new(CONNECTOR, connector.to_owned())];
        let filled = dimensions.into_iter().filter(|(_, value)| !value.is_empty());
        labels.extend(filled.map(|(name, value)| Label::from_static_parts(name, value)));
        metrics::counter!(self.name, labels)
    }

    /// Tells the recorder what it means. Of several with one name the first counts.
    pub(super) fn describe(&self) {
        metrics::describe_counter!(self.name, metrics::Unit::Count, self.help);
    }
}

/// Exposes all errors of a connector, none of them counted yet, so that a first one shows as a rise.
pub(super) fn expose_errors(connector: &str) {
    for known in &KNOWN {
        known.counter(connector).increment(0);
    }
}

/// Counts an error that happened to a connector. `code` is one of section 11 of the mapping specification.
pub(super) fn count_error(connector: &str, code: &str) {
    if let Some(known) = of_code(code) {
        known.counter(connector).increment(1);
    }
}

fn of_code(code: &str) -> Option<&'static Known> {
    // Some names are a type and a code.
    KNOWN.iter().find(|known| known.name == code || known.name.strip_prefix(known.error_type) == Some(code))
}

/// Of failures of the FHIR server that are not final.
pub(super) fn unhandled(connector: &str) -> Counter {
    of_code(UNHANDLED).map_or_else(Counter::noop, |known| known.counter(connector))
}

/// Which file of a connector a mistake is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The device mapping.
    Device,
    /// The FHIR mapping, or a file that it names.
    Fhir,
}

/// Counts that mapping files were refused (ER-2, ER-3), and the code of each mistake in them.
pub(crate) fn count_refused_mapping<'a>(connector: &str, mistakes: impl IntoIterator<Item = (&'a str, Side)>) {
    count_error(connector, INVALID_MAPPING);
    for (code, side) in mistakes {
        let error_type = match side {
            Side::Device => DEVICE_TEMPLATE,
            Side::Fhir => FHIR_TEMPLATE,
        };
        let of_side = |known: &&Known| (known.name, known.error_type, known.operation) == (code, error_type, SETUP);
        if let Some(known) = KNOWN.iter().find(of_side) {
            known.counter(connector).increment(1);
        }
    }
}
