//! The real components in the real engine: the built-in roles, hostile guests, and what is remembered.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, fail where they cannot go on")]

mod builtin;
mod compatibility;
mod compiling;
mod golden;
mod guards;
mod hostile;
mod policy_set;
mod remembering;
mod replaying;
mod signatures;
mod support;
mod vetting;
