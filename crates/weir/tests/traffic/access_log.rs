//! The access log tells what happened: route, policies, endpoint, attempts, flags, and the rule that limited.

use serde_json::{Value, json};

use crate::backend::{Backend, Step, reply};
use crate::client::{Client, call, get, request};
use crate::gateway::{EDGE, Gateway, policy, route, route_all, to};

fn logging(backend: &Backend, settings: &str) -> Gateway {
    let policy = policy("settings", "HTTPRoute app", settings);
    Gateway::setup()
        .log()
        .start(&[EDGE, &backend.yaml("app"), &route_all("app"), &policy])
}

#[test]
fn a_request_is_logged_with_route_policy_and_endpoint() {
    let backend = Backend::named("hello");
    let gateway = logging(&backend, "timeout: {http: {requestTimeout: 5s}}");
    let headers = [("user-agent", "tester"), ("x-forwarded-for", "10.0.0.1")];
    call(
        gateway.address(),
        &request("POST", "any.example", "/a?b=c", &headers, b"12345"),
    );
    let line = &gateway.logged(1)[0];
    let expected = json!({
        ":authority": "any.example",
        "attempts": 1,
        "bytes_received": 5,
        "bytes_sent": 5,
        "method": "POST",
        "policies": ["BackendTrafficPolicy/default/settings"],
        "protocol": "HTTP/1.1",
        "rate_limit_rule": null,
        "response_code": 200,
        "response_code_details": "via_upstream",
        "response_flags": "-",
        "route_name": "HTTPRoute/default/app/rule/0/match/0/*",
        "upstream_cluster": "HTTPRoute/default/app/rule/0@default/edge",
        "upstream_host": backend.address.to_string(),
        "user-agent": "tester",
        "x-envoy-origin-path": "/a?b=c",
        "start_time": "2027-01-15T08:00:00.000Z", // where the clock of these tests stands
    });
    for (key, value) in expected.as_object().expect("it is one") {
        assert_eq!(&line[key], value, "{key}");
    }
    assert!(
        line["x-forwarded-for"]
            .as_str()
            .is_some_and(|it| it.starts_with("10.0.0.1,"))
    );
    assert_eq!(
        line["x-request-id"].as_str(),
        backend.last().header("x-request-id")
    );
}

#[test]
fn the_rule_that_limited_is_named() {
    for (scope, index) in [("local", 1), ("global", 1)] {
        let backend = Backend::named("app");
        let rules = "{clientSelectors: [{headers: [{name: x-a, value: b}]}], limit: {requests: 9, unit: Hour}}, \
                     {limit: {requests: 0, unit: Hour}}";
        let gateway = logging(
            &backend,
            &format!("rateLimit: {{{scope}: {{rules: [{rules}]}}}}"),
        );
        assert_eq!(get(gateway.address(), "any.example", "/").status, 429);
        let line = &gateway.logged(1)[0];
        assert_eq!(
            line["rate_limit_rule"],
            format!("default/settings/rule/{index}"),
            "{scope}"
        );
        assert_eq!(line["response_flags"], "RL");
    }
}

/// Flags and attempts of one request, the backend failing as it is told.
fn flags(settings: &str, answer: impl Fn() -> Vec<Step> + Send + Sync + 'static) -> (Value, Value) {
    let backend = Backend::start(move |_| answer());
    let gateway = logging(&backend, settings);
    get(gateway.address(), "any.example", "/");
    let line = &gateway.logged(1)[0];
    (line["response_flags"].clone(), line["attempts"].clone())
}

