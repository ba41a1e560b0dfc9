//! Fills in Envoy's `%...%` operators: in an answer that the gateway gives by itself, and in lines of the access log.

use std::fmt::Write;
use std::sync::Arc;

use http::header::HOST;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue};
use weir_plan::features::response_override::ReplacedBody;
use weir_plan::operator::{Operator, Piece, Plain, pieces};
use weir_plan::{DirectContent, EndpointAddress, HeaderChanges};

use crate::access_log::{Ended, protocol};
use crate::exchange::Exchange;

/// What operators are filled in from.
pub(crate) struct Filling<'a> {
    pub(crate) exchange: &'a Exchange,
    pub(crate) status: u16,
    pub(crate) details: &'a str,
    pub(crate) known: Known<'a>,
}

/// Where headers are found, and what else is known.
pub(crate) enum Known<'a> {
    /// The request is being answered; this is its head.
    Head(&'a Parts),
    /// The answer has ended.
    Ended(&'a Ended<'a>),
}

/// An answer with its operators filled in. A header that cannot be made of what comes of its value is left out.
pub(crate) fn fill(content: &Arc<DirectContent>, filling: &Filling<'_>) -> Arc<DirectContent> {
    let DirectContent {
        body: ReplacedBody(body),
        headers: HeaderChanges { set, add, remove },
        operators,
    } = &**content;
    if !operators {
        return Arc::clone(content);
    }
    let body = match std::str::from_utf8(body) {
        Ok(text) => text_of(text, filling).into_bytes().into(),
        Err(_) => Arc::clone(body),
    };
    let filled = |headers: &[(HeaderName, HeaderValue)]| {
        let each = headers.iter().filter_map(|(name, value)| {
            let value = text_of(value.to_str().ok()?, filling);
            Some((name.clone(), HeaderValue::try_from(value).ok()?))
        });
        each.collect()
    };
    Arc::new(DirectContent {
        body: ReplacedBody(body),
        headers: HeaderChanges {
            set: filled(set),
            add: filled(add),
            remove: remove.clone(),
        },
        operators: false,
    })
}

fn text_of(text: &str, filling: &Filling<'_>) -> String {
    let mut filled = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Filled(operator, most) => append(&mut filled, operator, most, filling),
            Piece::Unserved(_) => filled.push('-'),
        }
    }
    filled
}

/// Appends what an operator stands for, cut off after `most` bytes; `-`: there is none of it.
pub(crate) fn append(
    out: &mut String,
    operator: Operator<'_>,
    most: Option<usize>,
    filling: &Filling<'_>,
) {
    let start = out.len();
    let known = write(out, operator, filling).is_some();
    if !known || out.len() == start {
        out.truncate(start);
        out.push('-');
    }
    if let Some(most) = most {
        let end = out.floor_char_boundary(start.saturating_add(most));
        out.truncate(end);
    }
}

/// None: there is none of it.
fn write(out: &mut String, operator: Operator<'_>, filling: &Filling<'_>) -> Option<()> {
    let Filling {
        exchange, known, ..
    } = filling;
    let header = |name: &str, out: &mut String| match known {
        Known::Head(head) => request_header(out, head, name),
        Known::Ended(ended) => ended.request_header(out, exchange, name),
    };
    let ended = match known {
        Known::Head(_) => None,
        Known::Ended(ended) => Some(*ended),
    };
    match operator {
        Operator::RequestHeader(name, other) => {
            header(name, out).or_else(|| header(other?, out))?;
        }
        Operator::ResponseHeader(name, other) => {
            let ended = ended?;
            let header = |name, out: &mut String| ended.response_header(out, exchange, name);
            header(name, out).or_else(|| header(other?, out))?;
        }
        Operator::ResponseTrailer(name, other) => {
            let ended = ended?;
            let trailer = |name, out: &mut String| ended.response_trailer(out, exchange, name);
            trailer(name, out).or_else(|| trailer(other?, out))?;
        }
        Operator::QueryParam(name) => {
            let mut pairs = exchange.request.target.query()?.split('&');
            out.push_str(pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?);
        }
        Operator::StartTime(form) => form.write(exchange.start.unix_nanos, out).ok()?,
        Operator::Plain(plain) => write_plain(out, plain, filling)?,
    }
    Some(())
}

