//! The announcer: reads each change once, signs it once, and puts it where all feeds take it from.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use feed::key::SigningKey;
use feed::{Clock, Frame};
use tokio::time::{MissedTickBehavior, interval};

use super::Feeds;
use super::ring::Ring;
use crate::fleet::Fleet;
use crate::store::changes::ChangeLines;
use crate::store::{Store, StoreError};

/// What all feeds have in common.
#[derive(Debug)]
pub(crate) struct Announcer {
    pub(super) store: Arc<Store>,
    pub(super) clock: Clock,
    pub(super) ring: Ring,
    key: SigningKey,
    fleet: Arc<Fleet>,
}

impl Announcer {
    /// Starts announcing what is after the newest revision; it ends with the feeds.
    pub(crate) fn start(
        store: &Arc<Store>,
        clock: &Clock,
        key: SigningKey,
        (fleet, feeds): (&Arc<Fleet>, &Feeds),
    ) -> Arc<Self> {
        let announcer = Arc::new(Self {
            store: Arc::clone(store),
            clock: clock.clone(),
            ring: Ring::after(*store.newest().borrow(), RING_BYTES_MAX),
            key,
            fleet: Arc::clone(fleet),
        });
        feeds.announce(Arc::clone(&announcer).run());
        announcer
    }

    /// Returns the public half of the feed's key, as text.
    pub(crate) fn public_key(&self) -> String {
        self.key.public()
    }

    /// Makes a signed line of a frame.
    pub(super) fn signed(&self, frame: &Frame) -> Result<Bytes, serde_json::Error> {
        let object = serde_json::to_string(frame)?;
        Ok(self.vouch(&object))
    }

    /// Makes signed lines of changes.
    pub(super) fn signed_changes<'a>(&'a self, changes: &'a ChangeLines) -> impl Iterator<Item = Bytes> + 'a {
        changes.lines.lines().map(|object| self.vouch(object))
    }

    fn vouch(&self, object: &str) -> Bytes {
        Bytes::from(feed::vouch::vouch(&self.key, self.store.name(), object))
    }

    async fn run(self: Arc<Self>) {
        let mut newest = self.store.newest();
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            let told = tokio::select! {
                biased;
                changed = newest.changed() => match changed {
                    Ok(()) => self.announce_changes().await,
                    Err(_closed) => return,
                },
                _ = heartbeat.tick() => self.announce_heartbeat().await,
            };
            if let Err(error) = &told
                && !failing
            {
                tracing::warn!(error = error as &dyn std::error::Error, "changes cannot be announced");
            }
            failing = told.is_err();
        }
    }

    /// Announces what has changed. A gateway that another replica has removed is no longer let in from then on.
    async fn announce_changes(&self) -> Result<(), StoreError> {
        self.fleet.refresh().await?;
        loop {
            let changes = match self.store.changes_after(self.ring.last()).await {
                Ok(Some(changes)) => changes,
                Ok(None) => return Ok(()),
                // The change log was shortened meanwhile: feeds find out by themselves.
                Err(StoreError::Damaged(_)) => {
                    let newest = self.store.view().await?.revision().await?;
                    self.ring.restart(newest);
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.ring.push(self.signed_changes(&changes).collect(), changes.last);
        }
    }

    /// Tells that nothing has changed since. The store is asked: one that cannot be reached may have changed, and of it
    /// nothing is told.
    async fn announce_heartbeat(&self) -> Result<(), StoreError> {
        if !self.store.is_current() {
            return Ok(());
        }
        let unix_ms = self.clock.unix_ms();
        let newest = self.store.view().await?.revision().await?;
        if newest > self.ring.last() {
            self.announce_changes().await?;
        }
        let revision = self.ring.last();
        let line = self.signed(&Frame::Heartbeat { revision, unix_ms });
        let line = line.map_err(|error| StoreError::Damaged(error.to_string()))?;
        self.ring.beat(unix_ms, line);
        Ok(())
    }
}

/// How often gateways hear that nothing has changed (the feed's contract).
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Memory for changes that all feeds share: about 10,000 of the usual ones.
const RING_BYTES_MAX: usize = 4 << 20;
