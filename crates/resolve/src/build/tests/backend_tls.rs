//! BackendTLSPolicies: which of them a backend has, what clusters come to under it, and what the policies are told.

use serde_json::{Value, json};
use weir_plan::{NamespacedName, SubjectName, Trust, UpstreamServerName};

use crate::Resolution;
use crate::fixtures::{
    backend, context, edge, insert, resolved, resources, route, service, short, to_backend,
    to_service,
};
use crate::{Memo, resolve};

fn authority(name: &str) -> Value {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    json!({"kind": "ConfigMap", "metadata": {"name": name}, "data": {"ca.crt": certificate}})
}

/// A policy for these targets, created in this year.
fn policy(name: &str, year: u16, targets: &Value, validation: &Value) -> Value {
    json!({"kind": "BackendTLSPolicy",
        "metadata": {"name": name, "creationTimestamp": format!("{year}-01-01T00:00:00Z"), "generation": 3},
        "spec": {"targetRefs": targets, "validation": validation}})
}

fn of_service(section: Option<&str>) -> Value {
    let mut target = json!({"group": "", "kind": "Service", "name": "s"});
    if let Some(section) = section {
        target["sectionName"] = json!(section);
    }
    target
}

fn system(host: &str) -> Value {
    json!({"hostname": host, "wellKnownCACertificates": "System"})
}

/// The server names that clusters ask for; `-` for clear text.
fn spoken(resolution: &Resolution) -> Vec<String> {
    let clusters = resolution.plan.clusters.values();
    clusters
        .map(|it| {
            it.tls
                .as_ref()
                .map_or("-".to_owned(), |it| match &it.server_name {
                    UpstreamServerName::Fixed(name) => name.to_string(),
                    UpstreamServerName::OfEndpoint => "each".to_owned(),
                })
        })
        .collect()
}

/// What a policy is told, in short.
fn told(resolution: &Resolution, name: &str) -> Option<String> {
    let all = &resolution.statuses.backend_tls_policies;
    let ancestors = all.get(&NamespacedName::new("ns", name))?;
    assert_eq!(ancestors.len(), 1);
    assert_eq!(ancestors[0].ancestor_ref.name, "edge");
    assert!(
        ancestors[0]
            .conditions
            .iter()
            .all(|it| it.observed_generation == Some(3))
    );
    Some(short(&ancestors[0].conditions).join(" "))
}

fn named_port() -> Value {
    let mut it = service("s");
    it["spec"]["ports"][0]["name"] = json!("web");
    it
}

const FINE: &str = "Accepted ResolvedRefs";

#[test]
fn a_port_counts_before_the_whole_and_age_before_names() {
    let whole = || json!([of_service(None)]);
    let port = |name: &str| json!([of_service(Some(name))]);
    // (policies, the server name that is asked for, what each policy is told)
    let taken = "!Accepted(Conflicted) ResolvedRefs";
    let cases = [
        (
            vec![policy("a", 2024, &whole(), &system("a.org"))],
            "a.org",
            vec![FINE],
        ),
        (
            vec![
                policy("a", 2025, &whole(), &system("a.org")),
                policy("b", 2024, &whole(), &system("b.org")),
            ],
            "b.org",
            vec![taken, FINE],
        ),
        (
            vec![
                policy("a", 2024, &whole(), &system("a.org")),
                policy("b", 2024, &whole(), &system("b.org")),
            ],
            "a.org",
            vec![FINE, taken],
        ),
        (
            vec![
                policy("a", 2024, &whole(), &system("a.org")),
                policy("b", 2025, &port("web"), &system("b.org")),
            ],
            "b.org",
            vec![FINE, FINE],
        ),
        (
            vec![policy("a", 2024, &port("other"), &system("a.org"))],
            "-",
            vec![FINE],
        ),
        (
            vec![policy(
                "a",
                2024,
                &json!([{"group": "", "kind": "Service", "name": "t"}]),
                &system("a.org"),
            )],
            "-",
            vec![],
        ),
    ];
    for (policies, expected, statuses) in cases {
        let mut documents = vec![
            edge(),
            named_port(),
            route("r", json!([{"backendRefs": [to_service("s")]}])),
        ];
        documents.extend(policies);
        let resolution = resolved(&documents);
        assert_eq!(spoken(&resolution), [expected], "{documents:?}");
        let now: Vec<_> = ["a", "b"]
            .iter()
            .filter_map(|name| told(&resolution, name))
            .collect();
        assert_eq!(now, statuses, "{documents:?}");
    }
}

