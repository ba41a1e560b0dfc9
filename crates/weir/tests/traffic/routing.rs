//! Which requests reach which backend, and what is changed on the way: hosts, paths, headers, queries, methods,
//! precedence, weights, header modifiers, redirects and rewrites.

use crate::backend::{Backend, reply};
use crate::client::{call, get, request};
use crate::gateway::{EDGE, Gateway, route, to};

/// A gateway with the Backends `a` to `d`, each of which answers with its name.
fn four(gateway: &str, documents: &[&str]) -> (Gateway, [Backend; 4]) {
    let backends = ["a", "b", "c", "d"].map(Backend::named);
    let yaml: Vec<_> = ["a", "b", "c", "d"]
        .iter()
        .zip(&backends)
        .map(|(name, it)| it.yaml(name))
        .collect();
    let mut all = vec![gateway];
    all.extend(yaml.iter().map(String::as_str));
    all.extend(documents);
    (Gateway::start(&all), backends)
}

#[test]
fn a_request_takes_the_most_specific_match() {
    let rules = format!(
        "[
        {{matches: [{{path: {{type: PathPrefix, value: /}}}}], backendRefs: [{a}]}},
        {{matches: [{{path: {{type: PathPrefix, value: /shop}}}}], backendRefs: [{b}]}},
        {{matches: [{{path: {{type: Exact, value: /shop}}}}], backendRefs: [{c}]}},
        {{matches: [{{path: {{type: PathPrefix, value: /shop}}, method: POST}}], backendRefs: [{d}]}},
        {{matches: [{{path: {{type: PathPrefix, value: /shop/cart}}, headers: [{{name: x-version, value: two}}]}}], backendRefs: [{d}]}},
        {{matches: [{{path: {{type: PathPrefix, value: /shop/cart}}, queryParams: [{{name: beta, value: 'yes'}}]}}], backendRefs: [{c}]}},
        {{matches: [{{path: {{type: RegularExpression, value: '/item/[0-9]+'}}}}], backendRefs: [{d}]}}
        ]",
        a = to("a"), b = to("b"), c = to("c"), d = to("d"),
    );
    let (gateway, _backends) = four(EDGE, &[&route("shop", &rules)]);
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);
    #[rustfmt::skip] // one request a line
    let cases: &[Case] = &[
        ("GET", "/", &[], "a"),
        ("GET", "/shopping", &[], "a"), // a prefix is made of whole elements
        ("GET", "/Shop", &[], "a"),     // paths differ by case
        ("GET", "/shop", &[], "c"),     // exact before prefix
        ("GET", "/shop?x=1", &[], "c"), // the query is no part of the path
        ("GET", "/shop/", &[], "b"),
        ("GET", "/shop/x", &[], "b"),
        ("POST", "/shop/x", &[], "d"), // a method before none
        ("POST", "/shop", &[], "c"),   // the path's kind comes before the method
        ("GET", "/shop/cart", &[("x-version", "two")], "d"),
        ("GET", "/shop/cart", &[("X-Version", "two")], "d"), // header names have no case
        ("GET", "/shop/cart", &[("x-version", "Two")], "b"), // values have
        ("GET", "/shop/cart", &[("x-version", "twofold")], "b"),
        ("GET", "/shop/cart?beta=yes", &[], "c"),
        ("GET", "/shop/cart?beta=no", &[], "b"),
        ("GET", "/shop/cart?beta=no&beta=yes", &[], "b"), // the first of a name counts
        ("GET", "/shop/cart?beta=yes", &[("x-version", "two")], "d"), // headers before queries
        ("GET", "/item/42", &[], "d"),
        ("GET", "/item/42/x", &[], "a"), // an expression means the whole path
        ("GET", "/item/", &[], "a"),
    ];
    for (method, target, headers, expected) in cases {
        let response = call(
            gateway.address(),
            &request(method, "any.example", target, headers, b""),
        );
        assert_eq!(
            response.brief(),
            (200, (*expected).to_owned()),
            "{method} {target} {headers:?}"
        );
    }
}

