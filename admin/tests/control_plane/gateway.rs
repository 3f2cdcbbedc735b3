//! What a gateway does: it signs for callers and reads the feed.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use feed::vouch::Witness;
use feed::{FeedKeys, Frame, Identity, VerificationKey};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use jsonwebtoken::{Algorithm, EncodingKey, Header};

/// A gateway's signing key.
pub(crate) struct Signer {
    pub(crate) key_id: String,
    pub(crate) pair: Ed25519KeyPair,
}

/// An open feed.
pub(crate) struct Feed {
    body: Incoming,
    unread: Vec<u8>,
    witness: Witness<'static>,
}

/// What every feed of these tests repeats in its opening.
pub(crate) const NONCE: &str = "nonce-of-the-tests";

impl Signer {
    pub(crate) fn new(key_id: &str) -> Self {
        Self {
            key_id: key_id.to_owned(),
            pair: Ed25519KeyPair::generate().expect("a key"),
        }
    }

    pub(crate) fn verification_key(&self) -> VerificationKey {
        VerificationKey {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            alg: "EdDSA".to_owned(),
            usage: "sig".to_owned(),
            kid: self.key_id.clone(),
            x: URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref()),
        }
    }

    pub(crate) fn sign(&self, identity: &Identity) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.key_id.clone());
        let der = AsDer::<Pkcs8V1Der>::as_der(&self.pair).expect("a key");
        jsonwebtoken::encode(&header, identity, &EncodingKey::from_ed_der(der.as_ref())).expect("a signature")
    }
}

impl Feed {
    /// Begins to read what is vouched for by these keys.
    pub(crate) fn new(body: Incoming, keys: FeedKeys) -> Self {
        // Once for each feed of a test.
        let keys = Box::leak(Box::new(keys));
        Self {
            body,
            unread: Vec::new(),
            witness: Witness::new(keys, NONCE.to_owned()),
        }
    }

    /// Returns the next frame, which is vouched for; `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(end) = self.unread.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Some(self.witness.take(&line[..end]).expect("a frame that is vouched for"));
            }
            let frame = self.body.frame().await?.expect("a chunk");
            self.unread.extend(frame.into_data().expect("data"));
        }
    }

    /// Returns the next frame that is no heartbeat, which must come within ten heartbeats.
    pub(crate) async fn news(&mut self) -> Frame {
        for _ in 0..10 {
            let frame = self.next().await.expect("the stream goes on");
            if !matches!(frame, Frame::Heartbeat { .. } | Frame::Opening { .. }) {
                return frame;
            }
        }
        panic!("no news");
    }

    /// Reads a snapshot and returns its revision and its records.
    pub(crate) async fn snapshot(&mut self) -> (u64, Vec<feed::Record>) {
        let begin = self.news().await;
        let Frame::SnapshotBegin { revision, .. } = begin else {
            panic!("{begin:?} begins no snapshot");
        };
        let mut all = Vec::new();
        loop {
            match self.news().await {
                Frame::Record { record } => all.push(record),
                Frame::SnapshotEnd {
                    revision: end, records, ..
                } => {
                    assert_eq!((end, records), (revision, all.len() as u64));
                    return (revision, all);
                }
                other @ (Frame::Opening { .. }
                | Frame::SnapshotBegin { .. }
                | Frame::Change { .. }
                | Frame::Heartbeat { .. }) => {
                    panic!("{other:?} in a snapshot")
                }
            }
        }
    }
}
