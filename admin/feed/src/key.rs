//! Ed25519 keys (RFC 8032): private ones in PKCS#8 PEM files, public ones as base64url without padding. What is signed
//! with them, whoever signs says.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// A private key.
pub struct SigningKey(Ed25519KeyPair);

/// A public key.
#[derive(Clone)]
pub struct PublicKey {
    octets: [u8; PUBLIC_KEY_BYTES],
    parsed: ParsedPublicKey,
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text holds no private key.
    #[error("it is not a PKCS#8 PEM file with an Ed25519 private key")]
    NotPrivate,
    /// The text is no public key.
    #[error("it is not an Ed25519 public key of 32 octets, in base64url without padding")]
    NotPublic,
    /// The machine gave no randomness.
    #[error("no key could be made")]
    NotMade,
}

impl SigningKey {
    /// Reads a PKCS#8 PEM file, of `postern policy keygen` as of `openssl genpkey -algorithm ed25519`.
    ///
    /// # Errors
    /// [`KeyError::NotPrivate`].
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let inner = pem
            .trim()
            .strip_prefix(PEM_BEGIN)
            .and_then(|rest| rest.strip_suffix(PEM_END))
            .ok_or(KeyError::NotPrivate)?;
        let base64: String = inner.split_ascii_whitespace().collect();
        let document = STANDARD.decode(base64).map_err(|_not_base64| KeyError::NotPrivate)?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&document).map_err(|_rejected| KeyError::NotPrivate)?;
        Ok(Self(pair))
    }

    /// Makes a new key, as the text of a PEM file.
    ///
    /// # Errors
    /// [`KeyError::NotMade`].
    pub fn generate_pem() -> Result<String, KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_unspecified| KeyError::NotMade)?;
        let document = pair.to_pkcs8().map_err(|_unspecified| KeyError::NotMade)?;
        Ok(format!(
            "{PEM_BEGIN}\n{}\n{PEM_END}\n",
            STANDARD.encode(document.as_ref())
        ))
    }

    /// Returns the public half, as text.
    pub fn public(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.public_key().as_ref())
    }

    /// Signs octets; the signature is text of [`SIGNATURE_CHARACTERS`] characters.
    pub fn sign(&self, octets: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(self.0.sign(octets).as_ref())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl PublicKey {
    /// Reads a key as [`SigningKey::public`] writes it.
    ///
    /// # Errors
    /// [`KeyError::NotPublic`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let decoded = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_not_base64| KeyError::NotPublic)?;
        let octets: [u8; PUBLIC_KEY_BYTES] = decoded.try_into().map_err(|_length| KeyError::NotPublic)?;
        let parsed = ParsedPublicKey::new(&ED25519, octets).map_err(|_rejected| KeyError::NotPublic)?;
        Ok(Self { octets, parsed })
    }

    /// Says whether a signature, as [`SigningKey::sign`] writes it, is one of this key over these octets.
    pub fn verifies(&self, octets: &[u8], signature: &[u8]) -> bool {
        let signature = URL_SAFE_NO_PAD.decode(signature);
        signature.is_ok_and(|signature| self.parsed.verify_sig(octets, &signature).is_ok())
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.octets == other.octets
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", URL_SAFE_NO_PAD.encode(self.octets))
    }
}

/// Length of a signature as text: 64 octets in base64url without padding.
pub const SIGNATURE_CHARACTERS: usize = 86;

/// RFC 8032 §5.1.5.
const PUBLIC_KEY_BYTES: usize = 32;

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";
