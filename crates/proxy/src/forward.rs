//! Forwarding: a request goes to an endpoint, again where the route's policy says so, until there is an answer.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::Scheme;
use http::{Extensions, HeaderValue, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use smallvec::SmallVec;
use tokio::time::{Instant, sleep};
use weir_plan::features::retry::Retry;
use weir_plan::{DirectResponse, Forward, ForwardedScheme, SplitTarget, WeightedTarget};

use crate::body::{Body, Keeping, Upload};
use crate::cluster::ClusterState;
use crate::credential;
use crate::envoy_headers;
use crate::exchange::Exchange;
use crate::features::http_upgrade::{self, Switch};
use crate::features::retry::{self, Outcome};
use crate::features::timeout::Expired;
use crate::flags::Flag;
use crate::headers;
use crate::mirror;
use crate::rejection::Rejection;
use crate::rewrite;
use crate::session;
use crate::table::{Chosen, RouteEntry};
use crate::trailers;
use crate::upstream::{EndpointId, EndpointState, SendError, SendErrorKind};
use crate::websocket::{self, Keys};
use crate::worker::Worker;

/// Sends a request to one of a route's targets and returns the answer, its headers as the client is to see them.
pub(crate) async fn forward(
    worker: &Rc<Worker>,
    exchange: &mut Exchange,
    entry: &RouteEntry,
    (to, retry): (&Forward, Option<&Retry>),
    mut head: Parts,
    body: Incoming,
) -> Result<Response<Body>, Rejection> {
    let now = exchange.start;
    let session = to.session.as_deref();
    let asked = session.and_then(|it| session::asked(it, &head.headers, now));
    let held = asked
        .as_ref()
        .and_then(|it| entry.state.holding(to, &it.address));
    let (Chosen { target, cluster }, first) = match held {
        Some((chosen, endpoint)) => (chosen, Some(endpoint)),
        None => {
            let chosen = entry.state.choose(to, &mut worker.rng());
            let none = || Rejection::no_cluster(StatusCode::SERVICE_UNAVAILABLE);
            (chosen.ok_or_else(none)?, None)
        }
    };
    let WeightedTarget {
        weight: _,
        target: place,
        credential: own,
        request_headers,
        response_headers,
    } = target;
    let cluster = cluster.ok_or_else(|| no_cluster(place))?;
    exchange.cluster = Some(Arc::clone(cluster));
    headers::change(&mut head.headers, request_headers);
    if let Some(changes) = &to.rewrite {
        let (matched, expressions) = (&entry.route.matches.path, entry.state.rewrite.as_deref());
        let original = head.uri.path_and_query().filter(|_| changes.path.is_some());
        let original = original.cloned();
        rewrite::url(changes, matched, expressions, &mut head)
            .ok_or_else(|| Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, "invalid_rewrite"))?;
        if let Some(original) = original {
            envoy_headers::original_path(exchange, &original, &mut head.headers);
        }
    }
    let mut keys = Keys::Theirs;
    match &exchange.upgrade {
        None | Some(Switch::Connect { terminate: _ }) => {}
        Some(Switch::Protocol(protocol)) => {
            http_upgrade::announce(&mut head.headers, protocol.clone());
            if protocol.as_bytes().eq_ignore_ascii_case(b"websocket") {
                let from_http2 = exchange.request.version == Version::HTTP_2;
                let versions = (from_http2, cluster.speaks_http2());
                keys = websocket::ask(&mut head.headers, versions, &mut worker.rng());
            }
        }
    }
    headers::plain_length(&mut head.headers);
    let length = (!exchange.bodiless).then(|| body.size_hint());
    if length.is_some_and(|it| it.exact().is_none()) {
        let chunked = HeaderValue::from_static("chunked");
        head.headers.insert(TRANSFER_ENCODING, chunked);
    }
    // What is spoken after an upgrade goes both ways, so that a copy of it would be no use to anybody.
    let taps = match &exchange.upgrade {
        None => mirror::send(worker, entry, to, &head, length),
        Some(_) => Vec::new(),
    };
    // It is for this backend, and no mirror's business.
    if let Some(own) = own {
        credential::inject(&mut head.headers, own);
    }
    if !exchange.bodiless {
        let policy = exchange.settings.policy();
        let keeping = Keeping {
            again: retry.is_some_and(|it| it.num_retries > 0),
            most: policy.connection.buffer_limit as usize,
            trailers: exchange
                .has_trailers()
                .then_some(policy.headers.with_underscores),
            says_its_end: exchange.request.version == Version::HTTP_2,
        };
        exchange.upload = Some(Arc::new(Upload::new(body, keeping, taps, Instant::now())));
    }
    exchange.limits.forward(Instant::now());
    let forwarded = Instant::now();
    let places = (cluster, first);
    let mut response = attempts(worker, exchange, entry, to, places, (head, retry)).await?;
    exchange.moved(0);
    let switched = match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => response.headers_mut().remove(UPGRADE),
        _ => None,
    };
    if cluster.keeps_case() && !exchange.settings.policy().http1.preserve_header_case {
        forget_case(response.extensions_mut());
    }
    headers::prepare_response(response.headers_mut());
    envoy_headers::service_time(exchange, forwarded, response.headers_mut());
    let begins = |it: &Switch| it.begins(response.status());
    if exchange.upgrade.as_ref().is_some_and(begins) {
        if !keys.conclude(response.headers_mut()) {
            let reason = "an answer to another key".to_owned();
            return Err(no_response(SendErrorKind::Protocol(reason), false));
        }
        exchange.switched = true;
        exchange.limits.switch();
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    if let Some(protocol) = switched {
        http_upgrade::announce(response.headers_mut(), protocol);
    }
    if exchange.request.grpc
        && exchange.request.version < Version::HTTP_2
        && exchange.has_trailers()
        && !response.body().is_end_stream()
    {
        trailers::announce_grpc(response.headers_mut());
    }
    if let (Some(session), Some(endpoint)) = (session, &exchange.endpoint) {
        let (matched, address) = (&entry.route.matches.path, &endpoint.endpoint.address);
        let headers = response.headers_mut();
        session::tell(session, matched, asked.as_ref(), address, now, headers);
    }
    headers::change(response.headers_mut(), response_headers);
    Ok(response)
}

