//! FHIRPath as the rules of profiles are written in it (<http://hl7.org/fhirpath/N1/>): whether a rule holds.
//!
//! A subset, with the names of R4 (<https://hl7.org/fhir/R4/fhirpath.html>): paths, all operators but arithmetic with `*`,
//! `/`, `div` and `mod` and equivalence, and the functions of `functions`. Quantities, the present time, other resources
//! and terminology are deliberately absent. What is not known is a failure that says so, never a guess: whoever asks
//! reports the rule as not checked. Work is bounded by steps, nesting by the parts of an expression.

mod evaluate;
mod functions;
mod parse;
mod value;

pub(super) use self::evaluate::{Steps, Surroundings, holds};
pub(super) use self::parse::{Expression, parse};

/// Why nothing can be said about an expression; for people, as the end of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure(pub(super) String);

impl Failure {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

#[cfg(test)]
mod tests;
