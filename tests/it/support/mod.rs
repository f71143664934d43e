//! What the tests drive the product with: the binary itself, brokers, a FHIR client, waits with a bound.

pub(crate) mod config;
pub(crate) mod fhir;
pub(crate) mod mosquitto;
pub(crate) mod process;
pub(crate) mod readings;
pub(crate) mod wait;