#[test]
fn the_most_specific_host_name_wins() {
    let on = |name: &str, hosts: &str, backend: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}}}\nspec: {{parentRefs: \
             [{{name: edge}}], hostnames: [{hosts}], rules: [{{backendRefs: [{}]}}]}}\n",
            to(backend)
        )
    };
    let (gateway, _backends) = four(
        EDGE,
        &[
            &on("exact", "shop.example.com", "a"),
            &on("wide", "'*.example.com'", "b"),
            &on("wider", "'*.com'", "c"),
        ],
    );
    let cases = [
        ("shop.example.com", 200, "a"),
        ("SHOP.example.COM", 200, "a"),
        ("shop.example.com:8080", 200, "a"),
        ("other.example.com", 200, "b"),
        ("a.b.example.com", 200, "b"),
        ("example.com", 200, "c"), // a wildcard stands for one label at least
        ("example.net", 404, ""),
        ("com", 404, ""),
    ];
    for (host, status, body) in cases {
        assert_eq!(
            get(gateway.address(), host, "/").brief(),
            (status, body.to_owned()),
            "{host}"
        );
    }
}

#[test]
fn a_listener_takes_only_its_own_routes() {
    let gateway_yaml = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: weir
  listeners:
  - {name: open, protocol: HTTP, port: 80}
  - {name: shop, protocol: HTTP, port: 80, hostname: shop.example.com}
  - {name: wild, protocol: HTTP, port: 80, hostname: '*.example.com'}
  - {name: other, protocol: HTTP, port: 81}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: weir}
spec: {controllerName: weir.dev/gateway-controller}
";
    let on = |section: &str, backend: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: to-{section}}}\nspec: {{parentRefs: \
             [{{name: edge, sectionName: {section}}}], rules: [{{matches: [{{path: {{value: /{section}}}}}], backendRefs: [{}]}}]}}\n",
            to(backend)
        )
    };
    let (gateway, _backends) = four(
        gateway_yaml.trim_start(),
        &[
            &on("open", "a"),
            &on("shop", "b"),
            &on("wild", "c"),
            &on("other", "d"),
        ],
    );
    let cases = [
        (80, "any.net", "/open", 200),
        (80, "any.net", "/shop", 404),
        (80, "shop.example.com", "/shop", 200),
        (80, "shop.example.com", "/open", 404), // the best listener is taken, though it has no such route
        (80, "shop.example.com", "/wild", 404),
        (80, "else.example.com", "/wild", 200),
        (80, "else.example.com", "/open", 404),
        (81, "any.net", "/other", 200),
        (81, "shop.example.com", "/other", 200),
        (81, "shop.example.com", "/shop", 404),
    ];
    for (port, host, path, status) in cases {
        assert_eq!(
            get(gateway.address_of(port), host, path).status,
            status,
            "{host}:{port}{path}"
        );
    }
}

#[test]
fn weights_split_requests_by_their_share() {
    let split = |a: u32, b: u32| {
        let rules = format!(
            "[{{backendRefs: [{{group: gateway.envoyproxy.io, kind: Backend, name: a, weight: {a}}}, \
             {{group: gateway.envoyproxy.io, kind: Backend, name: b, weight: {b}}}]}}]"
        );
        let (gateway, backends) = four(EDGE, &[&route("split", &rules)]);
        let mut client = crate::client::Client::connect(gateway.address());
        for _ in 0..200 {
            assert_eq!(client.get("any.example", "/").status, 200);
        }
        (backends[0].count(), backends[1].count())
    };
    assert_eq!(split(0, 1), (0, 200));
    assert_eq!(split(1, 0), (200, 0));
    let (a, b) = split(9, 1); // 180:20; the seed is fixed, so that this cannot fail by chance
    assert!((170..=190).contains(&a), "{a}:{b}");
    let (a, b) = split(1, 1);
    assert!((80..=120).contains(&a), "{a}:{b}");
}

#[test]
fn a_rule_without_usable_backends_answers_by_itself() {
    let rule = |path: &str, refs: &str| {
        format!("{{matches: [{{path: {{value: {path}}}}}], backendRefs: [{refs}]}}")
    };
    let rules = [
        rule(
            "/weightless",
            "{group: gateway.envoyproxy.io, kind: Backend, name: a, weight: 0}",
        ),
        rule(
            "/missing",
            "{group: gateway.envoyproxy.io, kind: Backend, name: nowhere}",
        ),
        rule("/service", "{name: nowhere, port: 80}"),
        rule(
            "/foreign",
            "{group: gateway.envoyproxy.io, kind: Backend, name: a, namespace: elsewhere}",
        ),
        rule("/none", ""),
        rule("/fine", &to("a")),
    ];
    let (gateway, backends) = four(
        EDGE,
        &[&route("broken", &format!("[{}]", rules.join(", ")))],
    );
    for path in ["/weightless", "/missing", "/service", "/foreign", "/none"] {
        let response = get(gateway.address(), "any.example", path);
        assert_eq!(response.brief(), (500, String::new()), "{path}");
    }
    assert_eq!(get(gateway.address(), "any.example", "/fine").status, 200);
    assert_eq!(backends[0].count(), 1);
}

