//! Vouching: how lines of the feed prove that whoever holds the store's feed key wrote them, for this gateway and now.
//!
//! A signed line is a JSON object whose last member is `signature`: Ed25519 over `postern-feed-v1\n{store}\n` and the
//! octets of the line before that member. What a feed may hold, in this order:
//!
//! 1. `opening`, signed for this connection: it repeats the gateway's nonce, so it was written after it was asked for. It
//!    tells the newest revision, the time, and whether a snapshot comes next.
//! 2. A snapshot, if so. Its lines are not signed one by one: `snapshot-end`, which is, holds SHA-256 over the
//!    octets of all lines before it, beginning with `snapshot-begin`. It is of the opening's revision or a later one.
//! 3. Changes and heartbeats, signed once for all gateways. A heartbeat's time never goes back, nor behind the opening.
//!
//! So a frame that was altered, of another store, of another key or left out is noticed, and one that is old cannot
//! pass for a new one: a heartbeat shows the state of its own time, reckoned from the opening.

use std::fmt::Write as _;

use aws_lc_rs::digest::{Context, SHA256};

use crate::Frame;
use crate::key::{KeyError, PublicKey, SIGNATURE_CHARACTERS, SigningKey};

/// The keys that may sign the feed: the one in use, and others while it is being replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedKeys(Vec<PublicKey>);

/// SHA-256 over the lines of a snapshot, as they go by.
pub struct SnapshotDigest(Context);

/// What one feed has proven so far.
pub struct Witness<'k> {
    keys: &'k FeedKeys,
    nonce: String,
    opened: Option<Opened<'k>>,
}

/// Of the opening, and since.
struct Opened<'k> {
    key: &'k PublicKey,
    store: String,
    revision: u64,
    unix_ms: i64,
    /// Whether changes may come: there is a state that they follow.
    changes: bool,
    snapshot: Option<SnapshotDigest>,
}

/// Why a line is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Unvouched {
    /// It is no frame.
    #[error("a line is no frame: {0}")]
    NotAFrame(#[from] serde_json::Error),
    /// The first line is something else.
    #[error("the feed does not begin with an opening")]
    NoOpening,
    /// The opening answers to somebody else, or to an earlier connection.
    #[error("the opening is not an answer to what was asked")]
    OtherNonce,
    /// No signature, or none of a key that is trusted, over these octets and for this store.
    #[error("a frame is not signed by the feed's key")]
    Signature,
    /// The snapshot is of another store than the opening.
    #[error("the snapshot is of another store than the feed")]
    OtherStore,
    /// The snapshot is older than what the opening told.
    #[error("the snapshot is of revision {found}, the feed was opened at {opened}")]
    OldSnapshot {
        /// The opening's revision.
        opened: u64,
        /// The snapshot's.
        found: u64,
    },
    /// The snapshot is not the one that was signed.
    #[error("the snapshot is not what was signed")]
    Snapshot,
    /// A heartbeat is older than what came before it.
    #[error("the feed's time went back")]
    TimeWentBack,
    /// A frame stands where it may not.
    #[error("a frame came out of turn")]
    OutOfTurn,
}

/// Makes a signed line, with its end, of a JSON object that has at least one member.
pub fn vouch(key: &SigningKey, store: &str, object: &str) -> String {
    let open = object.strip_suffix('}').unwrap_or(object);
    let signature = key.sign(&statement(store, open.as_bytes()));
    format!("{open}{SIGNATURE_MEMBER}{signature}{SIGNATURE_END}\n")
}

impl FeedKeys {
    /// Reads the text of a file: one key a line, as base64url without padding. There must be one.
    ///
    /// # Errors
    /// [`KeyError::NotPublic`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let keys: Vec<PublicKey> = lines.map(PublicKey::parse).collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(KeyError::NotPublic);
        }
        Ok(Self(keys))
    }

    fn signer_of(&self, store: &str, line: &[u8]) -> Result<&PublicKey, Unvouched> {
        let (open, signature) = split(line)?;
        let statement = statement(store, open);
        let found = self.0.iter().find(|key| key.verifies(&statement, signature));
        found.ok_or(Unvouched::Signature)
    }
}

impl SnapshotDigest {
    /// Begins one.
    pub fn begin() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Takes whole lines, with their ends.
    pub fn take(&mut self, lines: &[u8]) {
        self.0.update(lines);
    }

    /// Returns the digest, in hexadecimal digits.
    pub fn finish(self) -> String {
        let digest = self.0.finish();
        digest.as_ref().iter().fold(String::new(), |mut hex, octet| {
            // Writing to a string does not fail.
            let _ = write!(hex, "{octet:02x}");
            hex
        })
    }
}

