//! The order of matches, and the host names that they stand under.

use serde_json::{Value, json};
use weir_plan::HostMatch;

use crate::fixtures::{edge, gateway, resolved, route, table};

#[test]
fn matches_are_in_the_order_of_the_gateway_api() {
    let at = |kind: &str, value: &str| json!({"path": {"type": kind, "value": value}});
    let with = |mut it: Value, more: Value| {
        it.as_object_mut()
            .unwrap()
            .append(&mut more.as_object().unwrap().clone());
        it
    };
    let header = |names: &[&str]| json!({"headers": names.iter().map(|it| json!({"name": it, "value": "1"})).collect::<Vec<_>>()});
    let query = |names: &[&str]| json!({"queryParams": names.iter().map(|it| json!({"name": it, "value": "1"})).collect::<Vec<_>>()});
    // In the order wanted; the name says what decides.
    let matches = [
        at("Exact", "/a/long/path"),
        at("Exact", "/a"),
        at("RegularExpression", "/longer.*"),
        at("RegularExpression", "/a.*"),
        at("PathPrefix", "/aaaa/"),
        with(at("PathPrefix", "/aaa"), json!({"method": "GET"})),
        with(at("PathPrefix", "/aaa"), header(&["a", "b"])),
        with(
            with(at("PathPrefix", "/aaa"), header(&["a"])),
            query(&["a", "b"]),
        ),
        with(
            with(at("PathPrefix", "/aaa"), header(&["a"])),
            query(&["a"]),
        ),
        with(at("PathPrefix", "/aaa"), query(&["a", "b"])),
        with(at("PathPrefix", "/aaa"), query(&["c"])),
        at("PathPrefix", "/aaa"),
        json!({}),
    ];
    let last = matches.len() - 1;
    let backwards: Vec<_> = matches.iter().rev().cloned().collect();
    let resolution = resolved(&[edge(), route("r", json!([{"matches": backwards}]))]);
    let order: Vec<_> = table(&resolution.plan)
        .iter()
        .map(|line| {
            last - line
                .split("/match/")
                .nth(1)
                .unwrap()
                .split('/')
                .next()
                .unwrap()
                .parse::<usize>()
                .unwrap()
        })
        .collect();
    assert_eq!(order, (0..=last).collect::<Vec<_>>());
}

#[test]
fn between_equal_matches_age_then_name_then_place_decides() {
    let aged = |name: &str, year: Option<u16>| {
        let mut it = route(name, json!([{"name": "first"}, {"matches": [{}, {}]}]));
        it["metadata"]["creationTimestamp"] =
            json!(year.map(|year| format!("{year}-01-01T00:00:00Z")));
        it
    };
    let resolution = resolved(&[
        edge(),
        aged("c", Some(2025)),
        aged("b", Some(2025)),
        aged("d", Some(2024)),
        aged("e", None),
    ]);
    let names: Vec<_> = table(&resolution.plan)
        .iter()
        .map(|line| line.split(' ').nth(1).unwrap().to_owned())
        .collect();
    let expected = ["e", "d", "b", "c"].iter().flat_map(|name| {
        ["rule:first/match/0", "rule/1/match/0", "rule/1/match/1"]
            .map(|it| format!("HTTPRoute/ns/{name}/{it}/*"))
    });
    assert_eq!(names, expected.collect::<Vec<_>>());
}

#[test]
fn host_names_are_those_that_route_and_listener_share() {
    let listeners = json!([
        {"name": "wild", "port": 80, "protocol": "HTTP", "hostname": "*.example.com"},
        {"name": "exact", "port": 80, "protocol": "HTTP", "hostname": "a.example.com"},
        {"name": "any", "port": 81, "protocol": "HTTP"},
    ]);
    let mut named = route("named", json!([{}]));
    named["spec"]["hostnames"] = json!([
        "A.example.com",
        "*.b.example.com",
        "a.example.com",
        "*.example.net"
    ]);
    let resolution = resolved(&[
        gateway("edge", listeners),
        named,
        route("unnamed", json!([{}])),
    ]);
    let hosts = |index: usize| -> Vec<String> {
        let listener = &resolution.plan.listeners[index];
        let text = |host: &HostMatch, routes: usize| format!("{host} {routes}");
        let hosts = listener
            .hosts
            .iter()
            .map(|it| text(&it.hostname, it.routes.len()));
        std::iter::once(listener.name.listener.to_string())
            .chain(hosts)
            .collect()
    };
    assert_eq!(hosts(0), ["exact", "a.example.com 2"]);
    assert_eq!(
        hosts(1),
        [
            "wild",
            "a.example.com 1",
            "*.b.example.com 1",
            "*.example.com 1"
        ]
    );
    assert_eq!(
        hosts(2),
        [
            "any",
            "a.example.com 1",
            "*.b.example.com 1",
            "*.example.net 1",
            "* 1"
        ]
    );
}

#[test]
fn a_route_without_rules_matches_everything() {
    let mut without = route("r", json!(null));
    without["spec"].as_object_mut().unwrap().remove("rules");
    assert_eq!(
        table(&resolved(&[edge(), without]).plan),
        ["80/http HTTPRoute/ns/r/rule/0/match/0/* respond 500"]
    );
    assert!(table(&resolved(&[edge(), route("r", json!([]))]).plan).is_empty());
}
