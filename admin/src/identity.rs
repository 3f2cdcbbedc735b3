//! Identities: who a gateway says is asking, read from the JWT in `Postern-Identity`.
//!
//! Only who it is is believed. What they may do is read from the store, never from the claims.

use feed::Identity;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};

use crate::gateways::Gateways;

/// Who is asking, proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Id of the subject.
    pub subject: String,
    /// Id of the token that the request carried.
    pub token: String,
}

/// Reads an identity that a known gateway signed; `None` when it cannot be believed, for whatever reason.
pub(crate) fn verify(jwt: &str, gateways: &Gateways, now_ms: i64) -> Option<Caller> {
    let key_id = decode_header(jwt).ok()?.kid?;
    let identity = gateways
        .keys(&key_id)
        .iter()
        .find_map(|key| verify_signature(jwt, key))?;
    let now = now_ms.div_euclid(1000);
    let begun = identity.iat <= now + CLOCK_SKEW_S;
    let ended = identity.exp + CLOCK_SKEW_S <= now;
    let lasting = identity.exp.saturating_sub(identity.iat) > LIFETIME_S_MAX;
    let valid = identity.iss == ISSUER && begun && !ended && !lasting;
    valid.then_some(Caller {
        subject: identity.sub,
        token: identity.token_id,
    })
}

fn verify_signature(jwt: &str, key: &DecodingKey) -> Option<Identity> {
    // The algorithm is ours to say, never the header's.
    let mut rules = Validation::new(Algorithm::EdDSA);
    // Time is judged by the given clock.
    rules.validate_exp = false;
    rules.validate_aud = false;
    rules.required_spec_claims.clear();
    decode::<Identity>(jwt, key, &rules).ok().map(|data| data.claims)
}

const ISSUER: &str = "postern";

/// By how much the clocks of two machines may differ, in seconds.
const CLOCK_SKEW_S: i64 = 5;

/// Longest lifetime that is believed, in seconds: twice that of the identities which gateways sign.
const LIFETIME_S_MAX: i64 = 120;
