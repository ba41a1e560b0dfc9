//! `spec.httpUpgrade`: the protocols that a request may be upgraded to.
//!
//! Scope: route. Unset: `websocket`. Merged by `type` under StrategicMerge. Invalid: an empty type.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_plan::features::http_upgrade::{self as plan, HttpUpgrades};

use super::Faults;

/// A protocol that a request may be upgraded to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HttpUpgrade {
    /// Its name, such as `websocket`, `spdy/3.1` or `CONNECT`.
    #[serde(default)]
    pub r#type: String,
    /// For `CONNECT`.
    pub connect: Option<Connect>,
}

/// What becomes of a CONNECT request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Connect {
    /// Whether the tunnel ends here and its bytes go to the backend. Default false: the request is passed on.
    pub terminate: Option<bool>,
}

/// `buffered`: whether requests are held whole, which leaves no room for an upgrade that nobody asked for.
pub(crate) fn lower(
    spec: Option<&[HttpUpgrade]>,
    buffered: bool,
    found: &mut Faults,
) -> HttpUpgrades {
    let upgrades = spec.unwrap_or_default();
    if let Some(index) = upgrades.iter().position(|it| it.r#type.is_empty()) {
        let field = format!("httpUpgrade[{index}].type");
        found.add("HTTPUpgrade", field, "type must not be empty");
    }
    if upgrades.is_empty() {
        return if buffered {
            HttpUpgrades::Only(Vec::new())
        } else {
            HttpUpgrades::DEFAULT
        };
    }
    let upgrades = upgrades.iter().map(|HttpUpgrade { r#type, connect }| {
        if r#type.eq_ignore_ascii_case("CONNECT") {
            let terminate = connect.as_ref().and_then(|it| it.terminate);
            plan::HttpUpgrade::Connect {
                terminate: terminate.unwrap_or(false),
            }
        } else {
            plan::HttpUpgrade::Protocol(r#type.as_str().into())
        }
    });
    HttpUpgrades::Only(upgrades.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_takes_the_place_of_websocket() {
        let protocol = |name: &str| plan::HttpUpgrade::Protocol(name.into());
        let connect = |terminate| plan::HttpUpgrade::Connect { terminate };
        for (spec, buffered, expected) in [
            (json!([]), false, HttpUpgrades::WebSocket),
            (json!([]), true, HttpUpgrades::Only(vec![])),
            (
                json!([{"type": "spdy/3.1"}, {"type": "websocket"}]),
                false,
                HttpUpgrades::Only(vec![protocol("spdy/3.1"), protocol("websocket")]),
            ),
            (
                json!([{"type": "connect"}, {"type": "CONNECT", "connect": {"terminate": true}}]),
                false,
                HttpUpgrades::Only(vec![connect(false), connect(true)]),
            ),
        ] {
            let list: Vec<HttpUpgrade> = serde_json::from_value(spec.clone()).unwrap();
            let mut found = Faults::default();
            assert_eq!(lower(Some(&list), buffered, &mut found), expected, "{spec}");
            assert_eq!(found.message(), None);
        }
        assert_eq!(
            lower(None, false, &mut Faults::default()),
            HttpUpgrades::WebSocket
        );
    }

    #[test]
    fn a_type_is_needed() {
        let mut found = Faults::default();
        lower(Some(&[HttpUpgrade::default()]), false, &mut found);
        assert_eq!(
            found.message().as_deref(),
            Some("HTTPUpgrade: type must not be empty.")
        );
    }
}
