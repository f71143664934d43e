//! A real Apache Kafka: one process that is broker and controller, on ports of its own.

pub(crate) mod client;

use std::fmt::Write as _;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tokio::sync::OnceCell;
use uuid::Uuid;

use self::client::Client;
use crate::support::guarded_server::Authority;

/// Where `scripts/test` puts the jars that `tests/kafka` names.
const INSTALLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/kafka/lib");

/// It lives for seconds: quick to compile, one thread for its garbage, little memory.
const JAVA: &[&str] = &["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"];
const QUIET: &str = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn";

/// Keeps a broker running for as long as its input is open, which is no longer than the process of the tests lives,
/// however that ends. Then removes the directory, if it is to be removed.
const KEEPER: &str = r#"trap '' INT; "$@" & broker=$!; cat; kill -9 $broker; wait $broker; rm -rf "$0""#;

/// A user of the listeners with passwords, and the password.
pub(crate) const USER: (&str, &str) = ("ann", "right");

static SHARED: OnceCell<Kafka> = OnceCell::const_new();

/// The broker that all tests share, as nothing is restarted or broken there. Each test has topics and groups of its own,
/// see `unique`.
pub(crate) async fn shared() -> &'static Kafka {
    let start = async || {
        let directory = tempfile::tempdir().unwrap().keep();
        Kafka::start_in(&directory, Some(&directory)).await
    };
    SHARED.get_or_init(start).await
}

/// Where messages are exchanged without encryption and login: at the broker that `VITALWIRE_TEST_KAFKA` names
/// (`host:port`), or else at the shared one.
#[expect(clippy::disallowed_methods, reason = "a switch of the tests and no part of the configuration")]
pub(crate) async fn address() -> String {
    match std::env::var("VITALWIRE_TEST_KAFKA") {
        Ok(address) => address,
        Err(_) => shared().await.plain(),
    }
}

/// A name for a topic and a group that no other test uses.
pub(crate) fn unique(name: &str) -> String {
    format!("{name}-{}", Uuid::new_v4().simple())
}

/// A running broker, killed when dropped.
pub(crate) struct Kafka {
    keeper: Child,
    directory: PathBuf,
    ports: [u16; 5],
}

impl Kafka {
    /// Starts a broker that keeps its logs in this directory. No topic is made unless it is asked for.
    pub(crate) async fn start(directory: &Path) -> Self {
        Self::start_in(directory, None).await
    }

    async fn start_in(directory: &Path, removed: Option<&Path>) -> Self {
        let (ports, authority) = (free_ports(), Authority::new());
        std::fs::write(directory.join("authority.pem"), authority.pem()).unwrap();
        let (certificate, key) = authority.identity().pem();
        std::fs::write(directory.join("server.pem"), key + &certificate).unwrap();
        let (certificate, key) = authority.identity().pem();
        std::fs::write(directory.join("client.pem"), certificate).unwrap();
        std::fs::write(directory.join("client.key"), key).unwrap();
        std::fs::write(directory.join("server.properties"), properties(directory, ports)).unwrap();
        format(directory);
        let keeper = spawn(directory, removed);
        let kafka = Self { keeper, directory: directory.to_owned(), ports };
        kafka.answers().await;
        kafka
    }

    /// Kills the broker and starts it again where it was.
    pub(crate) async fn restart(self) -> Self {
        self.kill().start().await
    }

    /// `kill -9`; what it has written stays.
    pub(crate) fn kill(self) -> Stopped {
        Stopped { directory: self.directory.clone(), ports: self.ports }
    }

    async fn answers(&self) {
        let log = self.directory.join("log");
        let brokers = Client::new(&self.plain()).brokers();
        assert_eq!(brokers, 1, "{}", std::fs::read_to_string(log).unwrap());
    }

