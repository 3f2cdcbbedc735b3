//! The path of a request, in the order of its steps.

mod accept;
mod answers;
mod authenticate;
mod authorize;
mod client_certificate;
mod deadlines;
mod decisions;
mod facts;
mod faults;
mod forward;
mod front;
mod guards;
mod hostile_policies;
mod http2;
mod identify;
mod identity;
mod limits;
mod operations;
mod policies;
mod roles;
mod streaming;
mod streams;
mod upgrades;
mod upstreams;
