//! A backend on a raw socket, one thread per connection, that does what the path of a request says, and knows exactly
//! how many connections are open at one time.
//!
//! `/hold` waits for [`Backend::release`]; `/close` closes after its response without saying so; `/die` closes without
//! a response; `/garbage` answers no HTTP; `/partial` stops in the middle of a body; `/early` answers before it has
//! read the request's body. All else is answered with the method, the path and the length of the body.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

const MSG_PEEK: i32 = 2;
const MSG_DONTWAIT: i32 = 0x40;

/// A running backend. Dropping it stops it.
pub(crate) struct Backend {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    stopped: AtomicBool,
    accepted: AtomicUsize,
    most: AtomicUsize,
    served: Mutex<Vec<Counted>>,
    held: Mutex<Held>,
    changed: Condvar,
}

/// A connection, and whether its thread has ended.
struct Counted {
    stream: TcpStream,
    ended: Arc<AtomicBool>,
}

#[derive(Default)]
struct Held {
    arrived: usize,
    released: usize,
}

impl Backend {
    /// A backend on a free port of loopback.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(State::default());
        let accepting = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let stream = stream.expect("accepted");
                let counted = Counted {
                    stream: stream.try_clone().expect("a file descriptor"),
                    ended: Arc::default(),
                };
                let (state, ended) = (Arc::clone(&accepting), Arc::clone(&counted.ended));
                std::thread::spawn(move || {
                    // An end in the middle of something is what many tests want.
                    drop(state.serve(stream));
                    ended.store(true, Ordering::SeqCst);
                });
                accepting.note(counted);
            }
        });
        Self { address, state }
    }

    /// Connections accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// The most connections that were seen open at one time. It may miss one that lived very shortly.
    pub(crate) fn most_open(&self) -> usize {
        self.state.most.load(Ordering::SeqCst)
    }

    /// Waits until exactly so many connections are open.
    pub(crate) fn wait_for_open(&self, count: usize) {
        wait_until(&format!("{count} connections are open"), || {
            self.state.open() == count
        });
    }

    /// Waits until so many `/hold` requests have arrived in all.
    pub(crate) fn wait_for_held(&self, count: usize) {
        wait_until(&format!("{count} requests arrive"), || self.has_held(count));
    }

    /// Whether so many `/hold` requests have arrived in all.
    pub(crate) fn has_held(&self, count: usize) -> bool {
        self.state.held().arrived >= count
    }

    /// Answers so many more `/hold` requests, those to come included.
    pub(crate) fn release(&self, count: usize) {
        self.state.held().released += count;
        self.state.changed.notify_all();
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        self.release(1_000_000);
        // Wakes the accepting thread, so that the port is free.
        drop(TcpStream::connect(self.address));
        for counted in self.state.served().iter() {
            drop(counted.stream.shutdown(std::net::Shutdown::Both));
        }
    }
}

impl State {
    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many connections the other side has not closed yet.
    fn open(&self) -> usize {
        let mut served = self.served();
        served.retain(Counted::is_open);
        served.len()
    }

    /// Counts a new connection. All that are still open now were open when it was accepted, and so was the new one
    /// itself if it is open after the count: they were open at one time.
    fn note(&self, counted: Counted) {
        self.accepted.fetch_add(1, Ordering::SeqCst);
        let before = self.open();
        let open = before + usize::from(counted.is_open());
        self.most.fetch_max(open, Ordering::SeqCst);
        self.served().push(counted);
    }

    fn served(&self) -> std::sync::MutexGuard<'_, Vec<Counted>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut writer = stream;
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head)? == 0 {
                    return Ok(());
                }
            }
            let mut words = head.split(' ');
            let method = words.next().unwrap_or_default().to_owned();
            let path = words.next().unwrap_or_default().to_owned();
            if path == "/early" {
                write!(writer, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly")?;
            }
            let length = read_body(&head.to_ascii_lowercase(), &mut reader)?;
            match path.as_str() {
                "/early" => continue,
                "/die" => return writer.shutdown(std::net::Shutdown::Both),
                "/garbage" => {
                    writer.write_all(b"this is not HTTP\r\n\r\n")?;
                    continue;
                }
                "/partial" => {
                    writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf.")?;
                    continue;
                }
                "/hold" => {
                    let mut held = self.held();
                    held.arrived += 1;
                    self.changed.notify_all();
                    let waited = self
                        .changed
                        .wait_timeout_while(held, PATIENCE, |it| it.released == 0);
                    let (mut held, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                    if timeout.timed_out() {
                        return Ok(());
                    }
                    held.released -= 1;
                }
                _ => {}
            }
            let body = format!("{method} {path} {length}");
            let sent = if method == "HEAD" { "" } else { &body };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            // In one piece: two would wait for the other side's delayed acknowledgement.
            writer.write_all(format!("{head}{sent}").as_bytes())?;
            if path == "/close" {
                return writer.shutdown(std::net::Shutdown::Both);
            }
        }
    }
}

/// Reads a request's body and returns its length.
fn read_body(head: &str, reader: &mut impl BufRead) -> std::io::Result<u64> {
    if head.contains("transfer-encoding: chunked") {
        let mut total = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let size = u64::from_str_radix(line.trim(), 16).unwrap_or(0);
            std::io::copy(&mut reader.take(size + 2), &mut std::io::sink())?;
            total += size;
            if size == 0 {
                return Ok(total);
            }
        }
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .and_then(|length| length.trim().parse().ok())
        .unwrap_or(0);
    std::io::copy(&mut reader.take(length), &mut std::io::sink())
}

impl Counted {
    /// Whether neither side has closed it. What the other has sent hides that it has closed; the thread is about to
    /// read it.
    fn is_open(&self) -> bool {
        let start = std::time::Instant::now();
        while !self.ended.load(Ordering::SeqCst) {
            let mut byte = [std::mem::MaybeUninit::uninit()];
            let flags = MSG_PEEK | MSG_DONTWAIT;
            match socket2::SockRef::from(&self.stream).recv_with_flags(&mut byte, flags) {
                Ok(0) => return false,
                Ok(_) => std::thread::yield_now(),
                Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
            }
            assert!(start.elapsed() < PATIENCE, "a connection is not read");
        }
        false
    }
}

/// Waits for a condition.
pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
