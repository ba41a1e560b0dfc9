//! gRPC and what it needs: trailers in both directions over every pair of protocols, and answers of the gateway's own.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};

use crate::backend::{Backend, Gate, Step};
use crate::client::{PATIENCE, call, wait_until};
use crate::frames::{
    self, Connection, DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, RST_STREAM, SETTINGS,
};
use crate::gateway::{EDGE, Gateway, policy, route_all};
use crate::http2::Client;
use crate::http2_upstream::{self, Answer};
use crate::local_replies::{Trouble, grpc_status, troubles};

/// Sends back body and trailers as they came.
fn mirror(request: Request<Incoming>) -> Answer {
    let announced = request.headers().get("trailer").cloned();
    let mut response = Response::new(request.into_body().boxed());
    if let Some(announced) = announced {
        response.headers_mut().insert("trailer", announced);
    }
    response
}

/// The same in HTTP/1.1.
fn mirror_http1() -> Backend {
    Backend::start(|request| {
        let mut answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n".to_owned();
        if let Some(announced) = request.header("trailer") {
            answer.push_str(&format!("trailer: {announced}\r\n"));
        }
        answer.push_str("\r\n");
        if !request.body.is_empty() {
            let body = String::from_utf8_lossy(&request.body);
            answer.push_str(&format!("{:x}\r\n{body}\r\n", body.len()));
        }
        answer.push_str("0\r\n");
        for (name, value) in &request.trailers {
            answer.push_str(&format!("{name}: {value}\r\n"));
        }
        vec![Step::Send(format!("{answer}\r\n").into_bytes())]
    })
}

/// Trailers of which only the first may pass.
const TRAILERS: [(&str, &str); 6] = [
    ("x-check", "9"),
    ("content-length", "100"),
    ("transfer-encoding", "chunked"),
    ("x-forwarded-for", "6.6.6.6"),
    ("host", "evil.example"),
    ("cookie", "a=b"),
];
const ANNOUNCED: &str = "x-check, content-length, transfer-encoding, x-forwarded-for, host, cookie";

/// A body without a length. One that has a length leaves no room for trailers in HTTP/1.1.
struct OfUnknownLength<B>(Pin<Box<B>>);

impl<B: Body> Body for OfUnknownLength<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.0.as_mut().poll_frame(cx)
    }
}

