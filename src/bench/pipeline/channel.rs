//! The way messages take to the measured source, and to the bare consumer that it is compared with: one for each kind.

use super::error::PipelineError;
use super::{PipelineSource, kafka, mqtt};

/// The way of one kind, for the time of a measurement. What it makes at a broker is removed with `close`.
pub(super) enum Channel {
    /// Topics of a broker.
    Kafka(kafka::Topics),
    /// Topics of a broker.
    Mqtt(mqtt::Topics),
}

/// Reads and acknowledges, and does nothing else.
pub(super) enum Consumer {
    Kafka(kafka::Consumer),
    Mqtt(Box<mqtt::Consumer>),
}

/// Sends single messages to the measured source, over a connection that is kept.
pub(super) enum Producer {
    Kafka(kafka::Producer),
    Mqtt(mqtt::Producer),
}

impl Channel {
    /// Makes what is needed at the broker.
    ///
    /// # Errors
    /// When there is no such broker, or it does not want that.
    pub(super) async fn open(source: &PipelineSource) -> Result<Self, PipelineError> {
        Ok(match source {
            PipelineSource::Kafka { broker } => Self::Kafka(kafka::Topics::open(broker).await?),
            PipelineSource::Mqtt { broker } => Self::Mqtt(mqtt::Topics::open(broker).await?),
        })
    }

    /// What is measured, in words.
    pub(super) fn introduction(&self) -> String {
        match self {
            Self::Kafka(topics) => topics.introduction(),
            Self::Mqtt(topics) => topics.introduction(),
        }
    }

    /// The source of the connector, as its configuration says it.
    pub(super) fn source(&self) -> String {
        match self {
            Self::Kafka(topics) => topics.source(),
            Self::Mqtt(topics) => topics.source(),
        }
    }

    /// Where `vitalwire send` sends to for the measured source.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Kafka(topics) => topics.url(),
            Self::Mqtt(topics) => topics.url(),
        }
    }

    /// A consumer, ready for so many messages.
    ///
    /// # Errors
    /// When the broker, or the system, does not let it be.
    pub(super) async fn consumer(&self, messages: u64) -> Result<Consumer, PipelineError> {
        Ok(match self {
            Self::Kafka(topics) => Consumer::Kafka(topics.consumer(messages).await?),
            Self::Mqtt(topics) => Consumer::Mqtt(Box::new(topics.consumer(messages).await?)),
        })
    }

    /// As `consumer`.
    pub(super) async fn producer(&self) -> Result<Producer, PipelineError> {
        Ok(match self {
            Self::Kafka(topics) => Producer::Kafka(topics.producer()?),
            Self::Mqtt(topics) => Producer::Mqtt(topics.producer().await?),
        })
    }

    /// Removes what was made at the broker, if that is still possible.
    pub(super) async fn close(self) {
        match self {
            Self::Kafka(topics) => topics.close().await,
            Self::Mqtt(topics) => topics.close().await,
        }
    }
}

impl Consumer {
    /// Where `vitalwire send` sends to for it.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Kafka(consumer) => consumer.url(),
            Self::Mqtt(consumer) => consumer.url(),
        }
    }

    /// Consumes until it has all messages.
    ///
    /// # Errors
    /// When they do not come.
    pub(super) async fn consume(&mut self) -> Result<(), PipelineError> {
        match self {
            Self::Kafka(consumer) => consumer.consume().await,
            Self::Mqtt(consumer) => consumer.consume().await,
        }
    }
}

impl Producer {
    /// Sends a message, which has this number.
    ///
    /// # Errors
    /// When that is not possible.
    pub(super) async fn send(&self, number: u64, message: String) -> Result<(), PipelineError> {
        match self {
            Self::Kafka(producer) => producer.send(number, &message).await,
            Self::Mqtt(producer) => producer.send(message).await,
        }
    }
}
