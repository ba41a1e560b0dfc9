//! The router against tables, and against a scan of every route in order.

use http::Request;
use http::header::HeaderName;
use proptest::prelude::{Just, Strategy, prop, prop_oneof, proptest};
use weir_plan::{
    DirectResponse, HeaderChanges, HeaderMatch, HostMatch, ListenerName, NamespacedName, Origin,
    PathMatch, QueryMatch, RouteAction, RouteKind, RouteMatch, RoutePolicy, RouteRule, RuleName,
    ValueMatch,
};

use super::*;

#[test]
fn listeners_of_one_port_are_isolated_by_host_name() {
    let plan = plan(vec![
        listener(
            "exact",
            80,
            "a.example.com",
            vec![("a.example.com", vec![path("/exact")])],
        ),
        listener(
            "suffix",
            80,
            "*.example.com",
            vec![("*.example.com", vec![path("/suffix")])],
        ),
        listener("any", 80, "*", vec![("*", vec![path("/any")])]),
        listener("other", 81, "*", vec![("*", vec![path("/other")])]),
    ]);
    let router = Router::new(&plan);
    let cases = [
        (80, "http://a.example.com/exact", Some("exact")),
        (80, "http://A.Example.com.:8080/exact/x", Some("exact")),
        // It belongs to the most specific listener, whose routes do not fit.
        (80, "http://a.example.com/any", None),
        (80, "http://b.example.com/suffix", Some("suffix")),
        (80, "http://example.com/any", Some("any")),
        (80, "http://example.com//x/../any", Some("any")),
        (80, "/any", Some("any")),
        (81, "/any", None),
        (81, "/other", Some("other")),
        (82, "/any", None),
    ];
    for (port, uri, name) in cases {
        let found = router.find(port, &request(uri));
        let found = found.map(|it| it.listener.name.listener.to_string());
        assert_eq!(found.as_deref(), name, "{port} {uri}");
    }
}

#[test]
fn headers_and_parameters_are_compared() {
    let with = |name: &'static str, value| {
        let value = HeaderMatch {
            name: HeaderName::from_static(name),
            value,
        };
        RouteMatch {
            headers: vec![value],
            ..path("")
        }
    };
    let query = |name: &str, value: &str| {
        let value = QueryMatch {
            name: name.into(),
            value: ValueMatch::Exact(value.into()),
        };
        RouteMatch {
            query: vec![value],
            ..path("")
        }
    };
    let exact = |value: &str| ValueMatch::Exact(value.into());
    let regex = |value: &str| ValueMatch::Regex(value.into());
    let cases = [
        (with("x-a", exact("1")), "/", true),
        (with("x-b", exact("1,2")), "/", true),
        (with("x-b", exact("1")), "/", false),
        (with("x-b", regex("1,.")), "/", true),
        (with("x-a", regex("")), "/", false),
        (with("x-c", regex(".*")), "/", false),
        (with("x-a", regex("(")), "/", false),
        (query("q", "1"), "/?q=1&q=2", true),
        (query("q", "2"), "/?q=1&q=2", false),
        (query("q", ""), "/?q", true),
        (query("q", ""), "/", false),
    ];
    for (matches, uri, fits) in cases {
        let plan = plan(vec![listener(
            "l",
            80,
            "*",
            vec![("*", vec![matches.clone()])],
        )]);
        let mut request = request(uri);
        for (name, value) in [("x-a", "1"), ("x-b", "1"), ("x-b", "2")] {
            request.headers.append(name, value.parse().unwrap());
        }
        let found = Router::new(&plan).find(80, &request);
        assert_eq!(found.is_some(), fits, "{matches:?} {uri}");
    }
}

#[test]
fn what_did_not_change_is_taken_over() {
    let hosts = |last: &str| vec![("a", vec![path("/1"), path("/2")]), ("b", vec![path(last)])];
    let before = plan(vec![listener("l", 80, "*", hosts("/3"))]);
    let mut after = plan(vec![listener("l", 80, "*", hosts("/4"))]);
    // Host a is the same Arc; of host b, the route has changed.
    let listener = Arc::make_mut(&mut after.listeners[0]);
    listener.hosts[0] = Arc::clone(&before.listeners[0].hosts[0]);
    let mut made = Vec::new();
    let mut count = 0;
    let mut build = |plan: &Plan, previous: Option<&Router<u32>>| {
        Router::build(
            plan,
            previous,
            &mut Patterns::default(),
            &mut |_, route, known, _| {
                count += 1;
                made.push((route.name.to_string(), known.map(|it| it.state)));
                count
            },
        )
    };
    let first = build(&before, None);
    let second = build(&after, Some(&first));
    let third = build(&after, Some(&second));
    assert_eq!(made.len(), 4, "{made:?}");
    assert_eq!(
        made[3].1,
        Some(3),
        "the changed route sees what its predecessor had"
    );
    let states = |router: &Router<u32>| {
        let mut states: Vec<_> = router.entries().map(|it| it.state).collect();
        states.sort_unstable();
        states
    };
    assert_eq!(states(&second), [1, 2, 4]);
    assert_eq!(states(&third), [1, 2, 4]);
}

