//! Thumbprints of client certificates: what a token can be bound to, so that whoever steals the token alone has nothing.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// SHA-256 of a certificate in DER: `x5t#S256` of RFC 8705 §3.1. No secret: certificates are public.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint([u8; THUMBPRINT_BYTES]);

/// A text that is not a thumbprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a thumbprint is 43 characters of base64url, without padding")]
pub struct NotAThumbprint;

impl Thumbprint {
    /// Returns the thumbprint of a certificate in DER.
    pub fn of_certificate(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// Returns the octets of the thumbprint.
    pub fn as_bytes(&self) -> &[u8; THUMBPRINT_BYTES] {
        &self.0
    }

    /// Returns the thumbprint with these octets.
    pub fn from_bytes(bytes: [u8; THUMBPRINT_BYTES]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

impl FromStr for Thumbprint {
    type Err = NotAThumbprint;

    fn from_str(text: &str) -> Result<Self, NotAThumbprint> {
        // Whatever is not the one way to write these octets is refused: so two texts are one thumbprint only when equal.
        let octets = URL_SAFE_NO_PAD.decode(text).map_err(|_malformed| NotAThumbprint)?;
        octets.try_into().map(Self).map_err(|_length| NotAThumbprint)
    }
}

impl Serialize for Thumbprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Thumbprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Length of a thumbprint, in octets.
pub const THUMBPRINT_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbprint_is_written_and_read_in_one_way_only() {
        // The digest of the empty text, FIPS 180-4.
        let written = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        let thumbprint = Thumbprint::of_certificate(b"");
        assert_eq!(thumbprint.to_string(), written);
        assert_eq!(written.parse(), Ok(thumbprint));
        let json = serde_json::to_string(&thumbprint).expect("it serializes");
        assert_eq!(
            serde_json::from_str::<Thumbprint>(&json).expect("it parses"),
            thumbprint
        );
        for other in [
            "",
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
            // The same octets, with bits behind them.
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFV",
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuA",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ] {
            assert_eq!(other.parse::<Thumbprint>(), Err(NotAThumbprint), "{other}");
        }
    }
}
