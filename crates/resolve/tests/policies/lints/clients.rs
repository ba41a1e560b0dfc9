//! ClientTrafficPolicies that do nothing, or trust everybody.

use super::{lints, policy};

fn client(name: &str, target: &str, spec: &str) -> String {
    policy(name, target, spec).replace("BackendTrafficPolicy", "ClientTrafficPolicy")
}

fn trusted(networks: &str) -> Vec<String> {
    let spec = format!("clientIPDetection: {{xForwardedFor: {{trustedCIDRs: [{networks}]}}}}");
    vec![client("c", "Gateway edge", &spec)]
}

#[test]
fn policies_for_clients() {
    let whole = client("whole", "Gateway edge", "scheme: MatchBackend");
    let sections = ["http", "other"]
        .map(|it| client(it, &format!("Gateway edge#{it}"), "scheme: MatchBackend"));
    let at = "clientIPDetection.xForwardedFor.trustedCIDRs";
    for (policies, expected) in [
        (vec![whole.clone()], vec![]),
        (vec![whole.clone(), sections[0].clone()], vec![]),
        (
            [&[whole.clone()][..], &sections].concat(),
            vec!["whole policy-without-effect spec.targetRefs[0]".to_owned()],
        ),
        (
            vec![client("c", "Gateway edge", "targetSelectors: []")],
            vec!["c policy-without-effect spec.targetRefs[0]".to_owned()],
        ),
        // What it hides does not count, so it has an effect.
        (
            vec![
                whole.clone(),
                client("c", "Gateway edge#http", "scheme: null"),
            ],
            vec![],
        ),
        (
            vec![
                client("a", "Gateway edge", "http1: {}"),
                client("b", "Gateway edge", "http1: {}"),
            ],
            vec!["a tie-by-name spec.targetRefs[0]".to_owned()],
        ),
        (trusted("10.0.0.0/8, 'fd00::/8'"), vec![]),
        (
            trusted("10.0.0.0/8, 0.0.0.0/0, '::/0'"),
            [1, 2]
                .map(|it| format!("c everybody-is-trusted spec.{at}[{it}]"))
                .into(),
        ),
    ] {
        assert_eq!(lints(&policies), expected, "{policies:?}");
    }
}
