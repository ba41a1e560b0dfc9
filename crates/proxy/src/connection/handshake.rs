//! The TLS handshake of a client's connection, within a time limit, beside as many others as there is room for.
//!
//! Where there are too many, the oldest goes: an honest client is done within milliseconds, so those that are in the
//! way the longest are those that only hold places.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::{CipherSuite, HandshakeKind, ProtocolVersion, ServerConnection};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use weir_plan::ListenerName;

use super::LATE_HANDSHAKE;
use super::stream::Socket;
use crate::client::certificate::ClientCertificate;
use crate::cluster::Counter;
use crate::listener::Downstream;
use crate::tls::TlsPort;
use crate::worker::Worker;

/// The alert `unrecognized_name` (112), fatal, as the record that it is before there are keys.
const UNRECOGNIZED_NAME: &[u8] = &[21, 3, 3, 0, 2, 2, 112];

/// What is known of the TLS of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFacts {
    /// The listener that the client has chosen by the server name.
    pub(crate) listener: ListenerName,
    /// The server name that the client asked for.
    pub(crate) server_name: Option<Box<str>>,
    /// Such as `TLSv1.3`.
    pub(crate) version: &'static str,
    /// The cipher suite, by its IANA name.
    pub(crate) cipher: &'static str,
    /// The certificate that the client has shown, if it has one.
    pub(crate) client: Option<Arc<ClientCertificate>>,
}

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// When its ClientHello has to be here.
    pub(super) inspected: Instant,
    /// For the handshake as a whole.
    pub(super) handshake: Duration,
}

/// A connection within TLS.
pub(super) struct Secured {
    pub(super) stream: Box<TlsStream<Socket>>,
    pub(super) facts: Box<TlsFacts>,
}

/// Makes a connection secure; none: it has been closed, which is counted.
pub(super) async fn secure(
    worker: &Worker,
    port: &TlsPort,
    stream: Socket,
    times: Times,
    drain: &CancellationToken,
) -> Option<Secured> {
    let shared = &worker.shared;
    let place = worker.handshakes.begin(shared.limits.max_handshakes);
    let too_late = async {
        drain.cancelled().await;
        sleep(LATE_HANDSHAKE).await;
    };
    let limited = timeout(times.handshake, shake(port, stream, times.inspected));
    let Downstream {
        tls_full,
        tls_resumed,
        cx_tls_error,
        cx_handshake_timeout,
        cx_handshake_overflow,
        cx_inspection_timeout,
        cx_server_name,
        ..
    } = &*shared.downstream;
    let counter: &Counter = tokio::select! {
        biased;
        done = limited => match done {
            Ok(Ok(secured)) => {
                let kind = secured.stream.get_ref().1.handshake_kind();
                match kind {
                    Some(HandshakeKind::Resumed) => tls_resumed.count(),
                    _ => tls_full.count(),
                }
                return Some(secured);
            }
            Ok(Err(Failure::ServerName)) => cx_server_name,
            Ok(Err(Failure::Late)) => cx_inspection_timeout,
            Ok(Err(Failure::Tls(error))) => {
                tracing::debug!(%error, "a TLS handshake failed");
                cx_tls_error
            }
            Err(_) => cx_handshake_timeout,
        },
        () = place.evicted() => cx_handshake_overflow,
        () = too_late => return None,
    };
    counter.count();
    None
}

enum Failure {
    /// No listener is there for the name that the client asks for.
    ServerName,
    /// Its ClientHello took too long.
    Late,
    /// It is no TLS, or none that both sides speak.
    Tls(io::Error),
}

async fn shake(port: &TlsPort, stream: Socket, inspected: Instant) -> Result<Secured, Failure> {
    let acceptor = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
    let start = timeout_at(inspected, acceptor).await;
    let start = start.map_err(|_| Failure::Late)?.map_err(Failure::Tls)?;
    let hello = start.client_hello();
    // rustls gives it in lower case, and only where it is a host name.
    let server_name = hello.server_name().map(Box::from);
    let Some(listener) = port.choose(server_name.as_deref()) else {
        // It is taken at once: nothing has been sent before it.
        start.io.try_send(UNRECOGNIZED_NAME);
        return Err(Failure::ServerName);
    };
    let config = listener.config.clone();
    let stream = start.into_stream(config).await.map_err(Failure::Tls)?;
    let (_, session) = stream.get_ref();
    let facts = TlsFacts {
        listener: listener.name.clone(),
        server_name,
        version: version(session),
        cipher: cipher(session),
        client: ClientCertificate::new(session.peer_certificates()),
    };
    Ok(Secured {
        stream: Box::new(stream),
        facts: Box::new(facts),
    })
}

fn version(session: &ServerConnection) -> &'static str {
    match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "TLSv1.2",
    }
}

fn cipher(session: &ServerConnection) -> &'static str {
    let suite = session.negotiated_cipher_suite().map(|it| it.suite());
    match suite {
        Some(CipherSuite::TLS13_AES_128_GCM_SHA256) => "TLS_AES_128_GCM_SHA256",
        Some(CipherSuite::TLS13_AES_256_GCM_SHA384) => "TLS_AES_256_GCM_SHA384",
        Some(CipherSuite::TLS13_CHACHA20_POLY1305_SHA256) => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.and_then(|it| it.as_str()).unwrap_or_default(),
    }
}

/// The handshakes that a worker has in progress, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Handshakes {
    next: Cell<u64>,
    waiting: RefCell<VecDeque<(u64, Rc<Notify>)>>,
}

/// A handshake in progress; dropping it gives its place back.
struct Place<'a> {
    of: &'a Handshakes,
    number: u64,
    evicted: Rc<Notify>,
}

impl Handshakes {
    /// Takes a place, from the oldest handshake where there are `max` already.
    fn begin(&self, max: usize) -> Place<'_> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= max.max(1)
            && let Some((_, oldest)) = waiting.pop_front()
        {
            oldest.notify_one();
        }
        let (number, evicted) = (self.next.get(), Rc::new(Notify::new()));
        self.next.set(number + 1);
        waiting.push_back((number, Rc::clone(&evicted)));
        Place {
            of: self,
            number,
            evicted,
        }
    }
}

impl Place<'_> {
    /// Ends when another takes the place.
    async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.of.waiting.borrow_mut();
        // Numbers ascend; one that was evicted is not there any more.
        if let Ok(index) = waiting.binary_search_by_key(&self.number, |(number, _)| *number) {
            waiting.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_handshake_gives_way() {
        let handshakes = Handshakes::default();
        let count = || handshakes.waiting.borrow().len();
        let is_evicted = |place: &Place<'_>| {
            let evicted = std::pin::pin!(place.evicted());
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            evicted.poll(&mut cx).is_ready()
        };
        let (first, second) = (handshakes.begin(2), handshakes.begin(2));
        let third = handshakes.begin(2);
        assert!(is_evicted(&first) && !is_evicted(&second) && !is_evicted(&third));
        drop(first);
        assert_eq!(count(), 2, "its place was taken, not given back twice");
        drop(second);
        let fourth = handshakes.begin(2);
        assert!(!is_evicted(&third) && !is_evicted(&fourth));
        drop((third, fourth));
        assert_eq!(count(), 0);
    }
}
