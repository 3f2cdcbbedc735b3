//! Sync: following the feed of the admin service into the policies and the cache, and telling it how far we are.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use feed::{Acknowledgement, Clock, Frame};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{sleep, timeout};

use crate::body::RequestBody;
use crate::cache::{Cache, Snapshot, Stale};
use crate::policies::{Desired, Keeper};
use crate::refusal::Refusal;
use crate::upstream::Pool;

/// Follows the feed, for ever. Each time it is found, the admin service is told first who follows: it believes the
/// identities that this gateway signs only from then on.
pub(crate) async fn follow(
    (cache, policies): (Arc<Cache>, Rc<Keeper>),
    admin: Rc<Pool>,
    clock: Clock,
    introduction: Acknowledgement,
) {
    let mut pause = PAUSE_MIN;
    loop {
        let before = cache.revision();
        match follow_once((&cache, &policies), &admin, &clock, &introduction).await {
            Ok(()) => tracing::info!("the feed ended"),
            Err(error) => tracing::warn!(%error, "the feed was lost"),
        }
        pause = if cache.revision() > before {
            PAUSE_MIN
        } else {
            (pause * 2).min(PAUSE_MAX)
        };
        sleep(pause).await;
    }
}

/// Tells the admin service how far the cache is, after each change and now and then, for ever.
pub(crate) async fn acknowledge((cache, policies): (Arc<Cache>, Rc<Keeper>), admin: Rc<Pool>, base: Acknowledgement) {
    loop {
        // What would be forgotten by a restart does not count yet.
        let mut confirmable = cache.confirmable();
        let revision = *confirmable.borrow();
        let mut arrivals = policies.arrivals();
        let acknowledgement = Acknowledgement {
            revision,
            lacking: policies.lacking(),
            ..base.clone()
        };
        if let Err(error) = send(&admin, &acknowledgement).await {
            tracing::debug!(%error, "the admin service did not take an acknowledgement");
            sleep(PAUSE_MAX).await;
            continue;
        }
        // The pause ends early when there is something new to tell.
        let news = async {
            tokio::select! {
                _ = confirmable.wait_for(|confirmable| *confirmable > revision) => {}
                _ = arrivals.changed() => {}
            }
        };
        drop(timeout(ACKNOWLEDGE_PAUSE, news).await);
    }
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
    #[error("a line is longer than {LINE_BYTES_MAX} octets")]
    LineTooLong,
    #[error("a line is no frame: {0}")]
    NotAFrame(#[from] serde_json::Error),
    #[error("a frame came out of turn")]
    OutOfTurn,
    #[error(transparent)]
    Stale(#[from] Stale),
}

async fn follow_once(
    (cache, policies): (&Cache, &Keeper),
    admin: &Rc<Pool>,
    clock: &Clock,
    introduction: &Acknowledgement,
) -> Result<(), Lost> {
    let store = cache.store().map(|store| format!("&store={store}")).unwrap_or_default();
    let path = format!("/feed?after={}{store}", cache.revision());
    let asking = timeout(SILENCE_MAX, admin.ask(Method::GET, &path, RequestBody::empty()));
    // The connection is held as long as the feed lasts, and ends with it.
    let (response, _lease) = asking.await.map_err(|_elapsed| Lost::Silence)?.map_err(Lost::Request)?;
    if response.status() != StatusCode::OK {
        return Err(Lost::Status(response.status()));
    }
    let introduction = Acknowledgement {
        revision: *cache.confirmable().borrow(),
        lacking: policies.lacking(),
        ..introduction.clone()
    };
    send(admin, &introduction).await.map_err(Lost::Introduction)?;
    read_frames((cache, policies), clock, response.into_body()).await
}

async fn read_frames((cache, policies): (&Cache, &Keeper), clock: &Clock, mut body: Incoming) -> Result<(), Lost> {
    let mut lines = Lines::default();
    let mut snapshot = None;
    let mut time_told = false;
    loop {
        while let Some(line) = lines.next()? {
            let frame = serde_json::from_slice(&line)?;
            if let Frame::Heartbeat { unix_ms, .. } = &frame {
                match std::mem::replace(&mut time_told, true) {
                    false => cache.freshness().time_was_told(clock, *unix_ms),
                    true => cache.freshness().time_went_on(clock, *unix_ms),
                }
            }
            apply((cache, policies), &mut snapshot, frame).await?;
            // Only what was taken makes the data younger: a feed that is refused, such as that of another store, does not.
            if snapshot.is_none() {
                cache.freshness().heard_at(clock.elapsed_ms());
            }
        }
        let frame = timeout(SILENCE_MAX, body.frame())
            .await
            .map_err(|_elapsed| Lost::Silence)?;
        let Some(frame) = frame else { return Ok(()) };
        if let Ok(data) = frame?.into_data() {
            lines.push(&data);
        }
    }
}

/// A snapshot on its way in.
struct Building {
    snapshot: Snapshot,
    policies: Desired,
    records: u64,
}

/// Applies a frame: the policies of a revision are in force before the revision is.
async fn apply(
    (cache, policies): (&Cache, &Keeper),
    building: &mut Option<Building>,
    frame: Frame,
) -> Result<(), Lost> {
    match (frame, building.as_mut()) {
        (Frame::SnapshotBegin { store, revision }, None) => {
            *building = Some(Building {
                snapshot: Cache::begin_snapshot(store, revision),
                policies: Desired::default(),
                records: 0,
            });
        }
        (Frame::Record { record }, Some(building)) => {
            building.policies.take(&record);
            building.snapshot.add(record);
            building.records += 1;
        }
        (Frame::SnapshotEnd { records, revision }, Some(_)) => match building.take() {
            Some(whole) if whole.records == records => {
                cache.admits(&whole.snapshot)?;
                policies.put_in_force(whole.policies, revision).await;
                cache.replace(whole.snapshot)?;
                tracing::info!(revision, records, "a snapshot was applied");
            }
            Some(_) | None => return Err(Lost::OutOfTurn),
        },
        (Frame::Change { revision, records }, None) => {
            if cache.expects(revision)? && records.iter().any(Desired::concerns) {
                let mut desired = policies.desired();
                records.iter().for_each(|record| desired.take(record));
                policies.put_in_force(desired, revision).await;
            }
            cache.apply(revision, records)?;
        }
        (Frame::Heartbeat { .. }, _) => {}
        (
            Frame::SnapshotBegin { .. } | Frame::Change { .. } | Frame::Record { .. } | Frame::SnapshotEnd { .. },
            None | Some(_),
        ) => return Err(Lost::OutOfTurn),
    }
    Ok(())
}

async fn send(admin: &Rc<Pool>, acknowledgement: &Acknowledgement) -> Result<(), Refusal> {
    // Numbers and text always make JSON.
    let body = serde_json::to_vec(acknowledgement).unwrap_or_default();
    let body = RequestBody::Full(Some(Bytes::from(body)));
    let (status, _, _) = admin.fetch(Method::POST, "/feed/ack", body, ANSWER_BYTES_MAX).await?;
    if status.is_success() {
        Ok(())
    } else {
        Err(Refusal::caused_by(
            crate::refusal::Reason::UpstreamFailed,
            format!("status {status}"),
        ))
    }
}

/// Cuts a stream of octets into lines.
#[derive(Default)]
struct Lines {
    buffer: BytesMut,
    /// Octets at the front that are known to hold no line end.
    searched: usize,
}

impl Lines {
    fn push(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }

    fn next(&mut self) -> Result<Option<BytesMut>, Lost> {
        let Some(end) = self.buffer[self.searched..].iter().position(|octet| *octet == b'\n') else {
            self.searched = self.buffer.len();
            return if self.searched > LINE_BYTES_MAX {
                Err(Lost::LineTooLong)
            } else {
                Ok(None)
            };
        };
        let line = self.buffer.split_to(self.searched + end);
        self.buffer.advance(1);
        self.searched = 0;
        Ok(Some(line))
    }
}

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Heartbeats come each second; after this the connection is given up.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Acknowledgements are sent at least this often: they also tell that this gateway lives.
const ACKNOWLEDGE_PAUSE: Duration = Duration::from_secs(10);

/// Longest line of the feed, in octets: a change of 50,000 subjects.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

const ANSWER_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_however_the_octets_arrive() {
        for size in 1..8 {
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for part in b"one\n\ntwo three\nfour".chunks(size) {
                lines.push(part);
                while let Some(line) = lines.next().expect("short lines") {
                    found.push(String::from_utf8(line.to_vec()).expect("text"));
                }
            }
            assert_eq!(found, ["one", "", "two three"], "in parts of {size}");
        }
    }
}
