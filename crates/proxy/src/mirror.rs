//! Mirrors: copies of requests that go to another backend beside the request itself. Nobody waits for them, and nothing
//! that becomes of them is seen by the client.
//!
//! As with Envoy, a copy is made when the request is forwarded, with its headers and URL as the rule changed them, and
//! its host name gets `-shadow`, which Envoy Gateway leaves on (it sets no `disable_shadow_host_suffix_append`).

use std::future::Future as _;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::header::HOST;
use http::request::Parts;
use http::{HeaderValue, Request};
use http_body::SizeHint;
use http_body_util::BodyExt as _;
use weir_plan::{Forward, Mirror};

use crate::body::{Body, Fate, Tap};
use crate::cluster::{ClusterState, Counter};
use crate::features::timeout::TimeLimits;
use crate::table::RouteEntry;
use crate::worker::Worker;

/// The most copies in progress in the whole process; further ones are not made.
const MOST: usize = 1_024;

/// How long a copy may take, its answer included.
const PATIENCE: Duration = Duration::from_secs(15);

/// How much of an answer is read, so that its connection can be used again.
const ANSWER: usize = 1 << 20;

/// What became of copies.
#[derive(Debug, Default)]
pub(crate) struct Mirrored {
    pub(crate) active: AtomicUsize,
    /// Copies that were answered, whatever the answer.
    pub(crate) answered: Counter,
    /// Copies that were not, in time.
    pub(crate) failed: Counter,
    /// Copies whose body was not taken fast enough.
    pub(crate) cut_off: Counter,
    /// Copies that were not made because too many were in progress.
    pub(crate) refused: Counter,
}

/// Sends copies of a request that is about to be forwarded. The taps are to be given its body, if it has one, which is
/// of this length.
pub(crate) fn send(
    worker: &Rc<Worker>,
    entry: &RouteEntry,
    to: &Forward,
    head: &Parts,
    body: Option<SizeHint>,
) -> Vec<Tap> {
    let mut taps = Vec::new();
    for (mirror, cluster) in to.mirrors.iter().zip(entry.state.mirrors()) {
        let Mirror { share, cluster: _ } = mirror;
        let draw = worker.rng().u32(..1_000_000);
        let Some(cluster) = cluster.as_ref().filter(|_| share.covers(draw)) else {
            continue;
        };
        let Some(place) = Place::take(&worker.shared.mirrored, MOST) else {
            worker.shared.mirrored.refused.count();
            continue;
        };
        let (body, fate) = match body {
            Some(length) => {
                let (tap, body, fate) = Body::copy(length);
                taps.push(tap);
                (body, Some(fate))
            }
            None => (Body::empty(), None),
        };
        let request = copy(head, body);
        let copying = one(Rc::clone(worker), Arc::clone(cluster), request, fate, place);
        tokio::task::spawn_local(copying);
    }
    taps
}

fn copy(head: &Parts, body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.uri.clone();
    *request.headers_mut() = head.headers.clone();
    let host = head.headers.get(HOST).and_then(|it| it.to_str().ok());
    let host = host.and_then(|host| HeaderValue::try_from(shadow(host)?).ok());
    if let Some(host) = host {
        request.headers_mut().insert(HOST, host);
    }
    request
}

/// `a.example:80` as `a.example-shadow:80`. None: it would be no host name.
fn shadow(host: &str) -> Option<String> {
    if host.is_empty() || host.starts_with('[') {
        return None;
    }
    Some(match host.split_once(':') {
        Some((name, port)) => format!("{name}-shadow:{port}"),
        None => format!("{host}-shadow"),
    })
}

async fn one(
    worker: Rc<Worker>,
    cluster: Arc<ClusterState>,
    request: Request<Body>,
    fate: Option<Fate>,
    _place: Place,
) {
    let Mirrored {
        active: _,
        answered,
        failed,
        cut_off,
        refused: _,
    } = &*worker.shared.mirrored;
    let mut exchange = pin!(exchange(&worker, &cluster, request));
    let end = std::future::poll_fn(|cx| {
        if let Some(fate) = &fate
            && fate.poll_cut_off(cx).is_ready()
        {
            return Poll::Ready(cut_off);
        }
        let came = exchange.as_mut().poll(cx);
        came.map(|came| if came { answered } else { failed })
    });
    let end = tokio::time::timeout(PATIENCE, end).await;
    end.unwrap_or(failed).count();
}

/// Sends a copy and reads its answer. Whether there was one.
async fn exchange(worker: &Worker, cluster: &Arc<ClusterState>, request: Request<Body>) -> bool {
    let Some(endpoint) = cluster.pick(worker, &[]) else {
        return false;
    };
    let limit = TimeLimits::NONE.of_attempt(None);
    let Ok(response) = cluster
        .send(worker, &endpoint, request, cluster.scheme(), &limit)
        .await
    else {
        return false;
    };
    let (mut body, mut read) = (response.into_body(), 0);
    while let Some(Ok(frame)) = body.frame().await
        && read < ANSWER
    {
        read += frame.data_ref().map_or(0, bytes::Bytes::len);
    }
    true
}

/// A place among the copies in progress.
struct Place(Arc<Mirrored>);

impl Place {
    fn take(mirrored: &Arc<Mirrored>, most: usize) -> Option<Self> {
        let before = mirrored.active.fetch_add(1, Ordering::Relaxed);
        let place = Self(Arc::clone(mirrored));
        // Dropping the place gives it back.
        (before < most).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_name_of_a_copy_says_what_it_is() {
        for (host, expected) in [
            ("a.example", Some("a.example-shadow")),
            ("a.example:8080", Some("a.example-shadow:8080")),
            ("[::1]:80", None),
            ("", None),
        ] {
            assert_eq!(shadow(host).as_deref(), expected);
        }
    }

    #[test]
    fn there_are_only_so_many_places() {
        let mirrored = Arc::default();
        let first = Place::take(&mirrored, 2).unwrap();
        let _second = Place::take(&mirrored, 2).unwrap();
        assert!(Place::take(&mirrored, 2).is_none());
        drop(first);
        assert!(Place::take(&mirrored, 2).is_some());
    }
}
