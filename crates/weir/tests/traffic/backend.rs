//! Backends for tests: HTTP/1.1 servers on loopback whose every answer a test writes down, one thread per connection.
//!
//! They record what they were sent, can hold requests until a test lets them go, and die and come back on one port.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::client::{PATIENCE, find, wait_until};

/// A request as a backend saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Headers in their order, names as sent.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// Which connection it came by, from 1.
    pub(crate) connection: usize,
    /// Which request it is of all that this backend got, from 1.
    pub(crate) number: usize,
}

impl Request {
    /// The first header of that name, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

/// What a backend does about a request, in order. The connection stays open unless a step ends it.
pub(crate) type Reply = Vec<Step>;

/// One thing that a backend does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Waits until a test opens the gate.
    Hold(Gate),
    /// Waits for a time that the test measures.
    Pause(Duration),
    /// Closes the connection.
    Close,
    /// Closes the connection by a reset.
    Reset,
}

/// A response with a `content-length`, as bytes.
pub(crate) fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} Status\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    text.into_bytes()
}

/// A plain answer.
pub(crate) fn reply(status: u16, body: &str) -> Reply {
    vec![Step::Send(response(status, &[], body))]
}

/// Where requests wait until a test lets them through.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<(Mutex<Held>, Condvar)>);

#[derive(Debug, Default)]
struct Held {
    open: bool,
    waiting: usize,
}

impl Gate {
    /// Lets all through, those that come later too.
    pub(crate) fn open(&self) {
        let (held, changed) = &*self.0;
        held.lock()
            .expect("no test panics while it holds the gate")
            .open = true;
        changed.notify_all();
    }

    /// Lets nobody through any more.
    pub(crate) fn shut(&self) {
        self.0
            .0
            .lock()
            .expect("no test panics while it holds the gate")
            .open = false;
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.0
            .0
            .lock()
            .expect("no test panics while it holds the gate")
            .waiting
    }

    /// Waits until so many requests are held.
    pub(crate) fn wait_for(&self, count: usize) {
        wait_until(&format!("{count} requests held at the backend"), || {
            self.waiting() == count
        });
    }

    /// Waits to be let through.
    pub(crate) fn pass(&self) {
        let (held, changed) = &*self.0;
        let mut held = held.lock().expect("no test panics while it holds the gate");
        held.waiting += 1;
        let (mut held, _) = changed
            .wait_timeout_while(held, PATIENCE * 2, |held| !held.open)
            .expect("no test panics while it holds the gate");
        held.waiting -= 1;
    }
}

/// A backend. It ends when it is dropped.
pub(crate) struct Backend {
    /// Where it is.
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    /// Keeps the port ours while nothing listens on it, so that it refuses connections then.
    _port: Socket,
}

struct State {
    answer: Box<dyn Fn(&Request) -> Reply + Send + Sync>,
    requests: Mutex<Vec<Request>>,
    numbers: AtomicUsize,
    connections: AtomicUsize,
    open: Mutex<Vec<(usize, TcpStream)>>,
    alive: AtomicBool,
}

impl Backend {
    /// Answers 200 with this text.
    pub(crate) fn named(name: &'static str) -> Self {
        Self::start(move |_| reply(200, name))
    }

    /// Answers as the function says.
    pub(crate) fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let port = bound(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = port.local_addr().ok().and_then(|it| it.as_socket());
        let address = address.expect("it is bound");
        let state = Arc::new(State {
            answer: Box::new(answer),
            requests: Mutex::default(),
            numbers: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            open: Mutex::default(),
            alive: AtomicBool::new(true),
        });
        serve(listening(address), Arc::clone(&state));
        Self {
            address,
            state,
            _port: port,
        }
    }

    /// Holds every request at the gate, then answers 200 with `held`.
    pub(crate) fn holding(gate: &Gate) -> Self {
        let gate = gate.clone();
        Self::start(move |_| {
            vec![
                Step::Hold(gate.clone()),
                Step::Send(response(200, &[], "held")),
            ]
        })
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state
            .requests
            .lock()
            .expect("no thread panics with it")
            .clone()
    }

    /// How many requests came.
    pub(crate) fn count(&self) -> usize {
        self.state.numbers.load(Ordering::SeqCst)
    }

    /// The newest request.
    pub(crate) fn last(&self) -> Request {
        self.requests()
            .pop()
            .expect("a request reached the backend")
    }

