//! What the tests drive the product with: the binary itself, brokers, a FHIR client, waits with a bound.

pub(crate) mod account;
pub(crate) mod config;
pub(crate) mod dice;
pub(crate) mod faulty_server;
pub(crate) mod fhir;
pub(crate) mod guarded_server;
pub(crate) mod hl7_validator;
pub(crate) mod kafka;
pub(crate) mod mosquitto;
pub(crate) mod process;
pub(crate) mod publish;
pub(crate) mod readings;
pub(crate) mod refusing_server;
pub(crate) mod wait;
pub(crate) mod wire;
