//! What nobody sends by mistake: octets on a socket, and what the orchestrator gets of them.
//!
//! Each test is a table. A row is a name, octets, and how they must end: refused for a reason, forwarded as exactly one
//! canonical request, or broken off. Whatever the row, in whatever pieces its octets come, [`stand`] checks that nothing
//! else reaches the orchestrator, that what does is what was decided on, and that each answer is logged and counted once.
//!
//! # Layout
//! - [`rows`], [`canonical`], [`stand`]: what an attack is, what may come of it, and the gateway under attack.
//! - [`framing`], [`bodies`]: where a request ends.
//! - [`fields`], [`host`], [`target`], [`methods`], [`credentials`]: what it says.
//! - [`http2`]: frames of HTTP/2 that break its rules.
//! - [`slow`], [`connections`]: what it holds on to.
//!
//! [`feed`] attacks the other end: what gateways believe of the feed.

mod bodies;
mod canonical;
mod connections;
mod credentials;
mod feed;
mod fields;
mod framing;
mod host;
mod http2;
mod methods;
mod rows;
mod slow;
mod stand;
mod target;
