//! What becomes of news: lists that begin anew, objects that cannot be read, and what is referred to.

use serde_json::{Value, json};
use weir_resolve::FieldPath;

use super::*;
use crate::kubernetes::joined::streams;

/// All kinds are listed, and empty.
fn empty(namespaces: Namespaces) -> Known {
    let streams = streams(&namespaces);
    let mut known = Known::new(namespaces, &streams, Arc::new(Observed::new()));
    for (number, Stream { kind, .. }) in streams.iter().enumerate() {
        known.take(number, News::Version(kind.api_resource(kind.versions[0])));
        for event in [Event::Init, Event::InitDone] {
            known.take(number, News::Event(Box::new(event)));
        }
    }
    known
}

fn stream(known: &Known, kind: &str) -> usize {
    let mut streams = known.streams.iter();
    streams.position(|it| it.stream.kind.kind == kind).unwrap()
}

fn hear(known: &mut Known, kind: &str, event: Event<DynamicObject>) -> bool {
    known.take(stream(known, kind), News::Event(Box::new(event)))
}

fn object(document: Value) -> DynamicObject {
    serde_json::from_value(document).unwrap()
}

fn named_object(namespace: &str, name: &str, spec: &Value) -> DynamicObject {
    let metadata = json!({"namespace": namespace, "name": name, "resourceVersion": "1"});
    object(json!({"metadata": metadata, "spec": spec}))
}

fn route(name: &str) -> DynamicObject {
    named_object("default", name, &json!({"parentRefs": [{"name": "edge"}]}))
}

fn routes(known: &Known) -> Vec<String> {
    let routes = known.snapshot().resources.http_routes;
    routes.keys().map(|it| it.name.to_string()).collect()
}

#[test]
fn a_list_that_begins_anew_removes_what_it_does_not_name_at_its_end() {
    let mut known = empty(Namespaces::All);
    for name in ["a", "b"] {
        assert!(hear(&mut known, "HTTPRoute", Event::Apply(route(name))));
    }
    hear(&mut known, "HTTPRoute", Event::Init);
    let same = hear(&mut known, "HTTPRoute", Event::InitApply(route("a")));
    assert!(!same, "nothing is new about it");
    assert_eq!(routes(&known), ["a", "b"]);
    assert!(hear(&mut known, "HTTPRoute", Event::InitDone));
    assert_eq!(routes(&known), ["a"]);
}

#[test]
fn an_object_that_cannot_be_read_keeps_its_last_good_version() {
    let mut known = empty(Namespaces::All);
    hear(&mut known, "HTTPRoute", Event::Apply(route("a")));
    let good = known.snapshot();
    let broken = named_object("default", "a", &json!({"parentRefs": 5}));
    assert!(hear(&mut known, "HTTPRoute", Event::Apply(broken)));
    let now = known.snapshot();
    assert!(now.resources.is_same_but_endpoints(&good.resources));
    let [finding] = now.findings.as_slice() else {
        panic!("{:?}", now.findings)
    };
    assert_eq!(finding.location, None);
    assert_ne!(finding.field, FieldPath::default());
    assert!(hear(&mut known, "HTTPRoute", Event::Delete(route("a"))));
    let gone = known.snapshot();
    assert_eq!((gone.findings.len(), routes(&known).len()), (0, 0));
}

#[test]
fn what_changes_a_status_alone_changes_nothing() {
    let mut known = empty(Namespaces::All);
    hear(&mut known, "HTTPRoute", Event::Apply(route("a")));
    let mut told = route("a");
    told.metadata.resource_version = Some("2".to_owned());
    told.data["status"] = json!({"parents": []});
    assert!(!hear(&mut known, "HTTPRoute", Event::Apply(told)));
    let current = known.statuses.all();
    let [current] = current.values().collect::<Vec<_>>()[..] else {
        panic!("{current:?}")
    };
    assert_eq!(
        (&*current.version, &current.status),
        ("2", &json!({"parents": []}))
    );
}

