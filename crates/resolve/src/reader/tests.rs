//! Documents and what reading them says: each broken one with its field, id and message.

use serde_json::json;

use super::*;

/// An object of one of our kinds.
fn object(api_version: &str, kind: &str, spec: Value) -> Value {
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "it"}});
    object["spec"] = spec;
    object
}

fn policy(spec: &Value) -> Value {
    let mut whole = json!({"targetRefs": [{"kind": "HTTPRoute", "name": "route"}]});
    for (name, value) in spec.as_object().into_iter().flatten() {
        whole[name] = value.clone();
    }
    object(
        "gateway.envoyproxy.io/v1alpha1",
        "BackendTrafficPolicy",
        whole,
    )
}

fn route(spec: Value) -> Value {
    object("gateway.networking.k8s.io/v1", "HTTPRoute", spec)
}

fn spell(found: &[Diagnostic]) -> Vec<String> {
    found
        .iter()
        .map(|it| format!("{} {}: {}", it.id, it.field, it.message))
        .collect()
}

#[test]
fn says_what_is_wrong_and_where() {
    let gateway = |listeners| {
        object(
            "gateway.networking.k8s.io/v1",
            "Gateway",
            json!({"gatewayClassName": "c", "listeners": listeners}),
        )
    };
    let rule = |rule: Value| route(json!({"rules": [rule]}));
    let cases: Vec<(Value, &[&str])> = vec![
        (
            json!("text"),
            &[
                "wrong-type : not an object of Kubernetes: expected a mapping with apiVersion, kind and metadata",
            ],
        ),
        (
            json!({"kind": "Service"}),
            &["missing-field apiVersion: not an object of Kubernetes: apiVersion is missing"],
        ),
        (
            json!({"apiVersion": "v1", "kind": "Service", "spec": {}}),
            &["missing-field metadata.name: Required value: name is required"],
        ),
        (
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "Big_Name"}}),
            &[
                "invalid-name metadata.name: invalid name \"Big_Name\": it must consist of lower-case letters, digits, '-' and '.', start and end with a letter or digit, and have at most 253 characters",
            ],
        ),
        (
            object("gateway.networking.k8s.io/v1", "HttpRoute", json!({})),
            &[
                "unknown-kind kind: unknown kind \"HttpRoute\" in gateway.networking.k8s.io: did you mean \"HTTPRoute\"?",
            ],
        ),
        (
            object("gateway.networking.k8s.io/v7", "HTTPRoute", json!({})),
            &[
                "unknown-version apiVersion: unknown version \"v7\" of gateway.networking.k8s.io: write gateway.networking.k8s.io/v1",
            ],
        ),
        (
            object("v7", "Service", json!({})),
            &[
                "unknown-version apiVersion: unknown version \"v7\": write v1",
                "wrong-type : invalid value: string \"v7\", expected v1",
            ],
        ),
        (
            route(json!({"rule": []})),
            &["unknown-field spec.rule: unknown field \"rule\": did you mean \"rules\"?"],
        ),
        (
            rule(json!({"backendRefs": [{"name": "s", "port": "80"}]})),
            &[
                "wrong-type spec.rules[0].backendRefs[0].port: invalid type: string \"80\", expected i32",
            ],
        ),
        (
            rule(json!({"matches": [{"path": {"type": "Prefix", "value": "/"}}]})),
            &[
                "wrong-type spec.rules[0].matches[0].path.type: unknown variant `Prefix`, expected one of `Exact`, `PathPrefix`, `RegularExpression`",
            ],
        ),
        (
            route(
                json!({"parentRefs": {"name": "edge"}, "hostnames": "a.b", "rules": [{"backendRefs": [{"port": 80}, {"nam": "s"}]}]}),
            ),
            &[
                "missing-field spec.rules[0].backendRefs[0].name: Required value",
                "missing-field spec.rules[0].backendRefs[1].name: Required value",
                "unknown-field spec.rules[0].backendRefs[1].nam: unknown field \"nam\": did you mean \"name\"?",
                "wrong-type spec.hostnames: invalid type: string \"a.b\", expected a sequence",
                "wrong-type spec.parentRefs: invalid type: map, expected a sequence",
            ],
        ),
        (
            rule(json!({"backendRefs": [{"name": "s", "port": 70000, "weight": -1}]})),
            &[
                "not-admitted spec.rules[0].backendRefs[0].port: Invalid value: 70000: spec.rules[0].backendRefs[0].port in body should be less than or equal to 65535",
                "not-admitted spec.rules[0].backendRefs[0].weight: Invalid value: -1: spec.rules[0].backendRefs[0].weight in body should be greater than or equal to 0",
            ],
        ),
        (
            rule(json!({"backendRefs": [{"name": "s"}]})),
            &["not-admitted spec.rules[0].backendRefs[0]: Must have port for Service reference"],
        ),
        (
            rule(json!({"matches": [{"path": {"value": "no-slash"}}]})),
            &[
                "not-admitted spec.rules[0].matches[0].path: value must be an absolute path and start with '/' when type one of ['Exact', 'PathPrefix']",
            ],
        ),
        (
            gateway(
                json!([{"name": "a", "port": 80, "protocol": "HTTP"}, {"name": "a", "port": 0, "protocol": "HTTP"}]),
            ),
            &[
                "not-admitted spec.listeners[1]: Listener name must be unique within the Gateway",
                "not-admitted spec.listeners[1].port: Invalid value: 0: spec.listeners[1].port in body should be greater than or equal to 1",
            ],
        ),
        (
            policy(&json!({"retry": {"perRetry": {"backoff": {"baseInterval": "1s"}}}})),
            &[
                "unknown-field spec.retry.perRetry.backoff: unknown field \"backoff\": did you mean \"backOff\"?",
            ],
        ),
        (
            policy(
                &json!({"retry": {"numRetries": "2"}, "timeout": {"http": {"requestTimeout": "5.4s"}}}),
            ),
            &[
                "not-admitted spec.timeout.http.requestTimeout: Invalid value: \"5.4s\": spec.timeout.http.requestTimeout in body should match '^([0-9]{1,5}(h|m|s|ms)){1,4}$'",
                "wrong-type spec.retry.numRetries: Invalid value: \"string\": spec.retry.numRetries in body must be of type integer: \"string\"",
            ],
        ),
        (
            policy(&json!({"rateLimit": {"local": {"requests": 10}}})),
            &["missing-field spec.rateLimit.local.rules[0].limit.unit: Required value"],
        ),
        (
            policy(
                &json!({"circuitBreaker": {"retryBudget": {"percent": {"numerator": 1}, "minRetryConcurrency": 3_000_000_000_i64}}}),
            ),
            &[
                "not-admitted spec.circuitBreaker.retryBudget.minRetryConcurrency: Invalid value: 3000000000: Checked value \
                 must be of type integer with format int32 in spec.circuitBreaker.retryBudget.minRetryConcurrency",
            ],
        ),
        (
            policy(&json!({"retry": {"numRetries": 1.5}})),
            &[
                "wrong-type spec.retry.numRetries: Invalid value: \"number\": spec.retry.numRetries in body must be of type \
                 integer: \"number\"",
            ],
        ),
        (
            object(
                "gateway.envoyproxy.io/v1alpha1",
                "BackendTrafficPolicy",
                json!({}),
            ),
            &["not-admitted spec: either targetRef or targetRefs must be used"],
        ),
        (
            object(
                "gateway.envoyproxy.io/v1alpha1",
                "Backend",
                json!({"endpoints": [{"ip": {"address": "1.2.3", "port": 1}}]}),
            ),
            &[
                "not-admitted spec.endpoints[0].ip.address: Invalid value: \"1.2.3\": spec.endpoints[0].ip.address in body should match '^((25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)\\.){3}(25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)$|^(([0-9a-fA-F]{1,4}:){1,7}[0-9a-fA-F]{1,4}|::|(([0-9a-fA-F]{1,4}:){0,5})?(:[0-9a-fA-F]{1,4}){1,2})$'",
            ],
        ),
    ];
    for (document, expected) in cases {
        let shown = document.to_string();
        let found = spell(&read(document, Admission::Whole).expect_err(&shown));
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        let mut found: Vec<_> = found.iter().map(String::as_str).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{shown}");
    }
}

