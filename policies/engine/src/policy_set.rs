//! The policies of all roles and guards, and the decision that they make together.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use catalogue::Matched;
use feed::{GuardScope, PolicyDigest, PolicyKind};
use foldhash::quality::RandomState;

use crate::decision::{Answers, Asked};
use crate::evaluation::Verdict;
use crate::speaker::{self, Key, Speaker, Speakers};
use crate::{
    Decision, Engine, Fault, Grant, Layout, LoadError, Memory, Needs, Outcome, Policy, Question, SubjectView, builtin,
};

/// The policies that are in force. Belongs to one thread at a time.
pub struct PolicySet {
    /// Roles of every organisation.
    roles: Named<Speakers>,
    /// Roles of one organisation, by organisation and name.
    own_roles: Named<Named<Speakers>>,
    guards: Vec<Guard>,
    /// Whether any policy asks for more than subject and operation.
    asks_for_inputs: bool,
    memory: Memory,
    /// Keyed anew for each set of built-in roles, so nobody can aim for collisions; what is remembered is hashed with it.
    hasher: RandomState,
    /// The canonical input of the question being decided; kept for its capacity.
    canonical: RefCell<Vec<u8>>,
}

/// By name. Hashed with a seed of the process, as what is remembered is: SipHash would be a third of what a remembered
/// decision costs.
type Named<T> = HashMap<String, T, RandomState>;

struct Guard {
    id: String,
    scope: GuardScope,
    speakers: Speakers,
}

impl PolicySet {
    /// Returns a set of role policies that speak for the roles of their names in every organisation. Without any, it
    /// allows nothing.
    pub fn new(policies: impl IntoIterator<Item = Arc<Policy>>, memory: Memory) -> Self {
        let speakers = |policy: &Arc<Policy>| {
            Speakers::new(PolicyKind::Role, (Some(policy), None), |policy| {
                Speaker::new(Arc::clone(policy), None, memory)
            })
        };
        let roles: Named<Speakers> = policies
            .into_iter()
            .map(|policy| (policy.name().to_owned(), speakers(&policy)))
            .collect();
        Self {
            asks_for_inputs: roles.values().any(Speakers::asks_for_inputs),
            roles,
            own_roles: Named::default(),
            guards: Vec::new(),
            memory,
            hasher: RandomState::default(),
            canonical: RefCell::default(),
        }
    }

    /// Returns the policies of the built-in roles.
    ///
    /// # Errors
    /// When the engine's limits are too tight for them.
    pub fn builtin(engine: &Engine, memory: Memory) -> Result<Self, LoadError> {
        let policies = builtin::COMPONENTS.iter().map(|component| engine.load(component));
        let policies = policies.map(|policy| policy.map(Arc::new));
        Ok(Self::new(policies.collect::<Result<Vec<_>, _>>()?, memory))
    }

    /// Returns a set with the same roles of every organisation and the policies of a layout in place of its own ones.
    ///
    /// A policy that both have with the same settings takes what it remembers, and how it fares, into the new set; this
    /// set stays usable, and remembers anew.
    #[must_use]
    pub fn arranged(&self, layout: &Layout) -> Self {
        let old: Vec<&Speaker> = self.speakers().flat_map(Speakers::each).collect();
        let speaker = |policy: &Arc<Policy>, settings: Option<&Arc<str>>| {
            let speaker = Speaker::new(Arc::clone(policy), settings.cloned(), self.memory);
            // One of several takes it all: they are the same policy, so it is not lost to the others for long.
            old.iter().any(|old| speaker.take_over(old));
            speaker
        };
        let roles = self.roles.iter().map(|(role, speakers)| {
            let speakers = Speakers::new(PolicyKind::Role, (speakers.policy(), None), |policy| {
                speaker(policy, None)
            });
            (role.clone(), speakers)
        });
        let roles: Named<Speakers> = roles.collect();
        let mut own_roles: Named<Named<Speakers>> = Named::default();
        for entry in layout.roles.iter().filter(|entry| !roles.contains_key(&entry.role)) {
            let policies = (entry.policy.as_ref(), entry.fallback.as_ref());
            let speakers = Speakers::new(PolicyKind::Role, policies, |policy| {
                speaker(policy, entry.settings.as_ref())
            });
            let of_org = own_roles.entry(entry.org.clone()).or_default();
            of_org.insert(entry.role.clone(), speakers);
        }
        let guards = layout.guards.iter().map(|entry| {
            let policies = (entry.policy.as_ref(), entry.fallback.as_ref());
            Guard {
                id: entry.id.clone(),
                scope: entry.scope.clone(),
                speakers: Speakers::new(PolicyKind::Guard, policies, |policy| {
                    speaker(policy, entry.settings.as_ref())
                }),
            }
        });
        let mut set = Self {
            guards: guards.collect(),
            roles,
            own_roles,
            asks_for_inputs: false,
            memory: self.memory,
            hasher: self.hasher.clone(),
            canonical: RefCell::default(),
        };
        let asks_for_inputs = set.speakers().any(Speakers::asks_for_inputs);
        set.asks_for_inputs = asks_for_inputs;
        set
    }

