//! The policy engine: Kubernetes resources in, a plan and the status of every object out.
//!
//! [`resolve`] is one pure function. It does no IO, reads no clock, and cannot fail on what users write: it returns
//! the best plan there is, and findings about the rest.

#![warn(missing_docs)]

mod admission;
pub mod api;
mod attach;
mod backend_tls;
mod build;
mod certificate;
mod clients;
pub mod crd;
mod defaults;
pub mod diagnostics;
pub mod diff;
pub mod effective;
mod endpoints;
mod enforcement;
pub mod explain;
mod expression;
pub mod features;
mod field_path;
#[cfg(test)]
mod fixtures;
pub mod foreign;
pub mod lint;
mod lower;
pub mod memo;
mod merge;
pub mod object;
mod operators;
mod own;
mod policies;
mod policy_status;
mod precedence;
mod protection;
mod reader;
pub mod references;
pub mod resources;
mod route_kinds;
pub mod status;
mod strict;
mod suggestion;
mod targeting;
pub mod topology;

pub use diagnostics::{Diagnostic, Diagnostics, ObjectRef, Severity};
pub use effective::{EffectivePolicy, EffectiveRule};
pub use endpoints::endpoints;
pub use field_path::{FieldPath, Step, quoted_key};
pub use memo::Memo;
pub use object::Object;
pub use resources::Resources;
pub use status::Statuses;
pub use suggestion::suggest;

use std::sync::Arc;

use weir_plan::{Feature, Plan, Support};

/// What resources do not say.
#[derive(Clone, Debug)]
pub struct Context {
    /// The controller name whose GatewayClasses are ours; written into every status.
    pub controller_name: String,
    /// Whether classes of other controllers are ours too (file mode without `--controller-name`).
    pub every_class: bool,
    /// What the data plane in use enforces.
    pub support: fn(Feature) -> Support,
    /// The same of what ClientTrafficPolicies say.
    pub client_support: Support,
    /// Whether routes protected by policies that we do not enforce (SecurityPolicy) are served all the same.
    pub allow_unenforced: bool,
    /// Whether Backends may point at loopback addresses.
    pub allow_loopback: bool,
    /// Whether listeners of different Gateways can meet.
    pub addresses: Addresses,
}

/// Which addresses Gateways are served on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// All on one: of two listeners with one port and host name, one loses, whichever Gateways they belong to.
    Shared,
    /// Each on one of its own: only listeners of one Gateway and its ListenerSets contend.
    PerGateway,
}

impl Context {
    fn is_same(&self, other: &Self) -> bool {
        let Self {
            controller_name,
            every_class,
            support,
            client_support,
            allow_unenforced,
            allow_loopback,
            addresses,
        } = self;
        *controller_name == other.controller_name
            && *every_class == other.every_class
            && std::ptr::fn_addr_eq(*support, other.support)
            && *client_support == other.client_support
            && *allow_unenforced == other.allow_unenforced
            && *allow_loopback == other.allow_loopback
            && *addresses == other.addresses
    }
}

/// All that follows from a snapshot of resources.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// What the data plane is to do.
    pub plan: Arc<Plan>,
    /// The status of every object that has one.
    pub statuses: Statuses,
    /// The effective policy of every route rule on every listener that carries it, for explanations.
    pub effective: Vec<Arc<EffectiveRule>>,
    /// What is worth saying about the objects, beyond what their statuses say.
    pub diagnostics: Vec<Diagnostic>,
    /// Where policies sit and what they come to, for explanations and lints.
    pub(crate) policies: Arc<policies::Policies>,
    /// Which ClientTrafficPolicy each listener has, likewise.
    pub(crate) clients: Arc<clients::Clients>,
}

/// Turns a snapshot of resources into a plan and the status of every object.
///
/// Pure: equal `resources` and `context` give equal results whatever is in `memo`, which only saves work.
pub fn resolve(resources: &Resources, context: &Context, memo: &mut Memo) -> Resolution {
    let mut found = Diagnostics::default();
    let changes = memo.changes(resources, context);
    let Memo {
        attachments,
        policies,
        clients,
        build: built,
        backends,
        ..
    } = memo;
    let attachments =
        topology::attachments::update(resources, context, &changes, attachments, &mut found);
    let clients = clients::apply(
        resources,
        attachments,
        context,
        &changes,
        clients,
        &mut found,
    );
    let policies = policies::apply(
        resources,
        attachments,
        context,
        &changes,
        policies,
        &mut found,
    );
    let plan = build::plan(
        resources,
        attachments,
        (&policies, &clients),
        context,
        &changes,
        built,
        &mut found,
    );
    let backends =
        status::backends::of_backends(resources, context, &changes, backends, &mut found);
    let statuses = status::report(
        resources,
        attachments,
        built,
        (&policies, &clients),
        backends,
        context,
        &mut found,
    );
    let (effective, diagnostics) = (built.effective(), found.into_bounded());
    Resolution {
        plan,
        statuses,
        effective,
        diagnostics,
        policies,
        clients,
    }
}
