//! Every metric there is: its name, what kind it is, its labels and what it counts.
//!
//! Those of the reference keep their names (section 12 of the mapping specification), so that existing dashboards go on;
//! their dimensions are labels (TM-1). The others follow the habits of Prometheus. No label has more values than there
//! are connectors, sources, statuses or words in the code (promise P8).
//!
//! Errors have a table of their own, see [`super::errors`].

use metrics::{Counter, Gauge, Histogram, Label, Unit};

/// One metric.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Category and operation, when it is one of the reference.
    pub(super) reference: Option<(&'static str, &'static str)>,
    /// Labels beside the dimensions of the reference, in their order.
    pub(super) labels: &'static [&'static str],
    /// What it counts, in one sentence.
    pub(super) help: &'static str,
}

/// What kind of metric it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter(Unit),
    Gauge,
    Histogram(Scale),
}

/// Unit of a histogram, and where its buckets end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// Waiting for others, in seconds.
    Seconds,
    /// The same, in milliseconds.
    Milliseconds,
    /// Work on one message or batch, in milliseconds.
    WorkMilliseconds,
    /// How many at a time.
    Sizes,
}

impl Scale {
    /// Upper ends of the buckets.
    pub(super) fn buckets(self) -> &'static [f64] {
        match self {
            Self::Seconds => &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0],
            Self::Milliseconds => {
                &[1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 10_000.0, 60_000.0, 600_000.0]
            }
            Self::WorkMilliseconds => {
                &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 100.0, 1_000.0, 10_000.0]
            }
            Self::Sizes => &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 4_096.0],
        }
    }

    fn unit(self) -> Unit {
        match self {
            Self::Seconds => Unit::Seconds,
            Self::Milliseconds | Self::WorkMilliseconds => Unit::Milliseconds,
            Self::Sizes => Unit::Count,
        }
    }
}

/// The values of the labels of one series, in any order.
pub(super) type Values<'a> = &'a [(&'static str, &'a str)];

impl Metric {
    /// The series with these values, exposed from here on.
    pub(super) fn counter(&self, values: Values<'_>) -> Counter {
        metrics::counter!(self.name, self.series(values))
    }

    /// As `counter`.
    pub(super) fn gauge(&self, values: Values<'_>) -> Gauge {
        metrics::gauge!(self.name, self.series(values))
    }

    /// As `counter`.
    pub(super) fn histogram(&self, values: Values<'_>) -> Histogram {
        metrics::histogram!(self.name, self.series(values))
    }

    /// What is without a value is left out (TM-1). `Name` is that of the metric, if the values do not give another.
    fn series(&self, values: Values<'_>) -> Vec<Label> {
        let value = |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let own = self.labels.iter().filter_map(|name| Some(Label::new(*name, value(name)?)));
        let mut series: Vec<Label> = own.collect();
        if let Some((category, operation)) = self.reference {
            series.push(Label::new(NAME, value(NAME).unwrap_or_else(|| self.name.to_owned())));
            series
                .extend([Label::from_static_parts(CATEGORY, category), Label::from_static_parts(OPERATION, operation)]);
        }
        series
    }

    /// Tells the recorder what it means.
    pub(super) fn describe(&self) {
        match self.kind {
            Kind::Counter(unit) => metrics::describe_counter!(self.name, unit, self.help),
            Kind::Gauge => metrics::describe_gauge!(self.name, self.help),
            Kind::Histogram(scale) => metrics::describe_histogram!(self.name, scale.unit(), self.help),
        }
    }
}

/// The label of every metric of a pipeline.
pub(super) const CONNECTOR: &str = "connector";

// The words of TM-1.
pub(super) const NAME: &str = "Name";
pub(super) const CATEGORY: &str = "Category";
pub(super) const OPERATION: &str = "Operation";
pub(super) const RESOURCE_TYPE: &str = "ResourceType";
pub(super) const NORMALIZATION: &str = "Normalization";
pub(super) const FHIR_CONVERSION: &str = "FHIRConversion";
const TRAFFIC: &str = "Traffic";
const LATENCY: &str = "Latency";
pub(super) const ERRORS: &str = "Errors";

const COUNT: Kind = Kind::Counter(Unit::Count);
const SECONDS: Kind = Kind::Histogram(Scale::Seconds);
const MILLISECONDS: Kind = Kind::Histogram(Scale::Milliseconds);
const WORK: Kind = Kind::Histogram(Scale::WorkMilliseconds);
const SIZES: Kind = Kind::Histogram(Scale::Sizes);

/// A metric under a name of Prometheus.
const fn own(name: &'static str, kind: Kind, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind, reference: None, labels, help }
}