    /// Returns the policy of a role that every organisation has.
    pub fn get(&self, role: &str) -> Option<&Arc<Policy>> {
        self.roles.get(role).and_then(Speakers::policy)
    }

    /// Returns the policies of the roles that every organisation has, in no order.
    pub fn policies(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.roles.values().filter_map(Speakers::policy)
    }

    /// Returns the policies that are put aside because they kept failing, with the name of the role or the id of the guard.
    pub fn put_aside(&self) -> impl Iterator<Item = (&str, PolicyDigest)> {
        let roles = self.roles.iter().chain(self.own_roles.values().flatten());
        let roles = roles.map(|(role, speakers)| (role.as_str(), speakers));
        let guards = self.guards.iter().map(|guard| (guard.id.as_str(), &guard.speakers));
        roles
            .chain(guards)
            .flat_map(|(name, speakers)| speakers.put_aside().map(move |digest| (name, digest)))
    }

    /// Returns what the policies that bear on a question ask for beyond it. Costs next to nothing when no policy of the
    /// set asks for anything, as the built-in ones do not.
    pub fn needs(&self, subject: &SubjectView<'_>, operation: &Matched<'_>) -> Needs<'_> {
        let mut needs = Needs::default();
        if !self.asks_for_inputs {
            return needs;
        }
        let roles = subject.roles().filter_map(|(role, _)| self.role(subject.org, role));
        let guards = self.guards_of(subject, operation).map(|guard| &guard.speakers);
        roles.chain(guards).for_each(|speakers| speakers.add_needs(&mut needs));
        needs
    }

    /// Decides: asks the roles that bear on the operation, on the organisation, on the app, on the env types, each once,
    /// until one allows; then the guards that cover it, in their order, until one denies.
    ///
    /// A role that is held where its manifest does not admit it grants nothing, and is not a fault: the binding is void,
    /// the policy is well. A guard that gives no verdict leaves the decision undecided.
    pub fn decide<'a>(&'a self, question: &Question<'a>) -> Decision<'a> {
        self.decide_with(question, true)
    }

    /// Decides as [`PolicySet::decide`] does, and asks no guard: what the roles alone allow.
    pub fn decide_by_roles<'a>(&'a self, question: &Question<'a>) -> Decision<'a> {
        self.decide_with(question, false)
    }

    fn decide_with<'a>(&'a self, question: &Question<'a>, guarded: bool) -> Decision<'a> {
        let mut canonical = self.canonical.borrow_mut();
        let hash = match self.memory {
            Memory::Off => 0,
            Memory::Bounded { .. } => {
                question.write_canonical(&mut canonical);
                self.hasher.hash_one(canonical.as_slice())
            }
        };
        let key = Key {
            hash,
            canonical: &canonical,
        };
        let mut answers = Answers::new();
        let outcome = match self.ask_roles((question, key), &mut answers) {
            Ok(grant) if guarded => self
                .ask_guards((question, key), &mut answers)
                .unwrap_or(Outcome::Allowed(grant)),
            Ok(grant) => Outcome::Allowed(grant),
            Err(outcome) => outcome,
        };
        Decision { outcome, answers }
    }

    /// Returns the first role that allows, or what it means that none does.
    fn ask_roles<'a>(
        &'a self,
        asking: (&Question<'a>, Key<'_>),
        answers: &mut Answers<'a>,
    ) -> Result<Grant<'a>, Outcome<'a>> {
        let subject = &asking.0.subject;
        let mut outcome = Outcome::NotAllowed;
        for (at, (role, scope)) in subject.roles().enumerate() {
            let speakers = self.role(subject.org, role);
            if !is_to_be_asked(speakers, subject, at) {
                continue;
            }
            let asked = Asked::Role { role, held_on: scope };
            let spoken = match speakers {
                Some(speakers) => speakers.ask(asked, asking, answers),
                None => Err(speaker::nobody(asked, answers)),
            };
            match spoken {
                Ok(spoken) if spoken.verdict == Verdict::Allow => {
                    return Ok(Grant {
                        role,
                        scope,
                        policy: spoken.policy,
                        remembered: spoken.remembered,
                    });
                }
                Ok(_) => {}
                Err(fault) if outcome == Outcome::NotAllowed => outcome = Outcome::Undecided { by: role, fault },
                Err(_) => {}
            }
        }
        Err(outcome)
    }

    /// Returns what a guard makes of it that does not let it pass.
    fn ask_guards<'a>(&'a self, asking: (&Question<'a>, Key<'_>), answers: &mut Answers<'a>) -> Option<Outcome<'a>> {
        let (question, _) = asking;
        for guard in self.guards_of(&question.subject, question.operation) {
            let asked = Asked::Guard {
                guard: &guard.id,
                scope: &guard.scope,
            };
            let guard_id = guard.id.as_str();
            let fault = match guard.speakers.ask(asked, asking, answers).map(|spoken| spoken.verdict) {
                Ok(Verdict::Pass) => continue,
                Ok(Verdict::Deny(reason)) => {
                    return Some(Outcome::Denied {
                        guard: guard_id,
                        reason,
                    });
                }
                // Only guards speak for guards; if that ever broke, nothing may come through here.
                Ok(Verdict::Allow | Verdict::Abstain) => Fault::AnswerInvalid,
                Err(fault) => fault,
            };
            return Some(Outcome::Undecided { by: guard_id, fault });
        }
        None
    }

    /// Returns the guards that judge what a subject does, in the order in which they are asked.
    fn guards_of<'s, 'q>(
        &'s self,
        subject: &SubjectView<'q>,
        operation: &Matched<'q>,
    ) -> impl Iterator<Item = &'s Guard> + use<'s, 'q> {
        // Token operations name no organisation: they are about the subject's own.
        let (org, app) = (operation.org().unwrap_or(subject.org), operation.app());
        let kind = subject.kind;
        self.guards.iter().filter(move |guard| {
            let judges = |policy: &Arc<Policy>| policy.manifest().subject_kinds.contains(&kind);
            guard.scope.covers(org, app) && guard.speakers.policy().is_none_or(judges)
        })
    }

    fn role(&self, org: &str, role: &str) -> Option<&Speakers> {
        let own = || self.own_roles.get(org).and_then(|of_org| of_org.get(role));
        self.roles.get(role).or_else(own)
    }

    fn speakers(&self) -> impl Iterator<Item = &Speakers> {
        let own_roles = self.own_roles.values().flat_map(Named::values);
        let guards = self.guards.iter().map(|guard| &guard.speakers);
        self.roles.values().chain(own_roles).chain(guards)
    }
}

/// Returns whether the role at this place of the subject's roles counts where it is held, and was not asked before.
fn is_to_be_asked(speakers: Option<&Speakers>, subject: &SubjectView<'_>, at: usize) -> bool {
    let policy = speakers.and_then(Speakers::policy);
    let counts = |scope| policy.is_none_or(|policy| policy.manifest().admits(subject.kind, scope));
    let is_first = |role| {
        !subject
            .roles()
            .take(at)
            .any(|(other, scope)| other == role && counts(scope))
    };
    subject
        .roles()
        .nth(at)
        .is_some_and(|(role, scope)| counts(scope) && is_first(role))
}
