//! What the stages count with: one set of handles for each, named in the words of the stage.

use std::time::Duration;

use jiff::SignedDuration;
use metrics::{Counter, Gauge, Histogram};

use super::catalogue::{self as all, CONNECTOR, Metric, NAME, RESOURCE_TYPE};
use super::errors;
use super::processor::ProcessorMeter;
use crate::model::dead_letter::Stage;
use crate::model::receipt::Outcome;

/// A latency under two names, in seconds and in milliseconds.
#[derive(Clone, Debug)]
struct Latency {
    seconds: Histogram,
    milliseconds: Histogram,
}

impl Latency {
    fn new(seconds: &Metric, milliseconds: &Metric, connector: &str) -> Self {
        let of_connector = [(CONNECTOR, connector)];
        Self { seconds: seconds.histogram(&of_connector), milliseconds: milliseconds.histogram(&of_connector) }
    }

    /// A clock that was set back makes no latency negative.
    fn record(&self, latency: SignedDuration) {
        let seconds = latency.as_secs_f64().max(0.0);
        self.seconds.record(seconds);
        self.milliseconds.record(seconds * 1_000.0);
    }
}

fn record_ms(histogram: &Histogram, took: Duration) {
    histogram.record(took.as_secs_f64() * 1_000.0);
}

/// Counts for normalize.
#[derive(Clone, Debug)]
pub(crate) struct NormalizeMeters {
    connector: String,
    device_event: Counter,
    processing_latency: Latency,
    ingress_size: Counter,
    normalized_event: Counter,
    dropped_event: Counter,
    generation_time: Histogram,
    time_per_batch: Histogram,
    template_generation: Histogram,
    extracted: Counter,
    batch_size: Histogram,
    batch_submission: Histogram,
    events_flushed: Counter,
    flush_duration: Histogram,
}

impl NormalizeMeters {
    /// The handles of a connector.
    pub(crate) fn new(connector: &str) -> Self {
        let of = [(CONNECTOR, connector)];
        values_omitted(connector, FUNCTION_FAILED).increment(0);
        Self {
            connector: connector.to_owned(),
            device_event: all::DEVICE_EVENT.counter(&of),
            processing_latency: Latency::new(
                &all::DEVICE_EVENT_PROCESSING_LATENCY,
                &all::DEVICE_EVENT_PROCESSING_LATENCY_MS,
                connector,
            ),
            ingress_size: all::DEVICE_INGRESS_SIZE_BYTES.counter(&of),
            normalized_event: all::NORMALIZED_EVENT.counter(&of),
            dropped_event: all::DROPPED_EVENT.counter(&of),
            generation_time: all::NORMALIZED_EVENT_GENERATION_TIME_MS.histogram(&of),
            time_per_batch: all::NORMALIZATION_TIME_PER_BATCH_MS.histogram(&of),
            template_generation: all::NORMALIZATION_TEMPLATE_GENERATION_MS.histogram(&of),
            extracted: all::MEASUREMENTS_EXTRACTED.counter(&of),
            batch_size: all::MEASUREMENT_BATCH_SIZE.histogram(&of),
            batch_submission: all::MEASUREMENT_BATCH_SUBMISSION_MS.histogram(&of),
            events_flushed: all::EVENTS_FLUSHED.counter(&of),
            flush_duration: all::BATCH_FLUSH_DURATION_MS.histogram(&of),
        }
    }

    /// The mapping for a batch is at hand.
    pub(crate) fn mapping_found(&self, took: Duration) {
        record_ms(&self.template_generation, took);
    }

    /// A message that waited so long and is so large is taken up (TM-2).
    pub(crate) fn event(&self, waited: SignedDuration, bytes: usize) {
        self.device_event.increment(1);
        self.processing_latency.record(waited);
        self.ingress_size.increment(wide(bytes));
    }

    /// A message is dealt with.
    pub(crate) fn event_done(&self, took: Duration) {
        record_ms(&self.generation_time, took);
    }

