//! Explanations and differences of what listeners are told of their clients, and what is not enforced.

use weir_plan::{NamespacedName, Support};
use weir_resolve::diff::diff;
use weir_resolve::explain::clients;
use weir_resolve::{Memo, Resolution};

use super::{NEW, OLD, aged, client, context, findings, resolved, resources, told};

fn listener(resolution: &Resolution, name: &str) -> String {
    clients::listeners(resolution, |it| &*it.listener == name)[0].to_string()
}

fn policy(resolution: &Resolution, name: &str) -> String {
    let name = NamespacedName::new("shop", name);
    clients::policy(resolution, &name).unwrap().to_string()
}

fn three() -> Resolution {
    resolved(
        &[
            aged(NEW, &client("young", "Gateway edge", "http3: {}")),
            aged(OLD, &client("edge", "Gateway edge", "scheme: Preserve")),
            client(
                "one",
                "Gateway edge#http",
                "clientIPDetection: {xForwardedFor: {numTrustedHops: 1}}, tcpKeepalive: {}, scheme: MatchBackend",
            ),
        ]
        .concat(),
    )
}

#[test]
fn a_listener_is_explained_with_the_policy_of_each_setting() {
    let expected = format!(
        "listener shop/edge/http
  policy ClientTrafficPolicy/shop/one
  clientIPDetection
    xForwardedFor
      numTrustedHops: 1                        from ClientTrafficPolicy/shop/one
  connection
    bufferLimit: 32768                         default
  headers
    enableEnvoyHeaders: false                  default
    requestID: Generate                        default
    withUnderscoresAction: RejectRequest       default
    xForwardedClientCert
      mode: Sanitize                           default
  http1
    enableTrailers: true                       default
  http2
    initialConnectionWindowSize: 1Mi           default
    initialStreamWindowSize: 64Ki              default
    maxConcurrentStreams: 100                  default
  path
    disableMergeSlashes: false                 default
    escapedSlashesAction: UnescapeAndRedirect  default
  scheme: MatchBackend                         from ClientTrafficPolicy/shop/one
  tcpKeepalive: {{}}                             from ClientTrafficPolicy/shop/one
  timeout
    http
      idleTimeout: 1h                          default
    tcp
      connectionInspectionTimeout: 15s         default
  not in force: ClientTrafficPolicy/shop/edge: replaced by a more specific policy: ClientTrafficPolicy/shop/one
  not in force: ClientTrafficPolicy/shop/young: older policy won: ClientTrafficPolicy/shop/edge has the same target since {OLD}, this one since {NEW}
"
    );
    assert_eq!(listener(&three(), "http"), expected);
    let nobody = listener(&resolved(""), "http");
    let expected = "listener shop/edge/http\n  no policy for its clients\n  nobody sets anything: defaults apply\n";
    assert!(nobody.starts_with(expected), "{nobody}");
}

#[test]
fn a_policy_is_explained_with_what_it_does_on_each_listener() {
    assert_eq!(
        policy(&three(), "edge"),
        "ClientTrafficPolicy/shop/edge
  targets
    spec.targetRefs[0]: Gateway shop/edge
  affects 1 of 2 listeners
  not in force: replaced by a more specific policy: ClientTrafficPolicy/shop/one
    shop/edge/http
  in force as a whole
    shop/edge/other
  status
    Gateway shop/edge
      Overridden True (Overridden): There are existing ClientTrafficPolicies that are overriding these sections [http]
      Accepted True (Accepted): Policy has been accepted.
"
    );
    let nowhere = policy(&resolved(&client("c", "Gateway gone", "http3: {}")), "c");
    let nothing = "  affects nothing: no listener is under it\n";
    assert!(nowhere.ends_with(nothing), "{nowhere}");
}

