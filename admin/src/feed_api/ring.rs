//! The ring: the newest changes and the newest heartbeat as signed lines, once in memory for all feeds.
//!
//! Each feed remembers how far it has told and takes what comes after; none waits for another. One that is further
//! behind than the ring reaches reads the change log itself.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use bytes::BytesMut;
use tokio::sync::watch;

/// Lines of the newest changes, and the newest heartbeat.
#[derive(Debug)]
pub(super) struct Ring {
    state: Mutex<State>,
    /// Tells that there is something new.
    moved: watch::Sender<()>,
    bytes_max: usize,
}

#[derive(Debug)]
struct State {
    /// Without gaps; the last is of revision `last`.
    changes: VecDeque<Bytes>,
    bytes: usize,
    last: u64,
    heartbeat: Option<Heartbeat>,
}

#[derive(Debug, Clone)]
struct Heartbeat {
    number: u64,
    revision: u64,
    unix_ms: i64,
    line: Bytes,
}

/// What a feed has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    /// Changes up to this revision.
    pub revision: u64,
    /// The time of its opening: what is older is not told.
    pub since_ms: i64,
    /// Heartbeats up to this one.
    heartbeat: u64,
}

/// What a feed is to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Tell these lines.
    Tell(Bytes),
    /// Wait for [`Ring::moved`].
    Wait,
    /// Read the change log: the ring does not reach back so far.
    Behind,
}

impl Told {
    /// Begins at a time, with all changes up to a revision known.
    pub(super) fn opened(since_ms: i64, revision: u64) -> Self {
        Self {
            revision,
            since_ms,
            heartbeat: 0,
        }
    }
}

impl Ring {
    /// Returns an empty ring behind a revision, which keeps at most so many octets of changes, and at least one.
    pub(super) fn after(revision: u64, bytes_max: usize) -> Self {
        let state = State {
            changes: VecDeque::new(),
            bytes: 0,
            last: revision,
            heartbeat: None,
        };
        Self {
            state: Mutex::new(state),
            moved: watch::Sender::new(()),
            bytes_max,
        }
    }

    /// Returns the revision of the last change.
    pub(super) fn last(&self) -> u64 {
        self.lock().last
    }

    /// Returns what tells when there is something new.
    pub(super) fn moved(&self) -> watch::Receiver<()> {
        self.moved.subscribe()
    }

    /// Takes the changes that come next, the last of them of this revision, and forgets the oldest.
    pub(super) fn push(&self, lines: Vec<Bytes>, last: u64) {
        let mut state = self.lock();
        state.bytes += lines.iter().map(Bytes::len).sum::<usize>();
        state.changes.extend(lines);
        state.last = last;
        while state.bytes > self.bytes_max && state.changes.len() > 1 {
            let oldest = state.changes.pop_front().map_or(0, |line| line.len());
            state.bytes -= oldest;
        }
        drop(state);
        self.moved.send_replace(());
    }

    /// Takes a heartbeat, which tells of the revision of the last change.
    pub(super) fn beat(&self, unix_ms: i64, line: Bytes) {
        let mut state = self.lock();
        let number = state.heartbeat.as_ref().map_or(1, |before| before.number + 1);
        state.heartbeat = Some(Heartbeat {
            number,
            revision: state.last,
            unix_ms,
            line,
        });
        drop(state);
        self.moved.send_replace(());
    }

    /// Forgets all changes: the next one comes after this revision.
    pub(super) fn restart(&self, revision: u64) {
        let mut state = self.lock();
        state.changes.clear();
        state.bytes = 0;
        state.last = revision;
    }

    /// Returns what comes after what was told, and notes it as told: changes first, then a heartbeat.
    pub(super) fn next(&self, told: &mut Told) -> Next {
        let state = self.lock();
        let mut lines = BytesMut::new();
        if told.revision < state.last {
            let missing = usize::try_from(state.last - told.revision).unwrap_or(usize::MAX);
            let Some(known) = state.changes.len().checked_sub(missing) else {
                return Next::Behind;
            };
            for line in state.changes.range(known..) {
                if !lines.is_empty() && lines.len() + line.len() > CHUNK_BYTES_MAX {
                    return Next::Tell(lines.freeze());
                }
                lines.extend_from_slice(line);
                told.revision += 1;
            }
        }
        match state.unheard(told) {
            Some(line) if lines.is_empty() => return Next::Tell(line),
            Some(line) => lines.extend_from_slice(&line),
            None if lines.is_empty() => return Next::Wait,
            None => {}
        }
        Next::Tell(lines.freeze())
    }

