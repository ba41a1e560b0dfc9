//! Everything that is wrong: findings of the files, of the engine, and conditions that are not good, in one list.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use weir_plan::NamespacedName;
use weir_provider::{Loaded, Location};
use weir_proxy::ListenError;
use weir_resolve::api::{GATEWAY_GROUP, POLICY_GROUP};
use weir_resolve::lint::{self, Ignored};
use weir_resolve::status::{Condition, ConditionStatus, GatewayStatus};
use weir_resolve::{FieldPath, ObjectRef, Resolution, Resources, Severity, Statuses};

use crate::certificates;

/// One thing that is wrong, or worth saying. Sorted by place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Finding {
    /// Where, if it stands in a file.
    #[serde(flatten)]
    pub(crate) location: Option<Location>,
    pub(crate) severity: Severity,
    /// The sort of finding, in kebab-case.
    pub(crate) id: Cow<'static, str>,
    pub(crate) object: Option<ObjectRef>,
    pub(crate) field: FieldPath,
    pub(crate) message: String,
}

/// `file:line: error[id]: Kind namespace/name: spec.field: message`, without the parts that are not known.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            location,
            severity,
            id,
            object,
            field,
            message,
        } = self;
        if let Some(Location { file, line }) = location {
            write!(f, "{file}:{line}: ")?;
        }
        write!(f, "{}[{id}]: ", word(*severity))?;
        if let Some(object) = object {
            write!(f, "{object}: ")?;
        }
        if !field.as_str().is_empty() {
            write!(f, "{field}: ")?;
        }
        f.write_str(message)
    }
}

/// The word for a severity, as it is printed.
pub(crate) fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// How many errors and how many warnings there are.
pub(crate) fn count<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> (usize, usize) {
    findings
        .into_iter()
        .fold((0, 0), |(errors, warnings), finding| {
            match finding.severity {
                Severity::Error => (errors + 1, warnings),
                Severity::Warning => (errors, warnings + 1),
            }
        })
}

/// All that is wrong in files and in what follows from them, and what is questionable, sorted by place; without the
/// warnings that objects ignore. What the engine finds wrong it says with the field; the conditions that sum it up are
/// left out.
pub(crate) fn collect(loaded: &Loaded, resolution: &Resolution, now: Timestamp) -> Vec<Finding> {
    let Resolution {
        plan,
        statuses,
        diagnostics,
        ..
    } = resolution;
    let mut found: Vec<Finding> = loaded.findings.iter().map(of_file).collect();
    let lints = lint::lint(&loaded.resources, resolution);
    let certificates = certificates::findings(plan, now);
    let all = diagnostics.iter().chain(&lints).chain(&certificates);
    found.extend(all.map(|it| {
        located(
            loaded,
            &it.object,
            &it.field,
            it.severity,
            it.id.into(),
            &it.message,
        )
    }));
    let known_bad: BTreeSet<&ObjectRef> = diagnostics
        .iter()
        .filter(|it| it.severity == Severity::Error)
        .map(|it| &it.object)
        .collect();
    for bad in of_statuses(statuses, &loaded.resources) {
        let BadCondition {
            object,
            field,
            severity,
            condition,
        } = bad;
        if severity == Severity::Error && known_bad.contains(&object) {
            continue;
        }
        let id = kebab(&condition.reason).into();
        found.push(located(
            loaded,
            &object,
            &field,
            severity,
            id,
            &condition.message,
        ));
    }
    let ignored = Ignored::by(&loaded.resources);
    found.retain(|it| {
        let ignores = |object| ignored.contains(object, &it.id);
        it.severity == Severity::Error || !it.object.as_ref().is_some_and(ignores)
    });
    found.sort();
    found.dedup();
    found
}

