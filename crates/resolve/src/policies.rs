//! The policy half of resolving: which policies apply where, what they come to, and what they are told.
//!
//! It looks at policies, at what they refer to and at the topology. While none of these changes, it is not redone.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_plan::NamespacedName;

use crate::attach::PolicyIndex;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::effective::{self, Applications, EffectiveMemo};
use crate::memo::Changes;
use crate::resources::Resources;
use crate::status::PolicyAncestorStatus;
use crate::topology::Topology;
use crate::topology::attachments::Attachments;
use crate::{Context, attach, policy_status};

/// What policies come to.
#[derive(Debug)]
pub(crate) struct Policies {
    /// What policies attach to.
    pub(crate) topology: Topology,
    /// Where each policy sits.
    pub(crate) index: PolicyIndex,
    /// What applies to every rule.
    pub(crate) applications: Applications,
    /// The status of every policy.
    pub(crate) statuses: Arc<BTreeMap<NamespacedName, Vec<PolicyAncestorStatus>>>,
    found: Vec<Diagnostic>,
}

/// What policies came to last time.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    last: Option<Arc<Policies>>,
    effective: EffectiveMemo,
}

/// Attaches, merges and lowers the policies, and says what becomes of them.
pub(crate) fn apply(
    resources: &Resources,
    attachments: &Attachments,
    context: &Context,
    changes: &Changes,
    memo: &mut Memo,
    found: &mut Diagnostics,
) -> Arc<Policies> {
    let changed = attachments.changed || changes.gateways || changes.policies || changes.grants;
    let policies = match memo.last.take().filter(|_| !changed) {
        Some(last) => last,
        None => Arc::new(afresh(
            resources,
            attachments,
            context,
            changes,
            &mut memo.effective,
        )),
    };
    policies.found.iter().for_each(|it| found.push(it.clone()));
    memo.last = Some(Arc::clone(&policies));
    policies
}

fn afresh(
    resources: &Resources,
    attachments: &Attachments,
    context: &Context,
    changes: &Changes,
    memo: &mut EffectiveMemo,
) -> Policies {
    let topology = &attachments.topology;
    let mut found = Diagnostics::default();
    let index = attach::index(
        resources,
        topology,
        context,
        changes,
        &mut memo.attach,
        &mut found,
    );
    let applications = effective::of_each(resources, topology, &index, memo, &mut found);
    let statuses = policy_status::report(topology, &index, &applications, context, &mut found);
    Policies {
        topology: topology.clone(),
        index,
        applications,
        statuses: Arc::new(statuses),
        found: found.into_sorted(),
    }
}
