//! The way messages take to the measured source, and to the bare consumer that it is compared with: one for each kind.

use super::error::PipelineError;
use super::{PipelineSource, http, kafka, mqtt};
use crate::bench::http::Http;

/// The way of one kind, for the time of a measurement. What it makes at a broker is removed with `close`.
pub(super) enum Channel {
    /// Topics of a broker.
    Kafka(kafka::Topics),
    /// Topics of a broker.
    Mqtt(mqtt::Topics),
    /// Straight to the process.
    Http,
}

/// Reads and acknowledges, and does nothing else.
pub(super) enum Consumer {
    Kafka(kafka::Consumer),
    Mqtt(Box<mqtt::Consumer>),
    Http(http::Consumer),
}

/// Sends single messages to the measured source, over a connection that is kept.
pub(super) enum Producer {
    Kafka(kafka::Producer),
    Mqtt(mqtt::Producer),
    Http(Http),
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
            PipelineSource::Http => Self::Http,
        })
    }

    /// What is measured, in words.
    pub(super) fn introduction(&self) -> String {
        match self {
            Self::Kafka(topics) => topics.introduction(),
            Self::Mqtt(topics) => topics.introduction(),
            Self::Http => "HTTP push".to_owned(),
        }
    }

    /// The source of the connector, as its configuration says it.
    pub(super) fn source(&self) -> String {
        match self {
            Self::Kafka(topics) => topics.source(),
            Self::Mqtt(topics) => topics.source(),
            Self::Http => http::SOURCE.to_owned(),
        }
    }

    /// Where `vitalwire send` sends to for the source of the process at this root.
    pub(super) fn url(&self, root: &Http) -> String {
        match self {
            Self::Kafka(topics) => topics.url(),
            Self::Mqtt(topics) => topics.url(),
            Self::Http => http::url(root),
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
            Self::Http => Consumer::Http(http::Consumer::start().await?),
        })
    }

    /// As `consumer`.
    pub(super) async fn producer(&self, root: &Http) -> Result<Producer, PipelineError> {
        Ok(match self {
            Self::Kafka(topics) => Producer::Kafka(topics.producer()?),
            Self::Mqtt(topics) => Producer::Mqtt(topics.producer().await?),
            Self::Http => Producer::Http(root.clone()),
        })
    }

    /// Removes what was made at the broker, if that is still possible.
    pub(super) async fn close(self) {
        match self {
            Self::Kafka(topics) => topics.close().await,
            Self::Mqtt(topics) => topics.close().await,
            Self::Http => {}
        }
    }
}

impl Consumer {
    /// Where `vitalwire send` sends to for it.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Kafka(consumer) => consumer.url(),
            Self::Mqtt(consumer) => consumer.url(),
            Self::Http(consumer) => consumer.url(),
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
            // Its sender has the answers.
            Self::Http(_) => Ok(()),
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
            Self::Http(root) => Ok(root.push(http::PATH, message).await?),
        }
    }
}
