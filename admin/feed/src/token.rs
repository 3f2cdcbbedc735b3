//! Secrets: bearer tokens of service users, credentials of gateways, tokens with which gateways enrol, and what people
//! sign in to the console with.
//!
//! A secret is five characters that tell its kind, 43 base62 characters for 256 random bits, and 6 base62 characters
//! for the CRC-32 of all before them. Secret scanners find it with one regular expression, and a typo is refused
//! without a look-up. Only its digest is ever kept.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A secret in plain text. Neither printed nor compared; it lives where it is made and in the request that carries it.
pub struct Secret(String);

/// SHA-256 of a secret: what is stored, looked up and compared.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; DIGEST_BYTES]);

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bearer token of a service user.
    Token,
    /// Credential of a gateway, for the feed.
    GatewayCredential,
    /// What a gateway gets such a credential with, once.
    Enrolment,
    /// What lets a person sign in to the console, once.
    SignIn,
    /// What a browser proves with that a person has signed in.
    Session,
    /// What the command line asks the console for the former with.
    ConsoleKey,
}

/// A text that is not a secret of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Wrong length, prefix or alphabet.
    #[error("it does not have the form of a secret of this kind")]
    Shape,
    /// The last six characters are not the check sum of the others.
    #[error("its check sum is wrong")]
    CheckSum,
}

/// Length of every secret, in octets.
pub const SECRET_BYTES: usize = PREFIX_BYTES + RANDOM_DIGITS + CHECK_DIGITS;

/// Length of a digest, in octets.
pub const DIGEST_BYTES: usize = 32;

const PREFIX_BYTES: usize = 5;
/// 62^43 > 2^256 > 62^42.
const RANDOM_DIGITS: usize = 43;
/// 62^6 > 2^32 > 62^5.
const CHECK_DIGITS: usize = 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl Kind {
    /// Returns the characters that secrets of this kind begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Token => "pstn_",
            Self::GatewayCredential => "pstg_",
            Self::Enrolment => "pste_",
            Self::SignIn => "pstl_",
            Self::Session => "psts_",
            Self::ConsoleKey => "pstc_",
        }
    }
}

impl Secret {
    /// Makes a new secret from 256 random bits, which must come from the operating system.
    pub fn from_random(kind: Kind, random: [u8; 32]) -> Self {
        let mut text = String::with_capacity(SECRET_BYTES);
        text.push_str(kind.prefix());
        push_base62(&mut text, random, RANDOM_DIGITS);
        push_check(&mut text);
        Self(text)
    }

    /// Shows the secret: to whoever it was made for, once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Returns the digest of the secret.
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Digest {
    /// Checks shape and check sum of a text that should be a secret of this kind and returns its digest.
    ///
    /// # Errors
    /// [`Malformed`], before anything is hashed.
    pub fn of_presented(kind: Kind, text: &[u8]) -> Result<Self, Malformed> {
        let (prefix, digits) = text.split_at_checked(PREFIX_BYTES).ok_or(Malformed::Shape)?;
        let shaped = text.len() == SECRET_BYTES
            && prefix == kind.prefix().as_bytes()
            && digits.iter().all(u8::is_ascii_alphanumeric);
        if !shaped {
            return Err(Malformed::Shape);
        }
        let (body, check) = text.split_at(SECRET_BYTES - CHECK_DIGITS);
        if check != check_digits(body) {
            return Err(Malformed::CheckSum);
        }
        Ok(Self::of(text))
    }

    /// Returns the octets of the digest.
    pub fn as_bytes(&self) -> &[u8; DIGEST_BYTES] {
        &self.0
    }

    /// Returns the digest with these octets.
    pub fn from_bytes(bytes: [u8; DIGEST_BYTES]) -> Self {
        Self(bytes)
    }

    fn of(text: &[u8]) -> Self {
        Self(Sha256::digest(text).into())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut hex = [0; 2 * DIGEST_BYTES];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        serializer.serialize_str(std::str::from_utf8(&hex).map_err(serde::ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let error = || serde::de::Error::custom("a digest is 64 hexadecimal digits");
        if text.len() != 2 * DIGEST_BYTES {
            return Err(error());
        }
        let mut bytes = [0; DIGEST_BYTES];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |b: u8| (b as char).to_digit(16);
            let value = digit(pair[0]).zip(digit(pair[1])).map(|(high, low)| high * 16 + low);
            *byte = value.and_then(|v| u8::try_from(v).ok()).ok_or_else(error)?;
        }
        Ok(Self(bytes))
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn push_check(text: &mut String) {
    let digits = check_digits(text.as_bytes());
    text.extend(digits.map(char::from));
}

fn check_digits(body: &[u8]) -> [u8; CHECK_DIGITS] {
    let mut rest = crc32fast::hash(body);
    let mut digits = [0; CHECK_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(rest % 62) as usize];
        rest /= 62;
    }
    digits
}

/// Writes a 256-bit number in base 62, most significant digit first.
fn push_base62(text: &mut String, mut number: [u8; 32], digits: usize) {
    let mut reversed = Vec::with_capacity(digits);
    for _ in 0..digits {
        let mut remainder = 0u32;
        for byte in &mut number {
            let value = remainder * 256 + u32::from(*byte);
            // A remainder is below 62, so the quotient of `value` by 62 fits an octet.
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            remainder = value % 62;
        }
        reversed.push(char::from(ALPHABET[remainder as usize]));
    }
    text.extend(reversed.into_iter().rev());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_secret_has_the_documented_shape() {
        let secret = Secret::from_random(Kind::Token, [255; 32]);
        assert_eq!(secret.reveal().len(), 54);
        assert!(secret.reveal().starts_with("pstn_"));
        let zero = Secret::from_random(Kind::Token, [0; 32]);
        assert!(zero.reveal().starts_with(&format!("pstn_{}", "0".repeat(43))));
    }

    #[test]
    fn a_secret_and_its_digest_print_nothing() {
        let secret = Secret::from_random(Kind::Token, [7; 32]);
        assert_eq!(format!("{secret:?} {:?}", secret.digest()), "Secret(..) Digest(..)");
    }

    proptest! {
        #[test]
        fn every_secret_is_recognised_and_no_other_kind_is(random: [u8; 32]) {
            let secret = Secret::from_random(Kind::Token, random);
            let presented = Digest::of_presented(Kind::Token, secret.reveal().as_bytes());
            prop_assert_eq!(presented, Ok(secret.digest()));
            let other = Digest::of_presented(Kind::GatewayCredential, secret.reveal().as_bytes());
            prop_assert_eq!(other, Err(Malformed::Shape));
        }

        #[test]
        fn a_changed_character_is_refused(random: [u8; 32], at in 5usize..54, by in 1u8..62) {
            let mut text = Secret::from_random(Kind::Token, random).reveal().as_bytes().to_vec();
            let digit = ALPHABET.iter().position(|b| *b == text[at]).expect("a base62 digit");
            text[at] = ALPHABET[(digit + usize::from(by)) % 62];
            prop_assert_eq!(Digest::of_presented(Kind::Token, &text), Err(Malformed::CheckSum));
        }

        #[test]
        fn anything_else_is_refused_before_it_is_hashed(text: Vec<u8>) {
            prop_assert!(Digest::of_presented(Kind::Token, &text).is_err());
        }

        #[test]
        fn a_digest_survives_json(bytes: [u8; 32]) {
            let digest = Digest::from_bytes(bytes);
            let json = serde_json::to_string(&digest).expect("it serializes");
            prop_assert_eq!(serde_json::from_str::<Digest>(&json).expect("it parses"), digest);
        }
    }
}
