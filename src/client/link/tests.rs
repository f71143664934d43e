use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{GivenUp, Link, LinkSettings};
use crate::client::FhirClient;
use crate::client::bundle::{Condition, Request};
use crate::client::retry::RetrySettings;
use crate::client::simulated_wire::{Answered, Asked, Broken, SimulatedWire};
use crate::client::test_server::{Fault, TestServer};
use crate::model::connector_state::ConnectorState;
use crate::telemetry::meters::{recorder, value_of};

fn puts(count: usize) -> Vec<Request> {
    let put = |number| Request::Put {
        url: format!("Observation/{number}"),
        resource: Bytes::from(format!(r#"{{"resourceType":"Observation","valueString":"n{number}"}}"#)),
        condition: Condition::Absent,
    };
    (0..count).map(put).collect()
}

#[track_caller]
fn check(statuses: &[u16], expected: &[u16]) {
    assert_eq!(statuses, expected);
}

async fn statuses(server: &TestServer, count: usize) -> Vec<u16> {
    let link = server.link(&CancellationToken::new());
    let answers = link.exchange(&puts(count)).await.unwrap();
    assert_eq!(*link.state().borrow(), ConnectorState::Running);
    answers.iter().map(|answer| answer.status).collect()
}

#[tokio::test]
async fn er_8_service_problems_are_repeated_until_they_pass() {
    let server = TestServer::start().await;
    for status in [503, 429, 500, 401, 403, 404] {
        server.fail_next(Fault::Refuse(status));
    }
    check(&statuses(&server, 2).await, &[201, 201]);
    assert_eq!(server.bundles().len(), 7);
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_asked_again() {
    let server = TestServer::start().await;
    server.fail_next(Fault::LoseAnswer);
    check(&statuses(&server, 2).await, &[412, 412]);
}

#[tokio::test]
async fn only_the_entry_that_failed_is_sent_again() {
    let server = TestServer::start().await;
    server.fail_next(Fault::RefuseFirstEntry(503));
    check(&statuses(&server, 3).await, &[201, 201, 201]);
    assert_eq!(server.bundles(), [3, 1]);
}

#[tokio::test]
async fn a_bundle_that_is_too_large_is_halved() {
    let server = TestServer::start().await;
    server.refuse_bundles_larger_than(1);
    check(&statuses(&server, 3).await, &[201, 201, 201]);
    assert_eq!(server.bundles(), [3, 1, 2, 1, 1]);
}

#[tokio::test]
async fn a_refused_entry_leaves_its_neighbours_alone() {
    let server = TestServer::start().await;
    server.refuse_bodies_with("n1", 422);
    check(&statuses(&server, 3).await, &[201, 422, 201]);
}

#[tokio::test]
async fn an_entry_that_breaks_the_server_each_time_is_given_up_alone() {
    let server = TestServer::start().await;
    (0..10).for_each(|_| server.fail_next(Fault::RefuseFirstEntry(500)));
    check(&statuses(&server, 2).await, &[500, 201]);
}

#[tokio::test]
async fn more_requests_than_fit_travel_in_several_bundles() {
    let server = TestServer::start().await;
    check(&statuses(&server, 1_001).await, &[201; 1_001]);
    assert_eq!(server.bundles(), [500, 500, 1]);
}

#[tokio::test]
async fn shutdown_ends_the_waiting() {
    let server = TestServer::start().await;
    let give_up = CancellationToken::new();
    give_up.cancel();
    assert_eq!(server.link(&give_up).exchange(&puts(1)).await, Err(GivenUp));
}

/// A link to a server that is a function of what it is asked.
fn link_to(serve: impl Fn(Asked) -> Answered + Send + Sync + 'static) -> Link {
    let wire = SimulatedWire::new(move |asked| {
        let answer = serve(asked);
        Box::pin(async { answer })
    });
    let client = FhirClient::simulated(wire, "http://simulated/fhir".parse().unwrap());
    let second = Duration::from_secs(1);
    let retry = RetrySettings { pause_first: second, pause_max: 4 * second, pause_halted: 30 * second };
    let settings = LinkSettings { entries_max: 500, bytes_max: 1 << 20, retry, dice: || u64::MAX };
    Link::new(Arc::from("wards"), client, settings, CancellationToken::new())
}

/// A link to a server that answers so in turn.
fn link_to_answers(answers: impl IntoIterator<Item = Answered>) -> Link {
    let answers: Mutex<VecDeque<Answered>> = Mutex::new(answers.into_iter().collect());
    link_to(move |_asked| answers.lock().unwrap().pop_front().unwrap())
}

/// How long one entry takes when the server answers so in turn.
async fn wait_for(answers: impl IntoIterator<Item = Answered>) -> Duration {
    let link = link_to_answers(answers);
    let began = Instant::now();
    assert_eq!(link.exchange(&puts(1)).await.unwrap()[0].status, 201);
    began.elapsed()
}

fn refused(status: u16, retry_after: Option<u64>) -> Answered {
    Ok((status, retry_after.map(Duration::from_secs), Bytes::new()))
}

fn stored() -> Answered {
    Ok((200, None, Bytes::from_static(br#"{"resourceType":"Bundle","entry":[{"response":{"status":"201"}}]}"#)))
}

#[tokio::test(start_paused = true)]
async fn er_8_a_server_that_asks_for_time_gets_it_up_to_a_bound() {
    let waited = wait_for([refused(429, Some(120)), stored()]).await;
    assert_eq!(waited, Duration::from_secs(120));
    let waited = wait_for([refused(503, Some(86_400)), stored()]).await;
    assert_eq!(waited, Duration::from_secs(5 * 60));
}

#[tokio::test(start_paused = true)]
async fn a_network_that_fails_is_tried_again_with_longer_and_longer_pauses() {
    let broken = [Broken::Lost, Broken::TimedOut, Broken::Lost, Broken::Lost].map(Err);
    let waited = wait_for(broken.into_iter().chain([stored()])).await;
    assert!(waited > Duration::from_secs(5) && waited < Duration::from_secs(11), "{waited:?}");
}

#[tokio::test]
async fn tm_5_er_13_failures_count_under_their_code_and_those_tried_again_by_themselves_as_unhandled() {
    let recorder = recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let server = TestServer::start().await;
    for fault in [Fault::Refuse(503), Fault::LoseAnswer, Fault::RefuseFirstEntry(503), Fault::Refuse(403)] {
        server.fail_next(fault);
    }
    statuses(&server, 2).await;
    let unhandled = r#"UnhandledException{connector="wards",Name="UnhandledException",Category="Errors",Operation="FHIRConversion",ErrorType="GeneralError",ErrorSeverity="Warning""#;
    for (series, value) in [
        (unhandled, 3.0),
        ("FHIRServiceErrorServiceUnavailable{", 2.0),
        ("FHIRServiceErrorConnection{", 1.0),
        ("FHIRServiceErrorAuthorizationError{", 1.0),
        (r#"bundles_submitted_total{connector="wards",result="failed"}"#, 3.0),
        (r#"bundles_submitted_total{connector="wards",result="processed"}"#, 2.0),
    ] {
        assert!((value_of(&recorder, series) - value).abs() < 1e-6, "{series} {}", value_of(&recorder, series));
    }
}

/// A batch-response with these statuses.
fn processed(statuses: impl IntoIterator<Item = u16>) -> Answered {
    let entries: Vec<_> =
        statuses.into_iter().map(|status| json!({"response": {"status": status.to_string()}})).collect();
    Ok((200, None, json!({"resourceType": "Bundle", "type": "batch-response", "entry": entries}).to_string().into()))
}

fn metadata() -> Answered {
    Ok((200, None, Bytes::from_static(br#"{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1"}"#)))
}

/// The entries of a Bundle, as text.
fn entries(bundle: &[u8]) -> Vec<String> {
    let bundle: Value = serde_json::from_slice(bundle).unwrap();
    bundle["entry"].as_array().unwrap().iter().map(ToString::to_string).collect()
}

/// Takes all but the entry with `"n3"`; a Bundle that holds that one meets this.
fn poisoned_by_n3(meets: impl Fn() -> Answered + Send + Sync + 'static) -> Link {
    link_to(move |asked| {
        let Some(bundle) = asked else { return metadata() };
        let entries = entries(&bundle);
        if entries.iter().any(|entry| entry.contains("n3\"")) {
            meets()
        } else {
            processed(entries.iter().map(|_| 201))
        }
    })
}

/// The statuses of nine entries, and that the connector delivers afterwards.
async fn statuses_of_nine(link: &Link) -> Vec<u16> {
    let answers = link.exchange(&puts(9)).await.unwrap();
    assert_eq!(*link.state().borrow(), ConnectorState::Running);
    answers.iter().map(|answer| answer.status).collect()
}

const ALL_BUT_N3: fn(u16) -> [u16; 9] = |status| [201, 201, 201, status, 201, 201, 201, 201, 201];

#[tokio::test(start_paused = true)]
async fn er_8_er_9_an_entry_that_fails_every_bundle_it_is_in_ends_alone_and_its_neighbours_go_on() {
    let truncated = || Ok((200, None, Bytes::from_static(br#"{"resourceType":"Bundle","entry":[{"resp"#)));
    let too_few = || Ok((200, None, Bytes::from_static(br#"{"resourceType":"Bundle","entry":[]}"#)));
    let cases: [(fn() -> Answered, u16); 7] = [
        (|| refused(500, None), 500),
        (|| refused(502, None), 502),
        (|| refused(409, None), 409),
        (|| Err(Broken::TimedOut), 504),
        (|| Err(Broken::Lost), 502),
        (truncated, 502),
        (too_few, 502),
    ];
    for (meets, status) in cases {
        check(&statuses_of_nine(&poisoned_by_n3(meets)).await, &ALL_BUT_N3(status));
    }
}

#[tokio::test(start_paused = true)]
async fn er_9_an_entry_that_may_never_be_written_ends_alone_and_its_neighbours_go_on() {
    for status in [403, 405, 423, 424, 500, 501, 504] {
        let link = link_to(move |asked| {
            let entries = entries(&asked.unwrap());
            processed(entries.iter().map(|entry| if entry.contains("n3\"") { status } else { 201 }))
        });
        check(&statuses_of_nine(&link).await, &ALL_BUT_N3(status));
    }
}

/// Fails this many Bundles in this way, then takes all.
fn fails_for_a_while(bundles: u32, meets: impl Fn(usize) -> Answered + Send + Sync + 'static) -> Link {
    let left = Mutex::new(bundles);
    link_to(move |asked| {
        let Some(bundle) = asked else { return metadata() };
        let count = entries(&bundle).len();
        let mut left = left.lock().unwrap();
        if *left == 0 {
            return processed(vec![201; count]);
        }
        *left -= 1;
        meets(count)
    })
}

#[tokio::test(start_paused = true)]
async fn er_8_while_the_server_takes_nothing_no_entry_is_given_up() {
    check(&statuses_of_nine(&fails_for_a_while(200, |_| refused(500, None))).await, &[201; 9]);
    check(&statuses_of_nine(&fails_for_a_while(200, |_| Err(Broken::TimedOut))).await, &[201; 9]);
    check(&statuses_of_nine(&fails_for_a_while(200, |count| processed(vec![500; count]))).await, &[201; 9]);
    check(&statuses_of_nine(&fails_for_a_while(200, |count| processed(vec![403; count]))).await, &[201; 9]);
    check(&statuses_of_nine(&fails_for_a_while(200, |_| refused(503, None))).await, &[201; 9]);
}

#[tokio::test(start_paused = true)]
async fn er_8_not_now_is_never_taken_for_no() {
    let left = Mutex::new(100);
    let link = link_to(move |asked| {
        let entries = entries(&asked.unwrap());
        let mut left = left.lock().unwrap();
        *left -= 1;
        let busy = *left > 0;
        processed(entries.iter().map(|entry| if busy && entry.contains("n3\"") { 429 } else { 201 }))
    });
    check(&statuses_of_nine(&link).await, &[201; 9]);
}

#[tokio::test(start_paused = true)]
async fn er_8_a_server_that_answers_reads_has_not_shown_that_it_can_write() {
    let left = Mutex::new(50);
    let link = link_to(move |asked| {
        let Some(bundle) = asked else { return refused(500, None) };
        let mut left = left.lock().unwrap();
        *left -= 1;
        let full = *left > 0;
        processed(entries(&bundle).iter().map(|entry| if full && entry.contains("PUT") { 500 } else { 200 }))
    });
    let mut requests = puts(2);
    requests.push(Request::Get { url: "Observation/7".to_owned() });
    let link = Arc::new(link);
    let reads = async {
        for _ in 0..100 {
            link.exchange(&requests[2..]).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await
        }
    };
    let (written, ()) = tokio::join!(link.exchange(&requests), reads);
    check(&written.unwrap().iter().map(|answer| answer.status).collect::<Vec<_>>(), &[200; 3]);
}

/// How one entry ends that fails this many times, when `metadata` is answered so, and how often that was asked.
async fn alone(failures: u32, speaks: bool) -> (u16, u32) {
    let (left, asked_for_metadata) = (Mutex::new(failures), Arc::new(Mutex::new(0)));
    let count = Arc::clone(&asked_for_metadata);
    let link = link_to(move |asked| {
        if asked.is_none() {
            *count.lock().unwrap() += 1;
            return if speaks { metadata() } else { Err(Broken::TimedOut) };
        }
        let mut left = left.lock().unwrap();
        if *left == 0 {
            return stored();
        }
        *left -= 1;
        Err(Broken::TimedOut)
    });
    let status = link.exchange(&puts(1)).await.unwrap()[0].status;
    let asked = *asked_for_metadata.lock().unwrap();
    (status, asked)
}

#[tokio::test(start_paused = true)]
async fn er_8_an_entry_that_is_never_answered_is_given_up_when_the_server_answers_otherwise() {
    assert_eq!(alone(59, true).await, (201, 0));
    assert_eq!(alone(60, true).await, (504, 1));
    assert_eq!(alone(70, false).await, (201, 11));
}

#[tokio::test(start_paused = true)]
async fn er_13_the_state_tells_code_reason_since_when_and_the_next_attempt() {
    let link = link_to_answers([refused(403, None), refused(403, None), refused(503, Some(60)), stored()]);
    let mut state = link.state();
    let began = Instant::now();
    let watched = async {
        let mut seen = Vec::new();
        while state.changed().await.is_ok() {
            let trouble = state.borrow_and_update().trouble().cloned();
            let Some(trouble) = trouble else { break };
            let seconds = |at: Instant| at.duration_since(began).as_secs();
            assert!(trouble.reason.contains("http://simulated/fhir answered"), "{trouble:?}");
            seen.push((trouble.code, seconds(trouble.since), seconds(trouble.next_attempt)));
        }
        seen
    };
    let requests = puts(1);
    let (_, seen) = tokio::join!(link.exchange(&requests), watched);
    let forbidden = "FHIRServiceErrorAuthorizationError";
    let unavailable = "FHIRServiceErrorServiceUnavailable";
    assert_eq!(seen, [(forbidden, 0, 30), (forbidden, 0, 60), (unavailable, 60, 120)]);
}

#[tokio::test(start_paused = true)]
async fn an_operator_may_have_it_tried_at_once() {
    let link = link_to_answers([refused(403, None), stored()]);
    let (hurry, mut state) = (link.hurry(), link.state());
    let began = Instant::now();
    let operator = async {
        state.wait_for(|state| matches!(state, ConnectorState::Halted(_))).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        hurry.notify_waiters();
    };
    let requests = puts(1);
    let (answers, ()) = tokio::join!(link.exchange(&requests), operator);
    assert_eq!((answers.unwrap()[0].status, began.elapsed().as_secs()), (201, 1));
}
