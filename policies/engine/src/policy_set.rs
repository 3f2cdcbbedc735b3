//! The policies of all roles, and the decision that they make together.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::input::QuestionInput;
use crate::verdicts::Verdicts;
use crate::{
    Decision, Engine, Fault, Grant, LoadError, Memory, PolicyDigest, Question, RoleFault, RolePolicy, SubjectView,
    builtin,
};

/// The policy of each role. Belongs to one thread at a time.
pub struct PolicySet {
    roles: HashMap<String, Entry>,
    memory: Memory,
    /// Keyed anew for each set, so nobody can aim for collisions.
    hasher: RandomState,
    /// The canonical input of the question being decided; kept for its capacity.
    canonical: RefCell<Vec<u8>>,
}

struct Entry {
    policy: RolePolicy,
    /// `None` if verdicts of this policy may not be remembered.
    verdicts: Option<RefCell<Verdicts>>,
}

/// A role's verdict, and where it is from.
struct Answer {
    allows: bool,
    remembered: bool,
    policy: PolicyDigest,
}

impl PolicySet {
    /// Returns a set without policies: it allows nothing.
    pub fn new(memory: Memory) -> Self {
        Self {
            roles: HashMap::new(),
            memory,
            hasher: RandomState::new(),
            canonical: RefCell::default(),
        }
    }

    /// Returns the policies of the built-in roles.
    ///
    /// # Errors
    /// When the engine's limits are too tight for them.
    pub fn builtin(engine: &Engine, memory: Memory) -> Result<Self, LoadError> {
        let mut set = Self::new(memory);
        for component in builtin::COMPONENTS {
            set.insert(engine.load(component)?);
        }
        Ok(set)
    }

    /// Puts in a role's policy; returns the one that it replaces.
    pub fn insert(&mut self, policy: RolePolicy) -> Option<RolePolicy> {
        let verdicts = match self.memory {
            Memory::Bounded {
                entries_max,
                input_bytes_max,
            } if policy.is_pure() => Some(RefCell::new(Verdicts::new(entries_max, input_bytes_max))),
            Memory::Bounded { .. } | Memory::Off => None,
        };
        let entry = Entry { policy, verdicts };
        let replaced = self.roles.insert(entry.policy.name().to_owned(), entry);
        replaced.map(|entry| entry.policy)
    }

    /// Returns the policy of a role.
    pub fn get(&self, role: &str) -> Option<&RolePolicy> {
        self.roles.get(role).map(|entry| &entry.policy)
    }

    /// Returns all policies, in no order.
    pub fn policies(&self) -> impl Iterator<Item = &RolePolicy> {
        self.roles.values().map(|entry| &entry.policy)
    }

    /// Decides: asks the roles that bear on the operation, on the organisation, on the app, on the env types, each once,
    /// until one allows.
    ///
    /// A role that is held where its manifest does not admit it grants nothing, and is not a fault: the binding is void,
    /// the policy is well.
    pub fn decide<'a>(&'a self, question: &Question<'a>) -> Decision<'a> {
        let input = QuestionInput::of(question);
        let mut canonical = self.canonical.borrow_mut();
        let hash = match self.memory {
            Memory::Off => 0,
            Memory::Bounded { .. } => {
                input.write_canonical(&mut canonical);
                self.hasher.hash_one(canonical.as_slice())
            }
        };
        let mut faults = Vec::new();
        for (at, (role, scope)) in question.subject.roles().enumerate() {
            let entry = self.roles.get(role);
            if !is_to_be_asked(entry, &question.subject, at) {
                continue;
            }
            let answer = match entry {
                Some(entry) => entry.answer(&input, hash, &canonical),
                None => Err(Fault::NoPolicy),
            };
            match answer {
                Ok(answer) if answer.allows => {
                    let grant = Grant {
                        role,
                        scope,
                        policy: answer.policy,
                        remembered: answer.remembered,
                    };
                    return Decision::Allowed { grant, faults };
                }
                Ok(_) => {}
                Err(fault) => faults.push(RoleFault { role, fault }),
            }
        }
        if faults.is_empty() {
            Decision::NotAllowed
        } else {
            Decision::Undecided { faults }
        }
    }
}

impl Entry {
    fn answer(&self, input: &QuestionInput<'_>, hash: u64, canonical: &[u8]) -> Result<Answer, Fault> {
        let recalled = match &self.verdicts {
            Some(own) => own.borrow_mut().recall(hash, canonical),
            None => None,
        };
        let allows = match recalled {
            Some(allows) => allows,
            // A fault is not remembered: whether there was time or a slot is not the policy's to say.
            None => self.policy.ask(input)?,
        };
        if let (Some(own), None) = (&self.verdicts, recalled) {
            own.borrow_mut().remember(hash, canonical, allows);
        }
        Ok(Answer {
            allows,
            remembered: recalled.is_some(),
            policy: self.policy.digest(),
        })
    }
}

/// Returns whether the role at this place of the subject's roles counts where it is held, and was not asked before.
fn is_to_be_asked(entry: Option<&Entry>, subject: &SubjectView<'_>, at: usize) -> bool {
    let counts = |scope| entry.is_none_or(|entry| entry.policy.manifest().admits(subject.kind, scope));
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