/// A metric under the name the reference gave it, with its category and operation.
const fn known(name: &'static str, kind: Kind, reference: (&'static str, &'static str), help: &'static str) -> Metric {
    Metric { name, kind, reference: Some(reference), labels: &[CONNECTOR], help }
}

pub(super) static ENVELOPES_RECEIVED: Metric =
    own("envelopes_received_total", COUNT, &[CONNECTOR], "messages taken from sources, those that come again included");
pub(super) static ENVELOPES_SETTLED: Metric = own(
    "envelopes_settled_total",
    COUNT,
    &[CONNECTOR, "outcome"],
    "messages whose end is durable, by the states of the ledger",
);
pub(super) static ENVELOPES_ABANDONED: Metric =
    own("envelopes_abandoned_total", COUNT, &[CONNECTOR], "messages handed back to their broker");
pub(super) static ENVELOPES_IN_FLIGHT: Metric =
    own("envelopes_in_flight", Kind::Gauge, &[CONNECTOR], "messages taken and not yet settled");
pub(super) static ENVELOPES_UNEXPLAINED: Metric = own(
    "envelopes_unexplained",
    Kind::Gauge,
    &[CONNECTOR],
    "messages of the ledger that are neither in flight nor in a named state; anything but 0 is a fault of the program",
);
pub(super) static CONNECTOR_STATE: Metric = own(
    "connector_state",
    Kind::Gauge,
    &[CONNECTOR, "state"],
    "1 for the state the connector is in (running, retrying, halted), else 0",
);
pub(super) static SOURCE_CONNECTED: Metric = own(
    "source_connected",
    Kind::Gauge,
    &[CONNECTOR, "source", "type"],
    "1 when messages can come in; `source` is its place in the list of the connector",
);
pub(super) static SOURCE_BEHIND: Metric = own(
    "source_behind_messages",
    Kind::Gauge,
    &[CONNECTOR, "source", "type"],
    "messages in the partitions of a Kafka source that have not ended, its lag",
);
pub(super) static MQTT_CONNECTIONS_OPEN: Metric =
    own("mqtt_connections_open", Kind::Gauge, &[CONNECTOR], "devices connected to the MQTT listener, or about to be");
pub(super) static MQTT_CONNECTIONS_REFUSED: Metric = own(
    "mqtt_connections_refused_total",
    COUNT,
    &[CONNECTOR, "reason"],
    "devices that the MQTT listener did not let in: handshake, credentials, not_authorized, too_many_guesses, busy or too_many",
);
pub(super) static MQTT_PUBLICATIONS_REFUSED: Metric = own(
    "mqtt_publications_refused_total",
    COUNT,
    &[CONNECTOR],
    "messages to the MQTT listener whose device may not publish to their topic",
);
pub(super) static MEASUREMENTS_EXTRACTED: Metric =
    own("measurements_extracted_total", COUNT, &[CONNECTOR], "measurements the device mapping found");
pub(super) static VALUES_OMITTED: Metric =
    own("values_omitted_total", COUNT, &[CONNECTOR, "code"], "optional values left out because a function failed");
pub(super) static OBSERVATIONS_DELIVERED: Metric = own(
    "observations_delivered_total",
    COUNT,
    &[CONNECTOR, "outcome"],
    "Observations written, or found as they should be",
);
pub(super) static OBSERVATIONS_CONTENDED: Metric = own(
    "observations_contended_total",
    COUNT,
    &[CONNECTOR],
    "writes whose condition did not hold, because another was faster or a message came again; they are merged and tried again",
);
pub(super) static DELIVERY_SECONDS: Metric = own(
    "delivery_seconds",
    SECONDS,
    &[CONNECTOR],
    "from the arrival of a message to the end of its Observation at the server",
);
pub(super) static BUNDLES_SUBMITTED: Metric =
    own("bundles_submitted_total", COUNT, &[CONNECTOR, "result"], "Bundles sent: processed or failed as a whole");
pub(super) static BUNDLE_SUBMISSION_SECONDS: Metric =
    own("bundle_submission_seconds", SECONDS, &[CONNECTOR], "from sending a Bundle to its answer");
pub(super) static DEAD_LETTERS_RECORDED: Metric = own(
    "dead_letters_recorded_total",
    COUNT,
    &[CONNECTOR, "stage", "code"],
    "messages, or parts of them, that could not be processed",
);
pub(super) static DEAD_LETTERS_REPLAYED: Metric = own(
    "dead_letters_replayed_total",
    COUNT,
    &[CONNECTOR, "end"],
    "messages processed once more: done, failed, unmatched or abandoned",
);
pub(super) static DEAD_LETTERS_DISCARDED: Metric =
    own("dead_letters_discarded_total", COUNT, &[CONNECTOR], "letters that an operator removed for good");