    /// A message matched nothing (TM-3).
    pub(crate) fn event_dropped(&self) {
        self.dropped_event.increment(1);
    }

    /// So many optional values were left out because of this code.
    pub(crate) fn values_omitted(&self, code: &str, count: u64) {
        values_omitted(&self.connector, code).increment(count);
    }

    /// All messages of a batch are dealt with; so many measurements came of them.
    pub(crate) fn batch_normalized(&self, measurements: usize, took: Duration) {
        record_ms(&self.time_per_batch, took);
        self.extracted.increment(wide(measurements));
        // No batch has so many that a float could not tell them apart.
        self.batch_size.record(f64::from(u32::try_from(measurements).unwrap_or(u32::MAX)));
    }

    /// A measurement is sent on (TM-3).
    pub(crate) fn measurement_sent(&self) {
        self.normalized_event.increment(1);
    }

    /// All measurements of a batch are sent on.
    pub(crate) fn batch_sent(&self, took: Duration) {
        record_ms(&self.batch_submission, took);
    }

    /// A batch of so many messages is done (TM-6).
    pub(crate) fn batch_flushed(&self, events: usize, took: Duration) {
        self.events_flushed.increment(wide(events));
        record_ms(&self.flush_duration, took);
    }
}

/// Why a value is left out, as far as that ever happens.
const FUNCTION_FAILED: &str = "ExpressionFunctionException";

