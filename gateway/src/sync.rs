//! Sync: following the feed of an admin service into the policies and the cache, and moving to another when it is lost.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use feed::vouch::{Unvouched, Witness};
use feed::{Clock, FeedKeys, Frame};
use http::Response;
use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{sleep, timeout};

use crate::acknowledge::Acknowledger;
use crate::cache::{Cache, Snapshot, Stale};
use crate::hearing::{Hearing, Late};
use crate::lines::{Lines, Unreadable};
use crate::policies::{Desired, Keeper};
use crate::refusal::Refusal;
use crate::upstream::Pool;

/// What a gateway follows the feed with.
pub(crate) struct Follower {
    pub(crate) cache: Arc<Cache>,
    pub(crate) policies: Rc<Keeper>,
    pub(crate) admin: Rc<Pool>,
    /// The keys that may sign the feed.
    pub(crate) keys: FeedKeys,
    pub(crate) clock: Clock,
    pub(crate) acknowledger: Rc<Acknowledger>,
}

/// Why the feed was lost.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("the request failed: {}", .0.source.as_ref().map_or_else(|| .0.to_string(), ToString::to_string))]
    Request(#[source] Refusal),
    #[error("it broke off: {0}")]
    Transfer(#[from] hyper::Error),
    #[error("the admin service answered {0}")]
    Status(StatusCode),
    #[error("the admin service did not take the introduction: {0}")]
    Introduction(#[source] Refusal),
    #[error("nothing came for {SILENCE_MAX:?}")]
    Silence,
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("no randomness for a nonce")]
    Nonce,
    #[error(transparent)]
    Unvouched(#[from] Unvouched),
    #[error("changes up to revision {0} are missing")]
    Missing(u64),
    #[error(transparent)]
    Late(#[from] Late),
    #[error(transparent)]
    Stale(#[from] Stale),
}

/// How far a feed has come.
#[derive(Default)]
struct Arriving {
    snapshot: Option<Building>,
    /// Whether changes arrive from here on, so that none may be missing.
    following: bool,
}

/// A snapshot on its way in.
struct Building {
    snapshot: Snapshot,
    policies: Desired,
    records: u64,
}

impl Follower {
    /// Follows the feed of one admin service, for ever; when it is lost, that of the next. Each time it is found, the admin
    /// service is told first who follows: it believes the identities that this gateway signs only from then on.
    pub(crate) async fn run(self) {
        let endpoints = self.admin.upstream.endpoints();
        let mut endpoint = rand::random_range(0..endpoints);
        let (mut pause, mut failed) = (PAUSE_MIN, 0);
        loop {
            let before = self.cache.revision();
            let admin = self.admin.upstream.authority(endpoint);
            match self.follow(endpoint).await {
                Ok(()) => tracing::info!(admin, "the feed ended"),
                Err(error) => tracing::warn!(admin, %error, "the feed was lost"),
            }
            if self.cache.revision() > before {
                (pause, failed) = (PAUSE_MIN, 0);
            }
            // Once around before it is waited longer: the next one may be well.
            failed += 1;
            if failed % endpoints == 0 {
                pause = (pause * 2).min(PAUSE_MAX);
            }
            endpoint = (endpoint + 1) % endpoints;
            // Not all gateways at once, when they have lost the same one.
            sleep(pause.mul_f64(rand::random_range(0.5..1.5))).await;
        }
    }

    async fn follow(&self, endpoint: usize) -> Result<(), Lost> {
        let nonce = nonce()?;
        let store = self.cache.store().map(|store| format!("&store={store}"));
        let path = format!(
            "/feed?after={}{}&nonce={nonce}",
            self.cache.revision(),
            store.unwrap_or_default()
        );
        let hearing = Hearing::asked(self.clock.clone());
        let asking = self.admin.stream_from(endpoint, &path, Lines::ACCEPTED);
        // The connection is held as long as the feed lasts, and ends with it.
        let (response, _lease) = timeout(SILENCE_MAX, asking)
            .await
            .map_err(|_elapsed| Lost::Silence)?
            .map_err(Lost::Request)?;
        if response.status() != StatusCode::OK {
            return Err(Lost::Status(response.status()));
        }
        let introduced = self.acknowledger.tell(endpoint).await;
        introduced.map_err(Lost::Introduction)?;
        let witness = Witness::new(&self.keys, nonce);
        self.read(endpoint, (witness, hearing), response).await
    }

    async fn read(
        &self,
        endpoint: usize,
        (mut witness, mut hearing): (Witness<'_>, Hearing),
        response: Response<Incoming>,
    ) -> Result<(), Lost> {
        let mut lines = Lines::of(response.headers())?;
        let mut body = response.into_body();
        let mut arriving = Arriving::default();
        loop {
            while let Some(line) = lines.next()? {
                let frame = witness.take(&line)?;
                hearing.take(&frame)?;
                self.take_time(&frame);
                self.apply(&mut arriving, frame).await?;
                // Only what was taken makes the data younger: a feed that is refused, such as that of another store, does
                // not.
                if let Some(heard_ms) = hearing.shown(self.cache.revision()) {
                    self.cache.freshness().heard_at(heard_ms);
                    // What callers ask goes to whom we follow.
                    if self.admin.upstream.prefer(endpoint) {
                        let admin = self.admin.upstream.authority(endpoint);
                        tracing::info!(admin, "another admin service is followed");
                    }
                }
            }
            let frame = timeout(SILENCE_MAX, body.frame())
                .await
                .map_err(|_elapsed| Lost::Silence)?;
            let Some(frame) = frame else { return Ok(()) };
            if let Ok(data) = frame?.into_data() {
                lines.push(data);
            }
        }
    }

    /// Takes note of what time it is at the store.
    fn take_time(&self, frame: &Frame) {
        let freshness = self.cache.freshness();
        match frame {
            Frame::Opening { unix_ms, .. } => freshness.time_was_told(&self.clock, *unix_ms),
            Frame::Heartbeat { unix_ms, .. } => freshness.time_went_on(&self.clock, *unix_ms),
            Frame::SnapshotBegin { .. } | Frame::Record { .. } | Frame::SnapshotEnd { .. } | Frame::Change { .. } => {}
        }
    }

    /// Applies a frame that is vouched for: the policies of a revision are in force before the revision is.
    async fn apply(&self, arriving: &mut Arriving, frame: Frame) -> Result<(), Lost> {
        match (frame, arriving.snapshot.as_mut()) {
            (Frame::Opening { resumes, .. }, _) => arriving.following = resumes,
            (Frame::SnapshotBegin { store, revision }, _) => {
                let snapshot = Cache::begin_snapshot(store, revision);
                // What is refused in the end need not be read first.
                self.cache.admits(&snapshot)?;
                arriving.snapshot = Some(Building {
                    snapshot,
                    policies: Desired::default(),
                    records: 0,
                });
            }
            (Frame::Record { record }, Some(building)) => {
                building.policies.take(&record);
                building.snapshot.add(record);
                building.records += 1;
            }
            (Frame::SnapshotEnd { revision, .. }, Some(_)) => {
                if let Some(whole) = arriving.snapshot.take() {
                    self.cache.admits(&whole.snapshot)?;
                    self.policies.put_in_force(whole.policies, revision).await;
                    self.cache.replace(whole.snapshot)?;
                    tracing::info!(revision, records = whole.records, "a snapshot was applied");
                    arriving.following = true;
                }
            }
            (Frame::Change { revision, records }, _) => {
                if self.cache.expects(revision)? && records.iter().any(Desired::concerns) {
                    let mut desired = self.policies.desired();
                    records.iter().for_each(|record| desired.take(record));
                    self.policies.put_in_force(desired, revision).await;
                }
                self.cache.apply(revision, records)?;
                arriving.following = true;
            }
            (Frame::Heartbeat { revision, .. }, _) if arriving.following && revision > self.cache.revision() => {
                return Err(Lost::Missing(revision));
            }
            // Records and their end never come without a beginning, the witness has seen to it; and a heartbeat that comes
            // before a snapshot may be ahead.
            (Frame::Heartbeat { .. } | Frame::Record { .. } | Frame::SnapshotEnd { .. }, None | Some(_)) => {}
        }
        Ok(())
    }
}

/// Returns 256 random bits as text.
fn nonce() -> Result<String, Lost> {
    let mut bits = [0; 32];
    aws_lc_rs::rand::fill(&mut bits).map_err(|_unspecified| Lost::Nonce)?;
    Ok(URL_SAFE_NO_PAD.encode(bits))
}

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Heartbeats come each second; after this the connection is given up.
const SILENCE_MAX: Duration = Duration::from_secs(5);
