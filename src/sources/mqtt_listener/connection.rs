//! One client's connection: a task that reads, passes publications on, and writes what the ledger releases.
//!
//! Backpressure: nothing is read while as many messages are unanswered as may be in flight, so a client that keeps
//! publishing finds its socket full. Messages wait for the pipeline beside the conversation, not within it, so that a
//! full pipeline does not keep anyone from being answered. All answers that can go when the task wakes leave in one
//! write.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::FusedFuture as _;
use mqtt_protocol_core::mqtt::result_code::DisconnectReasonCode;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Shared;
use super::dialogue::{Answer, Dialogue, Fault, Heard};
use super::entrance::{Caller, enter, open, session_key};
use super::greeting::{Greeting, Will};
use super::pace::Pace;
use super::replies::Admission;
use super::sessions::{Seat, SessionKey};
use crate::model::Tracked;
use crate::model::envelope::Envelope;
use crate::model::intake::{Closed, Intake};
use crate::model::receipt::Settle;
use crate::sources::arrival::Arrival;
use crate::sources::ledger::{Abandoned, Ledger};
use crate::sources::passage::pass_on;
use crate::sources::wire::Wire;

/// Longest wait for a client to close after it was told why.
const PARTING_PATIENCE: Duration = Duration::from_secs(1);

/// How a connection ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// The client said DISCONNECT.
    Goodbye { with_will: bool, session_expiry_secs: Option<u32> },
    /// The client closed or broke the connection.
    Lost,
    /// The client did not say CONNECT in time.
    Mute,
    /// The client broke the rules; it has been told.
    Fault(Fault),
    /// The client was turned away; it has been told.
    TurnedAway,
    /// The client published what it may not, and there is no other way to tell it.
    Forbidden,
    /// Its user may no longer be connected.
    Revoked,
    /// The client was silent for longer than its keep-alive allows; it has been told.
    Silent,
    /// Another connection of the same client has come.
    TakenOver,
    /// A message was abandoned, so the client must send it again.
    Abandoned,
    /// The listener stops.
    Stopped,
}

/// An admitted client.
struct Client {
    shared: Arc<Shared>,
    wire: Wire,
    dialogue: Dialogue,
    seat: Arc<Seat>,
    ledger: Arc<Ledger<Answer>>,
    /// The same ledger, as receipts want it.
    settle: Arc<dyn Settle>,
    /// To those that wait for the pipeline; `None` once nothing more is taken.
    waiting: Option<mpsc::Sender<Tracked<Envelope>>>,
    heard_at: Instant,
    /// How fast it may publish, if that is bounded.
    pace: Option<Pace>,
}

/// What woke the task.
enum Wake {
    Read(io::Result<usize>),
    Released(Result<Vec<Answer>, Abandoned>),
    /// Other messages have made room, or it is time for the next.
    Room,
    PipelineClosed,
    TakenOver,
    Stop,
    Silence,
}

/// Serves one client from CONNECT to the end.
pub(super) async fn serve(shared: Arc<Shared>, socket: TcpStream, address: IpAddr) {
    let deadline = Instant::now() + shared.settings.connect_timeout;
    let opened = tokio::select! {
        opened = timeout_at(deadline, open(&shared.settings, socket)) => opened,
        () = shared.stop.cancelled() => return,
    };
    let (mut wire, certified) = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(_)) | Err(_) => return shared.refuse("handshake"),
    };
    let mut dialogue = Dialogue::new(shared.settings.packet_max_bytes.get());
    let entered = tokio::select! {
        entered = enter(&shared, &mut wire, &mut dialogue, Caller { address, certified, deadline }) => entered,
        () = shared.stop.cancelled() => return,
    };
    let (mut greeting, user) = match entered {
        Ok(entered) => entered,
        Err(ending) => {
            ending.log(&shared.intake);
            return wire.part(PARTING_PATIENCE).await;
        }
    };
    let will = greeting.will.take();
    let revoked = user.revoked();
    let seat = Arc::new(shared.sessions.open(session_key(&user, &greeting), greeting.start, &revoked));
    let (ending, client) = match admit(Arc::clone(&shared), wire, dialogue, Arc::clone(&seat), &greeting) {
        Ok((client, waiting)) => client.converse(waiting).await,
        Err((fault, wire)) => (Ending::Fault(fault), wire),
    };
    ending.log(&shared.intake);
    let expiry = ending.session_expiry(&greeting, shared.settings.session_expiry_max);
    seat.leave(expiry);
    client.part(PARTING_PATIENCE).await;
    if let Some(will) = will.filter(|_| ending.publishes_will()) {
        execute(&shared, &seat, will, expiry);
    }
}