#[test]
fn contents_are_asked_for_when_something_refers_to_them() {
    let mut known = empty(Namespaces::All);
    let secret = |version: &str| {
        let metadata = json!({"namespace": "default", "name": "cert", "resourceVersion": version});
        object(json!({"metadata": metadata, "data": {}}))
    };
    let listeners = json!([{"name": "https", "port": 443, "protocol": "HTTPS",
        "tls": {"certificateRefs": [{"name": "cert"}]}}]);
    let spec = json!({"gatewayClassName": "weir", "listeners": listeners});
    let gateway = named_object("default", "edge", &spec);
    let wanted = |known: &mut Known| -> Vec<String> {
        known.wanted().0.into_iter().map(|it| it.version).collect()
    };
    let secrets = |known: &Known| known.snapshot().resources.secrets.len();
    let number = stream(&known, "Secret");
    let name = NamespacedName::new("default", "cert");

    hear(&mut known, "Secret", Event::Apply(secret("1")));
    assert!(wanted(&mut known).is_empty(), "nobody refers to it");
    hear(&mut known, "Gateway", Event::Apply(gateway.clone()));
    assert_eq!(wanted(&mut known), ["1"]);
    assert!(wanted(&mut known).is_empty(), "it is asked for once");
    let version = "1".to_owned();
    let unfetched = Unfetched {
        name: name.clone(),
        version,
    };
    known.take(number, News::Unfetched(unfetched));
    assert_eq!(wanted(&mut known), ["1"], "it is asked for again");
    assert!(known.is_fetching());
    let fetched = |version: &str| {
        News::Fetched(Fetched {
            name: name.clone(),
            version: version.to_owned(),
            object: Some(Box::new(secret(version))),
        })
    };
    assert!(known.take(number, fetched("1")));
    assert!(!known.is_fetching());
    assert_eq!(secrets(&known), 1);

    hear(&mut known, "Secret", Event::Apply(secret("2")));
    assert_eq!(wanted(&mut known), ["2"]);
    assert!(!known.take(number, fetched("1")), "another is on its way");
    assert!(known.is_fetching());
    known.take(number, fetched("2"));
    hear(&mut known, "Gateway", Event::Delete(gateway));
    assert!(known.wanted().1, "nobody refers to it any more");
    assert_eq!(secrets(&known), 0);
}

#[test]
fn namespaces_may_be_chosen_by_their_labels() {
    let labels = [("team".to_owned(), "a".to_owned())];
    let mut known = empty(Namespaces::Labelled(labels.into()));
    hear(&mut known, "HTTPRoute", Event::Apply(route("a")));
    assert!(routes(&known).is_empty());
    let namespace = |team: &str| {
        object(json!({"metadata": {"name": "default", "labels": {"team": team}}, "spec": {}}))
    };
    hear(&mut known, "Namespace", Event::Apply(namespace("a")));
    assert_eq!(routes(&known), ["a"]);
    hear(&mut known, "Namespace", Event::Apply(namespace("b")));
    assert!(routes(&known).is_empty());
}

#[test]
fn what_is_not_listed_yet_is_told_with_the_reason() {
    let namespaces = Namespaces::Named(["shop".to_owned()].into());
    let streams = streams(&namespaces);
    let mut known = Known::new(namespaces, &streams, Arc::new(Observed::new()));
    assert_eq!(known.waiting().len(), streams.len());
    let refused = Trouble::Refused("not allowed".to_owned());
    known.take(stream(&known, "Gateway"), News::Trouble(refused));
    assert!(known.waiting().contains(&"not allowed".to_owned()));
    // A kind that the API server does not know is not waited for.
    for number in 0..streams.len() {
        assert!(!known.is_listed());
        known.take(number, News::Unknown);
    }
    assert!(known.is_listed());
    assert!(known.waiting().is_empty());
}
