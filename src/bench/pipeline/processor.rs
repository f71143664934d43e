//! Processor time of the measured process, by part: its own metrics of stages and connections, and its named threads.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::PipelineError;
use super::ledger::CONNECTOR;
use crate::bench::http::Http;
use crate::bench::server::Server;

/// Parts in the order of the report: what the metrics or the threads of the process call them, and their titles.
const PARTS: [(&str, &str); 11] = [
    ("rdk:", "librdkafka"),
    ("kafka-poller", "Kafka poller"),
    ("source", "source"),
    ("normalize", "normalize"),
    ("group", "group"),
    ("resolve", "resolve"),
    ("deliver", "deliver"),
    ("settlements", "settlements"),
    ("dead_letters", "dead letters"),
    ("http", "HTTP connections, the FHIR service among them"),
    ("database-writer", "SQLite writer"),
];

/// What has been used up to a moment.
pub(super) struct Used {
    process: Duration,
    parts: BTreeMap<&'static str, Duration>,
}

impl Used {
    /// What the process has used so far; `None` where the system does not tell.
    ///
    /// # Errors
    /// When the process does not answer.
    pub(super) async fn now(server: &Server, root: &Http) -> Result<Option<Self>, PipelineError> {
        let Some(process) = server.processor_time() else { return Ok(None) };
        let metrics = root.get("metrics").await?;
        let metrics = String::from_utf8_lossy(&metrics);
        let mut parts = BTreeMap::new();
        for (name, used) in metrics.lines().filter_map(counted).chain(server.threads()) {
            let part = PARTS.iter().find(|(known, _)| *known == name || (*known == "rdk:" && name.starts_with(known)));
            if let Some((_, title)) = part {
                *parts.entry(*title).or_default() += used;
            }
        }
        Ok(Some(Self { process, parts }))
    }

    /// Lines that say what was used since `before`, for each of so many messages.
    pub(super) fn report(&self, before: &Self, messages: u64) -> Vec<String> {
        let each = |used: Duration| used.as_secs_f64() * 1e6 / f64::from(u32::try_from(messages).unwrap_or(u32::MAX));
        let process = self.process.saturating_sub(before.process);
        let mut lines = vec![format!("processor time of the whole process: {:.1} us a message", each(process))];
        let mut rest = process;
        for (_, title) in PARTS {
            let of = |used: &Self| used.parts.get(title).copied();
            if let Some(now) = of(self) {
                let used = now.saturating_sub(of(before).unwrap_or_default());
                rest = rest.saturating_sub(used);
                lines.push(format!("  {title}: {:.1} us a message", each(used)));
            }
        }
        lines.push(format!("  runtime, HTTP client, blocking work and the rest: {:.1} us a message", each(rest)));
        lines
    }
}

/// The part and the time that a line of the metrics tells of.
fn counted(line: &str) -> Option<(String, Duration)> {
    let (series, nanoseconds) = line.rsplit_once(' ')?;
    let name = match series {
        "http_processor_nanoseconds_total" => "http",
        _ => {
            let labels = series.strip_prefix("stage_processor_nanoseconds_total{")?.strip_suffix("\"}")?;
            labels.strip_prefix(&format!("connector=\"{CONNECTOR}\",stage=\""))?
        }
    };
    Some((name.to_owned(), Duration::from_nanos(nanoseconds.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::{Used, counted};

    fn used(process: u64, deliver: u64) -> Used {
        let parts = BTreeMap::from([("deliver", Duration::from_micros(deliver))]);
        Used { process: Duration::from_micros(process), parts }
    }

    #[test]
    fn times_are_told_by_message_with_what_is_left_over() {
        let lines = used(11_000, 4_500).report(&used(1_000, 500), 100);
        let expected = [
            "processor time of the whole process: 100.0 us a message",
            "  deliver: 40.0 us a message",
            "  runtime, HTTP client, blocking work and the rest: 60.0 us a message",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn the_metrics_of_the_connector_and_of_connections_are_read() {
        let group = r#"stage_processor_nanoseconds_total{connector="bench",stage="group"} 1500"#;
        assert_eq!(counted(group), Some(("group".to_owned(), Duration::from_nanos(1_500))));
        let http = "http_processor_nanoseconds_total 7";
        assert_eq!(counted(http), Some(("http".to_owned(), Duration::from_nanos(7))));
        assert_eq!(counted(r#"stage_processor_nanoseconds_total{connector="other",stage="group"} 1"#), None);
        assert_eq!(counted("# HELP http_processor_nanoseconds_total that"), None);
    }
}
