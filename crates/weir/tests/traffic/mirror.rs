//! RequestMirror on the wire: copies of requests go to other backends, and whatever becomes of them is not the client's
//! concern.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

use crate::backend::{Backend, Gate, Request, reply};
use crate::client::{Client, call, find, get, request, wait_until};
use crate::gateway::{EDGE, Gateway, route, to};

/// A filter that mirrors to the Backend `name`, with more settings in flow style.
fn mirror(name: &str, more: &str) -> String {
    format!(
        "{{type: RequestMirror, requestMirror: {{backendRef: {}{more}}}}}",
        to(name)
    )
}

fn mirrored(filters: &[String]) -> String {
    let rule = format!(
        "[{{filters: [{}], backendRefs: [{}]}}]",
        filters.join(", "),
        to("main")
    );
    route("mirrored", &rule)
}

fn shape(request: &Request) -> (&str, &str, &[u8], Option<&str>) {
    let changed = request.header("x-set");
    (&request.method, &request.target, &request.body, changed)
}

#[test]
fn copies_go_to_every_mirror_as_the_rule_changed_the_request() {
    let (main, one, two) = (
        Backend::named("main"),
        Backend::start(|_| reply(500, "nobody reads this")),
        Backend::named("two"),
    );
    let change =
        "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-set, value: '1'}]}}";
    let rewrite = "{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /in}}}";
    let filters = [
        mirror("one", ""),
        mirror("two", ""),
        change.to_owned(),
        rewrite.to_owned(),
    ];
    let gateway = Gateway::setup().log().start(&[
        EDGE,
        &main.yaml("main"),
        &one.yaml("one"),
        &two.yaml("two"),
        &mirrored(&filters),
    ]);
    let chunked = "POST /c HTTP/1.1\r\nhost: any.example\r\ntransfer-encoding: chunked\r\ntrailer: x-trailer\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nx-trailer: 1\r\n\r\n";
    let sent = [
        request("GET", "any.example", "/a?b=c", &[], b""),
        request("POST", "any.example:8080", "/b", &[], b"some text"),
        chunked.as_bytes().to_vec(),
    ];
    for bytes in &sent {
        assert_eq!(
            call(gateway.address(), bytes).brief(),
            (200, "main".to_owned())
        );
    }
    let expected = [
        ("GET", "/in/a?b=c", &b""[..], Some("1")),
        ("POST", "/in/b", b"some text", Some("1")),
        ("POST", "/in/c", b"abcde", Some("1")),
    ];
    for (name, mirror) in [("one", &one), ("two", &two)] {
        wait_until(name, || mirror.count() == sent.len());
        let mut requests = mirror.requests();
        requests.sort_by(|a, b| a.target.cmp(&b.target));
        let shapes: Vec<_> = requests.iter().map(shape).collect();
        assert_eq!(shapes, expected, "{name}");
        let hosts: Vec<_> = requests
            .iter()
            .map(|it| it.header("host").unwrap())
            .collect();
        assert_eq!(
            hosts,
            [
                "any.example-shadow",
                "any.example-shadow:8080",
                "any.example-shadow"
            ]
        );
        assert_eq!(find(&requests[2].trailers, "x-trailer"), Some("1"));
    }
    let shapes: Vec<_> = main
        .requests()
        .iter()
        .map(|it| it.header("host").map(str::to_owned))
        .collect();
    assert_eq!(shapes[0].as_deref(), Some("any.example"));
    wait_until("the copies are counted", || {
        gateway.metric(&["weir_mirrored_requests_total", "answered"]) == 6.0
    });
    // They are requests of clusters of their own, and no requests of clients.
    let requests = |cluster| gateway.metric(&["weir_upstream_requests_total", cluster]);
    assert_eq!(requests("/rule/0@"), 3.0);
    assert_eq!(requests("/mirror/0@"), 3.0);
    assert_eq!(gateway.metric(&["weir_requests_total"]), 3.0);
    assert_eq!(gateway.logged(3).len(), 3);
}

#[test]
fn shares_of_the_requests_are_mirrored() {
    let (main, half, third, never) = (
        Backend::named("main"),
        Backend::named("half"),
        Backend::named("third"),
        Backend::named("never"),
    );
    let filters = [
        mirror("half", ", percent: 50"),
        mirror("third", ", fraction: {numerator: 1, denominator: 3}"),
        mirror("never", ", percent: 0"),
    ];
    let gateway = Gateway::start(&[
        EDGE,
        &main.yaml("main"),
        &half.yaml("half"),
        &third.yaml("third"),
        &never.yaml("never"),
        &mirrored(&filters),
    ]);
    let mut client = Client::connect(gateway.address());
    for _ in 0..300 {
        assert_eq!(client.get("any.example", "/").status, 200);
    }
    wait_until("no copy is in progress", || {
        gateway.metric(&["weir_mirrored_requests_active"]) == 0.0
    });
    let counts = || (half.count(), third.count(), never.count());
    let (of_half, of_third, of_never) = counts(); // the seed is fixed, so that this cannot fail by chance
    assert!((120..=180).contains(&of_half), "{of_half}");
    assert!((70..=130).contains(&of_third), "{of_third}");
    assert_eq!(of_never, 0);
}

