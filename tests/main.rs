//! The whole system from outside: the real binary, real sockets, nothing shared between two tests.
//!
//! # Layout
//! - [`request`]: the path of a request, in the order of its steps.
//! - [`change`]: the path of a change, from the API to the next request.
//! - [`operate`]: starting, watching and stopping.
//! - [`coverage`]: that nothing was forgotten above.
//! - [`harness`]: processes, a client, a scripted upstream. It knows Postern only by what it prints and answers.

mod change;
mod coverage;
mod harness;
mod operate;
mod request;
