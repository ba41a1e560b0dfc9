//! Findings that an object ignores, because somebody knows of them.

use std::collections::BTreeMap;

use weir_plan::NamespacedName;

use crate::api::{GATEWAY_GROUP, ObjectMeta, POLICY_GROUP};
use crate::diagnostics::{Diagnostics, FieldPath, ObjectRef};
use crate::object::DISCOVERY_GROUP;
use crate::resources::{Objects, Resources};

/// The annotation by which an object ignores warnings about itself: their ids, separated by commas. Errors cannot be
/// ignored.
pub const IGNORE: &str = "weir.dev/ignore-findings";

/// The ids of all warnings about objects that are read, sorted.
pub const WARNINGS: [&str; 34] = [
    "certificate-expired",
    "certificate-expires-soon",
    "certificate-for-other-names",
    "certificate-not-yet-valid",
    "deprecated-field",
    "everybody-is-trusted",
    "gateway-class-not-found",
    "insecure-client-validation",
    "invalid-annotation",
    "invalid-target",
    "kind-not-served",
    "limit-unreachable",
    "nameless-endpoint",
    "no-backends",
    "no-reference-grant",
    "not-enforced",
    "nothing-passes",
    "override-changes-nothing",
    "policy-not-enforced",
    "policy-without-effect",
    "port-setting-shared",
    "port-setting-taken",
    "protection-not-enforced",
    "retries-exceed-timeout",
    "retry-amplification",
    "selector-matches-nothing",
    "setting-ignored",
    "setting-not-enforced",
    "setting-not-for-kind",
    "target-not-found",
    "target-taken",
    "tie-by-name",
    "unknown-field",
    "unknown-finding-id",
];

/// Which findings objects ignore.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ignored<'a>(BTreeMap<ObjectRef, &'a str>);

impl<'a> Ignored<'a> {
    /// What the objects among `resources` ignore.
    pub fn by(resources: &'a Resources) -> Self {
        let Resources {
            gateway_classes,
            gateways,
            listener_sets,
            http_routes,
            grpc_routes,
            tcp_routes,
            tls_routes,
            udp_routes,
            reference_grants,
            namespaces,
            services,
            endpoint_slices,
            config_maps,
            secrets,
            backends,
            policies,
            backend_tls_policies,
            client_policies,
            envoy_proxies,
            http_route_filters,
            other_policies,
        } = resources;
        let mut all = BTreeMap::new();
        let (gateway, policy) = (GATEWAY_GROUP, POLICY_GROUP);
        add(&mut all, gateway, "GatewayClass", gateway_classes, |it| {
            &it.metadata
        });
        add(&mut all, gateway, "Gateway", gateways, |it| &it.metadata);
        add(&mut all, gateway, "ListenerSet", listener_sets, |it| {
            &it.metadata
        });
        add(&mut all, gateway, "HTTPRoute", http_routes, |it| {
            &it.metadata
        });
        add(&mut all, gateway, "GRPCRoute", grpc_routes, |it| {
            &it.metadata
        });
        add(&mut all, gateway, "TCPRoute", tcp_routes, |it| &it.metadata);
        add(&mut all, gateway, "TLSRoute", tls_routes, |it| &it.metadata);
        add(&mut all, gateway, "UDPRoute", udp_routes, |it| &it.metadata);
        add(
            &mut all,
            gateway,
            "ReferenceGrant",
            reference_grants,
            |it| &it.metadata,
        );
        add(&mut all, "", "Namespace", namespaces, |it| &it.metadata);
        add(&mut all, "", "Service", services, |it| &it.metadata);
        add(
            &mut all,
            DISCOVERY_GROUP,
            "EndpointSlice",
            endpoint_slices,
            |it| &it.metadata,
        );
        add(&mut all, "", "ConfigMap", config_maps, |it| &it.metadata);
        add(&mut all, "", "Secret", secrets, |it| &it.metadata);
        add(&mut all, policy, "Backend", backends, |it| &it.metadata);
        add(&mut all, policy, "BackendTrafficPolicy", policies, |it| {
            &it.metadata
        });
        add(
            &mut all,
            gateway,
            "BackendTLSPolicy",
            backend_tls_policies,
            |it| &it.metadata,
        );
        add(&mut all, policy, "EnvoyProxy", envoy_proxies, |it| {
            &it.metadata
        });
        add(
            &mut all,
            policy,
            "HTTPRouteFilter",
            http_route_filters,
            |it| &it.metadata,
        );
        add(
            &mut all,
            policy,
            "ClientTrafficPolicy",
            client_policies,
            |it| &it.metadata,
        );
        for (object, policy) in other_policies {
            if let Some(text) = policy.annotations.get(IGNORE) {
                all.insert(object.clone(), text.as_str());
            }
        }
        Self(all)
    }

    /// Whether an object ignores warnings of this sort about itself.
    pub fn contains(&self, object: &ObjectRef, id: &str) -> bool {
        self.0
            .get(object)
            .is_some_and(|text| ids(text).any(|ignored| ignored == id))
    }
}

fn add<'a, T>(
    all: &mut BTreeMap<ObjectRef, &'a str>,
    group: &str,
    kind: &str,
    objects: &'a Objects<T>,
    metadata: fn(&T) -> &ObjectMeta,
) {
    let text = |object: &'a T| metadata(object).annotations.as_ref()?.get(IGNORE);
    let ignoring = objects
        .iter()
        .filter_map(|(name, object)| Some((name, text(object)?)));
    for (name, text) in ignoring {
        let object = ObjectRef {
            group: group.to_owned(),
            kind: kind.to_owned(),
            name: NamespacedName::clone(name),
        };
        all.insert(object, text);
    }
}

fn ids(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|id| !id.is_empty())
}

/// Says which ids to be ignored there are not.
pub(super) fn check(resources: &Resources, found: &mut Diagnostics) {
    let Ignored(all) = Ignored::by(resources);
    for (object, text) in all {
        for id in ids(text).filter(|id| WARNINGS.binary_search(id).is_err()) {
            let near = crate::suggest(id, WARNINGS)
                .map_or_else(String::new, |near| format!("; did you mean {near}?"));
            let message = format!("there is no warning {id:?} that could be ignored{near}");
            let field = FieldPath::new("metadata.annotations").child(IGNORE);
            found.warning(&object, field, "unknown-finding-id", message);
        }
    }
}
