//! Ports: bound once for all workers, accepted from by each, drained when a plan no longer has them.
//!
//! A port is one listening socket that all workers share. Without SO_REUSEPORT a second process is told that the
//! port is in use, and a worker that stops resets no connection that waits to be accepted. Whoever is awake first
//! accepts, so the accepting worker hands a connection over where another has clearly fewer.

mod places;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::{mpsc as handing, watch};
use tokio_util::sync::CancellationToken;

use crate::cluster::Counter;
use crate::connection::{self, Connection};
use crate::worker::{Shared, Worker};
use places::{Place, Places};

/// Connections that may wait to be accepted, per port.
const BACKLOG: i32 = 4_096;
/// How long accepting rests after an error (out of file descriptors, mostly).
const REST: Duration = Duration::from_millis(50);

/// Connections on their way from one worker to another, per worker.
const HANDED: usize = 1_024;

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
    drain: CancellationToken,
    places: Places,
    /// Dropped with the port; see [`Closed`].
    _open: mpsc::Sender<()>,
}

impl Port {
    /// Its socket once more: both accept from one queue.
    pub(crate) fn duplicate(&self) -> io::Result<TcpListener> {
        self.socket.try_clone()
    }
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
    adopt(number, TcpListener::from(socket))
}

/// Whether a listening socket is one that binding this address would give.
pub(crate) fn serves(socket: &TcpListener, address: SocketAddr) -> bool {
    let free_port = address.port() == 0;
    socket
        .local_addr()
        .is_ok_and(|it| it.ip() == address.ip() && (free_port || it.port() == address.port()))
}

/// Serves a port by a listening socket that is there.
///
/// # Errors
/// What the system says.
pub(crate) fn adopt(number: u16, socket: TcpListener) -> io::Result<(Arc<Port>, Closed)> {
    socket.set_nonblocking(true)?;
    let (open, closed) = mpsc::channel();
    let port = Port {
        number,
        address: socket.local_addr()?,
        socket,
        drain: CancellationToken::new(),
        places: Places::default(),
        _open: open,
    };
    Ok((Arc::new(port), closed))
}

/// A worker's part in all ports: accepts from those that are there, follows changes, ends with `stop`.
pub(crate) async fn follow(
    worker: Rc<Worker>,
    mut ports: watch::Receiver<Ports>,
    mut handed: Handed,
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
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = ports.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                Some(accepted) = handed.recv() => serve(&worker, accepted),
            }
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
                Ok((stream, peer)) => match stream.into_std() {
                    Ok(stream) => assign(&worker, &port, stream, peer),
                    Err(error) => tracing::warn!(port = port.number, %error, "connection lost"),
                },
                Err(error) => {
                    tracing::warn!(port = port.number, %error, "cannot accept a connection");
                    tokio::time::sleep(REST).await;
                }
            },
            () = port.drain.cancelled() => break,
        }
    }
}

/// A connection that has been accepted.
#[derive(Debug)]
pub(crate) struct Accepted {
    stream: std::net::TcpStream,
    connection: Connection,
    drain: CancellationToken,
    open: Open,
    place: Place,
}

/// What other workers hand over.
pub(crate) type Handed = handing::Receiver<Accepted>;

/// Ends a port's service. Connections that the kernel has accepted for it are still given to workers.
pub(crate) fn close(port: &Port, shared: &Shared) {
    port.drain.cancel();
    while let Ok((stream, peer)) = port.socket.accept() {
        if let Ok(accepted) = admit(shared, port, None, stream, peer) {
            let seat = &shared.downstream.seats[accepted.open.seat];
            // Only a worker that is full to the brim or stopping does not take it.
            drop(seat.handed.try_send(accepted));
        }
    }
}

/// A connection that is not served, and how long it is kept all the same.
struct Refused(std::net::TcpStream, Duration);

