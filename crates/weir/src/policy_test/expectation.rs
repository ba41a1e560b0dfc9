//! Compares what a test expects with what there is.

use std::fmt::Display;

use serde_json::Value;
use weir_plan::features::rate_limit::RateLimitRuleName;
use weir_proxy::preview;
use weir_resolve::effective::Lost;
use weir_resolve::explain::{Displaced, Source};
use weir_resolve::{FieldPath, Step, suggest};

use super::Places;
use super::failure::Failure;
use super::format::{Expect, LostPolicy, Subject, leaves};
use super::subject::{self, Ends, Seen};
use super::world::World;
use super::{action, condition};
use crate::naming::{is_named, is_rule};

/// The expectations of one test that are not met.
pub(crate) fn unmet(
    world: &World,
    subject: &Subject,
    expect: &Expect,
    places: &Places<'_>,
) -> Vec<Failure> {
    let mut check = Check {
        places,
        place: None,
        failures: Vec::new(),
    };
    match subject {
        Subject::Request { asked, source } => match subject::of_request(world, asked, *source) {
            Ends::At(seen) => check.rule(world, &seen, expect),
            Ends::NoRoute(_) if expect.no_route == Some(true) => {}
            Ends::NoRoute(reason) => check.no_route(expect, &reason),
            Ends::NoListener(reason) => {
                check.fail(
                    "",
                    "request",
                    "a listener for the request",
                    reason,
                    Vec::new(),
                );
            }
        },
        Subject::Rules { route, listener } => {
            let seen = subject::of_names(world, route.as_deref(), listener.as_deref());
            if seen.is_empty() {
                check.nobody(world, route.as_deref(), listener.as_deref());
            }
            for seen in &seen {
                check.rule(world, seen, expect);
            }
        }
        Subject::Policy(name) => condition::check(&mut check, world, name, &expect.conditions),
    }
    check.failures
}

/// One test that is being looked at.
pub(super) struct Check<'p> {
    places: &'p Places<'p>,
    /// What is compared now.
    pub(super) place: Option<String>,
    failures: Vec<Failure>,
}

