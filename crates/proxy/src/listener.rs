//! Ports: bound once for all workers, accepted from by each, drained when a plan no longer has them.
//!
//! A port is one listening socket that all workers share. Without SO_REUSEPORT a second process is told that the
//! port is in use, and a worker that stops resets no connection that waits to be accepted.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cluster::Counter;
use crate::connection::{self, Connection};
use crate::worker::Worker;

/// Connections that may wait to be accepted, per port.
const BACKLOG: i32 = 4_096;
/// How long accepting rests after an error (out of file descriptors, mostly).
const REST: Duration = Duration::from_millis(50);

/// The ports in service, by the number that Gateways name.
pub(crate) type Ports = Arc<BTreeMap<u16, Arc<Port>>>;

/// A bound port.
#[derive(Debug)]
pub(crate) struct Port {
    /// The number that Gateways name.
    number: u16,
    /// Where it is bound.
    pub(crate) address: SocketAddr,
    socket: TcpListener,
    /// Cancelled when no new connections are taken, and those that exist are to end.
    pub(crate) drain: CancellationToken,
    /// Dropped with the port; see [`closed`].
    _open: mpsc::Sender<()>,
}

/// Tells when a port's socket is closed by all who had it: the channel is then disconnected.
pub(crate) type Closed = mpsc::Receiver<()>;

/// Binds a port.
///
/// # Errors
/// What the system says.
pub(crate) fn bind(number: u16, address: SocketAddr) -> io::Result<(Arc<Port>, Closed)> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let socket = TcpListener::from(socket);
    let (open, closed) = mpsc::channel();
    let port = Port {
        number,
        address: socket.local_addr()?,
        socket,
        drain: CancellationToken::new(),
        _open: open,
    };
    Ok((Arc::new(port), closed))
}

/// A worker's part in all ports: accepts from those that are there, follows changes, ends with `stop`.
pub(crate) async fn follow(
    worker: Rc<Worker>,
    mut ports: watch::Receiver<Ports>,
    stop: CancellationToken,
) {
    let mut serving: BTreeMap<u16, Arc<Port>> = BTreeMap::new();
    loop {
        let now = Arc::clone(&ports.borrow_and_update());
        serving.retain(|number, port| now.get(number).is_some_and(|it| Arc::ptr_eq(it, port)));
        for (number, port) in now.iter() {
            if !serving.contains_key(number) {
                serving.insert(*number, Arc::clone(port));
                tokio::task::spawn_local(accept(Rc::clone(&worker), Arc::clone(port)));
            }
        }
        drop(now);
        tokio::select! {
            () = stop.cancelled() => return,
            changed = ports.changed() => if changed.is_err() { return },
        }
    }
}

/// Accepts a port's connections until it is drained.
async fn accept(worker: Rc<Worker>, port: Arc<Port>) {
    let registered = port
        .socket
        .try_clone()
        .and_then(tokio::net::TcpListener::from_std);
    let listener = match registered {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(port = port.number, %error, "a worker cannot serve a port");
            return;
        }
    };
    loop {
        tokio::select! {
            biased;
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => serve(&worker, &port, stream, peer),
                Err(error) => {
                    tracing::warn!(port = port.number, %error, "cannot accept a connection");
                    tokio::time::sleep(REST).await;
                }
            },
            () = port.drain.cancelled() => break,
        }
    }
    // Those that the kernel has accepted already are served too.
    while let Ok((stream, peer)) = port.socket.accept() {
        let stream = stream
            .set_nonblocking(true)
            .and_then(|()| TcpStream::from_std(stream));
        if let Ok(stream) = stream {
            serve(&worker, &port, stream, peer);
        }
    }
}

/// Serves a connection in a task of its own, unless there are too many.
fn serve(worker: &Rc<Worker>, port: &Port, stream: TcpStream, peer: SocketAddr) {
    let downstream = &worker.shared.downstream;
    let Some(open) = Downstream::open(downstream, worker.shared.limits.max_connections) else {
        downstream.cx_overflow.count();
        return;
    };
    let Port {
        number,
        address,
        socket: _,
        drain,
        _open,
    } = port;
    let connection = Connection {
        peer,
        local: stream.local_addr().unwrap_or(*address),
        port: *number,
    };
    let served = connection::serve(Rc::clone(worker), stream, connection, drain.clone());
    tokio::task::spawn_local(async move {
        let _open = open;
        served.await;
    });
}

/// Connections from clients, over all workers.
#[derive(Debug, Default)]
pub(crate) struct Downstream {
    active: Mutex<usize>,
    none: Condvar,
    /// Connections served.
    pub(crate) cx_total: Counter,
    /// Connections refused because there were too many.
    pub(crate) cx_overflow: Counter,
    /// Connections closed for what came over them.
    pub(crate) cx_protocol_error: Counter,
    /// Connections closed because a request's head took too long.
    pub(crate) cx_head_timeout: Counter,
    /// Connections closed for being idle too long.
    pub(crate) cx_idle_timeout: Counter,
}

/// An open connection; dropping it counts it off.
#[derive(Debug)]
struct Open(Arc<Downstream>);

impl Downstream {
    fn open(this: &Arc<Self>, max: usize) -> Option<Open> {
        let mut active = this.active.lock();
        if *active >= max {
            return None;
        }
        *active += 1;
        this.cx_total.count();
        Some(Open(Arc::clone(this)))
    }

    /// Connections that are open.
    pub(crate) fn active(&self) -> usize {
        *self.active.lock()
    }

    /// Waits until there are none, at most for `timeout`. Says whether there are none.
    pub(crate) fn wait_for_none(&self, timeout: Duration) -> bool {
        let mut active = self.active.lock();
        self.none
            .wait_while_for(&mut active, |active| *active > 0, timeout);
        *active == 0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut active = self.0.active.lock();
        *active -= 1;
        if *active == 0 {
            self.0.none.notify_all();
        }
    }
}
