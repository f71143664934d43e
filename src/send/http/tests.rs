use std::collections::VecDeque;
use std::io::Read as _;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use flate2::read::GzDecoder;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::send::{Repeat, SendError, SendOptions, send};

/// Status, key, number of lines and first line of a request.
type Asked = (u16, String, usize, String);

/// A server that answers as it is told, and 200 from then on.
#[derive(Clone, Default)]
struct Server {
    answers: Arc<Mutex<VecDeque<u16>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

async fn answer(State(server): State<Server>, headers: HeaderMap, body: Bytes) -> Response {
    let mut text = String::new();
    GzDecoder::new(body.as_ref()).read_to_string(&mut text).unwrap();
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    assert_eq!(
        (&headers["content-type"], &headers["authorization"]),
        (&"application/x-ndjson".parse().unwrap(), &"Bearer s3cret".parse().unwrap())
    );
    let status = server.answers.lock().unwrap().pop_front().unwrap_or(200);
    let line = text.lines().next().unwrap().to_owned();
    server.asked.lock().unwrap().push((status, key, text.lines().count(), line));
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("retry-after", "0")], axum::Json(serde_json::json!({ "error": "so it is" }))).into_response()
}

impl Server {
    /// Starts one with these answers; where it takes messages.
    async fn start(answers: &[u16]) -> (Self, String) {
        let server = Self { answers: Arc::new(Mutex::new(answers.iter().copied().collect())), ..Self::default() };
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://:s3cret@{}/connectors/ward/messages", socket.local_addr().unwrap());
        let router = Router::new().route("/connectors/ward/messages", post(answer)).with_state(server.clone());
        TaskTracker::new().spawn(async move { axum::serve(socket, router).await.unwrap() });
        (server, url)
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// A file of one array, with a line break within each message.
fn options(directory: &tempfile::TempDir, count: u32, to: String) -> SendOptions {
    let file = directory.path().join("readings.json");
    let elements: Vec<String> = (0..count).map(|number| format!("{{\n\"n\":{number}}}")).collect();
    std::fs::write(&file, format!("[{}]", elements.join(","))).unwrap();
    SendOptions { file, to, rate: None, repeat: Repeat::Once, stop: CancellationToken::new() }
}

#[tokio::test]
async fn what_is_to_come_again_comes_again_under_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let (server, url) = Server::start(&[200, 503, 429, 409, 200]).await;
    assert_eq!(send(options(&directory, 1_200, url)).await.unwrap().acknowledged, 1_200);
    let asked = server.asked();
    let found: Vec<_> = asked.iter().map(|(status, _, lines, first)| (*status, *lines, first.as_str())).collect();
    let second = r#"{ "n":500}"#;
    let expected =
        [(200, 500, r#"{ "n":0}"#), (503, 500, second), (429, 500, second), (409, 500, second), (200, 500, second)];
    assert_eq!((&found[..5], found[5]), (&expected[..], (200, 200, r#"{ "n":1000}"#)));
    assert!(asked[1..5].iter().all(|(_, key, ..)| *key == asked[1].1));
    assert!(asked[0].1 != asked[1].1 && asked[5].1 != asked[1].1);
}

#[tokio::test]
async fn what_is_too_large_goes_in_smaller_parts() {
    let directory = tempfile::tempdir().unwrap();
    let (server, url) = Server::start(&[413, 413]).await;
    assert_eq!(send(options(&directory, 300, url)).await.unwrap().acknowledged, 300);
    let sizes: Vec<_> = server.asked().into_iter().map(|(status, _, lines, _)| (status, lines)).collect();
    assert_eq!(sizes, [(413, 300), (413, 150), (200, 75), (200, 75), (200, 75), (200, 75)]);
}

#[tokio::test]
async fn what_is_refused_is_said_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    for (status, count) in [(401, 3), (422, 3), (413, 1)] {
        let (_server, url) = Server::start(&[status]).await;
        let error = send(options(&directory, count, url)).await.unwrap_err();
        assert!(matches!(error, SendError::Refused { .. }), "{error:?}");
        assert!(error.to_string().ends_with(&format!("refuses a message: {status}: so it is")), "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let error = send(options(&directory, 1, "http://:s3cret@127.0.0.1:1/m".to_owned())).await.unwrap_err();
    assert!(matches!(error, SendError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().starts_with("cannot reach the server at http://127.0.0.1:1/m: "), "{error}");
}

#[tokio::test]
async fn an_endless_sending_keeps_its_pace_and_ends_when_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let (server, url) = Server::start(&[]).await;
    let options = SendOptions { repeat: Repeat::Forever, rate: NonZeroU32::new(1_000), ..options(&directory, 3, url) };
    let stop = options.stop.clone();
    let watching = async {
        while server.asked().len() < 5 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let (report, ()) = tokio::join!(send(options), watching);
    let lines: usize = server.asked().iter().map(|(_, _, lines, _)| *lines).sum();
    assert_eq!(report.unwrap().acknowledged, u64::try_from(lines).unwrap());
}