type Admitted = (Client, mpsc::Receiver<Tracked<Envelope>>);

fn admit(
    shared: Arc<Shared>,
    mut wire: Wire,
    mut dialogue: Dialogue,
    seat: Arc<Seat>,
    greeting: &Greeting,
) -> Result<Admitted, (Fault, Wire)> {
    let in_flight_max = shared.settings.in_flight_max;
    let admission = Admission {
        greeting,
        session_present: seat.resumed.is_some(),
        receive_max: in_flight_max.get(),
        session_expiry_max_secs: shared.settings.session_expiry_max.as_secs().try_into().unwrap_or(u32::MAX),
    };
    if let Err(fault) = dialogue.admit(Arc::clone(&seat), &admission, &mut wire.out) {
        return Err((fault, wire));
    }
    let room = NonZeroUsize::from(in_flight_max).saturating_mul(dialogue.room_factor());
    let ledger = Arc::new(Ledger::new(room));
    let settle: Arc<dyn Settle> = Arc::clone(&ledger) as Arc<dyn Settle>;
    let (sender, waiting) = mpsc::channel(room.get());
    let heard_at = Instant::now();
    let pace = shared.settings.messages_per_second_max.map(Pace::new);
    let client = Client { shared, wire, dialogue, seat, ledger, settle, waiting: Some(sender), heard_at, pace };
    Ok((client, waiting))
}

impl Client {
    /// The conversation, from CONNACK until one side ends it, and the socket to part on.
    async fn converse(mut self, waiting: mpsc::Receiver<Tracked<Envelope>>) -> (Ending, Wire) {
        let mut passing_on = Box::pin(pass_on(waiting, self.shared.intake.clone()).fuse());
        let ending = loop {
            if let Err(ending) = self.listen().await {
                break ending;
            }
            if self.waiting.is_none() && self.ledger.is_empty() {
                break Ending::Stopped;
            }
            let wake = self.wake(passing_on.as_mut()).await;
            if let Err(ending) = self.attend(wake).await {
                break ending;
            }
        };
        self.part_for(&ending);
        // What was heard in full is a message, whether or not its device stays to hear the answer.
        self.waiting = None;
        if !passing_on.is_terminated() {
            self.shared.tasks.spawn(passing_on);
        }
        (ending, self.wire)
    }

    /// Hears what was read as far as there is room, and says what is to be said.
    async fn listen(&mut self) -> Result<(), Ending> {
        while self.is_taking() && self.is_on_pace() && self.ledger.has_room() && self.shared.intake.has_room() {
            match self.dialogue.hear(&mut self.wire.input, &mut self.wire.out).map_err(Ending::Fault)? {
                None => break,
                Some(Heard::Publication { arrival, answer }) => self.take(arrival, answer)?,
                Some(Heard::Goodbye { with_will, session_expiry_secs }) => {
                    return Err(Ending::Goodbye { with_will, session_expiry_secs });
                }
                Some(Heard::Greeting(_)) => return Err(Ending::Lost),
            }
        }
        self.wire.write().await.map_err(|_io| Ending::Lost)
    }

    fn take(&mut self, arrival: Arrival, answer: Option<Answer>) -> Result<(), Ending> {
        if !self.shared.access.allows(&arrival.topic, self.seat.key.publisher()) {
            return self.decline(answer);
        }
        if let Some(pace) = &mut self.pace {
            pace.spend();
        }
        let envelope = envelope(&self.shared, &self.seat, arrival);
        let tracked = self.shared.intake.take(envelope, self.ledger.take(answer), &self.settle);
        let waiting = self.waiting.as_ref().ok_or(Ending::Stopped)?;
        waiting.try_send(tracked).map_err(|_unsent| Ending::Stopped)
    }

