//! The binary as a user starts it.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use super::fhir::Fhir;
use super::wait::until;

/// How long a process may take to say that it serves.
const START_MAX: Duration = Duration::from_secs(30);

/// A running `vitalwire serve` or `demo`, killed when dropped.
pub(crate) struct Vitalwire {
    child: Child,
    log: JoinHandle<Vec<String>>,
    /// Where HTTP is served.
    pub(crate) http: String,
    /// Where devices may connect, if anywhere.
    pub(crate) mqtt: Option<String>,
}

/// A command of the binary under test.
pub(crate) fn vitalwire(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vitalwire"));
    command.args(arguments).env_remove("RUST_LOG");
    command
}

impl Vitalwire {
    /// Runs `serve` with a configuration and waits until it serves.
    pub(crate) fn serve(directory: &Path, config: &str) -> Self {
        Self::serve_with(directory, config, &[])
    }

    /// As `serve`, with environment variables.
    pub(crate) fn serve_with(directory: &Path, config: &str, variables: &[(&str, &str)]) -> Self {
        let file = directory.join("vitalwire.toml");
        std::fs::write(&file, config).unwrap();
        let mut command = vitalwire(&["serve", "--config"]);
        command.arg(file).current_dir(directory).env("VITALWIRE_LOG__FORMAT", "json");
        command.envs(variables.iter().copied());
        Self::start(command)
    }

    /// Runs a command that serves, with JSON logs, and waits until it does.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (ready, is_ready) = mpsc::channel();
        let log = std::thread::spawn(move || {
            let mut lines = Vec::new();
            let mut addresses = (None, None);
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Ok(entry) = serde_json::from_str::<Value>(&line) {
                    let address = entry["address"].as_str().map(str::to_owned);
                    match (entry["message"].as_str(), entry["service"].as_str()) {
                        (Some("listening"), Some("http")) => addresses.0 = address,
                        (Some("listening"), Some("mqtt")) => addresses.1 = address,
                        (Some("ready"), _) => drop(ready.send(addresses.clone())),
                        _ => {}
                    }
                }
                lines.push(line);
            }
            lines
        });
        match is_ready.recv_timeout(START_MAX) {
            Ok((Some(http), mqtt)) => Self { child, log, http: format!("http://{http}"), mqtt },
            Ok((None, _)) => panic!("ready without a word on where HTTP is served"),
            Err(_) => {
                drop(child.kill());
                child.wait().unwrap();
                panic!("not ready: {}", log.join().unwrap().join("\n"));
            }
        }
    }

    /// A client of its FHIR service.
    pub(crate) fn fhir(&self) -> Fhir {
        Fhir::new(format!("{}/fhir", self.http))
    }

    /// The value of a metric without labels.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let text = self.fhir().get(&format!("{}/metrics", self.http)).await.check(200).text;
        let values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let values: Vec<&str> = values.collect();
        let [value] = values.as_slice() else { panic!("no {name} in {text}") };
        value.parse().unwrap()
    }

    /// How a connector stands.
    pub(crate) async fn connector(&self, connector: &str) -> Value {
        self.fhir().get_json(&format!("{}/connectors/{connector}", self.http)).await
    }

    /// The ledger of a connector.
    pub(crate) async fn ledger(&self, connector: &str) -> Value {
        self.connector(connector).await["ledger"].take()
    }

    /// Waits until the first source of a connector stands, for a broker keeps nothing for a session it has never seen.
    pub(crate) async fn subscribed(&self, connector: &str) {
        let connected = |connector: &Value| connector["sources"][0]["state"] == "connected";
        until(Duration::from_secs(60), async || self.connector(connector).await, connected).await;
    }

    /// `kill -9`: no chance to say goodbye.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ctrl-C: drains, ends, and gives back its exit status and log.
    pub(crate) fn interrupt(self) -> (ExitStatus, Vec<String>) {
        self.signal("INT");
        self.ended()
    }

    /// Sends a signal and goes on.
    pub(crate) fn signal(&self, name: &str) {
        let signal = format!("-{name}");
        assert!(Command::new("kill").args([&signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory it ever had, in KiB.
    #[cfg(target_os = "linux")]
    pub(crate) fn memory_peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end; gives back its exit status and log.
    pub(crate) fn ended(mut self) -> (ExitStatus, Vec<String>) {
        let status = self.child.wait().unwrap();
        let log = std::mem::replace(&mut self.log, std::thread::spawn(Vec::new));
        (status, log.join().unwrap())
    }
}

impl Drop for Vitalwire {
    fn drop(&mut self) {
        // Both fail when the process has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs a command to its end: exit code, standard output, standard error.
pub(crate) fn run(mut command: Command) -> (Option<i32>, String, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let errors = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        text
    });
    let mut output = String::new();
    child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    (child.wait().unwrap().code(), output, errors.join().unwrap())
}

/// `vitalwire check` of a configuration: exit code and everything said, standard output first.
pub(crate) fn check(directory: &Path, config: &str) -> (Option<i32>, String) {
    std::fs::write(directory.join("checked.toml"), config).unwrap();
    let mut command = vitalwire(&["check", "--config", "checked.toml"]);
    command.current_dir(directory);
    let (code, output, errors) = run(command);
    (code, output + &errors)
}
