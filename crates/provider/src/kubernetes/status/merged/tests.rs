//! What becomes of a status: whose entries stay, which times are kept, and when nothing is written.

use std::sync::Arc;

use weir_resolve::status::ConditionStatus;

use super::*;

const US: &str = "weir.dev/gateway-controller";
const LONG_AGO: &str = "2026-01-02T03:04:05Z";

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn accepted(status: ConditionStatus, generation: i64) -> Condition {
    Condition {
        r#type: "Accepted".to_owned(),
        status,
        reason: "Accepted".to_owned(),
        message: "fine".to_owned(),
        observed_generation: Some(generation),
    }
}

fn parent(name: &str, conditions: Vec<Condition>) -> RouteParentStatus {
    RouteParentStatus {
        parent_ref: ParentReference {
            group: GATEWAY_GROUP.to_owned(),
            kind: "Gateway".to_owned(),
            namespace: Some("default".to_owned()),
            name: name.to_owned(),
            section_name: None,
            port: None,
        },
        controller_name: US.to_owned(),
        conditions,
    }
}

fn written(wanted: &Wanted<'_>, current: &Value) -> Option<Value> {
    merged(wanted, current, US, &[], now())
}

#[test]
fn what_is_there_already_is_not_written() {
    let parents = [parent("g", vec![accepted(ConditionStatus::True, 1)])];
    let wanted = Wanted::Route(&parents);
    let first = written(&wanted, &Value::Null).unwrap();
    assert_eq!(
        first["parents"][0]["conditions"][0]["lastTransitionTime"],
        "2026-11-24T12:00:00Z"
    );
    assert_eq!(written(&wanted, &first), None);
}

#[test]
fn a_time_is_kept_until_the_status_flips() {
    let there = |status: &str| {
        json!({"conditions": [{"type": "Accepted", "status": status, "reason": "Other", "message": "",
            "lastTransitionTime": LONG_AGO}]})
    };
    let conditions = [accepted(ConditionStatus::True, 3)];
    let wanted = Wanted::Backend(&conditions);
    let same = written(&wanted, &there("True")).unwrap();
    assert_eq!(same["conditions"][0]["lastTransitionTime"], LONG_AGO);
    assert_eq!(same["conditions"][0]["observedGeneration"], 3);
    let flipped = written(&wanted, &there("False")).unwrap();
    assert_eq!(
        flipped["conditions"][0]["lastTransitionTime"],
        "2026-11-24T12:00:00Z"
    );
}

#[test]
fn entries_of_others_stay_where_they_are() {
    let other = json!({"parentRef": {"name": "theirs"}, "controllerName": "example.com/other", "conditions": []});
    let parents = [parent("new", vec![accepted(ConditionStatus::True, 1)])];
    let stale = serde_json::to_value(parent("stale", Vec::new())).unwrap();
    let current = json!({"parents": [stale, other]});
    let next = written(&Wanted::Route(&parents), &current).unwrap();
    assert_eq!(next["parents"][0], other);
    assert_eq!(next["parents"][1]["parentRef"]["name"], "new");
    assert_eq!(next["parents"].as_array().unwrap().len(), 2);
    let none = written(&Wanted::Route(&[]), &next).unwrap();
    assert_eq!(none["parents"], json!([other]));
}

#[test]
fn a_full_list_keeps_those_of_others() {
    let others: Vec<Value> = (0..16)
        .map(|n| json!({"ancestorRef": {"name": n.to_string()}, "controllerName": "example.com/other"}))
        .collect();
    let RouteParentStatus {
        parent_ref,
        controller_name,
        conditions,
    } = parent("g", Vec::new());
    let ours = [PolicyAncestorStatus {
        ancestor_ref: parent_ref,
        controller_name,
        conditions,
    }];
    assert_eq!(
        written(&Wanted::Policy(&ours), &json!({"ancestors": others})),
        None
    );
}

#[test]
fn conditions_of_other_domains_stay_and_forgotten_ones_go() {
    let theirs = json!({"type": "example.com/Checked", "status": "True"});
    let current = json!({"conditions": [{"type": "InsecureFrontendValidationMode", "status": "True"}, theirs]});
    let status = GatewayStatus {
        conditions: vec![accepted(ConditionStatus::True, 1)],
        listeners: Vec::new(),
    };
    let next = written(&Wanted::Gateway(&status), &current).unwrap();
    assert_eq!(next["conditions"][0], theirs);
    assert_eq!(next["conditions"][1]["type"], "Accepted");
    assert_eq!(next["conditions"].as_array().unwrap().len(), 2);
}

#[test]
fn addresses_are_told_by_their_sort() {
    let status = GatewayStatus {
        conditions: Vec::new(),
        listeners: Vec::new(),
    };
    let addresses = ["192.0.2.1".to_owned(), "gw.example.com".to_owned()];
    let next = merged(
        &Wanted::Gateway(&status),
        &Value::Null,
        US,
        &addresses,
        now(),
    )
    .unwrap();
    let expected = json!([{"type": "IPAddress", "value": "192.0.2.1"}, {"type": "Hostname", "value": "gw.example.com"}]);
    assert_eq!(next["addresses"], expected);
    let gone = written(&Wanted::Gateway(&status), &next).unwrap();
    assert_eq!(gone["addresses"], json!([]));
}

#[test]
fn objects_with_entries_of_ours_that_are_wanted_no_more_are_told_so() {
    let statuses = Statuses {
        routes: Arc::default(),
        ..Statuses::default()
    };
    let reference = |kind: &str| ObjectRef {
        group: GATEWAY_GROUP.to_owned(),
        kind: kind.to_owned(),
        name: weir_plan::NamespacedName::new("default", "a"),
    };
    let kind = &crate::kubernetes::kinds::KINDS[3];
    let current = |status: Value| Current {
        kind,
        resource: kind.api_resource("v1"),
        version: "1".to_owned(),
        status,
    };
    let there = BTreeMap::from([
        (
            reference("HTTPRoute"),
            current(json!({"parents": [{"controllerName": US}]})),
        ),
        (
            reference("GRPCRoute"),
            current(json!({"parents": [{"controllerName": "example.com/other"}]})),
        ),
    ]);
    let wanted = wanted(&statuses, &there, US);
    assert!(matches!(wanted[&reference("HTTPRoute")], Wanted::Route([])));
    assert_eq!(wanted.len(), 1);
}
