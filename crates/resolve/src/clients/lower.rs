//! From what a ClientTrafficPolicy says to the settings of the plan, before it is known which listener has them: final
//! values, or what is wrong with them.

mod bounds;
mod headers;
pub(super) mod tls;

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use weir_plan::features::connection::TcpKeepalive;
use weir_plan::features::rate_limit::HeaderNameText;
use weir_plan::{
    ClientHttp1, ClientHttp2, ClientIpDetection, ClientPolicy, ClientSocket, ConnectionLimit,
    DownstreamProxyProtocol, EscapedSlashes, ForwardedScheme, PathNormalisation, PolicyRef,
    StringMatch,
};

use self::bounds::{Connection, Timeouts};
use self::tls::TlsSettings;
use crate::api::ClientTrafficPolicy;
use crate::api::client_traffic_policy as api;
use crate::api::client_traffic_policy::ClientTrafficPolicySpec;
use crate::diagnostics::FieldPath;
use crate::effective::StreamIdle;
use crate::expression;
use crate::features::connection::{self, http2};
use crate::features::{Faults, sentence};
use crate::resources::Resources;
use crate::strict::{self, Mismatch};

/// What a policy comes to.
#[derive(Debug)]
pub(super) struct Lowered {
    /// All but the socket, the default host and TLS, which depend on the listener and its port.
    pub(super) client: ClientPolicy,
    pub(super) socket: SocketSettings,
    /// Whether HTTP/1.0 requests without a host get one.
    pub(super) default_host: bool,
    pub(super) stream_idle: Option<StreamIdle>,
    pub(super) rate_limit_headers: bool,
    pub(super) tls: TlsSettings,
    pub(super) faults: Faults,
}

/// What a policy says of connections before it is known which listener of a port they belong to.
#[derive(Debug, Default)]
pub(super) struct SocketSettings {
    pub(super) tcp_keepalive: Option<Option<TcpKeepalive>>,
    pub(super) proxy_protocol: Option<Option<DownstreamProxyProtocol>>,
    pub(super) limit: Option<ConnectionLimit>,
    pub(super) buffer_bytes: Option<u32>,
    pub(super) inspection_timeout: Option<Duration>,
    pub(super) handshake_timeout: Option<Option<Duration>>,
}

/// How status messages introduce what is wrong with settings of TLS, which only listeners with TLS look at.
pub(super) const TLS: &str = "TLS";
/// The same of settings that concern connections of all protocols.
pub(super) const OF_CONNECTIONS: [&str; 4] = ["", "TCP KeepAlive", "Connection", "Timeout"];