    /// Answers a message that the client may not publish.
    fn decline(&mut self, answer: Option<Answer>) -> Result<(), Ending> {
        self.shared.refuse_publication();
        let refusal = self.dialogue.refusal_of(answer).ok_or(Ending::Forbidden)?;
        self.ledger.decline(refusal);
        Ok(())
    }

    fn is_on_pace(&self) -> bool {
        self.pace.as_ref().is_none_or(Pace::is_open)
    }

    fn is_taking(&self) -> bool {
        self.waiting.is_some()
    }

    /// Reading pauses while something read waits for room.
    fn is_reading(&self) -> bool {
        self.is_taking() && self.wire.input.is_empty()
    }

    async fn wake(&mut self, passing_on: impl Future<Output = Result<(), Closed>>) -> Wake {
        let reading = self.is_reading();
        let patience = self.dialogue.patience().filter(|_| reading);
        let silence = patience.map_or(self.heard_at, |patience| self.heard_at + patience);
        let is_taking = self.is_taking();
        let awaits_room = is_taking && !self.shared.intake.has_room();
        // What was read and not heard waits for its time.
        let awaits_time = is_taking && !reading && !self.is_on_pace();
        let next_at = self.pace.map_or(self.heard_at, |pace| pace.opens_at());
        tokio::select! {
            biased;
            () = self.seat.taken_over.cancelled() => Wake::TakenOver,
            () = self.shared.stop.cancelled(), if is_taking => Wake::Stop,
            released = self.ledger.released() => Wake::Released(released),
            Err(Closed) = passing_on => Wake::PipelineClosed,
            () = self.shared.intake.room(), if awaits_room => Wake::Room,
            () = sleep_until(next_at), if awaits_time => Wake::Room,
            read = self.wire.read(), if reading => Wake::Read(read),
            () = sleep_until(silence), if patience.is_some() => Wake::Silence,
        }
    }

    async fn attend(&mut self, wake: Wake) -> Result<(), Ending> {
        match wake {
            Wake::Read(Ok(0) | Err(_)) => return Err(Ending::Lost),
            Wake::Read(Ok(_)) => self.heard_at = Instant::now(),
            Wake::Released(answers) => {
                self.forgive_pause();
                self.answer(answers.map_err(|Abandoned| Ending::Abandoned)?).await?;
            }
            Wake::Room => self.forgive_pause(),
            Wake::Stop => self.waiting = None,
            Wake::TakenOver if self.seat.is_revoked() => return Err(Ending::Revoked),
            Wake::TakenOver => return Err(Ending::TakenOver),
            Wake::PipelineClosed => return Err(Ending::Stopped),
            Wake::Silence => return Err(Ending::Silent),
        }
        Ok(())
    }

    /// A device is not silent while nobody reads what it says.
    fn forgive_pause(&mut self) {
        if !self.is_reading() {
            self.heard_at = Instant::now();
        }
    }

    /// Answers, together with whatever is released by the time the other tasks have had a turn.
    async fn answer(&mut self, mut answers: Vec<Answer>) -> Result<(), Ending> {
        tokio::task::yield_now().await;
        if let Ok(Some(more)) = self.ledger.release() {
            answers.extend(more);
        }
        self.dialogue.answer(answers, &mut self.wire.out).map_err(Ending::Fault)
    }

    fn part_for(&mut self, ending: &Ending) {
        let reason = match ending {
            Ending::Goodbye { .. } | Ending::Lost | Ending::Mute | Ending::Fault(_) | Ending::TurnedAway => return,
            Ending::Silent => return self.dialogue.silent(&mut self.wire.out),
            Ending::Forbidden | Ending::Revoked => DisconnectReasonCode::NotAuthorized,
            Ending::TakenOver => DisconnectReasonCode::SessionTakenOver,
            Ending::Abandoned => DisconnectReasonCode::ImplementationSpecificError,
            Ending::Stopped => DisconnectReasonCode::ServerShuttingDown,
        };
        self.dialogue.part(reason, &mut self.wire.out);
    }
}

