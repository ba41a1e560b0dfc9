//! `headers` of a ClientTrafficPolicy, lowered.

use http::{HeaderName, HeaderValue};
use weir_plan::{
    CertDetail, ClientHeaders, HeaderChanges, ListenerHeaderChanges, RequestIdAction,
    WithUnderscores, XForwardedClientCert,
};

use super::string_matches;
use crate::api::client_traffic_policy::headers as api;
use crate::api::scalar::Quantity;
use crate::build::header_name;
use crate::features::{Faults, response_override};

const FEATURE: &str = "Headers";
const KIB: i64 = 1_024;

pub(super) fn lower(written: api::ClientHeaders, found: &mut Faults) -> ClientHeaders {
    let api::ClientHeaders {
        enable_envoy_headers,
        disable_rate_limit_headers: _,
        x_forwarded_client_cert,
        with_underscores_action,
        preserve_x_request_id,
        request_id,
        early_request_headers,
        late_response_headers,
        host,
        max_request_header_limit,
    } = written;
    let default = ClientHeaders::DEFAULT;
    let mut changes = |written: Option<api::HeaderModifier>, field, name| {
        written.map_or(ListenerHeaderChanges::NONE, |it| {
            Modifier { field, name }.lower(it, found)
        })
    };
    ClientHeaders {
        envoy_headers: enable_envoy_headers == Some(true),
        with_underscores: match with_underscores_action.as_deref() {
            Some("Allow") => WithUnderscores::Allow,
            Some("DropHeader") => WithUnderscores::DropHeader,
            Some("RejectRequest") => WithUnderscores::RejectRequest,
            Some(_) | None => default.with_underscores,
        },
        request_id: match (request_id.as_deref(), preserve_x_request_id) {
            (Some("PreserveOrGenerate"), _) | (None, Some(true)) => {
                RequestIdAction::PreserveOrGenerate
            }
            (Some("Preserve"), _) => RequestIdAction::Preserve,
            (Some("Generate"), _) => RequestIdAction::Generate,
            (Some("Disable"), _) => RequestIdAction::Disable,
            (Some(_), _) | (None, Some(false) | None) => default.request_id,
        },
        client_cert: x_forwarded_client_cert.map_or(default.client_cert, client_cert),
        early_request: changes(
            early_request_headers,
            "headers.earlyRequestHeaders",
            "EarlyRequestHeaders",
        ),
        late_response: changes(
            late_response_headers,
            "headers.lateResponseHeaders",
            "LateResponseHeaders",
        ),
        strip_trailing_host_dot: host.is_some_and(|it| it.strip_trailing_host_dot == Some(true)),
        max_bytes: max_request_header_limit.and_then(|it| max_bytes(&it, found)),
    }
}

fn client_cert(written: api::XForwardedClientCert) -> XForwardedClientCert {
    let api::XForwardedClientCert {
        mode,
        cert_details_to_add,
    } = written;
    let mut details = Vec::new();
    for word in cert_details_to_add.iter().flatten() {
        let detail = match word.as_str() {
            "Subject" => CertDetail::Subject,
            "Cert" => CertDetail::Cert,
            "Chain" => CertDetail::Chain,
            "DNS" => CertDetail::Dns,
            "URI" => CertDetail::Uri,
            // Admission knows no other.
            _ => continue,
        };
        if !details.contains(&detail) {
            details.push(detail);
        }
    }
    match mode.as_deref() {
        Some("ForwardOnly") => XForwardedClientCert::ForwardOnly,
        Some("AlwaysForwardOnly") => XForwardedClientCert::AlwaysForwardOnly,
        Some("AppendForward") => XForwardedClientCert::AppendForward(details),
        Some("SanitizeSet") => XForwardedClientCert::SanitizeSet(details),
        Some(_) | None => XForwardedClientCert::Sanitize,
    }
}

