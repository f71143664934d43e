//! The FHIR server as seen from outside: requests that travel many in one Bundle, and their answers.
//!
//! [`FhirClient`] sends one Bundle once and says what came of it. [`Link`] is what stages use: it repeats what failed for
//! reasons that pass, splits what is too large, tells the world when an operator is needed, and answers only when each
//! request has an answer that counts. Nothing else in the pipeline retries.
//!
//! Knows no stage and no resource beyond Bundle and OperationOutcome.

pub(crate) mod authentication;
pub(crate) mod bundle;
pub(crate) mod connection;
pub(crate) mod error;
pub(crate) mod http;
pub(crate) mod link;
mod policy;
pub(crate) mod retry;
pub(crate) mod search;

#[cfg(test)]
pub(crate) mod simulated_wire;
#[cfg(test)]
pub(crate) mod test_server;

pub(crate) use self::error::ClientError;
pub(crate) use self::http::{ClientSettings, FhirClient};
pub(crate) use self::link::{GivenUp, Link, LinkSettings};
