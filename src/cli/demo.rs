//! `vitalwire demo`: everything on embedded defaults, with real device recordings replayed.

use std::io::{IsTerminal as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Failure, app_failure, config_failure, say, stop_on_signal};
use crate::admin::Connectors;
use crate::app::{App, AppError, Exposure};
use crate::clock::Clock;
use crate::config::Config;
use crate::dead_letters::DeadLetters;
use crate::demo::{self, Devices};
use crate::model::receipt::Outcome;
use crate::telemetry;

/// Where devices connect unless told otherwise: MQTT's registered port.
const MQTT_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1883);
/// How often the progress is told on a terminal.
const TERMINAL_PROGRESS: Duration = Duration::from_secs(1);
/// How often the progress is told in a pipe.
const PIPE_PROGRESS: Duration = Duration::from_secs(10);

/// What may be typed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where everything durable is kept; a second start goes on from it
    #[arg(long, value_name = "DIR", default_value = "./vitalwire-data")]
    data_dir: PathBuf,
    /// Where HTTP is served
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where devices connect by MQTT; without it 127.0.0.1:1883, or any free port when that is taken
    #[arg(long, value_name = "ADDR")]
    mqtt_listen: Option<SocketAddr>,
    /// Readings a second
    #[arg(long, value_name = "N", default_value = "10")]
    rate: NonZeroU32,
    /// Listen on addresses other than loopback although there is no authentication
    #[arg(long)]
    insecure_no_auth: bool,
}

/// Runs the demo until it is told to stop.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let app = build(&arguments).await?;
    let stop = CancellationToken::new();
    stop_on_signal(&stop)?;
    let connectors = Arc::clone(&app.connectors().borrow());
    let (Some(mqtt), [connector]) = (app.mqtt_addresses().first().copied(), connectors.as_ref()) else {
        return Err(Failure::Other("the demo's connector is not as configured".to_owned()));
    };
    introduce(app.http_address(), mqtt, &arguments);

    let tasks = TaskTracker::new();
    let sent_before = usize::try_from(connector.settlements.snapshot().received).unwrap_or(0);
    let devices = Devices::connect(mqtt, &tasks, &stop);
    tasks.spawn(devices.replay(arguments.rate, sent_before, Clock::default(), stop.clone()));
    tasks.spawn(tell_progress(Arc::clone(&connectors), app.dead_letters(), stop.clone()));
    tasks.close();
    let ran = app.run(stop.clone()).await.map_err(|error| app_failure(&error));
    stop.cancel();
    tasks.wait().await;
    ran?;
    say("Stopped. Everything acknowledged is stored; the next start goes on from here.");
    Ok(())
}

/// Builds on the usual MQTT port, or on any other when a broker of this machine has that one.
async fn build(arguments: &Arguments) -> Result<App, Failure> {
    let first = build_on(arguments, arguments.mqtt_listen.unwrap_or(MQTT_DEFAULT)).await;
    match first {
        Err(BuildError::App(AppError::MqttAddress { .. })) if arguments.mqtt_listen.is_none() => {
            build_on(arguments, SocketAddr::new(MQTT_DEFAULT.ip(), 0)).await
        }
        other => other,
    }
    .map_err(|error| match error {
        BuildError::Told(failure) => failure,
        BuildError::App(error) => app_failure(&error),
    })
}

enum BuildError {
    Told(Failure),
    App(AppError),
}

async fn build_on(arguments: &Arguments, mqtt: SocketAddr) -> Result<App, BuildError> {
    let text = demo::config_text(&arguments.data_dir, arguments.listen, mqtt);
    let variables: Vec<_> = std::env::vars().filter(|(name, _)| name.starts_with("VITALWIRE_LOG__")).collect();
    let config = Config::parse(Some(("demo", &text)), &variables)
        .map_err(|problems| BuildError::Told(config_failure(&problems)))?;
    telemetry::start_logs(&config.log).map_err(|error| BuildError::Told(Failure::other(&error)))?;
    // On a second attempt the recorder of the first goes on collecting, but only one handle exists.
    let metrics = telemetry::meters::start_metrics().ok();
    let exposure = Exposure::from_flag(arguments.insecure_no_auth);
    App::build(config, None, exposure, metrics).await.map_err(BuildError::App)
}

fn introduce(http: SocketAddr, mqtt: SocketAddr, arguments: &Arguments) {
    let rate = arguments.rate;
    let data_dir = arguments.data_dir.display();
    say(&format!(
        "vitalwire {version}: real recordings of two wearables (heart rate) and one Holter ECG, {rate} messages a second

  FHIR R4 service   http://{http}/fhir
  MQTT listener     mqtt://{mqtt}   (topic of your choice)
  Data              {data_dir}

Try:
  the newest heart rates, with patients and devices
    curl 'http://{http}/fhir/Observation?code=http://loinc.org|8867-4&_sort=-date&_count=5&_include=Observation:subject&_include=Observation:device'
  what became of every message
    curl 'http://{http}/connectors/{connector}'
  what the service can do
    curl 'http://{http}/fhir/metadata'
  a reading of your own
    mosquitto_pub -h {host} -p {port} -q 1 -t mine -m '{{\"deviceid\":\"my-watch\",\"patientid\":\"me\",\"measurementdatetime\":\"{now:.3}\",\"heartrate\":72}}'

Ctrl-C stores what is under way and stops.
",
        version = env!("CARGO_PKG_VERSION"),
        connector = demo::CONNECTOR,
        host = mqtt.ip(),
        port = mqtt.port(),
        now = Clock::default().now(),
    ));
}

/// Tells how many messages there are: on one line of a terminal, on a line of its own in a pipe.
async fn tell_progress(connectors: Connectors, dead_letters: DeadLetters, stop: CancellationToken) {
    let terminal = std::io::stdout().is_terminal();
    let period = if terminal { TERMINAL_PROGRESS } else { PIPE_PROGRESS };
    let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
    let mut received_before = connectors.iter().map(|connector| connector.settlements.snapshot().received).sum::<u64>();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => {
                if terminal {
                    say("");
                }
                return;
            }
        }
        let Some(connector) = connectors.first() else { return };
        let ledger = connector.settlements.snapshot();
        let letters =
            dead_letters.count(demo::CONNECTOR).await.map_or_else(|_| "?".to_owned(), |count| count.to_string());
        let rate = ledger.received.saturating_sub(received_before) / period.as_secs().max(1);
        received_before = ledger.received;
        let line = format!(
            "{} messages, {} Observations stored, {letters} dead letters, {rate} messages/s",
            ledger.received,
            ledger.counts.of(Outcome::Stored),
        );
        if terminal {
            // A terminal that is gone wants no progress.
            drop(write!(std::io::stdout(), "\r{line}\x1b[K").and_then(|()| std::io::stdout().flush()));
        } else {
            say(&line);
        }
    }
}
