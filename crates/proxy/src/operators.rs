//! Fills in Envoy's `%...%` operators in an answer that the gateway gives by itself.

use std::sync::Arc;

use http::header::HOST;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue};
use weir_plan::features::response_override::ReplacedBody;
use weir_plan::operator::{Operator, Piece, pieces};
use weir_plan::{DirectContent, HeaderChanges};

use crate::access_log::{Rfc3339, protocol};
use crate::exchange::Exchange;

/// What operators are filled in from.
pub(crate) struct Filling<'a> {
    pub(crate) exchange: &'a Exchange,
    pub(crate) head: &'a Parts,
    pub(crate) status: u16,
    pub(crate) details: &'a str,
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
            Piece::Filled(operator, most) => {
                let value = value(operator, filling);
                let value = value.filter(|it| !it.is_empty());
                let value = value.as_deref().unwrap_or("-");
                let end = value.floor_char_boundary(most.unwrap_or(value.len()));
                filled.push_str(&value[..end]);
            }
            Piece::Unserved(_) => filled.push('-'),
        }
    }
    filled
}

fn value(operator: Operator<'_>, filling: &Filling<'_>) -> Option<String> {
    let Filling {
        exchange,
        head,
        status,
        details,
    } = *filling;
    let peer = exchange.connection.peer;
    match operator {
        Operator::RequestHeader(name, other) => {
            let other = || other.and_then(|other| header(head, other));
            header(head, name).or_else(other)
        }
        Operator::QueryParam(name) => {
            let mut pairs = head.uri.query()?.split('&');
            let value = pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            value.map(str::to_owned)
        }
        Operator::ResponseCode => Some(status.to_string()),
        Operator::ResponseCodeDetails => Some(details.to_owned()),
        Operator::Protocol => Some(protocol(exchange.request.version).to_owned()),
        Operator::StartTime => Some(Rfc3339(exchange.start.unix_nanos).to_string()),
        Operator::DownstreamRemoteAddress => Some(peer.to_string()),
        Operator::DownstreamRemoteAddressWithoutPort => Some(exchange.client().to_string()),
        Operator::RouteName => {
            let entry = exchange.entry.as_ref()?;
            Some(entry.route.name.to_string())
        }
    }
}

fn header(head: &Parts, name: &str) -> Option<String> {
    let path = || head.uri.path_and_query().map(PathAndQuery::to_string);
    match name.to_ascii_lowercase().as_str() {
        ":path" => path(),
        ":method" => Some(head.method.to_string()),
        ":authority" => of_name(&head.headers, HOST.as_str()),
        ":scheme" => of_name(&head.headers, "x-forwarded-proto"),
        name => of_name(&head.headers, name),
    }
}

fn of_name(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}
