//! The questions of active health checks: an HTTP request, a connection, or a call of the gRPC health service.

use std::collections::BTreeSet;

use http::Method;
use k8s_openapi::ByteString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_plan::features::health_check as plan;

use super::{FEATURE, Faults};

const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH",
];

/// An HTTP request that asks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpHealthCheck {
    /// Its host name. Default: the endpoint's, else the route's.
    pub hostname: Option<String>,
    /// Its path.
    pub path: Option<String>,
    /// Its method. Default GET.
    pub method: Option<String>,
    /// Statuses that mean healthy. Default 200.
    pub expected_statuses: Option<Vec<i32>>,
    /// Statuses that count as a failure rather than mean unhealthy at once.
    pub retriable_statuses: Option<Vec<i32>>,
    /// What the body must contain.
    pub expected_response: Option<Payload>,
    /// The body sent, with POST and PUT.
    pub request_body: Option<Payload>,
}

/// A connection that asks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TcpHealthCheck {
    /// What is sent. Default: nothing.
    pub send: Option<Payload>,
    /// What must come back. Default: nothing.
    pub receive: Option<Payload>,
}

/// A call of the gRPC health service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GrpcHealthCheck {
    /// The service asked about. Default: the server as a whole.
    pub service: Option<String>,
}

/// Bytes, written in one of two ways.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Payload {
    /// `Text` or `Binary`.
    pub r#type: Option<String>,
    /// As text.
    pub text: Option<String>,
    /// In base64.
    #[schemars(with = "Option<String>")]
    pub binary: Option<ByteString>,
}

/// None: the policy is invalid.
pub(super) fn of_http(http: Option<&HttpHealthCheck>, found: &mut Faults) -> Option<plan::Probe> {
    let HttpHealthCheck {
        hostname,
        path,
        method,
        expected_statuses,
        retriable_statuses,
        expected_response,
        request_body,
    } = http.or_else(|| missing(found, "http"))?;
    let at = "healthCheck.active.http";
    let path = path.as_deref().filter(|path| !path.is_empty());
    if path.is_none() {
        found.add(
            FEATURE,
            format!("{at}.path"),
            "field HTTPHealthChecker.Path should be specified",
        );
    }
    let method = lower_method(method.as_deref(), found);
    let expected = statuses("expectedStatuses", expected_statuses.as_deref(), found);
    let retriable = statuses("retriableStatuses", retriable_statuses.as_deref(), found);
    let expected_statuses = if expected.is_empty() {
        BTreeSet::from([200])
    } else {
        expected
    };
    let expected_response = payload(
        found,
        &format!("{at}.expectedResponse"),
        expected_response.as_ref(),
    );
    let field = format!("{at}.requestBody");
    let mut request_body = payload(found, &field, request_body.as_ref());
    if request_body.is_some() && method != Method::POST && method != Method::PUT {
        let text = format!("a {method} request has no body; use POST or PUT");
        found.ignored(FEATURE, field, text);
        request_body = None;
    }
    Some(plan::Probe::Http(plan::HttpProbe {
        host: hostname
            .as_deref()
            .filter(|host| !host.is_empty())
            .map(Into::into),
        path: path?.into(),
        method,
        retriable_statuses: &retriable - &expected_statuses,
        expected_statuses,
        expected_response,
        request_body,
    }))
}

fn lower_method(method: Option<&str>, found: &mut Faults) -> Method {
    let method = method.unwrap_or("GET").to_ascii_uppercase();
    let known = METHODS.contains(&method.as_str());
    if !known {
        let text = "only one of the GET, HEAD, POST, DELETE, OPTIONS, TRACE, PATCH of HTTPHealthChecker.Method could be set";
        found.add(FEATURE, "healthCheck.active.http.method", text);
    }
    Method::from_bytes(method.as_bytes())
        .ok()
        .filter(|_| known)
        .unwrap_or(Method::GET)
}

fn statuses(field: &str, statuses: Option<&[i32]>, found: &mut Faults) -> BTreeSet<u16> {
    let statuses = statuses.unwrap_or_default();
    if let Some(index) = statuses
        .iter()
        .position(|status| !(100..=599).contains(status))
    {
        found.add(
            FEATURE,
            format!("healthCheck.active.http.{field}[{index}]"),
            "HTTPStatus should be in [200,600)",
        );
    }
    statuses
        .iter()
        .filter_map(|status| u16::try_from(*status).ok())
        .collect()
}

