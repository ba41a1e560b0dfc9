//! ClientTrafficPolicies: which one each listener has, what it comes to there, and what the policies are told.
//!
//! The winner counts whole; nothing is merged. Like the other policies they are looked at again only when something
//! changed that they may depend on.

mod claims;
pub(crate) mod defaults;
mod findings;
mod listeners;
mod lower;
mod ports;
mod references;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use weir_plan::{ClientPolicy, ListenerName, ListenerTls, NamespacedName, PolicyRef};

use crate::Context;
use crate::diagnostics::{Diagnostic, Diagnostics, FieldPath};
use crate::effective::{Lost, StreamIdle};
use crate::explain::policy::TargetExplanation;
use crate::memo::Changes;
use crate::resources::Resources;
use crate::status::PolicyAncestorStatus;
use crate::topology::ListenerKey;
use crate::topology::attachments::Attachments;

pub(crate) use claims::object_ref;

/// The kind of the policies.
pub(crate) const KIND: &str = "ClientTrafficPolicy";

/// What ClientTrafficPolicies come to.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Clients {
    /// What each listener is told by them, where it is told anything.
    pub(crate) listeners: BTreeMap<ListenerKey, Arc<OfListener>>,
    /// All policies, with what became of their targets.
    pub(crate) policies: BTreeMap<NamespacedName, Placed>,
    /// The status of every policy that reaches anything of ours.
    pub(crate) statuses: Arc<BTreeMap<NamespacedName, Vec<PolicyAncestorStatus>>>,
    found: Vec<Diagnostic>,
}

/// A policy, and what became of its targets.
#[derive(Debug, PartialEq)]
pub(crate) struct Placed {
    /// What it says, without its targets.
    pub(crate) settings: Arc<Value>,
    /// What became of each target that is there.
    pub(crate) targets: Vec<TargetExplanation>,
    /// The targets that it has for its name alone, and the policies of the same age that have not.
    pub(crate) ties: Vec<(FieldPath, Vec<PolicyRef>)>,
}

/// What a listener is told.
#[derive(Debug, PartialEq)]
pub(crate) struct OfListener {
    /// Its name in the plan.
    pub(crate) name: ListenerName,
    /// The policy that it has.
    pub(crate) policy: Option<PolicyRef>,
    /// What that says, without its targets.
    pub(crate) settings: Arc<Value>,
    /// The policies that it has not, and why.
    pub(crate) lost: Vec<Lost>,
    /// Why the policy is invalid here: routes of HTTP answer 500, others are not there.
    pub(crate) invalid: Option<Arc<str>>,
    /// The settings that do not hold here, as another policy of the port came first, and which.
    pub(crate) displaced: Vec<(FieldPath, PolicyRef)>,
    /// The settings that all listeners of the port have in common, by the fields below `spec` that may say each, and whose
    /// they are.
    pub(crate) port: Vec<(&'static [&'static str], PolicyRef)>,
    /// How it deals with its clients; none: as by default.
    pub(crate) client: Option<Arc<ClientPolicy>>,
    /// How it speaks TLS, where the policy says anything of that.
    pub(crate) tls: Option<Arc<ListenerTls>>,
    /// What becomes of its routes.
    pub(crate) routes: OfRoutes,
}

/// What a listener's policy says of the routes on it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OfRoutes {
    /// Why they answer 500.
    pub(crate) refused: Option<Arc<str>>,
    /// The longest pause of a request, where no BackendTrafficPolicy says another.
    pub(crate) stream_idle: Option<StreamIdle>,
    /// Whether rate limits tell of themselves, where they do not say so.
    pub(crate) rate_limit_headers: bool,
}

impl OfRoutes {
    /// Nothing.
    pub(crate) const NONE: Self = Self {
        refused: None,
        stream_idle: None,
        rate_limit_headers: true,
    };
}

impl Clients {
    /// What is said of the routes on a listener.
    pub(crate) fn of_routes(&self, listener: &ListenerKey) -> &OfRoutes {
        self.listeners
            .get(listener)
            .map_or(&OfRoutes::NONE, |it| &it.routes)
    }
}

/// Finds out which policy each listener has, and what it comes to. `last` is what the last call found out.
pub(crate) fn apply(
    resources: &Resources,
    attachments: &Attachments,
    context: &Context,
    changes: &Changes,
    last: &mut Option<Arc<Clients>>,
    found: &mut Diagnostics,
) -> Arc<Clients> {
    let touched = attachments.changed
        || changes.gateways
        || changes.client_policies
        || changes.grants
        || !changes.secrets.is_empty()
        || !changes.config_maps.is_empty();
    let clients = match last.take() {
        Some(last) if !touched => last,
        last => afresh(resources, attachments, context, last),
    };
    clients.found.iter().for_each(|it| found.push(it.clone()));
    *last = Some(Arc::clone(&clients));
    clients
}

fn afresh(
    resources: &Resources,
    attachments: &Attachments,
    context: &Context,
    last: Option<Arc<Clients>>,
) -> Arc<Clients> {
    let mut found = Diagnostics::default();
    let claims = claims::index(resources, &attachments.topology, &mut found);
    let used = listeners::of_each(resources, attachments, context, &claims, &mut found);
    let statuses = status::report(&claims, &used, context, &mut found);
    let clients = Clients {
        listeners: used.listeners,
        policies: claims.placed(),
        statuses: Arc::new(statuses),
        found: found.into_sorted(),
    };
    match last {
        Some(last) if *last == clients => last,
        Some(last) => Arc::new(clients.keeping(&last)),
        None => Arc::new(clients),
    }
}

impl Clients {
    /// With what is equal in an earlier result taken over from it, so that it stays the same `Arc`.
    fn keeping(mut self, last: &Self) -> Self {
        for (key, now) in &mut self.listeners {
            match last.listeners.get(key) {
                Some(known) if known == now => *now = Arc::clone(known),
                Some(known) => {
                    if let Some(now) = Arc::get_mut(now) {
                        keep(&mut now.client, known.client.as_ref());
                        keep(&mut now.tls, known.tls.as_ref());
                    }
                }
                None => {}
            }
        }
        if self.statuses == last.statuses {
            self.statuses = Arc::clone(&last.statuses);
        }
        self
    }
}

fn keep<T: PartialEq>(now: &mut Option<Arc<T>>, known: Option<&Arc<T>>) {
    if let (Some(it), Some(known)) = (&now, known)
        && it == known
    {
        *now = Some(Arc::clone(known));
    }
}
