//! Backends that keep what they get, in one form whatever they speak.

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::runtime::Runtime;

use crate::streaming::by_hand;

/// Requests as a backend got them, byte for byte.
pub(super) type Seen = Arc<Mutex<Vec<Vec<u8>>>>;

pub(super) fn taken(seen: &Seen) -> Vec<Vec<u8>> {
    std::mem::take(&mut *seen.lock().expect("no thread panics with it"))
}

/// A backend `app` in HTTP/1.1 that keeps the bytes of every whole request, and answers 200.
pub(super) fn http1_backend(seen: &Seen) -> String {
    let seen = Arc::clone(seen);
    by_hand(move |stream| {
        let mut reader = BufReader::new(&stream);
        while let Some(request) = whole_request(&mut reader) {
            seen.lock().expect("no thread panics with it").push(request);
            let _ = (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    })
}

/// The bytes of the next request. Read strictly: whatever is unclear counts as no request.
fn whole_request(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut length, mut chunked) = (0, false);
    loop {
        let line = line(reader, &mut bytes)?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        } else if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        } else if line == "transfer-encoding: chunked" {
            chunked = true;
        }
    }
    if chunked {
        loop {
            let size = usize::from_str_radix(&line(reader, &mut bytes)?, 16).ok()?;
            if size == 0 {
                while !line(reader, &mut bytes)?.is_empty() {}
                return Some(bytes);
            }
            exactly(reader, size + 2, &mut bytes)?;
        }
    }
    exactly(reader, length, &mut bytes)?;
    Some(bytes)
}

fn line(reader: &mut impl BufRead, bytes: &mut Vec<u8>) -> Option<String> {
    let before = bytes.len();
    reader.read_until(b'\n', bytes).ok()?;
    let line = bytes[before..].strip_suffix(b"\r\n")?;
    Some(line.iter().copied().map(char::from).collect())
}

fn exactly(reader: &mut impl BufRead, count: usize, bytes: &mut Vec<u8>) -> Option<()> {
    let before = bytes.len();
    reader.take(count as u64).read_to_end(bytes).ok()?;
    (bytes.len() - before == count).then_some(())
}

/// A request with its headers sorted, without those that the gateway adds.
pub(super) fn sorted(request: &[u8]) -> Vec<u8> {
    const ADDED: [&[u8]; 4] = [
        b"x-envoy-external-address: ",
        b"x-forwarded-for: ",
        b"x-forwarded-proto: ",
        b"x-request-id: ",
    ];
    let end = request.windows(4).position(|it| it == b"\r\n\r\n");
    let (head, rest) = request.split_at(end.expect("a request has a head"));
    let mut lines = head
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii_end);
    let first = lines.next().expect("a head has a first line");
    let mut headers: Vec<_> = lines
        .filter(|line| !ADDED.iter().any(|it| line.starts_with(it)))
        .collect();
    headers.sort_unstable();
    let head = [&[first], &headers[..]].concat().join(&b"\r\n"[..]);
    [&head, rest].concat()
}

/// A backend `app` in HTTP/2 that does the same, each request in the form of [`in_http2`].
pub(super) fn http2_backend(seen: &Seen) -> (Runtime, String) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    listener.set_nonblocking(true).expect("an option");
    let seen = Arc::clone(seen);
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        while let Ok((stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            let service = service_fn(move |request| {
                let seen = Arc::clone(&seen);
                async move {
                    if let Some(request) = kept(request).await {
                        seen.lock().expect("no thread panics with it").push(request);
                    }
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("ok"))))
                }
            });
            let connection = http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    let yaml = format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {{name: app}}\nspec: \
         {{appProtocols: [gateway.envoyproxy.io/h2c], endpoints: [{{ip: {{address: 127.0.0.1, port: {port}}}}}]}}\n"
    );
    (runtime, yaml)
}

/// A request in HTTP/2 as text; none where it breaks off.
async fn kept(request: Request<Incoming>) -> Option<Vec<u8>> {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or("", |it| it.as_str());
    let host = head.uri.authority().map_or("", |it| it.as_str());
    let mut text = format!("{} {target} HTTP/1.1\r\nhost: {host}\r\n", head.method).into_bytes();
    for (name, value) in &head.headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    let body = body.collect().await.ok()?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    text.extend_from_slice(&body.to_bytes());
    for (name, value) in &trailers {
        text.extend_from_slice(format!("{name}: ").as_bytes());
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    Some(text)
}

/// A request in HTTP/1.1 as a backend in HTTP/2 keeps it: without chunks.
pub(super) fn in_http2(request: &[u8]) -> Vec<u8> {
    const CHUNKED: &[u8] = b"\r\ntransfer-encoding: chunked";
    let Some(at) = request.windows(CHUNKED.len()).position(|it| it == CHUNKED) else {
        return request.to_vec();
    };
    let request = [&request[..at], &request[at + CHUNKED.len()..]].concat();
    let mut reader = &request[..];
    let mut text = Vec::new();
    while line(&mut reader, &mut text).is_some_and(|it| !it.is_empty()) {}
    loop {
        let size = line(&mut reader, &mut Vec::new()).expect("the size of a chunk");
        let size = usize::from_str_radix(&size, 16).expect("a number");
        if size == 0 {
            let trailers = reader.strip_suffix(b"\r\n").expect("an empty line");
            return [&text, trailers].concat();
        }
        text.extend_from_slice(&reader[..size]);
        reader = &reader[size + 2..];
    }
}

/// A backend `app` in HTTP/1.1 that answers these bytes, but `next` to requests for `/next`.
pub(super) fn answering(answer: &Arc<Mutex<Vec<u8>>>) -> String {
    let answer = Arc::clone(answer);
    by_hand(move |stream| {
        let mut reader = BufReader::new(&stream);
        while let Some(request) = whole_request(&mut reader) {
            let next = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext".to_vec();
            let bytes = match request.starts_with(b"GET /next ") {
                true => next,
                false => answer.lock().expect("no thread panics with it").clone(),
            };
            let _ = (&stream).write_all(&bytes);
        }
    })
}