fn over_http1(gateway: &Gateway, body: &str, announced: bool) -> (String, Vec<(String, String)>) {
    let mut request =
        "POST / HTTP/1.1\r\nhost: h\r\nte: trailers\r\ntransfer-encoding: chunked\r\n".to_owned();
    if announced {
        request.push_str(&format!("trailer: {ANNOUNCED}\r\n"));
    }
    request.push_str("\r\n");
    if !body.is_empty() {
        request.push_str(&format!("{:x}\r\n{body}\r\n", body.len()));
    }
    request.push_str("0\r\n");
    for (name, value) in TRAILERS {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    let response = call(gateway.address(), format!("{request}\r\n").as_bytes());
    assert!(response.complete, "{response:?}");
    (response.text(), response.trailers)
}

fn over_http2(gateway: &Gateway, body: &str, announced: bool) -> (String, Vec<(String, String)>) {
    let client = Client::connect(gateway.address());
    // The client's library would not send all of them.
    let trailers: HeaderMap = TRAILERS
        .iter()
        .filter(|(name, _)| *name != "transfer-encoding")
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect();
    let body = Full::new(Bytes::from(body.to_owned())).with_trailers(async { Some(Ok(trailers)) });
    let body = OfUnknownLength(Box::pin(body));
    let mut request = Request::post("http://h/").header("te", "trailers");
    if announced {
        request = request.header("trailer", ANNOUNCED);
    }
    let request = request.body(body).expect("a request");
    let (status, text, trailers) = client.whole(client.send(request));
    assert_eq!(status, 200);
    let trailers = trailers.unwrap_or_default();
    let pair = |(name, value): (&HeaderName, &HeaderValue)| {
        (
            name.to_string(),
            value.to_str().expect("it is text").to_owned(),
        )
    };
    (text, trailers.iter().map(pair).collect())
}

#[test]
fn trailers_pass_both_ways_whatever_each_side_speaks() {
    let (http1, http2) = (mirror_http1(), http2_upstream::Backend::start(100, mirror));
    let only = [("x-check".to_owned(), "9".to_owned())];
    for (backend, yaml) in [("HTTP/1.1", http1.yaml("app")), ("HTTP/2", http2.yaml())] {
        let gateway = Gateway::start(&[EDGE, &yaml, &route_all("app")]);
        for body in ["hello", ""] {
            let (text, trailers) = over_http1(&gateway, body, true);
            assert_eq!((&*text, &*trailers), (body, &only[..]), "1.1 to {backend}");
            let (text, trailers) = over_http2(&gateway, body, true);
            assert_eq!((&*text, &*trailers), (body, &only[..]), "2 to {backend}");
        }
        // HTTP/1.1 carries only what is announced; HTTP/2 needs no announcement.
        let (text, trailers) = over_http1(&gateway, "hello", false);
        assert_eq!((&*text, &*trailers), ("hello", &[][..]), "1.1 to {backend}");
        let (text, trailers) = over_http2(&gateway, "hello", false);
        let expected = match backend {
            "HTTP/2" => &only[..],
            _ => &[],
        };
        assert_eq!((&*text, &*trailers), ("hello", expected), "2 to {backend}");
    }
}

#[test]
fn a_client_of_http1_gets_the_status_of_a_call() {
    let backend = http2_upstream::Backend::start(100, http2_upstream::echo);
    let gateway = Gateway::start(&[EDGE, &backend.yaml(), &route_all("app")]);
    let head = "POST / HTTP/1.1\r\nhost: h\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n";
    let response = call(
        gateway.address(),
        format!("{head}te: trailers\r\n\r\n5\r\nhello\r\n0\r\n\r\n").as_bytes(),
    );
    assert_eq!(response.brief(), (200, "hello".to_owned()));
    let status = ("grpc-status".to_owned(), "0".to_owned());
    assert_eq!(response.trailers, [status]);
    // A client that does not say that it wants trailers gets none.
    let response = call(
        gateway.address(),
        format!("{head}\r\n5\r\nhello\r\n0\r\n\r\n").as_bytes(),
    );
    assert_eq!(response.brief(), (200, "hello".to_owned()));
    assert_eq!(response.trailers, []);
}

#[test]
fn every_trouble_has_its_form_over_http2() {
    let gate = Gate::default();
    for trouble in troubles(&gate) {
        let Trouble {
            name,
            gateway,
            _backend,
            status,
            body,
            logged: _,
        } = trouble;
        let client = Client::connect(gateway.address());
        let ask = |content_type: &str| {
            let request = Request::post("http://any.example/")
                .header("te", "trailers")
                .header("content-type", content_type)
                .body(Full::default()) // whole with its head, so that nobody but the backend is late
                .expect("a request");
            client.send(request)
        };
        for content_type in ["application/grpc", "application/grpc+proto"] {
            let response = client.response(ask(content_type)).expect("a response");
            let header = |name: &str| {
                let value = response.headers().get(name)?;
                Some(value.to_str().expect("it is text").to_owned())
            };
            assert_eq!(response.status(), 200, "{name}");
            assert!(
                hyper::body::Body::is_end_stream(response.body()),
                "{name}: headers only"
            );
            assert_eq!(header("content-type").as_deref(), Some("application/grpc"));
            let grpc = header("grpc-status");
            assert_eq!(grpc.as_deref(), Some(grpc_status(status)), "{name}");
            let message = (!body.is_empty()).then(|| body.clone());
            assert_eq!(header("grpc-message"), message, "{name}");
            assert_eq!(
                (header("content-length"), header("connection")),
                (None, None)
            );
        }
        let (got, text, _) = client.whole(ask("text/plain"));
        assert_eq!((got, text), (status, body), "{name}");
    }
    gate.open();
}

#[test]
fn what_breaks_off_behind_its_head_is_reset() {
    // (what the backend does after half a body, flag, code: INTERNAL_ERROR)
    let gate = Gate::default();
    let cases = [
        (Step::Close, "UC"),
        (Step::Reset, "UC"),
        (Step::Hold(gate.clone()), "SI"),
    ];
    for (step, flag) in cases {
        let backend = Backend::start({
            let step = step.clone();
            move |_| {
                let half = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
                vec![Step::Send(half.into()), step.clone()]
            }
        });
        let idle = policy(
            "p",
            "HTTPRoute app",
            "timeout: {http: {streamIdleTimeout: 1s}}",
        );
        let gateway =
            Gateway::setup()
                .log()
                .start(&[EDGE, &backend.yaml("app"), &route_all("app"), &idle]);
        let mut client = Connection::open(gateway.address());
        client
            .request(1, &frames::get("/"), true)
            .expect("the gateway takes it");
        let head = client.next_of(1).expect("a head");
        assert_eq!((head.kind, head.status()), (HEADERS, 200));
        let end = loop {
            let frame = client.next_of(1).expect("an end");
            if frame.kind == RST_STREAM {
                break frame.code();
            }
        };
        assert_eq!(end, 2, "{step:?}");
        let line = &gateway.logged(1)[0];
        assert_eq!(line["response_flags"], flag, "{line}");
        client
            .request(3, &frames::get("/"), true)
            .expect("it goes on");
        assert_eq!(client.next_of(3).expect("a head").status(), 200);
    }
    gate.open();
}

#[test]
fn an_upload_that_breaks_off_is_no_whole_request() {
    // Whatever the reason that the client gives: CANCEL, or NO_ERROR, which is for servers only.
    for reason in [8_u32, 0] {
        let requests = Backend::named("app");
        let gateway = Gateway::start(&[EDGE, &requests.yaml("app"), &route_all("app")]);
        let mut client = Connection::open(gateway.address());
        let head = frames::fields(&[("POST", "/")], &[]);
        for (n, pause) in [false, true].into_iter().enumerate() {
            let stream = 4 * u32::try_from(n).expect("it is small") + 1;
            client.request(stream, &head, false).expect("it is taken");
            let data = frames::frame(DATA, 0, stream, b"hello");
            client.send(&data).expect("it is taken");
            if pause {
                wait_until("the backend's connection is there", || requests.open() > 0);
            }
            let reset = frames::frame(RST_STREAM, 0, stream, &reason.to_be_bytes());
            client.send(&reset).expect("it is taken");
            client
                .request(stream + 2, &frames::get("/"), true)
                .expect("it goes on");
            let answer = client.next_of(stream + 2).expect("a head");
            assert_eq!(answer.status(), 200);
            assert_eq!(
                requests.count(),
                n + 1,
                "{reason}: the other one came to no end"
            );
        }
    }
}

#[test]
fn a_response_that_is_reset_is_whole_only_where_it_says_so() {
    // (the flags of its data, the code of the reset behind them, whether it is whole)
    let cases = [
        (0, 8_u32, false),
        // NO_ERROR says that the rest of the request is not wanted, and nothing of the response.
        (0, 0, false),
        (END_STREAM, 0, true),
    ];
    for (flags, code, whole) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let (go_on, told) = mpsc::channel();
        let backend = std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().expect("the gateway connects");
            let patience = Some(PATIENCE);
            connection.set_read_timeout(patience).expect("an option");
            let mut preface = [0; PREFACE.len()];
            let read = connection.read_exact(&mut preface);
            read.expect("the gateway says hello");
            let hello = frames::frame(SETTINGS, 0, 0, &[]);
            connection.write_all(&hello).expect("the gateway takes it");
            let stream = loop {
                let frame = frames::Frame::read(&mut connection).expect("a request");
                if frame.kind == HEADERS {
                    break frame.stream;
                }
            };
            let head = frames::frame(HEADERS, END_HEADERS, stream, &[0x88]);
            let data = frames::frame(DATA, flags, stream, b"hello");
            let reset = frames::frame(RST_STREAM, 0, stream, &code.to_be_bytes());
            connection.write_all(&head).expect("the gateway takes it");
            told.recv().expect("the head has arrived");
            let rest = [data, reset].concat();
            connection.write_all(&rest).expect("the gateway takes it");
            while frames::Frame::read(&mut connection).is_some() {}
        });
        let app = format!(
            "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {{name: app}}\n\
             spec: {{appProtocols: [gateway.envoyproxy.io/h2c], endpoints: [{{ip: {{address: 127.0.0.1, port: {port}}}}}]}}\n"
        );
        let gateway = Gateway::setup()
            .log()
            .start(&[EDGE, &app, &route_all("app")]);
        let mut client = Connection::open(gateway.address());
        // The request goes on meanwhile.
        let head = frames::fields(&[("POST", "/")], &[]);
        client.request(1, &head, false).expect("it is taken");
        assert_eq!(client.next_of(1).expect("a head").status(), 200);
        go_on.send(()).expect("the backend waits for it");
        let ended = loop {
            let frame = client.next_of(1).expect("an end");
            match frame.kind {
                RST_STREAM => break false,
                _ if frame.flags & END_STREAM != 0 => break true,
                _ => {}
            }
        };
        assert_eq!(ended, whole, "{flags} {code}");
        let line = &gateway.logged(1)[0];
        let flag = if whole { "-" } else { "UC" };
        assert_eq!(line["response_flags"], flag, "{line}");
        drop(gateway);
        backend.join().expect("the backend ends");
    }
}
