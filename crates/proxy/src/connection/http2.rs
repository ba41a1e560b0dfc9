//! A client's connection that speaks HTTP/2: many requests at one time, each within its own limits.
//!
//! hyper runs each stream in a task of its own. Dropping that task resets the stream, which is how a stream that does
//! not move for too long is ended without the others.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use weir_plan::ClientHttp2;
use weir_plan::features::connection::ConnectionKeepalive;

use super::extended;
use super::frames::Noted;
use super::life::{Life, Over};
use super::socket::Noticed;
use super::timed::{Timed, Watcher};
use super::{Connection, ended};
use crate::client::ClientSettings;
use crate::request;
use crate::worker::Worker;

/// Longer than any connection lives.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3_600);
/// Bytes of a response that are kept for a client that does not take them, per stream.
const MAX_SEND_BUFFER: usize = 64 * 1024;
/// How long the requests in progress may go on when the port is drained, before the connection is closed. Only those
/// without a time limit of their own get there.
const IDLE_AFTER_GOAWAY: Duration = Duration::from_secs(5);

/// Serves a connection until it ends. When `drain` is cancelled, no further requests are taken.
pub(super) async fn serve(
    worker: Rc<Worker>,
    (io, noted): (Noticed, Rc<Noted>),
    connection: Arc<Connection>,
    settings: &ClientSettings,
    drain: CancellationToken,
) {
    let limits = &worker.shared.limits;
    let times = settings.times(limits);
    let (head_timeout, idle_timeout) = (times.head, times.idle.unwrap_or(FOR_EVER));
    let life = Rc::new(Life::begin(&settings.policy().connection, Instant::now()));
    let ClientHttp2 {
        initial_stream_window_size,
        initial_connection_window_size,
        max_concurrent_streams,
        // h2 ends the stream of a malformed message, whatever is asked for.
        on_invalid_message: _,
        keepalive,
    } = &settings.policy().http2;
    let head_bytes = settings.policy().headers.max_bytes;
    let head_bytes = head_bytes.map_or(limits.max_head_bytes, |it| it as usize);
    let streams = Rc::new(Streams {
        next: RefCell::default(),
        active: Cell::new(0),
        changed: Cell::new(Instant::now()),
    });
    let mut builder = http2::Builder::new(PerStream(Rc::clone(&streams)));
    builder
        .max_concurrent_streams(*max_concurrent_streams)
        .initial_stream_window_size(*initial_stream_window_size)
        .initial_connection_window_size(*initial_connection_window_size)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .enable_connect_protocol()
        .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX));
    if let Some(ConnectionKeepalive {
        interval: Some(interval),
        timeout,
        // Many connections that are pinged at one time are no burden here.
        interval_jitter: _,
        // Clients are not asked before their requests are answered.
        idle_interval: _,
    }) = keepalive
    {
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(*interval)
            .keep_alive_timeout(*timeout);
    }
    let service = {
        let (worker, connection, streams) = (
            Rc::clone(&worker),
            Arc::clone(&connection),
            Rc::clone(&streams),
        );
        let life = Rc::clone(&life);
        service_fn(move |mut request: Request<Incoming>| {
            let overdue = Arc::new(Overdue::default());
            streams.next.replace(Some(Arc::clone(&overdue)));
            life.request();
            let (worker, connection) = (Rc::clone(&worker), Arc::clone(&connection));
            let streams = Rc::clone(&streams);
            let connects = request.method() == Method::CONNECT;
            let client = connects.then(|| hyper::upgrade::on(&mut request));
            extended::into_upgrade(&mut request);
            async move {
                let mut response = request::serve(&worker, &connection, request, None).await;
                if let (Some(tunnel), Some(client)) = (response.body_mut().take_tunnel(), client) {
                    extended::agree(&mut response);
                    let open = Open::new(&streams);
                    tokio::task::spawn_local(async move {
                        let _open = open;
                        if let Ok(client) = client.await {
                            tunnel.run(TokioIo::new(client)).await;
                        }
                    });
                }
                Ok::<_, Infallible>(response.map(|body| Timed::new(body, overdue)))
            }
        })
    };
    let mut served = pin!(builder.serve_connection(TokioIo::new(io), service));
    let mut alarm = pin!(sleep_until(streams.changed.get() + idle_timeout));
    let mut draining = pin!(drain.cancelled());
    let mut old = pin!(life.old());
    let is_limited = life.is_limited();
    // When the connection is closed whatever is in progress.
    let mut last_call = None;
    loop {
        let event = std::future::poll_fn(|cx| {
            if let Poll::Ready(result) = served.as_mut().poll(cx) {
                return Poll::Ready(Event::Ended(result));
            }
            if let Some(since) = noted.unfinished.get()
                && since + head_timeout < alarm.deadline()
            {
                alarm.as_mut().reset(since + head_timeout);
            }
            if last_call.is_none() && draining.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Drain);
            }
            if is_limited && last_call.is_none() {
                let aged = old.as_mut().poll(cx).is_ready().then_some(Over::Age);
                if let Some(over) = aged.or_else(|| life.is_over(Instant::now())) {
                    return Poll::Ready(Event::Over(over));
                }
            }
            alarm.as_mut().poll(cx).map(|()| Event::Alarm)
        })
        .await;
        match event {
            Event::Ended(Ok(())) => return,
            Event::Ended(Err(error)) => {
                if noted.flooded.get() {
                    worker.shared.downstream.cx_protocol_error.count();
                }
                return ended(&worker, &connection, &error);
            }
            Event::Over(over) => {
                over.count(&worker.shared.downstream);
                served.as_mut().graceful_shutdown();
                last_call = Some(idle_timeout.min(IDLE_AFTER_GOAWAY));
                alarm.as_mut().reset(Instant::now());
            }
            Event::Drain => {
                served.as_mut().graceful_shutdown();
                last_call = Some(idle_timeout.min(IDLE_AFTER_GOAWAY));
                alarm.as_mut().reset(Instant::now());
            }
            Event::Alarm => {
                let now = Instant::now();
                let unfinished = noted.unfinished.get();
                if unfinished.is_some_and(|since| since + head_timeout <= now) {
                    worker.shared.downstream.cx_head_timeout.count();
                    return;
                }
                let idle = streams.active.get() == 0;
                let due = streams.changed.get() + last_call.unwrap_or(idle_timeout);
                if idle && due <= now {
                    if last_call.is_some() {
                        return;
                    }
                    worker.shared.downstream.cx_idle_timeout.count();
                    served.as_mut().graceful_shutdown();
                    last_call = Some(IDLE_AFTER_GOAWAY);
                }
                alarm.as_mut().reset(if idle && due > now {
                    due
                } else {
                    now + last_call.unwrap_or(idle_timeout)
                });
            }
        }
    }
}

