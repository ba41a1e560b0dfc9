//! What is in force at a rule, and who set it: the one place that says what comes before what.
//!
//! What the rule itself sets comes before its policies, these before what its Gateway or listener says, and that before
//! defaults.
//! Explanations, differences, lints and tests of policies all ask here.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use weir_plan::{NamespacedName, PolicyRef, RouteKind, RuleName};

use crate::defaults;
use crate::diagnostics::FieldPath;
use crate::effective::{EffectivePolicy, EffectiveRule, Lost, StreamIdle};
use crate::own::{OwnSettings, REQUEST_TIMEOUT, RETRY};
use crate::route_kinds;

/// What is in force at a rule on a listener, and what is not.
#[derive(Clone, Debug, PartialEq)]
pub struct InForce {
    /// The policies, most specific first.
    pub policies: Vec<PolicyRef>,
    /// How the first is merged into the second, where there are two.
    pub merge_type: Option<&'static str>,
    /// The settings, in the form of those of a policy; without defaults.
    pub settings: Value,
    /// For each leaf of `settings`, who set it.
    pub from: BTreeMap<FieldPath, Source>,
    /// What the policies set besides, in vain.
    pub displaced: Vec<Displaced>,
    /// The policies that are not in force, and why.
    pub lost: Vec<Lost>,
    /// Why nothing of it counts: requests are answered 500, connections closed.
    pub refusal: Option<String>,
}

/// Who set a value. Serializes as text.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A policy wrote it.
    Policy(PolicyRef),
    /// The rule has it itself, in its `timeouts` or `retry`.
    Rule(RuleName),
    /// The EnvoyProxy of its Gateway.
    EnvoyProxy(NamespacedName),
    /// Nobody: it is the default.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(policy) => policy.fmt(f),
            Self::Rule(rule) => rule.fmt(f),
            Self::EnvoyProxy(name) => write!(f, "EnvoyProxy/{name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One value that applies, and who set it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Applying {
    /// The field, below `spec`.
    pub field: FieldPath,
    /// Its value.
    pub value: Value,
    /// Who set it.
    pub from: Source,
}

/// One value that a policy in force sets in vain.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Displaced {
    /// The field, below `spec`.
    pub field: FieldPath,
    /// Its value.
    pub value: Value,
    /// The policy.
    pub from: PolicyRef,
    /// Why it does not count.
    pub reason: Displacement,
}

/// Why a setting of a policy does not count at a rule. Serializes as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Displacement {
    /// The rule has `timeouts` of its own.
    OwnTimeouts,
    /// The rule has a `retry` of its own.
    OwnRetry,
    /// It does nothing on this kind of routes.
    Kind(RouteKind),
}

impl fmt::Display for Displacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnTimeouts => f.write_str("replaced by the rule's own timeouts"),
            Self::OwnRetry => f.write_str("replaced by the rule's own retry"),
            Self::Kind(kind) => write!(f, "without effect on a {kind}"),
        }
    }
}

impl Serialize for Displacement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What is in force at a rule.
pub fn at(rule: &EffectiveRule) -> InForce {
    let EffectiveRule {
        rule: name,
        listener: _,
        policy: _,
        own,
        routing_type,
        stream_idle,
        unserved: _,
    } = rule;
    let mut in_force = of_policies(rule);
    if let Some(own) = own {
        overlay(&mut in_force, own, name);
    }
    if let Some(of_listener) = stream_idle.as_ref().filter(|_| name.kind.is_http()) {
        listen(&mut in_force, of_listener);
    }
    let is_open = in_force
        .settings
        .get("routingType")
        .is_none_or(Value::is_null);
    if let Some(of_gateway) = routing_type.as_ref().filter(|_| is_open) {
        let word = of_gateway.routing_type.as_str();
        in_force.settings["routingType"] = json!(word);
        let source = Source::EnvoyProxy(of_gateway.envoy_proxy.clone());
        in_force.from.insert(FieldPath::new("routingType"), source);
    }
    in_force
}

/// Why a setting of its policies does not count at a rule, if it does not.
pub(crate) fn displaced(rule: &EffectiveRule, field: &FieldPath) -> Option<Displacement> {
    let kind = rule.rule.kind;
    if !route_kinds::acts_on(field, kind) {
        return Some(Displacement::Kind(kind));
    }
    let own = rule.own.as_ref()?;
    if own.request_timeout().is_some() && field.is_within(REQUEST_TIMEOUT) {
        Some(Displacement::OwnTimeouts)
    } else if own.retry().is_some() && field.is_within(RETRY) {
        Some(Displacement::OwnRetry)
    } else {
        None
    }
}

