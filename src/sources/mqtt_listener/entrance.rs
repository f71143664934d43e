//! What comes before a conversation: encryption, WebSocket, CONNECT, and who says it.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::access::User;
use super::connection::Ending;
use super::dialogue::{Dialogue, Heard};
use super::greeting::{Greeting, Refusal};
use super::sessions::SessionKey;
use super::{ListenerSettings, Shared};
use crate::sources::stream::Stream;
use crate::sources::wire::Wire;

/// When a client that is turned away is told so, counted from its CONNECT: guessing takes its time, and how long an
/// answer takes says nothing about it.
const REFUSAL_DELAY: Duration = Duration::from_secs(1);

/// Who connects, as far as that shows before CONNECT.
pub(super) struct Caller {
    /// Where it comes from.
    pub(super) address: IpAddr,
    /// Whom its certificate names.
    pub(super) certified: Option<Arc<str>>,
    /// When it must have said CONNECT.
    pub(super) deadline: Instant,
}

/// Encrypts the connection and speaks WebSocket, if that is to be; whom the certificate of the client names.
///
/// # Errors
/// When the client does not manage either, or is not let in by its certificate or its web page.
pub(super) async fn open(settings: &ListenerSettings, socket: TcpStream) -> io::Result<(Wire, Option<Arc<str>>)> {
    let (stream, certified) = match &settings.tls {
        None => (Stream::from(socket), None),
        Some(tls) => {
            let (stream, certified) = tls.accept(socket).await?;
            (Stream::from(stream), certified)
        }
    };
    let stream = match &settings.websocket {
        None => stream,
        Some(websocket) => websocket.accept(stream).await?.into(),
    };
    Ok((Wire::new(stream), certified))
}

/// Hears CONNECT, and finds out who says it.
///
/// # Errors
/// When it says something else or nothing, or is turned away, which is among the bytes to write then.
pub(super) async fn enter(
    shared: &Shared,
    wire: &mut Wire,
    dialogue: &mut Dialogue,
    caller: Caller,
) -> Result<(Box<Greeting>, User), Ending> {
    let greeted = timeout_at(caller.deadline, greet(wire, dialogue)).await;
    let mut greeting = greeted.map_err(|_elapsed| Ending::Mute)??;
    let heard_at = Instant::now();
    match identify(shared, &caller, &greeting).await {
        Ok(user) => {
            greeting.password.forget();
            Ok((greeting, user))
        }
        Err(refusal) => {
            shared.refuse(refusal.as_str());
            sleep_until(heard_at + REFUSAL_DELAY).await;
            let fault = dialogue.refuse(refusal, &mut wire.out);
            tracing::trace!(%fault, "client told that it is turned away");
            Err(Ending::TurnedAway)
        }
    }
}

/// Who a client is. One whose will it may not publish is turned away, so that it does not rely on it.
async fn identify(shared: &Shared, caller: &Caller, greeting: &Greeting) -> Result<User, Refusal> {
    let user = shared.access.user(caller.address, caller.certified.as_ref(), greeting).await?;
    let key = session_key(&user, greeting);
    match &greeting.will {
        Some(will) if !shared.access.allows(&will.arrival.topic, key.publisher()) => Err(Refusal::NotAuthorized),
        Some(_) | None => Ok(user),
    }
}

/// Whose session it is to be.
pub(super) fn session_key(user: &User, greeting: &Greeting) -> SessionKey {
    SessionKey { user: user.name.clone(), client_id: greeting.client_id.as_str().into() }
}

/// Reads until the client has said CONNECT.
async fn greet(wire: &mut Wire, dialogue: &mut Dialogue) -> Result<Box<Greeting>, Ending> {
    loop {
        match dialogue.hear(&mut wire.input, &mut wire.out).map_err(Ending::Fault)? {
            Some(Heard::Greeting(greeting)) => return Ok(greeting),
            Some(Heard::Publication { .. } | Heard::Goodbye { .. }) => return Err(Ending::Lost),
            None => {}
        }
        if wire.read().await.unwrap_or(0) == 0 {
            return Err(Ending::Lost);
        }
    }
}
