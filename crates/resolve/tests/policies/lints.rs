//! Lints: each finds what it is for, and nothing where that is almost so.

mod backends;
mod clients;
mod effect;
mod limits;

use weir_resolve::lint::{self, Ignored};
use weir_resolve::{Memo, resolve};

use super::{context, limit, policy, resources};

/// The lints of a world, as `object id field`.
fn lints(policies: &[String]) -> Vec<String> {
    let found = linted(policies);
    let line = |(object, id, field, _): &(String, &'static str, String, String)| {
        format!("{object} {id} {field}").trim_end().to_owned()
    };
    found.iter().map(line).collect()
}

/// The one lint of a world.
fn message(policies: &[String]) -> String {
    let mut found = linted(policies);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0).3
}

fn linted(policies: &[String]) -> Vec<(String, &'static str, String, String)> {
    let resources = resources(&policies.concat());
    let resolution = resolve(&resources, &context(), &mut Memo::default());
    let found = lint::lint(&resources, &resolution);
    found
        .into_iter()
        .map(|it| {
            let object = it.object.name.name.to_string();
            (object, it.id, it.field.to_string(), it.message)
        })
        .collect()
}

fn gateway(spec: &str) -> String {
    policy("gateway", "Gateway edge", spec)
}

fn route(spec: &str) -> String {
    policy("route", "HTTPRoute one", spec)
}

#[test]
fn ties() {
    let aged = |name: &str, created: &str| {
        limit(name, "Gateway edge", 1).replace(
            "namespace: shop}",
            &format!("namespace: shop, creationTimestamp: \"{created}\"}}"),
        )
    };
    let (old, new) = ("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z");
    for (policies, expected) in [
        (vec![aged("a", old), aged("b", new)], vec![]),
        (
            vec![aged("a", old), aged("b", old)],
            vec!["a tie-by-name spec.targetRefs[0]"],
        ),
        (
            vec![limit("a", "Gateway edge", 1), limit("b", "Gateway edge", 1)],
            vec!["a tie-by-name spec.targetRefs[0]"],
        ),
        (vec![limit("a", "Gateway edge", 1), aged("b", new)], vec![]),
    ] {
        assert_eq!(lints(&policies), expected, "{policies:?}");
    }
    let many: Vec<String> = ["a", "b", "c", "d", "e", "f"]
        .map(|name| limit(name, "Gateway edge", 1))
        .into();
    let text = message(&many);
    assert!(text.ends_with("shop/d and 2 others, which has the same target and the same age; merge them into one, or give them different targets"), "{text}");
}

#[test]
fn overrides_that_change_nothing() {
    let whole = "route override-changes-nothing spec";
    let breaker = "circuitBreaker: {maxConnections: 5, maxPendingRequests: 9}";
    for (above, below, expected) in [
        (breaker, breaker, vec![whole]),
        ("circuitBreaker: {maxConnections: 5}", breaker, vec![]),
        // Written, though it is what applies anyway: the default is nobody's promise.
        (
            "",
            breaker,
            vec!["gateway policy-without-effect spec.targetRefs[0]"],
        ),
        // Merged: as a whole, field by field, and what differs.
        (
            breaker,
            "mergeType: StrategicMerge, circuitBreaker: {maxConnections: 5}",
            vec![whole],
        ),
        (
            breaker,
            "mergeType: StrategicMerge, circuitBreaker: {maxConnections: 5, maxPendingRequests: 8}",
            vec!["route override-changes-nothing spec.circuitBreaker.maxConnections"],
        ),
        (
            breaker,
            "mergeType: JSONMerge, circuitBreaker: {maxConnections: 5, maxPendingRequests: 9}, timeout: {tcp: \
             {connectTimeout: 1s}}",
            vec!["route override-changes-nothing spec.circuitBreaker"],
        ),
        (
            breaker,
            "mergeType: JSONMerge, circuitBreaker: {maxConnections: null}",
            vec![],
        ),
        // The schema wants it there.
        (
            "loadBalancer: {type: ConsistentHash, consistentHash: {type: SourceIP}}",
            "mergeType: JSONMerge, loadBalancer: {type: ConsistentHash, consistentHash: {type: Cookie, cookie: {name: a}}}",
            vec![],
        ),
        // Rate limits are counted by the policy that they stand in.
        (
            "rateLimit: {global: {rules: [{limit: {requests: 1, unit: Second}, shared: true}]}}",
            "rateLimit: {global: {rules: [{limit: {requests: 1, unit: Second}, shared: true}]}}",
            vec![],
        ),
        (
            "rateLimit: {local: {rules: [{limit: {requests: 1, unit: Second}}]}}",
            "rateLimit: {local: {rules: [{limit: {requests: 1, unit: Second}}]}}",
            vec![whole],
        ),
    ] {
        // A listener's policy, which nothing else hides.
        let above = policy("gateway", "Gateway edge#http", above);
        assert_eq!(lints(&[above, route(below)]), expected, "{below}");
    }
    // Another policy waits for the place.
    assert_eq!(
        lints(&[
            limit("gateway", "Gateway edge", 5),
            limit("a", "HTTPRoute one", 5),
            limit("b", "HTTPRoute one", 6)
        ]),
        ["a tie-by-name spec.targetRefs[0]"]
    );
}