fn values_omitted(connector: &str, code: &str) -> Counter {
    all::VALUES_OMITTED.counter(&[(CONNECTOR, connector), ("code", code)])
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Counts for deliver.
#[derive(Clone, Debug)]
pub(crate) struct DeliverMeters {
    connector: String,
    measurement: Counter,
    measurement_group: Counter,
    ingestion_latency: Latency,
    delay: Histogram,
    /// Of Observations, by outcome, in the order of `SAVED`.
    saved: [Saved; SAVED.len()],
    contended: Counter,
    /// Of Observations.
    contention: Counter,
    processor: ProcessorMeter,
}

/// What was done to a resource, by the outcome of its messages.
const SAVED: [(Outcome, &str); 3] =
    [(Outcome::Stored, "Created"), (Outcome::Merged, "Updated"), (Outcome::Unchanged, "NoOperation")];

#[derive(Clone, Debug)]
struct Saved {
    delivered: Counter,
    /// Of Observations; other resources are so few that they are looked up.
    observation: Counter,
}

const OBSERVATION: &str = "Observation";

impl DeliverMeters {
    /// The handles of a connector.
    pub(crate) fn new(connector: &str) -> Self {
        let of = [(CONNECTOR, connector)];
        Self {
            connector: connector.to_owned(),
            measurement: all::MEASUREMENT.counter(&of),
            measurement_group: all::MEASUREMENT_GROUP.counter(&of),
            ingestion_latency: Latency::new(
                &all::MEASUREMENT_INGESTION_LATENCY,
                &all::MEASUREMENT_INGESTION_LATENCY_MS,
                connector,
            ),
            delay: all::DELIVERY_SECONDS.histogram(&of),
            saved: SAVED.map(|(outcome, operation)| Saved {
                delivered: all::OBSERVATIONS_DELIVERED
                    .counter(&[(CONNECTOR, connector), ("outcome", outcome.as_str())]),
                observation: resource_saved(connector, OBSERVATION, operation),
            }),
            contended: all::OBSERVATIONS_CONTENDED.counter(&of),
            contention: contention(connector, OBSERVATION),
            processor: ProcessorMeter::of_stage(connector, "deliver"),
        }
    }

    /// Counts the processor time of the stage.
    pub(crate) fn processor(&self) -> &ProcessorMeter {
        &self.processor
    }

    /// Measurements that go into one resource are taken up; how long ago the message of each that counts arrived (TM-4).
    pub(crate) fn group(&self, arrived: impl IntoIterator<Item = SignedDuration>) {
        self.measurement_group.increment(1);
        let mut count = 0;
        for waited in arrived {
            self.ingestion_latency.record(waited);
            count += 1;
        }
        self.measurement.increment(count);
    }

    /// A resource is as it should be (TM-4).
    pub(crate) fn saved(&self, resource_type: &str, outcome: Outcome) {
        let known = SAVED.iter().zip(&self.saved).find(|((saved, _), _)| *saved == outcome);
        let Some(((_, operation), saved)) = known else { return };
        saved.delivered.increment(1);
        match resource_type {
            OBSERVATION => saved.observation.increment(1),
            _ => resource_saved(&self.connector, resource_type, operation).increment(1),
        }
    }

    /// The message of a measurement arrived so long ago, and now the measurement is stored.
    pub(crate) fn delivered(&self, after: SignedDuration) {
        self.delay.record(after.as_secs_f64().max(0.0));
    }

    /// The condition of a write did not hold (TM-4).
    pub(crate) fn contended(&self, resource_type: &str) {
        self.contended.increment(1);
        match resource_type {
            OBSERVATION => self.contention.increment(1),
            _ => contention(&self.connector, resource_type).increment(1),
        }
    }
}

fn contention(connector: &str, resource_type: &str) -> Counter {
    all::FHIR_RESOURCE_CONTENTION.counter(&[(CONNECTOR, connector), (RESOURCE_TYPE, resource_type)])
}

fn resource_saved(connector: &str, resource_type: &str, operation: &str) -> Counter {
    let name = format!("{resource_type}{operation}");
    all::FHIR_RESOURCE_SAVED.counter(&[(CONNECTOR, connector), (NAME, &name), (RESOURCE_TYPE, resource_type)])
}

/// Counts for the way to the FHIR server.
#[derive(Clone, Debug)]
pub(crate) struct LinkMeters {
    connector: String,
    processed: Counter,
    failed: Counter,
    took: Histogram,
    unhandled: Counter,
}

impl LinkMeters {
    /// The handles of a connector.
    pub(crate) fn new(connector: &str) -> Self {
        let with = |result| all::BUNDLES_SUBMITTED.counter(&[(CONNECTOR, connector), ("result", result)]);
        Self {
            connector: connector.to_owned(),
            processed: with("processed"),
            failed: with("failed"),
            took: all::BUNDLE_SUBMISSION_SECONDS.histogram(&[(CONNECTOR, connector)]),
            unhandled: errors::unhandled(connector),
        }
    }

    /// A Bundle was processed, or failed as a whole.
    pub(crate) fn submitted(&self, processed: bool, took: Duration) {
        if processed { &self.processed } else { &self.failed }.increment(1);
        self.took.record(took);
    }

    /// A Bundle, or entries of one, must be sent again: by itself, or after an operator mended something (TM-5).
    pub(crate) fn set_back(&self, code: &str, halts: bool) {
        errors::count_error(&self.connector, code);
        if !halts {
            self.unhandled.increment(1);
        }
    }
}

/// Counts for the settlements.
#[derive(Clone, Debug)]
pub(crate) struct SettlementMeters {
    received: Counter,
    settled: [Counter; Outcome::ALL.len()],
    abandoned: Counter,
    checkpoint: Histogram,
}

impl SettlementMeters {
    /// The handles of a connector.
    pub(crate) fn new(connector: &str) -> Self {
        let of = [(CONNECTOR, connector)];
        Self {
            received: all::ENVELOPES_RECEIVED.counter(&of),
            settled: Outcome::ALL.map(|outcome| {
                all::ENVELOPES_SETTLED.counter(&[(CONNECTOR, connector), ("outcome", outcome.as_str())])
            }),
            abandoned: all::ENVELOPES_ABANDONED.counter(&of),
            checkpoint: all::CHECKPOINT_UPDATE_DURATION_MS.histogram(&of),
        }
    }

    /// A message is taken.
    pub(crate) fn received(&self) {
        self.received.increment(1);
    }

    /// Ends of messages are durable, which took so long (TM-6): how many had each outcome, and were handed back.
    pub(crate) fn settled(&self, of: impl Fn(Outcome) -> u64, abandoned: u64, took: Duration) {
        for (outcome, counter) in Outcome::ALL.into_iter().zip(&self.settled) {
            counter.increment(of(outcome));
        }
        self.abandoned.increment(abandoned);
        record_ms(&self.checkpoint, took);
    }
}

/// Counts a letter, and its error under the name of the reference (TM-5).
pub(crate) fn count_dead_letter(connector: &str, stage: Stage, code: &str) {
    let values = [(CONNECTOR, connector), ("stage", stage.as_str()), ("code", code)];
    all::DEAD_LETTERS_RECORDED.counter(&values).increment(1);
    errors::count_error(connector, code);
}

/// Exposes what seldom happens to a connector, none of it counted yet, so that the first time shows as a rise.
pub(crate) fn expose_rare(connector: &str) {
    errors::expose_errors(connector);
    for end in ["done", "failed", "unmatched", "abandoned"] {
        all::DEAD_LETTERS_REPLAYED.counter(&[(CONNECTOR, connector), ("end", end)]).increment(0);
    }
    count_discarded(connector, 0);
}

/// Counts a message that was replayed, by how that ended.
pub(crate) fn count_replayed(connector: &str, end: &str) {
    all::DEAD_LETTERS_REPLAYED.counter(&[(CONNECTOR, connector), ("end", end)]).increment(1);
}

/// Counts letters that an operator removed.
pub(crate) fn count_discarded(connector: &str, letters: u64) {
    all::DEAD_LETTERS_DISCARDED.counter(&[(CONNECTOR, connector)]).increment(letters);
}

/// How a connector stands at one moment.
pub(crate) struct Standing<'a> {
    /// Its name.
    pub(crate) connector: &'a str,
    /// Messages taken and not yet settled.
    pub(crate) in_flight: u64,
    /// Messages of the ledger in no named state.
    pub(crate) unexplained: i128,
    /// Its state, one of `states`.
    pub(crate) state: &'a str,
    /// All states there are.
    pub(crate) states: &'a [&'static str],
    /// Its sources, in the order of the configuration.
    pub(crate) sources: Vec<SourceStanding>,
}