#[test]
fn settings_of_a_port_are_explained_where_they_hold() {
    let gateways = ["a", "b"].map(|name| {
        format!(
            "
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: shop}}
spec:
  gatewayClassName: weir
  listeners: [{{name: l, protocol: HTTPS, port: 443, hostname: {name}.example.com, tls: {{certificateRefs: [{{name: cert}}]}}}}]
"
        )
    });
    let world = [
        gateways.concat(),
        super::tls::secret("cert"),
        aged(
            OLD,
            &client(
                "old",
                "Gateway a",
                "connection: {connectionLimit: {value: 7, closeDelay: 1s}}",
            ),
        ),
        aged(
            NEW,
            &client(
                "new",
                "Gateway b",
                "connection: {connectionLimit: {value: 8}}, enableProxyProtocol: true",
            ),
        ),
    ];
    let resolution = resolved(&world.concat());
    let of_b = clients::listeners(&resolution, |it| &*it.gateway.name == "b")[0].to_string();
    for line in [
        "      closeDelay: 1s                           from ClientTrafficPolicy/shop/old\n",
        "      value: 7                                 from ClientTrafficPolicy/shop/old\n",
        "  enableProxyProtocol: true                    from ClientTrafficPolicy/shop/new\n",
        "  not in force: connection.connectionLimit.value: 8 from ClientTrafficPolicy/shop/new: all listeners of the port have what ClientTrafficPolicy/shop/old says, which comes first\n",
    ] {
        assert!(of_b.contains(line), "{of_b}");
    }
    let new = policy(&resolution, "new");
    for lines in [
        "  affects 2 of 2 listeners\n",
        "  not in force: it does not target the listener\n    but for enableProxyProtocol, which the whole port has in common\n    shop/a/l\n",
        "  in force but for this\n    loses connection.connectionLimit.value: 8 from",
    ] {
        assert!(new.contains(lines), "{new}");
    }
}

#[test]
fn an_invalid_policy_is_explained() {
    let resolution = resolved(&client(
        "c",
        "Gateway edge#http",
        "connection: {bufferLimit: 5Gi}",
    ));
    let why = "Connection: BufferLimit value 5Gi is out of range, must be between 0 and 4294967295";
    assert_eq!(
        listener(&resolution, "http"),
        format!(
            "listener shop/edge/http\n  policy ClientTrafficPolicy/shop/c\n  serves no route, requests are answered 500: {why}\n"
        )
    );
    let text = policy(&resolution, "c");
    let expected = format!("  invalid, so that no route is served: {why}\n    shop/edge/http\n");
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn differences_name_the_listeners() {
    let (old, new) = (
        resolved(&client("c", "Gateway edge", "scheme: MatchBackend")),
        resolved(&client("c", "Gateway edge", "scheme: Preserve")),
    );
    assert_eq!(
        diff(&old, &new).to_string(),
        "changed: clients of listener shop/edge/http
changed: clients of listener shop/edge/other
  scheme
    - MatchBackend  from ClientTrafficPolicy/shop/c
    + Preserve  from ClientTrafficPolicy/shop/c

touched: routes 0 of 2, rules 0 of 3, listeners 2 of 2, policies 0 of 1
"
    );
    let broken = resolved(&client(
        "c",
        "Gateway edge#http",
        "connection: {bufferLimit: 5Gi}",
    ));
    let text = diff(&resolved(""), &broken).to_string();
    let expected = "changed: clients of listener shop/edge/http\n  serves no route\n    + Connection: BufferLimit value 5Gi";
    assert!(text.contains(expected), "{text}");
    assert!(diff(&broken, &broken).is_empty());
}

#[test]
fn what_the_data_plane_does_not_enforce_is_told() {
    let mut context = context();
    context.client_support = Support::Partial("http3 tls.minVersion=1.0 timeout.tcp.idleTimeout");
    let spec = "http3: {}, tls: {minVersion: '1.0'}, timeout: {tcp: {idleTimeout: 1s}, http: {idleTimeout: 1s}}";
    let world = resources(&client("c", "Gateway edge", spec));
    let resolution = weir_resolve::resolve(&world, &context, &mut Memo::default());
    assert_eq!(
        findings(&resolution, "c"),
        [
            "setting-not-enforced spec.http3",
            "setting-not-enforced spec.timeout.tcp.idleTimeout",
            "setting-ignored spec.tls",
            "setting-not-enforced spec.tls.minVersion",
        ]
    );
    assert_eq!(
        told(&resolution, "c")[1],
        "Gateway edge: weir.dev/PartiallyEnforced=True SettingsNotEnforced The data plane in use does not enforce: spec.http3, spec.timeout.tcp.idleTimeout, spec.tls.minVersion."
    );
}
