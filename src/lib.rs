//! Device telemetry to FHIR R4 Observations, and the FHIR service that serves them.

mod model;

mod mapping;

mod sources;

mod normalize;

mod group;

mod resolve;

mod deliver;

mod dead_letters;

mod settlements;

mod client;

mod r4;

mod fhir;

mod app;

mod admin;

mod clock;

mod config;

mod demo;

mod database;

mod json;

mod secret;

mod send;

mod telemetry;

pub mod cli;
