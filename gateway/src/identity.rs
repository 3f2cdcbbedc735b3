//! `Postern-Identity`: who asks, signed, so that an upstream can believe it without asking back.

use std::cell::RefCell;
use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use feed::{Identity, VerificationKey};
use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};

use crate::bounded::Bounded;
use crate::cache::Caller;

/// The key with which a gateway signs identities.
pub struct Signer {
    encoding: EncodingKey,
    header: Header,
    verification: VerificationKey,
}

/// Why there is no signing key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("the identity key {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What happened.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("the identity key {path} is not an Ed25519 key in PKCS #8")]
    Content {
        /// The file.
        path: String,
    },
    /// The operating system gave no randomness.
    #[error("no key could be made")]
    Random,
}

/// Identities that a worker has signed and may send again.
pub(crate) struct Identities(RefCell<Bounded<[u8; feed::token::DIGEST_BYTES], Signed>>);

#[derive(Clone)]
struct Signed {
    changed: u64,
    signed_s: i64,
    value: HeaderValue,
}

impl Signer {
    /// Reads the key from a file, or makes one there when there is none. Only the file's owner may read it.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let name = || path.display().to_string();
        let file = |source| KeyError::File { path: name(), source };
        if !path.exists() {
            let document =
                Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_unspecified| KeyError::Random)?;
            match crate::files::create_private(path, document.as_ref()) {
                Ok(()) => {}
                // Another gateway on the directory was faster: its key is ours.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(file(error)),
            }
        }
        let document = std::fs::read(path).map_err(file)?;
        Self::from_pkcs8(&document).ok_or_else(|| KeyError::Content { path: name() })
    }

    /// Returns the public key, as it stands in the JWK set.
    pub fn verification_key(&self) -> &VerificationKey {
        &self.verification
    }

    /// Returns the JWK set with the public key, as JSON (RFC 7517 §5).
    pub fn jwks(&self) -> String {
        serde_json::json!({ "keys": [&self.verification] }).to_string()
    }

    fn from_pkcs8(document: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(document).ok()?;
        let public = pair.public_key().as_ref();
        let kid = URL_SAFE_NO_PAD.encode(&aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, public).as_ref()[..16]);
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(kid.clone());
        let verification = VerificationKey {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            alg: "EdDSA".to_owned(),
            usage: "sig".to_owned(),
            kid,
            x: URL_SAFE_NO_PAD.encode(public),
        };
        Some(Self {
            encoding: EncodingKey::from_ed_der(document),
            header,
            verification,
        })
    }

    fn sign(&self, caller: &Caller, now_s: i64) -> Option<HeaderValue> {
        let claims = Identity {
            iss: ISSUER.to_owned(),
            sub: caller.subject.id.to_string(),
            org: caller.subject.org.to_string(),
            kind: caller.subject.kind,
            token_id: caller.token.id.to_string(),
            roles: caller
                .subject
                .roles()
                .map(|(scope, role)| (scope, role.to_string()))
                .collect(),
            revision: caller.changed,
            iat: now_s,
            exp: now_s + LIFETIME_S,
        };
        let jwt = jsonwebtoken::encode(&self.header, &claims, &self.encoding).ok()?;
        HeaderValue::try_from(jwt).ok()
    }
}

impl Identities {
    pub(crate) fn new() -> Self {
        Self(RefCell::new(Bounded::new(IDENTITIES_MAX)))
    }

    /// Returns the signed identity of a caller, signing it when the one at hand is of another revision or too old.
    pub(crate) fn of(&self, signer: &Signer, caller: &Caller, now_ms: i64) -> Option<HeaderValue> {
        let now_s = now_ms / 1000;
        let mut identities = self.0.borrow_mut();
        let key = caller.digest.as_bytes();
        if let Some(signed) = identities.get(key)
            && signed.changed == caller.changed
            && (signed.signed_s..signed.signed_s + REUSE_S).contains(&now_s)
        {
            return Some(signed.value.clone());
        }
        let value = signer.sign(caller, now_s)?;
        identities.insert(
            *key,
            Signed {
                changed: caller.changed,
                signed_s: now_s,
                value: value.clone(),
            },
        );
        Some(value)
    }
}

const ISSUER: &str = "postern";

/// How long an identity is valid.
const LIFETIME_S: i64 = 60;

/// How long an identity is sent again: an upstream has the rest of its lifetime to look at it.
const REUSE_S: i64 = 50;

/// Identities a worker keeps at most, about 1 KiB each.
const IDENTITIES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_that_start_at_once_on_one_directory_have_one_key() {
        for _ in 0..20 {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("identity-key");
            let open = || Signer::open(&path).expect("it opens").verification_key().kid.clone();
            let (first, second) = std::thread::scope(|scope| {
                let (first, second) = (scope.spawn(open), scope.spawn(open));
                (first.join().expect("it returns"), second.join().expect("it returns"))
            });
            assert_eq!(first, second);
        }
    }
}
