//! What tests of the whole system are made of.
//!
//! # Layout
//! - [`process`]: a process, what it printed and how it ended; [`terminal`]: somebody who asks with the binary's commands.
//! - [`postern`]: `postern serve` and the halves, ready to be asked.
//! - [`browser`]: Chromium, which visits the console.
//! - [`caller`]: service users and tokens, made through the API.
//! - [`client`]: requests and answers; [`raw`]: octets that no client would send.
//! - [`upstream`]: an orchestrator that does as a test tells it; [`secure`]: one that speaks TLS and HTTP/2;
//!   [`sandbox`]: the one that the binary brings.
//! - [`cluster`]: a PostgreSQL server, as the tests of the control plane start theirs.
//! - [`components`]: policies to publish, and what is done with them through the API.
//! - [`grpc`]: a service of gRPC and its callers.
//! - [`policies`]: policies of many versions.
//! - [`refusal`]: what each refusal looks like.
//! - [`held`]: listening sockets that are handed over, and one that refuses; [`http2`]: frames that no client would send.
//! - [`link`]: a wire that can be cut; [`load`]: requests without pause.
//! - [`middle`]: somebody between a gateway and its admin service.
//! - [`metrics`]: what `/metrics` tells.
//! - [`tls`]: authorities, certificates, and clients that speak TLS.

pub(crate) mod browser;
pub(crate) mod caller;
pub(crate) mod client;
#[path = "../../admin/tests/control_plane/cluster.rs"]
pub(crate) mod cluster;
pub(crate) mod components;
pub(crate) mod grpc;
pub(crate) mod held;
pub(crate) mod http2;
pub(crate) mod link;
pub(crate) mod load;
pub(crate) mod metrics;
pub(crate) mod middle;
pub(crate) mod policies;
pub(crate) mod postern;
pub(crate) mod process;
pub(crate) mod raw;
pub(crate) mod refusal;
pub(crate) mod sandbox;
pub(crate) mod secure;
pub(crate) mod terminal;
pub(crate) mod tls;
pub(crate) mod upstream;

use std::time::{Duration, Instant};

/// Longest time to wait for what must come; a loaded machine needs some of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How often something that cannot be waited for is looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// Looks until there is something to return.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::park_timeout(LOOK_PAUSE);
    }
}