    /// Returns a heartbeat that has not been told, for a feed that has nothing else to tell yet.
    pub(super) fn heartbeat(&self, told: &mut Told) -> Option<Bytes> {
        self.lock().unheard(told)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn unheard(&self, told: &mut Told) -> Option<Bytes> {
        let heartbeat = self.heartbeat.as_ref()?;
        // One from before the opening, or from before what was told, says nothing.
        let old = heartbeat.unix_ms < told.since_ms || heartbeat.revision < told.revision;
        if heartbeat.number <= told.heartbeat || old {
            return None;
        }
        told.heartbeat = heartbeat.number;
        Some(heartbeat.line.clone())
    }
}

/// Longest piece that is told at once, unless one change is longer.
const CHUNK_BYTES_MAX: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64) -> Bytes {
        Bytes::from(format!("change {number}\n"))
    }

    fn tells(ring: &Ring, told: &mut Told) -> String {
        match ring.next(told) {
            Next::Tell(lines) => String::from_utf8(lines.to_vec()).expect("text"),
            other @ (Next::Wait | Next::Behind) => format!("{other:?}"),
        }
    }

    #[test]
    fn each_feed_takes_what_comes_after_what_it_has_told() {
        let ring = Ring::after(4, 1000);
        let (mut one, mut other) = (Told::opened(0, 4), Told::opened(0, 6));
        assert_eq!(tells(&ring, &mut one), "Wait");
        ring.push(vec![line(5), line(6)], 6);
        assert_eq!(tells(&ring, &mut one), "change 5\nchange 6\n");
        assert_eq!(tells(&ring, &mut other), "Wait");
        ring.push(vec![line(7)], 7);
        assert_eq!(tells(&ring, &mut one), "change 7\n");
        assert_eq!(tells(&ring, &mut other), "change 7\n");
        assert_eq!((one.revision, other.revision), (7, 7));
    }

    #[test]
    fn the_ring_keeps_its_size_and_a_feed_behind_it_is_told_so() {
        let ring = Ring::after(0, 30);
        for number in 1..=1000 {
            ring.push(vec![line(number)], number);
        }
        assert!(ring.lock().bytes <= 30, "{:?}", ring.lock());
        assert_eq!(tells(&ring, &mut Told::opened(0, 997)), "Behind");
        assert_eq!(tells(&ring, &mut Told::opened(0, 998)), "change 999\nchange 1000\n");
        ring.push(vec![Bytes::from(vec![b'x'; 100])], 1001);
        assert_eq!(
            tells(&ring, &mut Told::opened(0, 1000)).len(),
            100,
            "one is always kept"
        );
        ring.restart(1005);
        assert_eq!(tells(&ring, &mut Told::opened(0, 1004)), "Behind");
        assert_eq!(tells(&ring, &mut Told::opened(0, 1005)), "Wait");
    }

    #[test]
    fn a_heartbeat_comes_after_the_changes_once_and_never_from_before_the_opening() {
        let ring = Ring::after(0, 1000);
        ring.beat(500, Bytes::from_static(b"beat 500\n"));
        let mut told = Told::opened(600, 0);
        assert_eq!(tells(&ring, &mut told), "Wait");
        ring.push(vec![line(1)], 1);
        ring.beat(600, Bytes::from_static(b"beat 600\n"));
        assert_eq!(tells(&ring, &mut told), "change 1\nbeat 600\n");
        assert_eq!(tells(&ring, &mut told), "Wait");
        ring.push(vec![line(2)], 2);
        assert_eq!(
            tells(&ring, &mut Told::opened(0, 1)),
            "change 2\n",
            "and none from before a change"
        );
        assert_eq!(
            ring.heartbeat(&mut Told::opened(0, 0)),
            Some(Bytes::from_static(b"beat 600\n"))
        );
    }
}
