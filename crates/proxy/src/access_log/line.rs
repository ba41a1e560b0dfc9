//! One line of the access log: Envoy Gateway's default keys, sorted, and those of our own (`attempts`, `policies`,
//! `rate_limit_rule`, `upgrade`). What is not known is null.

use std::fmt::Display;
use std::time::Duration;

use http::{HeaderValue, Version};
use serde::{Serialize, Serializer};
use weir_plan::operator::TimeFormat;

use crate::exchange::{Exchange, RequestFacts};

/// The keys of a line, in its order.
pub const KEYS: [&str; 30] = [
    ":authority",
    "attempts",
    "bytes_received",
    "bytes_sent",
    "connection_termination_details",
    "downstream_local_address",
    "downstream_remote_address",
    "downstream_tls_cipher",
    "downstream_tls_version",
    "duration",
    "method",
    "policies",
    "protocol",
    "rate_limit_rule",
    "requested_server_name",
    "response_code",
    "response_code_details",
    "response_flags",
    "route_name",
    "start_time",
    "upgrade",
    "upstream_cluster",
    "upstream_host",
    "upstream_local_address",
    "upstream_transport_failure_reason",
    "user-agent",
    "x-envoy-origin-path",
    "x-envoy-upstream-service-time",
    "x-forwarded-for",
    "x-request-id",
];

/// Which keys a line has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chosen(u64);

impl Chosen {
    /// All that there are.
    pub(super) const ALL: Self = Self(u64::MAX);

    /// These; what is no key is none.
    pub(super) fn of(keys: &[String]) -> Self {
        let places = keys
            .iter()
            .filter_map(|key| KEYS.iter().position(|it| it == key));
        Self(places.fold(0, |chosen, place| chosen | 1 << place))
    }
}

/// Appends the line of an exchange that has ended.
pub(super) fn write(
    line: &mut Vec<u8>,
    chosen: Chosen,
    exchange: &Exchange,
    received: u64,
    duration: Duration,
) {
    let RequestFacts {
        method,
        version,
        target,
        grpc: _,
        authority,
        user_agent,
        forwarded_for,
        request_id,
    } = &exchange.request;
    let rule = exchange.entry.as_ref().map(|entry| &entry.route.rule);
    let path = target.path_and_query().map(|it| it.as_str());
    let upstream = exchange.endpoint.as_ref().map(|it| &it.endpoint.address);
    let null = || None::<&str>;
    let tls = exchange.connection.tls.as_deref();
    let mut object = Object::new(line, chosen);
    object.text(":authority", header(authority).as_deref());
    object.number("attempts", u64::from(exchange.attempts));
    object.number("bytes_received", received);
    object.number("bytes_sent", exchange.sent);
    object.text("connection_termination_details", null());
    object.shown("downstream_local_address", Some(exchange.connection.local));
    object.shown("downstream_remote_address", Some(exchange.remote()));
    object.text("downstream_tls_cipher", tls.map(|it| it.cipher));
    object.text("downstream_tls_version", tls.map(|it| it.version));
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    object.number("duration", millis);
    object.text("method", Some(method.as_str()));
    object.value("policies", &rule.map(|rule| &rule.origin));
    object.text("protocol", Some(protocol(*version)));
    object.shown("rate_limit_rule", exchange.limited_by.as_ref());
    let server_name = tls.and_then(|it| it.server_name.as_deref());
    object.text("requested_server_name", server_name);
    let status = exchange
        .status
        .map_or(0, |status| u64::from(status.as_u16()));
    object.number("response_code", status);
    object.text("response_code_details", Some(&*exchange.details));
    object.shown("response_flags", Some(&exchange.flags));
    object.shown(
        "route_name",
        exchange.entry.as_ref().map(|it| &it.route.name),
    );
    object.shown("start_time", Some(Rfc3339(exchange.start.unix_nanos)));
    let upgrade = exchange.upgrade.as_ref().filter(|_| exchange.switched);
    object.text("upgrade", upgrade.map(|it| it.name()).as_deref());
    object.shown(
        "upstream_cluster",
        exchange.cluster.as_ref().map(|it| &it.name),
    );
    object.shown("upstream_host", upstream);
    object.text("upstream_local_address", null());
    object.text(
        "upstream_transport_failure_reason",
        exchange.transport_failure.as_deref(),
    );
    object.text("user-agent", header(user_agent).as_deref());
    object.text("x-envoy-origin-path", path);
    object.text("x-envoy-upstream-service-time", null());
    object.text("x-forwarded-for", header(forwarded_for).as_deref());
    object.text("x-request-id", header(request_id).as_deref());
    object.end();
}

fn header(value: &Option<HeaderValue>) -> Option<std::borrow::Cow<'_, str>> {
    let value = value.as_ref()?;
    Some(String::from_utf8_lossy(value.as_bytes()))
}

pub(crate) fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

/// A JSON object being written.
struct Object<'a> {
    line: &'a mut Vec<u8>,
    first: bool,
    /// The keys that are still to come, the next one in the lowest bit.
    chosen: u64,
}

impl<'a> Object<'a> {
    fn new(line: &'a mut Vec<u8>, Chosen(chosen): Chosen) -> Self {
        Self {
            line,
            first: true,
            chosen,
        }
    }

    /// Whether the next key is written.
    fn wants(&mut self) -> bool {
        let wanted = self.chosen & 1 == 1;
        self.chosen >>= 1;
        wanted
    }

    fn key(&mut self, key: &str) {
        self.line.push(if self.first { b'{' } else { b',' });
        self.first = false;
        self.line.push(b'"');
        self.line.extend_from_slice(key.as_bytes());
        self.line.extend_from_slice(b"\":");
    }

    fn value(&mut self, key: &str, value: &impl Serialize) {
        if !self.wants() {
            return;
        }
        self.key(key);
        serde_json::to_writer(&mut *self.line, value).expect("a buffer takes any value of ours");
    }

    fn text(&mut self, key: &str, text: Option<&str>) {
        self.value(key, &text);
    }

    fn number(&mut self, key: &str, number: u64) {
        if !self.wants() {
            return;
        }
        self.key(key);
        let mut digits = itoa::Buffer::new();
        self.line
            .extend_from_slice(digits.format(number).as_bytes());
    }

    /// A value by its text form.
    fn shown(&mut self, key: &str, value: Option<impl Display>) {
        self.value(key, &value.map(Shown));
    }

    fn end(self) {
        if self.first {
            self.line.push(b'{');
        }
        self.line.extend_from_slice(b"}\n");
    }
}

/// Serializes as text what can be displayed.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A time, from nanoseconds since the Unix epoch, as `2026-11-23T06:42:43.070Z`.
struct Rfc3339(u64);

impl Display for Rfc3339 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        TimeFormat::DEFAULT.write(self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_make_a_json_object() {
        let mut line = Vec::new();
        let mut object = Object::new(&mut line, Chosen::ALL);
        object.text("a", Some("\"quoted\"\n"));
        object.number("b", 7);
        object.shown("c", None::<&str>);
        object.shown("d", Some("x\"y"));
        object.end();
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "{\"a\":\"\\\"quoted\\\"\\n\",\"b\":7,\"c\":null,\"d\":\"x\\\"y\"}\n"
        );
    }
}
