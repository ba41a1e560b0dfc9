//! Which places have policies below them that override or merge into theirs.

use std::collections::{BTreeMap, BTreeSet};

use weir_plan::NamespacedName;

use crate::targeting::AttachmentPoint;
use crate::topology::Topology;

/// Children of places, as far as policies sit at both.
pub(super) struct Relations<'a> {
    topology: &'a Topology,
    overrides: Children,
    merged: Children,
}

type Children = BTreeMap<AttachmentPoint, BTreeSet<AttachmentPoint>>;

impl<'a> Relations<'a> {
    pub(super) fn new(topology: &'a Topology) -> Self {
        Self {
            topology,
            overrides: BTreeMap::new(),
            merged: BTreeMap::new(),
        }
    }

    /// Notes that a policy of `child` overrides one of `parent`, should there be one.
    pub(super) fn overrides(&mut self, parent: AttachmentPoint, child: AttachmentPoint) {
        self.overrides.entry(parent).or_default().insert(child);
    }

    /// Notes that the policy of `child` was merged into that of `parent`.
    pub(super) fn merges(&mut self, parent: AttachmentPoint, child: AttachmentPoint) {
        self.merged.entry(parent).or_default().insert(child);
    }

    /// What a policy above routes is told about those below it.
    pub(super) fn conditions(&self, point: &AttachmentPoint) -> Vec<(&'static str, String)> {
        let merged: BTreeSet<&AttachmentPoint> =
            self.merged.get(point).into_iter().flatten().collect();
        let mut overriding = self.below(point);
        overriding.retain(|child| !merged.contains(child));
        let text = |word: &str, children: &BTreeSet<&AttachmentPoint>| {
            format!(
                "This policy is being {word} by other backendTrafficPolicies for {}",
                self.groups(children)
            )
        };
        let mut conditions = Vec::new();
        if !merged.is_empty() {
            conditions.push(("Merged", text("merged", &merged)));
        }
        if !overriding.is_empty() {
            conditions.push(("Overridden", text("overridden", &overriding)));
        }
        conditions
    }

    /// The places below that have policies.
    fn below(&self, point: &AttachmentPoint) -> BTreeSet<&AttachmentPoint> {
        let direct = |of: &AttachmentPoint| self.overrides.get(of).into_iter().flatten();
        let is_route = |child: &&AttachmentPoint| matches!(child, AttachmentPoint::Route(_));
        let mut below: BTreeSet<&AttachmentPoint> = direct(point).collect();
        match point {
            AttachmentPoint::Gateway(gateway) => {
                let node = &self.topology.gateways[*gateway];
                let own = |it: &&AttachmentPoint| matches!(it, AttachmentPoint::Listener { gateway: other, .. } if other == gateway);
                let first = AttachmentPoint::Listener {
                    gateway: *gateway,
                    listener: "".into(),
                };
                below.extend(
                    self.overrides
                        .range(first..)
                        .take_while(|(it, _)| own(it))
                        .flat_map(|(_, children)| children),
                );
                for set in &node.listener_sets {
                    below.extend(direct(&AttachmentPoint::ListenerSet(set.clone())));
                    below.extend(self.of_set_listeners(set));
                }
            }
            AttachmentPoint::ListenerSet(set) => below.extend(self.of_set_listeners(set)),
            // A route of the whole Gateway or ListenerSet goes through every listener.
            AttachmentPoint::Listener {
                gateway,
                listener: _,
            } => {
                below.extend(direct(&AttachmentPoint::Gateway(*gateway)).filter(is_route));
            }
            AttachmentPoint::ListenerSetListener { set, listener: _ } => {
                below.extend(direct(&AttachmentPoint::ListenerSet(set.clone())).filter(is_route));
            }
            AttachmentPoint::Route(_) | AttachmentPoint::RouteRule { .. } => {}
        }
        below
    }

    fn of_set_listeners(&self, set: &NamespacedName) -> impl Iterator<Item = &AttachmentPoint> {
        let first = AttachmentPoint::ListenerSetListener {
            set: set.clone(),
            listener: "".into(),
        };
        let own = move |it: &AttachmentPoint| matches!(it, AttachmentPoint::ListenerSetListener { set: other, .. } if other == set);
        self.overrides
            .range(first..)
            .take_while(move |(it, _)| own(it))
            .flat_map(|(_, children)| children)
    }

    /// The places by kind, each kind in the order of its text.
    fn groups(&self, children: &BTreeSet<&AttachmentPoint>) -> String {
        let Topology { gateways, routes } = self.topology;
        let mut groups: [BTreeSet<String>; 5] = Default::default();
        for child in children {
            let (group, text) = match child {
                AttachmentPoint::Listener { gateway, listener } => {
                    (0, format!("{}/{listener}", gateways[*gateway].name))
                }
                AttachmentPoint::ListenerSet(set) => (1, set.to_string()),
                AttachmentPoint::ListenerSetListener { set, listener } => {
                    (2, format!("{set}/{listener}"))
                }
                AttachmentPoint::Route(route) => (3, routes[*route].name.to_string()),
                AttachmentPoint::RouteRule { route, rule } => {
                    (4, format!("{}/{rule}", routes[*route].name))
                }
                AttachmentPoint::Gateway(_) => continue,
            };
            groups[group].insert(text);
        }
        let names = [
            "gateway listeners",
            "listenersets",
            "listenerset listeners",
            "routes",
            "route rules",
        ];
        let texts: Vec<String> = names
            .iter()
            .zip(groups)
            .filter(|(_, group)| !group.is_empty())
            .map(|(name, group)| {
                format!(
                    "these {name}: [{}]",
                    group.into_iter().collect::<Vec<_>>().join(" ")
                )
            })
            .collect();
        texts.join(" and ")
    }
}
