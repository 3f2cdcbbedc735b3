//! What is known of a connection before any request on it is read.

use std::net::IpAddr;

use tokio::sync::OwnedSemaphorePermit;

/// The connection that requests come on. It is read by all steps and changed by none.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Where the caller is.
    pub(crate) source: IpAddr,
    /// Whether it is encrypted up to here.
    pub(crate) secure: bool,
    /// Its place among the worker's connections. A request that goes on without its caller keeps it, so that the end of
    /// the process waits for that request.
    pub(crate) _place: OwnedSemaphorePermit,
}

impl Connection {
    /// Returns the scheme of the URIs that callers use on it, RFC 9110 §4.2.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}