#[test]
fn what_validation_says_is_what_is_enforced_or_nothing_is_sent() {
    let ca = |name: &str| json!([{"group": "", "kind": "ConfigMap", "name": name}]);
    let cases = [
        (
            json!({"hostname": "A.org", "caCertificateRefs": ca("ca")}),
            Ok(1),
            FINE,
        ),
        (system("a.org"), Ok(0), FINE),
        (
            json!({"hostname": "a.org", "caCertificateRefs": [ca("ca")[0], ca("absent")[0]]}),
            Ok(1),
            "Accepted !ResolvedRefs(InvalidCACertificateRef)",
        ),
        (
            json!({"hostname": "a.org", "caCertificateRefs": ca("absent")}),
            Err("configmap absent not found in namespace ns"),
            "!Accepted(NoValidCACertificate) !ResolvedRefs(InvalidCACertificateRef)",
        ),
        (
            json!({"hostname": "a.org", "caCertificateRefs": [{"group": "", "kind": "Secret", "name": "ca"}]}),
            Ok(1),
            FINE,
        ),
        (
            json!({"hostname": "a.org", "caCertificateRefs": [{"group": "invalid.io", "kind": "InvalidKind", "name": "ca"}]}),
            Err("only ConfigMaps and Secrets are read"),
            "!Accepted(NoValidCACertificate) !ResolvedRefs(InvalidKind)",
        ),
        (
            json!({"hostname": "a.org", "wellKnownCACertificates": "example.com/other"}),
            Err("is unknown"),
            "!Accepted(Invalid) ResolvedRefs",
        ),
    ];
    let mut secret = authority("ca");
    secret["kind"] = json!("Secret");
    secret["stringData"] = secret["data"].take();
    for (validation, expected, status) in cases {
        let targets = json!([{"group": "gateway.envoyproxy.io", "kind": "Backend", "name": "be"}]);
        let documents = [
            edge(),
            backend("be", json!([{"ip": {"address": "10.0.0.1", "port": 1}}])),
            route("r", json!([{"backendRefs": [to_backend("be")]}])),
            policy("a", 2024, &targets, &validation),
            authority("ca"),
            secret.clone(),
        ];
        let resolution = resolved(&documents);
        assert_eq!(told(&resolution, "a").unwrap(), status, "{validation}");
        let tls = resolution
            .plan
            .clusters
            .values()
            .next()
            .map(|it| it.tls.clone());
        match expected {
            Ok(count) => {
                let tls = tls.unwrap().unwrap();
                assert_eq!(tls.server_name, UpstreamServerName::Fixed("a.org".into()));
                assert_eq!(tls.names, [SubjectName::Hostname("a.org".into())]);
                let trusted = match &tls.trust {
                    Trust::Authorities(some) => some.len(),
                    Trust::System => 0,
                    Trust::Anybody => panic!("{validation}"),
                };
                assert_eq!(trusted, count, "{validation}");
            }
            Err(why) => {
                assert!(tls.is_none(), "{validation}");
                let plan = serde_json::to_string(&resolution.plan).unwrap();
                assert!(plan.contains(why) && plan.contains("500"), "{plan}");
            }
        }
    }
}

#[test]
fn backends_with_and_without_tls_have_clusters_of_their_own() {
    let mut other = to_backend("be");
    other["weight"] = json!(2);
    let documents = [
        edge(),
        service("s"),
        backend("be", json!([{"ip": {"address": "10.0.0.1", "port": 1}}])),
        route("r", json!([{"backendRefs": [to_service("s"), other]}])),
        policy("a", 2024, &json!([of_service(None)]), &system("a.org")),
    ];
    assert_eq!(spoken(&resolved(&documents)), ["a.org", "-"]);
}

#[test]
fn an_edit_of_a_policy_or_an_authority_reaches_the_routes_and_no_others() {
    let validation = json!({"hostname": "a.org", "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "ca"}]});
    let mut world = resources(&[
        edge(),
        service("s"),
        route("r", json!([{"backendRefs": [to_service("s")]}])),
    ]);
    let mut memo = Memo::default();
    let mut plans = Vec::new();
    for edit in [
        None,
        Some(policy("a", 2024, &json!([of_service(None)]), &validation)),
        Some(authority("ca")),
        Some(authority("ca")),
        Some(policy(
            "a",
            2024,
            &json!([of_service(None)]),
            &system("b.org"),
        )),
    ] {
        if let Some(edit) = edit {
            insert(&mut world, &edit);
        }
        let kept = resolve(&world, &context(), &mut memo);
        let fresh = resolve(&world, &context(), &mut Memo::default());
        assert!(kept.plan == fresh.plan && kept.statuses == fresh.statuses);
        assert!(
            plans.last() != Some(&kept.plan),
            "each edit changes the plan"
        );
        plans.push(kept.plan);
    }
    world.backend_tls_policies.clear();
    assert!(resolve(&world, &context(), &mut memo).plan == plans[0]);
}
