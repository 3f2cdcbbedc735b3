//! Frames: the lines of `GET /feed`, each a JSON object, and what gateways send back.

use serde::{Deserialize, Serialize};

use crate::{PolicyDigest, Record};

/// One line of the feed.
///
/// A stream is an `opening`, and then either `snapshot-begin`, any number of `record`, `snapshot-end`, and then changes;
/// or changes at once, when the gateway's revision is one from which the store can go on. Heartbeats may stand before a
/// snapshot and between any two changes. All but the lines of a snapshot are signed: [`crate::vouch`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "kebab-case")]
pub enum Frame {
    /// A feed begins: the answer to one gateway.
    Opening {
        /// Identity of the store: revisions of two stores cannot be compared.
        store: String,
        /// The newest revision when it was asked for.
        revision: u64,
        /// The store's time then, in milliseconds since the Unix epoch.
        unix_ms: i64,
        /// Whether the changes after the gateway's revision follow; else a snapshot does.
        resumes: bool,
        /// What the gateway gave to be repeated; empty when it gave nothing.
        nonce: String,
    },
    /// Records of the whole state follow.
    SnapshotBegin {
        /// As in the opening.
        store: String,
        /// The revision at which the state is told.
        revision: u64,
    },
    /// One thing of a snapshot.
    Record {
        /// The thing.
        record: Record,
    },
    /// The state is complete.
    SnapshotEnd {
        /// As in the frame that began it.
        revision: u64,
        /// How many records were sent between the two.
        records: u64,
        /// SHA-256 over the lines before this one, `snapshot-begin` included, in hexadecimal digits.
        digest: String,
    },
    /// One transaction of the store.
    Change {
        /// The revision that it made; one more than that of the change before.
        revision: u64,
        /// All that it changed.
        records: Vec<Record>,
    },
    /// Nothing has changed since; sent each second.
    Heartbeat {
        /// The newest revision.
        revision: u64,
        /// The store's time before that was looked up, in milliseconds since the Unix epoch.
        unix_ms: i64,
    },
}

/// Body of `POST /feed/ack`: what a gateway has applied, and the keys with which it signs identities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Name of the gateway, unique among gateways.
    pub gateway: String,
    /// The store that it follows; none before the first snapshot.
    pub store: Option<String>,
    /// The revision that its cache is at.
    pub revision: u64,
    /// Keys for its `Postern-Identity`.
    pub keys: Vec<VerificationKey>,
    /// Components that it was told of by then and cannot decide with yet. A gateway of before tells none.
    #[serde(default)]
    pub lacking: Vec<PolicyDigest>,
    /// What it is.
    pub info: GatewayInfo,
}

/// Body of `POST /feed/enrol`, which carries an enrolment token as its credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// Digest of the credential that the gateway has made for itself: the credential never leaves it before it is used.
    pub credential: crate::Digest,
}

/// Answer to an [`Enrolment`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// Name under which the gateway is known.
    pub gateway: String,
}

/// What a gateway tells of itself, for whoever looks after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayInfo {
    /// Version of Postern.
    pub version: String,
    /// Where requests come to, as it knows itself.
    pub address: String,
    /// How many policies it has loaded, beside those that are built in.
    pub policies: u64,
    /// The age of its data, in milliseconds, from which on it refuses everything.
    pub refuses_after_ms: u64,
}

/// A public Ed25519 key, in the form of RFC 8037 §2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationKey {
    /// Key type: `OKP`.
    pub kty: String,
    /// Curve: `Ed25519`.
    pub crv: String,
    /// Algorithm: `EdDSA`.
    pub alg: String,
    /// Use: `sig`.
    #[serde(rename = "use")]
    pub usage: String,
    /// Id of the key.
    pub kid: String,
    /// The key, base64url without padding.
    pub x: String,
}

/// Claims of `Postern-Identity`, a JWT signed with EdDSA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Issuer: `postern`.
    pub iss: String,
    /// Id of the subject.
    pub sub: String,
    /// The organisation it belongs to.
    pub org: String,
    /// What it is: `service-user`, `member` or `group`.
    pub kind: crate::SubjectKind,
    /// Id of the token that the request carried.
    pub token_id: String,
    /// Object paths and the roles held on them.
    pub roles: std::collections::BTreeMap<String, String>,
    /// The revision at which the subject or the token last changed.
    pub revision: u64,
    /// When it was signed, in seconds since the Unix epoch.
    pub iat: i64,
    /// When it ends, in seconds since the Unix epoch.
    pub exp: i64,
}

/// Body of `POST /effects`: something that happened at the orchestrator and bears on role bindings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectReport {
    /// Unique for the event: a report that arrives twice is applied once.
    pub id: String,
    /// What happened.
    #[serde(flatten)]
    pub effect: ObjectEffect,
}

/// What happened to an object of the orchestrator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "kebab-case")]
pub enum ObjectEffect {
    /// The object is new: role bindings of an earlier object with its name end; its creator, where there is one, holds
    /// the given role.
    Created {
        /// The object.
        scope: crate::Scope,
        /// Subject and role of the creator.
        creator: Option<Creator>,
    },
    /// The object is gone: its role bindings end.
    Deleted {
        /// The object.
        scope: crate::Scope,
    },
}

/// Who made an object, and the role that this gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creator {
    /// Id of the subject.
    pub subject: String,
    /// Name of the role.
    pub role: String,
}

/// Name of the answer field in which the admin service tells the revision that a request made.
pub const REVISION_FIELD: &str = "postern-revision";

/// Name of the request field that carries the signed [`Identity`].
pub const IDENTITY_FIELD: &str = "postern-identity";