/// Counts a connection in and chooses who serves it, unless there are too many.
fn admit(
    shared: &Shared,
    port: &Port,
    worker: Option<usize>,
    stream: std::net::TcpStream,
    peer: SocketAddr,
) -> Result<Accepted, Refused> {
    let downstream = &shared.downstream;
    let table = shared.table.load();
    let settings = &table.clients.of_port(port.number).policy().socket;
    let limit = settings.limit;
    let Some(place) = port.places.take(limit.map(|it| it.value)) else {
        downstream.cx_limited.count();
        let delay = limit.map_or(Duration::ZERO, |it| it.close_delay);
        return Err(Refused(stream, delay));
    };
    let open = if shared.overloaded.load(Ordering::Relaxed) {
        None
    } else {
        Downstream::open(downstream, worker, shared.limits.max_connections)
    };
    let Some(open) = open else {
        downstream.cx_overflow.count();
        return Err(Refused(stream, Duration::ZERO));
    };
    places::configure(&stream, settings);
    Ok(Accepted {
        connection: Connection {
            peer,
            direct: peer,
            local: stream.local_addr().unwrap_or(port.address),
            port: port.number,
            tls: None,
        },
        stream,
        drain: port.drain.clone(),
        open,
        place,
    })
}

/// Serves a connection, or hands it to the worker that is to serve it.
fn assign(worker: &Rc<Worker>, port: &Port, stream: std::net::TcpStream, peer: SocketAddr) {
    let accepted = match admit(&worker.shared, port, Some(worker.index), stream, peer) {
        Ok(accepted) => accepted,
        Err(Refused(stream, delay)) => return port.places.refuse(stream, delay, &port.drain),
    };
    if accepted.open.seat == worker.index {
        serve(worker, accepted);
        return;
    }
    let seat = &worker.shared.downstream.seats[accepted.open.seat];
    if let Err(error) = seat.handed.try_send(accepted) {
        // It has its hands full, or is stopping.
        serve(worker, error.into_inner());
    }
}

/// Serves a connection in a task of its own.
fn serve(worker: &Rc<Worker>, accepted: Accepted) {
    let Accepted {
        stream,
        connection,
        drain,
        open,
        place,
    } = accepted;
    let stream = stream
        .set_nonblocking(true)
        .and_then(|()| TcpStream::from_std(stream));
    match stream {
        Ok(stream) => {
            let worker = Rc::clone(worker);
            tokio::task::spawn_local(async move {
                let _counted = (open, place);
                connection::serve(worker, stream, connection, drain).await;
            });
        }
        Err(error) => tracing::warn!(port = connection.port, %error, "connection lost"),
    }
}

/// Connections from clients, over all workers.
#[derive(Debug)]
pub(crate) struct Downstream {
    active: Mutex<usize>,
    none: Condvar,
    seats: Box<[Seat]>,
    /// Connections served.
    pub(crate) cx_total: Counter,
    /// Connections refused because there were too many.
    pub(crate) cx_overflow: Counter,
    /// Connections refused because their port had as many as its policy allows.
    pub(crate) cx_limited: Counter,
    /// Connections closed for what came over them.
    pub(crate) cx_protocol_error: Counter,
    /// Connections closed because they did not begin with the PROXY header that they should have, or with a bad one.
    pub(crate) cx_proxy_protocol: Counter,
    /// Connections closed because their PROXY header or ClientHello took too long.
    pub(crate) cx_inspection_timeout: Counter,
    /// TLS handshakes from the beginning.
    pub(crate) tls_full: Counter,
    /// TLS handshakes that went on with an earlier session.
    pub(crate) tls_resumed: Counter,
    /// Connections closed because they did not speak TLS, or not one that both sides speak.
    pub(crate) cx_tls_error: Counter,
    /// Connections closed because their TLS handshake took too long.
    pub(crate) cx_handshake_timeout: Counter,
    /// Connections closed because there were too many younger ones in their TLS handshake.
    pub(crate) cx_handshake_overflow: Counter,
    /// Connections closed because no listener has the server name that they asked for.
    pub(crate) cx_server_name: Counter,
    /// Connections closed because a request's head took too long.
    pub(crate) cx_head_timeout: Counter,
    /// Connections closed for being idle too long.
    pub(crate) cx_idle_timeout: Counter,
    /// Connections that ended for having lived as long as their policy allows.
    pub(crate) cx_max_duration: Counter,
    /// Connections that ended for having served as many requests as their policy allows.
    pub(crate) cx_max_requests: Counter,
}