#[test]
fn an_invalid_backend_fails_its_share_only() {
    let rules = format!("[{{backendRefs: [{}, {}]}}]", to("a"), to("nowhere"));
    let (gateway, backends) = four(EDGE, &[&route("half", &rules)]);
    let statuses: Vec<_> = (0..200)
        .map(|_| get(gateway.address(), "any.example", "/").status)
        .collect();
    let refused = statuses.iter().filter(|status| **status == 500).count();
    assert!(
        (80..=120).contains(&refused),
        "{refused} of 200 were refused"
    );
    assert_eq!(backends[0].count(), 200 - refused);
}

#[test]
fn header_modifiers_change_requests_and_responses() {
    let backend = Backend::start(|_| {
        vec![crate::backend::Step::Send(crate::backend::response(
            200,
            &[
                ("x-keep", "kept"),
                ("x-set", "old"),
                ("x-gone", "1"),
                ("x-add", "first"),
            ],
            "",
        ))]
    });
    let changes =
        "{set: [{name: X-SET, value: new}], add: [{name: X-Add, value: second}], remove: [X-Gone]}";
    let rules = format!(
        "[{{filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {changes}}}, \
         {{type: ResponseHeaderModifier, responseHeaderModifier: {changes}}}], backendRefs: [{}]}}]",
        to("echo")
    );
    let gateway = Gateway::start(&[EDGE, &backend.yaml("echo"), &route("headers", &rules)]);
    let headers = [
        ("x-keep", "kept"),
        ("X-Set", "old"),
        ("x-gone", "1"),
        ("x-add", "first"),
    ];
    let response = call(
        gateway.address(),
        &request("GET", "any.example", "/", &headers, b""),
    );
    let seen = backend.last();
    for found in [&seen.headers, &response.headers] {
        let all = |name: &str| -> Vec<_> {
            let of_name = found
                .iter()
                .filter(|(each, _)| each.eq_ignore_ascii_case(name));
            of_name.map(|(_, value)| value.as_str()).collect()
        };
        assert_eq!(all("x-keep"), ["kept"]);
        assert_eq!(all("x-set"), ["new"]);
        assert_eq!(all("x-gone"), [""; 0]);
        assert_eq!(all("x-add").join(","), "first,second");
    }
}

#[test]
fn rewrites_change_what_the_backend_sees() {
    let backend = Backend::start(|_| reply(200, ""));
    let rule = |path: &str, rewrite: &str| {
        format!(
            "{{matches: [{{path: {{value: {path}}}}}], filters: [{{type: URLRewrite, urlRewrite: {rewrite}}}], backendRefs: [{}]}}",
            to("echo")
        )
    };
    let rules = [
        rule("/host", "{hostname: inner.example}"),
        rule(
            "/full",
            "{path: {type: ReplaceFullPath, replaceFullPath: /one}}",
        ),
        rule(
            "/prefix",
            "{path: {type: ReplacePrefixMatch, replacePrefixMatch: /in}}",
        ),
        rule(
            "/strip",
            "{path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}",
        ),
    ];
    let gateway = Gateway::start(&[
        EDGE,
        &backend.yaml("echo"),
        &route("rewrites", &format!("[{}]", rules.join(", "))),
    ]);
    let cases = [
        ("/host/a", "inner.example", "/host/a"),
        ("/full/a?b=c", "outer.example", "/one?b=c"),
        ("/prefix", "outer.example", "/in"),
        ("/prefix/", "outer.example", "/in/"),
        ("/prefix/a/b?c=d", "outer.example", "/in/a/b?c=d"),
        ("/strip", "outer.example", "/"),
        ("/strip/", "outer.example", "/"),
        ("/strip/a?b", "outer.example", "/a?b"),
    ];
    for (target, host, path) in cases {
        assert_eq!(
            get(gateway.address(), "outer.example", target).status,
            200,
            "{target}"
        );
        let seen = backend.last();
        assert_eq!(
            (seen.header("host"), seen.target.as_str()),
            (Some(host), path),
            "{target}"
        );
    }
}

