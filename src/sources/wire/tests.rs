//! Both ends of a connection on the loopback address, in the clear and encrypted.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server};

use super::{Ear, Moved, Wire};
use crate::sources::tls::{ClientTls, TlsSettings};

const PATIENCE: Duration = Duration::from_secs(20);
/// More than sockets and TLS keep on their way.
const MUCH: usize = 16 << 20;

/// A certificate for `localhost`, trusted by the client's settings.
fn encryption() -> (TlsAcceptor, ClientTls) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key);
    let settings =
        TlsSettings { server_name: "localhost".to_owned(), authorities: Some(certified.cert.pem()), identity: None };
    (TlsAcceptor::from(Arc::new(server.unwrap())), ClientTls::new(&settings).unwrap())
}

/// Our end, and the socket of the other.
async fn plain() -> (Wire, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = Wire::connect("127.0.0.1", listener.local_addr().unwrap().port(), None);
    let (ours, theirs) = tokio::join!(ours, listener.accept());
    (ours.unwrap(), theirs.unwrap().0)
}

/// As `plain`, encrypted.
async fn encrypted() -> (Wire, server::TlsStream<TcpStream>) {
    let (acceptor, tls) = encryption();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = Wire::connect("127.0.0.1", listener.local_addr().unwrap().port(), Some(&tls));
    let (ours, theirs) = tokio::join!(ours, async { acceptor.accept(listener.accept().await.unwrap().0).await });
    (ours.unwrap(), theirs.unwrap())
}

/// Says `MUCH` at once and hears as much; what is heard, and the wire.
async fn talk(mut wire: Wire, byte: u8) -> (Vec<u8>, Wire) {
    wire.out = vec![byte; MUCH];
    let mut heard = Vec::with_capacity(MUCH);
    while wire.has_unsent() || heard.len() < MUCH {
        if wire.exchange(Ear::Open).await.unwrap() == Moved::Read(0) {
            break;
        }
        heard.extend_from_slice(&wire.input.split());
    }
    (heard, wire)
}

async fn check_both_talk_at_once(ours: Wire, theirs: Wire) {
    let both = async { tokio::join!(talk(ours, 1), talk(theirs, 2)) };
    let ((first, _), (second, _)) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    assert!(first.len() == MUCH && first.iter().all(|byte| *byte == 2));
    assert!(second.len() == MUCH && second.iter().all(|byte| *byte == 1));
}

#[tokio::test]
async fn two_that_talk_at_once_hear_each_other() {
    let (ours, theirs) = plain().await;
    check_both_talk_at_once(ours, Wire::new(theirs)).await;
    let (ours, theirs) = encrypted().await;
    check_both_talk_at_once(ours, Wire::new(theirs)).await;
}

#[tokio::test]
async fn the_last_of_what_was_said_leaves_though_the_socket_was_full() {
    let (mut wire, mut peer) = encrypted().await;
    wire.out = vec![7; MUCH];
    // All that fits on the way while nobody reads, the rest unsaid: what TLS has encrypted is the last that is to leave.
    while tokio::time::timeout(Duration::from_millis(100), wire.exchange(Ear::Closed)).await.is_ok() {}
    let mut heard = vec![0; MUCH - wire.out.len()];
    wire.out.clear();
    let hear = async {
        peer.read_exact(&mut heard).await.unwrap();
        heard
    };
    let say = async {
        while wire.has_unsent() {
            assert_eq!(wire.exchange(Ear::Closed).await.unwrap(), Moved::Written);
        }
    };
    let (heard, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(hear, say) }).await.unwrap();
    assert!(heard.iter().all(|byte| *byte == 7));
}

#[tokio::test]
async fn a_closed_ear_leaves_what_is_said_in_the_socket() {
    let (mut wire, mut peer) = encrypted().await;
    peer.write_all(b"hello").await.unwrap();
    peer.flush().await.unwrap();
    let deaf = tokio::time::timeout(Duration::from_millis(50), wire.exchange(Ear::Closed));
    assert!(deaf.await.is_err() && wire.input.is_empty());
    assert_eq!(wire.exchange(Ear::Open).await.unwrap(), Moved::Read(5));
}

#[tokio::test]
async fn a_peer_that_is_gone_has_closed_with_or_without_the_notice_of_tls() {
    for with_notice in [true, false] {
        let (mut wire, mut peer) = encrypted().await;
        if with_notice {
            peer.shutdown().await.unwrap();
        }
        drop(peer);
        assert_eq!(wire.exchange(Ear::Open).await.unwrap(), Moved::Read(0));
    }
}

#[tokio::test]
async fn parting_says_the_last_words() {
    let (mut wire, mut peer) = encrypted().await;
    wire.out = vec![3; 100_000];
    let hear = async {
        let mut heard = Vec::new();
        peer.read_to_end(&mut heard).await.unwrap();
        drop(peer);
        heard
    };
    let (heard, ()) = tokio::join!(hear, wire.part(PATIENCE));
    assert_eq!(heard.len(), 100_000);
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_not_trusted() {
    let (acceptor, _) = encryption();
    let (_, stranger) = encryption();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = Wire::connect("127.0.0.1", listener.local_addr().unwrap().port(), Some(&stranger));
    let (ours, _) = tokio::join!(ours, async { acceptor.accept(listener.accept().await.unwrap().0).await.is_err() });
    let error = ours.err().unwrap();
    let cause = error.get_ref().unwrap().downcast_ref::<rustls::Error>();
    assert!(matches!(cause, Some(rustls::Error::InvalidCertificate(_))), "{error}");
}
