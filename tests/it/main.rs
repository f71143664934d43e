//! Black-box tests: the real binary against real brokers and clients. One module per behaviour.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs,
    reason = "a test that cannot go on should stop, and says where"
)]

mod authentication;
mod backpressure;
mod bad_input;
mod bench;
mod check;
mod dead_letter_replay;
mod dead_letters;
mod delivery;
mod demo;
mod documentation;
mod faults;
mod fhir_binary;
mod fhir_bundles;
mod fhir_compartments;
mod fhir_composite;
mod fhir_conditional_delete;
mod fhir_crash;
mod fhir_date;
mod fhir_everything;
mod fhir_filter;
mod fhir_formats;
mod fhir_history;
mod fhir_hostile;
mod fhir_lastn;
mod fhir_limits;
mod fhir_meta;
mod fhir_number;
mod fhir_operations;
mod fhir_patch;
mod fhir_profiles;
mod fhir_quantity;
mod fhir_races;
mod fhir_reference;
mod fhir_rest;
mod fhir_search;
mod fhir_search_parameters;
mod fhir_special;
mod fhir_stats;
mod fhir_string;
mod fhir_summary;
mod fhir_system_search;
mod fhir_terminology;
mod fhir_token;
mod fhir_uri;
mod fhir_validate;
mod fhir_versioning;
mod fhir_xml;
mod file_source;
mod full_disk;
mod http_connections;
mod http_push;
mod http_requests;
mod identity;
mod imported;
mod judge;
mod kafka_backlog;
mod kafka_group;
mod kafka_login;
mod kafka_send;
mod kafka_source;
mod mapping_commands;
mod mapping_reload;
mod metrics;
mod mqtt_fleet;
mod mqtt_listener;
mod mqtt_listener_access;
mod mqtt_listener_fleet;
mod mqtt_listener_tls;
mod mqtt_source;
mod mqtt_tls;
mod real_clients;
mod redelivery;
mod reload;
mod shutdown;
mod startup;
mod support;
mod targets;
mod tidy;
mod trace;
mod two_connectors;
mod whole_resources;
