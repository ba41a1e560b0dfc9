//! The life of one request, top to bottom.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::{CONNECTION, HOST, UPGRADE, USER_AGENT};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::Instant;
use weir_plan::features::timeout::RouteTimeout;
use weir_plan::{
    ClientPolicy, DirectResponse, Redirect, RouteAction, RoutePolicy, RouteRule, WithUnderscores,
};

use crate::body::Body;
use crate::client::{certificate, detection};
use crate::connection::Connection;
use crate::cors;
use crate::credential;
use crate::envoy_headers;
use crate::exchange::Exchange;
use crate::features::rate_limit::{Limited, Verdict};
use crate::features::timeout::TimeLimits;
use crate::features::{fault_injection, http_upgrade};
use crate::flags::Flag;
use crate::forward::forward;
use crate::headers::{self, Asking, HeadRules};
use crate::operators::{self, Filling, Known};
use crate::path::{Normalised, normalise};
use crate::rejection::Rejection;
use crate::rewrite::{self, Requested};
use crate::router::{Wanted, host_name};
use crate::table::{Found, RouteEntry};
use crate::worker::Worker;

/// Answers a request. The response's body takes the exchange with it, which is counted and logged when that has ended.
pub(crate) async fn serve(
    worker: &Rc<Worker>,
    connection: &Arc<Connection>,
    request: Request<Incoming>,
    begun: Option<Instant>,
) -> Response<Body> {
    let mut exchange = Exchange::begin(worker, connection);
    exchange.begun = begun;
    let answer = answer(worker, &mut exchange, request).await;
    finish(exchange, answer)
}

/// Notes a request that has not come whole in time. The connection has answered by itself.
pub(crate) fn late(worker: &Worker, connection: &Arc<Connection>, details: &'static str) {
    let mut exchange = Exchange::begin(worker, connection);
    exchange.details = Cow::Borrowed(details);
    exchange.status = Some(StatusCode::REQUEST_TIMEOUT);
    exchange.delivered = true;
}

/// Refuses a request whose framing is not to be trusted, whatever its route would say.
pub(crate) fn refuse(
    worker: &Worker,
    connection: &Arc<Connection>,
    request: Request<Incoming>,
    details: &'static str,
) -> Response<Body> {
    let mut exchange = Exchange::begin(worker, connection);
    note(&mut exchange, &request.into_parts().0);
    finish(exchange, Err(Rejection::malformed(details)))
}

/// Logs a request whose head could not be read. The connection has answered by itself, or (no status) just ended.
pub(crate) fn unreadable(
    worker: &Worker,
    connection: &Arc<Connection>,
    status: Option<StatusCode>,
    details: String,
) {
    let mut exchange = Exchange::begin(worker, connection);
    let mut rejection = Rejection::malformed("");
    rejection.details = Cow::Owned(details);
    exchange.rejected(&mut rejection);
    exchange.status = status;
    exchange.delivered = true;
}