/// None: the policy is invalid.
pub(super) fn of_tcp(tcp: Option<&TcpHealthCheck>, found: &mut Faults) -> Option<plan::Probe> {
    let TcpHealthCheck { send, receive } = tcp.or_else(|| missing(found, "tcp"))?;
    Some(plan::Probe::Tcp {
        send: payload(found, "healthCheck.active.tcp.send", send.as_ref()),
        receive: payload(found, "healthCheck.active.tcp.receive", receive.as_ref()),
    })
}

pub(super) fn of_grpc(grpc: Option<&GrpcHealthCheck>) -> plan::Probe {
    let service = grpc.and_then(|GrpcHealthCheck { service }| service.as_deref());
    plan::Probe::Grpc {
        service: service.unwrap_or_default().into(),
    }
}

fn missing<T>(found: &mut Faults, block: &str) -> Option<T> {
    found.add(
        FEATURE,
        format!("healthCheck.active.{block}"),
        format!("{block} must be set for a health check of its type"),
    );
    None
}

fn payload(found: &mut Faults, at: &str, payload: Option<&Payload>) -> Option<plan::Payload> {
    let Payload {
        r#type,
        text,
        binary,
    } = payload?;
    let text = text.as_deref().unwrap_or_default().as_bytes();
    let binary = binary.as_ref().map_or(&[][..], |it| it.0.as_slice());
    let bytes = match r#type.as_deref() {
        Some("Binary") => binary,
        Some("Text") => text,
        _ if text.is_empty() => binary,
        _ => text,
    };
    if bytes.is_empty() {
        found.add(
            FEATURE,
            at,
            "one of Text, Binary fields must be set in payload",
        );
        return None;
    }
    Some(plan::Payload(bytes.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn http(spec: &Value) -> plan::HttpProbe {
        let spec: HttpHealthCheck = serde_json::from_value(spec.clone()).unwrap();
        let mut found = Faults::default();
        let probe = of_http(Some(&spec), &mut found);
        assert_eq!(found.message(), None);
        match probe {
            Some(plan::Probe::Http(probe)) => probe,
            other => panic!("no HTTP probe: {other:?}"),
        }
    }

    fn bytes(bytes: &[u8]) -> Option<plan::Payload> {
        Some(plan::Payload(bytes.into()))
    }

    #[test]
    fn payloads_are_bytes() {
        for (spec, expected) in [
            (json!({}), [None, None]),
            (
                json!({"send": {"type": "Text", "text": "ping"}, "receive": {"type": "Binary", "binary": "AP8="}}),
                [bytes(b"ping"), bytes(&[0, 255])],
            ),
        ] {
            let spec: TcpHealthCheck = serde_json::from_value(spec).unwrap();
            let [send, receive] = expected;
            assert_eq!(
                of_tcp(Some(&spec), &mut Faults::default()),
                Some(plan::Probe::Tcp { send, receive })
            );
        }
        let text = serde_json::to_value(bytes(b"a\n\xff")).unwrap();
        assert_eq!(text, json!("a\\n\\xff"));
        assert!(serde_json::from_value::<Payload>(json!({"binary": "no base64"})).is_err());
    }

    #[test]
    fn a_body_goes_with_post_and_put_only() {
        for (method, sent) in [
            ("GET", None),
            ("put", bytes(b"ping")),
            ("POST", bytes(b"ping")),
        ] {
            let body = json!({"type": "Text", "text": "ping"});
            let probe = http(&json!({"path": "/", "method": method, "requestBody": body}));
            assert_eq!(probe.request_body, sent, "{method}");
        }
    }

    #[test]
    fn an_expected_status_is_not_retriable() {
        let probe = http(
            &json!({"path": "/", "expectedStatuses": [201, 200, 201], "retriableStatuses": [503, 200]}),
        );
        assert_eq!(probe.expected_statuses, BTreeSet::from([200, 201]));
        assert_eq!(probe.retriable_statuses, BTreeSet::from([503]));
    }

    #[test]
    fn what_a_type_needs_is_asked_for() {
        let mut found = Faults::default();
        assert_eq!(of_http(None, &mut found), None);
        let expected = "HealthCheck: http must be set for a health check of its type.";
        assert_eq!(found.message().as_deref(), Some(expected));
    }
}
