//! Sealing: octets that only this gateway's credential opens, whole and each part in its place.
//!
//! A file has a key of its own, made from the credential and from what the file begins with. Its parts are sealed one by one
//! (AES-256-GCM), each under its number, so that none can be altered, left out, moved or taken from another file. That the
//! last ones are missing cannot be seen: whoever reads has to know where the end is.

use std::ops::Range;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};

/// What files are sealed with: made from a credential, and of no use for anything else.
#[derive(Clone)]
pub struct Key {
    secret: Prk,
    /// Tells one credential from another. No secret.
    id: [u8; ID_BYTES],
}

/// What a file is for. A file of one purpose is none of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The state.
    State,
    /// What was confirmed.
    Confirmed,
}

/// Seals the parts of a file.
pub(crate) struct Sealer {
    key: LessSafeKey,
    next: u64,
}

/// Octets that are not a file of this gateway, as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSealed {
    /// The file was sealed with another credential.
    #[error("it was sealed with another credential")]
    OtherCredential,
    /// The file is not what was written.
    #[error("it is not what was written")]
    Altered,
}

impl Key {
    /// Makes the key of a credential.
    pub fn of_credential(credential: &str) -> Self {
        let secret = Salt::new(HKDF_SHA256, b"postern kept state").extract(credential.as_bytes());
        let mut id = [0; ID_BYTES];
        // A hash can always be made this short.
        let expanded = secret.expand(&[b"id"], IdLength).map(|okm| okm.fill(&mut id));
        debug_assert!(matches!(expanded, Ok(Ok(()))));
        Self { secret, id }
    }

    fn of_file(&self, purpose: Purpose, salt: &[u8]) -> Result<LessSafeKey, Unspecified> {
        let info: [&[u8]; 2] = [purpose.magic(), salt];
        let okm = self.secret.expand(&info, &AES_256_GCM)?;
        Ok(LessSafeKey::new(UnboundKey::from(okm)))
    }

    /// Begins a file. Returns what it begins with, and what seals its parts.
    ///
    /// # Errors
    /// When there is no randomness.
    pub(crate) fn begin(&self, purpose: Purpose) -> Result<([u8; HEAD_BYTES], Sealer), Unspecified> {
        let mut head = [0; HEAD_BYTES];
        head[..MAGIC_BYTES].copy_from_slice(purpose.magic());
        head[MAGIC_BYTES..SALT_AT].copy_from_slice(&self.id);
        aws_lc_rs::rand::fill(&mut head[SALT_AT..])?;
        let key = self.of_file(purpose, &head[SALT_AT..])?;
        Ok((head, Sealer { key, next: 0 }))
    }

    /// Opens the beginning of a file.
    ///
    /// # Errors
    /// [`NotSealed`].
    pub(crate) fn open(&self, purpose: Purpose, octets: &[u8]) -> Result<Opener, NotSealed> {
        let head = octets.get(..HEAD_BYTES).ok_or(NotSealed::Altered)?;
        if head[..MAGIC_BYTES] != *purpose.magic() {
            return Err(NotSealed::Altered);
        }
        if head[MAGIC_BYTES..SALT_AT] != self.id {
            return Err(NotSealed::OtherCredential);
        }
        let key = self.of_file(purpose, &head[SALT_AT..]);
        Ok(Opener(key.map_err(|Unspecified| NotSealed::Altered)?))
    }
}

impl Purpose {
    fn magic(self) -> &'static [u8; MAGIC_BYTES] {
        match self {
            Self::State => b"pstnkps1",
            Self::Confirmed => b"pstnkpc1",
        }
    }
}

impl Sealer {
    /// Returns the number of the next part.
    pub(crate) fn number(&self) -> u64 {
        self.next
    }

    /// Seals the next part onto the end of what has been written: its length, itself, its tag.
    ///
    /// # Errors
    /// When there have been too many parts, or one is too long.
    pub(crate) fn seal(&mut self, part: &[u8], onto: &mut Vec<u8>) -> Result<(), Unspecified> {
        let length = u32::try_from(part.len() + TAG_BYTES).map_err(|_too_long| Unspecified)?;
        onto.extend_from_slice(&length.to_le_bytes());
        self.seal_bare(part, onto)
    }

