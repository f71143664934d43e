//! What librdkafka is told (<https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md>).

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::{KafkaSettings, Login};

/// How often offsets of messages that have ended are committed. After a crash, what ended since comes again, and changes
/// nothing.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// Bytes that are fetched ahead of what is taken.
const FETCHED_KILOBYTES_MAX: u32 = 32 * 1_024;
/// Messages that are fetched ahead of what is taken.
const FETCHED_MESSAGES_MIN: u32 = 20_000;
/// Pause of a partition while enough is fetched ahead.
const FETCH_PAUSE: Duration = Duration::from_millis(10);
/// Pause of a partition after an error.
const FETCH_ERROR_PAUSE: Duration = Duration::from_millis(250);
/// How soon topics and partitions that are new are found.
const METADATA_EVERY: Duration = Duration::from_secs(10);
/// Longest pause before a broker is connected to again.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often the standing of the group is looked at.
pub(super) const STATISTICS_EVERY: Duration = Duration::from_secs(2);
/// Heartbeats in the time after which a silent consumer loses its partitions.
const HEARTBEATS_PER_SESSION: u32 = 6;
/// Azure closes connections that are idle for four minutes; one that is about to be closed is not used.
const EVENT_HUBS_IDLE_MAX: Duration = Duration::from_secs(180);

/// What it takes to ask.
pub(super) fn visitor(settings: &KafkaSettings) -> ClientConfig {
    let mut config = connection(settings);
    config.set("group.id", &settings.group_id).set("enable.auto.commit", "false");
    replace(&mut config, &settings.properties);
    config
}

/// Whom to ask, and as whom.
fn connection(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Info);
    config.set("bootstrap.servers", &settings.bootstrap_servers).set("client.id", "vitalwire");
    config.set("reconnect.backoff.max.ms", millis(RECONNECT_PAUSE_MAX)).set("socket.keepalive.enable", "true");
    config.set("allow.auto.create.topics", "false");
    if settings.is_event_hubs {
        config.set("connections.max.idle.ms", millis(EVENT_HUBS_IDLE_MAX));
    }
    let is_known = !matches!(settings.login, Login::Anonymous);
    config.set(
        "security.protocol",
        match (settings.tls.is_some(), is_known) {
            (false, false) => "PLAINTEXT",
            (false, true) => "SASL_PLAINTEXT",
            (true, false) => "SSL",
            (true, true) => "SASL_SSL",
        },
    );
    match &settings.login {
        Login::Anonymous => {}
        Login::Password { mechanism, username, password } => {
            config.set("sasl.mechanism", *mechanism).set("sasl.username", username);
            config.set("sasl.password", password.expose());
        }
        Login::Tokens(_) => {
            config.set("sasl.mechanism", "OAUTHBEARER");
        }
    }
    if let Some(tls) = &settings.tls {
        if let Some(authorities) = &tls.authorities {
            config.set("ssl.ca.pem", authorities);
        }
        if let Some(identity) = &tls.identity {
            config.set("ssl.certificate.pem", identity.expose()).set("ssl.key.pem", identity.expose());
        }
    }
    config
}

/// What it takes to be a member of the group.
///
/// Offsets are stored when their messages have ended, and committed from there in the background, before partitions are
/// given up, and at the end.
pub(super) fn member(settings: &KafkaSettings) -> ClientConfig {
    let mut config = connection(settings);
    config
        .set("group.id", &settings.group_id)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", millis(settings.session_timeout))
        .set("heartbeat.interval.ms", millis(settings.session_timeout / HEARTBEATS_PER_SESSION))
        .set("enable.auto.offset.store", "false")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", millis(COMMIT_EVERY))
        // Where messages that nobody has read were deleted, those that are left are read.
        .set("auto.offset.reset", "earliest")
        .set("queued.max.messages.kbytes", FETCHED_KILOBYTES_MAX.to_string())
        .set("queued.min.messages", FETCHED_MESSAGES_MIN.to_string())
        .set("fetch.queue.backoff.ms", millis(FETCH_PAUSE))
        .set("fetch.error.backoff.ms", millis(FETCH_ERROR_PAUSE))
        .set("topic.metadata.refresh.interval.ms", millis(METADATA_EVERY))
        .set("statistics.interval.ms", millis(STATISTICS_EVERY));
    if let Some(instance) = &settings.group_instance_id {
        config.set("group.instance.id", instance);
    }
    replace(&mut config, &settings.properties);
    config
}

fn replace(config: &mut ClientConfig, properties: &[(String, String)]) {
    for (name, value) in properties {
        config.set(name, value);
    }
}

fn millis(span: Duration) -> String {
    span.as_millis().to_string()
}