#[test]
fn retries_and_faults_show_in_the_flags() {
    let quick = "numRetries: 2, perRetry: {backOff: {baseInterval: 1ms}}";
    let exhausted = flags(&format!("retry: {{{quick}}}"), || reply(503, "no"));
    assert_eq!(exhausted, (json!("URX"), json!(3)));
    let reset = flags(
        &format!("retry: {{{quick}, retryOn: {{triggers: [reset]}}}}"),
        || vec![Step::Close],
    );
    assert_eq!(reset, (json!("URX,UC"), json!(3)));
    let blocked = flags(
        &format!("retry: {{{quick}}}, circuitBreaker: {{maxParallelRetries: 0}}"),
        || reply(503, "no"),
    );
    assert_eq!(blocked, (json!("UO"), json!(1)));
    let not_retried = flags(&format!("retry: {{{quick}}}"), || reply(500, "no"));
    assert_eq!(not_retried, (json!("-"), json!(1)));
    let both = "faultInjection: {delay: {fixedDelay: 1ms}, abort: {httpStatus: 503}}";
    assert_eq!(flags(both, || reply(200, "")), (json!("DI,FI"), json!(0)));
    assert_eq!(
        flags("faultInjection: {delay: {fixedDelay: 1ms}}", || reply(
            200, ""
        )),
        (json!("DI"), json!(1))
    );
}

#[test]
fn a_client_that_leaves_is_logged_without_a_status() {
    let gate = crate::backend::Gate::default();
    let backend = Backend::holding(&gate);
    let gateway = logging(&backend, "timeout: {http: {requestTimeout: 1h}}");
    let mut client = Client::connect(gateway.address());
    client.send(&request("GET", "any.example", "/", &[], b""));
    gate.wait_for(1);
    drop(client);
    let line = &gateway.logged(1)[0];
    assert_eq!(
        (&line["response_code"], &line["response_flags"]),
        (&json!(0), &json!("DC"))
    );
    gate.open();
}

#[test]
fn what_cannot_be_read_as_a_request_is_logged_too() {
    let backend = Backend::named("app");
    let gateway = logging(&backend, "timeout: {http: {requestTimeout: 1h}}");
    call(
        gateway.address(),
        &request("GET", "any.example", "/", &[("x_y", "1")], b""),
    );
    let line = &gateway.logged(1)[0];
    assert_eq!(
        (&line["response_code"], &line["response_flags"]),
        (&json!(400), &json!("DPE"))
    );
    assert_eq!(line["response_code_details"], "http1.unexpected_underscore");
}

#[test]
fn metrics_count_what_the_log_tells() {
    let backend = Backend::named("app");
    let gateway = logging(
        &backend,
        "rateLimit: {local: {rules: [{limit: {requests: 2, unit: Hour}}]}}",
    );
    for _ in 0..5 {
        get(gateway.address(), "any.example", "/");
    }
    gateway.logged(5);
    let metrics = gateway.proxy().metrics();
    for (texts, value) in [
        (["weir_requests_total{", "code_class=\"2xx\""], 2.0),
        (["weir_requests_total{", "code_class=\"4xx\""], 3.0),
    ] {
        assert_eq!(gateway.metric(&texts), value, "{texts:?} in {metrics}");
    }
}

/// Envoy's own format, as its documentation has it.
const DEFAULT_OF_ENVOY: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" \
     %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% \
     %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \
     \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n";

#[test]
fn lines_may_be_text_of_envoys_operators() {
    let backend = Backend::named("hello");
    let rules = format!(
        "[{{filters: [{{type: URLRewrite, urlRewrite: {{path: {{type: ReplaceFullPath, replaceFullPath: /other}}}}}}], \
         backendRefs: [{}]}}]",
        to("app")
    );
    let gateway = Gateway::setup().log_as(DEFAULT_OF_ENVOY).start(&[
        EDGE,
        &backend.yaml("app"),
        &route("app", &rules),
    ]);
    let headers = [("user-agent", "tester"), ("x-forwarded-for", "10.0.0.1")];
    call(
        gateway.address(),
        &request("POST", "any.example", "/a?b=c", &headers, b"12345"),
    );
    let (seen, address) = (backend.last(), backend.address);
    let (id, forwarded) = (seen.header("x-request-id"), seen.header("x-forwarded-for"));
    let expected = format!(
        "[2027-01-15T08:00:00.000Z] \"POST /a?b=c HTTP/1.1\" 200 - 5 5 0 - \"{}\" \"tester\" \"{}\" \"any.example\" \
         \"{address}\"",
        forwarded.expect("it is sent on"),
        id.expect("it is sent on")
    );
    assert_eq!(gateway.log_lines(1), [expected]);
}