/// The order of these lines is the order of the features.
async fn answer(
    worker: &Rc<Worker>,
    exchange: &mut Exchange,
    request: Request<Incoming>,
) -> Result<Response<Body>, Rejection> {
    let (mut head, body) = request.into_parts();
    exchange.bodiless = body.is_end_stream();
    let upgrade = http_upgrade::wanted(&head, &exchange.settings.ignored_upgrades);
    note(exchange, &head);
    if worker.shared.overloaded.load(Ordering::Relaxed) {
        return Err(Rejection::overloaded());
    }
    accept(worker, exchange, &mut head)?;
    if let Some(answer) = health(worker, exchange, &head) {
        return Err(answer);
    }
    let entry = find_route(worker, exchange, &head)?;
    let RouteRule {
        name: _,
        origin: _,
        policy,
        // Asked for by the log.
        unlogged: _,
        request_headers,
        // Made when the answer is finished, whatever it is.
        response_headers: _,
        cors,
        action,
    } = &*entry.route.rule;
    let RoutePolicy {
        timeout,
        retry,
        // Compiled, in the entry's state.
        rate_limit: _,
        fault_injection,
        // Not enforced yet, see `support`.
        bandwidth_limit: _,
        compression: _,
        response_override: _,
        request_buffer: _,
        http_upgrade: upgrades,
        telemetry: _,
    } = &**policy;
    exchange.limits = time_limits(timeout, exchange);
    if let Some(cors) = cors {
        exchange.origin = cors::allowed_origin(cors, &head.headers);
    }
    exchange.upgrade = http_upgrade::admit(upgrades, upgrade, exchange.bodiless)?;
    if let Some(faults) = fault_injection {
        fault_injection::apply(faults, worker, exchange).await?;
    }
    if let Some(cors) = cors
        && cors::preflight(&head.method, &head.headers).is_some()
    {
        return Err(cors::answer(cors, exchange.origin.is_some(), &head.headers));
    }
    check_limits(worker, exchange, &entry, &head)?;
    match action {
        RouteAction::Forward(to) => {
            if let Some(own) = &to.credential {
                credential::inject(&mut head.headers, own);
            }
            headers::change(&mut head.headers, request_headers);
            forward(worker, exchange, &entry, (to, retry.as_ref()), head, body).await
        }
        RouteAction::Redirect(to) => Err(redirect(to, exchange, &entry, &head)),
        RouteAction::Respond(with) => Err(respond(with, exchange, &head)),
    }
}