/// How a source stands at one moment.
pub(crate) struct SourceStanding {
    /// What kind it is.
    pub(crate) kind: &'static str,
    /// Whether messages can come in.
    pub(crate) is_connected: bool,
    /// Messages that wait where it reads, of sources that are told of them; 0 while it is not known.
    pub(crate) behind: Option<u64>,
}

/// Sets the gauges of a connector to how it stands now.
pub(crate) fn show(standing: &Standing<'_>) {
    let connector = standing.connector;
    let of = [(CONNECTOR, connector)];
    all::ENVELOPES_IN_FLIGHT.gauge(&of).set(u32::try_from(standing.in_flight).unwrap_or(u32::MAX));
    let unexplained = i32::try_from(standing.unexplained).unwrap_or(i32::MAX);
    all::ENVELOPES_UNEXPLAINED.gauge(&of).set(unexplained);
    for state in standing.states {
        let is_in = if *state == standing.state { 1 } else { 0 };
        all::CONNECTOR_STATE.gauge(&[(CONNECTOR, connector), ("state", state)]).set(is_in);
    }
    for (place, source) in standing.sources.iter().enumerate() {
        let values = [(CONNECTOR, connector), ("source", &place.to_string()), ("type", source.kind)];
        all::SOURCE_CONNECTED.gauge(&values).set(if source.is_connected { 1 } else { 0 });
        if let Some(behind) = source.behind {
            all::SOURCE_BEHIND.gauge(&values).set(u32::try_from(behind).unwrap_or(u32::MAX));
        }
    }
}