impl Check<'_> {
    /// Notes a failure of the expectation `field`, a path below the test's `expect`; empty: of the test.
    pub(super) fn fail(
        &mut self,
        field: &str,
        what: impl Display,
        expected: impl Display,
        found: impl Display,
        because: Vec<String>,
    ) {
        self.failures.push(Failure {
            location: self.places.of(field),
            what: what.to_string(),
            expected: expected.to_string(),
            found: found.to_string(),
            place: self.place.clone(),
            because,
        });
    }

    fn no_route(&mut self, expect: &Expect, reason: &str) {
        let (field, expected) = match &expect.route {
            Some(route) => ("route", format!("the route {route}")),
            None => ("", "a route".to_owned()),
        };
        self.fail(
            field,
            "route",
            expected,
            "no route",
            vec![reason.to_owned()],
        );
    }

    fn nobody(&mut self, world: &World, route: Option<&str>, listener: Option<&str>) {
        let effective = &world.configuration.resolution.effective;
        let mut because = Vec::new();
        for (wanted, known) in [
            (
                route,
                effective
                    .iter()
                    .map(|it| it.rule.route.to_string())
                    .collect::<Vec<_>>(),
            ),
            (
                listener,
                effective.iter().map(|it| it.listener.to_string()).collect(),
            ),
        ] {
            because.extend(wanted.and_then(|it| meant(it, &known)));
        }
        let expected = match (route, listener) {
            (Some(route), Some(listener)) => {
                format!("the route {route} on the listener {listener}")
            }
            (Some(route), None) => format!("the route {route}"),
            (None, Some(listener)) => format!("routes on the listener {listener}"),
            (None, None) => "a route".to_owned(),
        };
        self.fail(
            "",
            "route",
            expected,
            "no such route that a Gateway carries",
            because,
        );
    }

    fn rule(&mut self, world: &World, seen: &Seen<'_>, expect: &Expect) {
        let Expect {
            route,
            no_route,
            listener,
            settings,
            from,
            policies,
            lost,
            invalid,
            action,
            limits,
            conditions: _,
        } = expect;
        self.place = Some(format!("{} on listener {}", seen.rule, seen.listener));
        let note = || {
            let note = seen.taken.as_ref().and_then(|it| it.note.clone());
            note.into_iter().collect::<Vec<_>>()
        };
        if *no_route == Some(true) {
            self.fail("noRoute", "route", "no route", seen.rule, note());
        }
        if let Some(route) = route.as_ref().filter(|it| !is_rule(seen.rule, it)) {
            self.fail("route", "route", route, seen.rule, note());
        }
        if let Some(listener) = listener
            && !is_named(&seen.listener.to_string(), listener)
        {
            self.fail("listener", "listener", listener, seen.listener, note());
        }
        for (path, value) in leaves(settings) {
            self.setting(seen, &path, value);
        }
        for (path, origin) in from {
            self.from(seen, path, origin);
        }
        if let Some(policies) = policies {
            self.policies(seen, policies);
        }
        for (index, expected) in lost.iter().enumerate() {
            self.lost(seen, &format!("lost[{index}]"), expected);
        }
        // What an invalid policy says is not in force, so whoever expects something of it expects it to be valid.
        let relies = !settings.is_empty() || !from.is_empty() || limits.is_some();
        if let Some(invalid) = invalid.or(relies.then_some(false)) {
            self.invalid(seen, invalid);
        }
        if let Some(action) = action {
            action::check(self, world, seen, action);
        }
        if let Some(limits) = limits {
            self.limits(seen, limits);
        }
        self.place = None;
    }

    fn invalid(&mut self, seen: &Seen<'_>, expected: bool) {
        let say = |invalid: bool| match invalid {
            true => "an invalid policy",
            false => "a valid policy",
        };
        let why = seen.in_force.refusal.as_ref();
        if expected != why.is_some() {
            let mut because: Vec<String> = why.into_iter().cloned().collect();
            because.extend(in_force(seen));
            let (expected, found) = (say(expected), say(why.is_some()));
            self.fail("invalid", "invalid", expected, found, because);
        }
    }

    fn setting(&mut self, seen: &Seen<'_>, path: &FieldPath, expected: &Value) {
        let found = path.in_value(&seen.in_force.settings);
        if found.unwrap_or(&Value::Null) == expected {
            return;
        }
        let shown = |value: Option<&Value>| match value {
            None | Some(Value::Null) => "not set, so that the default applies".to_owned(),
            Some(value) => value.to_string(),
        };
        let mut because: Vec<String> = writers(seen, path.as_str())
            .into_iter()
            .map(|it| format!("set by {it}"))
            .collect();
        if because.is_empty() {
            because = in_force(seen);
        }
        because.extend(displaced(seen, path.as_str()));
        because.extend(losers(seen));
        self.fail(
            &format!("settings.{path}"),
            format!("settings {path}"),
            shown(Some(expected)),
            shown(found),
            because,
        );
    }

    fn from(&mut self, seen: &Seen<'_>, path: &str, expected: &str) {
        let writers = writers(seen, path);
        let fits = |it: &&Source| is_named(&it.to_string(), expected);
        if !writers.is_empty() && writers.iter().all(fits) {
            return;
        }
        let found = if writers.is_empty() {
            "no policy: the default applies".to_owned()
        } else {
            list(&writers)
        };
        let mut because = Vec::new();
        if writers.is_empty() {
            because = in_force(seen);
        } else if let Some(value) = FieldPath::new(path).in_value(&seen.in_force.settings) {
            because.push(format!("it sets {path}: {value}"));
        }
        because.extend(displaced(seen, path));
        because.extend(losers(seen));
        self.fail(
            &format!("from.{path}"),
            format!("origin of {path}"),
            expected,
            found,
            because,
        );
    }

    fn policies(&mut self, seen: &Seen<'_>, expected: &[String]) {
        let found = &seen.in_force.policies;
        let fits = found.len() == expected.len()
            && found
                .iter()
                .zip(expected)
                .all(|(found, name)| is_named(&found.to_string(), name));
        if !fits {
            let expected = list_or_none(expected);
            self.fail(
                "policies",
                "policies in force",
                expected,
                list_or_none(found),
                losers(seen),
            );
        }
    }

    fn lost(&mut self, seen: &Seen<'_>, field: &str, LostPolicy { policy, reason }: &LostPolicy) {
        let found = seen
            .in_force
            .lost
            .iter()
            .find(|it| is_named(&it.policy.to_string(), policy));
        let what = format!("{policy} lost");
        match (found, reason) {
            (Some(_), None) => {}
            (Some(found), Some(reason)) => {
                if !found.reason.contains(reason.as_str()) {
                    self.fail(
                        &format!("{field}.reason"),
                        what,
                        reason,
                        &found.reason,
                        Vec::new(),
                    );
                }
            }
            (None, _) => {
                let stands = seen
                    .in_force
                    .policies
                    .iter()
                    .any(|it| is_named(&it.to_string(), policy));
                let found = if stands {
                    "it is in force".to_owned()
                } else {
                    "it does not reach this rule".to_owned()
                };
                let mut because = in_force(seen);
                because.extend(losers(seen));
                self.fail(field, what, "it is not in force", found, because);
            }
        }
    }

    fn limits(&mut self, seen: &Seen<'_>, expected: &[String]) {
        let (Some(taken), Some(planned)) = (&seen.taken, seen.planned) else {
            return;
        };
        let found = preview::limits(&planned.policy.rate_limit, taken.head, taken.source);
        let fits = found.len() == expected.len()
            && expected
                .iter()
                .all(|name| found.iter().any(|it| is_limit(it, name)));
        if !fits {
            let source = format!("the request comes from {}", taken.source);
            let mut because = vec![source];
            because.extend(in_force(seen));
            self.fail(
                "limits",
                "limits that count the request",
                list_or_none(expected),
                list_or_none(&found),
                because,
            );
        }
    }
}