#[test]
fn each_operator_is_filled_in() {
    let format = "%START_TIME(%d/%b/%Y:%T %s.%3f)% %HOSTNAME% %REQ(x-none?x-b):3% %REQ(x-none)% %RESP(x-c)% \
        %RESP(x-none?Content-Length)% %TRAILER(x-sum)% %TRAILER(x-none)% %QUERY_PARAM(q)% %RESPONSE_CODE_DETAILS% \
        %RESPONSE_FLAGS_LONG% %ROUTE_NAME% %UPSTREAM_CLUSTER% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% \
        %UPSTREAM_REMOTE_PORT% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %UPSTREAM_TRANSPORT_FAILURE_REASON% \
        %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_TLS_VERSION% \
        %REQUESTED_SERVER_NAME% 100%%";
    let backend = Backend::start(|_| {
        let answer = "HTTP/1.1 200 OK\r\nx-c: of the backend\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                      2\r\nab\r\n0\r\nx-sum: 7\r\n\r\n";
        vec![Step::Send(answer.into())]
    });
    let rules = format!(
        "[{{filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: x-c, value: ours}}]}}}}], \
         backendRefs: [{}]}}]",
        to("app")
    );
    let gateway =
        Gateway::setup()
            .log_as(format)
            .start(&[EDGE, &backend.yaml("app"), &route("app", &rules)]);
    let address = gateway.address();
    let headers = [("x-b", "12345"), ("te", "trailers")];
    call(
        address,
        &request("GET", "any.example", "/?p=1&q=two", &headers, b""),
    );
    // Refused before anybody looked for a route.
    let underscore = [("x_b", "1"), ("x-b", "no\tcontrol \"characters\"")];
    call(
        address,
        &request("GET", "any.example", "/", &underscore, b""),
    );
    let port = backend.address.port();
    let expected = [
        format!(
            "15/Jan/2027:08:00:00 1800000000.000 host 123 - ours - 7 - two via_upstream - \
             HTTPRoute/default/app/rule/0/match/0/* HTTPRoute/default/app/rule/0@default/edge 127.0.0.1 {port} 1 - \
             127.0.0.1 {address} - - 100%"
        ),
        format!(
            "15/Jan/2027:08:00:00 1800000000.000 host no\\u0009 - - 11 - - - http1.unexpected_underscore \
             DownstreamProtocolError - - - - 0 - 127.0.0.1 {address} - - 100%"
        ),
    ];
    assert_eq!(gateway.log_lines(2), expected);
}

#[test]
fn clients_begin_no_line_and_end_no_quotation() {
    let backend = Backend::named("app");
    let gateway = Gateway::setup()
        .log_as("\"%REQ(USER-AGENT)%\" \"%QUERY_PARAM(q)%\" %RESPONSE_CODE%")
        .start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    let headers = [("user-agent", "a\" 200\\\u{85}\tb")];
    call(
        gateway.address(),
        &request("GET", "any.example", "/?q=%0a%22", &headers, b""),
    );
    assert_eq!(
        gateway.log_lines(1),
        [r#""a\" 200\\\u0085\u0009b" "%0a%22" 200"#]
    );
}

#[test]
fn a_route_may_be_left_out_until_it_is_not_any_more() {
    let backend = Backend::named("app");
    let only = |name: &str, path: &str| {
        format!(
            "[{{matches: [{{path: {{value: {path}}}}}], backendRefs: [{}]}}]",
            to(name)
        )
    };
    let logged = route("logged", &only("app", "/logged"));
    let probes = route("probes", &only("none", "/probes"));
    let silent = probes.replace(
        "{name: probes}",
        "{name: probes, annotations: {weir.dev/access-log: \"off\"}}",
    );
    let backends = backend.yaml("app");
    let mut gateway = Gateway::setup()
        .log_as("%REQ(:PATH)% %RESPONSE_CODE%")
        .start(&[EDGE, &backends, &logged, &silent]);
    let address = gateway.address();
    // Its backend does not exist: what goes wrong is left out as well.
    for path in ["/probes", "/logged"] {
        get(address, "any.example", path);
    }
    gateway.apply(&[EDGE, &backends, &logged, &probes]);
    get(address, "any.example", "/probes");
    assert_eq!(gateway.log_lines(2), ["/logged 200", "/probes 500"]);
}
