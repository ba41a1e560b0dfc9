//! `spec.httpUpgrade`: the protocols that a request may be upgraded to.
//!
//! Scope: route. Unset: `websocket`. Merged by `type` under StrategicMerge. Invalid: an empty type. The plan has no type
//! for it yet.

use serde::{Deserialize, Serialize};

use super::Faults;

/// A protocol that a request may be upgraded to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HttpUpgrade {
    /// Its name, such as `websocket`, `spdy/3.1` or `CONNECT`.
    #[serde(default)]
    pub r#type: String,
    /// For `CONNECT`.
    pub connect: Option<Connect>,
}

/// What becomes of a CONNECT request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Connect {
    /// Whether the tunnel ends here and its bytes go to the backend. Default false: the request is passed on.
    pub terminate: Option<bool>,
}

pub(crate) fn check(upgrades: &[HttpUpgrade], found: &mut Faults) {
    if let Some(index) = upgrades
        .iter()
        .position(|upgrade| upgrade.r#type.is_empty())
    {
        found.add(
            "HTTPUpgrade",
            format!("httpUpgrade[{index}].type"),
            "type must not be empty",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_needed() {
        let mut found = Faults::default();
        check(
            &[HttpUpgrade {
                r#type: "websocket".to_owned(),
                connect: None,
            }],
            &mut found,
        );
        assert_eq!(found.message(), None);
        check(&[HttpUpgrade::default()], &mut found);
        assert_eq!(
            found.message().as_deref(),
            Some("HTTPUpgrade: type must not be empty.")
        );
    }
}
