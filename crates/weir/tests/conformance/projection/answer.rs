//! What becomes of bodies and answers, and what is seen of them, in the reference's notation: a function for each feature.

use serde_json::{Value, json};
use weir_plan::features::bandwidth_limit::{BandwidthLimit, ResponseBandwidth};
use weir_plan::features::compression::Compressor;
use weir_plan::features::http_upgrade::{HttpUpgrade, HttpUpgrades};
use weir_plan::features::response_override::{
    InternalRedirect, ReplacedBody, ReplacedResponse, Replacement, ResponseHeaderMatch,
    ResponseOverride, ResponseSource, TextMatch,
};
use weir_plan::features::telemetry::{RouteStatName, SpanNames, Tag, Telemetry, Tracing};

use super::base64;

pub(crate) fn bandwidth_limit(limit: &BandwidthLimit) -> Value {
    let BandwidthLimit { request, response } = limit;
    let response = response
        .as_ref()
        .map(|ResponseBandwidth { limit, trailers }| {
            let trailers = trailers.as_ref().map(|prefix| json!({"prefix": **prefix}));
            json!({"limitKibps": limit, "responseTrailers": trailers})
        });
    json!({"request": request.map(|limit| json!({"limitKibps": limit})), "response": response})
}

pub(crate) fn compressor(compressor: &Compressor) -> Value {
    let Compressor {
        algorithm,
        min_content_length,
        preferred,
    } = compressor;
    json!({"type": algorithm, "minContentLength": min_content_length, "chooseFirst": preferred})
}

pub(crate) fn response_override(rules: &[ResponseOverride]) -> Value {
    if rules.is_empty() {
        return Value::Null;
    }
    let rules: Value = rules.iter().map(override_rule).collect();
    json!({"rules": rules})
}

fn override_rule(rule: &ResponseOverride) -> Value {
    let ResponseOverride {
        statuses,
        headers,
        source,
        with,
    } = rule;
    let statuses: Value = statuses
        .iter()
        .map(|range| json!({"start": range.start(), "end": range.end()}))
        .collect();
    let source = match source {
        ResponseSource::All => None,
        ResponseSource::Local => Some("Local"),
        ResponseSource::Backend => Some("Backend"),
    };
    let (response, redirect) = match with {
        Replacement::Response(it) => (Some(replaced(it)), None),
        Replacement::Redirect(it) => (None, Some(self::redirect(it))),
    };
    json!({
        "match": {
            "statusCodes": statuses,
            "responseHeaders": headers.iter().map(header_match).collect::<Value>(),
        },
        "source": source,
        "response": response,
        "redirect": redirect,
    })
}

fn header_match(ResponseHeaderMatch { name, value }: &ResponseHeaderMatch) -> Value {
    let (kind, text) = match value {
        TextMatch::Exact(text) => ("exact", text),
        TextMatch::Prefix(text) => ("prefix", text),
        TextMatch::Suffix(text) => ("suffix", text),
        TextMatch::Regex(text) => ("safeRegex", text),
    };
    json!({"name": name.0.as_str(), kind: **text})
}

fn replaced(response: &ReplacedResponse) -> Value {
    let ReplacedResponse {
        status,
        content_type,
        body,
        headers,
    } = response;
    let added = headers.add.iter().map(|header| (header, true));
    let set = headers.set.iter().map(|header| (header, false));
    let headers = added.chain(set).map(|((name, value), append)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        json!({"name": name.as_str(), "append": append, "value": [value]})
    });
    json!({
        "statusCode": status,
        "contentType": content_type.as_deref(),
        "body": body.as_ref().map(|ReplacedBody(bytes)| base64(bytes)),
        "addResponseHeaders": headers.collect::<Value>(),
    })
}

fn redirect(redirect: &InternalRedirect) -> Value {
    let InternalRedirect {
        scheme,
        hostname,
        path,
        port,
        status,
    } = redirect;
    json!({
        "scheme": scheme.as_deref(),
        "hostname": hostname.as_deref(),
        "path": path.as_deref().map(|path| json!({"fullReplace": path})),
        "port": port,
        "statusCode": status,
    })
}

pub(crate) fn http_upgrade(upgrades: &HttpUpgrades) -> Value {
    match upgrades {
        HttpUpgrades::WebSocket => json!([{"type": "websocket"}]),
        HttpUpgrades::Only(list) => list
            .iter()
            .map(|upgrade| match upgrade {
                HttpUpgrade::Protocol(name) => json!({"type": **name}),
                HttpUpgrade::Connect { terminate: false } => json!({"type": "CONNECT"}),
                HttpUpgrade::Connect { terminate: true } => {
                    json!({"type": "CONNECT", "connect": {"terminate": true}})
                }
            })
            .collect(),
    }
}

pub(crate) fn telemetry(telemetry: &Telemetry) -> Value {
    let Telemetry {
        tracing,
        route_stat_name,
    } = telemetry;
    let name = route_stat_name
        .as_ref()
        .map(|RouteStatName(format)| &**format);
    if tracing.is_none() && name.is_none() {
        return Value::Null;
    }
    json!({
        "tracing": tracing.as_ref().map(self::tracing),
        "metrics": name.map(|it| json!({"routeStatName": it})),
    })
}

fn tracing(tracing: &Tracing) -> Value {
    let Tracing {
        sampling,
        client_sampling,
        overall_sampling,
        tags,
        span_names,
    } = tracing;
    let tags: serde_json::Map<String, Value> = tags
        .iter()
        .map(|(name, tag)| (name.to_string(), self::tag(tag)))
        .collect();
    let span_names = span_names
        .as_ref()
        .map(|SpanNames { client, server }| json!({"client": **client, "server": **server}));
    json!({
        "samplingFraction": sampling,
        "clientSamplingFraction": client_sampling,
        "overallSamplingFraction": overall_sampling,
        "tags": tags,
        "spanName": span_names,
    })
}

fn tag(tag: &Tag) -> Value {
    match tag {
        Tag::Format(format) => json!({"format": **format}),
        Tag::Literal(value) => json!({"literal": {"value": **value}}),
        Tag::Environment { name, default } => {
            json!({"environment": {"name": **name, "defaultValue": default.as_deref()}})
        }
        Tag::RequestHeader { name, default } => {
            json!({"requestHeader": {"name": **name, "defaultValue": default.as_deref()}})
        }
    }
}
