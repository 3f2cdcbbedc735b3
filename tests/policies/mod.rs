//! Policies as a product: the tools of their authors, and publishing, watching and promoting them.
//!
//! Toolchains are those that the README's test command installs; a missing one fails the test with what `build` says of it.

mod check;
mod new;
mod oci;
mod online;
mod replay;
mod sign;
mod table;
mod workshop;