#[test]
fn warns_of_what_changes_nothing() {
    let mut annotated = route(json!({}));
    annotated["metadata"]["anotations"] = json!({});
    let cases = [
        (
            annotated,
            true,
            &[
                "unknown-field metadata.anotations: unknown field \"anotations\": did you mean \"annotations\"?",
            ][..],
        ),
        (
            object("gateway.networking.x-k8s.io/v1alpha1", "XMesh", json!({})),
            false,
            &["not-read kind: XMesh is not read by this version: nothing in it takes effect"],
        ),
        (
            object("gateway.networking.k8s.io/v1", "Sprocket", json!({})),
            false,
            &[
                "unknown-kind kind: unknown kind \"Sprocket\" in gateway.networking.k8s.io: nothing in it takes effect",
            ],
        ),
        (
            object("apps/v1", "Deployment", json!({"any": "thing"})),
            false,
            &[],
        ),
        (
            object(
                "gateway.envoyproxy.io/v1alpha1",
                "SecurityPolicy",
                json!({"any": "thing"}),
            ),
            true,
            &[],
        ),
    ];
    for (document, concerns_us, warnings) in cases {
        let (object, found) = read(document, Admission::Whole).unwrap();
        assert_eq!(object.is_some(), concerns_us, "{found:?}");
        assert_eq!(spell(&found), warnings);
    }
}

