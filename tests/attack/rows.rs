//! Rows: octets, and how they must end.

use super::canonical::Canonical;

/// Target of an operation that needs no body.
pub(super) const TARGET: &str = "/orgs/acme/env-types";

/// Target of an operation whose body is streamed.
pub(super) const UPLOAD: &str = "/orgs/acme/artefact-versions";

/// Target of an operation whose body is read before it is decided on.
pub(super) const READ_UPLOAD: &str = "/orgs/acme/apps/shop/envs";

/// `Host` and `Authorization` of a caller who may do everything. `<token>` stands for the token.
pub(super) const CALLER: &str = "Host: a\r\nAuthorization: Bearer <token>\r\n";

/// A request that must never reach the orchestrator: it stands in bodies, in fields, behind what must end a connection.
pub(super) const SMUGGLED: &str =
    "GET /orgs/acme/env-types?smuggled HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer <token>\r\n\r\n";

/// One attack.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) octets: Vec<u8>,
    pub(super) outcome: Outcome,
    pub(super) behind: Behind,
}

/// What the caller does behind the octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// Sends another request, which must be answered or, when the connection is ended, must not.
    Next,
    /// Waits.
    Nothing,
    /// Ends its side.
    End,
}

/// How a row must end.
pub(super) enum Outcome {
    /// With one of these reasons.
    Refused(&'static [&'static str]),
    /// As exactly this.
    Forwarded(Canonical),
    /// Refused as ambiguous; the orchestrator may see the beginning, and never a whole request.
    Broken,
}

/// Returns a row that must be refused for a reason.
pub(super) fn refused(name: impl AsRef<[u8]>, octets: impl AsRef<[u8]>, reason: &'static [&'static str]) -> Row {
    Row::new(name.as_ref(), octets.as_ref(), Outcome::Refused(reason))
}

/// Returns a row that must be refused as ambiguous, which ends the connection.
pub(super) fn ambiguous(name: impl AsRef<[u8]>, octets: impl AsRef<[u8]>) -> Row {
    refused(name, octets, &["request-ambiguous"])
}

/// Returns a row that must be forwarded in one form.
pub(super) fn forwarded(name: impl AsRef<[u8]>, octets: impl AsRef<[u8]>, canonical: Canonical) -> Row {
    Row::new(name.as_ref(), octets.as_ref(), Outcome::Forwarded(canonical))
}

/// Returns a row whose body turns out not to be one.
pub(super) fn broken(name: impl AsRef<[u8]>, octets: impl AsRef<[u8]>) -> Row {
    Row::new(name.as_ref(), octets.as_ref(), Outcome::Broken)
}

/// Returns a GET with field lines.
pub(super) fn get(target: impl AsRef<[u8]>, lines: impl AsRef<[u8]>) -> Vec<u8> {
    request(b"GET ", target.as_ref(), lines.as_ref())
}

/// Returns a POST of a streamed body with field lines, and what stands behind its head.
pub(super) fn post(lines: impl AsRef<[u8]>, behind: impl AsRef<[u8]>) -> Vec<u8> {
    [&request(b"POST ", UPLOAD.as_bytes(), lines.as_ref()), behind.as_ref()].concat()
}

fn request(method: &[u8], target: &[u8], lines: &[u8]) -> Vec<u8> {
    [method, target, b" HTTP/1.1\r\n", CALLER.as_bytes(), lines, b"\r\n"].concat()
}

impl Row {
    fn new(name: &[u8], octets: &[u8], outcome: Outcome) -> Self {
        Self {
            name: name.escape_ascii().to_string(),
            octets: octets.to_vec(),
            outcome,
            behind: Behind::Next,
        }
    }

    /// Returns the row with nothing more behind it: the connection must end all the same.
    pub(super) fn last(mut self) -> Self {
        self.behind = Behind::Nothing;
        self
    }

    /// Returns the row with the end of the caller's side behind it.
    pub(super) fn finished(mut self) -> Self {
        self.behind = Behind::End;
        self
    }
}
