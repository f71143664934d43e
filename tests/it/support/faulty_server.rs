//! A FHIR server that is hard to live with: the real one in a process of its own, behind a proxy that delays, loses and
//! cuts answers, refuses Bundles and entries, and kills the process and starts it again.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::config::SERVICE;
use super::dice::Dice;
use super::fhir::Fhir;
use super::process::Vitalwire;

/// One request in so many meets a fault.
const REQUESTS_PER_FAULT: usize = 3;
/// One entry in so many of a Bundle meets a fault of entries.
const ENTRIES_PER_FAULT: usize = 4;

/// What may happen to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is carried out, and the answer comes so much later.
    Slow(Duration),
    /// It is carried out, and the connection ends instead of an answer.
    LoseAnswer,
    /// It is carried out, and the connection ends in the middle of the answer.
    CutAnswer,
    /// The connection ends, and nothing is carried out.
    HangUp,
    /// It is not carried out; the answer is this status, without a word more.
    Refuse(u16),
    /// It is carried out, and the answer is this status all the same.
    RefuseDone(u16),
    /// It is not carried out; the answer is 429 with `Retry-After` in this form.
    TooMany(RetryAfter),
    /// It is not carried out if its Bundle has more entries than this; the answer is 413 then.
    TooLarge(usize),
    /// Some entries are not carried out; the answer to them is this status.
    RefuseEntries(u16),
    /// All entries are carried out; the answer to some of them is this status all the same.
    RefuseDoneEntries(u16),
    /// The server is killed before it gets to see the request, and started again.
    Restart,
    /// The server is killed at any moment after it was sent the request, and started again.
    RestartMeanwhile,
    /// The server is killed when it has answered, which nobody hears, and started again.
    RestartDone,
}

/// The two forms of `Retry-After`, for a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryAfter {
    Seconds,
    Date,
}

/// Which requests meet which faults: as the dice say, until there were enough.
pub(crate) struct Plan {
    pub(crate) faults: Vec<Fault>,
    pub(crate) seed: u64,
    pub(crate) faults_max: usize,
}

/// A running proxy and the server behind it, which is killed when this is dropped.
pub(crate) struct FaultyServer {
    /// Base of the FHIR service, with faults.
    pub(crate) url: String,
    behind: Arc<Behind>,
}

struct Behind {
    /// Where the server listens, whenever it runs.
    address: String,
    directory: PathBuf,
    process: Mutex<Option<Vitalwire>>,
    progress: Mutex<Progress>,
}

struct Progress {
    plan: Plan,
    dice: Dice,
    made: usize,
}

impl FaultyServer {
    /// Starts both, the server with its data in `directory`.
    pub(crate) fn start(directory: &Path, plan: Plan) -> Self {
        let process = Vitalwire::serve(directory, SERVICE);
        let behind = Arc::new(Behind {
            address: process.http.trim_start_matches("http://").to_owned(),
            directory: directory.to_owned(),
            process: Mutex::new(Some(process)),
            progress: Mutex::new(Progress { dice: Dice::new(plan.seed), plan, made: 0 }),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/fhir", listener.local_addr().unwrap());
        let serving = Arc::clone(&behind);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serving = Arc::clone(&serving);
                // A connection that ends, ends: on either side, by a fault or not.
                std::thread::spawn(move || drop(serving.serve(stream)));
            }
        });
        Self { url, behind }
    }

    /// A client of the server behind, without faults.
    pub(crate) fn fhir(&self) -> Fhir {
        Fhir::new(format!("http://{}/fhir", self.behind.address))
    }

    /// How many faults there were.
    pub(crate) fn faults(&self) -> usize {
        self.behind.progress.lock().unwrap().made
    }

    /// There are no faults from now on.
    pub(crate) fn heal(&self) {
        self.behind.progress.lock().unwrap().plan.faults_max = 0;
    }
}

impl Drop for FaultyServer {
    fn drop(&mut self) {
        // The thread that takes connections never ends; the server must.
        drop(self.behind.process.lock().unwrap().take());
    }
}

/// How a request ended.
type Served = std::io::Result<()>;

impl Behind {
    fn restart(&self) {
        let mut process = self.process.lock().unwrap();
        if let Some(process) = process.take() {
            process.kill();
        }
        let config = SERVICE.replace("127.0.0.1:0", &self.address);
        *process = Some(Vitalwire::serve(&self.directory, &config));
    }

    fn serve(&self, stream: TcpStream) -> Served {
        stream.set_nodelay(true)?;
        let mut client = BufReader::new(stream);
        loop {
            let request = Message::read(&mut client)?;
            let fault = self.fault(&request);
            self.answer(&request, fault, client.get_mut())?;
        }
    }

    /// What happens to this request.
    fn fault(&self, request: &Message) -> Option<Fault> {
        let mut progress = self.progress.lock().unwrap();
        let applies = |fault: &Fault| {
            let too_large = |entries_max: usize| entries(&request.bundle()).len() > entries_max;
            if let Fault::TooLarge(entries_max) = fault { too_large(*entries_max) } else { true }
        };
        let strikes = progress.dice.below(REQUESTS_PER_FAULT) == 0 && progress.made < progress.plan.faults_max;
        let count = progress.plan.faults.len();
        let fault = strikes.then(|| progress.dice.below(count)).map(|index| progress.plan.faults[index]);
        let fault = fault.filter(applies)?;
        progress.made += 1;
        Some(fault)
    }