#[test]
fn files_are_read_as_people_write_them() {
    // No namespace, a status, nulls, a short local limit, no group of the target.
    let mut document = policy(&json!({
        "rateLimit": {"local": {"requests": 10, "unit": "Second"}},
        "retry": null,
        "timeout": {"http": null},
    }));
    document["status"] = json!({"whatever": 1});
    let (object, found) = read(document, Admission::Whole).unwrap();
    assert_eq!(found, []);
    let Some(Object::BackendTrafficPolicy(policy)) = object else {
        panic!("{object:?}")
    };
    assert_eq!(
        Object::BackendTrafficPolicy(Arc::clone(&policy))
            .object_ref()
            .to_string(),
        "BackendTrafficPolicy default/it"
    );
    assert_eq!(
        policy.spec,
        json!({
            "targetRefs": [{"kind": "HTTPRoute", "name": "route"}],
            "rateLimit": {"local": {"rules": [{"limit": {"requests": 10, "unit": "Second"}}]}},
            "retry": null,
            "timeout": {"http": null},
        })
    );
}

#[test]
fn kinds_without_a_namespace_have_none() {
    for (api_version, kind) in [
        ("v1", "Namespace"),
        ("gateway.networking.k8s.io/v1beta1", "GatewayClass"),
    ] {
        let mut document = object(api_version, kind, json!({"controllerName": "a/b"}));
        if kind == "Namespace" {
            document["spec"] = json!({});
        }
        document["metadata"]["namespace"] = json!("elsewhere");
        let (object, _) = read(document, Admission::Whole).unwrap();
        assert_eq!(
            object.unwrap().object_ref().to_string(),
            format!("{kind} it")
        );
    }
}

#[test]
fn without_admission_a_policy_is_read_as_go_reads_files() {
    let document = policy(
        &json!({"retry": {"perRetry": {"backoff": {"baseInterval": "5.4s"}}}, "unheard": 1}),
    );
    let (object, _) = read(document, Admission::None).unwrap();
    let Some(Object::BackendTrafficPolicy(policy)) = object else {
        panic!("{object:?}")
    };
    assert_eq!(
        policy.spec["retry"]["perRetry"]["backOff"]["baseInterval"],
        "5.4s"
    );
}

/// As JSON has it, where all numbers are of one kind.
#[test]
fn numbers_without_a_fraction_are_whole() {
    for (number, expected) in [
        (json!(5.0), json!(5)),
        (json!(1e3), json!(1000)),
        (json!(-0.0), json!(0)),
    ] {
        let document = policy(&json!({"retry": {"numRetries": number}}));
        let (object, _) = Object::read(document).unwrap();
        let Some(Object::BackendTrafficPolicy(read)) = object else {
            panic!("{number} is not read")
        };
        assert_eq!(read.spec["retry"]["numRetries"], expected);
    }
}

#[test]
fn a_policy_has_so_many_values_at_most() {
    let policy = |values: usize| {
        let rules = vec![json!(1); values];
        let document = policy(
            &json!({"loadBalancer": {"type": "DynamicModule", "dynamicModule": {
            "name": "a", "lbPolicyName": "b", "config": rules}}}),
        );
        Object::read(document)
    };
    assert!(policy(49_000).is_ok());
    let refused = policy(50_000).unwrap_err();
    assert_eq!((refused.len(), refused[0].id), (1, "too-large"));
}
