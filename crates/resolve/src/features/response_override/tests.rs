//! Overrides as written and as planned, and what is wrong with some.

use serde_json::json;

use super::*;

fn config_map(data: &serde_json::Value) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {}, "data": data})).unwrap()
}

fn lowered(spec: &serde_json::Value) -> (Vec<plan::ResponseOverride>, Option<String>) {
    let full = config_map(&json!({"a": "first", "response.body": "named"}));
    let other = config_map(&json!({"b": "second", "a": "first"}));
    let empty = config_map(&json!({}));
    let overrides: Vec<ResponseOverride> = serde_json::from_value(spec.clone()).unwrap();
    let find = |name: &NamespacedName| match &*name.name {
        "full" => Some(&full),
        "other" => Some(&other),
        "empty" => Some(&empty),
        _ => None,
    };
    let mut found = Faults::default();
    let lowered = lower(&overrides, "ns", &find, &mut found);
    (lowered, found.message())
}

fn referred(name: &str) -> serde_json::Value {
    json!([{"response": {"body": {"type": "ValueRef", "valueRef": {"kind": "ConfigMap", "name": name}}}}])
}

#[test]
fn a_response_is_lowered_whole() {
    let (rules, fault) = lowered(&json!([{
        "match": {
            "statusCodes": [{"value": 404}, {"type": "Range", "range": {"start": 500, "end": 511}}],
            "responseHeaders": [{"name": "X-A", "value": {"type": "Prefix", "value": "b"}}, {"name": "x-c", "value": {"value": "d"}}],
        },
        "source": "Backend",
        "response": {
            "contentType": "text/plain", "statusCode": 401,
            "body": {"inline": "%RESPONSE_CODE% 100%%"},
            "header": {"add": [{"name": "X-Add", "value": "1"}], "set": [{"name": "x-set", "value": "%REQ(a)%"}]},
        },
    }]));
    assert_eq!(fault, None);
    let header = |name: &str| HeaderNameText(name.parse().unwrap());
    let condition = |name, value| plan::ResponseHeaderMatch {
        name: header(name),
        value,
    };
    let changes = |name: &str, value: &str| vec![(header(name).0, value.parse().unwrap())];
    let expected = plan::ResponseOverride {
        statuses: vec![404..=404, 500..=511],
        headers: vec![
            condition("x-a", TextMatch::Prefix("b".into())),
            condition("x-c", TextMatch::Exact("d".into())),
        ],
        source: ResponseSource::Backend,
        with: Replacement::Response(ReplacedResponse {
            status: Some(401),
            content_type: Some("text/plain".into()),
            body: Some(ReplacedBody((*b"%RESPONSE_CODE% 100%%").into())),
            headers: weir_plan::HeaderChanges {
                set: changes("x-set", "%REQ(a)%"),
                add: changes("x-add", "1"),
                remove: vec![],
            },
        }),
    };
    assert_eq!(rules, [expected]);
}

#[test]
fn a_redirect_is_lowered_whole() {
    let redirect = json!({"scheme": "https", "hostname": "a.b", "port": 8443,
        "path": {"type": "ReplaceFullPath", "replaceFullPath": "/p"}, "statusCode": 301});
    let nothing = InternalRedirect {
        scheme: None,
        hostname: None,
        path: None,
        port: None,
        status: 302,
    };
    let whole = InternalRedirect {
        scheme: Some("https".into()),
        hostname: Some("a.b".into()),
        path: Some("/p".into()),
        port: Some(8443),
        status: 301,
    };
    let (rules, fault) = lowered(&json!([{"redirect": redirect}, {"redirect": {}}]));
    let with: Vec<_> = rules.into_iter().map(|it| it.with).collect();
    let expected = [whole, nothing].map(Replacement::Redirect);
    assert_eq!((with.as_slice(), fault), (expected.as_slice(), None));
}

#[test]
fn a_body_comes_from_a_config_map() {
    for (name, expected) in [("full", "named"), ("other", "first")] {
        let (rules, _) = lowered(&referred(name));
        let Replacement::Response(response) = &rules[0].with else {
            panic!("{rules:?}");
        };
        assert_eq!(
            response.body,
            Some(ReplacedBody(expected.as_bytes().into()))
        );
    }
}

#[test]
fn statuses_that_there_are_not_match_none() {
    let (rules, _) =
        lowered(&json!([{"match": {"statusCodes": [{"value": -1}, {"value": 70_000}]}}]));
    assert_eq!(rules[0].statuses, [0..=0, u16::MAX..=u16::MAX]);
}

#[test]
fn faults() {
    for (spec, expected) in [
        (
            referred("empty"),
            "can't find the key response.body in the referenced configmap ns/empty.",
        ),
        (
            referred("none"),
            "can't find the referenced configmap ns/none.",
        ),
        (
            json!([{"response": {"statusCode": 600}}]),
            "invalid StatusCode value 600.",
        ),
        (
            json!([{"match": {"responseHeaders": [{"name": "a", "value": {"type": "RegularExpression", "value": "*"}}]}}]),
            "regex \"*\" is invalid: error parsing regexp: missing argument to repetition operator: `*`.",
        ),
        (
            json!([{"match": {"responseHeaders": [{"name": "a", "value": {"type": "RegularExpression", "value": "(a){2}{3}"}}]}}]),
            "regex \"(a){2}{3}\" is invalid: error parsing regexp: invalid nested repetition operator: `{2}{3}`.",
        ),
        (
            json!([{"match": {"responseHeaders": [{"name": "a b", "value": {"value": "c"}}]}}]),
            "\"a b\" is no name of a header.",
        ),
        (
            json!([{"response": {"body": {"inline": "100%"}}}]),
            "invalid Body: there is no operator at \"%\"; a % that is meant as one is written %%.",
        ),
        (
            json!([{"response": {"header": {"add": [{"name": "a", "value": "%NOPE%"}]}}}]),
            "invalid value of header a: there is no operator NOPE.",
        ),
        (
            json!([{"response": {"header": {"add": [{"name": "a", "value": "b\nc"}]}}}]),
            "the value of header a cannot be sent.",
        ),
        (json!([{"redirect": {"port": 0}}]), "invalid Port value 0."),
    ] {
        let (_, fault) = lowered(&spec);
        assert_eq!(
            fault,
            Some(format!("ResponseOverride: {expected}")),
            "{spec}"
        );
    }
}
