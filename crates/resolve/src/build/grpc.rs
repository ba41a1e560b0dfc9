//! A rule of a GRPCRoute as the rule of an HTTPRoute that means the same: calls of gRPC are POST requests whose path is
//! `/SERVICE/METHOD`. All else is alike in both.

use gateway_api::experimental::grpcroutes as grpc;
use gateway_api::experimental::httproutes as http;
use serde_json::{Value, json};

use super::rules::Invalid;

/// What stands for a service, or a method, that a match leaves open, in a regular expression.
const ANY: &str = "[^/]+";

/// The same rule for HTTP.
pub(crate) fn as_http(rule: &grpc::GrpcRouteRules) -> Result<http::HttpRouteRules, Invalid> {
    let unreadable =
        |error: serde_json::Error| Invalid::value(format!("the rule cannot be read: {error}"));
    let mut fields = serde_json::to_value(rule).map_err(unreadable)?;
    let matches = rule.matches.iter().flatten().map(as_http_match);
    fields["matches"] = matches.collect::<Result<Value, _>>()?;
    serde_json::from_value(fields).map_err(unreadable)
}

fn as_http_match(
    grpc::GrpcRouteRulesMatches { headers, method }: &grpc::GrpcRouteRulesMatches,
) -> Result<Value, Invalid> {
    let path = match method {
        None => None,
        Some(method) => Some(path(method)?),
    };
    Ok(json!({"headers": headers, "path": path}))
}

fn path(method: &grpc::GrpcRouteRulesMatchesMethod) -> Result<Value, Invalid> {
    let grpc::GrpcRouteRulesMatchesMethod {
        method,
        service,
        r#type,
    } = method;
    let regular = *r#type == Some(grpc::GrpcRouteRulesMatchesMethodType::RegularExpression);
    let (service, method) = (written(service), written(method));
    let (sort, value) = match (service, method) {
        (None, None) => {
            let text = "a method match needs a service, a method, or both";
            return Err(Invalid::value(text.to_owned()));
        }
        (Some(service), Some(method)) if !regular => ("Exact", format!("/{service}/{method}")),
        (Some(service), None) if !regular => ("PathPrefix", format!("/{service}")),
        (service, method) => {
            let part = |part: Option<&str>| match part {
                None => ANY.to_owned(),
                Some(part) if regular => format!("(?:{part})"),
                Some(part) => regex::escape(part),
            };
            (
                "RegularExpression",
                format!("/{}/{}", part(service), part(method)),
            )
        }
    };
    Ok(json!({"type": sort, "value": value}))
}

fn written(part: &Option<String>) -> Option<&str> {
    part.as_deref().filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_a_path() {
        for (method, expected) in [
            (
                json!({"service": "a.B", "method": "C"}),
                json!({"type": "Exact", "value": "/a.B/C"}),
            ),
            (
                json!({"service": "a.B"}),
                json!({"type": "PathPrefix", "value": "/a.B"}),
            ),
            (
                json!({"method": "C"}),
                json!({"type": "RegularExpression", "value": "/[^/]+/C"}),
            ),
            (
                json!({"type": "RegularExpression", "service": "a|b"}),
                json!({"type": "RegularExpression", "value": "/(?:a|b)/[^/]+"}),
            ),
            (
                json!({"type": "RegularExpression", "service": "a.*", "method": "(Get|Set)"}),
                json!({"type": "RegularExpression", "value": "/(?:a.*)/(?:(Get|Set))"}),
            ),
        ] {
            let rule = json!({"name": "r", "matches": [{"method": method}]});
            let rule = as_http(&serde_json::from_value(rule).unwrap()).unwrap();
            let path = &serde_json::to_value(&rule).unwrap()["matches"][0]["path"];
            assert_eq!(*path, expected, "{method}");
        }
        let nothing = json!({"matches": [{"method": {}}]});
        assert!(as_http(&serde_json::from_value(nothing).unwrap()).is_err());
    }

    #[test]
    fn all_else_is_alike() {
        let rule = json!({
            "name": "r",
            "matches": [{"headers": [{"name": "a", "value": "b", "type": "Exact"}]}],
            "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "a", "value": "b"}]}}],
            "backendRefs": [{"name": "s", "port": 80, "weight": 3}],
        });
        let rule = as_http(&serde_json::from_value(rule.clone()).unwrap()).unwrap();
        let written = serde_json::to_value(&rule).unwrap();
        assert_eq!(
            written["matches"],
            json!([{"headers": [{"name": "a", "value": "b", "type": "Exact"}]}])
        );
        assert_eq!(
            written["filters"][0]["requestHeaderModifier"]["set"][0]["name"],
            json!("a")
        );
        assert_eq!(
            written["backendRefs"],
            json!([{"name": "s", "port": 80, "weight": 3}])
        );
    }
}
