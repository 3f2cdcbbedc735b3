//! Signatures: who vouches for a component as a version of a policy of an organisation.
//!
//! Ed25519 (RFC 8032) over `postern-policy-v1\n{org}\n{name}\n{version}\n{sha256 hex}\n`. None of the parts can hold a line
//! end, so no two statements have the same bytes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use feed::PolicyDigest;
use feed::key::{PublicKey, SigningKey};
use feed::policy::PolicySignature;

/// What is signed: this component is that version of that policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The organisation.
    pub org: &'a str,
    /// Name of the policy.
    pub name: &'a str,
    /// Version of the policy.
    pub version: &'a str,
    /// Digest of the component.
    pub digest: PolicyDigest,
}

/// The keys whose signatures count, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedKeys(Vec<TrustedKey>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct TrustedKey {
    name: String,
    public_key: PublicKey,
}

/// An author's key.
pub struct Signer {
    name: String,
    key: SigningKey,
}

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text does not have the form `name=key`.
    #[error("{0:?} is not `name=key`, where the key is base64url without padding")]
    Form(String),
    /// A public key does not have 32 octets.
    #[error("the key {0:?} is not an Ed25519 public key of 32 octets")]
    Length(String),
    /// Two keys have one name.
    #[error("two keys are named {0:?}")]
    Twice(String),
    /// The file holds no Ed25519 key.
    #[error("it is not a PKCS#8 PEM file with an Ed25519 private key")]
    NotPrivate,
    /// The machine gave no randomness.
    #[error("no key could be made")]
    NotMade,
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is none, and keys are configured.
    #[error("it is not signed")]
    Unsigned,
    /// No trusted key has this name.
    #[error("no trusted key is named {0:?}")]
    UnknownKey(String),
    /// The signature is not one of this key over this statement.
    #[error("the signature of {0:?} does not hold")]
    Invalid(String),
}

impl Statement<'_> {
    fn bytes(&self) -> Vec<u8> {
        let Self {
            org,
            name,
            version,
            digest,
        } = self;
        format!("postern-policy-v1\n{org}\n{name}\n{version}\n{digest}\n").into_bytes()
    }
}

impl TrustedKeys {
    /// Reads `name=key` pairs, separated by commas; keys are base64url without padding. An empty text has none.
    ///
    /// # Errors
    /// The first pair that is not one.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut keys: Vec<TrustedKey> = Vec::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let form = || KeyError::Form(pair.to_owned());
            let (name, key) = pair.split_once('=').ok_or_else(form)?;
            // What is no text of octets at all has another form than asked for.
            URL_SAFE_NO_PAD.decode(key).map_err(|_not_base64| form())?;
            let public_key = PublicKey::parse(key).map_err(|_length| KeyError::Length(name.to_owned()))?;
            if keys.iter().any(|key| key.name == name) {
                return Err(KeyError::Twice(name.to_owned()));
            }
            let name = name.to_owned();
            keys.push(TrustedKey { name, public_key });
        }
        Ok(Self(keys))
    }

    /// Returns whether there are none: then nothing has to be signed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks a signature. Without trusted keys everything counts, signed or not.
    ///
    /// # Errors
    /// When it does not count.
    pub fn verify(&self, statement: &Statement<'_>, given: Option<&PolicySignature>) -> Result<(), SignatureError> {
        if self.is_empty() {
            return Ok(());
        }
        let given = given.ok_or(SignatureError::Unsigned)?;
        let key = self.0.iter().find(|key| key.name == given.key);
        let key = key.ok_or_else(|| SignatureError::UnknownKey(given.key.clone()))?;
        if key.public_key.verifies(&statement.bytes(), given.signature.as_bytes()) {
            Ok(())
        } else {
            Err(SignatureError::Invalid(given.key.clone()))
        }
    }
}

impl Signer {
    /// Reads a private key: a PKCS#8 PEM file. The name is that of the key in the configuration of those who trust it.
    ///
    /// # Errors
    /// When the text is none.
    pub fn from_pem(name: &str, pem: &str) -> Result<Self, KeyError> {
        let key = SigningKey::from_pem(pem).map_err(|_other| KeyError::NotPrivate)?;
        let name = name.to_owned();
        Ok(Self { name, key })
    }

    /// Makes a new private key, as the text of a PKCS#8 PEM file.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub fn generate_pem() -> Result<String, KeyError> {
        SigningKey::generate_pem().map_err(|_unspecified| KeyError::NotMade)
    }

    /// Returns the public key as [`TrustedKeys::parse`] takes it: `name=key`.
    pub fn trusted(&self) -> String {
        format!("{}={}", self.name, self.key.public())
    }

    /// Signs a statement.
    pub fn sign(&self, statement: &Statement<'_>) -> PolicySignature {
        PolicySignature {
            key: self.name.clone(),
            signature: self.key.sign(&statement.bytes()),
        }
    }
}
