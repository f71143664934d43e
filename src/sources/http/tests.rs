use std::collections::BTreeMap;
use std::future::ready;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::{Door, Doors, Push, PushSettings, router};
use crate::answers::{self, Answers};
use crate::clock::Clock;
use crate::database::Database;
use crate::model::Tracked;
use crate::model::dead_letter::{Cause, Stage};
use crate::model::envelope::{Envelope, WayIn};
use crate::model::intake::Intake;
use crate::model::receipt::Outcome;
use crate::model::room::Room;
use crate::model::samples::Unwitnessed;
use crate::secret::Secret;

const READING: &str = r#"{"hr": 61.0}"#;
const JSON: (&str, &str) = ("content-type", "application/json");
const LINES: (&str, &str) = ("content-type", "application/x-ndjson");
const EVENT: (&str, &str) = ("content-type", "application/cloudevents+json");
const EVENTS: (&str, &str) = ("content-type", "application/cloudevents-batch+json");

fn settings() -> PushSettings {
    PushSettings {
        token: None,
        headers: vec!["X-Device-Id".to_owned()],
        body_bytes_max: 1_000,
        reading_bytes_max: 100_000,
        messages_max: 5,
        requests_max: 10,
        in_flight_max: 10,
        request_timeout: Duration::from_secs(30),
        message_bytes_max: 500,
        split_arrays: false,
        is_strict: true,
    }
}

/// A door with a pipeline behind it that the test plays.
struct Bench {
    router: Router,
    inbox: mpsc::Receiver<Tracked<Envelope>>,
    stop: CancellationToken,
    tasks: TaskTracker,
    _directory: tempfile::TempDir,
}

impl Bench {
    fn new(settings: PushSettings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::stopped("2024-03-02T07:15:00.25Z".parse().unwrap());
        let answers = Answers::new(Database::open(directory.path(), &[answers::SCHEMA]).unwrap(), clock.clone());
        let (outbox, inbox) = mpsc::channel(10);
        let intake = Intake::new(Arc::from("ward"), Arc::new(Unwitnessed), Room::new(100_000), outbox);
        let (doors, tasks, stop) = (Doors::default(), TaskTracker::new(), CancellationToken::new());
        let push = Push::new(Door::new(Arc::from("ward"), settings, clock, answers));
        doors.put("ward", Some(push.door()));
        // Polled once, it has opened the door.
        let mut running = Box::pin(push.run(intake, tasks.clone(), stop.clone()));
        assert!(futures_util::FutureExt::now_or_never(&mut running).is_none());
        tasks.spawn(running);
        Self { router: router(doors), inbox, stop, tasks, _directory: directory }
    }

    /// Sends a request, and plays the pipeline as `end` says until there is an answer.
    async fn ask(&mut self, request: Request<Body>, end: impl Fn(Tracked<Envelope>)) -> Answer {
        let mut answer = Box::pin(self.router.clone().oneshot(request));
        loop {
            tokio::select! {
                answer = &mut answer => return Answer::of(answer.unwrap()).await,
                message = self.inbox.recv() => end(message.unwrap()),
            }
        }
    }

    /// The messages of a request, all stored, as the pipeline sees them.
    async fn taken(&mut self, request: Request<Body>) -> Vec<Envelope> {
        let (seen, taken) = std::sync::mpsc::channel();
        let answer = self.ask(request, |message| {
            seen.send(message.value).unwrap();
            message.receipt.complete(Outcome::Stored);
        });
        let answer = answer.await.check(200);
        let taken: Vec<Envelope> = taken.try_iter().collect();
        assert_eq!(answer.body["stored"], taken.len(), "{answer:?}");
        taken
    }

    /// As `ask`, when nothing of it is to be taken.
    async fn refused(&mut self, request: Request<Body>, status: u16, says: &str) -> Answer {
        let answer = self.ask(request, |message| panic!("taken: {message:?}")).await.check(status);
        assert!(answer.body["error"].as_str().unwrap().contains(says), "{answer:?}");
        answer
    }
}

fn stored(message: Tracked<Envelope>) {
    message.receipt.complete(Outcome::Stored);
}

