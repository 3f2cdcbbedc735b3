//! What is known of a connection before any request on it is read.

use std::net::IpAddr;

use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::accept::Phase;

/// The connection that requests come on. It is read by all steps and changed by none.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Where the caller is.
    pub(crate) source: IpAddr,
    /// Whether it is encrypted up to here.
    pub(crate) secure: bool,
    /// Whether the gateway goes on.
    pub(crate) phase: watch::Receiver<Phase>,
    /// Its place among the worker's connections. A request that goes on without its caller keeps it, and so does a
    /// connection that was upgraded: the end of the process waits for them.
    pub(crate) _place: OwnedSemaphorePermit,
}

impl Connection {
    /// Returns the scheme of the URIs that callers use on it, RFC 9110 §4.2.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}
