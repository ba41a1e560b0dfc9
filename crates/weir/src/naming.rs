//! What short names mean: whoever asks about something may leave out the beginning of its name.

use weir_plan::{RouteKind, RuleName};

/// Whether a short name means this full one: it leaves out nothing, or steps at the beginning.
pub(crate) fn is_named(full: &str, name: &str) -> bool {
    full.strip_suffix(name)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('/') && !name.is_empty())
}

/// Whether a name means this rule, or the route that it belongs to: `web`, `shop/web`, `httproute/web`,
/// `HTTPRoute/shop/web`, and the same with `/rule/0` or `/rule:pay` behind it.
pub(crate) fn is_rule(rule: &RuleName, name: &str) -> bool {
    is_rule_of(rule, name)
        || name
            .split_once('/')
            .is_some_and(|(kind, name)| is_kind(rule.kind, kind) && is_rule_of(rule, name))
}

/// Kinds go by any case, as kubectl takes them.
fn is_kind(kind: RouteKind, name: &str) -> bool {
    kind.as_str().eq_ignore_ascii_case(name)
}

fn is_rule_of(rule: &RuleName, name: &str) -> bool {
    let RuleName {
        kind: _,
        route,
        index,
        rule,
    } = rule;
    let route = route.to_string();
    if is_named(&route, name) {
        return true;
    }
    let by_index = format!("{route}/rule/{index}");
    let by_name = rule.as_ref().map(|it| format!("{route}/rule:{it}"));
    let names = by_name.into_iter().chain([by_index]);
    name.contains("/rule") && names.into_iter().any(|it| is_named(&it, name))
}

#[cfg(test)]
mod tests {
    use weir_plan::NamespacedName;

    use super::*;

    #[test]
    fn names_may_be_short() {
        let full = "BackendTrafficPolicy/default/shop";
        for (name, means) in [
            ("shop", true),
            ("default/shop", true),
            (full, true),
            ("hop", false),
            ("", false),
            ("other/shop", false),
            ("default", false),
        ] {
            assert_eq!(is_named(full, name), means, "{name}");
        }
    }

    #[test]
    fn rules_go_by_their_route_or_their_own_name() {
        let rule = |rule: Option<&str>| RuleName {
            kind: RouteKind::Http,
            route: NamespacedName::new("default", "shop"),
            index: 0,
            rule: rule.map(Into::into),
        };
        for (name, means) in [
            ("shop", true),
            ("default/shop", true),
            ("HTTPRoute/default/shop", true),
            ("httproute/default/shop", true),
            ("httproute/shop", true),
            ("HTTPROUTE/shop/rule/0", true),
            ("shop/rule/0", true),
            ("default/shop/rule/0", true),
            ("HTTPRoute/default/shop/rule/0", true),
            ("shop/rule/1", false),
            ("shop/rule:pay", false),
            ("grpcroute/shop", false),
            ("other/shop", false),
            ("default", false),
            ("0", false),
            ("rule/0", false),
            ("", false),
        ] {
            assert_eq!(is_rule(&rule(None), name), means, "{name}");
        }
        for (name, means) in [
            ("shop/rule:pay", true),
            ("default/shop/rule:pay", true),
            ("httproute/shop/rule:pay", true),
            ("shop/rule/0", true),
            ("rule:pay", false),
            ("pay", false),
        ] {
            assert_eq!(is_rule(&rule(Some("pay")), name), means, "{name}");
        }
    }
}