#[test]
fn what_all_parents_say_is_left_out_once() {
    let (same, other) = (
        "circuitBreaker: {maxConnections: 5, maxParallelRequests: 7}",
        "circuitBreaker: {maxConnections: 6, maxParallelRequests: 7}",
    );
    let child = policy(
        "child",
        "HTTPRoute web",
        "mergeType: JSONMerge, circuitBreaker: {maxConnections: 5, maxPendingRequests: 3}",
    );
    for (second, expected) in [
        (
            same,
            &["child override-changes-nothing spec.circuitBreaker.maxConnections"][..],
        ),
        (other, &[]),
    ] {
        let policies = [
            policy("first", "Gateway edge#http", same),
            policy("second", "Gateway edge#other", second),
            child.clone(),
        ];
        assert_eq!(lints(&policies), expected, "{second}");
    }
}

#[test]
fn retries_that_the_request_timeout_cuts_off() {
    let per_try = "route retries-exceed-timeout spec.retry.perRetry.timeout";
    for (spec, expected) in [
        // Three attempts of 5 s, in 15 s.
        ("retry: {perRetry: {timeout: 5s}}", vec![]),
        ("retry: {perRetry: {timeout: 5001ms}}", vec![per_try]),
        (
            "retry: {numRetries: 3, perRetry: {timeout: 1s}}, timeout: {http: {requestTimeout: 4s}}",
            vec![],
        ),
        (
            "retry: {numRetries: 4, perRetry: {timeout: 1s}}, timeout: {http: {requestTimeout: 4s}}",
            vec![per_try],
        ),
        (
            "retry: {perRetry: {timeout: 1h}}, timeout: {http: {requestTimeout: 0s}}",
            vec![],
        ),
        ("retry: {numRetries: 0, perRetry: {timeout: 1h}}", vec![]),
        ("retry: {numRetries: 5}", vec![]),
    ] {
        assert_eq!(lints(&[route(spec)]), expected, "{spec}");
    }
    assert_eq!(
        message(&[route("retry: {perRetry: {timeout: 6s}}")]),
        "3 attempts of 6s take 18s and the pauses between them, more than the request timeout of 15s, the default: the \
         last ones are cut off; make fewer or shorter attempts, or raise the request timeout"
    );
    // Each field is told to whom it belongs.
    let split = [
        gateway("timeout: {http: {requestTimeout: 2s}}"),
        route("mergeType: JSONMerge, retry: {perRetry: {timeout: 1s}}"),
    ];
    let text = message(&split);
    assert!(
        text.contains("which BackendTrafficPolicy/shop/gateway sets"),
        "{text}"
    );
}

/// A route with one rule that says something itself.
fn own(rule: &str) -> String {
    format!(
        "
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: own, namespace: shop}}
spec:
  parentRefs: [{{name: edge, sectionName: http}}]
  hostnames: [own.example.com]
  rules: [{{{rule}, backendRefs: [{{name: backend, port: 80}}]}}]
"
    )
}

#[test]
fn a_rules_own_timeouts_count() {
    let retries = policy("p", "HTTPRoute own", "retry: {perRetry: {timeout: 1s}}");
    let in_vain = "p policy-without-effect spec.targetRefs[0]";
    for (rule, expected) in [
        ("timeouts: {request: 3s}", vec![]),
        (
            "timeouts: {request: 2s}",
            vec!["p retries-exceed-timeout spec.retry.perRetry.timeout"],
        ),
        (
            "retry: {attempts: 1}, timeouts: {request: 2s, backendRequest: 1s}",
            vec![in_vain],
        ),
        (
            "retry: {attempts: 2}, timeouts: {request: 2s, backendRequest: 1s}",
            vec![in_vain, "own retries-exceed-timeout spec.rules[0].retry"],
        ),
    ] {
        assert_eq!(lints(&[own(rule), retries.clone()]), expected, "{rule}");
    }
}