/// Ports that cannot be bound, as findings about the listeners that ask for them.
pub(crate) fn of_listen_errors(errors: &[ListenError], loaded: &Loaded) -> Vec<Finding> {
    let mut found = Vec::new();
    for ListenError {
        port: _,
        address: _,
        listeners,
        message,
    } in errors
    {
        for listener in listeners {
            let object = gateway_ref(&listener.gateway);
            let field = listener_field(&loaded.resources, &listener.gateway, &listener.listener);
            found.push(located(
                loaded,
                &object,
                &field.child("port"),
                Severity::Error,
                "cannot-listen".into(),
                message,
            ));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// A finding of a file, as one among all.
pub(crate) fn of_file(finding: &weir_provider::Finding) -> Finding {
    let weir_provider::Finding {
        location,
        severity,
        object,
        field,
        id,
        message,
    } = finding.clone();
    Finding {
        location,
        severity,
        id: id.into(),
        object,
        field,
        message,
    }
}

fn located(
    loaded: &Loaded,
    object: &ObjectRef,
    field: &FieldPath,
    severity: Severity,
    id: Cow<'static, str>,
    message: &str,
) -> Finding {
    Finding {
        location: loaded.locate(object, field),
        severity,
        id,
        object: Some(object.clone()),
        field: field.clone(),
        message: message.to_owned(),
    }
}

/// A condition that says that something is wrong.
struct BadCondition<'a> {
    object: ObjectRef,
    field: FieldPath,
    severity: Severity,
    condition: &'a Condition,
}

fn of_statuses<'a>(statuses: &'a Statuses, resources: &Resources) -> Vec<BadCondition<'a>> {
    let Statuses {
        gateway_classes,
        gateways,
        listener_sets,
        routes,
        policies,
        client_policies,
        backends,
        // The engine says what is wrong with them, with the field.
        backend_tls_policies: _,
    } = statuses;
    let mut bad = Vec::new();
    for (name, conditions) in gateway_classes {
        let class = object(
            GATEWAY_GROUP,
            "GatewayClass",
            &NamespacedName::new("", name.as_str()),
        );
        add(&mut bad, &class, &FieldPath::default(), conditions);
    }
    for (name, status) in gateways {
        add_gateway(&mut bad, &gateway_ref(name), status, |listener| {
            listener_field(resources, name, listener)
        });
    }
    for (name, status) in listener_sets {
        let set = object(GATEWAY_GROUP, "ListenerSet", name);
        add_gateway(&mut bad, &set, status, |_| FieldPath::new("spec.listeners"));
    }
    for (route, parents) in routes.iter() {
        for parent in parents.iter() {
            add(&mut bad, route, &FieldPath::default(), &parent.conditions);
        }
    }
    let of_kind = |kind| move |(name, it)| (object(POLICY_GROUP, kind, name), it);
    let of_backends = policies.iter().map(of_kind("BackendTrafficPolicy"));
    let of_clients = client_policies.iter().map(of_kind("ClientTrafficPolicy"));
    for (policy, ancestors) in of_backends.chain(of_clients) {
        for ancestor in ancestors {
            add(
                &mut bad,
                &policy,
                &FieldPath::default(),
                &ancestor.conditions,
            );
        }
    }
    for (name, conditions) in backends.iter() {
        add(
            &mut bad,
            &object(POLICY_GROUP, "Backend", name),
            &FieldPath::default(),
            conditions,
        );
    }
    bad
}

fn add_gateway<'a>(
    bad: &mut Vec<BadCondition<'a>>,
    gateway: &ObjectRef,
    status: &'a GatewayStatus,
    field: impl Fn(&str) -> FieldPath,
) {
    let GatewayStatus {
        conditions,
        listeners,
    } = status;
    let before = bad.len();
    for listener in listeners {
        add(bad, gateway, &field(&listener.name), &listener.conditions);
    }
    // A Gateway repeats what is wrong with its listeners; that is said once, where it belongs.
    if bad.len() == before {
        add(bad, gateway, &FieldPath::default(), conditions);
    }
}

fn add<'a>(
    bad: &mut Vec<BadCondition<'a>>,
    object: &ObjectRef,
    field: &FieldPath,
    conditions: &'a [Condition],
) {
    let refused = conditions
        .iter()
        .any(|it| it.r#type == "Accepted" && it.status == ConditionStatus::False);
    for condition in conditions {
        // What is not accepted is not programmed either; the reason is with `Accepted`.
        if refused && condition.r#type == "Programmed" {
            continue;
        }
        if let Some(severity) = badness(condition) {
            bad.push(BadCondition {
                object: object.clone(),
                field: field.clone(),
                severity,
                condition,
            });
        }
    }
}

