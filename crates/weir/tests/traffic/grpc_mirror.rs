//! Copies of gRPC calls: whole ones and ones that stream, message by message, whatever the mirror makes of them.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Frame, Incoming};
use tokio::sync::mpsc;

use crate::client::wait_until;
use crate::gateway::{EDGE, Gateway, to};
use crate::http2::Client;
use crate::http2_upstream::{self, Answer, Backend};

/// A body of messages that are sent one by one.
struct Messages(mpsc::UnboundedReceiver<Bytes>);

impl Body for Messages {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|it| it.map(Frame::data).map(Ok))
    }
}

/// A call of which the messages are sent through the sender.
fn call() -> (mpsc::UnboundedSender<Bytes>, Request<Messages>) {
    let (sender, messages) = mpsc::unbounded_channel();
    let request = Request::post("http://any.example/shop.Orders/Watch")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "5S");
    let request = request.body(Messages(messages)).expect("a request");
    (sender, request)
}

/// What a mirror has got.
#[derive(Default)]
struct Seen {
    heads: Vec<Parts>,
    bytes: Vec<u8>,
    whole: usize,
    broken: usize,
}

/// A call that is being read, and whether it has come to its end.
struct Reading(Arc<Mutex<Seen>>, bool);

impl Drop for Reading {
    fn drop(&mut self) {
        let mut seen = self.0.lock().expect("nobody panics");
        match self.1 {
            true => seen.whole += 1,
            false => seen.broken += 1,
        }
    }
}

/// A mirror, object `copy`, that notes what it gets and fails every call when it has ended.
fn mirror() -> (Backend, Arc<Mutex<Seen>>) {
    let seen = Arc::<Mutex<Seen>>::default();
    let noted = Arc::clone(&seen);
    let backend = Backend::start(100, move |request| {
        let (head, mut body) = request.into_parts();
        noted.lock().expect("nobody panics").heads.push(head);
        let noted = Arc::clone(&noted);
        let trailers = async move {
            // Dropped with all of this where the stream is reset.
            let mut reading = Reading(noted, false);
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { return None };
                let data = frame.into_data().unwrap_or_default();
                reading.0.lock().expect("nobody panics").bytes.extend(data);
            }
            reading.1 = true;
            let status = HeaderName::from_static("grpc-status");
            Some(Ok(HeaderMap::from_iter([(status, HeaderValue::from(13))])))
        };
        let body = Empty::new().map_err(|never: Infallible| match never {});
        let body = body.with_trailers(trailers).boxed();
        let response = Response::builder().header("content-type", "application/grpc");
        response.body(body).expect("a response")
    });
    (backend, seen)
}

fn start(copy: &Backend) -> (Backend, Gateway) {
    let main = Backend::start(100, http2_upstream::echo as fn(Request<Incoming>) -> Answer);
    let route = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {{name: app}}\n\
         spec: {{parentRefs: [{{name: edge}}], rules: [{{matches: [{{method: {{service: shop.Orders}}}}], \
         filters: [{{type: RequestMirror, requestMirror: {{backendRef: {}}}}}], backendRefs: [{}]}}]}}\n",
        to("copy"),
        to("app")
    );
    let copy = copy.yaml().replace("name: app", "name: copy");
    let gateway = Gateway::start(&[EDGE, &main.yaml(), &copy, &route]);
    (main, gateway)
}

#[test]
fn a_call_that_streams_is_copied_message_by_message() {
    let (copy, seen) = mirror();
    let (_main, gateway) = start(&copy);
    let client = Client::connect(gateway.address());
    let (messages, request) = call();
    let sent = client.send(request);
    messages
        .send(Bytes::from_static(b"one,"))
        .expect("it is open");
    wait_until("the first message has arrived", || {
        seen.lock().expect("nobody panics").bytes == b"one,"
    });
    let mut answer = client.response(sent).expect("a head before the end");
    messages
        .send(Bytes::from_static(b"two"))
        .expect("it is open");
    wait_until("the second message has arrived", || {
        seen.lock().expect("nobody panics").bytes == b"one,two"
    });
    assert_eq!(seen.lock().expect("nobody panics").whole, 0);
    drop(messages);
    let (text, trailers) = client.rest(answer.body_mut());
    assert_eq!(text, "one,two");
    let status = trailers.get("grpc-status").expect("a status");
    assert_eq!(status, "0", "not that of the mirror");
    wait_until("the copy is answered", || {
        gateway.metric(&["weir_mirrored_requests_total", "answered"]) == 1.0
    });
    let seen = seen.lock().expect("nobody panics");
    assert_eq!((seen.heads.len(), seen.whole), (1, 1));
    let Parts {
        method,
        uri,
        headers,
        ..
    } = &seen.heads[0];
    assert_eq!(
        (method.as_str(), uri.path()),
        ("POST", "/shop.Orders/Watch")
    );
    let authority = uri.authority().expect("an authority");
    assert_eq!(authority, "any.example-shadow");
    for (name, value) in [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("grpc-timeout", "5S"),
    ] {
        assert_eq!(headers.get(name).expect("it is passed on"), value);
    }
}

#[test]
fn a_call_that_is_given_up_is_no_whole_call_to_the_mirror() {
    let (copy, seen) = mirror();
    let (_main, gateway) = start(&copy);
    let client = Client::connect(gateway.address());
    let (messages, request) = call();
    let sent = client.send(request);
    messages
        .send(Bytes::from_static(b"one"))
        .expect("it is open");
    wait_until("the message has arrived", || {
        seen.lock().expect("nobody panics").bytes == b"one"
    });
    drop((sent, client));
    wait_until("the mirror knows that it has not got all", || {
        seen.lock().expect("nobody panics").broken == 1
    });
    wait_until("nothing is in progress", || {
        ["weir_mirrored_requests_active", "weir_requests_active"]
            .iter()
            .all(|gauge| gateway.metric(&[gauge]) == 0.0)
    });
    assert_eq!(seen.lock().expect("nobody panics").whole, 0);
}
