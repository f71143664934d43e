//! Device telemetry to FHIR R4 Observations, and the FHIR service that serves them, in one process.
//!
//! # The journey of a reading
//!
//! ```text
//! device ──> sources ──> normalize ──> group ──> resolve ──> deliver ══HTTP══> fhir::api ──> fhir::search, fhir::store
//!               ^            │                      │           │                                       │
//!               │            └──────> dead_letters <┴───────────┤                                       │
//!               └──────────────────── settlements <─────────────┘ <──────────── answer after commit ────┘
//! ```
//!
//! The modules below stand in the order data takes. [`model`] holds what travels between them.
//!
//! A wearable publishes `{"deviceid": "w-7", "heartrate": 61, ...}` at QoS 1:
//!
//! 1. A **source** ([`sources`]) notes the packet in its ledger and wraps the bytes in an envelope with a *receipt*: the
//!    promise to answer the device. The settlements count the message as received.
//! 2. [`normalize`] parses the payload once, runs the device mapping ([`mapping`]) that is in force ([`mapping_store`])
//!    and yields measurements, each with a share of the receipt. What cannot be read becomes a dead letter; what no template matches is counted as unmatched.
//! 3. [`group`] collects measurements of one Observation. *Period* decides which Observation a measurement belongs to;
//!    *linger* decides how long it may wait for company, and an idle pipeline does not wait.
//! 4. [`resolve`] finds Device, Patient and Encounter through a bounded cache, many unknown ones in one Bundle. A write of
//!    the FHIR service that concerns them counts from the moment at which its author has the answer. A device that belongs
//!    to another patient than the message says is a dead letter, never a guess.
//! 5. [`deliver`] builds Observations ([`convert`]), or merges into those it knows, and sends many in one Bundle through
//!    [`client`], with conditional writes: what is stored already is not written again.
//! 6. The FHIR service ([`fhir`]) commits the Bundle ([`database`]) and answers. The shares of the receipt complete, the
//!    outcome is counted in [`settlements`], durably, and only then does the ledger of the source release the PUBACK, in
//!    the order in which the messages came.
//!
//! # Promises, each with a test that tries to break it
//!
//! - **P1 Nothing is lost.** A message is acknowledged only after all that came of it is durable or dead-lettered.
//! - **P2 Nothing doubles.** Redelivery, replay and restart change nothing that is already stored.
//! - **P3 Every message ends in a named state.** received = stored + merged + unchanged + unmatched + dead-lettered, per
//!   connector, persisted. This is the ledger a user sees at `/connectors/{name}`.
//! - **P4 One bad thing hurts only itself.** Its neighbours go on.
//! - **P5 Right patient.** When message and record disagree, the reading is dead-lettered.
//! - **P6 Numbers keep their digits,** times keep their instant.
//! - **P7 Bounded.** Every queue, cache, body, batch and wait has a named bound; overload becomes backpressure.
//! - **P8 No secrets, no persons in logs.**
//!
//! # Who may know whom
//!
//! - Stages are siblings and never import each other. They meet in [`model`] and are joined in [`app`].
//! - The pipeline half (`sources` to `client`) and the server half ([`fhir`]) never import each other. They speak FHIR
//!   over HTTP also within one process, so a connector works the same against any other server. One thing is told beside
//!   HTTP: that a Device, Patient or Encounter was written; [`app`] passes it from the store to the caches of [`resolve`].
//! - Only [`sources`], [`send`], [`demo`] and [`mod@bench`] know MQTT, and but for the demo they know Kafka. Only [`client`],
//!   [`remote`], [`send`] and [`mod@bench`] know reqwest. Only [`fhir::api`], [`admin`] and [`mod@sources::http`] know axum,
//!   and [`mod@bench`] for a server to compare with. Only [`database`] and the rooms that keep something in it know SQL.
//! - [`mapping`] alone knows what a template looks like. The store does not know parameter names: `fhir::search` plans,
//!   the store finds rows.
//! - [`workbench`] runs mappings on samples through the same [`mapping`] and [`convert`]; no stage knows of it.
//! - A part takes the settings it needs, never the whole configuration. Only [`app`] and [`cli`] see all.
//! - Pure functions have no clock, no channel, no IO. Nothing between payload and store turns a decimal into a float,
//!   but for index keys, which are never shown.
//! - [`remote`] is how a command of an operator asks a running process; nothing that runs in one knows it.
//! - Shutdown is a closed channel: sources hear the signal, every other stage sees its inbox end and finishes.
//!
//! A test holds the imports of every file against the table of these rules.

#![expect(
    rustdoc::private_intra_doc_links,
    reason = "these docs are for those who change the program; what it offers to others is the command line"
)]

mod model;

mod mapping;

mod mapping_store;

mod convert;

mod sources;

mod normalize;

mod group;

mod resolve;

mod deliver;

mod answers;

mod dead_letters;

mod settlements;

mod bookmarks;

mod subscriptions;

mod client;

mod r4;

mod fhir;

mod database;

mod json;

mod codings;

mod clock;

mod secret;

mod telemetry;

mod config;

mod app;

mod admin;

mod remote;

mod send;

mod demo;

mod bench;

pub mod workbench;

pub mod cli;