/// How bad a condition is, if it is. `Overridden` and `Merged` are how policies are meant to work; for what `Warning`,
/// `PartiallyInvalid` and `weir.dev/PartiallyEnforced` sum up, the engine has a finding for each field.
fn badness(condition: &Condition) -> Option<Severity> {
    let holds = condition.status == ConditionStatus::True;
    match condition.r#type.as_str() {
        "Accepted" | "Programmed" | "ResolvedRefs" if !holds => Some(Severity::Error),
        "Conflicted" if holds => Some(Severity::Error),
        _ => None,
    }
}

fn gateway_ref(name: &NamespacedName) -> ObjectRef {
    object(GATEWAY_GROUP, "Gateway", name)
}

fn object(group: &str, kind: &str, name: &NamespacedName) -> ObjectRef {
    ObjectRef {
        group: group.to_owned(),
        kind: kind.to_owned(),
        name: name.clone(),
    }
}

/// Where a listener stands in its Gateway.
fn listener_field(resources: &Resources, gateway: &NamespacedName, listener: &str) -> FieldPath {
    let listeners = resources
        .gateways
        .get(gateway)
        .map(|it| it.spec.listeners.as_slice())
        .unwrap_or_default();
    match listeners.iter().position(|it| it.name == listener) {
        Some(index) => FieldPath::new("spec.listeners").index(index),
        None => FieldPath::new("spec.listeners"),
    }
}

/// `BackendNotFound` as `backend-not-found`.
fn kebab(reason: &str) -> String {
    let mut id = String::with_capacity(reason.len() + 4);
    for c in reason.chars() {
        if c.is_ascii_uppercase() && !id.is_empty() {
            id.push('-');
        }
        id.push(c.to_ascii_lowercase());
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(r#type: &str, status: ConditionStatus) -> Condition {
        Condition {
            r#type: r#type.to_owned(),
            status,
            reason: String::new(),
            message: String::new(),
            observed_generation: None,
        }
    }

    #[test]
    fn a_finding_is_one_line() {
        let whole = Finding {
            location: Some(Location {
                file: "a.yaml".to_owned(),
                line: 7,
            }),
            severity: Severity::Error,
            id: "unknown-field".into(),
            object: Some(object(
                POLICY_GROUP,
                "BackendTrafficPolicy",
                &NamespacedName::new("default", "p"),
            )),
            field: FieldPath::new("spec.retries"),
            message: "unknown field; did you mean `retry`?".to_owned(),
        };
        assert_eq!(
            whole.to_string(),
            "a.yaml:7: error[unknown-field]: BackendTrafficPolicy default/p: spec.retries: unknown field; did you mean `retry`?"
        );
        let bare = Finding {
            location: None,
            severity: Severity::Warning,
            id: "nothing-served".into(),
            object: None,
            field: FieldPath::default(),
            message: "no Gateway".to_owned(),
        };
        assert_eq!(bare.to_string(), "warning[nothing-served]: no Gateway");
    }

    #[test]
    fn which_conditions_are_findings() {
        use ConditionStatus::{False, True, Unknown};
        let cases = [
            ("Accepted", True, None),
            ("Accepted", False, Some(Severity::Error)),
            ("ResolvedRefs", Unknown, Some(Severity::Error)),
            ("Conflicted", False, None),
            ("Conflicted", True, Some(Severity::Error)),
            ("Overridden", True, None),
            ("Merged", True, None),
            ("Warning", True, None),
            ("weir.dev/PartiallyEnforced", True, None),
        ];
        for (r#type, status, expected) in cases {
            assert_eq!(
                badness(&condition(r#type, status)),
                expected,
                "{type} {status:?}"
            );
        }
    }

    #[test]
    fn what_is_refused_is_said_once() {
        let conditions = [
            condition("Accepted", ConditionStatus::False),
            condition("Programmed", ConditionStatus::False),
        ];
        let mut bad = Vec::new();
        add(
            &mut bad,
            &gateway_ref(&NamespacedName::new("a", "b")),
            &FieldPath::default(),
            &conditions,
        );
        assert_eq!(bad.len(), 1);
    }

    #[test]
    fn reasons_become_ids() {
        assert_eq!(kebab("BackendNotFound"), "backend-not-found");
        assert_eq!(kebab("Conflicted"), "conflicted");
    }
}