/// Counts for the HTTP server.
#[derive(Clone, Debug)]
pub(crate) struct HttpMeters {
    open: Gauge,
    refused: Counter,
    processor: ProcessorMeter,
}

impl HttpMeters {
    /// The handles of the one server there is.
    pub(crate) fn new() -> Self {
        let (open, refused) = (all::HTTP_CONNECTIONS_OPEN.gauge(&[]), all::HTTP_CONNECTIONS_REFUSED.counter(&[]));
        open.set(0);
        refused.increment(0);
        Self { open, refused, processor: ProcessorMeter::of_http() }
    }

    /// Counts the processor time of connections.
    pub(crate) fn processor(&self) -> &ProcessorMeter {
        &self.processor
    }

    /// A connection is served.
    pub(crate) fn opened(&self) {
        self.open.increment(1);
    }

    /// A connection that was served has ended.
    pub(crate) fn closed(&self) {
        self.open.decrement(1);
    }

    /// There was no place for a connection.
    pub(crate) fn refused(&self) {
        self.refused.increment(1);
    }
}

/// Counts the room that bodies take.
#[derive(Clone, Debug)]
pub(crate) struct RoomMeter(Gauge);

impl RoomMeter {
    /// The handle of the one room there is.
    pub(crate) fn new() -> Self {
        let taken = all::FHIR_REQUEST_BYTES_IN_FLIGHT.gauge(&[]);
        taken.set(0);
        Self(taken)
    }

    /// So many bytes are taken.
    pub(crate) fn took(&self, bytes: usize) {
        self.0.increment(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// So many bytes are free again.
    pub(crate) fn gave_back(&self, bytes: usize) {
        self.0.decrement(u32::try_from(bytes).unwrap_or(u32::MAX));
    }
}

/// Counts for an MQTT listener.
#[derive(Clone, Debug)]
pub(crate) struct MqttListenerMeters {
    connector: String,
    open: Gauge,
    publications_refused: Counter,
}

impl MqttListenerMeters {
    /// The handles of the listeners of a connector.
    pub(crate) fn new(connector: &str) -> Self {
        let of = [(CONNECTOR, connector)];
        let meters = Self {
            connector: connector.to_owned(),
            open: all::MQTT_CONNECTIONS_OPEN.gauge(&of),
            publications_refused: all::MQTT_PUBLICATIONS_REFUSED.counter(&of),
        };
        meters.open.increment(0);
        meters.publications_refused.increment(0);
        for reason in ["handshake", "credentials", "not_authorized", "too_many_guesses", "busy", "too_many"] {
            meters.refusals(reason).increment(0);
        }
        meters
    }

    /// A device has connected.
    pub(crate) fn opened(&self) {
        self.open.increment(1);
    }

    /// The connection of a device has ended.
    pub(crate) fn closed(&self) {
        self.open.decrement(1);
    }

    /// A device was not let in, for one of a few reasons.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.refusals(reason).increment(1);
    }

    fn refusals(&self, reason: &'static str) -> Counter {
        all::MQTT_CONNECTIONS_REFUSED.counter(&[(CONNECTOR, &self.connector), ("reason", reason)])
    }

    /// A device may not publish what it did.
    pub(crate) fn publication_refused(&self) {
        self.publications_refused.increment(1);
    }
}

/// Counts a request to the FHIR service.
pub(crate) fn count_request(interaction: &str, status: u16, took: Duration) {
    all::FHIR_REQUESTS.counter(&[("interaction", interaction), ("status", &status.to_string())]).increment(1);
    all::FHIR_REQUEST_SECONDS.histogram(&[("interaction", interaction)]).record(took);
}

/// Counts entries of a Bundle that the FHIR service processed, all with this status.
pub(crate) fn count_bundle_entries(status: u16, count: u64) {
    all::FHIR_BUNDLE_ENTRIES.counter(&[("status", &status.to_string())]).increment(count);
}
