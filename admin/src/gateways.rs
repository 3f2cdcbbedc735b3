//! The gateways that have reported: how far they are, what they are, and the keys with which they sign identities. Held in
//! memory only: after a start, a gateway is unknown until it reports again, which takes it a second.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use feed::{Acknowledgement, Clock, GatewayInfo, PolicyDigest, VerificationKey};
use jsonwebtoken::DecodingKey;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// What a gateway last reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayStatus {
    /// Its name.
    pub gateway: String,
    /// The store that it follows; none before its first snapshot.
    pub store: Option<String>,
    /// The revision that its cache was at.
    pub revision: u64,
    /// Ids of the keys that it signs with.
    pub key_ids: Vec<String>,
    /// When it reported, in milliseconds since the Unix epoch.
    pub last_contact_ms: i64,
    /// What it is.
    pub info: GatewayInfo,
}

/// All gateways that have reported.
#[derive(Debug)]
pub(crate) struct Gateways {
    known: Mutex<BTreeMap<String, Known>>,
    /// Tells that one has reported.
    reported: watch::Sender<()>,
}

struct Known {
    store: Option<String>,
    revision: u64,
    /// Components that it was told of and cannot decide with.
    lacking: Vec<PolicyDigest>,
    keys: Vec<(String, DecodingKey)>,
    last_contact_ms: i64,
    info: GatewayInfo,
}

impl Gateways {
    /// Begins without any.
    pub(crate) fn new() -> Self {
        Self {
            known: Mutex::default(),
            reported: watch::Sender::new(()),
        }
    }

    /// Takes down a report; `None` when it cannot be one.
    pub(crate) fn acknowledge(&self, report: Acknowledgement, now_ms: i64) -> Option<()> {
        let GatewayInfo { version, address, .. } = &report.info;
        let short = [version, address]
            .into_iter()
            .chain(&report.store)
            .all(|text| text.len() <= NAME_BYTES_MAX);
        let named = (1..=NAME_BYTES_MAX).contains(&report.gateway.len());
        let few = report.keys.len() <= KEYS_MAX && report.lacking.len() <= LACKING_MAX;
        if !named || !short || !few {
            return None;
        }
        let known = Known {
            store: report.store,
            revision: report.revision,
            lacking: report.lacking,
            keys: report.keys.iter().map(read_key).collect::<Option<_>>()?,
            last_contact_ms: now_ms,
            info: report.info,
        };
        let mut all = self.lock();
        all.insert(report.gateway, known);
        if all.len() > GATEWAYS_MAX {
            let oldest = all.iter().min_by_key(|(_, known)| known.last_contact_ms);
            let oldest = oldest.map(|(name, _)| name.clone());
            oldest.and_then(|name| all.remove(&name));
        }
        drop(all);
        self.reported.send_replace(());
        Some(())
    }

    /// Forgets what a gateway reported.
    pub(crate) fn forget(&self, name: &str) {
        self.lock().remove(name);
        self.reported.send_replace(());
    }

    /// Returns the keys with this id; more than one when gateways have chosen the same id.
    pub(crate) fn keys(&self, id: &str) -> Vec<DecodingKey> {
        let all = self.lock();
        let keys = all.values().flat_map(|known| &known.keys);
        keys.filter(|(own, _)| own == id).map(|(_, key)| key.clone()).collect()
    }

    /// Returns what each gateway last reported, ordered by name.
    pub(crate) fn statuses(&self) -> Vec<GatewayStatus> {
        let status = |(name, known): (&String, &Known)| GatewayStatus {
            gateway: name.clone(),
            store: known.store.clone(),
            revision: known.revision,
            key_ids: known.keys.iter().map(|(id, _)| id.clone()).collect(),
            last_contact_ms: known.last_contact_ms,
            info: known.info.clone(),
        };
        self.lock().iter().map(status).collect()
    }

    /// Returns what tells when one has reported.
    pub(crate) fn reported(&self) -> watch::Receiver<()> {
        self.reported.subscribe()
    }

    /// Waits until all gateways that live have reported a revision and can decide with a component, or until a moment.
    /// Returns how many can, and the names of those that cannot.
    pub(crate) async fn ready(
        &self,
        (digest, revision): (PolicyDigest, u64),
        clock: &Clock,
        until: Instant,
    ) -> (usize, Vec<String>) {
        let mut reported = self.reported();
        loop {
            reported.borrow_and_update();
            let now_ms = clock.unix_ms();
            let (ready, late): (Vec<_>, Vec<_>) = self
                .lock()
                .iter()
                .filter(|(_, known)| now_ms.saturating_sub(known.last_contact_ms) <= SILENT_AFTER_MS)
                .map(|(name, known)| {
                    (
                        name.clone(),
                        known.revision >= revision && !known.lacking.contains(&digest),
                    )
                })
                .partition(|(_, ready)| *ready);
            if late.is_empty() || timeout_at(until, reported.changed()).await.is_err() {
                return (ready.len(), late.into_iter().map(|(name, _)| name).collect());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        // Nothing that holds the lock leaves the map half changed.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GatewayStatus {
    /// Returns the revision of a store that it has applied; 0 when it follows another, or none yet.
    pub(crate) fn revision_of(&self, store: &str) -> u64 {
        if self.store.as_deref() == Some(store) {
            self.revision
        } else {
            0
        }
    }

    /// Returns whether it is heard from.
    pub fn is_live(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.last_contact_ms) <= SILENT_AFTER_MS
    }
}

/// After so long without a report a gateway counts as silent: it reports every ten seconds at least.
pub const SILENT_AFTER_MS: i64 = 30_000;

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known")
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

/// Most gateways that are known at once. Beyond them, the one that has been silent longest is forgotten.
const GATEWAYS_MAX: usize = 1000;

/// Most components that a gateway says it lacks: some for each policy of each organisation.
const LACKING_MAX: usize = 10_000;

/// Most keys of one gateway: one in use, one to come, and old ones whose signatures are still valid.
const KEYS_MAX: usize = 8;

/// Longest name of a gateway, longest id of a key, and longest of the other texts that it tells, in octets.
const NAME_BYTES_MAX: usize = 200;

/// Octets of an Ed25519 public key (RFC 8032 §5.1.5).
const KEY_BYTES: usize = 32;

fn read_key(key: &VerificationKey) -> Option<(String, DecodingKey)> {
    let identified = (1..=NAME_BYTES_MAX).contains(&key.kid.len());
    // RFC 8037 §2.
    let declared = key.kty == "OKP" && key.crv == "Ed25519" && key.alg == "EdDSA" && key.usage == "sig";
    let decoding = DecodingKey::from_ed_components(&key.x).ok()?;
    let whole = decoding.try_get_as_bytes().is_ok_and(|bytes| bytes.len() == KEY_BYTES);
    (identified && declared && whole).then(|| (key.kid.clone(), decoding))
}
