//! What is known of a connection before any request on it is read.

use std::net::IpAddr;

use feed::Thumbprint;

use crate::tls::Handshake;

/// The connection that requests come on. It is read by all steps and changed by none.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Where the caller is.
    pub(crate) source: IpAddr,
    /// What the TLS handshake told; `None` when it is not encrypted up to here.
    pub(crate) tls: Option<Handshake>,
}

impl Connection {
    /// Returns the scheme of the URIs that callers use on it, RFC 9110 §4.2.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Returns the client certificate that was verified.
    pub(crate) fn certificate(&self) -> Option<&Thumbprint> {
        self.tls.as_ref()?.certificate()
    }

    /// Says whether requests for a host, without port, may come on it.
    pub(crate) fn answers_for(&self, host: &str) -> bool {
        self.tls.as_ref().is_none_or(|handshake| handshake.answers_for(host))
    }
}