proptest! {
    #[test]
    fn the_index_answers_like_a_scan(
        routes in prop::collection::vec(any_match(), 0..24),
        path in any_path(),
        header in prop::option::of("[01]"),
        post in prop::bool::ANY,
    ) {
        let plan = plan(vec![listener("l", 80, "*", vec![("*", routes)])]);
        let mut request = request(&path);
        if let Some(header) = &header {
            request.headers.insert("x-a", header.parse().unwrap());
        }
        if post {
            request.method = Method::POST;
        }
        let scanned = plan.listeners[0].hosts[0].routes.iter().find(|it| scan(&it.matches, &request));
        let found = Router::new(&plan).find(80, &request);
        assert_eq!(
            found.map(|it| it.route.name.to_string()),
            scanned.map(|it| it.name.to_string())
        );
    }
}

/// What a match means, letter for letter.
fn scan(matches: &RouteMatch, request: &http::request::Parts) -> bool {
    let Normalised::Same = normalise(request.uri.path(), PathNormalisation::DEFAULT) else {
        panic!("the generated paths are in normal form");
    };
    let path = request.uri.path();
    let path_fits = match &matches.path {
        PathMatch::Exact(exact) => path == &**exact,
        PathMatch::Prefix(prefix) => path
            .strip_prefix(&**prefix)
            .is_some_and(|rest| prefix.is_empty() || rest.is_empty() || rest.starts_with('/')),
        PathMatch::Regex(text) => regex::Regex::new(&format!("^(?:{text})$"))
            .unwrap()
            .is_match(path),
    };
    path_fits
        && matches
            .method
            .as_ref()
            .is_none_or(|it| *it == request.method)
        && matches
            .headers
            .iter()
            .all(|HeaderMatch { name, value }| match value {
                ValueMatch::Exact(text) => {
                    request.headers.get(name).is_some_and(|it| it == &**text)
                }
                ValueMatch::Regex(_) => unreachable!("the generated matches have none"),
            })
}

fn any_path() -> impl Strategy<Value = String> {
    prop::collection::vec("[ab]{0,1}", 1..5).prop_map(|elements| {
        let elements: Vec<_> = elements.into_iter().filter(|it| !it.is_empty()).collect();
        format!("/{}", elements.join("/"))
    })
}

fn any_match() -> impl Strategy<Value = RouteMatch> {
    let path = prop_oneof![
        any_path().prop_map(|it| PathMatch::Exact(it.into())),
        any_path().prop_map(|it| PathMatch::Prefix(it.trim_end_matches('/').into())),
        Just(PathMatch::Prefix("".into())),
        "/[ab]{1,2}\\.?".prop_map(|it| PathMatch::Regex(it.into())),
        Just(PathMatch::Regex("/a(/b)*".into())),
    ];
    let method = prop::option::weighted(0.2, Just(Method::POST));
    let header = prop::option::weighted(0.3, "[01]");
    (path, method, header).prop_map(|(path, method, header)| RouteMatch {
        path,
        method,
        headers: header
            .map(|value| HeaderMatch {
                name: HeaderName::from_static("x-a"),
                value: ValueMatch::Exact(value.into()),
            })
            .into_iter()
            .collect(),
        query: Vec::new(),
        cookies: Vec::new(),
    })
}

fn request(uri: &str) -> http::request::Parts {
    Request::get(uri).body(()).unwrap().into_parts().0
}

fn path(prefix: &str) -> RouteMatch {
    RouteMatch {
        path: PathMatch::Prefix(prefix.into()),
        method: None,
        headers: Vec::new(),
        query: Vec::new(),
        cookies: Vec::new(),
    }
}

fn plan(listeners: Vec<Listener>) -> Plan {
    Plan {
        listeners: listeners.into_iter().map(Arc::new).collect(),
        clusters: std::collections::BTreeMap::new(),
        l4: Vec::new(),
    }
}

fn listener(name: &str, port: u16, host: &str, hosts: Vec<(&str, Vec<RouteMatch>)>) -> Listener {
    let rule = Arc::new(RouteRule {
        name: RuleName {
            kind: RouteKind::Http,
            route: NamespacedName::new("default", "r"),
            index: 0,
            rule: None,
        },
        origin: Origin::default(),
        policy: Arc::new(RoutePolicy::DEFAULT),
        unlogged: false,
        request_headers: HeaderChanges::default(),
        response_headers: HeaderChanges::default(),
        cors: None,
        action: RouteAction::Respond(DirectResponse {
            status: 200,
            reason: "test".into(),
            content: None,
        }),
    });
    let hosts = hosts.into_iter().map(|(host, matches)| {
        let routes = matches.into_iter().enumerate().map(|(place, matches)| {
            let name = RouteName::of(&rule.name, place, host);
            Arc::new(Route {
                name,
                matches,
                rule: Arc::clone(&rule),
            })
        });
        Arc::new(VirtualHost {
            hostname: HostMatch::parse(host),
            routes: routes.collect(),
        })
    });
    Listener {
        name: ListenerName {
            gateway: NamespacedName::new("default", "gw"),
            listener: name.into(),
        },
        port,
        hostname: HostMatch::parse(host),
        tls: None,
        client: None,
        hosts: hosts.collect(),
    }
}