/// Makes the response what the client gets.
fn finish(
    mut exchange: Box<Exchange>,
    answer: Result<Response<Body>, Rejection>,
) -> Response<Body> {
    let mut response = answer.unwrap_or_else(|mut rejection| {
        exchange.rejected(&mut rejection);
        let told = envoy_headers::of_rejection(&exchange, &rejection);
        let mut response = rejection.into_response(exchange.request.grpc, exchange.is_incomplete());
        response.headers_mut().extend(told);
        response
    });
    if let Some(entry) = &exchange.entry {
        let rule = &entry.route.rule;
        if let Some(cors) = &rule.cors {
            cors::annotate(cors, exchange.origin.take(), response.headers_mut());
        }
        headers::change(response.headers_mut(), &rule.response_headers);
    }
    for (name, value) in exchange.limit_headers.drain(..) {
        response.headers_mut().append(name, value);
    }
    if let Some(changes) = &exchange.settings.late_response {
        changes.apply(response.headers_mut());
    }
    exchange.limits.answer();
    *response.version_mut() = Version::HTTP_11;
    if exchange.is_connect && !exchange.switched && response.status().is_success() {
        // It would tell the client that there is a tunnel.
        let mut rejection = Rejection::new(StatusCode::BAD_GATEWAY, "upgrade_failed");
        exchange.rejected(&mut rejection);
        response = rejection.into_response(false, false);
    }
    let status = response.status();
    let in_http1 = exchange.request.version < Version::HTTP_2;
    if in_http1 && exchange.upgrade.is_some() && !exchange.switched {
        // The client may have gone on in its protocol without waiting.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    exchange.keep_response(response.headers());
    exchange.status = (!exchange.is_abandoned()).then_some(status);
    let bodiless = exchange.request.method == Method::HEAD
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    response.map(|body| body.ending(exchange, bodiless))
}

/// Notes what a request says of itself.
fn note(exchange: &mut Exchange, head: &Parts) {
    exchange.request.method = head.method.clone();
    exchange.is_connect = head.method == Method::CONNECT
        // What an extended CONNECT has become.
        || head.version == Version::HTTP_2 && head.headers.contains_key(UPGRADE);
    exchange.request.version = head.version;
    exchange.request.target = head.uri.clone();
    exchange.request.grpc = headers::is_grpc(&head.headers);
    if exchange.is_logged() {
        exchange.request.authority = head.headers.get(HOST).cloned();
        exchange.request.user_agent = head.headers.get(USER_AGENT).cloned();
        exchange.keep_request(&head.headers);
    }
}

/// Refuses what a gateway should not take, and brings the rest into the form that limits, routes and backends see.
fn accept(worker: &Worker, exchange: &mut Exchange, head: &mut Parts) -> Result<(), Rejection> {
    let settings = Arc::clone(&exchange.settings);
    let ClientPolicy {
        path,
        headers: rules,
        ip_detection,
        http1,
        // Of connections, of time limits, of what is asked for, of what is sent on.
        origin: _,
        socket: _,
        connection: _,
        timeout: _,
        http2: _,
        health_check: _,
        scheme: _,
    } = settings.policy();
    let taken = HeadRules {
        underscores: rules.with_underscores,
        max_bytes: rules.max_bytes,
    };
    headers::authority(head, &worker.shared.limits, taken)?;
    if rules.with_underscores == WithUnderscores::DropHeader {
        headers::remove_underscores(&mut head.headers);
    }
    if let Some(authority) = head.uri.authority() {
        let host = HeaderValue::try_from(authority.as_str());
        let host = host.map_err(|_| Rejection::malformed("http1.invalid_host"))?;
        head.headers.insert(HOST, host);
    }
    if let Some(host) = &http1.http10_default_host
        && head.version == Version::HTTP_10
        && !head.headers.contains_key(HOST)
        && let Ok(host) = HeaderValue::try_from(&**host)
    {
        head.headers.insert(HOST, host);
    }
    if rules.strip_trailing_host_dot {
        headers::remove_host_dot(&mut head.headers);
    }
    if let Some(changes) = &settings.early_request {
        changes.apply(&mut head.headers);
    }
    head.uri = match (head.uri.path_and_query(), normalise(head.uri.path(), *path)) {
        (Some(target), Normalised::Same) => Uri::from(target.clone()),
        // CONNECT has no path, and no route.
        (None, _) => head.uri.clone(),
        (Some(target), Normalised::Changed(path)) => {
            let target = rewrite::with_query(&path, target.query());
            let target = PathAndQuery::try_from(target);
            Uri::from(target.map_err(|_| Rejection::malformed("http1.invalid_url"))?)
        }
        (Some(target), Normalised::Redirect(path)) => {
            let location = HeaderValue::try_from(rewrite::with_query(&path, target.query()));
            return Err(match location {
                // gRPC clients follow no redirects.
                Ok(location) if !exchange.request.grpc => Rejection::redirect(
                    StatusCode::TEMPORARY_REDIRECT,
                    location,
                    "path_normalization_failed",
                ),
                Ok(_) | Err(_) => unusable_path(),
            });
        }
        (Some(_), Normalised::Refused) => return Err(unusable_path()),
    };
    let peer = exchange.connection.peer.ip().to_canonical();
    let detected = detection::detect(ip_detection, peer, &head.headers)?;
    exchange.comes_from(detected.client);
    let asking = Asking {
        peer,
        detected,
        scheme: exchange.connection.scheme(),
        request_id: rules.request_id,
    };
    exchange.scheme = headers::prepare_request(&mut head.headers, &asking, &mut worker.rng());
    let shown = exchange.connection.tls.as_ref();
    let shown = shown.and_then(|it| it.client.as_deref());
    certificate::forward(
        &rules.client_cert,
        shown,
        &settings.shown,
        &mut head.headers,
    );
    exchange.request.target = head.uri.clone();
    if exchange.is_logged() {
        exchange.request.authority = head.headers.get(HOST).cloned();
        exchange.request.forwarded_for = head.headers.get(headers::X_FORWARDED_FOR).cloned();
        exchange.request.request_id = head.headers.get(headers::X_REQUEST_ID).cloned();
        exchange.keep_request(&head.headers);
    }
    Ok(())
}

fn unusable_path() -> Rejection {
    Rejection::new(StatusCode::BAD_REQUEST, "path_normalization_failed")
}

/// The answer to those who look after the listener's health.
fn health(worker: &Worker, exchange: &Exchange, head: &Parts) -> Option<Rejection> {
    let path = exchange.settings.policy().health_check.as_deref()?;
    let asked = head.uri.path_and_query().map(PathAndQuery::as_str);
    (asked == Some(path)).then(|| {
        if worker.shared.draining.load(Ordering::Relaxed) {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            let mut failed = Rejection::new(status, "health_check_failed");
            failed.close = true;
            failed.flag(Flag::FailedLocalHealthCheck)
        } else {
            Rejection::new(StatusCode::OK, "health_check_ok")
        }
    })
}

/// The limits of the route, and those of the listener.
fn time_limits(timeout: &RouteTimeout, exchange: &Exchange) -> TimeLimits {
    let start = exchange.started;
    let limits = TimeLimits::new(timeout, start);
    let policy = exchange.settings.policy();
    let received = policy.timeout.request_received;
    let received = received.and_then(|it| exchange.begun.unwrap_or(start).checked_add(it));
    limits.within(policy.connection.max_stream_duration, start, received)
}

fn find_route(
    worker: &Worker,
    exchange: &mut Exchange,
    head: &Parts,
) -> Result<Arc<RouteEntry>, Rejection> {
    let wanted = Wanted {
        host: &host(head),
        path: head.uri.path(),
        query: head.uri.query(),
        method: &head.method,
        headers: &head.headers,
    };
    let shared = &worker.shared;
    let connection = &exchange.connection;
    match shared
        .table
        .load()
        .find(connection, &wanted, &shared.metrics)
    {
        Found::Route(entry) => {
            exchange.belongs_to(&entry.state.listener);
            exchange.entry = Some(Arc::clone(&entry));
            Ok(entry)
        }
        Found::Misdirected(listener) => {
            exchange.belongs_to(&listener);
            Err(Rejection::misdirected())
        }
        Found::Nothing(listener) => {
            exchange.belongs_to(&listener);
            let mut rejection = Rejection::no_route();
            rejection.close = head.method == Method::CONNECT;
            Err(rejection)
        }
    }
}

/// The host name that a request is for, once its head is accepted.
fn host(head: &Parts) -> Cow<'_, str> {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    host_name(host.unwrap_or_default())
}