fn post(query: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::post(format!("/connectors/ward/messages{query}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Value,
}

impl Answer {
    async fn of(response: Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let header = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        Self {
            status: head.status.as_u16(),
            headers: head.headers.iter().map(header).collect(),
            body: serde_json::from_slice(&bytes).unwrap(),
        }
    }

    #[track_caller]
    fn check(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

fn bodies(envelopes: &[Envelope]) -> Vec<&[u8]> {
    envelopes.iter().map(|envelope| envelope.body.as_ref()).collect()
}

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn ev_9_ev_10_ev_12_one_message_is_taken_as_sent_with_what_is_known_of_it() {
    let mut bench = Bench::new(settings());
    let request = post("", &[JSON, ("x-device-id", "d-7"), ("authorization", "Bearer x"), ("x-other", "1")], READING);
    let [envelope] = &bench.taken(request).await[..] else { panic!() };
    assert_eq!(envelope.body, READING);
    assert_eq!(Value::Object(envelope.properties.clone()), json!({ "X-Device-Id": "d-7" }));
    let system_properties = json!({
        "contentType": "application/json",
        "x-opt-enqueued-time": "2024-03-02T07:15:00.25Z",
        "x-opt-sequence-number": 1,
    });
    assert_eq!(Value::Object(envelope.system_properties.clone()), system_properties);
    assert_eq!(envelope.enqueued_at, "2024-03-02T07:15:00.25Z".parse().unwrap());
    assert_eq!((envelope.origin.position, &*envelope.origin.source), (1, "http"));
    assert_eq!((envelope.body_bytes_max, envelope.split_arrays), (500, false));
}

#[tokio::test]
async fn lines_and_elements_are_messages_byte_for_byte() {
    let mut bench = Bench::new(settings());
    let lines = "\u{feff}{\"a\": 1.0}\r\n\n  [2]\nnot JSON\n";
    let taken = bench.taken(post("", &[LINES], lines)).await;
    assert_eq!(bodies(&taken), [b"{\"a\": 1.0}".as_slice(), b"[2]", b"not JSON"]);
    let taken = bench.taken(post("?split=true", &[JSON], "[ {\"a\": 1.0}, [2] ]")).await;
    assert_eq!(bodies(&taken), [b"{\"a\": 1.0}".as_slice(), b"[2]"]);
    assert_eq!(taken[1].origin.position, 5);
    let taken = bench.taken(post("", &[JSON], "[{\"a\": 1.0}]")).await;
    assert_eq!(bodies(&taken), [b"[{\"a\": 1.0}]"]);
}

#[tokio::test]
async fn packed_bodies_are_unpacked_and_bombs_are_not() {
    let mut bench = Bench::new(settings());
    let coded = [LINES, ("content-encoding", "gzip")];
    let taken = bench.taken(post("", &coded, packed("1\n2\n"))).await;
    assert_eq!(bodies(&taken), [b"1", b"2"]);
    let zstd = zstd::encode_all(READING.as_bytes(), 1).unwrap();
    assert_eq!(bodies(&bench.taken(post("", &[JSON, ("content-encoding", "zstd")], zstd)).await), [READING.as_bytes()]);
    let bomb = packed(&"1\n".repeat(1 << 20));
    bench.refused(post("", &coded, bomb), 413, "`body_bytes_max`").await;
    bench.refused(post("", &coded, "1\n"), 400, "cannot be unpacked").await;
    bench.refused(post("", &[JSON, ("content-encoding", "br")], READING), 415, "gzip, deflate and zstd").await;
}

fn event(more: &str) -> String {
    format!(r#"{{"specversion": "1.0", "id": "e-1", "source": "/gw", "type": "reading"{more}}}"#)
}

#[tokio::test]
async fn the_data_of_an_event_is_the_body_and_its_attributes_are_properties_whichever_way_it_comes() {
    let mut bench = Bench::new(settings());
    let attributes = json!({ "ce-specversion": "1.0", "ce-id": "e-1", "ce-source": "/gw", "ce-type": "reading" });
    let document = event(r#", "data": {"hr": 61.0}"#);
    let base64 = event(&format!(
        r#", "data_base64": "{}", "datacontenttype": "application/senml+json""#,
        STANDARD.encode(READING)
    ));
    let binary = [JSON, ("ce-specversion", "1.0"), ("ce-id", "e-1"), ("ce-source", "/gw"), ("ce-type", "reading")];
    let batch = format!("[{document},\n{base64}]");
    for request in [
        post("", &[EVENT], document.clone()),
        post("", &[EVENT], base64.clone()),
        post("", &binary, READING),
        post("", &[EVENTS], batch),
    ] {
        for envelope in bench.taken(request).await {
            assert_eq!(envelope.body, READING);
            assert_eq!(Value::Object(envelope.properties), attributes);
            assert!(envelope.system_properties["contentType"].as_str().unwrap().ends_with("json"));
        }
    }
    let typed = event(r#", "data": 1, "bed": 4, "dry": true, "subject": null, "comment": "é""#);
    let [envelope] = &bench.taken(post("", &[EVENT, ("x-device-id", "d")], typed)).await[..] else { panic!() };
    let more =
        ["ce-bed", "ce-dry", "ce-subject", "ce-comment", "X-Device-Id"].map(|name| envelope.properties.get(name));
    assert_eq!(more, [Some(&json!(4)), Some(&json!(true)), None, Some(&json!("é")), Some(&json!("d"))]);
    let escaped = [&binary[..], &[("ce-subject", "Euro%20%E2%82%AC%25")]].concat();
    let [envelope] = &bench.taken(post("", &escaped[1..], "")).await[..] else { panic!() };
    assert_eq!((envelope.properties["ce-subject"].as_str(), envelope.body.len()), (Some("Euro €%"), 0));
}

#[tokio::test]
async fn what_cannot_be_understood_as_a_whole_is_refused_as_a_whole() {
    let mut bench = Bench::new(settings());
    bench.refused(post("", &[JSON], "{\"hr\":"), 400, "not JSON (line 1, column 6)").await;
    bench.refused(post("", &[JSON], "{} {}"), 400, "not JSON").await;
    bench.refused(post("", &[JSON], vec![b'"', 0xff, b'"']), 400, "not JSON").await;
    bench.refused(post("", &[JSON], ""), 400, "no message").await;
    bench.refused(post("", &[LINES], " \n\n"), 400, "no message").await;
    bench.refused(post("?split=true", &[JSON], "{}"), 400, "not an array").await;
    bench.refused(post("?split=true", &[JSON], "[1,"), 400, "not an array").await;
    bench.refused(post("?split=true", &[JSON], "[]"), 400, "no message").await;
    bench.refused(post("?splt=true", &[JSON], "[]"), 400, "only parameter").await;
    bench.refused(post("", &[EVENT], "[]"), 400, "an object").await;
    bench.refused(post("", &[EVENT], event("").replace("e-1", "")), 400, "needs the attribute `id`").await;
    bench.refused(post("", &[EVENT], event("").replace("1.0", "0.3")), 400, "`specversion`").await;
    bench.refused(post("", &[EVENT], event(r#", "data": 1, "data_base64": "MQ==""#)), 400, "not both").await;
    bench.refused(post("", &[EVENT], event(r#", "data_base64": "%""#)), 400, "not Base64").await;
    bench.refused(post("", &[EVENT], event(r#", "x": {}"#)), 400, "`x` is not a text").await;
    bench.refused(post("", &[EVENTS], format!("[{},{{}}]", event(""))), 400, "event 2: ").await;
    bench.refused(post("", &[JSON, ("ce-specversion", "1.0")], READING), 400, "needs the attribute `id`").await;
    bench.refused(post("", &[], READING), 415, "application/x-ndjson").await;
    bench.refused(post("", &[("content-type", "text/plain")], READING), 415, "application/x-ndjson").await;
    bench.refused(post("", &[LINES], "1\n".repeat(6)), 413, "`messages_max`").await;
    bench.refused(post("?split=true", &[JSON], "[1,2,3,4,5,6]"), 413, "`messages_max`").await;
    bench.refused(post("", &[JSON], format!("\"{}\"", "1".repeat(999))), 413, "`body_bytes_max`").await;
    let chunks = futures_util::stream::iter((0..4).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b'1'; 300]))));
    bench.refused(post("", &[JSON], Body::from_stream(chunks)), 413, "`body_bytes_max`").await;
    let broken = futures_util::stream::once(ready(Err::<Bytes, _>(std::io::Error::other("reset"))));
    bench.refused(post("", &[JSON], Body::from_stream(broken)), 400, "broke off").await;
}

#[tokio::test]
async fn a_mapping_that_reads_lax_json_judges_single_messages_itself() {
    let mut bench = Bench::new(PushSettings { is_strict: false, ..settings() });
    assert_eq!(bodies(&bench.taken(post("", &[JSON], "{hr: 61}")).await), [b"{hr: 61}"]);
}

#[tokio::test]
async fn each_message_has_its_result_and_what_was_wrong_with_it_by_itself() {
    let mut bench = Bench::new(settings());
    let end = |Tracked { value: envelope, receipt }: Tracked<Envelope>| {
        let kind = envelope.body.clone();
        let envelope = Arc::new(envelope);
        let dead = |stage, code, reason: &str| {
            let cause = Cause { stage, code, reason: reason.to_owned(), template: None, mapping: Arc::from("m") };
            let letter = cause.letter(&envelope, receipt.share(), jiff::Timestamp::UNIX_EPOCH);
            let WayIn::Asked(_, inquiry) = &envelope.way_in else { panic!() };
            (0..5).for_each(|number| inquiry.tell(17 + number, &letter.value));
            letter.receipt.complete(Outcome::DeadLettered);
        };
        match kind.as_ref() {
            b"1" => dead(Stage::Normalize, "IncompatibleDataException", "no hr"),
            b"2" => dead(Stage::Resolve, "PatientDeviceMismatchException", "it is of Patient/17"),
            b"3" => receipt.share().complete(Outcome::Merged),
            b"4" => receipt.share().complete(Outcome::Unchanged),
            _ => receipt.share().complete(Outcome::Unmatched),
        }
        receipt.hand_on();
    };
    let answer = bench.ask(post("", &[LINES], "1\n2\n3\n4\n5"), end).await.check(200);
    let letters = |code: &str, reason: Option<&str>| {
        let letter = |id: i64| match reason {
            Some(reason) => json!({ "id": id, "code": code, "reason": reason }),
            None => json!({ "id": id, "code": code }),
        };
        (17..20).map(letter).collect::<Vec<_>>()
    };
    let expected = json!({
        "received": 5, "stored": 0, "merged": 1, "unchanged": 1, "unmatched": 1, "dead_lettered": 2,
        "messages": [
            { "outcome": "dead_lettered", "dead_letters": letters("IncompatibleDataException", Some("no hr")) },
            { "outcome": "dead_lettered", "dead_letters": letters("PatientDeviceMismatchException", None) },
            { "outcome": "merged" },
            { "outcome": "unchanged" },
            { "outcome": "unmatched" },
        ],
    });
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn only_who_shows_the_token_may_send() {
    let mut bench = Bench::new(PushSettings { token: Some(Secret::new("s3cret".to_owned())), ..settings() });
    for wrong in ["Bearer s3cre", "Bearer s3crett", "Bearer", "Basic s3cret", "s3cret", "Bearer  s3cret"] {
        let answer = bench.refused(post("", &[JSON, ("authorization", wrong)], READING), 401, "`token`").await;
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"vitalwire\"");
    }
    bench.refused(post("", &[JSON], READING), 401, "`token`").await;
    bench.taken(post("", &[JSON, ("authorization", "bearer s3cret")], READING)).await;
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_say_what_is() {
    let mut bench = Bench::new(settings());
    let elsewhere = Request::post("/connectors/homes/messages").header("content-type", "application/json");
    bench.refused(elsewhere.body(Body::from(READING)).unwrap(), 404, "type = \"http\"").await;
    let get = Request::get("/connectors/ward/messages").body(Body::empty()).unwrap();
    assert_eq!(bench.refused(get, 405, "POST").await.headers["allow"], "POST");
}

#[tokio::test(start_paused = true)]
async fn p_7_who_comes_when_there_is_no_room_is_told_to_come_back_before_sending_anything() {
    let mut bench = Bench::new(PushSettings { in_flight_max: 8, ..settings() });
    let unread =
        || Body::from_stream(futures_util::stream::once(async { panic!("read") as Result<Bytes, std::io::Error> }));
    // Nobody takes these up, so their senders hear that they are not stored yet.
    let fill = |router: Router, count: usize| async move {
        Answer::of(router.oneshot(post("", &[LINES], "1\n".repeat(count))).await.unwrap()).await
    };
    let answer = fill(bench.router.clone(), 5).await.check(503);
    assert!(answer.body["error"].as_str().unwrap().contains("changes nothing"), "{answer:?}");
    assert_eq!(
        (answer.body["received"].as_u64(), &answer.body["messages"][4]),
        (Some(5), &json!({ "outcome": "pending" }))
    );
    assert_eq!(answer.headers["retry-after"], "5");
    // Those go on, and count.
    let answer = fill(bench.router.clone(), 5).await.check(429);
    assert_eq!(answer.headers["retry-after"], "1");
    fill(bench.router.clone(), 3).await.check(503);
    bench
        .router
        .clone()
        .oneshot(post("", &[JSON], unread()))
        .await
        .map(|answer| assert_eq!(answer.status(), 429))
        .unwrap();
    while let Ok(message) = bench.inbox.try_recv() {
        stored(message);
    }
    // Time stands still until the requests have noticed.
    tokio::time::sleep(Duration::from_millis(1)).await;
    bench.ask(post("", &[JSON], READING), stored).await.check(200);
}

#[tokio::test(start_paused = true)]
async fn p_7_so_is_who_comes_when_the_queue_is_full() {
    let bench = Bench::new(PushSettings { in_flight_max: 100, ..settings() });
    for _ in 0..2 {
        let request = post("", &[LINES], "1\n".repeat(5));
        assert_eq!(bench.router.clone().oneshot(request).await.unwrap().status(), 503);
    }
    assert_eq!(bench.router.clone().oneshot(post("", &[JSON], READING)).await.unwrap().status(), 429);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_given_up() {
    let mut bench = Bench::new(settings());
    let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    bench.refused(post("", &[JSON], never), 408, "did not arrive").await;
}

#[tokio::test]
async fn p_1_what_is_abandoned_is_not_answered_as_stored() {
    let mut bench = Bench::new(settings());
    let end = |message: Tracked<Envelope>| {
        if message.value.body == "1" {
            stored(message)
        }
    };
    let answer = bench.ask(post("", &[LINES], "1\n2"), end).await.check(503);
    assert_eq!(answer.body["messages"], json!([{ "outcome": "stored" }, { "outcome": "pending" }]));
}

#[tokio::test]
async fn a_request_with_a_key_has_one_answer_however_often_it_comes() {
    let mut bench = Bench::new(settings());
    let keyed = |key: &'static str, body: &'static str| post("", &[JSON, ("idempotency-key", key)], body);
    let first = bench.ask(keyed("\"k-1\"", READING), stored).await.check(200);
    let again = bench.ask(keyed("k-1", READING), |message| panic!("taken: {message:?}")).await.check(200);
    assert_eq!(again.body, first.body);
    assert_eq!((first.headers.get("idempotency-replayed"), &*again.headers["idempotency-replayed"]), (None, "true"));
    bench.refused(keyed("k-1", "{}"), 422, "each request its own").await;
    let other_device = post("", &[JSON, ("idempotency-key", "k-1"), ("x-device-id", "d")], READING);
    bench.refused(other_device, 422, "each request its own").await;
    bench.refused(keyed("", READING), 400, "`Idempotency-Key`").await;
    let long: &'static str = "k".repeat(256).leak();
    bench.refused(keyed(long, READING), 400, "`Idempotency-Key`").await;
    // What was not stored has no answer to keep.
    bench.ask(keyed("k-2", READING), drop).await.check(503);
    assert_eq!(bench.ask(keyed("k-2", READING), stored).await.check(200).headers.get("idempotency-replayed"), None);
}

#[tokio::test]
async fn p_1_a_sender_that_goes_away_changes_nothing_about_what_was_taken() {
    let mut bench = Bench::new(settings());
    let keyed = || post("", &[LINES, ("idempotency-key", "k")], "1\n2\n");
    let mut asking = Box::pin(bench.router.clone().oneshot(keyed()));
    let first = tokio::select! {
        answer = &mut asking => panic!("{answer:?}"),
        message = bench.inbox.recv() => message.unwrap(),
    };
    drop(asking);
    let second = bench.inbox.recv().await.unwrap();
    let answer = bench.refused(keyed(), 409, "under way").await;
    assert_eq!(answer.headers["retry-after"], "1");
    [first, second].into_iter().for_each(stored);
    // The request ends by itself, so its key has its answer.
    bench.stop.cancel();
    bench.tasks.close();
    bench.tasks.wait().await;
}

#[tokio::test]
async fn a_closed_door_lets_what_is_in_end_and_nothing_more_in() {
    let mut bench = Bench::new(settings());
    let mut asking = Box::pin(bench.router.clone().oneshot(post("", &[JSON], READING)));
    let message = tokio::select! {
        answer = &mut asking => panic!("{answer:?}"),
        message = bench.inbox.recv() => message.unwrap(),
    };
    bench.stop.cancel();
    bench.tasks.close();
    // The pipeline sees its end, although a request is still under way.
    assert!(bench.inbox.recv().await.is_none());
    let refused = Answer::of(bench.router.clone().oneshot(post("", &[JSON], READING)).await.unwrap()).await.check(503);
    assert_eq!(refused.headers["retry-after"], "5");
    stored(message);
    assert_eq!(asking.await.unwrap().status(), 200);
    bench.tasks.wait().await;
}
