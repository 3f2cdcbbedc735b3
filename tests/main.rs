//! The whole system from outside: the real binary, real sockets, nothing shared between two tests.
//!
//! # Layout
//! - [`request`]: the path of a request, in the order of its steps.
//! - [`attack`]: what nobody sends by mistake, and what the orchestrator gets of it.
//! - [`change`]: the path of a change, from the API to the next request.
//! - [`clients`]: clients that others have written.
//! - [`console`]: what people do in a browser.
//! - [`operate`]: starting, watching and stopping.
//! - [`policies`]: the tools of policy authors, and policies from a registry to a rule in force.
//! - [`coverage`]: that nothing was forgotten above.
//! - [`harness`]: processes, a client, a scripted upstream. It knows Postern only by what it prints and answers.

mod attack;
mod change;
mod clients;
mod console;
mod coverage;
mod harness;
mod operate;
mod policies;
mod request;
