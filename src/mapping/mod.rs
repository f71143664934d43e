//! Templates compiled at load: device side, FHIR side, expression languages.
