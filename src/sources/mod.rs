//! Where messages come from, each with a ledger of the receipts it handed out.
//!
//! A source takes a message, claims a receipt for it, passes both into the pipeline and answers its sender only when the
//! ledger releases the answer. Only this module knows MQTT and Kafka. When told to stop, a source takes nothing more, goes on
//! answering for what it took until its ledger is empty, and then disconnects; what a deadline cuts off comes again.

pub(crate) mod arrival;
pub(crate) mod backoff;
pub(crate) mod file;
pub(crate) mod http;
pub(crate) mod kafka;
pub(crate) mod ledger;
pub(crate) mod mqtt;
pub(crate) mod mqtt_listener;
mod packets;
mod passage;
pub(crate) mod replay;
pub(crate) mod state;
mod stream;
pub(crate) mod tls;
pub(crate) mod websocket;
mod wire;