/// A worker, seen by the others.
#[derive(Debug)]
struct Seat {
    connections: AtomicUsize,
    handed: handing::Sender<Accepted>,
}

/// An open connection; dropping it counts it off.
#[derive(Debug)]
struct Open {
    downstream: Arc<Downstream>,
    /// The worker that it was given to.
    seat: usize,
}

impl Downstream {
    /// No connections, and what each worker is handed.
    pub(crate) fn new(workers: usize) -> (Arc<Self>, Vec<Handed>) {
        let (seats, handed): (Vec<Seat>, Vec<Handed>) = (0..workers)
            .map(|_| {
                let (sender, receiver) = handing::channel(HANDED);
                let seat = Seat {
                    connections: AtomicUsize::new(0),
                    handed: sender,
                };
                (seat, receiver)
            })
            .unzip();
        let downstream = Self {
            active: Mutex::default(),
            none: Condvar::new(),
            seats: seats.into(),
            cx_total: Counter::default(),
            cx_overflow: Counter::default(),
            cx_limited: Counter::default(),
            cx_protocol_error: Counter::default(),
            cx_proxy_protocol: Counter::default(),
            cx_inspection_timeout: Counter::default(),
            tls_full: Counter::default(),
            tls_resumed: Counter::default(),
            cx_tls_error: Counter::default(),
            cx_handshake_timeout: Counter::default(),
            cx_handshake_overflow: Counter::default(),
            cx_server_name: Counter::default(),
            cx_head_timeout: Counter::default(),
            cx_idle_timeout: Counter::default(),
            cx_max_duration: Counter::default(),
            cx_max_requests: Counter::default(),
        };
        (Arc::new(downstream), handed)
    }

    /// Counts a connection that `worker` (or none) has accepted, and says who is to serve it.
    fn open(this: &Arc<Self>, worker: Option<usize>, max: usize) -> Option<Open> {
        let mut active = this.active.lock();
        if *active >= max {
            return None;
        }
        *active += 1;
        let loads: Vec<usize> = this
            .seats
            .iter()
            .map(|seat| seat.connections.load(Ordering::Relaxed))
            .collect();
        let seat = seat_for(worker, &loads);
        this.seats[seat].connections.fetch_add(1, Ordering::Relaxed);
        this.cx_total.count();
        Some(Open {
            downstream: Arc::clone(this),
            seat,
        })
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

/// The worker that gets a connection: the one that accepted it, unless another has an eighth fewer. Handing over costs
/// something, so many short connections are not shifted for little; a few long ones are spread evenly.
fn seat_for(worker: Option<usize>, loads: &[usize]) -> usize {
    let least = loads.iter().enumerate().min_by_key(|(_, load)| **load);
    match (worker, least) {
        (Some(worker), Some((_, load))) if loads[worker] <= load + load / 8 => worker,
        (_, Some((seat, _))) => seat,
        (worker, None) => worker.unwrap_or(0),
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Self { downstream, seat } = self;
        downstream.seats[*seat]
            .connections
            .fetch_sub(1, Ordering::Relaxed);
        let mut active = downstream.active.lock();
        *active -= 1;
        if *active == 0 {
            downstream.none.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_spread_without_shifting_for_little() {
        // (connections of each worker, who accepted, who serves)
        let cases: [(&[usize], usize, usize); 9] = [
            (&[0], 0, 0),
            (&[0, 0], 1, 1),
            (&[1, 0], 0, 1),
            (&[1, 0], 1, 1),
            (&[1, 1], 0, 0),
            (&[5, 4, 3], 0, 2),
            (&[100, 90], 0, 0),
            (&[102, 90], 0, 1),
            (&[1, 0, 0], 2, 2),
        ];
        for (loads, worker, seat) in cases {
            assert_eq!(seat_for(Some(worker), loads), seat, "{loads:?} {worker}");
        }
        assert_eq!(seat_for(None, &[2, 1, 1]), 1);
        let mut loads = [0; 4];
        for _ in 0..100 {
            loads[seat_for(Some(0), &loads)] += 1;
        }
        assert!(
            loads.iter().all(|load| (23..=28).contains(load)),
            "{loads:?}"
        );
    }
}
