//! EnvoyProxy: how Envoy Gateway sets its data plane up. Of all that it says, what concerns policies is read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ObjectMeta;

/// An EnvoyProxy, which a GatewayClass or Gateway refers to as its parameters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EnvoyProxy {
    /// Its name.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What it says.
    #[serde(default)]
    pub spec: EnvoyProxySpec,
}

/// What an EnvoyProxy says. All else describes a deployment of Envoy, and has no effect.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvoyProxySpec {
    /// Where requests to Services go unless a policy says otherwise: `Service` or `Endpoint` (default).
    pub routing_type: Option<String>,
}