fn check_limits(
    worker: &Worker,
    exchange: &mut Exchange,
    entry: &RouteEntry,
    head: &Parts,
) -> Result<(), Rejection> {
    let Some(limits) = &entry.state.limits else {
        return Ok(());
    };
    let limited = Limited {
        method: &head.method,
        target: head.uri.path_and_query().map_or("", PathAndQuery::as_str),
        query: head.uri.query(),
        headers: &head.headers,
        client: exchange.client(),
    };
    // Not the time at which the request came: it may have been delayed on purpose since.
    let now = worker.shared.clock.now();
    let Verdict {
        refused,
        headers,
        charges,
    } = limits.check(&limited, &worker.shared.global, now);
    exchange.limit_headers = headers;
    exchange.charges = charges;
    match refused {
        Some((rule, rejection)) => {
            exchange.limited_by = Some(rule);
            Err(rejection)
        }
        None => Ok(()),
    }
}

fn redirect(to: &Redirect, exchange: &Exchange, entry: &RouteEntry, head: &Parts) -> Rejection {
    let requested = Requested {
        scheme: exchange.scheme,
        host: &host(head),
        port: exchange.connection.port,
        path: head.uri.path(),
        query: head.uri.query(),
    };
    let location = rewrite::location(to, &entry.route.matches.path, &requested);
    match (location, StatusCode::from_u16(to.status)) {
        (Some(location), Ok(status)) => Rejection::redirect(status, location, "direct_response"),
        (None, _) | (_, Err(_)) => internal_error(),
    }
}

fn respond(with: &DirectResponse, exchange: &Exchange, head: &Parts) -> Rejection {
    let DirectResponse {
        status,
        reason: _,
        content,
    } = with;
    let details = "direct_response";
    let filling = Filling {
        exchange,
        status: *status,
        details,
        known: Known::Head(head),
    };
    match StatusCode::from_u16(*status) {
        Ok(status) => Rejection {
            content: content.as_ref().map(|it| operators::fill(it, &filling)),
            ..Rejection::new(status, details)
        },
        Err(_) => internal_error(),
    }
}

/// The plan asks for something that cannot be said in HTTP.
fn internal_error() -> Rejection {
    Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, "direct_response")
}