    /// Seals the next part without its length.
    ///
    /// # Errors
    /// When there have been too many parts.
    pub(crate) fn seal_bare(&mut self, part: &[u8], onto: &mut Vec<u8>) -> Result<(), Unspecified> {
        let at = onto.len();
        onto.extend_from_slice(part);
        let nonce = nonce(self.next);
        self.next = self.next.checked_add(1).ok_or(Unspecified)?;
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::empty(), &mut onto[at..])?;
        onto.extend_from_slice(tag.as_ref());
        Ok(())
    }
}

/// Opens the parts of a file.
pub(crate) struct Opener(LessSafeKey);

impl Opener {
    /// Opens a part in its place, and returns it.
    ///
    /// # Errors
    /// [`NotSealed::Altered`].
    pub(crate) fn open<'p>(&self, number: u64, part: &'p mut [u8]) -> Result<&'p [u8], NotSealed> {
        let opened = self.0.open_in_place(nonce(number), Aad::empty(), part);
        opened.map(|part| &*part).map_err(|Unspecified| NotSealed::Altered)
    }
}

/// Returns where the sealed parts of a file are. What is behind the last whole one was cut off.
pub(crate) fn parts(octets: &[u8]) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut at = HEAD_BYTES;
    while let Some((length, rest)) = octets.get(at..).and_then(<[u8]>::split_first_chunk) {
        let length = u32::from_le_bytes(*length) as usize;
        if length > rest.len() {
            break;
        }
        let begin = at + LENGTH_BYTES;
        parts.push(begin..begin + length);
        at = begin + length;
    }
    parts
}

/// Length of what a file begins with, in octets.
pub(crate) const HEAD_BYTES: usize = SALT_AT + SALT_BYTES;

/// What sealing adds to a part, in octets.
pub(crate) const SEAL_BYTES: usize = LENGTH_BYTES + TAG_BYTES;

const MAGIC_BYTES: usize = 8;
const ID_BYTES: usize = 8;
const SALT_AT: usize = MAGIC_BYTES + ID_BYTES;
const SALT_BYTES: usize = 32;
const LENGTH_BYTES: usize = 4;
const TAG_BYTES: usize = 16;

struct IdLength;

impl aws_lc_rs::hkdf::KeyType for IdLength {
    fn len(&self) -> usize {
        ID_BYTES
    }
}

fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(key: &Key, parts: &[&[u8]]) -> Vec<u8> {
        let (head, mut sealer) = key.begin(Purpose::State).expect("randomness");
        let mut octets = head.to_vec();
        for part in parts {
            sealer.seal(part, &mut octets).expect("short parts");
        }
        octets
    }

    fn opened(key: &Key, octets: &[u8]) -> Result<Vec<Vec<u8>>, NotSealed> {
        let opener = key.open(Purpose::State, octets)?;
        let open = |(number, range): (usize, Range<usize>)| {
            let mut part = octets[range].to_vec();
            opener.open(number as u64, &mut part).map(<[u8]>::to_vec)
        };
        parts(octets).into_iter().enumerate().map(open).collect()
    }

    #[test]
    fn every_octet_counts_and_only_whole_parts_may_be_missing_at_the_end() {
        let key = Key::of_credential("one");
        let written: [&[u8]; 3] = [b"first", b"", b"third"];
        let octets = sealed(&key, &written);
        assert_eq!(opened(&key, &octets), Ok(written.map(<[u8]>::to_vec).to_vec()));
        for at in 0..octets.len() {
            let mut altered = octets.clone();
            altered[at] ^= 1;
            let read = opened(&key, &altered);
            let fewer = read.as_ref().is_ok_and(|read| read.len() < written.len());
            assert!(fewer || read.is_err(), "octet {at}");
            let cut = opened(&key, &octets[..at]);
            assert!(cut.is_err() == (at < HEAD_BYTES), "cut at {at}");
        }
    }

    #[test]
    fn parts_cannot_be_moved_and_another_credential_opens_nothing() {
        let (key, other) = (Key::of_credential("one"), Key::of_credential("two"));
        let octets = sealed(&key, &[b"first", b"other"]);
        let half = (octets.len() - HEAD_BYTES) / 2;
        let (head, rest) = octets.split_at(HEAD_BYTES);
        let swapped = [head, &rest[half..], &rest[..half]].concat();
        assert_eq!(opened(&key, &swapped), Err(NotSealed::Altered));
        assert_eq!(opened(&other, &octets), Err(NotSealed::OtherCredential));
        let confirmed = key.open(Purpose::Confirmed, &octets);
        assert_eq!(confirmed.err(), Some(NotSealed::Altered));
    }
}
