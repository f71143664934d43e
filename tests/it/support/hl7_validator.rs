//! The official HL7 validator, in one process for all tests of a run.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use serde_json::Value;

/// How long an answer may take. The first one waits until all of R4's definitions are read.
const ANSWER_MAX: Duration = Duration::from_secs(180);

/// Where `scripts/test` puts the program of `tests/hl7-validator`.
const BUILT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/hl7-validator");

static VALIDATOR: OnceLock<Mutex<Validator>> = OnceLock::new();

/// Its process, which ends when its input does: with the process of the tests.
struct Validator {
    resources: ChildStdin,
    answers: Receiver<String>,
}

/// What is wrong with a resource, empty when nothing is. Warnings do not count: LOINC is not part of R4, so none of its
/// codes can be looked up here.
pub(crate) fn errors(resource: &Value) -> Vec<String> {
    let answer = ask(&resource.to_string());
    let issues: Vec<Value> = serde_json::from_str(&answer).unwrap();
    let errors = issues.iter().filter(|issue| !matches!(issue["severity"].as_str(), Some("information" | "warning")));
    errors.map(|issue| format!("{}: {} ({})", issue["location"], issue["message"], issue["id"])).collect()
}

/// Tells it of a profile that resources may claim.
pub(crate) fn learn(profile: &Value) {
    assert_eq!(ask(&format!("+{profile}")), "[]");
}

/// The JSON of a resource in XML on one line, as the official parsers have it.
pub(crate) fn json_of(xml: &str) -> Value {
    serde_json::from_str(&ask(xml)).unwrap()
}

fn ask(resource: &str) -> String {
    VALIDATOR.get_or_init(|| Mutex::new(Validator::start())).lock().unwrap().ask(resource)
}

impl Validator {
    fn start() -> Self {
        let built = Path::new(BUILT);
        let libraries = std::fs::read_to_string(built.join("classpath")).expect("scripts/test builds the validator");
        let classes = built.join("classes");
        let mut child = Command::new("java")
            // It lives for seconds: quick to compile, one thread for its garbage.
            .args(["-Xmx1g", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"])
            .arg(format!("{}:{}", classes.display(), libraries.trim()))
            .arg("Validate")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(built.join("log")).unwrap())
            .spawn()
            .expect("java must be installed; scripts/test does it");
        let (resources, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, answers) = mpsc::channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.map_while(|line| sender.send(line).ok()).for_each(drop);
            child.wait()
        });
        Self { resources, answers }
    }

    fn ask(&mut self, resource: &str) -> String {
        writeln!(self.resources, "{resource}").unwrap();
        let answer = self.answers.recv_timeout(ANSWER_MAX);
        answer.unwrap_or_else(|error| panic!("no answer, {error}; {BUILT}/log says why"))
    }
}