    /// How many connections were made to it.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.state
            .open
            .lock()
            .expect("no thread panics with it")
            .len()
    }

    /// Closes the port and every connection.
    pub(crate) fn kill(&self) {
        if self.state.alive.swap(false, Ordering::SeqCst) {
            drop(TcpStream::connect(self.address)); // wakes the accepting thread, which then closes the port
            wait_until("the backend's port is closed", || {
                TcpStream::connect(self.address).is_err()
            });
        }
        for (_, stream) in self
            .state
            .open
            .lock()
            .expect("no thread panics with it")
            .drain(..)
        {
            let _ = stream.shutdown(Shutdown::Both); // it may be closed already
        }
    }

    /// Listens again on the same port.
    pub(crate) fn restart(&self) {
        self.state.alive.store(true, Ordering::SeqCst);
        serve(listening(self.address), Arc::clone(&self.state));
    }

    /// A Backend object of this name that points here.
    pub(crate) fn yaml(&self, name: &str) -> String {
        backend_yaml(name, &[self])
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A Backend object of this name that points at all of these.
pub(crate) fn backend_yaml(name: &str, backends: &[&Backend]) -> String {
    let endpoints: Vec<_> = backends
        .iter()
        .map(|backend| {
            format!(
                "{{ip: {{address: 127.0.0.1, port: {}}}}}",
                backend.address.port()
            )
        })
        .collect();
    format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {{name: {name}}}\nspec: {{endpoints: [{}]}}\n",
        endpoints.join(", ")
    )
}

/// A socket on a port that several sockets of this process may have.
fn bound(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor is free");
    socket.set_reuse_port(true).expect("Linux has it");
    socket
        .bind(&address.into())
        .expect("the port is free or ours");
    socket
}

fn listening(address: SocketAddr) -> TcpListener {
    let socket = bound(address);
    socket.listen(4_096).expect("it is bound");
    socket.into()
}

fn serve(listener: TcpListener, state: Arc<State>) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            if !state.alive.load(Ordering::SeqCst) {
                return;
            }
            let Ok(stream) = stream else { return };
            let number = state.connections.fetch_add(1, Ordering::SeqCst) + 1;
            let copy = stream.try_clone().expect("a descriptor is free");
            state
                .open
                .lock()
                .expect("no thread panics with it")
                .push((number, copy));
            let state = Arc::clone(&state);
            std::thread::Builder::new()
                .stack_size(128 * 1024)
                .spawn(move || {
                    let ended = converse(&stream, number, &state);
                    state
                        .open
                        .lock()
                        .expect("no thread panics with it")
                        .retain(|(each, _)| *each != number);
                    if !matches!(ended, Ok(End::Reset)) {
                        let _ = stream.shutdown(Shutdown::Both); // the other side may have left already
                    }
                })
                .expect("a thread is free");
        }
    });
}

/// How a backend ends a connection.
enum End {
    Close,
    Reset,
}

/// Reads requests and answers them until either side ends the connection.
fn converse(stream: &TcpStream, connection: usize, state: &State) -> io::Result<End> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut request = read_head(&mut reader, connection)?;
        if request.header("expect").is_some() {
            (&*stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        read_body(&mut reader, &mut request)?;
        request.number = state.numbers.fetch_add(1, Ordering::SeqCst) + 1;
        state
            .requests
            .lock()
            .expect("no thread panics with it")
            .push(request.clone());
        for step in (state.answer)(&request) {
            match step {
                Step::Send(bytes) => (&*stream).write_all(&bytes)?,
                Step::Hold(gate) => gate.pass(),
                Step::Pause(time) => std::thread::sleep(time),
                Step::Close => return Ok(End::Close),
                Step::Reset => {
                    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
                    return Ok(End::Reset);
                }
            }
        }
    }
}

fn read_head(reader: &mut impl BufRead, connection: usize) -> io::Result<Request> {
    let line = read_line(reader)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(io::Error::other("not a request line"));
    };
    let headers = read_fields(reader)?;
    Ok(Request {
        method,
        target,
        headers,
        body: Vec::new(),
        trailers: Vec::new(),
        connection,
        number: 0,
    })
}

fn read_body(reader: &mut impl BufRead, request: &mut Request) -> io::Result<()> {
    if request
        .header("transfer-encoding")
        .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
    {
        loop {
            let size = u64::from_str_radix(&read_line(reader)?, 16).map_err(io::Error::other)?;
            if size == 0 {
                request.trailers = read_fields(reader)?;
                return Ok(());
            }
            read_exactly(reader, size, &mut request.body)?;
            read_line(reader)?;
        }
    }
    match request.header("content-length").map(str::parse) {
        Some(Ok(length)) => read_exactly(reader, length, &mut request.body),
        Some(Err(_)) => Err(io::Error::other("not a content-length")),
        None => Ok(()),
    }
}

fn read_exactly(reader: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> io::Result<()> {
    let before = body.len() as u64;
    reader.take(length).read_to_end(body)?;
    if body.len() as u64 - before == length {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

fn read_fields(reader: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let line = read_line(reader)?;
        match line.split_once(':') {
            Some((name, value)) => fields.push((name.to_owned(), value.trim().to_owned())),
            None => return Ok(fields),
        }
    }
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if !line.ends_with('\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}
