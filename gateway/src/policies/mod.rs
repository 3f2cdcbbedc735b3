//! Policies: from what the store says is in force to what each worker decides with.
//!
//! # Layout
//! In the order in which a change meets them:
//! - [`desired`]: what the records say.
//! - [`components`]: fetching, checking, compiling and loading what they name.
//! - [`keeper`]: puts a revision's policies in force, on all workers, before the revision itself is.
//! - [`in_force`]: a worker's end.
//! - [`metrics`]: what is told of them.

mod components;
mod desired;
mod in_force;
mod keeper;
mod metrics;

pub(crate) use components::{Components, Engines};
pub(crate) use desired::Desired;
pub(crate) use in_force::{Arranged, InForce, Plan};
pub(crate) use keeper::Keeper;
pub(crate) use metrics::PolicyCounts;
