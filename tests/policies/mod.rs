//! Policies as a product: the tools of their authors (files in, reports out, nothing running), registries, and the commands
//! that publish, watch and promote.
//!
//! Toolchains are those that the README's test command installs; a missing one fails the test with what `build` says of it.

mod check;
mod guards;
mod languages;
mod new;
mod oci;
mod online;
mod replay;
mod sign;
mod table;
mod workshop;
