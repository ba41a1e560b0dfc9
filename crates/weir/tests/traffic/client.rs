//! Clients that speak HTTP/1.1 by hand, so that every byte that a test sends or expects is in the test.
//!
//! Every read and write ends after [`PATIENCE`]; a test waits for a condition, never for a time.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to the gateway.
#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<Box<dyn Stream>>,
}

/// What a client reads from and writes to: a socket, or TLS over one.
pub(crate) trait Stream: Read + Write + Send + std::fmt::Debug {
    /// The socket.
    fn socket(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Stream for rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref()
    }
}

/// A response as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    /// The status.
    pub(crate) status: u16,
    /// The status line as sent.
    pub(crate) line: String,
    /// The headers in their order, names as sent.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, without chunk framing.
    pub(crate) body: Vec<u8>,
    /// The trailers of a chunked body.
    pub(crate) trailers: Vec<(String, String)>,
    /// False where the connection ended before the body did.
    pub(crate) complete: bool,
}

impl Response {
    /// The first header of that name, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The status and the body as text: what most tests compare.
    pub(crate) fn brief(&self) -> (u16, String) {
        (self.status, self.text())
    }
}

/// The first value of a name among headers, names in any case.
pub(crate) fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(each, _)| each.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// A request as bytes. A body gets a `content-length`; further headers are added as they are.
pub(crate) fn request(
    method: &str,
    host: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

/// One GET on a connection of its own.
pub(crate) fn get(address: SocketAddr, host: &str, target: &str) -> Response {
    Client::connect(address).get(host, target)
}

/// One request on a connection of its own.
pub(crate) fn call(address: SocketAddr, bytes: &[u8]) -> Response {
    let mut client = Client::connect(address);
    client.send(bytes);
    client.receive()
}

/// Sends each request on a connection of its own, all at the same time. Responses come in the order of their arrival.
pub(crate) fn together(address: SocketAddr, requests: Vec<Vec<u8>>) -> mpsc::Receiver<Response> {
    let (sender, receiver) = mpsc::channel();
    for request in requests {
        let sender = sender.clone();
        std::thread::spawn(move || sender.send(call(address, &request)));
    }
    receiver
}

/// The same GET so many times, all at the same time.
pub(crate) fn gets(
    address: SocketAddr,
    host: &str,
    target: &str,
    count: usize,
) -> mpsc::Receiver<Response> {
    together(address, vec![request("GET", host, target, &[], b""); count])
}

/// The next so many responses, briefly.
pub(crate) fn take(responses: &mpsc::Receiver<Response>, count: usize) -> Vec<(u16, String)> {
    let next = || {
        responses
            .recv_timeout(PATIENCE)
            .expect("a response comes")
            .brief()
    };
    (0..count).map(|_| next()).collect()
}

/// Waits until a condition holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(2)); // between two looks at the condition
    }
}

impl Client {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("the gateway accepts connections")
    }

    /// Connects, where it may fail.
    pub(crate) fn try_connect(address: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE)?)
    }

    fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self::speaking_over(stream))
    }

    /// A client that speaks over a connection that is there already.
    pub(crate) fn speaking_over(stream: impl Stream + 'static) -> Self {
        Self {
            stream: BufReader::new(Box::new(stream)),
        }
    }

    /// Connects from this address of the loopback network.
    pub(crate) fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("a socket is free");
        socket
            .bind(&SocketAddr::new(source, 0).into())
            .expect("the whole of 127.0.0.0/8 is ours");
        socket
            .connect(&address.into())
            .expect("the gateway accepts connections");
        Self::over(socket.into()).expect("a new connection takes its settings")
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes)
            .expect("the gateway takes what is sent");
    }

    /// Sends bytes where the other side may have closed already.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)?;
        self.stream.get_mut().flush()
    }

    /// A GET over this connection.
    pub(crate) fn get(&mut self, host: &str, target: &str) -> Response {
        self.send(&request("GET", host, target, &[], b""));
        self.receive()
    }

    /// The next response.
    pub(crate) fn receive(&mut self) -> Response {
        self.try_receive().expect("a response comes")
    }

    /// The next response, to a HEAD request.
    pub(crate) fn receive_head(&mut self) -> Response {
        self.read(true).expect("a response comes")
    }

    /// The next response, where the connection may end instead.
    pub(crate) fn try_receive(&mut self) -> io::Result<Response> {
        self.read(false)
    }

    /// So many bytes, whatever they mean.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream
            .read_exact(&mut bytes)
            .expect("the gateway sends so much");
        bytes
    }

    /// Everything until the other side closes, or breaks off.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.stream.read_to_end(&mut bytes); // what came before a break counts as well
        bytes
    }

    /// Says that nothing more will be sent; what comes can still be read.
    pub(crate) fn finish(&self) {
        let socket = self.stream.get_ref().socket();
        socket
            .shutdown(std::net::Shutdown::Write)
            .expect("the connection is open");
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        let socket = socket2::SockRef::from(self.stream.get_ref().socket());
        socket
            .set_linger(Some(Duration::ZERO))
            .expect("a socket takes its settings");
    }

    /// Whether the other side closes the connection without sending more.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    fn read(&mut self, head_only: bool) -> io::Result<Response> {
        let line = self.line()?;
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .ok_or_else(|| io::Error::other(format!("not a status line: {line:?}")))?;
        let mut response = Response {
            status,
            line,
            headers: self.fields()?,
            body: Vec::new(),
            trailers: Vec::new(),
            complete: true,
        };
        if head_only || matches!(status, 100..=199 | 204 | 304) {
            return Ok(response);
        }
        let complete = if response.header("transfer-encoding") == Some("chunked") {
            self.chunks(&mut response)
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().map_err(io::Error::other)?;
            (&mut self.stream)
                .take(length)
                .read_to_end(&mut response.body)
                .is_ok()
                && response.body.len() as u64 == length
        } else {
            self.stream.read_to_end(&mut response.body).is_ok()
        };
        response.complete = complete;
        Ok(response)
    }

    /// Reads a chunked body; false where it ends early.
    fn chunks(&mut self, response: &mut Response) -> bool {
        loop {
            let Ok(size) = self.line() else { return false };
            let size = u64::from_str_radix(&size, 16).expect("a chunk begins with its size");
            if size == 0 {
                let Ok(trailers) = self.fields() else {
                    return false;
                };
                response.trailers = trailers;
                return true;
            }
            let before = response.body.len() as u64;
            let read = (&mut self.stream)
                .take(size)
                .read_to_end(&mut response.body);
            if read.is_err() || response.body.len() as u64 - before < size || self.line().is_err() {
                return false;
            }
        }
    }

    fn fields(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            match line.split_once(':') {
                Some((name, value)) => fields.push((name.to_owned(), value.trim().to_owned())),
                None if line.is_empty() => return Ok(fields),
                None => return Err(io::Error::other(format!("not a header: {line:?}"))),
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        String::from_utf8(line).map_err(io::Error::other)
    }
}