impl<'k> Witness<'k> {
    /// Begins with what was asked for: the nonce that the opening must repeat, never used before.
    pub fn new(keys: &'k FeedKeys, nonce: String) -> Self {
        Self {
            keys,
            nonce,
            opened: None,
        }
    }

    /// Takes the next line, without its end, and returns what it says. What a snapshot says counts only when its end has
    /// been taken.
    ///
    /// # Errors
    /// [`Unvouched`]: nothing that comes after it may be believed.
    pub fn take(&mut self, line: &[u8]) -> Result<Frame, Unvouched> {
        let frame: Frame = serde_json::from_slice(line)?;
        match self.opened.as_mut() {
            None => self.open(line, frame),
            Some(opened) => {
                opened.check(line, &frame)?;
                Ok(frame)
            }
        }
    }

    fn open(&mut self, line: &[u8], frame: Frame) -> Result<Frame, Unvouched> {
        let Frame::Opening {
            store,
            revision,
            unix_ms,
            resumes,
            nonce,
        } = &frame
        else {
            return Err(Unvouched::NoOpening);
        };
        let key = self.keys.signer_of(store, line)?;
        if *nonce != self.nonce {
            return Err(Unvouched::OtherNonce);
        }
        self.opened = Some(Opened {
            key,
            store: store.clone(),
            revision: *revision,
            unix_ms: *unix_ms,
            changes: *resumes,
            snapshot: None,
        });
        Ok(frame)
    }
}

impl Opened<'_> {
    fn check(&mut self, line: &[u8], frame: &Frame) -> Result<(), Unvouched> {
        match (frame, self.snapshot.as_mut()) {
            (Frame::SnapshotBegin { store, revision }, None) if !self.changes => {
                if *store != self.store {
                    return Err(Unvouched::OtherStore);
                }
                if *revision < self.revision {
                    return Err(Unvouched::OldSnapshot {
                        opened: self.revision,
                        found: *revision,
                    });
                }
                let digest = self.snapshot.insert(SnapshotDigest::begin());
                digest.take(line);
                digest.take(b"\n");
            }
            (Frame::Record { .. }, Some(digest)) => {
                digest.take(line);
                digest.take(b"\n");
            }
            (Frame::SnapshotEnd { digest: told, .. }, Some(_)) => {
                self.verify(line)?;
                let own = self.snapshot.take().map(SnapshotDigest::finish);
                if own.as_ref() != Some(told) {
                    return Err(Unvouched::Snapshot);
                }
                self.changes = true;
            }
            (Frame::Change { .. }, None) if self.changes => self.verify(line)?,
            (Frame::Heartbeat { unix_ms, .. }, None) => {
                self.verify(line)?;
                if *unix_ms < self.unix_ms {
                    return Err(Unvouched::TimeWentBack);
                }
                self.unix_ms = *unix_ms;
            }
            (
                Frame::Opening { .. }
                | Frame::SnapshotBegin { .. }
                | Frame::Record { .. }
                | Frame::SnapshotEnd { .. }
                | Frame::Change { .. }
                | Frame::Heartbeat { .. },
                None | Some(_),
            ) => return Err(Unvouched::OutOfTurn),
        }
        Ok(())
    }

    fn verify(&self, line: &[u8]) -> Result<(), Unvouched> {
        let (open, signature) = split(line)?;
        if self.key.verifies(&statement(&self.store, open), signature) {
            Ok(())
        } else {
            Err(Unvouched::Signature)
        }
    }
}

/// What is signed. A store's identity holds no line end.
fn statement(store: &str, open: &[u8]) -> Vec<u8> {
    let mut statement = format!("postern-feed-v1\n{store}\n").into_bytes();
    statement.extend_from_slice(open);
    statement
}

/// Returns what is signed of a line, and the signature.
fn split(line: &[u8]) -> Result<(&[u8], &[u8]), Unvouched> {
    let rest = line
        .strip_suffix(SIGNATURE_END.as_bytes())
        .ok_or(Unvouched::Signature)?;
    let at = rest
        .len()
        .checked_sub(SIGNATURE_CHARACTERS)
        .ok_or(Unvouched::Signature)?;
    let (open, signature) = rest.split_at(at);
    let open = open
        .strip_suffix(SIGNATURE_MEMBER.as_bytes())
        .ok_or(Unvouched::Signature)?;
    Ok((open, signature))
}

