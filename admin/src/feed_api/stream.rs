//! One feed: the opening, a snapshot where one is needed, then what the announcer puts into the ring.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use feed::Frame;
use feed::vouch::SnapshotDigest;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::announcer::Announcer;
use super::coding::Coding;
use super::ring::{Next, Told};
use crate::store::snapshot::Cursor;
use crate::store::{StoreError, View};

/// What a gateway asks with.
#[derive(Debug)]
pub(super) struct Asked {
    /// How far it is, if it knows anything.
    pub position: Option<Position>,
    /// What the opening is to repeat.
    pub nonce: String,
}

/// How far a gateway says it is.
#[derive(Debug)]
pub(super) struct Position {
    pub store: String,
    pub revision: u64,
}

/// Tells the store's state to one gateway.
#[derive(Debug)]
pub(super) struct Teller {
    announcer: Arc<Announcer>,
    chunks: mpsc::Sender<Bytes>,
    coding: Coding,
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
    #[error("the snapshot cannot be compressed")]
    Compress(#[from] std::io::Error),
    #[error("the store failed")]
    Store(#[from] StoreError),
}

impl Teller {
    pub(super) fn new(announcer: Arc<Announcer>, chunks: mpsc::Sender<Bytes>, coding: Coding) -> Self {
        Self {
            announcer,
            chunks,
            coding,
        }
    }

    /// Tells until the gateway goes, reads nothing for [`STALL_MAX`], or the store fails; then the stream ends, and the
    /// gateway asks again.
    pub(super) async fn run(self, asked: Asked) {
        let Err(ended) = self.tell(asked).await;
        match ended {
            Ended::Gone => tracing::debug!("a feed ended: the gateway has gone"),
            Ended::Stalled | Ended::Frame(_) | Ended::Compress(_) | Ended::Store(_) => {
                tracing::warn!(error = &ended as &dyn std::error::Error, "a feed ended");
            }
        }
    }

    async fn tell(&self, asked: Asked) -> Result<std::convert::Infallible, Ended> {
        let ring = &self.announcer.ring;
        let mut moved = ring.moved();
        let (mut told, resumes) = self.open(asked).await?;
        if !resumes {
            self.tell_snapshot(&mut moved, &mut told).await?;
        }
        loop {
            moved.borrow_and_update();
            match ring.next(&mut told) {
                Next::Tell(lines) => self.send(lines).await?,
                Next::Wait => moved.changed().await.map_err(|_closed| Ended::Gone)?,
                Next::Behind => self.tell_logged(&mut told).await?,
            }
        }
    }

    /// Tells the newest revision, at what time that was, and whether changes after the gateway's revision follow.
    async fn open(&self, asked: Asked) -> Result<(Told, bool), Ended> {
        let Announcer { store, clock, .. } = &*self.announcer;
        let unix_ms = clock.unix_ms();
        let mut view = store.view().await?;
        let revision = view.revision().await?;
        let position = asked.position.filter(|position| position.store == store.name());
        let after = match position {
            Some(Position { revision, .. }) if view.can_resume_after(revision).await? => Some(revision),
            Some(_) | None => None,
        };
        drop(view);
        let opening = Frame::Opening {
            store: store.name().to_owned(),
            revision,
            unix_ms,
            resumes: after.is_some(),
            nonce: asked.nonce,
        };
        self.send(self.announcer.signed(&opening)?).await?;
        Ok((Told::opened(unix_ms, after.unwrap_or(revision)), after.is_some()))
    }

    async fn tell_snapshot(&self, moved: &mut watch::Receiver<()>, told: &mut Told) -> Result<(), Ended> {
        let mut view = self.turn(moved, told).await?;
        let revision = view.revision().await?;
        let store = self.announcer.store.name().to_owned();
        let mut digest = SnapshotDigest::begin();
        let begin = serde_json::to_string(&Frame::SnapshotBegin { store, revision })?;
        self.send_unsigned(format!("{begin}\n"), &mut digest).await?;
        let mut cursor = Cursor::start();
        let mut records = 0;
        while let Some(chunk) = view.snapshot_lines(&mut cursor).await? {
            records += chunk.records;
            self.send_unsigned(chunk.lines, &mut digest).await?;
        }
        let end = Frame::SnapshotEnd {
            revision,
            records,
            digest: digest.finish(),
        };
        self.send(self.announcer.signed(&end)?).await?;
        told.revision = revision;
        Ok(())
    }

    /// Waits for the turn to read a snapshot. The gateway hears meanwhile that it has not been forgotten.
    async fn turn(&self, moved: &mut watch::Receiver<()>, told: &mut Told) -> Result<View, Ended> {
        let mut turn = std::pin::pin!(self.announcer.store.long_view());
        loop {
            tokio::select! {
                biased;
                view = turn.as_mut() => return Ok(view?),
                changed = moved.changed() => changed.map_err(|_closed| Ended::Gone)?,
            }
            if let Some(heartbeat) = self.announcer.ring.heartbeat(told) {
                self.send(heartbeat).await?;
            }
        }
    }

    /// Tells what the ring no longer holds.
    async fn tell_logged(&self, told: &mut Told) -> Result<(), Ended> {
        let Some(changes) = self.announcer.store.changes_after(told.revision).await? else {
            // The ring was ahead of what is read here: a moment later it is the same.
            tokio::task::yield_now().await;
            return Ok(());
        };
        let lines: Vec<Bytes> = self.announcer.signed_changes(&changes).collect();
        told.revision = changes.last;
        self.send(lines.concat().into()).await
    }

    async fn send_unsigned(&self, lines: String, digest: &mut SnapshotDigest) -> Result<(), Ended> {
        digest.take(lines.as_bytes());
        self.put(self.coding.compressed(lines.into())?).await
    }

    async fn send(&self, lines: Bytes) -> Result<(), Ended> {
        for chunk in self.coding.stored(lines) {
            self.put(chunk).await?;
        }
        Ok(())
    }

    async fn put(&self, chunk: Bytes) -> Result<(), Ended> {
        match timeout(STALL_MAX, self.chunks.send(chunk)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_closed)) => Err(Ended::Gone),
            Err(_elapsed) => Err(Ended::Stalled),
        }
    }
}

/// How long a gateway may read nothing. A snapshot keeps the database's log from being shortened meanwhile.
const STALL_MAX: Duration = Duration::from_secs(30);
