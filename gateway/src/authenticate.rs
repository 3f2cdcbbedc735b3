//! Authenticate: from the bearer token in the request to its subject, out of memory alone.

use feed::Thumbprint;
use feed::token::{Digest, Kind, Malformed};
use http::header::{AUTHORIZATION, HeaderMap};

use crate::cache::{Cache, Caller, NoCaller};
use crate::refusal::{Reason, Refusal};

/// Finds out who asks.
///
/// Shape and check sum are looked at before anything is hashed, so a flood of wrong tokens costs next to nothing. Unknown,
/// revoked and expired tokens, and those without the client certificate that they are bound to, cost the same and get the
/// same answer.
pub(crate) fn authenticate(
    cache: &Cache,
    fields: &HeaderMap,
    certificate: Option<&Thumbprint>,
    now_ms: i64,
) -> Result<Caller, Refusal> {
    let credentials = fields.get(AUTHORIZATION).ok_or(Reason::TokenMissing)?;
    let token = bearer(credentials.as_bytes()).ok_or(Reason::TokenMalformed)?;
    let digest = Digest::of_presented(Kind::Token, token)
        .map_err(|malformed: Malformed| Refusal::caused_by(Reason::TokenMalformed, malformed))?;
    let caller = look_up(cache, &digest, now_ms)?;
    // RFC 8705 §3. A binding never changes, so later look-ups for the same request need not compare again.
    if !caller.token.admits(certificate) {
        return Err(Reason::CertificateMismatch.into());
    }
    Ok(caller)
}

/// Finds the subject of a token whose digest is known.
pub(crate) fn look_up(cache: &Cache, digest: &Digest, now_ms: i64) -> Result<Caller, Refusal> {
    cache.caller(digest, now_ms).map_err(|none| {
        Refusal::from(match none {
            NoCaller::NoData => Reason::NoData,
            NoCaller::Unknown => Reason::TokenUnknown,
            NoCaller::Expired => Reason::TokenExpired,
        })
    })
}

/// Returns the token of `Bearer` credentials: RFC 6750 §2.1, the scheme in any case as RFC 9110 §11.1 has it.
pub(crate) fn bearer(credentials: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = credentials.split_at_checked(SCHEME.len())?;
    let token = rest.strip_prefix(b" ")?;
    scheme.eq_ignore_ascii_case(SCHEME).then_some(token)
}

const SCHEME: &[u8] = b"Bearer";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_token_after_the_bearer_scheme_is_taken() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bEARER abc"), Some(&b"abc"[..]));
        for credentials in [
            "Bearer",
            "Bearerabc",
            "Basic abc",
            "",
            "Bear",
            "Token abc",
            "Bearer\tabc",
        ] {
            assert_eq!(bearer(credentials.as_bytes()), None, "{credentials}");
        }
    }
}
