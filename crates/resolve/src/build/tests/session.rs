//! What session persistence comes to.

use serde_json::json;
use weir_plan::RouteAction;

use super::{found, rules};
use crate::fixtures::{edge, resolved, route, route_conditions, service, to_service};

#[test]
fn sessions_are_kept_by_cookie_or_header() {
    let cases = [
        (
            json!({}),
            json!({"carrier": {"Cookie": {"name": "httproute-ns-r-rule-0", "permanent": false}}, "absolute_timeout": null, "idle_timeout": null}),
        ),
        (
            json!({"sessionName": "s", "type": "Cookie", "absoluteTimeout": "1h", "cookieConfig": {"lifetimeType": "Permanent"}}),
            json!({"carrier": {"Cookie": {"name": "s", "permanent": true}}, "absolute_timeout": "1h", "idle_timeout": null}),
        ),
        (
            json!({"sessionName": "X-Session", "type": "Header", "idleTimeout": "5m"}),
            json!({"carrier": {"Header": "x-session"}, "absolute_timeout": null, "idle_timeout": "5m"}),
        ),
    ];
    for (session, expected) in cases {
        let rule = json!({"sessionPersistence": session, "backendRefs": [to_service("s")]});
        let resolution = resolved(&[edge(), service("s"), route("r", json!([rule]))]);
        let RouteAction::Forward(forward) = &rules(&resolution.plan)[0].action else {
            panic!("it is not forwarded")
        };
        assert_eq!(serde_json::to_value(&forward.session).unwrap(), expected);
        assert_eq!(resolution.diagnostics, []);
    }
}

#[test]
fn what_cannot_be_kept_is_said() {
    let session = |it| json!({"sessionPersistence": it, "backendRefs": [to_service("s")]});
    for bad in [
        json!({"absoluteTimeout": "soon"}),
        json!({"absoluteTimeout": "0s"}),
        json!({"idleTimeout": "500ms"}),
        json!({"cookieConfig": {"lifetimeType": "Permanent"}}),
        json!({"sessionName": "a b"}),
    ] {
        let rule = session(bad.clone());
        let resolution = resolved(&[edge(), service("s"), route("r", json!([rule]))]);
        let conditions = route_conditions(&resolution, "HTTPRoute", "r");
        assert_eq!(conditions[0], "!Accepted(UnsupportedValue)", "{bad}");
        assert_eq!(found(&resolution), ["spec.rules[0] invalid-rule"]);
    }
}
