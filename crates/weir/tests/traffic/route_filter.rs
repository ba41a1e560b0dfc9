//! HTTPRouteFilters on the wire: answers of the gateway, paths rewritten by regular expressions, host names from headers,
//! endpoints and paths.

use crate::backend::{Backend, backend_yaml, reply};
use crate::client::{call, get, request};
use crate::gateway::{EDGE, Gateway, route, to};

/// An HTTPRouteFilter with this spec in flow style.
fn filter(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: HTTPRouteFilter\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

/// A rule for the paths below `path` that refers to the filter `name`.
fn rule(path: &str, name: &str, backends: &str) -> String {
    format!(
        "{{matches: [{{path: {{value: {path}}}}}], filters: [{}], backendRefs: [{backends}]}}",
        refer(name)
    )
}

fn refer(name: &str) -> String {
    format!(
        "{{type: ExtensionRef, extensionRef: {{group: gateway.envoyproxy.io, kind: HTTPRouteFilter, name: {name}}}}}"
    )
}

fn rules(rules: &[String]) -> String {
    route("filtered", &format!("[{}]", rules.join(", ")))
}

#[test]
fn the_gateway_answers_by_itself() {
    let page = |text: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: page}}\ndata: {{response.body: '{text}'}}\n"
        )
    };
    let rules = rules(&[
        rule("/plain", "plain", ""),
        rule("/json", "json", ""),
        rule("/page", "page", ""),
        rule("/bare", "bare", ""),
    ]);
    let plain = filter(
        "plain",
        "{directResponse: {statusCode: 403, body: {type: Inline, inline: 'not 100%% yours'}}}",
    );
    let json = filter(
        "json",
        "{directResponse: {contentType: application/json, body: {type: Inline, inline: '{}'}, header: {set: [{name: x-a, value: '1'}], \
         add: [{name: x-a, value: '2'}]}}}",
    );
    let from_map = filter(
        "page",
        "{directResponse: {statusCode: 503, body: {type: ValueRef, valueRef: {group: '', kind: ConfigMap, name: page}}}}",
    );
    let bare = filter("bare", "{directResponse: {statusCode: 204}}");
    let documents = |text: &str| {
        [
            EDGE.to_owned(),
            rules.clone(),
            plain.clone(),
            json.clone(),
            from_map.clone(),
            bare.clone(),
            page(text),
        ]
    };
    let mut gateway = Gateway::start(&documents("<b>soon</b>").each_ref().map(String::as_str));
    // (target, status, body, content type)
    let cases = [
        ("/plain", 403, "not 100% yours", Some("text/plain")),
        ("/json", 200, "{}", Some("application/json")),
        ("/page", 503, "<b>soon</b>", Some("text/plain")),
        ("/bare", 204, "", None),
    ];
    for (target, status, body, content_type) in cases {
        let response = get(gateway.address(), "any.example", target);
        assert_eq!(response.brief(), (status, body.to_owned()), "{target}");
        assert_eq!(response.header("content-type"), content_type, "{target}");
    }
    let json = get(gateway.address(), "any.example", "/json");
    let values: Vec<_> = json
        .headers
        .iter()
        .filter(|(name, _)| name == "x-a")
        .collect();
    assert_eq!(values.len(), 2, "{:?}", json.headers);
    let post = request("POST", "any.example", "/plain", &[], b"please");
    assert_eq!(call(gateway.address(), &post).status, 403);
    // What a ConfigMap says is followed.
    gateway.apply(&documents("later").each_ref().map(String::as_str));
    assert_eq!(
        get(gateway.address(), "any.example", "/page").brief(),
        (503, "later".to_owned())
    );
}