fn write_plain(out: &mut String, plain: Plain, filling: &Filling<'_>) -> Option<()> {
    let Filling {
        exchange,
        status,
        details,
        known,
    } = filling;
    let ended = match known {
        Known::Head(_) => None,
        Known::Ended(ended) => Some(*ended),
    };
    let (direct, remote) = (exchange.connection.direct, exchange.remote());
    let local = exchange.connection.local;
    let tls = exchange.connection.tls.as_deref();
    let endpoint = exchange.endpoint.as_ref().map(|it| &it.endpoint.address);
    match plain {
        Plain::BytesReceived => number(out, ended?.received),
        Plain::BytesSent => number(out, exchange.sent),
        Plain::DownstreamDirectRemoteAddress => shown(out, direct),
        Plain::DownstreamDirectRemoteAddressWithoutPort => shown(out, direct.ip()),
        Plain::DownstreamDirectRemotePort => number(out, u64::from(direct.port())),
        Plain::DownstreamRemoteAddress => shown(out, remote),
        Plain::DownstreamRemoteAddressWithoutPort => shown(out, remote.ip()),
        Plain::DownstreamRemotePort => number(out, u64::from(remote.port())),
        Plain::DownstreamLocalAddress => shown(out, local),
        Plain::DownstreamLocalAddressWithoutPort => shown(out, local.ip()),
        Plain::DownstreamLocalPort => number(out, u64::from(local.port())),
        Plain::DownstreamTlsCipher => out.push_str(tls?.cipher),
        Plain::DownstreamTlsVersion => out.push_str(tls?.version),
        Plain::Duration => {
            let millis = ended?.duration.as_millis();
            number(out, u64::try_from(millis).unwrap_or(u64::MAX));
        }
        Plain::Hostname => out.push_str(ended?.hostname),
        Plain::Protocol => out.push_str(protocol(exchange.request.version)),
        Plain::RequestedServerName => out.push_str(tls?.server_name.as_deref()?),
        Plain::ResponseCode => number(out, u64::from(*status)),
        Plain::ResponseCodeDetails => out.push_str(details),
        Plain::ResponseFlags => shown(out, &exchange.flags),
        Plain::ResponseFlagsLong => {
            for (place, flag) in exchange.flags.iter().enumerate() {
                out.push_str(if place > 0 { "," } else { "" });
                out.push_str(flag.long());
            }
        }
        Plain::RouteName => shown(out, &exchange.entry.as_ref()?.route.name),
        Plain::UpstreamCluster => shown(out, &exchange.cluster.as_ref()?.name),
        Plain::UpstreamHost | Plain::UpstreamRemoteAddress => shown(out, endpoint?),
        Plain::UpstreamRemoteAddressWithoutPort => match endpoint? {
            EndpointAddress::Ip(address) => shown(out, address.ip()),
            EndpointAddress::Fqdn(host, _) | EndpointAddress::Unix(host) => out.push_str(host),
        },
        Plain::UpstreamRemotePort => match endpoint? {
            EndpointAddress::Ip(address) => number(out, address.port().into()),
            EndpointAddress::Fqdn(_, port) => number(out, (*port).into()),
            EndpointAddress::Unix(_) => return None,
        },
        Plain::UpstreamRequestAttemptCount => number(out, exchange.attempts.into()),
        Plain::UpstreamTransportFailureReason => {
            out.push_str(exchange.transport_failure.as_deref()?);
        }
    }
    Some(())
}

fn number(out: &mut String, number: u64) {
    out.push_str(itoa::Buffer::new().format(number));
}

fn shown(out: &mut String, value: impl std::fmt::Display) {
    write!(out, "{value}").expect("a string takes any text");
}

fn request_header(out: &mut String, head: &Parts, name: &str) -> Option<()> {
    match name.to_ascii_lowercase().as_str() {
        ":path" => out.push_str(head.uri.path_and_query().map(PathAndQuery::as_str)?),
        ":method" => out.push_str(head.method.as_str()),
        ":authority" => push(out, head.headers.get(HOST)?),
        ":scheme" => push(out, head.headers.get("x-forwarded-proto")?),
        name => push(out, head.headers.get(name)?),
    }
    Some(())
}

/// A header's value; what is no text of UTF-8 is replaced.
pub(crate) fn push(out: &mut String, value: &HeaderValue) {
    out.push_str(&String::from_utf8_lossy(value.as_bytes()));
}
