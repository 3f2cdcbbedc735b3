//! The host of policies: it vets components, runs them, and decides what a subject's roles allow.
//!
//! Admin vets a policy with the same code that gateways run it with. This crate is the only one that knows wasmtime; it
//! knows neither HTTP nor the store, and it reads no clock that a policy could see. What a policy does, however hostile,
//! ends as a verdict or a [`Fault`] within the [`Limits`].
//!
//! # Layout
//! - [`Engine`]: compiles and vets; one for each worker thread.
//! - [`classify`]: small or script; the two live under different [`Limits`].
//! - [`Compiler`]: compiles in a child process; what it makes is loaded by an engine.
//! - [`Policy`]: a vetted component, and what its [`Manifest`] says.
//! - [`PolicySet`]: the policies of all roles and guards, as a [`Layout`] arranges them; answers a [`Question`] with a
//!   [`Decision`].
//! - `speaker`: a policy in its place: its settings, what it remembers, how it fares, who stands in for it.
//! - `anatomy`: what a component is made of, read before it is compiled.
//! - `wasi`: what stands in for WASI, and shows nothing.
//! - `evaluation`: one fresh instance, bounded.
//! - `input`: what a policy is told, and the bytes by which its verdicts are remembered.
//! - `verdicts`: the remembered verdicts, bounded.
//! - `settings`: settings of policies, and their schemas.
//! - [`matrix`]: all that a subject may do.
//! - [`replay`]: questions and decisions on record, made again.
//! - [`signature`]: who vouches for a component.
//! - [`vet()`]: all that publication asks of a component.

pub mod builtin;
pub mod matrix;
pub mod replay;
pub mod signature;

mod anatomy;
mod breaker;
mod class;
mod compiler;
mod contract;
mod decision;
mod engine;
mod evaluation;
mod fault;
mod input;
mod layout;
mod limits;
mod load;
mod manifest;
mod policy;
mod policy_set;
mod question;
mod settings;
mod speaker;
mod ticker;
mod verdicts;
mod vet;
mod wasi;

pub use breaker::{ASIDE, FAULTS_IN_A_ROW_MAX, SUBJECTS_FAILING_MIN};
pub use class::{Class, classify};
pub use compiler::{CompileLimits, Compiler, Precompiled, compile_as_child};
pub use decision::{Answer, Answers, Asked, Decision, Grant, Outcome, REASON_CHARS_MAX, Said};
pub use engine::{Engine, StartError};
pub use evaluation::{Judged, Verdict};
pub use fault::Fault;
pub use feed::{PolicyDigest, PolicyKind};
pub use layout::{GuardEntry, Layout, RoleEntry};
pub use limits::Limits;
pub use load::LoadError;
pub use manifest::{Input, Manifest, ManifestProblem, ScopeKind};
pub use policy::Policy;
pub use policy_set::PolicySet;
pub use question::{EnvTypeRole, Inputs, Needs, Question, SubjectView};
pub use settings::{SETTINGS_BYTES_MAX, check_settings};
pub use verdicts::Memory;
pub use vet::{Problem, Vetted, decide_time_max, vet};