#[test]
fn operators_are_filled_in_from_the_request() {
    let body = "%REQ(:METHOD)% %REQ(:path)% %REQ(x-none?:authority)% %REQ(X-None)% %REQ(x-long):3% %QUERY_PARAM(b)% \
        %RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %PROTOCOL% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %ROUTE_NAME% 100%%";
    let spec = format!(
        "{{directResponse: {{statusCode: 404, body: {{type: Inline, inline: '{body}'}}, contentType: 'text/50%', \
         header: {{set: [{{name: x-path, value: '%REQUEST_HEADER(:PATH)%'}}], add: [{{name: x-start, value: '%START_TIME%'}}]}}}}}}"
    );
    let gateway = Gateway::start(&[
        EDGE,
        &filter("told", &spec),
        &rules(&[rule("/a", "told", "")]),
    ]);
    let asked = request(
        "POST",
        "any.example",
        "/a/b?b=c%20d&b=e",
        &[("x-long", "four")],
        b"",
    );
    let response = call(gateway.address(), &asked);
    let expected = "POST /a/b?b=c%20d&b=e any.example - fou c%20d 404 direct_response HTTP/1.1 127.0.0.1 \
        HTTPRoute/default/filtered/rule/0/match/0/* 100%";
    assert_eq!(response.brief(), (404, expected.to_owned()));
    assert_eq!(response.header("content-type"), Some("text/50%"));
    assert_eq!(response.header("x-path"), Some("/a/b?b=c%20d&b=e"));
    let start = response.header("x-start").unwrap();
    assert!(start.len() == 24 && start.ends_with('Z'), "{start}");
}

#[test]
fn a_call_of_grpc_gets_the_grpc_form_of_an_answer() {
    let denied = filter(
        "denied",
        "{directResponse: {statusCode: 403, contentType: text/html, body: {type: Inline, inline: no entry}}}",
    );
    let route = rules(&[rule("/", "denied", "")]);
    let route = route.replace("kind: HTTPRoute\n", "kind: GRPCRoute\n");
    let route = route.replace("matches: [{path: {value: /}}], ", "");
    let gateway = Gateway::start(&[EDGE, &denied, &route]);
    let headers = [("content-type", "application/grpc")];
    let bytes = request("POST", "any.example", "/a.B/C", &headers, b"");
    let response = call(gateway.address(), &bytes);
    assert_eq!(response.brief(), (200, String::new()));
    assert_eq!(response.header("content-type"), Some("application/grpc"));
    assert_eq!(response.header("grpc-status"), Some("7"));
    assert_eq!(response.header("grpc-message"), Some("no entry"));
}

#[test]
fn paths_are_rewritten_by_regular_expressions() {
    let backend = Backend::start(|_| reply(200, ""));
    // (name, pattern, substitution, path, what the backend sees): the examples of Envoy Gateway, and edges.
    let cases = [
        (
            "swap",
            "^/swap/([^/]+)(/.*)$",
            r"\2/instance/\1",
            "/swap/foo/v1/api",
            "/v1/api/instance/foo",
        ),
        (
            "every",
            "one",
            "two",
            "/every/one/yyy/one/zzz",
            "/every/two/yyy/two/zzz",
        ),
        (
            "first",
            "^(.*?)one(.*)$",
            r"\1two\2",
            "/first/one/yyy/one/zzz",
            "/first/two/yyy/one/zzz",
        ),
        (
            "case",
            "(?i)/xxx/",
            "/yyy/",
            "/case/XxX/bbb",
            "/case/yyy/bbb",
        ),
        ("query", "a", "b", "/query/a?a=a", "/query/b?a=a"),
        ("misses", "zzz", "b", "/misses/a", "/misses/a"),
        ("rootless", "^/rootless/", "", "/rootless/a", "/a"),
        ("nothing", ".*", "", "/nothing/a?q", "/?q"),
        ("dollars", "a$", "$1", "/dollars/a", "/dollars/$1"),
    ];
    let filters: Vec<_> = cases
        .iter()
        .map(|(name, pattern, substitution, _, _)| {
            filter(
                name,
                &format!(
                    "{{urlRewrite: {{path: {{type: ReplaceRegexMatch, replaceRegexMatch: {{pattern: '{pattern}', substitution: '{substitution}'}}}}}}}}"
                ),
            )
        })
        .collect();
    let rules = rules(&cases.map(|(name, ..)| rule(&format!("/{name}"), name, &to("echo"))));
    let backend_yaml = backend.yaml("echo");
    let mut documents = vec![EDGE, &backend_yaml, &rules];
    documents.extend(filters.iter().map(String::as_str));
    let gateway = Gateway::start(&documents);
    for (name, _, _, path, expected) in cases {
        assert_eq!(get(gateway.address(), "outer.example", path).status, 200);
        assert_eq!(backend.last().target, expected, "{name}");
        assert_eq!(backend.last().header("host"), Some("outer.example"));
        assert_eq!(backend.last().header("x-forwarded-host"), None);
    }
}

