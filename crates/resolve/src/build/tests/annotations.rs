//! What annotations of routes come to.

use serde_json::json;
use weir_plan::{NamespacedName, RouteKind};

use super::{found, rules};
use crate::explain;
use crate::fixtures::{edge, resolved, route, service, to_service};

#[test]
fn a_route_may_be_left_out_of_the_access_log() {
    for kind in ["HTTPRoute", "GRPCRoute"] {
        for (value, unlogged, finding) in [
            (None, false, None),
            (Some("on"), false, None),
            (Some("off"), true, None),
            (Some("false"), false, Some("invalid-annotation")),
        ] {
            let mut it = route("r", json!([{"backendRefs": [to_service("s")]}]));
            it["kind"] = json!(kind);
            if let Some(value) = value {
                it["metadata"]["annotations"] = json!({"weir.dev/access-log": value});
            }
            let resolution = resolved(&[edge(), service("s"), it]);
            assert_eq!(rules(&resolution.plan)[0].unlogged, unlogged, "{value:?}");
            let place = "metadata.annotations[\"weir.dev/access-log\"]";
            let expected: Vec<_> = finding.iter().map(|id| format!("{place} {id}")).collect();
            assert_eq!(found(&resolution), expected, "{value:?}");
            let kind = match kind {
                "HTTPRoute" => RouteKind::Http,
                _ => RouteKind::Grpc,
            };
            let explained =
                explain::route(&resolution, kind, &NamespacedName::new("ns", "r"), None);
            let text = explained[0].to_string();
            assert_eq!(text.contains("not in the access log"), unlogged, "{text}");
        }
    }
}
