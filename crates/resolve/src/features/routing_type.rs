//! `spec.routingType`: whether requests go to a Service's cluster IP or to its endpoints.
//!
//! Scope: cluster. Unset: what the gateway says, else endpoints. It has no type in the plan, whose clusters name the
//! endpoints that it leads to.

use serde::Serialize;
use weir_plan::NamespacedName;

use super::Faults;

/// Where requests to a Service go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum RoutingType {
    /// To its cluster IP, for the cluster to spread them. Services without one have their endpoints used.
    Service,
    /// To its endpoints.
    #[default]
    Endpoint,
}

/// What an EnvoyProxy says for all routes of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfGateway {
    /// Where requests to Services go, where no policy says it.
    pub routing_type: RoutingType,
    /// The EnvoyProxy.
    pub envoy_proxy: NamespacedName,
}

/// None: the policy leaves it to the gateway.
pub(crate) fn lower(word: Option<&str>, found: &mut Faults) -> Option<RoutingType> {
    let word = word?;
    let routing_type = RoutingType::parse(word);
    if routing_type.is_none() {
        let text =
            format!("{word:?} is no routing type, so the default applies; use Service or Endpoint");
        found.ignored("RoutingType", "routingType", text);
    }
    routing_type
}

impl RoutingType {
    /// The word of the API.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::Endpoint => "Endpoint",
        }
    }

    /// Reads the word of the API.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "Service" => Some(Self::Service),
            "Endpoint" => Some(Self::Endpoint),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for (word, expected, ignored) in [
            (None, None, 0),
            (Some("Service"), Some(RoutingType::Service), 0),
            (Some("Endpoint"), Some(RoutingType::Endpoint), 0),
            (Some("service"), None, 1),
        ] {
            let mut found = Faults::default();
            assert_eq!(lower(word, &mut found), expected);
            assert_eq!((found.message(), found.list.len()), (None, ignored));
        }
    }
}