#[test]
fn every_kind_of_match_is_made() {
    let kinds = [
        "path: {type: Exact, value: /exact}",
        "path: {value: /prefix}",
        "path: {type: RegularExpression, value: '/regex/[0-9]+'}",
        "method: PATCH",
        "headers: [{name: X-Exact, value: one}]",
        "headers: [{type: RegularExpression, name: x-regex, value: 'a+'}]",
        "queryParams: [{name: exact, value: one}]",
        "queryParams: [{type: RegularExpression, name: regex, value: 'a+'}]",
        "path: {value: /all}, method: PUT, headers: [{name: a, value: b}], queryParams: [{name: c, value: d}]",
    ];
    let rules = kinds.iter().enumerate().map(|(index, kind)| {
        let tell = format!("{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: rule, value: '{index}'}}]}}}}");
        format!("{{name: rule-{index}, matches: [{{{kind}}}], filters: [{tell}], backendRefs: [{}]}}", to("echo"))
    });
    let backend = Backend::start(|seen| reply(200, seen.header("rule").unwrap_or_default()));
    let rules = rules.collect::<Vec<_>>().join(", ");
    let gateway = Gateway::start(&[
        EDGE,
        &backend.yaml("echo"),
        &route("kinds", &format!("[{rules}]")),
    ]);
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], Option<usize>);
    let cases: [Case<'_>; 22] = [
        ("GET", "/exact", &[], Some(0)),
        ("GET", "/exact?a=b", &[], Some(0)),
        ("GET", "/exact/", &[], None),
        ("GET", "/Exact", &[], None),
        ("GET", "/prefix/a", &[], Some(1)),
        ("GET", "/prefixed", &[], None),
        ("GET", "/regex/42", &[], Some(2)),
        ("GET", "/regex/42/a", &[], None),
        ("GET", "/a/regex/42", &[], None),
        ("PATCH", "/", &[], Some(3)),
        ("GET", "/", &[], None),
        ("GET", "/", &[("x-EXACT", "one")], Some(4)),
        ("GET", "/", &[("x-exact", "One")], None),
        ("GET", "/", &[("x-regex", "aaa")], Some(5)),
        ("GET", "/", &[("x-regex", "aab")], None),
        ("GET", "/?exact=one", &[], Some(6)),
        ("GET", "/?exact=two&exact=one", &[], None),
        ("GET", "/?Exact=one", &[], None),
        ("GET", "/?regex=aa", &[], Some(7)),
        ("GET", "/?regex=aab", &[], None),
        ("PUT", "/all/x?c=d", &[("a", "b")], Some(8)),
        ("PUT", "/all/x?c=e", &[("a", "b")], None),
    ];
    for (method, target, headers, rule) in cases {
        let response = call(
            gateway.address(),
            &request(method, "any.example", target, headers, b""),
        );
        let expected = match rule {
            Some(rule) => (200, rule.to_string()),
            None => (404, String::new()),
        };
        assert_eq!(response.brief(), expected, "{method} {target} {headers:?}");
    }
}

#[test]
fn services_are_reached_through_their_slices() {
    let backend = Backend::named("pod");
    let port = backend.address.port();
    let service = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{ports: [{{name: http, port: 80, targetPort: {port}}}]}}\n\
         ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: web-1, labels: {{kubernetes.io/service-name: web}}}}\n\
         addressType: IPv4\nports: [{{name: http, port: {port}}}]\nendpoints: [{{addresses: [127.0.0.1], conditions: {{ready: true}}}}]\n"
    );
    let mut gateway = Gateway::start(&[
        EDGE,
        &service,
        &route("web", "[{backendRefs: [{name: web, port: 80}]}]"),
    ]);
    assert_eq!(
        get(gateway.address(), "any.example", "/").brief(),
        (200, "pod".to_owned())
    );
    let unready = service.replace("ready: true", "ready: false");
    gateway.apply(&[
        EDGE,
        &unready,
        &route("web", "[{backendRefs: [{name: web, port: 80}]}]"),
    ]);
    let response = get(gateway.address(), "any.example", "/");
    assert_eq!(response.brief(), (503, "no healthy upstream".to_owned()));
}
