use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{GivenUp, Link, LinkSettings};
use crate::client::FhirClient;
use crate::client::bundle::{Condition, Request};
use crate::client::retry::RetrySettings;
use crate::client::simulated_wire::{Answered, Broken, SimulatedWire};
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
    server.refuse_bodies_with("n1");
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

/// How long one entry takes when the server answers so in turn.
async fn wait_for(answers: impl IntoIterator<Item = Answered>) -> Duration {
    let answers: Arc<Mutex<VecDeque<Answered>>> = Arc::new(Mutex::new(answers.into_iter().collect()));
    let wire = SimulatedWire::new(move |_asked| {
        let answer = answers.lock().unwrap().pop_front().unwrap();
        Box::pin(async { answer })
    });
    let client = FhirClient::simulated(wire, "http://simulated/fhir".parse().unwrap());
    let second = Duration::from_secs(1);
    let retry = RetrySettings { pause_first: second, pause_max: 4 * second, pause_halted: 30 * second };
    let settings = LinkSettings { entries_max: 500, bytes_max: 1 << 20, retry, dice: || u64::MAX };
    let link = Link::new(Arc::from("wards"), client, settings, CancellationToken::new());
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
async fn tm_5_what_is_tried_again_counts_as_an_unhandled_exception_with_severity_warning() {
    let recorder = recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let server = TestServer::start().await;
    for fault in [Fault::Refuse(503), Fault::LoseAnswer, Fault::RefuseFirstEntry(503)] {
        server.fail_next(fault);
    }
    statuses(&server, 2).await;
    let unhandled = r#"UnhandledException{connector="wards",Name="UnhandledException",Category="Errors",Operation="FHIRConversion",ErrorType="GeneralError",ErrorSeverity="Warning""#;
    for (series, value) in [
        (unhandled, 3.0),
        (r#"bundles_submitted_total{connector="wards",result="failed"}"#, 2.0),
        (r#"bundles_submitted_total{connector="wards",result="processed"}"#, 2.0),
    ] {
        assert!((value_of(&recorder, series) - value).abs() < 1e-6, "{series} {}", value_of(&recorder, series));
    }
}
