//! The data plane: takes requests, finds out who asks and whether they may, and forwards or refuses. It owns no data.
//!
//! # Layout
//! In the order in which a request meets them:
//! - [`listeners`], [`accept`]: sockets, and the connections that they take.
//! - [`sources`]: how many connections there may be.
//! - [`protocol`], [`socket`], [`front`]: from a connection to requests.
//! - [`tls`]: their encryption, and the certificates of both ends.
//! - [`wire`], [`strict_stream`]: octets of HTTP/1.1, read in one way only.
//! - [`frames`]: frames of HTTP/2, counted.
//! - [`connection`]: what is known of a connection.
//! - [`request`]: the path of a request, step by step.
//! - [`operation`]: what is asked for, read in one way only.
//! - [`authenticate`]: who asks.
//! - [`load`], [`limit`]: how much and how often they may.
//! - [`facts`], [`json_body`]: what the decision needs and the path does not hold.
//! - [`inputs`]: what policies ask for beyond that.
//! - [`authorize`]: whether they may; makes the permit.
//! - [`streams`]: whether they still may, for as long as it takes.
//! - [`forward`], [`fields`], [`identity`], [`upstream`], [`body`]: the request to the upstream.
//! - [`upgrade`], [`tunnel`], [`websocket`]: connections that speak another protocol from then on.
//! - [`answer`]: the answers that need us.
//! - [`refusal`], [`grpc`]: every other way in which a request ends, and how callers of gRPC are told.
//! - [`under_way`]: the one end that each request comes to.
//! - [`access_log`], [`metrics`], [`request_counts`]: what is told of it.
//! - [`decisions`], [`decision_log`], [`shadow`]: what is kept of decisions, and what others would have decided.
//!
//! In the order in which a change meets them:
//! - [`mod@enrol`]: being let in.
//! - [`control`], [`sync`]: following the feed; [`lines`]: its octets; [`hearing`]: of which moment it tells;
//!   [`acknowledge`]: telling how far we are.
//! - [`policies`]: what is decided with, at one revision.
//! - [`cache`]: what is known, at one revision.
//! - [`kept`]: the same on a disk, for the next start.
//! - [`freshness`]: how old that is, and what may still be decided on it.
//! - [`effects`], [`journal`]: changes that begin here, on their way to the store.

pub mod cache;
pub mod freshness;
pub mod front;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod identity;
pub mod kept;
pub mod limit;
pub mod refusal;
pub mod settings;
pub mod tls;
pub mod upstream;
pub mod wire;

mod accept;
mod access_log;
mod acknowledge;
mod answer;
mod authenticate;
mod authorize;
mod body;
mod bounded;
mod connection;
mod control;
mod decision_log;
mod decisions;
mod effects;
mod enrol;
mod facts;
mod fields;
mod files;
mod forward;
mod frames;
mod grpc;
mod hearing;
mod inputs;
mod journal;
mod json_body;
mod lines;
mod listeners;
mod load;
mod metrics;
mod operation;
mod policies;
mod protocol;
mod request;
mod request_counts;
mod shadow;
mod socket;
mod sources;
mod start;
mod streams;
mod strict_stream;
mod sync;
mod tunnel;
mod under_way;
mod upgrade;
mod websocket;
mod worker;

pub use enrol::{EnrolError, enrol};
pub use listeners::{Listeners, Sharing};
pub use settings::Settings;
pub use start::{Gateway, NotReady, Reconfiguration, Running, StartError};