enum Event {
    Ended(hyper::Result<()>),
    Drain,
    /// It has lived as long as it may.
    Over(Over),
    Alarm,
}

/// When a limit of a stream's response passes if nothing moves. An own lock, because bodies are `Send`.
#[derive(Default)]
struct Overdue(Mutex<Option<Instant>>);

impl Watcher for Overdue {
    fn moves_until(&self, due: Option<Instant>) {
        *self.0.lock() = due;
    }

    fn ended(&self) {
        self.moves_until(None);
    }
}

/// The streams of one connection.
struct Streams {
    /// Of the stream whose task is about to be spawned: hyper calls the service and spawns in one go.
    next: RefCell<Option<Arc<Overdue>>>,
    active: Cell<usize>,
    /// When the number last changed.
    changed: Cell<Instant>,
}

/// Runs each stream in a task of the worker.
#[derive(Clone)]
struct PerStream(Rc<Streams>);

impl<F: Future<Output = ()> + 'static> Executor<F> for PerStream {
    fn execute(&self, stream: F) {
        let Self(streams) = self;
        let open = Open::new(streams);
        let moving = WhileItMoves {
            stream: Box::pin(stream),
            overdue: streams.next.take().unwrap_or_default(),
            alarm: None,
        };
        tokio::task::spawn_local(async move {
            let _open = open;
            moving.await;
        });
    }
}

/// A stream that is open; dropping it counts it off.
struct Open(Rc<Streams>);

impl Open {
    fn new(streams: &Rc<Streams>) -> Self {
        streams.active.set(streams.active.get() + 1);
        Self(Rc::clone(streams))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Self(streams) = self;
        streams.active.set(streams.active.get() - 1);
        streams.changed.set(Instant::now());
    }
}

/// A stream, until it ends or its response has not moved for too long. The exchange, dropped with it, knows and notes
/// which limit it was.
struct WhileItMoves<F> {
    stream: Pin<Box<F>>,
    overdue: Arc<Overdue>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<F: Future<Output = ()>> Future for WhileItMoves<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(due) = *self.overdue.0.lock() else {
            return Poll::Pending;
        };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if alarm.deadline() != due {
            alarm.as_mut().reset(due);
        }
        alarm.as_mut().poll(cx)
    }
}
