//! Reading: the requests that clinicians' tools make most, one after the other on one connection.

use serde_json::Value;

use super::data::{IDENTIFIERS, PATIENTS, family, nth_sign, scattered};
use super::http::Http;
use super::latency::{Latencies, milliseconds};
use super::{BenchError, BenchOptions};

/// Requests of each kind before measuring.
const WARM_UP: u64 = 50;

/// A kind of request.
struct Kind {
    title: &'static str,
    /// The request for a number that looks like chance.
    path: fn(&Known, u64) -> String,
}

/// What requests are made of.
struct Known {
    /// Observations stored.
    stored: u64,
    /// Ids of some of them.
    ids: Vec<String>,
}

const KINDS: [Kind; 10] = [
    Kind { title: "read by id", path: |known, chance| format!("Observation/{}", known.id(chance)) },
    Kind {
        title: "patient + code + date, newest 50",
        path: |_, chance| {
            let (patient, code) = (chance % PATIENTS, code(chance));
            format!("Observation?subject=Patient/bench-p{patient}&code={code}&date=ge2024-01-01&_sort=-date&_count=50")
        },
    },
    Kind {
        title: "code, newest 50",
        path: |_, chance| format!("Observation?code={}&_sort=-date&_count=50", code(chance)),
    },
    Kind {
        title: "code-value-quantity, 50 rows",
        path: |_, chance| {
            let sign = nth_sign(chance);
            let (code, unit, least) = (sign.code, sign.unit.replace('%', "%25"), sign.middle());
            format!(
                "Observation?code-value-quantity=http://loinc.org%7C{code}%24gt{least}%7Chttp://unitsofmeasure.org%7C{unit}&_count=50"
            )
        },
    },
    Kind {
        title: "identifier",
        path: |known, chance| format!("Observation?identifier={IDENTIFIERS}%7C{}", chance % known.stored),
    },
    Kind { title: "count by code", path: |_, chance| format!("Observation?code={}&_summary=count", code(chance)) },
    Kind {
        title: "chain by patient's family name, 50 rows",
        path: |_, chance| {
            let family = family(chance % PATIENTS);
            format!("Observation?subject:Patient.family={family}&_count=50")
        },
    },
    Kind {
        title: "patient, with patient and device included, 50 rows",
        path: |_, chance| {
            let patient = chance % PATIENTS;
            format!(
                "Observation?subject=Patient/bench-p{patient}&_count=50&_include=Observation:subject&_include=Observation:device"
            )
        },
    },
    Kind {
        title: "$lastn of a patient",
        path: |_, chance| format!("Observation/$lastn?subject=Patient/bench-p{}", chance % PATIENTS),
    },
    Kind {
        title: "$lastn of a patient, 3 of each code",
        path: |_, chance| format!("Observation/$lastn?subject=Patient/bench-p{}&max=3", chance % PATIENTS),
    },
];

fn code(chance: u64) -> String {
    format!("http://loinc.org%7C{}", nth_sign(chance).code)
}

impl Known {
    fn id(&self, chance: u64) -> &str {
        let length = u64::try_from(self.ids.len()).unwrap_or(1).max(1);
        let index = usize::try_from(chance % length).unwrap_or_default();
        self.ids.get(index).map_or("", String::as_str)
    }
}

/// Measures every kind and says what came of it.
pub(super) async fn measure(http: &Http, options: &BenchOptions, say: &impl Fn(&str)) -> Result<(), BenchError> {
    let stored = options.stored;
    let known = Known { stored, ids: some_ids(http, stored).await? };
    say(&format!("{:<52} {:>8} {:>8} {:>10}", "", "p50 ms", "p99 ms", "bytes"));
    for kind in &KINDS {
        let mut latencies = Latencies::default();
        let mut longest = 0;
        for turn in 0..WARM_UP + options.measured {
            let path = (kind.path)(&known, scattered(turn));
            let (body, latency) = http.timed_get(&path).await?;
            if turn >= WARM_UP {
                latencies.add(latency);
                longest = longest.max(body.len());
            } else if !is_found(&body) {
                return Err(BenchError::Empty { query: path });
            }
        }
        let (half, most) = (milliseconds(latencies.percentile(50)), milliseconds(latencies.percentile(99)));
        say(&format!("{:<52} {half:>8} {most:>8} {longest:>10}", kind.title));
    }
    Ok(())
}

/// Whether an answer has what it was asked for.
fn is_found(body: &[u8]) -> bool {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let entries = body.get("entry").and_then(Value::as_array).map_or(0, Vec::len);
    let total = body.get("total").and_then(Value::as_u64).unwrap_or(0);
    body.get("resourceType").and_then(Value::as_str) != Some("Bundle") || entries > 0 || total > 0
}

/// Ids of Observations from all parts of what is stored.
async fn some_ids(http: &Http, stored: u64) -> Result<Vec<String>, BenchError> {
    let mut ids = Vec::new();
    for turn in 0..200 {
        let query = format!("Observation?identifier={IDENTIFIERS}%7C{}", scattered(turn) % stored.max(1));
        let body: Value = serde_json::from_slice(&http.get(&query).await?).unwrap_or_default();
        let Some(id) = body.pointer("/entry/0/resource/id").and_then(Value::as_str) else {
            return Err(BenchError::Empty { query });
        };
        ids.push(id.to_owned());
    }
    Ok(ids)
}