#[test]
fn host_names_come_from_headers_endpoints_and_paths() {
    let backend = Backend::start(|_| reply(200, ""));
    let named = backend
        .yaml("named")
        .replace("{ip:", "{hostname: inner.example, ip:");
    let host = |name: &str, it: &str, append: bool| {
        let append = if append {
            ""
        } else {
            ", appendXForwardedHost: false"
        };
        filter(name, &format!("{{urlRewrite: {{hostname: {it}{append}}}}}"))
    };
    let gateway = Gateway::start(&[
        EDGE,
        &named,
        &backend_yaml("nameless", &[&backend]),
        &host("header", "{type: Header, header: X-Host}", true),
        &host("backend", "{type: Backend}", true),
        &host("quiet", "{type: Backend}", false),
        &host(
            "path",
            r"{type: PathRegex, pathRegex: {pattern: '^/path/([a-z0-9]+)/.*$', substitution: '\1.tenant.example'}}",
            true,
        ),
        &rules(&[
            rule("/header", "header", &to("nameless")),
            rule("/backend", "backend", &to("named")),
            rule("/nameless", "backend", &to("nameless")),
            rule("/quiet", "quiet", &to("named")),
            rule("/path", "path", &to("nameless")),
        ]),
    ]);
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, Option<&'a str>);
    let cases: &[Case] = &[
        (
            "/header",
            &[("x-host", "asked.example")],
            "asked.example",
            Some("outer.example"),
        ),
        ("/header", &[("x-host", "")], "outer.example", None),
        ("/header", &[("x-host", "no host")], "outer.example", None),
        ("/path", &[], "outer.example", None),
        ("/header", &[], "outer.example", None),
        ("/backend", &[], "inner.example", Some("outer.example")),
        (
            "/backend",
            &[("x-forwarded-host", "first.example")],
            "inner.example",
            Some("first.example,outer.example"),
        ),
        // Whoever stands last already is not named again.
        (
            "/backend",
            &[("x-forwarded-host", "first.example, outer.example")],
            "inner.example",
            Some("first.example, outer.example"),
        ),
        ("/nameless", &[], "outer.example", None),
        ("/quiet", &[], "inner.example", None),
        (
            "/path/t1/api?x",
            &[],
            "t1.tenant.example",
            Some("outer.example"),
        ),
    ];
    for (target, headers, host, forwarded) in cases {
        let bytes = request("GET", "outer.example", target, headers, b"");
        assert_eq!(call(gateway.address(), &bytes).status, 200, "{target}");
        let seen = backend.last();
        assert_eq!(
            (
                seen.header("host"),
                seen.header("x-forwarded-host"),
                seen.target.as_str()
            ),
            (Some(*host), *forwarded, *target),
            "{target} {headers:?}"
        );
    }
}

fn secret(name: &str, credential: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{credential: {credential}}}\n"
    )
}

#[test]
fn credentials_are_injected_and_renewed_and_shown_nowhere() {
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    let inject = |more: &str| {
        format!("{{credentialInjection: {{credential: {{valueRef: {{name: key}}}}{more}}}}}")
    };
    let split = format!(
        "{{matches: [{{path: {{value: /split}}}}], backendRefs: [{}, {{group: gateway.envoyproxy.io, kind: Backend, \
         name: two, filters: [{}, {{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-key, value: none}}]}}}}]}}]}}",
        to("one"),
        refer("forced"),
    );
    let rules = rules(&[
        rule("/add", "added", &to("one")),
        rule("/force", "forced", &to("one")),
        split,
    ]);
    let added = filter("added", &inject(""));
    let forced = filter("forced", &inject(", header: x-key, overwrite: true"));
    let (yaml_one, yaml_two) = (one.yaml("one"), two.yaml("two"));
    let documents = |credential: &str| {
        [
            EDGE.to_owned(),
            yaml_one.clone(),
            yaml_two.clone(),
            rules.clone(),
            added.clone(),
            forced.clone(),
            secret("key", credential),
        ]
    };
    let start = documents("Bearer hunter2");
    let mut gateway = Gateway::setup()
        .log()
        .start(&start.each_ref().map(String::as_str));
    let seen = |gateway: &Gateway, path: &str, headers: &[(&str, &str)]| {
        let bytes = request("GET", "any.example", path, headers, b"");
        let backend = match call(gateway.address(), &bytes).text().as_str() {
            "one" => one.last(),
            _ => two.last(),
        };
        ["authorization", "x-key"].map(|name| backend.header(name).unwrap_or("-").to_owned())
    };
    let own = [("authorization", "mine"), ("x-key", "mine")];
    assert_eq!(seen(&gateway, "/add", &[]), ["Bearer hunter2", "-"]);
    assert_eq!(seen(&gateway, "/add", &own), ["mine", "mine"]);
    assert_eq!(seen(&gateway, "/force", &[]), ["-", "Bearer hunter2"]);
    assert_eq!(seen(&gateway, "/force", &own), ["mine", "Bearer hunter2"]);
    // Of a backend's own it is its share of the requests that carries it, after its other changes.
    let split: Vec<_> = (0..40).map(|_| seen(&gateway, "/split", &[])).collect();
    let injected = split.iter().filter(|it| it[1] == "Bearer hunter2").count();
    assert_eq!(injected, two.count());
    assert!((1..40).contains(&injected), "{injected}");
    assert!(
        split
            .iter()
            .all(|it| it[1] == "-" || it[1] == "Bearer hunter2")
    );

    let renewed = documents("Bearer hunter3");
    gateway.apply(&renewed.each_ref().map(String::as_str));
    assert_eq!(seen(&gateway, "/add", &[]), ["Bearer hunter3", "-"]);
    let without = renewed.each_ref().map(String::as_str);
    gateway.apply(&without[..6]);
    let shut = get(gateway.address(), "any.example", "/add");
    assert_eq!(shut.brief(), (500, String::new()));
    let logged = serde_json::to_string(&gateway.logged(46)).unwrap();
    assert!(!logged.contains("hunter"), "{logged}");
}

