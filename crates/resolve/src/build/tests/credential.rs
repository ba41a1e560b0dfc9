//! HTTPRouteFilters that inject credentials or match cookies, and filters of backendRefs.

use serde_json::{Value, json};
use weir_plan::RouteAction;

use super::route_filter::{filter, refer, refused, secret};
use super::rules;
use crate::fixtures::{edge, resolved, route, route_conditions, service, to_service};

#[test]
fn a_credential_is_in_the_plan_and_shown_nowhere() {
    let inject = |it: Value| json!({"credentialInjection": it});
    let of = |name: &str| json!({"valueRef": {"name": name}});
    let plain = inject(json!({"credential": of("good")}));
    let full = inject(json!({"header": "X-Key", "overwrite": true, "credential": of("good")}));
    let resolution = |spec: &Value, credential: &str| {
        let second = json!({"name": "s", "port": 80, "filters": [refer("f")]});
        let documents = [
            edge(),
            service("s"),
            secret("good", credential),
            filter("f", spec.clone()),
            route(
                "r",
                json!([
                    {"filters": [refer("f")], "backendRefs": [to_service("s")]},
                    {"name": "split", "matches": [{"path": {"value": "/split"}}], "backendRefs": [to_service("s"), second]},
                ]),
            ),
        ];
        resolved(&documents)
    };
    for (spec, header, overwrite) in [(plain, "authorization", false), (full, "x-key", true)] {
        let before = resolution(&spec, "Bearer hunter2");
        assert_eq!(before.diagnostics, []);
        let rules = rules(&before.plan);
        let RouteAction::Forward(split) = &rules[0].action else {
            panic!("it is not forwarded")
        };
        let RouteAction::Forward(whole) = &rules[1].action else {
            panic!("it is not forwarded")
        };
        assert!(split.credential.is_none() && split.targets[0].credential.is_none());
        for credential in [&whole.credential, &split.targets[1].credential] {
            let credential = credential.as_ref().unwrap();
            let written = serde_json::to_value(credential).unwrap();
            assert_eq!(
                written,
                json!({"header": header, "overwrite": overwrite, "value": "[redacted]"})
            );
            assert_eq!(credential.value.reveal(), "Bearer hunter2");
        }
        let shown = format!("{before:?}{}", serde_json::to_string(&before.plan).unwrap());
        assert!(!shown.contains("hunter2"));
        // Nevertheless it is seen that it is another.
        let after = resolution(&spec, "Bearer hunter3");
        assert_ne!(before.plan, after.plan);
    }
}

#[test]
fn matches_of_a_filter_multiply_those_of_the_rule() {
    let cookie = |name: &str, value: &str| json!({"name": name, "value": value});
    let spec = json!({"matches": [
        {"cookies": [cookie("a", "1"), {"type": "RegularExpression", "name": "b", "value": "x+"}]},
        {"cookies": [cookie("c", "2")]},
    ]});
    let matches = json!([{"path": {"value": "/one"}}, {"method": "PUT"}]);
    let rule =
        json!({"matches": matches, "filters": [refer("f")], "backendRefs": [to_service("s")]});
    let plain = json!({"matches": [{"path": {"value": "/one"}}], "backendRefs": [to_service("s")]});
    let documents = [
        edge(),
        service("s"),
        filter("f", spec.clone()),
        filter("g", spec),
        route("r", json!([plain, rule])),
    ];
    let resolution = resolved(&documents);
    assert_eq!(resolution.diagnostics, []);
    let host = &resolution.plan.listeners[0].hosts[0];
    let short = host.routes.iter().map(|it| {
        let matches = serde_json::to_value(&it.matches).unwrap();
        let cookies = matches["cookies"].as_array().cloned().unwrap_or_default();
        let names = cookies.iter().map(|it| it["name"].as_str().unwrap());
        format!(
            "{} {}",
            matches["path"]["Prefix"].as_str().unwrap(),
            names.collect::<String>()
        )
    });
    // More cookies come first, and any before none.
    assert_eq!(
        short.collect::<Vec<_>>(),
        ["/one ab", "/one c", "/one ", " ab", " c"]
    );
    refused(
        json!({"matches": [{"cookies": [cookie("a", "1")]}]}),
        json!([refer("f"), refer("f")]),
        "UnsupportedValue",
        "only one HTTPRouteFilter with matches is supported per HTTPRouteRule",
    );
}

#[test]
fn a_backend_ref_takes_a_filter_for_its_credential_only() {
    let rewrite = json!({"urlRewrite": {"hostname": {"type": "Backend"}}});
    for (name, expected) in [
        ("rewrite", ["!Accepted(UnsupportedValue)", "ResolvedRefs"]),
        (
            "gone",
            [
                "!Accepted(UnsupportedValue)",
                "!ResolvedRefs(BackendNotFound)",
            ],
        ),
    ] {
        let mut backend = to_service("s");
        backend["filters"] = json!([refer(name)]);
        let documents = [
            edge(),
            service("s"),
            filter("rewrite", rewrite.clone()),
            route("r", json!([{"backendRefs": [backend]}])),
        ];
        let resolution = resolved(&documents);
        assert_eq!(route_conditions(&resolution, "HTTPRoute", "r"), expected);
    }
}