pub(super) static STAGE_PROCESSOR: Metric = own(
    "stage_processor_nanoseconds_total",
    Kind::Counter(Unit::Nanoseconds),
    &[CONNECTOR, "stage"],
    "processor time of the tasks of a stage (source, normalize, group, resolve, deliver, settlements, dead_letters); those of the connections of an MQTT listener and of requests with messages are not in it; only on Linux",
);

pub(super) static FHIR_REQUESTS: Metric = own(
    "fhir_requests_total",
    COUNT,
    &["interaction", "status"],
    "requests to the FHIR service, by interaction and status of the answer",
);
pub(super) static FHIR_REQUEST_SECONDS: Metric = own(
    "fhir_request_duration_seconds",
    SECONDS,
    &["interaction"],
    "from the arrival of a request to the FHIR service to its answer",
);
pub(super) static FHIR_BUNDLE_ENTRIES: Metric =
    own("fhir_bundle_entries_total", COUNT, &["status"], "entries of Bundles that the FHIR service processed");

pub(super) static FHIR_REQUEST_BYTES_IN_FLIGHT: Metric = own(
    "fhir_request_bytes_in_flight",
    Kind::Gauge,
    &[],
    "bytes of bodies in memory, at most `http.in_flight_bytes_max`",
);
pub(super) static HTTP_CONNECTIONS_OPEN: Metric =
    own("http_connections_open", Kind::Gauge, &[], "connections that are served, at most `http.connections_max`");
pub(super) static HTTP_CONNECTIONS_REFUSED: Metric =
    own("http_connections_refused_total", COUNT, &[], "connections refused because there were too many");
pub(super) static HTTP_PROCESSOR: Metric = own(
    "http_processor_nanoseconds_total",
    Kind::Counter(Unit::Nanoseconds),
    &[],
    "processor time of connections, and of reading the Bundles that come over them; what requests leave to threads for the database is not in it; only on Linux",
);

pub(super) static DEVICE_EVENT: Metric =
    known("DeviceEvent", COUNT, (TRAFFIC, NORMALIZATION), "messages whose normalization began");
pub(super) static DEVICE_EVENT_PROCESSING_LATENCY: Metric = known(
    "DeviceEventProcessingLatency",
    SECONDS,
    (LATENCY, NORMALIZATION),
    "from the arrival of a message to its normalization, in seconds",
);
pub(super) static DEVICE_EVENT_PROCESSING_LATENCY_MS: Metric = known(
    "DeviceEventProcessingLatencyMs",
    MILLISECONDS,
    (LATENCY, NORMALIZATION),
    "from the arrival of a message to its normalization, in milliseconds",
);
pub(super) static DEVICE_INGRESS_SIZE_BYTES: Metric = known(
    "DeviceIngressSizeBytes",
    Kind::Counter(Unit::Bytes),
    (TRAFFIC, NORMALIZATION),
    "bytes of bodies, and of names and values of all properties, of the messages normalized",
);
pub(super) static NORMALIZED_EVENT: Metric =
    known("NormalizedEvent", COUNT, (TRAFFIC, NORMALIZATION), "measurements sent on to be grouped");
pub(super) static DROPPED_EVENT: Metric =
    known("DroppedEvent", COUNT, (TRAFFIC, NORMALIZATION), "messages that no template matched, without an error");
pub(super) static NORMALIZED_EVENT_GENERATION_TIME_MS: Metric = known(
    "NormalizedEventGenerationTimeMs",
    WORK,
    (LATENCY, NORMALIZATION),
    "work on one message, from its bytes to its measurements",
);
pub(super) static NORMALIZATION_TIME_PER_BATCH_MS: Metric = known(
    "NormalizationTimePerBatchMs",
    WORK,
    (LATENCY, NORMALIZATION),
    "work on the messages that are normalized together",
);
pub(super) static NORMALIZATION_TEMPLATE_GENERATION_MS: Metric = known(
    "NormalizationTemplateGenerationMs",
    WORK,
    (LATENCY, NORMALIZATION),
    "until the mapping for a batch was at hand: a look at its files, and loading them when they changed",
);
pub(super) static MEASUREMENT_BATCH_SIZE: Metric =
    known("MeasurementBatchSize", SIZES, (TRAFFIC, NORMALIZATION), "measurements that come of one batch");
pub(super) static MEASUREMENT_BATCH_SUBMISSION_MS: Metric = known(
    "MeasurementBatchSubmissionMs",
    WORK,
    (LATENCY, NORMALIZATION),
    "until the measurements of a batch were sent on; long when what follows is the bottleneck",
);
pub(super) static EVENTS_FLUSHED: Metric =
    known("EventsFlushed", COUNT, (TRAFFIC, NORMALIZATION), "messages of the batches that were normalized and sent on");