#[test]
fn a_mirror_that_hangs_fails_or_is_gone_delays_nobody() {
    let gate = Gate::default();
    let (main, hanging, gone) = (
        Backend::named("main"),
        Backend::holding(&gate),
        Backend::named("gone"),
    );
    gone.kill();
    let filters = [mirror("hanging", ""), mirror("gone", "")];
    let gateway = Gateway::start(&[
        EDGE,
        &main.yaml("main"),
        &hanging.yaml("hanging"),
        &gone.yaml("gone"),
        &mirrored(&filters),
    ]);
    for _ in 0..5 {
        let post = request("POST", "any.example", "/", &[], b"text");
        assert_eq!(
            call(gateway.address(), &post).brief(),
            (200, "main".to_owned())
        );
    }
    gate.wait_for(5);
    let result = |result| gateway.metric(&["weir_mirrored_requests_total", result]);
    wait_until("the failures are counted", || result("failed") == 5.0);
    assert_eq!(result("answered"), 0.0);
    gate.open();
    wait_until("the answers are counted", || result("answered") == 5.0);
}

#[test]
fn a_body_that_a_mirror_does_not_take_is_cut_off_for_the_mirror_only() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stuck = format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {{name: stuck}}\n\
         spec: {{endpoints: [{{ip: {{address: 127.0.0.1, port: {}}}}}]}}\n",
        listener.local_addr().unwrap().port()
    );
    let (accepted, streams) = mpsc::channel::<TcpStream>();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = accepted.send(stream); // kept open, never read
        }
    });
    let main = Backend::start(|seen| reply(200, &seen.body.len().to_string()));
    let gateway = Gateway::start(&[
        EDGE,
        &main.yaml("main"),
        &stuck,
        &mirrored(&[mirror("stuck", "")]),
    ]);
    let body = vec![b'x'; 32 << 20]; // more than the system's buffers take
    let post = request("POST", "any.example", "/", &[], &body);
    let response = call(gateway.address(), &post);
    assert_eq!(response.brief(), (200, body.len().to_string()));
    wait_until("the copy is cut off", || {
        gateway.metric(&["weir_mirrored_requests_total", "cut_off"]) == 1.0
    });
    // The mirror sees that it has not got all.
    let mut stream = streams.recv().unwrap();
    let mut got = Vec::new();
    let _ = stream.read_to_end(&mut got); // it may be a reset
    assert!(got.len() < body.len());
}

#[test]
fn a_client_that_leaves_does_not_take_the_copy_with_it() {
    let gate = Gate::default();
    let (main, copy) = (Backend::holding(&gate), Backend::holding(&gate));
    let gateway = Gateway::start(&[
        EDGE,
        &main.yaml("main"),
        &copy.yaml("copy"),
        &mirrored(&[mirror("copy", "")]),
    ]);
    let mut client = Client::connect(gateway.address());
    client.send(&request("POST", "any.example", "/", &[], b"text"));
    gate.wait_for(2);
    drop(client);
    wait_until("the client's departure is noticed", || {
        gateway.metric(&["weir_requests_active"]) == 0.0
    });
    gate.open();
    wait_until("the copy is answered", || {
        gateway.metric(&["weir_mirrored_requests_total", "answered"]) == 1.0
    });
    assert_eq!(copy.last().body, b"text");
}

#[test]
fn a_mirror_that_leads_nowhere_leaves_the_rule_in_service() {
    let main = Backend::named("main");
    let gateway = Gateway::start(&[
        EDGE,
        &main.yaml("main"),
        &mirrored(&[mirror("nowhere", "")]),
    ]);
    assert_eq!(get(gateway.address(), "any.example", "/").status, 200);
}

#[test]
fn a_mirror_gets_the_credential_of_the_rule_and_not_that_of_a_backend() {
    let (main, copy) = (Backend::named("main"), Backend::named("copy"));
    let filter = |name: &str, header: &str| {
        format!(
            "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: HTTPRouteFilter\nmetadata: {{name: {name}}}\n\
             spec: {{credentialInjection: {{header: {header}, credential: {{valueRef: {{name: key}}}}}}}}\n"
        )
    };
    let refer = |name: &str| {
        format!(
            "{{type: ExtensionRef, extensionRef: {{group: gateway.envoyproxy.io, kind: HTTPRouteFilter, name: {name}}}}}"
        )
    };
    let rule = format!(
        "[{{filters: [{}, {}], backendRefs: [{{group: gateway.envoyproxy.io, kind: Backend, name: main, filters: [{}]}}]}}]",
        mirror("copy", ""),
        refer("rule"),
        refer("backend")
    );
    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {credential: hidden}\n";
    let gateway = Gateway::start(&[
        EDGE,
        &main.yaml("main"),
        &copy.yaml("copy"),
        secret,
        &filter("rule", "x-rule"),
        &filter("backend", "x-backend"),
        &route("mirrored", &rule),
    ]);
    assert_eq!(get(gateway.address(), "any.example", "/").status, 200);
    wait_until("the copy has arrived", || copy.count() == 1);
    let seen = |backend: &Backend| {
        let last = backend.last();
        ["x-rule", "x-backend"].map(|name| last.header(name).map(str::to_owned))
    };
    let hidden = Some("hidden".to_owned());
    assert_eq!(seen(&main), [hidden.clone(), hidden.clone()]);
    assert_eq!(seen(&copy), [hidden, None]);
}
