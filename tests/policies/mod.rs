//! The tools of policy authors, as they use them: files in, reports out, nothing running.
//!
//! Toolchains are those that the README's test command installs; a missing one fails the test with what `build` says of it.

mod check;
mod guards;
mod languages;
mod new;
mod replay;
mod sign;
mod table;
mod workshop;
