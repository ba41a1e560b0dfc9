//! Where redirects lead, and which port and scheme they name.

use crate::client::get;
use crate::gateway::{EDGE, Gateway, route};

#[test]
fn redirects_say_where_to_go() {
    let rule = |path: &str, redirect: &str| {
        format!(
            "{{matches: [{{path: {{value: {path}}}}}], filters: [{{type: RequestRedirect, requestRedirect: {redirect}}}]}}"
        )
    };
    let rules = [
        rule("/host", "{hostname: new.example}"),
        rule("/scheme", "{scheme: https, statusCode: 301}"),
        rule(
            "/full",
            "{path: {type: ReplaceFullPath, replaceFullPath: /all/new}}",
        ),
        rule(
            "/prefix",
            "{path: {type: ReplacePrefixMatch, replacePrefixMatch: /fresh}}",
        ),
        rule("/port", "{port: 8443, statusCode: 302}"),
        rule(
            "/all",
            "{scheme: https, hostname: new.example, port: 443, path: {type: ReplaceFullPath, replaceFullPath: /}}",
        ),
    ];
    let gateway = Gateway::start(&[
        EDGE,
        &route("redirects", &format!("[{}]", rules.join(", "))),
    ]);
    let cases = [
        ("/host/a?b=c", 302, "http://new.example/host/a?b=c"),
        ("/scheme/a", 301, "https://old.example/scheme/a"),
        ("/full/a?b=c", 302, "http://old.example/all/new?b=c"),
        ("/prefix/a?b=c", 302, "http://old.example/fresh/a?b=c"),
        ("/prefix", 302, "http://old.example/fresh"),
        ("/port", 302, "http://old.example:8443/port"),
        ("/all/x", 302, "https://new.example/"),
    ];
    for (target, status, location) in cases {
        let response = get(gateway.address(), "old.example", target);
        assert_eq!(
            (response.status, response.header("location")),
            (status, Some(location)),
            "{target}"
        );
    }
}

#[test]
fn redirects_name_the_port_of_the_listener_that_they_come_from() {
    let gateway = EDGE.replace(
        "listeners: [{name: http, protocol: HTTP, port: 80}]",
        "listeners: [{name: http, protocol: HTTP, port: 80}, {name: other, protocol: HTTP, port: 8080}]",
    );
    let rule = |path: &str, redirect: &str| {
        format!(
            "{{matches: [{{path: {{value: {path}}}}}], filters: [{{type: RequestRedirect, requestRedirect: {redirect}}}]}}"
        )
    };
    let rules = [
        rule(
            "/same",
            "{path: {type: ReplaceFullPath, replaceFullPath: /new}}",
        ),
        rule("/http", "{scheme: http}"),
        rule("/https", "{scheme: https}"),
        rule("/port", "{port: 8443}"),
        rule("/own", "{scheme: https, port: 443}"),
        rule("/odd", "{scheme: http, port: 443}"),
    ];
    let gateway = Gateway::start(&[
        &gateway,
        &route("redirects", &format!("[{}]", rules.join(", "))),
    ]);
    let cases = [
        (80, "/same", "http://a.example/new"),
        (8080, "/same", "http://a.example:8080/new"),
        (80, "/http", "http://a.example/http"),
        (8080, "/http", "http://a.example/http"),
        (80, "/https", "https://a.example/https"),
        (8080, "/https", "https://a.example/https"),
        (80, "/port", "http://a.example:8443/port"),
        (8080, "/port", "http://a.example:8443/port"),
        (8080, "/own", "https://a.example/own"),
        (80, "/odd", "http://a.example:443/odd"),
    ];
    for (port, target, location) in cases {
        // What the client says of the port is nothing to go by.
        for host in ["a.example", "a.example:9999"] {
            let response = get(gateway.address_of(port), host, target);
            assert_eq!(
                (response.status, response.header("location")),
                (302, Some(location)),
                "{port} {target} {host}"
            );
        }
    }
    for status in [301, 302, 303, 307, 308] {
        let rule = rule(
            "/",
            &format!("{{hostname: b.example, statusCode: {status}}}"),
        );
        let gateway = Gateway::start(&[EDGE, &route("redirect", &format!("[{rule}]"))]);
        assert_eq!(get(gateway.address(), "a.example", "/").status, status);
    }
}