/// Sends a request until there is an answer that is not worth another attempt, or no more attempts are allowed. The
/// first goes to an endpoint that is given, if one is.
async fn attempts(
    worker: &Worker,
    exchange: &mut Exchange,
    entry: &RouteEntry,
    to: &Forward,
    (cluster, mut first): (&Arc<ClusterState>, Option<Arc<EndpointState>>),
    (head, policy): (Parts, Option<&Retry>),
) -> Result<Response<Body>, Rejection> {
    let mut head = Some(head);
    let mut tried: SmallVec<[EndpointId; 4]> = SmallVec::new();
    // Held while a retry is in progress.
    let mut _permit = None;
    loop {
        let retries_left = policy.map_or(0, |it| it.num_retries.saturating_sub(exchange.attempts));
        let this = if retries_left > 0 {
            head.clone()
        } else {
            head.take()
        };
        let keep_case = exchange.settings.policy().http1.preserve_header_case;
        let request = this.and_then(|head| request(head, keep_case, exchange.upload.as_ref()));
        // A further attempt is made only where there is something to send.
        let mut request = request.ok_or_else(|| Rejection::malformed("http1.codec_error"))?;
        let endpoint = first.take().or_else(|| cluster.pick(worker, &tried));
        let endpoint = endpoint.ok_or_else(Rejection::no_healthy_upstream)?;
        if let Some(changes) = &to.rewrite {
            rewrite::to_endpoint(changes, &endpoint.endpoint, request.headers_mut());
        }
        exchange.endpoint = Some(Arc::clone(&endpoint));
        exchange.attempts += 1;
        let limit = policy.and_then(|it| it.per_try_timeout);
        let limit = exchange.limits.of_attempt(limit);
        envoy_headers::expected_timeout(exchange, policy, request.headers_mut());
        let through = exchange.upgrade == Some(Switch::Connect { terminate: true });
        let scheme = scheme(exchange, cluster);
        let sending = async {
            match through {
                true => Box::pin(cluster.connect_through(&endpoint, &limit)).await,
                false => {
                    let sent = cluster.send(worker, &endpoint, request, scheme, &limit);
                    sent.await
                }
            }
        };
        let outcome = match exchange.within(Some(&limit), pin!(sending)).await {
            Ok(Ok(response)) => Outcome::Response(response),
            Ok(Err(error)) => Outcome::Failed(error),
            Err(Expired::Attempt) => Outcome::OutOfTime,
            Err(expired) => return Err(expired.rejection(exchange.is_incomplete())),
        };
        let again = policy.filter(|it| retry::is_retriable(it, &outcome));
        let sendable = exchange
            .upload
            .as_ref()
            .is_none_or(|it| it.can_be_sent_again());
        let Some(policy) = again.filter(|it| it.num_retries > 0 && sendable) else {
            return conclude(outcome, exchange);
        };
        if retries_left == 0 {
            exchange.flags.add(Flag::UpstreamRetryLimitExceeded);
            return conclude(outcome, exchange);
        }
        // The permit of the retry that just failed must not stand in the way of the next.
        _permit = None;
        _permit = cluster.retry_permit();
        if _permit.is_none() {
            exchange.flags.add(Flag::UpstreamOverflow);
            return conclude(outcome, exchange);
        }
        drop(outcome);
        entry.state.stats.retries.count();
        tried.push(endpoint.id);
        let pause = retry::pause(&policy.back_off, exchange.attempts, &mut worker.rng());
        let waited = exchange.within(None, pin!(sleep(pause))).await;
        waited.map_err(|expired| expired.rejection(exchange.is_incomplete()))?;
    }
}