const SIGNATURE_MEMBER: &str = r#","signature":""#;
const SIGNATURE_END: &str = r#""}"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Record;

    const STORE: &str = "5f0c0f5e-0000-4000-8000-000000000001";
    const NONCE: &str = "a-nonce";

    /// What comes after an opening.
    #[derive(PartialEq)]
    enum Next {
        Changes,
        Snapshot,
    }

    /// A store's end of the feed.
    struct Store {
        key: SigningKey,
        id: &'static str,
    }

    impl Store {
        fn new() -> Self {
            let pem = SigningKey::generate_pem().expect("a key");
            let key = SigningKey::from_pem(&pem).expect("a key");
            Self { key, id: STORE }
        }

        fn keys(&self) -> FeedKeys {
            FeedKeys::parse(&self.key.public()).expect("a key")
        }

        fn signed(&self, frame: &Frame) -> String {
            let line = vouch(&self.key, self.id, &json(frame));
            line.trim_end().to_owned()
        }

        fn opening(&self, revision: u64, nonce: &str) -> String {
            self.opening_to(revision, nonce, Next::Changes)
        }

        fn opening_to(&self, revision: u64, nonce: &str, next: Next) -> String {
            self.signed(&Frame::Opening {
                store: self.id.to_owned(),
                revision,
                unix_ms: 1000,
                resumes: next == Next::Changes,
                nonce: nonce.to_owned(),
            })
        }

        fn change(&self, revision: u64) -> String {
            let records = vec![Record::SubjectRemoved { id: "s-1".to_owned() }];
            self.signed(&Frame::Change { revision, records })
        }

        fn heartbeat(&self, unix_ms: i64) -> String {
            self.signed(&Frame::Heartbeat { revision: 7, unix_ms })
        }

        /// A snapshot with two records.
        fn snapshot(&self, revision: u64) -> Vec<String> {
            let store = self.id.to_owned();
            let mut lines = vec![json(&Frame::SnapshotBegin { store, revision })];
            lines.extend(["s-1", "s-2"].map(|id| {
                let record = Record::SubjectRemoved { id: id.to_owned() };
                json(&Frame::Record { record })
            }));
            let mut digest = SnapshotDigest::begin();
            lines
                .iter()
                .for_each(|line| digest.take(format!("{line}\n").as_bytes()));
            let (records, digest) = (2, digest.finish());
            lines.push(self.signed(&Frame::SnapshotEnd {
                revision,
                records,
                digest,
            }));
            lines
        }
    }

    fn json(frame: &Frame) -> String {
        serde_json::to_string(frame).expect("it serializes")
    }

    /// Takes lines after an opening at revision 7, and returns how the last one was taken; those before it are.
    fn taken(store: &Store, lines: &[String]) -> Result<Frame, Unvouched> {
        let keys = store.keys();
        let mut witness = Witness::new(&keys, NONCE.to_owned());
        let snapshot = lines.first().is_some_and(|line| line.contains("snapshot-begin"));
        let next = if snapshot { Next::Snapshot } else { Next::Changes };
        let mut last = witness.take(store.opening_to(7, NONCE, next).as_bytes());
        for line in lines {
            last.expect("all but the last are taken");
            last = witness.take(line.as_bytes());
        }
        last
    }

    #[test]
    fn a_feed_of_the_right_key_is_taken_and_reads_as_it_was_written() {
        let store = Store::new();
        let mut lines = store.snapshot(7);
        lines.extend([store.change(8), store.heartbeat(2000), store.heartbeat(2000)]);
        let last = taken(&store, &lines).expect("it is taken");
        let (revision, unix_ms) = (7, 2000);
        assert_eq!(last, Frame::Heartbeat { revision, unix_ms });
    }

    #[test]
    fn every_octet_of_a_signed_line_counts() {
        let store = Store::new();
        for line in [store.change(8), store.heartbeat(2000)] {
            for at in 0..line.len() {
                let mut altered = line.clone().into_bytes();
                altered[at] ^= 1;
                let keys = store.keys();
                let mut witness = Witness::new(&keys, NONCE.to_owned());
                witness.take(store.opening(7, NONCE).as_bytes()).expect("it opens");
                assert!(witness.take(&altered).is_err(), "octet {at} of {line}");
            }
        }
    }

    #[test]
    fn an_opening_for_somebody_else_or_for_an_earlier_connection_is_refused() {
        let store = Store::new();
        let keys = store.keys();
        let mut witness = Witness::new(&keys, NONCE.to_owned());
        let refused = witness.take(store.opening(7, "another").as_bytes());
        assert!(matches!(refused, Err(Unvouched::OtherNonce)), "{refused:?}");
        let mut witness = Witness::new(&keys, NONCE.to_owned());
        let refused = witness.take(store.heartbeat(2000).as_bytes());
        assert!(matches!(refused, Err(Unvouched::NoOpening)), "{refused:?}");
        let twice = taken(&store, &[store.opening(7, NONCE)]);
        assert!(matches!(twice, Err(Unvouched::OutOfTurn)), "{twice:?}");
    }

    #[test]
    fn frames_of_another_key_or_of_another_store_are_refused() {
        let store = Store::new();
        let stranger = Store::new();
        let keys = store.keys();
        let refused = Witness::new(&keys, NONCE.to_owned()).take(stranger.opening(7, NONCE).as_bytes());
        assert!(matches!(refused, Err(Unvouched::Signature)), "{refused:?}");
        let refused = taken(&store, &[stranger.change(8)]);
        assert!(matches!(refused, Err(Unvouched::Signature)), "{refused:?}");
        let revision = 9;
        let heartbeat = json(&Frame::Heartbeat {
            revision,
            unix_ms: 9000,
        });
        let foreign = vouch(&store.key, "5f0c0f5e-0000-4000-8000-000000000002", &heartbeat);
        let refused = taken(&store, &[foreign.trim_end().to_owned()]);
        assert!(matches!(refused, Err(Unvouched::Signature)), "{refused:?}");
    }

    #[test]
    fn an_unsigned_change_and_an_unsigned_heartbeat_are_refused() {
        let store = Store::new();
        for frame in [
            Frame::Change {
                revision: 8,
                records: Vec::new(),
            },
            Frame::Heartbeat {
                revision: 8,
                unix_ms: 2000,
            },
        ] {
            let refused = taken(&store, &[json(&frame)]);
            assert!(matches!(refused, Err(Unvouched::Signature)), "{refused:?}");
        }
    }

    #[test]
    fn a_snapshot_that_was_cut_reordered_altered_or_put_together_is_refused_at_its_end() {
        let store = Store::new();
        let whole = store.snapshot(7);
        let [begin, first, second, end] = &whole[..] else {
            panic!("{whole:?}")
        };
        let altered = first.replace("s-1", "s-3");
        for lines in [
            vec![begin, first, end],
            vec![begin, second, first, end],
            vec![begin, &altered, second, end],
            vec![begin, first, second, second, end],
        ] {
            let lines: Vec<String> = lines.into_iter().cloned().collect();
            let refused = taken(&store, &lines);
            assert!(matches!(refused, Err(Unvouched::Snapshot)), "{refused:?}");
        }
        let end_of_another = store.snapshot(8).pop().expect("an end");
        let refused = taken(&store, &[begin.clone(), first.clone(), second.clone(), end_of_another]);
        assert!(matches!(refused, Err(Unvouched::Snapshot)), "{refused:?}");
        let within = taken(&store, &[begin.clone(), store.change(8)]);
        assert!(matches!(within, Err(Unvouched::OutOfTurn)), "{within:?}");
    }

    #[test]
    fn what_comes_next_is_what_the_opening_said() {
        let store = Store::new();
        let keys = store.keys();
        let begin = store.snapshot(7).remove(0);
        for (next, line) in [(Next::Changes, begin), (Next::Snapshot, store.change(8))] {
            let mut witness = Witness::new(&keys, NONCE.to_owned());
            let opening = store.opening_to(7, NONCE, next);
            witness.take(opening.as_bytes()).expect("it opens");
            let refused = witness.take(line.as_bytes());
            assert!(matches!(refused, Err(Unvouched::OutOfTurn)), "{refused:?}");
        }
    }

    #[test]
    fn a_snapshot_older_than_the_opening_is_refused_before_it_is_read() {
        let store = Store::new();
        let old = store.snapshot(6);
        let refused = taken(&store, &old[..1]);
        let expected = |error: &Unvouched| matches!(error, Unvouched::OldSnapshot { opened: 7, found: 6 });
        assert!(refused.as_ref().is_err_and(expected), "{refused:?}");
    }

    #[test]
    fn heartbeats_never_go_back_in_time() {
        let store = Store::new();
        let before_the_opening = taken(&store, &[store.heartbeat(999)]);
        assert!(matches!(before_the_opening, Err(Unvouched::TimeWentBack)));
        let replayed = taken(&store, &[store.heartbeat(3000), store.heartbeat(2000)]);
        assert!(matches!(replayed, Err(Unvouched::TimeWentBack)));
    }

    #[test]
    fn a_key_to_come_is_trusted_beside_the_one_in_use() {
        let (old, new) = (Store::new(), Store::new());
        let both = format!("{}\n{}\n", old.key.public(), new.key.public());
        let keys = FeedKeys::parse(&both).expect("two keys");
        for store in [&old, &new] {
            let mut witness = Witness::new(&keys, NONCE.to_owned());
            witness.take(store.opening(7, NONCE).as_bytes()).expect("it opens");
        }
        assert_eq!(FeedKeys::parse(" \n"), Err(KeyError::NotPublic));
        assert_eq!(FeedKeys::parse("AAAA\n"), Err(KeyError::NotPublic));
    }
}