    /// The listener without encryption and login.
    pub(crate) fn plain(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// The listener with TLS and login: PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512, as `USER`. Event Hubs has one such, so PLAIN
    /// also takes `$ConnectionString` with `connection_string`.
    pub(crate) fn with_password(&self) -> String {
        format!("localhost:{}", self.ports[1])
    }

    /// The listener with TLS for clients with a certificate, see `identity`.
    pub(crate) fn with_certificate(&self) -> String {
        format!("localhost:{}", self.ports[2])
    }

    /// The listener with TLS for clients with a token (OAUTHBEARER). It believes what unsigned tokens say.
    pub(crate) fn with_token(&self) -> String {
        format!("localhost:{}", self.ports[3])
    }

    /// Where a certificate that the broker trusts is, and its key.
    pub(crate) fn identity(&self) -> (PathBuf, PathBuf) {
        (self.directory.join("client.pem"), self.directory.join("client.key"))
    }

    /// Where the certificate of who certified the broker is.
    pub(crate) fn authority(&self) -> PathBuf {
        self.directory.join("authority.pem")
    }

    /// What Azure shows for a hub called `telemetry`.
    pub(crate) fn connection_string(&self) -> String {
        connection_string(self.ports)
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Fails when it has ended already.
        drop(self.keeper.wait());
    }
}

/// A broker that was killed.
pub(crate) struct Stopped {
    directory: PathBuf,
    ports: [u16; 5],
}

impl Stopped {
    /// Starts it again on the same ports, with all it has written.
    pub(crate) async fn start(self) -> Kafka {
        let Self { directory, ports } = self;
        let kafka = Kafka { keeper: spawn(&directory, None), directory, ports };
        kafka.answers().await;
        kafka
    }
}

fn java(directory: &Path, program: &str) -> Vec<String> {
    let jars = format!("{INSTALLED}/*");
    assert!(Path::new(INSTALLED).join("installed").exists(), "Apache Kafka must be installed; scripts/test does it");
    let log_file = format!("-Dorg.slf4j.simpleLogger.logFile={}", directory.join("log").display());
    let arguments = [&["java"], JAVA, &[QUIET, &log_file, "-cp", &jars, program]].concat();
    arguments.into_iter().map(str::to_owned).collect()
}

/// Makes the directory one that a broker can start with, and the user known to SCRAM.
fn format(directory: &Path) {
    let java = java(directory, "kafka.tools.StorageTool");
    let mut command = Command::new(&java[0]);
    command.args(&java[1..]).args(["format", "-t", "c2hhcmVkLWJ5LXRlc3RzIQ", "-c", "server.properties"]);
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        command.args(["--add-scram", &format!("{mechanism}=[name={},password={}]", USER.0, USER.1)]);
    }
    let output = command.current_dir(directory).output().expect("java must be installed; scripts/test does it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn spawn(directory: &Path, removed: Option<&Path>) -> Child {
    let removed = removed.map_or_else(String::new, |removed| removed.display().to_string());
    let output = File::create(directory.join("output")).unwrap();
    Command::new("sh")
        .args(["-c", KEEPER, &removed])
        .args(java(directory, "kafka.Kafka"))
        .arg("server.properties")
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap()
}

/// The configuration of a cluster of one. A broker that was killed may come back once its session has ended.
fn properties(directory: &Path, [plain, password, certificate, token, controller]: [u16; 5]) -> String {
    let (user, secret) = USER;
    let connection_string = connection_string([plain, password, certificate, token, controller]);
    let login = "org.apache.kafka.common.security";
    let mut text = format!(
        r#"
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAIN://127.0.0.1:{plain},PASSWORD://localhost:{password},CERTIFICATE://localhost:{certificate},TOKEN://localhost:{token},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAIN:PLAINTEXT,PASSWORD:SASL_SSL,CERTIFICATE:SSL,TOKEN:SASL_SSL,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
ssl.keystore.type=PEM
ssl.keystore.location=server.pem
ssl.truststore.type=PEM
ssl.truststore.location=authority.pem
listener.name.certificate.ssl.client.auth=required
listener.name.password.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.password.plain.sasl.jaas.config={login}.plain.PlainLoginModule required user_{user}="{secret}" user_$ConnectionString="{connection_string}";
listener.name.token.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.token.oauthbearer.sasl.jaas.config={login}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
log.dirs={}
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=300
group.min.session.timeout.ms=1000
message.max.bytes=33554432
"#,
        directory.join("data").display()
    );
    for mechanism in ["scram-sha-256", "scram-sha-512"] {
        let module = format!("{login}.scram.ScramLoginModule required;");
        writeln!(text, "listener.name.password.{mechanism}.sasl.jaas.config={module}").unwrap();
    }
    text
}

fn connection_string([_, password, ..]: [u16; 5]) -> String {
    let key = "SharedAccessKeyName=reader;SharedAccessKey=bm90IGEgc2VjcmV0";
    format!("Endpoint=sb://localhost:{password}/;{key};EntityPath=telemetry")
}

/// Ports nobody uses now, all different.
fn free_ports() -> [u16; 5] {
    let sockets = [(); 5].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    sockets.map(|socket| socket.local_addr().unwrap().port())
}
