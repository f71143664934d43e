//! Why a pipeline could not be measured, and what to mend.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::bench::http::HttpError;
use crate::bench::server::ServerError;

/// Why a pipeline could not be measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PipelineError {
    /// The measured process.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A request to it.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Not a host and a port.
    #[error("`{0}` is no broker: write HOST:PORT, such as 127.0.0.1:9092")]
    Address(String),
    /// No Kafka broker.
    #[error(
        "no Kafka broker answers at {broker}; start one, for example with `docker run -p 9092:9092 apache/kafka`, and name it \
         with --broker"
    )]
    NoKafka {
        /// Where it was looked for.
        broker: String,
        /// What librdkafka said.
        #[source]
        cause: KafkaError,
    },
    /// The broker makes no topic.
    #[error("the Kafka broker does not create the topic {topic}; it must let anybody create and delete topics")]
    NoTopic {
        /// Its name.
        topic: String,
        /// Why.
        #[source]
        cause: RDKafkaErrorCode,
    },
    /// A client of Kafka failed in the middle.
    #[error("the Kafka broker failed")]
    Kafka(#[source] KafkaError),
    /// No MQTT broker.
    #[error(
        "no MQTT broker lets anybody in at {broker}; start one, for example with `mosquitto -p 1883`, and name it with --broker"
    )]
    NoMqtt {
        /// Where it was looked for.
        broker: String,
        /// What the connection said.
        #[source]
        cause: Box<rumqttc::ConnectionError>,
    },
    /// The connection to the MQTT broker broke in the middle.
    #[error("the connection to the MQTT broker broke")]
    Mqtt(#[source] Box<rumqttc::ConnectionError>),
    /// The MQTT client takes nothing more.
    #[error("the connection to the MQTT broker has ended")]
    MqttEnded,
    /// Messages cannot be written to a file, or a process or a server started.
    #[error("cannot prepare the measurement")]
    Prepare(#[source] std::io::Error),
    /// `vitalwire send` failed.
    #[error("the messages were not all sent: {0}")]
    Sender(String),
    /// The measured process says something else about its connector than this program understands.
    #[error("the ledger of the measured connector cannot be read")]
    Ledger(#[source] serde_json::Error),
    /// The source has no connection.
    #[error("the source of the measured connector did not connect within {seconds} s: {reason}")]
    NotConnected {
        /// How long it was waited for.
        seconds: u64,
        /// What it is in, or what is in its way.
        reason: String,
    },
    /// Messages did not become Observations.
    #[error("{0} messages were not stored; a fast wrong answer is no figure")]
    NotStored(u64),
    /// Messages did not arrive.
    #[error(
        "only {ended} of {sent} messages arrived, and none for {seconds} s; a broker of MQTT drops what it has no room for: \
         for Mosquitto, set max_queued_messages 0"
    )]
    Missing {
        /// Those stored.
        ended: u64,
        /// Those sent.
        sent: u64,
        /// How long nothing came.
        seconds: u64,
    },
    /// The FHIR service has other Observations than were sent.
    #[error("a search finds {found} Observations of {sent} messages; a fast wrong answer is no figure")]
    Miscounted {
        /// Those found.
        found: u64,
        /// Messages sent.
        sent: u64,
    },
    /// A single message is not found.
    #[error("`{query}` found nothing within {seconds} s")]
    NotFound {
        /// The query, relative to the base.
        query: String,
        /// How long it was asked.
        seconds: u64,
    },
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}