/// The policies that are in force at a rule, in a sentence.
pub(super) fn in_force(seen: &Seen<'_>) -> Vec<String> {
    vec![match seen.in_force.policies.as_slice() {
        [] => "no policy is in force here".to_owned(),
        policies => format!("in force: {}", list(policies)),
    }]
}

fn losers(seen: &Seen<'_>) -> Vec<String> {
    let lost = seen.in_force.lost.iter();
    lost.map(|Lost { policy, reason }| format!("not in force: {policy}: {reason}"))
        .collect()
}

/// Who set a field, or those below it.
fn writers<'s>(seen: &'s Seen<'_>, path: &str) -> Vec<&'s Source> {
    let mut writers: Vec<&Source> = Vec::new();
    // As fields are spelled: a key in brackets may be written without quotes.
    let path = FieldPath::new(path)
        .steps()
        .fold(FieldPath::default(), |at, step| match step {
            Step::Field(name) => at.child(&name),
            Step::Item(index) => at.index(index),
        });
    let below = seen
        .in_force
        .from
        .iter()
        .filter(|(field, _)| field.is_within(path.as_str()));
    for (_, source) in below {
        if !writers.contains(&source) {
            writers.push(source);
        }
    }
    writers
}

/// What policies set at or below a field in vain.
fn displaced(seen: &Seen<'_>, path: &str) -> Vec<String> {
    let all = seen.in_force.displaced.iter();
    let line = |it: &Displaced| {
        let Displaced {
            field,
            value,
            from,
            reason,
        } = it;
        format!("not in force: {field}: {value} of {from}: {reason}")
    };
    all.filter(|it| it.field.is_within(path))
        .map(line)
        .collect()
}

/// `checkout-limit/rule/0`, or the policy's name where any of its rules is meant.
fn is_limit(limit: &RateLimitRuleName, name: &str) -> bool {
    is_named(&limit.to_string(), name) || is_named(&limit.policy.to_string(), name)
}

/// What was probably meant by a name, of those that there are.
pub(super) fn meant(name: &str, known: &[String]) -> Option<String> {
    let short = known.iter().filter_map(|it| it.rsplit('/').next());
    let meant = suggest(name, known.iter().map(String::as_str).chain(short))?;
    Some(format!("did you mean {meant:?}?"))
}

pub(super) fn list<T: Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.join(", ")
}

pub(super) fn list_or_none<T: Display>(items: &[T]) -> String {
    if items.is_empty() {
        "none".to_owned()
    } else {
        list(items)
    }
}