#[test]
fn retries_that_multiply() {
    let many = "route retry-amplification spec.retry.numRetries";
    for (spec, expected) in [
        ("retry: {numRetries: 5}", vec![]),
        ("retry: {numRetries: 6}", vec![many]),
        (
            "retry: {numRetries: 6}, circuitBreaker: {retryBudget: {percent: {numerator: 20}}}",
            vec![],
        ),
        (
            "retry: {}, circuitBreaker: {maxParallelRetries: 1024}",
            vec![],
        ),
        (
            "retry: {}, circuitBreaker: {maxParallelRetries: 1025}",
            vec!["route retry-amplification spec.circuitBreaker.maxParallelRetries"],
        ),
        ("circuitBreaker: {maxParallelRetries: 1025}", vec![]),
    ] {
        assert_eq!(lints(&[route(spec)]), expected, "{spec}");
    }
    // Not where the rule has retries of its own, to which the policy's number is nothing.
    let of_own = policy(
        "retries",
        "HTTPRoute own",
        "retry: {numRetries: 9}, timeout: {http: {requestTimeout: 9s}}",
    );
    let found = lints(&[own("retry: {attempts: 1}"), of_own]);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn deprecated_fields() {
    let local = "local: {rules: [{limit: {requests: 1, unit: Second}}]}";
    let cases = [
        ("compression: [{type: Gzip}]".to_owned(), Some("compression")),
        ("compression: []".to_owned(), None),
        ("compressor: [{type: Gzip}]".to_owned(), None),
        (
            format!("rateLimit: {{type: Local, {local}}}"),
            Some("rateLimit.type"),
        ),
        (format!("rateLimit: {{{local}}}"), None),
        (
            "loadBalancer: {type: ConsistentHash, consistentHash: {type: Header, header: {name: a}}}".to_owned(),
            Some("loadBalancer.consistentHash.header"),
        ),
        (
            "telemetry: {tracing: {customTags: {a: {type: Literal, literal: {value: b}}}}}".to_owned(),
            Some("telemetry.tracing.customTags"),
        ),
    ];
    for (spec, expected) in cases {
        let expected: Vec<String> = expected
            .map(|field| format!("route deprecated-field spec.{field}"))
            .into_iter()
            .collect();
        assert_eq!(lints(&[route(&spec)]), expected, "{spec}");
    }
    let one_target = route("circuitBreaker: {maxConnections: 5}").replace(
        "targetRefs: [{kind: HTTPRoute, name: one}]",
        "targetRef: {kind: HTTPRoute, name: one}",
    );
    assert_eq!(
        lints(&[one_target]),
        ["route deprecated-field spec.targetRef"]
    );
}

#[test]
fn findings_are_ignored_by_annotation() {
    let ignoring = |ids: &str| {
        let annotated = format!(
            "namespace: shop, annotations: {{{}: \"{ids}\"}}}}",
            lint::IGNORE
        );
        route("compression: [{type: Gzip}], retry: {numRetries: 9}")
            .replace("namespace: shop}", &annotated)
    };
    for (ids, ignored) in [
        ("", &[][..]),
        ("deprecated-field", &["deprecated-field"]),
        (
            " deprecated-field ,retry-amplification,",
            &["deprecated-field", "retry-amplification"],
        ),
        ("Deprecated-Field", &[]),
    ] {
        let resources = resources(&ignoring(ids));
        let resolution = resolve(&resources, &context(), &mut Memo::default());
        let found = lint::lint(&resources, &resolution);
        let by = Ignored::by(&resources);
        let told: Vec<&str> = found
            .iter()
            .filter(|it| by.contains(&it.object, it.id))
            .map(|it| it.id)
            .collect();
        assert_eq!(told, ignored, "{ids}");
    }
    assert_eq!(
        lints(&[ignoring("deprecated-fields, no-effect, invalid-policy")])
            .iter()
            .filter(|it| it.contains("unknown-finding-id"))
            .count(),
        3
    );
}

#[test]
fn the_ids_of_warnings_are_sorted() {
    assert!(lint::WARNINGS.is_sorted());
}