/// Another listener wants the names of headers as they came; this one does not.
fn forget_case(noted: &mut Extensions) {
    let reason = noted.remove::<ReasonPhrase>();
    noted.clear();
    if let Some(reason) = reason {
        noted.insert(reason);
    }
}

/// The scheme that an endpoint is told, where the protocol has one.
fn scheme(exchange: &Exchange, cluster: &ClusterState) -> Scheme {
    match exchange.settings.policy().scheme {
        ForwardedScheme::MatchBackend => cluster.scheme(),
        ForwardedScheme::Preserve => match exchange.scheme {
            "https" => Scheme::HTTPS,
            _ => Scheme::HTTP,
        },
    }
}

/// The request of one attempt. None: its body cannot be sent again. `keep_case`: hyper has noted how the client writes
/// the names of headers, and writes them so.
fn request(head: Parts, keep_case: bool, upload: Option<&Arc<Upload>>) -> Option<Request<Body>> {
    let body = match upload {
        Some(upload) => Body::attempt(upload)?,
        None => Body::empty(),
    };
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = head.uri;
    *request.headers_mut() = head.headers;
    if keep_case {
        *request.extensions_mut() = head.extensions;
    }
    Some(request)
}

/// What the client gets for the last outcome.
fn conclude(outcome: Outcome, exchange: &Exchange) -> Result<Response<Body>, Rejection> {
    match outcome {
        Outcome::Response(response) => Ok(response),
        Outcome::OutOfTime => Err(Expired::Attempt.rejection(exchange.is_incomplete())),
        Outcome::Failed(_) if exchange.is_abandoned() => Err(Rejection::abandoned()),
        Outcome::Failed(SendError { kind, request: _ }) => {
            Err(no_response(kind, exchange.attempts > 1))
        }
    }
}