/// What the policies of a rule leave in force there.
fn of_policies(rule: &EffectiveRule) -> InForce {
    let EffectivePolicy {
        policies,
        settings,
        merge_type,
        from,
        lost,
        invalid: _,
        refused: _,
    } = &*rule.policy;
    if let Some(why) = rule.left_out() {
        let kind = rule.rule.kind;
        let reason = format!("it is invalid, and a {kind} goes on without it: {why}");
        let out = policies.iter().map(|policy| Lost {
            policy: policy.clone(),
            reason: reason.clone(),
        });
        return InForce {
            policies: Vec::new(),
            merge_type: None,
            settings: Map::new().into(),
            from: BTreeMap::new(),
            displaced: Vec::new(),
            lost: out.chain(lost.iter().cloned()).collect(),
            refusal: None,
        };
    }
    let mut in_force = InForce {
        policies: policies.clone(),
        merge_type: *merge_type,
        settings: settings.clone(),
        from: BTreeMap::new(),
        displaced: Vec::new(),
        lost: lost.clone(),
        refusal: rule.refusal().map(str::to_owned),
    };
    for (field, policy) in from {
        // A null sets nothing.
        let Some(value) = field.in_value(settings).filter(|it| !it.is_null()) else {
            continue;
        };
        match displaced(rule, field) {
            None => {
                let source = Source::Policy(policy.clone());
                in_force.from.insert(field.clone(), source);
            }
            Some(reason) => in_force.displaced.push(Displaced {
                field: field.clone(),
                value: value.clone(),
                from: policy.clone(),
                reason,
            }),
        }
    }
    route_kinds::keep_acting(&mut in_force.settings, rule.rule.kind);
    in_force
}

/// Lays what a rule sets itself over what its policies do.
fn overlay(in_force: &mut InForce, own: &OwnSettings, rule: &RuleName) {
    let InForce { settings, from, .. } = in_force;
    if let Some(request) = own.request_timeout() {
        for path in ["timeout", "timeout.http"] {
            // An empty object that a policy wrote is none any more.
            from.remove(&FieldPath::new(path));
        }
        let http = &mut object(object(settings, "timeout"), "http")["requestTimeout"];
        *http = json!(request);
    }
    if let Some(retry) = own.retry() {
        settings[RETRY] = retry.clone();
    }
    leaves(own.settings(), FieldPath::default(), &mut |field, _| {
        from.insert(field, Source::Rule(rule.clone()));
    });
}

/// Adds what the listener says of pauses, where no policy does.
fn listen(
    in_force: &mut InForce,
    StreamIdle {
        policy, written, ..
    }: &StreamIdle,
) {
    let InForce { settings, from, .. } = in_force;
    let http = object(object(settings, "timeout"), "http");
    if http["streamIdleTimeout"].is_null() {
        http["streamIdleTimeout"] = json!(written);
        for path in ["timeout", "timeout.http"] {
            from.remove(&FieldPath::new(path));
        }
        let field = FieldPath::new("timeout.http.streamIdleTimeout");
        from.insert(field, Source::Policy(policy.clone()));
    }
}

/// The object in a field, made where there is none.
fn object<'v>(value: &'v mut Value, field: &str) -> &'v mut Value {
    let inner = &mut value[field];
    if !inner.is_object() {
        *inner = json!({});
    }
    inner
}

/// Calls `each` with every leaf of a value: whatever has nothing below it.
pub(super) fn leaves(value: &Value, at: FieldPath, each: &mut impl FnMut(FieldPath, &Value)) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                leaves(value, at.child(name), each);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                leaves(item, at.index(index), each);
            }
        }
        Value::Object(_)
        | Value::Array(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_) => each(at, value),
    }
}

impl InForce {
    /// Every setting that somebody wrote, by field.
    pub fn written(&self) -> Vec<Applying> {
        let leaf = |(field, from): (&FieldPath, &Source)| Applying {
            field: field.clone(),
            value: field.in_value(&self.settings).cloned().unwrap_or_default(),
            from: from.clone(),
        };
        self.from.iter().map(leaf).collect()
    }

    /// The same, and the defaults of those that apply always to routes of a kind.
    pub(super) fn with_defaults(&self, kind: RouteKind) -> Vec<Applying> {
        let mut all = self.written();
        for (field, value) in defaults::of_absent(&self.settings) {
            if route_kinds::acts_on(&field, kind) {
                leaves(&value, field, &mut |field, value| {
                    all.push(Applying {
                        field,
                        value: value.clone(),
                        from: Source::Default,
                    });
                });
            }
        }
        all.sort_by(|a, b| a.field.cmp(&b.field));
        all
    }
}
