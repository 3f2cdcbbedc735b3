//! The host of policies: it vets components, runs them, and decides what a subject's roles allow.
//!
//! Admin vets a policy with the same code that gateways run it with. This crate is the only one that knows wasmtime; it
//! knows neither HTTP nor the store, and it reads no clock that a policy could see. What a policy does, however hostile,
//! ends as a verdict or a [`Fault`] within the [`Limits`].
//!
//! # Layout
//! - [`Engine`]: compiles and vets; one for each worker thread.
//! - [`RolePolicy`]: a vetted component, and what its [`Manifest`] says.
//! - [`PolicySet`]: the policies of all roles; answers a [`Question`] with a [`Decision`].
//! - `evaluation`: one fresh instance, bounded.
//! - `input`: what a policy is told, and the bytes by which its verdicts are remembered.
//! - `verdicts`: the remembered verdicts, bounded.

pub mod builtin;

mod contract;
mod decision;
mod engine;
mod evaluation;
mod fault;
mod input;
mod limits;
mod load;
mod manifest;
mod policy;
mod policy_set;
mod question;
mod ticker;
mod verdicts;

pub use decision::{Decision, Grant, RoleFault};
pub use engine::{Engine, StartError};
pub use fault::Fault;
pub use limits::Limits;
pub use load::LoadError;
pub use manifest::{Input, Manifest, ManifestProblem, ScopeKind};
pub use policy::{PolicyDigest, RolePolicy};
pub use policy_set::PolicySet;
pub use question::{EnvTypeRole, Question, SubjectView};
pub use verdicts::Memory;