fn no_response(kind: SendErrorKind, retried: bool) -> Rejection {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    let (status, reason, flag, failure) = match kind {
        SendErrorKind::Overflow => (unavailable, "overflow", Flag::UpstreamOverflow, None),
        SendErrorKind::Connect { reason } => (
            unavailable,
            "remote connection failure",
            Flag::UpstreamConnectionFailure,
            Some(reason),
        ),
        SendErrorKind::ConnectTimeout => (
            unavailable,
            "connection timeout",
            Flag::UpstreamConnectionFailure,
            None,
        ),
        SendErrorKind::Terminated => (
            unavailable,
            "connection termination",
            Flag::UpstreamConnectionTermination,
            None,
        ),
        SendErrorKind::Reset => (unavailable, "remote reset", Flag::UpstreamRemoteReset, None),
        SendErrorKind::Refused => (
            unavailable,
            "remote refused stream reset",
            Flag::UpstreamRemoteReset,
            None,
        ),
        SendErrorKind::Protocol(_) => (
            StatusCode::BAD_GATEWAY,
            "protocol error",
            Flag::UpstreamProtocolError,
            None,
        ),
        SendErrorKind::NotOffered => return http_upgrade::failed(),
        SendErrorKind::RequestBody(_) => return Rejection::malformed("http1.codec_error"),
    };
    let latest = if retried {
        "retried and the latest reset reason"
    } else {
        "reset reason"
    };
    let code = reason.replace(' ', "_");
    let failure = failure.map(|failure| transport_failure(&failure));
    let details = match &failure {
        Some(failure) => {
            format!(
                "upstream_reset_before_response_started{{{code}|{}}}",
                failure.replace(' ', "_")
            )
        }
        None => format!("upstream_reset_before_response_started{{{code}}}"),
    };
    let mut rejection = Rejection::new(status, details)
        .body(format!(
            "upstream connect error or disconnect/reset before headers. {latest}: {reason}"
        ))
        .flag(flag);
    rejection.transport_failure = failure.map(Into::into);
    rejection
}

/// What the system said, as Envoy puts it: without the number of the error.
fn transport_failure(reason: &str) -> String {
    let reason = reason.split(" (os error").next().unwrap_or(reason);
    format!("delayed_connect_error: {reason}")
}

fn no_cluster(place: &SplitTarget) -> Rejection {
    let status = match place {
        SplitTarget::Invalid(DirectResponse {
            status,
            reason: _,
            content: _,
        }) => StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        SplitTarget::Cluster(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    Rejection::no_cluster(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kept_an_endpoint_from_answering_is_told() {
        let prefix = "upstream connect error or disconnect/reset before headers. ";
        let refused = SendErrorKind::Connect {
            reason: "Connection refused (os error 111)".into(),
        };
        // (kind, retried, status, flag, body after the prefix, details in braces)
        let cases = [
            (
                refused.clone(),
                false,
                503,
                "UF",
                "reset reason: remote connection failure",
                "remote_connection_failure|delayed_connect_error:_Connection_refused",
            ),
            (
                refused,
                true,
                503,
                "UF",
                "retried and the latest reset reason: remote connection failure",
                "remote_connection_failure|delayed_connect_error:_Connection_refused",
            ),
            (
                SendErrorKind::ConnectTimeout,
                false,
                503,
                "UF",
                "reset reason: connection timeout",
                "connection_timeout",
            ),
            (
                SendErrorKind::Overflow,
                false,
                503,
                "UO",
                "reset reason: overflow",
                "overflow",
            ),
            (
                SendErrorKind::Terminated,
                false,
                503,
                "UC",
                "reset reason: connection termination",
                "connection_termination",
            ),
            (
                SendErrorKind::Reset,
                false,
                503,
                "UR",
                "reset reason: remote reset",
                "remote_reset",
            ),
            (
                SendErrorKind::Refused,
                true,
                503,
                "UR",
                "retried and the latest reset reason: remote refused stream reset",
                "remote_refused_stream_reset",
            ),
            (
                SendErrorKind::Protocol("x".into()),
                false,
                502,
                "UPE",
                "reset reason: protocol error",
                "protocol_error",
            ),
        ];
        for (kind, retried, status, flag, body, details) in cases {
            let rejection = no_response(kind, retried);
            assert_eq!(rejection.status.as_u16(), status);
            assert_eq!(rejection.flag.map(Flag::text), Some(flag));
            assert_eq!(rejection.body, format!("{prefix}{body}"));
            let details = format!("upstream_reset_before_response_started{{{details}}}");
            assert_eq!(rejection.details, details);
        }
    }
}
