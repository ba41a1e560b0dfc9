//! Expectations that can never be met, or never fail: what a test asks of the wrong subject, fields that do not exist.

use weir_resolve::FieldPath;
use weir_resolve::foreign::{self, Misfit};

use super::format::{Action, Expect, Subject, leaves};

/// What cannot be expected of a subject, at the place `at` of the expectations. `has_source`: the request says where it
/// comes from.
pub(super) fn find(
    expect: &Expect,
    subject: &Subject,
    has_source: bool,
    at: &FieldPath,
) -> Vec<Misfit> {
    let mut found = fields(expect, subject, has_source);
    found.extend(values(expect, subject));
    let misfit = |(field, message): (String, String)| Misfit {
        at: if field.is_empty() {
            at.clone()
        } else {
            at.join(&field)
        },
        id: "invalid-test",
        message,
    };
    found.into_iter().map(misfit).collect()
}

/// Expectations that do not go with the subject or with each other.
fn fields(expect: &Expect, subject: &Subject, has_source: bool) -> Vec<(String, String)> {
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
        conditions,
    } = expect;
    let (of_request, of_policy) = match subject {
        Subject::Request { .. } => (true, false),
        Subject::Rules { .. } => (false, false),
        Subject::Policy(_) => (false, true),
    };
    let about_rules = [
        ("settings", !settings.is_empty()),
        ("from", !from.is_empty()),
        ("policies", policies.is_some()),
        ("lost", !lost.is_empty()),
        ("invalid", invalid.is_some()),
        ("action", action.is_some()),
    ];
    let about_its_route = [
        ("route", route.is_some()),
        ("listener", listener.is_some()),
        ("limits", limits.is_some()),
    ];
    let about_no_route = [("noRoute", no_route.is_some())];
    let about_policies = [("conditions", !conditions.is_empty())];

    let mut wrong = Vec::new();
    let mut refuse = |fields: &[(&str, bool)], why: &str| {
        let asked = fields.iter().filter(|(_, asked)| *asked);
        wrong.extend(asked.map(|(field, _)| ((*field).to_owned(), why.to_owned())));
    };
    if !of_request {
        let why = "only a request has this: write `request`";
        refuse(&about_its_route, why);
        refuse(&about_no_route, why);
    }
    if of_policy {
        let why = "a policy has no such thing, only conditions: write `request` or `route`";
        refuse(&about_rules, why);
    } else {
        let why = "only a policy has conditions: write `policy`";
        refuse(&about_policies, why);
    }
    if *no_route == Some(true) {
        let why = "where there is no route there is nothing else to expect";
        refuse(&about_rules, why);
        refuse(&about_its_route, why);
    }
    let mut all = about_rules.iter().chain(&about_its_route);
    let mut others = about_no_route.iter().chain(&about_policies);
    if !all.any(|(_, asked)| *asked) && !others.any(|(_, asked)| *asked) {
        refuse(&[("", true)], "the test expects nothing, so it cannot fail");
    }
    if has_source && limits.is_none() {
        let why = "only limits look at the request's `source`: expect `limits`, or leave it out";
        refuse(&[("", true)], why);
    }
    wrong
}

/// Expectations whose values cannot be.
fn values(expect: &Expect, subject: &Subject) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    let settings = leaves(&expect.settings).into_iter();
    let settings = settings.map(|(path, _)| (format!("settings.{path}"), path.to_string()));
    let from = expect
        .from
        .keys()
        .map(|path| (format!("from.{path}"), path.clone()));
    for (field, path) in settings.chain(from) {
        wrong.extend(foreign::no_setting(&path).map(|why| (field, why)));
    }
    if let Some(Action {
        forward,
        redirect,
        respond,
    }) = &expect.action
    {
        let kinds = [forward.is_some(), redirect.is_some(), respond.is_some()];
        if kinds.iter().filter(|it| **it).count() != 1 {
            let why = "expected one of these: forward, redirect, respond";
            wrong.push(("action".to_owned(), why.to_owned()));
        }
        let location = redirect.as_ref().is_some_and(|it| it.location.is_some());
        if location && !matches!(subject, Subject::Request { .. }) {
            let why = "where a redirect leads depends on the request: write `request`";
            wrong.push(("action.redirect.location".to_owned(), why.to_owned()));
        }
    }
    for (index, condition) in expect.conditions.iter().enumerate() {
        if !["True", "False", "Unknown"].contains(&condition.status.as_str()) {
            let why = "expected \"True\", \"False\" or \"Unknown\", in quotes";
            wrong.push((format!("conditions[{index}].status"), why.to_owned()));
        }
    }
    wrong
}