impl Ending {
    fn log(&self, intake: &Intake) {
        let connector = intake.connector().as_ref();
        match self {
            Self::Goodbye { .. } | Self::Stopped => {}
            Self::Mute => tracing::debug!(connector, "device connection closed: it did not say CONNECT in time"),
            Self::TurnedAway => tracing::debug!(connector, "device not let in"),
            Self::Forbidden => tracing::debug!(connector, "device connection closed: it published what it may not"),
            Self::Revoked => tracing::info!(connector, "device connection closed: its account was changed or removed"),
            Self::Lost => tracing::debug!(connector, "device connection lost"),
            Self::Silent => {
                tracing::debug!(connector, "device connection closed: silent for longer than its keep-alive")
            }
            Self::TakenOver => tracing::debug!(connector, "device connection closed: the same client connected again"),
            Self::Fault(fault) => {
                tracing::warn!(connector, reason = %fault, "device connection closed: protocol error")
            }
            Self::Abandoned => {
                tracing::warn!(connector, "device connection closed: a message must be sent again");
            }
        }
    }

    /// A will is for a client that is gone unawares. A shutdown of ours is not that: the device lives, and will connect
    /// again.
    fn publishes_will(&self) -> bool {
        match self {
            Self::Goodbye { with_will, .. } => *with_will,
            Self::Lost | Self::Fault(_) | Self::Forbidden | Self::Silent | Self::TakenOver => true,
            Self::Mute | Self::TurnedAway | Self::Revoked | Self::Abandoned | Self::Stopped => false,
        }
    }

    fn session_expiry(&self, greeting: &Greeting, max: Duration) -> Duration {
        let agreed = greeting.session_expiry.granted(max);
        match self {
            // A session that was to end with its connection cannot be prolonged (MQTT 5, 3.14.2.2.2).
            Self::Goodbye { session_expiry_secs: Some(secs), .. } if !agreed.is_zero() => {
                max.min(Duration::from_secs((*secs).into()))
            }
            Self::Goodbye { .. }
            | Self::Lost
            | Self::Mute
            | Self::Fault(_)
            | Self::TurnedAway
            | Self::Forbidden
            | Self::Revoked
            | Self::Silent
            | Self::TakenOver
            | Self::Abandoned
            | Self::Stopped => agreed,
        }
    }
}

/// What a client published, with who that is: so that a mapping may go by it instead of what the message claims.
fn envelope(shared: &Shared, seat: &Seat, arrival: Arrival) -> Envelope {
    let mut envelope = shared.arrivals.envelope(arrival);
    let SessionKey { user, client_id } = seat.key.as_ref();
    let mut insert = |name: &str, value: &str| envelope.system_properties.insert(name.to_owned(), value.into());
    insert("clientId", client_id);
    if let Some(user) = user {
        insert("username", user);
    }
    envelope
}

/// Publishes a will, after its delay if that is shorter than the session and the client does not come back before.
fn execute(shared: &Arc<Shared>, seat: &Arc<Seat>, will: Will, session_expiry: Duration) {
    let (shared, seat) = (Arc::clone(shared), Arc::clone(seat));
    let tasks = shared.tasks.clone();
    tasks.spawn(async move {
        let delay = will.delay.min(session_expiry);
        if !delay.is_zero()
            && let Ok(_waiting) = shared.wills.try_acquire()
        {
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = seat.taken_over.cancelled() => return,
                () = shared.stop.cancelled() => return,
            }
        }
        let settle: Arc<dyn Settle> = Arc::new(Ledger::<Answer>::new(NonZeroUsize::MIN));
        let message = shared.intake.take(envelope(&shared, &seat, will.arrival), 0, &settle);
        if shared.intake.send(message).await.is_err() {
            tracing::warn!(connector = shared.intake.connector().as_ref(), "a will came too late for the pipeline");
        }
    });
}
