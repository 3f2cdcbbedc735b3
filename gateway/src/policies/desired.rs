//! What the store says of policies at a revision: records in, an arrangement out. It knows no component, only digests.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{GuardEntry, Layout, Policy, RoleEntry};
use feed::{Guard, GuardScope, PolicyDigest, PolicyKind, PolicyVersion, Record};

/// Policies and guards, as the records of a revision have them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Desired {
    /// By organisation and name.
    policies: BTreeMap<(String, String), feed::Policy>,
    /// By organisation and id.
    guards: BTreeMap<(String, String), Guard>,
}

/// A version of a policy, and whose it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'d> {
    pub(crate) policy: &'d feed::Policy,
    pub(crate) version: &'d PolicyVersion,
}

impl Desired {
    /// Returns whether a record says something of policies.
    pub(crate) fn concerns(record: &Record) -> bool {
        match record {
            Record::Policy(_) | Record::PolicyRemoved { .. } | Record::Guard(_) | Record::GuardRemoved { .. } => true,
            Record::Subject(_) | Record::SubjectRemoved { .. } | Record::Token(_) | Record::TokenRemoved { .. } => {
                false
            }
        }
    }

    /// Takes over what a record says of policies, if anything.
    pub(crate) fn take(&mut self, record: &Record) {
        match record {
            Record::Policy(policy) => {
                let key = (policy.org.clone(), policy.name.clone());
                self.policies.insert(key, (**policy).clone());
            }
            Record::PolicyRemoved { org, name } => drop(self.policies.remove(&(org.clone(), name.clone()))),
            Record::Guard(guard) => {
                self.guards.insert((guard.org.clone(), guard.id.clone()), guard.clone());
            }
            Record::GuardRemoved { org, id } => drop(self.guards.remove(&(org.clone(), id.clone()))),
            Record::Subject(_) | Record::SubjectRemoved { .. } | Record::Token(_) | Record::TokenRemoved { .. } => {}
        }
    }

    /// Returns the records that say all of it.
    pub(crate) fn records(&self) -> Vec<Record> {
        let policies = self.policies.values().cloned();
        let policies = policies.map(|policy| Record::Policy(Box::new(policy)));
        policies
            .chain(self.guards.values().cloned().map(Record::Guard))
            .collect()
    }

    /// Returns the versions that decide, now or in the place of one that fails.
    pub(crate) fn deciding(&self) -> impl Iterator<Item = Named<'_>> {
        self.policies.values().flat_map(|policy| {
            let versions = [Some(&policy.active), policy.fallback.as_ref()];
            let named = move |version| Named { policy, version };
            versions.into_iter().flatten().map(named)
        })
    }

    /// Returns the policies of which a version is watched.
    pub(crate) fn shadowed(&self) -> impl Iterator<Item = &feed::Policy> {
        self.policies.values().filter(|policy| policy.shadow.is_some())
    }

    /// Returns the digests of all versions that are to be at hand, those that decide first.
    pub(crate) fn digests(&self) -> Vec<PolicyDigest> {
        let deciding = self.deciding().map(|named| named.version.digest);
        let later = self.policies.values().flat_map(|policy| {
            let shadow = policy.shadow.iter().map(|shadow| &shadow.version);
            shadow.chain(&policy.ready).map(|version| version.digest)
        });
        deciding.chain(later).collect()
    }

    /// Returns the guards of a policy.
    pub(crate) fn guards_of(&self, policy: &feed::Policy) -> impl Iterator<Item = &Guard> {
        let is_of = |guard: &&Guard| guard.org == policy.org && guard.policy == policy.name;
        self.guards.values().filter(is_of)
    }

    /// Returns the arrangement, with the components that `find` has. `replaced` has a version that stands in the place of
    /// a policy's active one, without fallback.
    pub(crate) fn layout(
        &self,
        find: impl Fn(Named<'_>) -> Option<Arc<Policy>>,
        replaced: Option<Named<'_>>,
    ) -> Layout {
        let at_hand = |policy: &feed::Policy| match replaced {
            Some(named) if named.policy.org == policy.org && named.policy.name == policy.name => (find(named), None),
            Some(_) | None => {
                let find = |version| find(Named { policy, version });
                (find(&policy.active), policy.fallback.as_ref().and_then(find))
            }
        };
        let roles = self.policies.values().filter(|policy| policy.kind == PolicyKind::Role);
        let roles = roles.map(|policy| {
            let (active, fallback) = at_hand(policy);
            RoleEntry {
                org: policy.org.clone(),
                role: policy.name.clone(),
                policy: active,
                fallback,
                settings: policy.settings.as_deref().map(Arc::from),
            }
        });
        let guards = self.guards_in_order().into_iter().map(|guard| {
            let policy = self.policies.get(&(guard.org.clone(), guard.policy.clone()));
            // A guard without its policy would be a fault of the store: what it covers fails, as nobody can judge it.
            let (active, fallback) = policy.map_or((None, None), at_hand);
            GuardEntry {
                id: guard.id.clone(),
                scope: guard.scope.clone(),
                policy: active,
                fallback,
                settings: guard.settings.as_deref().map(Arc::from),
            }
        });
        Layout {
            roles: roles.collect(),
            guards: guards.collect(),
        }
    }

    /// Guards of the installation come first, then those of organisations, then those of apps; within a scope by position,
    /// then by id.
    fn guards_in_order(&self) -> Vec<&Guard> {
        // A guard on what belongs to another organisation would be a fault of the store; it counts for nothing here.
        let is_own = |guard: &&Guard| match &guard.scope {
            GuardScope::Installation => true,
            GuardScope::Org { org } | GuardScope::App { org, .. } => *org == guard.org,
        };
        let mut guards: Vec<&Guard> = self.guards.values().filter(is_own).collect();
        guards.sort_by_key(|guard| (&guard.scope, guard.position, &guard.id, &guard.org));
        guards
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(id: &str, org: &str, scope: &str, position: u32) -> Record {
        Record::Guard(Guard {
            org: org.to_owned(),
            id: id.to_owned(),
            policy: "freeze".to_owned(),
            scope: scope.parse().expect("a scope"),
            position,
            settings: None,
        })
    }

    #[test]
    fn guards_are_asked_from_the_widest_scope_to_the_narrowest_and_by_position_then_id() {
        let mut desired = Desired::default();
        for record in [
            guard("a", "acme", "/orgs/acme/apps/shop", 0),
            guard("b", "acme", "/orgs/acme", 1),
            guard("c", "acme", "installation", 9),
            guard("d", "acme", "/orgs/acme", 0),
            guard("e", "acme", "/orgs/acme", 1),
            guard("foreign", "acme", "/orgs/other", 0),
        ] {
            desired.take(&record);
        }
        let layout = desired.layout(|_| None, None);
        let ids: Vec<&str> = layout.guards.iter().map(|guard| guard.id.as_str()).collect();
        assert_eq!(ids, ["c", "d", "b", "e", "a"]);
        desired.take(&Record::GuardRemoved {
            org: "acme".to_owned(),
            id: "c".to_owned(),
        });
        assert_eq!(desired.layout(|_| None, None).guards.len(), 4);
    }
}