/// The limit in bytes, rounded up to whole KiB.
fn max_bytes(size: &Quantity, found: &mut Faults) -> Option<u32> {
    let text = match size.value() {
        None => format!("invalid MaxRequestHeaderLimit value {size}"),
        Some(bytes) if (KIB..=8_192 * KIB).contains(&bytes) => {
            return u32::try_from(bytes.unsigned_abs().div_ceil(1_024) * 1_024).ok();
        }
        Some(_) => format!(
            "MaxRequestHeaderLimit value {size} is out of range, must be between 1Ki and 8192Ki"
        ),
    };
    found.add(FEATURE, "headers.maxRequestHeaderLimit", text);
    None
}

/// Changes of headers, by the field that they are written in and as statuses call it.
struct Modifier {
    field: &'static str,
    name: &'static str,
}

impl Modifier {
    fn lower(&self, written: api::HeaderModifier, found: &mut Faults) -> ListenerHeaderChanges {
        let api::HeaderModifier {
            set,
            add,
            add_if_absent,
            remove,
            remove_on_match,
        } = written;
        let add = self.headers("add", "add", add, found);
        let set = self.headers("set", "set", set, found);
        let add_if_absent = self.headers("addIfAbsent", "add", add_if_absent, found);
        let mut removed = Vec::new();
        for (index, name) in remove.iter().flatten().enumerate() {
            let at = format!("remove[{index}]");
            let name = self.header_name(&at, "remove", name, found);
            removed.extend(name.filter(|it| !removed.contains(it)));
        }
        let at = format!("{}.removeOnMatch", self.field);
        let remove_on_match = string_matches(remove_on_match.as_deref(), (FEATURE, &at), found);
        ListenerHeaderChanges {
            plain: HeaderChanges {
                set,
                add,
                remove: removed,
            },
            add_if_absent,
            remove_on_match,
        }
    }

    /// The first of several entries for one header counts.
    fn headers(
        &self,
        list: &str,
        verb: &str,
        written: Option<Vec<response_override::HeaderValue>>,
        found: &mut Faults,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let mut read: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for (index, header) in written.into_iter().flatten().enumerate() {
            let response_override::HeaderValue { name, value } = header;
            let at = format!("{list}[{index}]");
            let Some(header) = self.header_name(&at, verb, &name, found) else {
                continue;
            };
            match HeaderValue::from_str(&value) {
                Ok(value) if is_value(value.as_bytes()) => {
                    if read.iter().all(|(known, _)| *known != header) {
                        read.push((header, value));
                    }
                }
                Ok(_) | Err(_) => {
                    let name = self.name;
                    let text = format!(
                        "{name} cannot {verb} a header with an invalid value. Header: '{:?}'",
                        header.as_str()
                    );
                    found.add(FEATURE, format!("{}.{at}.value", self.field), text);
                }
            }
        }
        read
    }

    fn header_name(
        &self,
        at: &str,
        verb: &str,
        name: &str,
        found: &mut Faults,
    ) -> Option<HeaderName> {
        let Self { field, name: of } = self;
        let text = if name.is_empty() {
            format!("{of} cannot {verb} a header with an empty name")
        } else if name.contains(['/', ':']) {
            format!(
                "{of} cannot {verb} a header with a '/' or ':' character in them. Header: '{name:?}'"
            )
        } else {
            match header_name(name) {
                Ok(name) => return Some(name),
                Err(why) => format!("{of}: {}", why.message),
            }
        };
        found.add(FEATURE, format!("{field}.{at}"), text);
        None
    }
}

/// Whether a value is visible ASCII with single blanks or tabs within it, as the Gateway API has it.
fn is_value(value: &[u8]) -> bool {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let visible = |byte: &u8| (b'!'..=b'~').contains(byte);
    !value.is_empty()
        && value.iter().all(|it| blank(it) || visible(it))
        && value.first().is_some_and(visible)
        && value.last().is_some_and(visible)
        && !value.windows(2).any(|pair| pair.iter().all(blank))
}