pub(super) static BATCH_FLUSH_DURATION_MS: Metric = known(
    "BatchFlushDurationMs",
    WORK,
    (LATENCY, NORMALIZATION),
    "from taking a batch of messages up to having sent on what came of it",
);
pub(super) static MEASUREMENT: Metric = known(
    "Measurement",
    COUNT,
    (TRAFFIC, FHIR_CONVERSION),
    "measurements to be stored, those of one Observation and instant counted once",
);
pub(super) static MEASUREMENT_GROUP: Metric =
    known("MeasurementGroup", COUNT, (TRAFFIC, FHIR_CONVERSION), "groups of measurements that go into one Observation");
pub(super) static MEASUREMENT_INGESTION_LATENCY: Metric = known(
    "MeasurementIngestionLatency",
    SECONDS,
    (LATENCY, FHIR_CONVERSION),
    "from the arrival of a message to the conversion of its measurements, in seconds",
);
pub(super) static MEASUREMENT_INGESTION_LATENCY_MS: Metric = known(
    "MeasurementIngestionLatencyMs",
    MILLISECONDS,
    (LATENCY, FHIR_CONVERSION),
    "from the arrival of a message to the conversion of its measurements, in milliseconds",
);
pub(super) static FHIR_RESOURCE_SAVED: Metric = Metric {
    labels: &[CONNECTOR, RESOURCE_TYPE],
    ..known(
        "FhirResourceSaved",
        COUNT,
        (TRAFFIC, FHIR_CONVERSION),
        "resources by what was done; `Name` is the type and Created, Updated or NoOperation",
    )
};
pub(super) static FHIR_RESOURCE_CONTENTION: Metric = Metric {
    labels: &[CONNECTOR, RESOURCE_TYPE],
    ..known("FHIRResourceContention", COUNT, (ERRORS, FHIR_CONVERSION), "as `observations_contended_total`")
};
pub(super) static CHECKPOINT_UPDATE_DURATION_MS: Metric = known(
    "CheckpointUpdateDurationMs",
    WORK,
    (LATENCY, "Unknown"),
    "until the ends of messages were counted durably, which is when their sources hear of them",
);

/// All of them, in the order of the documentation.
pub(super) static ALL: [&Metric; 49] = [
    &ENVELOPES_RECEIVED,
    &ENVELOPES_SETTLED,
    &ENVELOPES_ABANDONED,
    &ENVELOPES_IN_FLIGHT,
    &ENVELOPES_UNEXPLAINED,
    &CONNECTOR_STATE,
    &SOURCE_CONNECTED,
    &SOURCE_BEHIND,
    &MQTT_CONNECTIONS_OPEN,
    &MQTT_CONNECTIONS_REFUSED,
    &MQTT_PUBLICATIONS_REFUSED,
    &MEASUREMENTS_EXTRACTED,
    &VALUES_OMITTED,
    &OBSERVATIONS_DELIVERED,
    &OBSERVATIONS_CONTENDED,
    &DELIVERY_SECONDS,
    &BUNDLES_SUBMITTED,
    &BUNDLE_SUBMISSION_SECONDS,
    &DEAD_LETTERS_RECORDED,
    &DEAD_LETTERS_REPLAYED,
    &DEAD_LETTERS_DISCARDED,
    &STAGE_PROCESSOR,
    &FHIR_REQUESTS,
    &FHIR_REQUEST_SECONDS,
    &FHIR_BUNDLE_ENTRIES,
    &FHIR_REQUEST_BYTES_IN_FLIGHT,
    &HTTP_CONNECTIONS_OPEN,
    &HTTP_CONNECTIONS_REFUSED,
    &HTTP_PROCESSOR,
    &DEVICE_EVENT,
    &DEVICE_EVENT_PROCESSING_LATENCY,
    &DEVICE_EVENT_PROCESSING_LATENCY_MS,
    &DEVICE_INGRESS_SIZE_BYTES,
    &NORMALIZED_EVENT,
    &DROPPED_EVENT,
    &NORMALIZED_EVENT_GENERATION_TIME_MS,
    &NORMALIZATION_TIME_PER_BATCH_MS,
    &NORMALIZATION_TEMPLATE_GENERATION_MS,
    &MEASUREMENT_BATCH_SIZE,
    &MEASUREMENT_BATCH_SUBMISSION_MS,
    &EVENTS_FLUSHED,
    &BATCH_FLUSH_DURATION_MS,
    &MEASUREMENT,
    &MEASUREMENT_GROUP,
    &MEASUREMENT_INGESTION_LATENCY,
    &MEASUREMENT_INGESTION_LATENCY_MS,
    &FHIR_RESOURCE_SAVED,
    &FHIR_RESOURCE_CONTENTION,
    &CHECKPOINT_UPDATE_DURATION_MS,
];
