//! Compares what a test expects to become of a request with what the plan says.

use weir_plan::{DirectResponse, Forward, RouteAction, SplitTarget};
use weir_proxy::preview;

use super::expectation::{Check, in_force, list_or_none};
use super::format::{Action, ExpectedRedirect, ExpectedResponse};
use super::subject::Seen;
use super::world::World;
use crate::naming::is_named;

/// Notes where the action of a rule is not the one expected.
pub(super) fn check(check: &mut Check<'_>, world: &World, seen: &Seen<'_>, expected: &Action) {
    let Action {
        forward,
        redirect,
        respond,
    } = expected;
    let because = match &seen.in_force.refusal {
        Some(why) => vec![format!("its policy is invalid: {why}")],
        None => in_force(seen),
    };
    let Some(planned) = seen.planned else {
        check.fail(
            "action",
            "action",
            said(expected),
            "the route is not served",
            because,
        );
        return;
    };
    let (fits, found) = match &planned.action {
        RouteAction::Forward(to) => {
            let backends = backends(world, to);
            let fits = forward.as_ref().is_some_and(|expected| {
                expected.len() == backends.len()
                    && expected
                        .iter()
                        .zip(&backends)
                        .all(|(name, full)| is_named(full, name))
            });
            (fits, format!("forward to {}", list_or_none(&backends)))
        }
        RouteAction::Redirect(to) => {
            let location = seen
                .taken
                .as_ref()
                .and_then(|taken| preview::location(to, &taken.found, taken.head));
            let fits = redirect.as_ref().is_some_and(|expected| {
                let ExpectedRedirect {
                    status,
                    location: wanted,
                } = expected;
                status.is_none_or(|it| it == to.status)
                    && wanted
                        .as_ref()
                        .is_none_or(|it| Some(it) == location.as_ref())
            });
            let location = location.map_or_else(String::new, |it| format!(" to {it}"));
            (fits, format!("redirect with {}{location}", to.status))
        }
        RouteAction::Respond(DirectResponse {
            status,
            reason,
            content: _,
        }) => {
            let fits = respond.as_ref().is_some_and(|expected| {
                let ExpectedResponse {
                    status: wanted,
                    reason: words,
                } = expected;
                wanted == status && words.as_ref().is_none_or(|it| reason.contains(it.as_str()))
            });
            (fits, format!("respond with {status}: {reason}"))
        }
    };
    if !fits {
        check.fail("action", "action", said(expected), found, because);
    }
}

/// The backends of a rule in their order, those that lead nowhere included.
fn backends(
    world: &World,
    Forward {
        rewrite: _,
        credential: _,
        session: _,
        mirrors: _,
        targets,
    }: &Forward,
) -> Vec<String> {
    let clusters = &world.configuration.resolution.plan.clusters;
    let mut backends = Vec::new();
    for target in targets {
        match &target.target {
            SplitTarget::Cluster(name) => {
                let localities = clusters.get(name).map_or(&[][..], |it| &it.localities);
                backends.extend(localities.iter().map(|it| it.endpoints.to_string()));
            }
            SplitTarget::Invalid(DirectResponse {
                status,
                reason,
                content: _,
            }) => {
                backends.push(format!("nowhere ({status}: {reason})"));
            }
        }
    }
    backends
}

fn said(expected: &Action) -> String {
    let Action {
        forward,
        redirect,
        respond,
    } = expected;
    let mut said = Vec::new();
    said.extend(
        forward
            .iter()
            .map(|it| format!("forward to {}", list_or_none(it))),
    );
    said.extend(redirect.iter().map(|it| {
        let ExpectedRedirect { status, location } = it;
        let status = status.map_or_else(String::new, |it| format!(" with {it}"));
        let location = location
            .as_ref()
            .map_or_else(String::new, |it| format!(" to {it}"));
        format!("redirect{status}{location}")
    }));
    said.extend(respond.iter().map(|it| {
        let ExpectedResponse { status, reason } = it;
        let reason = reason
            .as_ref()
            .map_or_else(String::new, |it| format!(": {it}"));
        format!("respond with {status}{reason}")
    }));
    said.join(" and ")
}
