//! What an API server would refuse: the schema of our kinds, and the rules across their fields.
//!
//! A step of its own in front of the engine. In a cluster the API server has taken it; file mode takes it here. Each
//! kind has a [`schema::Schema`], which is data, and rules, which are functions; both speak in the API server's words.

pub(crate) mod backend;
pub(crate) mod cel;
pub(crate) mod client_traffic_policy;
pub(crate) mod gateway_api;
pub(crate) mod http_route_filter;
pub(crate) mod pattern;
pub(crate) mod policy;
mod policy_rules;
mod policy_traffic;
mod policy_upstream;
mod response_rules;
pub(crate) mod schema;
mod values;

pub(crate) use policy_traffic::GRPC_STATUSES;
use serde_json::Value;

use crate::diagnostics::FieldPath;
use schema::Schema;
use values::At;

/// Why an object is refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    /// Where.
    pub(crate) at: FieldPath,
    /// The sort of finding: `unknown-field`, `wrong-type`, `missing-field` or `not-admitted`.
    pub(crate) id: &'static str,
    /// The API server's words.
    pub(crate) message: String,
}

/// The id of what a limit of the schema or a rule refuses.
pub(crate) const NOT_ADMITTED: &str = "not-admitted";

/// Judges a spec. As in the API server, the rules are tried only where the schema finds the shape to be right.
fn judge(spec: &Value, schema: &Schema, rules: fn(&At<'_>, &mut Vec<Violation>)) -> Vec<Violation> {
    let at = FieldPath::new("spec");
    let schema::Verdict {
        mut violations,
        misshapen,
    } = schema::check(spec, schema, &at);
    if !misshapen {
        rules(&At::new(spec, at), &mut violations);
    }
    violations
}