impl Lowered {
    /// Why the policy is invalid on a listener, one thing a line; none: it is valid. `http1` is what is wrong with it there.
    pub(super) fn invalid(&self, http: bool, tls: bool, http1: Option<&str>) -> Option<String> {
        let mut lines: Vec<(&str, String)> = Vec::new();
        let mut http1 = http1.filter(|_| http);
        for fault in self.faults.list.iter().filter(|it| it.fatal) {
            let counts = match fault.feature {
                TLS => tls,
                other => http || OF_CONNECTIONS.contains(&other),
            };
            if !counts {
                continue;
            }
            if ["HTTP2", TLS].contains(&fault.feature)
                && let Some(text) = http1.take()
            {
                lines.push(("HTTP1", format!("HTTP1: {text}")));
            }
            match lines.iter_mut().find(|(of, _)| *of == fault.feature) {
                // The reference tells all that is wrong with these, and of the others what it finds first.
                Some((of, line)) if ["Headers", "HTTP2"].contains(of) => {
                    line.push('\n');
                    line.push_str(&fault.text);
                }
                Some(_) => {}
                None if fault.feature.is_empty() => lines.push(("", fault.text.clone())),
                None => lines.push((fault.feature, format!("{}: {}", fault.feature, fault.text))),
            }
        }
        if let Some(text) = http1 {
            lines.push(("HTTP1", format!("HTTP1: {text}")));
        }
        let lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

/// The message of a status that says why policies are invalid on several listeners, each reason once.
pub(super) fn message<'a>(reasons: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut said: Vec<&str> = Vec::new();
    for reason in reasons {
        if !said.contains(&reason) {
            said.push(reason);
        }
    }
    (!said.is_empty()).then(|| sentence(&said.join("\n")))
}

/// Lowers a policy. It refers to authorities from its own namespace.
pub(super) fn lower(
    policy: &ClientTrafficPolicy,
    name: &PolicyRef,
    resources: &Resources,
) -> Lowered {
    let mut found = Faults::default();
    let spec = read(policy).unwrap_or_else(|(field, text)| {
        found.add("", field, text);
        ClientTrafficPolicySpec::default()
    });
    let ClientTrafficPolicySpec {
        target_ref: _,
        target_refs: _,
        target_selectors: _,
        tcp_keepalive,
        enable_proxy_protocol,
        proxy_protocol,
        client_ip_detection,
        tls,
        path,
        headers,
        timeout,
        connection,
        http1,
        http2,
        http3: _,
        grpc: _,
        health_check,
        scheme,
    } = spec;
    // The order of these lines is the order of a status message.
    let keepalive = tcp_keepalive.as_ref();
    let tcp_keepalive =
        keepalive.map(|it| connection::lower_keepalive("TCP KeepAlive", Some(it), &mut found));
    let Connection {
        connection,
        limit,
        buffer_bytes,
    } = bounds::connection(connection.unwrap_or_default(), &mut found);
    let Timeouts {
        timeout,
        stream_idle,
        inspection_timeout,
        handshake_timeout,
    } = bounds::timeout(timeout.unwrap_or_default(), &mut found);
    let ip_detection = client_ip_detection.map_or(ClientIpDetection::DEFAULT, |it| {
        self::ip_detection(it, &mut found)
    });
    let headers = headers.unwrap_or_default();
    let rate_limit_headers = headers.disable_rate_limit_headers != Some(true);
    let headers = headers::lower(headers, &mut found);
    let api::ClientHttp1 {
        enable_trailers,
        preserve_header_case,
        http10,
        ignored_upgrade_types,
        disable_safe_max_connection_duration,
    } = http1.unwrap_or_default();
    let ignored_upgrades = string_matches(
        ignored_upgrade_types.as_deref(),
        ("HTTP1", "http1.ignoredUpgradeTypes"),
        &mut found,
    );
    let http2 = http2.map_or(ClientHttp2::DEFAULT, |it| self::http2(it, &mut found));
    let tls = tls::lower(tls, &name.name.namespace, resources, &mut found);
    let default = ClientHttp1::DEFAULT;
    Lowered {
        client: ClientPolicy {
            origin: Some(name.clone()),
            socket: ClientSocket::DEFAULT,
            connection,
            ip_detection,
            timeout,
            path: self::path(path.unwrap_or_default()),
            headers,
            http1: ClientHttp1 {
                trailers: enable_trailers.unwrap_or(default.trailers),
                preserve_header_case: preserve_header_case == Some(true),
                http10_default_host: None,
                ignored_upgrades,
                safe_max_duration: disable_safe_max_connection_duration != Some(true),
            },
            http2,
            health_check: health_check.map(|it| it.path.into()),
            scheme: match scheme.as_deref() {
                Some("MatchBackend") => ForwardedScheme::MatchBackend,
                Some(_) | None => ForwardedScheme::Preserve,
            },
        },
        socket: SocketSettings {
            tcp_keepalive,
            proxy_protocol: self::proxy_protocol(proxy_protocol, enable_proxy_protocol),
            limit,
            buffer_bytes,
            inspection_timeout,
            handshake_timeout,
        },
        default_host: http10.is_some_and(|it| it.use_default_host == Some(true)),
        stream_idle: stream_idle.map(|(written, limit)| StreamIdle {
            policy: name.clone(),
            written,
            limit,
        }),
        rate_limit_headers,
        tls,
        faults: found,
    }
}

/// The typed form of a spec, or the field that does not fit and why.
fn read(policy: &ClientTrafficPolicy) -> Result<ClientTrafficPolicySpec, (String, String)> {
    let settings = policy.settings();
    ClientTrafficPolicySpec::deserialize(&settings).or_else(|_| {
        let (spec, _unknown) = strict::read(&settings, &FieldPath::default());
        spec.map_err(|Mismatch { at, message }| {
            (at.to_string(), format!("invalid spec.{at}: {message}"))
        })
    })
}

fn proxy_protocol(
    written: Option<api::ClientProxyProtocol>,
    deprecated: Option<bool>,
) -> Option<Option<DownstreamProxyProtocol>> {
    match (written, deprecated) {
        (Some(it), _) if it.optional == Some(true) => Some(Some(DownstreamProxyProtocol::Optional)),
        (Some(_), _) | (None, Some(true)) => Some(Some(DownstreamProxyProtocol::Required)),
        (None, Some(false)) => Some(None),
        (None, None) => None,
    }
}

fn ip_detection(written: api::ClientIpDetection, found: &mut Faults) -> ClientIpDetection {
    const FEATURE: &str = "ClientIPDetection";
    let api::ClientIpDetection {
        x_forwarded_for,
        custom_header,
        direct_source_ip: _,
    } = written;
    if let Some(api::XForwardedFor {
        num_trusted_hops,
        trusted_cidrs,
        disable_x_forwarded_for_append,
    }) = x_forwarded_for
    {
        let append = disable_x_forwarded_for_append != Some(true);
        if let Some(hops) = num_trusted_hops.filter(|it| *it > 0) {
            return ClientIpDetection::TrustedHops { hops, append };
        }
        let mut networks: Vec<IpNet> = Vec::new();
        for (index, cidr) in trusted_cidrs.iter().flatten().enumerate() {
            match cidr.parse() {
                Ok(network) => networks.push(network),
                Err(_) => {
                    let at = format!("clientIPDetection.xForwardedFor.trustedCIDRs[{index}]");
                    found.add(FEATURE, at, format!("invalid TrustedCIDRs value {cidr}"));
                }
            }
        }
        return if networks.is_empty() {
            ClientIpDetection::Direct { append }
        } else {
            ClientIpDetection::TrustedNetworks { networks, append }
        };
    }
    let Some(api::CustomHeader { name, fail_closed }) = custom_header else {
        return ClientIpDetection::DEFAULT;
    };
    match http::HeaderName::from_bytes(name.as_bytes()) {
        Ok(name) => ClientIpDetection::Header {
            name: HeaderNameText(name),
            fail_closed: fail_closed == Some(true),
        },
        Err(_) => {
            let text = format!("invalid CustomHeader name {name:?}");
            found.add(FEATURE, "clientIPDetection.customHeader.name", text);
            ClientIpDetection::DEFAULT
        }
    }
}

fn path(written: api::PathSettings) -> PathNormalisation {
    let api::PathSettings {
        escaped_slashes_action,
        disable_merge_slashes,
    } = written;
    PathNormalisation {
        merge_slashes: disable_merge_slashes != Some(true),
        escaped_slashes: match escaped_slashes_action.as_deref() {
            Some("KeepUnchanged") => EscapedSlashes::KeepUnchanged,
            Some("RejectRequest") => EscapedSlashes::RejectRequest,
            Some("UnescapeAndForward") => EscapedSlashes::UnescapeAndForward,
            Some("UnescapeAndRedirect") => EscapedSlashes::UnescapeAndRedirect,
            Some(_) | None => PathNormalisation::DEFAULT.escaped_slashes,
        },
    }
}

fn http2(written: api::ClientHttp2, found: &mut Faults) -> ClientHttp2 {
    let api::ClientHttp2 {
        initial_stream_window_size,
        initial_connection_window_size,
        max_concurrent_streams,
        on_invalid_message,
        connection_keepalive,
    } = written;
    let streams = max_concurrent_streams.unwrap_or(ClientHttp2::DEFAULT.max_concurrent_streams);
    let spec = http2::Http2 {
        initial_stream_window_size,
        initial_connection_window_size,
        max_concurrent_streams: Some(streams),
        on_invalid_message,
        connection_keepalive,
    };
    let weir_plan::features::connection::Http2 {
        initial_stream_window_size,
        initial_connection_window_size,
        max_concurrent_streams,
        on_invalid_message,
        connection_keepalive,
    } = http2::lower(Some(&spec), found);
    ClientHttp2 {
        initial_stream_window_size,
        initial_connection_window_size,
        max_concurrent_streams,
        on_invalid_message,
        keepalive: connection_keepalive,
    }
}

/// Conditions on texts; those whose expression cannot be enforced make the policy invalid.
fn string_matches(
    written: Option<&[api::StringMatch]>,
    (feature, field): (&'static str, &str),
    found: &mut Faults,
) -> Vec<StringMatch> {
    let all = written.unwrap_or_default().iter().enumerate();
    all.filter_map(|(index, api::StringMatch { r#type, value })| {
        let text: Arc<str> = value.as_str().into();
        Some(match r#type.as_deref() {
            Some("Prefix") => StringMatch::Prefix(text),
            Some("Suffix") => StringMatch::Suffix(text),
            Some("RegularExpression") => match expression::groups(value) {
                Ok(_) => StringMatch::RegularExpression(text),
                Err(why) => {
                    let at = format!("{field}[{index}].value");
                    found.add(feature, at, format!("invalid RegularExpression: {why}"));
                    return None;
                }
            },
            Some(_) | None => StringMatch::Exact(text),
        })
    })
    .collect()
}