#[test]
fn cookies_choose_a_rule() {
    let (canary, stable) = (Backend::named("canary"), Backend::named("stable"));
    let cookies = "{matches: [{cookies: [{name: version, value: next}, {type: RegularExpression, name: user, value: 'u[0-9]+'}]}, \
        {cookies: [{name: canary, value: 'yes'}]}]}";
    let gateway = Gateway::start(&[
        EDGE,
        &canary.yaml("canary"),
        &stable.yaml("stable"),
        &filter("cookies", cookies),
        &rules(&[
            format!("{{backendRefs: [{}]}}", to("stable")),
            rule("/", "cookies", &to("canary")),
        ]),
    ]);
    let cases: [(&[&str], &str); 12] = [
        (&[], "stable"),
        (&["canary=yes"], "canary"),
        (&["canary=\"yes\""], "canary"),
        (&["a=b; canary=yes; c=d"], "canary"),
        (&["a=b", "canary=yes"], "canary"),
        (&["canary=yes, a=b"], "stable"),
        (&["canary=no; canary=yes"], "stable"),
        (&["Canary=yes"], "stable"),
        (&["xcanary=yes"], "stable"),
        (&["version=next"], "stable"),
        (&["version=next; user=u42"], "canary"),
        (&["version=next; user=u42x"], "stable"),
    ];
    for (cookies, expected) in cases {
        let headers: Vec<_> = cookies.iter().map(|it| ("cookie", *it)).collect();
        let bytes = request("GET", "any.example", "/", &headers, b"");
        let response = call(gateway.address(), &bytes);
        assert_eq!(response.brief(), (200, expected.to_owned()), "{cookies:?}");
    }
}

#[test]
fn a_filter_that_is_not_there_or_not_served_closes_its_rule_until_it_is() {
    let backend = Backend::named("open");
    let yaml = backend.yaml("open");
    let rules = rules(&[
        rule("/shut", "later", &to("open")),
        format!("{{backendRefs: [{}]}}", to("open")),
    ]);
    let mut gateway = Gateway::start(&[EDGE, &yaml, &rules]);
    let shut = |gateway: &Gateway| get(gateway.address(), "any.example", "/shut").brief();
    assert_eq!(shut(&gateway), (500, String::new()));
    let open = get(gateway.address(), "any.example", "/").brief();
    assert_eq!(open, (200, "open".to_owned()));
    let operators = filter(
        "later",
        "{directResponse: {body: {type: Inline, inline: '%HOSTNAME%'}}}",
    );
    gateway.apply(&[EDGE, &yaml, &rules, &operators]);
    assert_eq!(shut(&gateway), (500, String::new()));
    let served = filter("later", "{urlRewrite: {hostname: {type: Backend}}}");
    gateway.apply(&[EDGE, &yaml, &rules, &served]);
    assert_eq!(shut(&gateway), (200, "open".to_owned()));
}