    fn answer(&self, request: &Message, fault: Option<Fault>, client: &mut TcpStream) -> Served {
        match fault {
            None => self.forward(request)?.write(client),
            Some(Fault::Slow(delay)) => {
                let answer = self.forward(request)?;
                // The fault itself; nothing waits for it to be over.
                std::thread::sleep(delay);
                answer.write(client)
            }
            Some(Fault::LoseAnswer) => self.forward(request).and_then(|_answer| hang_up()),
            Some(Fault::CutAnswer) => {
                let text = self.forward(request)?.text();
                client.write_all(&text[..text.len() / 2])?;
                hang_up()
            }
            Some(Fault::HangUp) => hang_up(),
            Some(Fault::Refuse(status)) => Message::refusal(status, "").write(client),
            Some(Fault::RefuseDone(status)) => {
                self.forward(request)?;
                Message::refusal(status, "").write(client)
            }
            Some(Fault::TooMany(form)) => Message::refusal(429, &form.header()).write(client),
            Some(Fault::TooLarge(_)) => Message::refusal(413, "").write(client),
            Some(Fault::RefuseEntries(status)) => self.refuse_entries(request, status)?.write(client),
            Some(Fault::RefuseDoneEntries(status)) => self.refuse_done_entries(request, status)?.write(client),
            Some(Fault::Restart) => self.restart_and_hang_up(),
            Some(Fault::RestartMeanwhile) => {
                let _open = self.send(request)?;
                self.restart_and_hang_up()
            }
            Some(Fault::RestartDone) => {
                self.forward(request)?;
                self.restart_and_hang_up()
            }
        }
    }

    fn restart_and_hang_up(&self) -> Served {
        self.restart();
        hang_up()
    }

    /// Sends a request to the server behind, on a connection of its own.
    fn send(&self, request: &Message) -> std::io::Result<BufReader<TcpStream>> {
        let mut server = TcpStream::connect(&self.address)?;
        // HTTP/1.0, so that the answer has a length.
        let head = request.head.replacen(" HTTP/1.1", " HTTP/1.0", 1);
        server.write_all(&Message { head, body: request.body.clone() }.text())?;
        Ok(BufReader::new(server))
    }

    fn forward(&self, request: &Message) -> std::io::Result<Message> {
        Message::read(&mut self.send(request)?)
    }

    fn refuse_entries(&self, request: &Message, status: u16) -> std::io::Result<Message> {
        let mut bundle = request.bundle();
        let chosen = self.choose(&bundle, status);
        let mut places = 0..;
        bundle["entry"].as_array_mut().unwrap().retain(|_| !chosen.contains(&places.next().unwrap()));
        let answer = self.forward(&request.with(&bundle))?;
        let mut response = answer.bundle();
        let mut answers = entries(&response).to_vec();
        for place in chosen {
            answers.insert(place, refused_entry(status));
        }
        response["entry"] = answers.into();
        Ok(answer.with(&response))
    }

    fn refuse_done_entries(&self, request: &Message, status: u16) -> std::io::Result<Message> {
        let answer = self.forward(request)?;
        let mut response = answer.bundle();
        for place in self.choose(&request.bundle(), status) {
            response["entry"][place] = refused_entry(status);
        }
        Ok(answer.with(&response))
    }

    /// Some entries, in ascending order; conflicts happen to writes only.
    fn choose(&self, bundle: &Value, status: u16) -> Vec<usize> {
        let mut progress = self.progress.lock().unwrap();
        let reads = |entry: &Value| entry["request"]["method"] == "GET";
        let candidates = entries(bundle).iter().enumerate();
        let candidates = candidates.filter(|(_, entry)| !matches!(status, 409 | 412) || !reads(entry));
        candidates.map(|(place, _)| place).filter(|_| progress.dice.below(ENTRIES_PER_FAULT) == 0).collect()
    }
}

fn hang_up() -> Served {
    Err(std::io::ErrorKind::ConnectionAborted.into())
}

fn entries(bundle: &Value) -> &[Value] {
    bundle["entry"].as_array().map_or(&[], Vec::as_slice)
}

fn refused_entry(status: u16) -> Value {
    let outcome =
        json!({ "resourceType": "OperationOutcome", "issue": [{ "severity": "error", "code": "transient" }] });
    json!({ "response": { "status": format!("{status} No"), "outcome": outcome } })
}

impl RetryAfter {
    #[expect(clippy::disallowed_methods, reason = "the proxy lives in real time, as the product does")]
    fn header(self) -> String {
        let value = match self {
            Self::Seconds => "1".to_owned(),
            Self::Date => httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(1)),
        };
        format!("retry-after: {value}\r\n")
    }
}

/// A request or an answer: its head without the length and the empty line, and its body.
struct Message {
    head: String,
    body: Vec<u8>,
}

impl Message {
    fn read(from: &mut impl BufRead) -> std::io::Result<Self> {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            match line.to_lowercase().strip_prefix("content-length:") {
                Some(value) => length = value.trim().parse().unwrap(),
                None if line.trim().is_empty() => break,
                None => head.push_str(&line),
            }
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body)?;
        Ok(Self { head, body })
    }

    fn refusal(status: u16, headers: &str) -> Self {
        Self { head: format!("HTTP/1.1 {status} No\r\n{headers}"), body: Vec::new() }
    }

    fn text(&self) -> Vec<u8> {
        let head = format!("{}content-length: {}\r\n\r\n", self.head, self.body.len());
        [head.as_bytes(), &self.body].concat()
    }

    fn write(&self, client: &mut TcpStream) -> Served {
        // The answer of the server speaks of a connection that is not this one.
        let head = self.head.replacen("HTTP/1.0", "HTTP/1.1", 1).replace("connection: close\r\n", "");
        client.write_all(&Self { head, body: self.body.clone() }.text())
    }

    /// The body as JSON, null when it is something else.
    fn bundle(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn with(&self, bundle: &Value) -> Self {
        Self { head: self.head.clone(), body: bundle.to_string().into_bytes() }
    }
}
