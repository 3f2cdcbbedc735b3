//! One feed: a snapshot where one is needed, then each change when it is made, and a heartbeat each second.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use feed::{Clock, Frame};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::store::snapshot::Cursor;
use crate::store::{Store, StoreError};

/// How far a gateway says it is.
#[derive(Debug)]
pub(super) struct Position {
    pub store: String,
    pub revision: u64,
}

/// Tells the store's state to one gateway.
#[derive(Debug)]
pub(super) struct Teller {
    store: Arc<Store>,
    clock: Clock,
    chunks: mpsc::Sender<Bytes>,
}

/// Why a feed ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the gateway has gone")]
    Gone,
    #[error("the gateway has not read for too long")]
    Stalled,
    #[error("the frame cannot be written")]
    Frame(#[from] serde_json::Error),
    #[error("the store failed")]
    Store(#[from] StoreError),
}

impl Teller {
    pub(super) fn new(store: Arc<Store>, clock: Clock, chunks: mpsc::Sender<Bytes>) -> Self {
        Self { store, clock, chunks }
    }

    /// Tells until the gateway goes, reads nothing for [`STALL_MAX`], or the store fails; then the stream ends, and the
    /// gateway asks again.
    pub(super) async fn run(self, position: Option<Position>) {
        let Err(ended) = self.tell(position).await;
        match ended {
            Ended::Gone => tracing::debug!("a feed ended: the gateway has gone"),
            Ended::Stalled | Ended::Frame(_) | Ended::Store(_) => {
                tracing::warn!(error = &ended as &dyn std::error::Error, "a feed ended");
            }
        }
    }

    async fn tell(&self, position: Option<Position>) -> Result<std::convert::Infallible, Ended> {
        // Taken before the state is read, so that no change between the two is missed.
        let mut newest = self.store.newest();
        let mut told = match self.resumed(position).await? {
            Some(revision) => revision,
            None => self.tell_snapshot().await?,
        };
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if told < *newest.borrow_and_update() {
                told = self.tell_changes(told).await?;
            }
            tokio::select! {
                biased;
                changed = newest.changed() => changed.map_err(|_closed| Ended::Gone)?,
                // A replica that cannot look at the store must not say that nothing has changed.
                _ = heartbeat.tick() => if self.store.is_current() {
                    self.tell_heartbeat(told).await?;
                },
            }
        }
    }

    /// Returns the revision after which changes suffice, if the gateway's is one.
    async fn resumed(&self, position: Option<Position>) -> Result<Option<u64>, Ended> {
        let Some(position) = position.filter(|position| position.store == self.store.id()) else {
            return Ok(None);
        };
        let mut view = self.store.view().await?;
        let resumed = view.can_resume_after(position.revision).await?;
        Ok(resumed.then_some(position.revision))
    }

    async fn tell_snapshot(&self) -> Result<u64, Ended> {
        let mut view = self.store.long_view().await?;
        let revision = view.revision().await?;
        let store = self.store.id().to_owned();
        self.send_frame(&Frame::SnapshotBegin { store, revision }).await?;
        let mut cursor = Cursor::start();
        let mut records = 0;
        while let Some(chunk) = view.snapshot_lines(&mut cursor).await? {
            records += chunk.records;
            self.send(chunk.lines).await?;
        }
        self.send_frame(&Frame::SnapshotEnd { revision, records }).await?;
        Ok(revision)
    }

    async fn tell_changes(&self, mut told: u64) -> Result<u64, Ended> {
        while let Some(changes) = self.store.changes_after(told).await? {
            told = changes.last;
            self.send(changes.lines).await?;
        }
        Ok(told)
    }

    async fn tell_heartbeat(&self, revision: u64) -> Result<(), Ended> {
        let unix_ms = self.clock.unix_ms();
        self.send_frame(&Frame::Heartbeat { revision, unix_ms }).await
    }

    async fn send_frame(&self, frame: &Frame) -> Result<(), Ended> {
        let mut line = serde_json::to_string(frame)?;
        line.push('\n');
        self.send(line).await
    }

    async fn send(&self, lines: String) -> Result<(), Ended> {
        match timeout(STALL_MAX, self.chunks.send(lines.into())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_closed)) => Err(Ended::Gone),
            Err(_elapsed) => Err(Ended::Stalled),
        }
    }
}

/// How often a gateway hears that nothing has changed (the feed's contract).
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long a gateway may read nothing. A snapshot keeps the database's log from being shortened meanwhile.
const STALL_MAX: Duration = Duration::from_secs(30);
