//! Makes a socket a connection in HTTP/2, and drives it until it ends.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use hyper::client::conn::http2::{self, Connection};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::{CLOSED, Shared, Stream};
use crate::body::Body;
use crate::cluster::ClusterState;
use crate::upstream::EndpointState;
use crate::upstream::connect::next_look;
use crate::upstream::pool::Slot;
use crate::writes::passes_on_writes;

/// Bytes of responses that may be on their way, for a stream and for all: Envoy Gateway's defaults.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of a request that are kept for an endpoint that does not take them, per stream.
const MAX_SEND_BUFFER: usize = 64 * 1024;

/// Begins to speak HTTP/2, and leaves the connection to its driver.
pub(in crate::upstream) async fn speak<S>(
    cluster: &Arc<ClusterState>,
    endpoint: &Arc<EndpointState>,
    worker: usize,
    slot: Slot,
    stream: S,
) -> Result<Stream, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let tasks = Tasks::default();
    let reading = Reading::default();
    let stream = Noticed {
        stream,
        reading: Rc::clone(&reading),
    };
    let handshake = http2::Builder::new(tasks.clone())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_max_send_streams(UNKNOWN)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .handshake(TokioIo::new(stream))
        .await;
    let (sender, mut connection) = handshake.map_err(|error| error.to_string())?;
    // Until the endpoint has said how many streams it takes, it might refuse some.
    std::future::poll_fn(|cx| {
        reading.set(Some(cx.waker().clone()));
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            let reason = ended.err().map(|error| error.to_string());
            return Poll::Ready(Err(reason.unwrap_or_else(|| "it was closed".to_owned())));
        }
        if connection.current_max_send_streams() == UNKNOWN {
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    })
    .await?;
    reading.set(None);
    let now = Instant::now();
    let age = cluster.policy().timeout.max_connection_duration;
    let shared = Arc::new(Shared {
        sender,
        streams: AtomicU32::new(0),
        allowed: AtomicUsize::new(connection.current_max_send_streams()),
        offers_upgrades: connection.is_extended_connect_protocol_enabled(),
        served: AtomicU32::new(0),
        changed: Notify::new(),
        home: worker,
        slot: Arc::clone(&slot.state),
    });
    let stream = shared.begin().ok_or("the connection takes no requests")?;
    let own = &endpoint.shared.0[worker];
    own.connections.lock().push(Arc::clone(&shared));
    if endpoint.is_retired() {
        endpoint.shared.close();
    }
    let driver = Driver {
        cluster: Arc::clone(cluster),
        endpoint: Arc::clone(endpoint),
        shared,
        expires: age.and_then(|age| now.checked_add(age)),
    };
    tokio::task::spawn_local(async move {
        // Given back when the socket is closed, which the last of the tasks does.
        let _slot = slot;
        driver.drive(connection).await;
        tasks.end().await;
    });
    Ok(stream)
}

/// Stands for the most streams that an endpoint allows while it has not said it.
const UNKNOWN: usize = u32::MAX as usize - 1;

/// Who waits for something to be read.
type Reading = Rc<Cell<Option<Waker>>>;

/// A socket that tells when something has been read.
struct Noticed<S> {
    stream: S,
    reading: Reading,
}

impl<S: AsyncRead + Unpin> AsyncRead for Noticed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if polled.is_ready()
            && let Some(waker) = self.reading.take()
        {
            waker.wake();
        }
        polled
    }
}

passes_on_writes!(impl[S: AsyncWrite + Unpin] Noticed<S>);

/// The tasks that hyper moves a connection's bytes in.
#[derive(Clone, Default)]
struct Tasks(Rc<RefCell<JoinSet<()>>>);

impl<F: Future<Output = ()> + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let mut tasks = self.0.borrow_mut();
        while tasks.try_join_next().is_some() {}
        tasks.spawn_local(task);
    }
}

impl Tasks {
    async fn end(self) {
        let mut tasks = self.0.take();
        tasks.shutdown().await;
    }
}

struct Driver {
    cluster: Arc<ClusterState>,
    endpoint: Arc<EndpointState>,
    shared: Arc<Shared>,
    /// When it becomes too old for new requests.
    expires: Option<Instant>,
}

impl Driver {
    /// Follows a connection until it ends, or has been idle or alive for too long.
    async fn drive<S>(self, connection: Connection<TokioIo<Noticed<S>>, Body, Tasks>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            cluster,
            endpoint,
            shared,
            mut expires,
        } = self;
        let mut connection = pin!(connection);
        let mut alarm = pin!(sleep_until(next_look(&cluster, expires, None)));
        // Since when it has no streams; none: it has some.
        let mut idle_since = None;
        while !shared.is_done() {
            let ended = std::future::poll_fn(|cx| {
                let polled = connection.as_mut().poll(cx);
                let allowed = connection.current_max_send_streams();
                shared.allowed.store(allowed, Ordering::Relaxed);
                polled
            });
            tokio::select! {
                biased;
                // What went wrong is told to whoever waits for a response.
                _ = ended => break,
                // Streams may have begun and ended since the last look.
                () = shared.changed.notified() => idle_since = None,
                () = &mut alarm => {}
            }
            let now = Instant::now();
            if expires.is_some_and(|expires| expires <= now) {
                expires = None;
                cluster.stats.cx_max_duration_reached.count();
                shared.close();
            }
            let busy = shared.streams.load(Ordering::SeqCst) & !CLOSED > 0;
            idle_since = (!busy).then(|| idle_since.unwrap_or(now));
            let timeout = cluster.policy().timeout.connection_idle;
            if let (Some(since), Some(timeout)) = (idle_since, timeout)
                && now.saturating_duration_since(since) >= timeout
                && shared.close_if_idle()
            {
                cluster.stats.cx_idle_timeout.count();
            }
            alarm
                .as_mut()
                .reset(next_look(&cluster, expires, idle_since));
        }
        shared.streams.fetch_or(CLOSED, Ordering::SeqCst);
        let own = &endpoint.shared.0[shared.home];
        let mut connections = own.connections.lock();
        connections.retain(|it| !Arc::ptr_eq(it, &shared));
    }
}
