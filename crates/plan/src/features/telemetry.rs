//! Traces and metrics of a route.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::name::RuleName;
use crate::units::PerMillion;

/// Traces and metrics of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Telemetry {
    /// How its requests are traced. None: as the listener's are.
    pub tracing: Option<Tracing>,
    /// The name under which it is counted. None: it is not.
    pub route_stat_name: Option<RouteStatName>,
}

impl Telemetry {
    /// What applies where no policy says anything.
    pub const DEFAULT: Self = Self {
        tracing: None,
        route_stat_name: None,
    };
}

/// How requests are traced. It takes the place of the listener's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tracing {
    /// The share that is traced at random.
    pub sampling: PerMillion,
    /// The share of what clients ask to be traced.
    pub client_sampling: PerMillion,
    /// The largest share in all.
    pub overall_sampling: PerMillion,
    /// Tags of the spans, by name.
    pub tags: BTreeMap<Arc<str>, Tag>,
    /// The names of spans. None: those of whoever collects the traces.
    pub span_names: Option<SpanNames>,
}

impl Tracing {
    /// Envoy's share of what is traced at random, where a route says anything of tracing.
    pub const DEFAULT_SAMPLING: PerMillion = PerMillion::ALWAYS;
    /// Envoy's share of what clients ask for.
    pub const DEFAULT_CLIENT_SAMPLING: PerMillion = PerMillion(0);
    /// Envoy's largest share.
    pub const DEFAULT_OVERALL_SAMPLING: PerMillion = PerMillion::ALWAYS;
}

/// The value of a tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Tag {
    /// A text in which `%...%` operators are replaced.
    Format(Arc<str>),
    /// This text.
    Literal(Arc<str>),
    /// A variable of the gateway's environment.
    Environment {
        /// Its name.
        name: Arc<str>,
        /// What stands in where it is not set; none: the tag is left out.
        default: Option<Arc<str>>,
    },
    /// A header of the request.
    RequestHeader {
        /// Its name.
        name: Arc<str>,
        /// What stands in where it is not there; none: the tag is left out.
        default: Option<Arc<str>>,
    },
}

/// The names of spans, in which `%...%` operators are replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SpanNames {
    /// Of those towards the backend.
    pub client: Arc<str>,
    /// Of those from the client.
    pub server: Arc<str>,
}

/// The name under which a route is counted, with operators for the parts of the route's own name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RouteStatName(pub Arc<str>);

impl RouteStatName {
    /// The name of a rule's routes: `%ROUTE_KIND%`, `%ROUTE_NAMESPACE%`, `%ROUTE_NAME%` and `%ROUTE_RULE_NAME%` (`-` where
    /// the rule has none) are replaced.
    pub fn of(&self, rule: &RuleName) -> String {
        let RuleName {
            kind,
            route,
            index: _,
            rule,
        } = rule;
        self.0
            .replace("%ROUTE_RULE_NAME%", rule.as_deref().unwrap_or("-"))
            .replace("%ROUTE_KIND%", kind.as_str())
            .replace("%ROUTE_NAMESPACE%", &route.namespace)
            .replace("%ROUTE_NAME%", &route.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{NamespacedName, RouteKind};

    #[test]
    fn a_stat_name_is_made_of_the_rules_name() {
        let name =
            RouteStatName("%ROUTE_KIND%/%ROUTE_NAMESPACE%/%ROUTE_NAME%/%ROUTE_RULE_NAME%".into());
        let mut rule = RuleName {
            kind: RouteKind::Grpc,
            route: NamespacedName::new("ns", "route"),
            index: 3,
            rule: None,
        };
        assert_eq!(name.of(&rule), "GRPCRoute/ns/route/-");
        rule.rule = Some("pay".into());
        assert_eq!(name.of(&rule), "GRPCRoute/ns/route/pay");
    }
}
