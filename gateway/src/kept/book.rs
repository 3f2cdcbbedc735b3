//! The book: what is on the disk, and the order in which it comes there.
//!
//! Two files. `state` is what the cache held at a revision and each change since then; it is replaced by a new one when the
//! changes have become long. `confirmed` is the revision that the admin service was told of, and when the feed was last heard:
//! a state that is older than that revision is never taken up again, wherever it comes from.

use std::io;

use aws_lc_rs::error::Unspecified;
use feed::{Clock, Record};
use serde::{Deserialize, Serialize};

use super::disk::{Disk, Growing as _};
use super::seal::{self, HEAD_BYTES, Key, NotSealed, Purpose, SEAL_BYTES, Sealer};
use crate::cache::{Cache, Snapshot};
use crate::cache::{NotAnImage, change_part};

/// What a gateway keeps on a disk.
pub struct Book<D: Disk> {
    disk: D,
    key: Key,
    state: Option<State<D>>,
    confirmations: Option<Confirmations>,
}

/// A state that is written to.
pub struct State<D: Disk> {
    file: D::File,
    sealer: Sealer,
    revision: u64,
    /// Octets of the state as it was begun.
    whole_bytes: u64,
    /// Octets of changes since.
    change_bytes: u64,
}

/// What a gateway has told that it has applied, and on what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// The store that it followed.
    pub store: String,
    /// The revision.
    pub revision: u64,
    /// When the state was last known to be what the store held.
    pub heard: Moment,
}

/// A moment, by both clocks of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The time of day, in milliseconds since the Unix epoch.
    pub unix_ms: i64,
    /// By [`Clock::elapsed_ms`], in milliseconds.
    pub elapsed_ms: i64,
    /// In which life of the machine; empty when that is not known.
    pub boot: String,
}

/// What was found on a disk.
pub struct Found {
    /// What was confirmed before, if anything.
    pub confirmed: Option<Confirmed>,
    /// The state, if there is one.
    pub state: Result<Option<Restored>, Refused>,
}

/// A state that may be served from.
pub struct Restored {
    /// What the cache held.
    pub snapshot: Snapshot,
    /// How old it is at least, in milliseconds.
    pub age_ms: i64,
    /// What time of day it is at least, in milliseconds since the Unix epoch.
    pub unix_ms: i64,
}

/// Why a state is not taken up.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// A file cannot be read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(&'static str, #[source] io::Error),
    /// A file is not what this gateway wrote.
    #[error("{0}: {1}")]
    NotSealed(&'static str, #[source] NotSealed),
    /// What was sealed is no state.
    #[error("state: {0}")]
    NotAState(#[from] NotAnImage),
    /// There is a state, and nothing says what was confirmed.
    #[error("what was confirmed is missing")]
    Unconfirmed,
    /// The state is of another store.
    #[error("it is of store {found}; what was confirmed is of store {confirmed}")]
    OtherStore {
        /// The store that was followed.
        confirmed: String,
        /// The store of the state.
        found: String,
    },
    /// The state lacks what was confirmed.
    #[error("it is of revision {found}; revision {confirmed} was confirmed")]
    Older {
        /// The revision that was confirmed.
        confirmed: u64,
        /// The revision of the state.
        found: u64,
    },
    /// The state is older than any may be.
    #[error("it is {age_ms} ms old")]
    TooOld {
        /// How old.
        age_ms: i64,
    },
    /// The machine's clock is before the time at which the feed was last heard.
    #[error("this machine's clock is {by_ms} ms before the time at which the feed was last heard")]
    ClockBefore {
        /// By how much.
        by_ms: i64,
    },
}

struct Confirmations {
    /// What the file begins with.
    head: [u8; HEAD_BYTES],
    sealer: Sealer,
}

impl Moment {
    /// Returns the moment that a clock shows, in a life of the machine.
    pub fn now(clock: &Clock, boot: &str) -> Self {
        Self {
            unix_ms: clock.unix_ms(),
            elapsed_ms: clock.elapsed_ms(),
            boot: boot.to_owned(),
        }
    }

    /// Returns how long ago another moment was, at least, and what time of day it is now, at least.
    fn since(&self, then: &Self) -> Result<(i64, i64), Refused> {
        let by_day_ms = self.unix_ms.saturating_sub(then.unix_ms);
        let passed_ms = self.elapsed_ms.saturating_sub(then.elapsed_ms);
        // In one life of the machine a clock that nobody can set has measured it.
        if self.boot == then.boot && !self.boot.is_empty() && passed_ms >= 0 {
            return Ok((by_day_ms.max(passed_ms), then.unix_ms.saturating_add(passed_ms)));
        }
        if by_day_ms < -CLOCK_TOLERANCE_MS {
            return Err(Refused::ClockBefore { by_ms: -by_day_ms });
        }
        Ok((by_day_ms.max(0), self.unix_ms.max(then.unix_ms)))
    }
}

impl Refused {
    /// Returns whether the files should be put aside: no passing of time would make them good.
    fn is_lasting(&self) -> bool {
        match self {
            Self::NotSealed(..) | Self::NotAState(_) | Self::Unconfirmed | Self::OtherStore { .. } => true,
            Self::Older { .. } => true,
            Self::Unreadable(..) | Self::TooOld { .. } | Self::ClockBefore { .. } => false,
        }
    }
}

impl<D: Disk> Book<D> {
    /// Opens what is on a disk.
    pub fn new(disk: D, key: Key) -> Self {
        Self {
            disk,
            key,
            state: None,
            confirmations: None,
        }
    }

    /// Reads what an earlier process left. Nothing older than `age_ms_max` is taken up.
    pub fn find(&self, now: &Moment, age_ms_max: i64) -> Found {
        match self.confirmed() {
            Err(refused) => Found {
                confirmed: None,
                state: Err(refused),
            },
            Ok(confirmed) => Found {
                state: self.restore(confirmed.as_ref(), now, age_ms_max),
                confirmed,
            },
        }
    }

    /// Puts files aside that were refused for good, so that somebody can look at them. Returns whether it did.
    ///
    /// # Errors
    /// When they cannot be.
    pub fn put_aside(&self, refused: &Refused) -> io::Result<bool> {
        if !refused.is_lasting() {
            return Ok(false);
        }
        let is_confirmed = matches!(refused, Refused::NotSealed(CONFIRMED, _));
        let names = [(STATE, true), (CONFIRMED, is_confirmed)];
        for (name, _) in names.into_iter().filter(|(_, aside)| *aside) {
            if self.disk.read(name)?.is_some() {
                self.disk.rename(name, &format!("{name}.refused"))?;
            }
        }
        Ok(true)
    }

    fn confirmed(&self) -> Result<Option<Confirmed>, Refused> {
        let read = self.disk.read(CONFIRMED);
        let Some(mut octets) = read.map_err(|error| Refused::Unreadable(CONFIRMED, error))? else {
            return Ok(None);
        };
        let refused = |error| Refused::NotSealed(CONFIRMED, error);
        let opener = self.key.open(Purpose::Confirmed, &octets).map_err(refused)?;
        let numbered = octets.get_mut(HEAD_BYTES..).and_then(<[u8]>::split_first_chunk_mut);
        let (number, sealed) = numbered.ok_or(refused(NotSealed::Altered))?;
        let opened = opener.open(u64::from_le_bytes(*number), sealed).map_err(refused)?;
        let confirmed = serde_json::from_slice(opened);
        confirmed.map(Some).map_err(|_unreadable| refused(NotSealed::Altered))
    }

    fn restore(
        &self,
        confirmed: Option<&Confirmed>,
        now: &Moment,
        age_ms_max: i64,
    ) -> Result<Option<Restored>, Refused> {
        let read = self.disk.read(STATE);
        let Some(mut octets) = read.map_err(|error| Refused::Unreadable(STATE, error))? else {
            return Ok(None);
        };
        let refused = |error| Refused::NotSealed(STATE, error);
        let opener = self.key.open(Purpose::State, &octets).map_err(refused)?;
        let confirmed = confirmed.ok_or(Refused::Unconfirmed)?;
        let (age_ms, unix_ms) = now.since(&confirmed.heard)?;
        if age_ms > age_ms_max {
            return Err(Refused::TooOld { age_ms });
        }
        let sealed = seal::parts(&octets);
        let snapshot = Snapshot::of_image(&mut octets, &sealed, |number, part| {
            opener.open(number, part).map_err(|_altered| NotAnImage::Altered)
        })?;
        if snapshot.store() != confirmed.store {
            return Err(Refused::OtherStore {
                confirmed: confirmed.store.clone(),
                found: snapshot.store().to_owned(),
            });
        }
        if snapshot.revision() < confirmed.revision {
            return Err(Refused::Older {
                confirmed: confirmed.revision,
                found: snapshot.revision(),
            });
        }
        Ok(Some(Restored {
            snapshot,
            age_ms,
            unix_ms,
        }))
    }

    /// Returns whether a state is on the disk, and how far it reaches.
    pub fn revision(&self) -> Option<u64> {
        self.state.as_ref().map(|state| state.revision)
    }

    /// Returns how many octets the state takes.
    pub fn bytes(&self) -> u64 {
        let state = self.state.as_ref();
        state.map_or(0, |state| state.whole_bytes + state.change_bytes)
    }

    /// Returns whether the changes have become longer than what they change, so that a new state is due.
    pub fn is_long(&self) -> bool {
        let state = self.state.as_ref();
        state.is_some_and(|state| state.change_bytes > state.whole_bytes.max(CHANGE_BYTES_MIN))
    }

    /// Writes what a cache holds beside what is kept, for [`Book::adopt`]. `None` while it holds nothing. Takes a while.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(disk: &D, key: &Key, cache: &Cache) -> io::Result<Option<State<D>>> {
        let (head, mut sealer) = key.begin(Purpose::State).map_err(unspecified)?;
        let mut file = disk.create(FRESH)?;
        file.append(&head)?;
        let (mut sealed, mut whole_bytes) = (Vec::new(), 0);
        let revision = cache.image(|part| {
            sealed.clear();
            sealer.seal(part, &mut sealed).map_err(unspecified)?;
            whole_bytes += sealed.len() as u64;
            file.append(&sealed)
        })?;
        file.sync()?;
        Ok(revision.map(|revision| State {
            file,
            sealer,
            revision,
            whole_bytes,
            change_bytes: 0,
        }))
    }

    /// Puts a new state in the place of the one that is kept, with the changes that were made while it was written.
    ///
    /// # Errors
    /// When it cannot be written; or when a change is missing, so that it would not be what the cache held.
    pub fn adopt(&mut self, mut state: State<D>, since: &[(u64, Vec<Record>)]) -> io::Result<()> {
        for (revision, records) in since {
            state.append(*revision, records)?;
        }
        state.file.sync()?;
        self.disk.rename(FRESH, STATE)?;
        self.state = Some(state);
        Ok(())
    }

    /// Adds a change to the state, if one is kept.
    ///
    /// # Errors
    /// When it cannot be written, or is not the next one. Then no state is kept: [`Book::forget`] it.
    pub fn append(&mut self, revision: u64, records: &[Record]) -> io::Result<()> {
        match self.state.as_mut() {
            Some(state) => state.append(revision, records),
            None => Ok(()),
        }
    }

    /// Makes all changes outlive a loss of power.
    ///
    /// # Errors
    /// As [`Book::append`].
    pub fn sync(&mut self) -> io::Result<()> {
        self.state.as_mut().map_or(Ok(()), |state| state.file.sync())
    }

    /// Notes what may be confirmed from now on, durably: no older state is taken up again.
    ///
    /// # Errors
    /// When it cannot be written. Nothing newer may be confirmed then.
    pub fn confirm(&mut self, confirmed: &Confirmed) -> io::Result<()> {
        if self.confirmations.is_none() {
            let (head, sealer) = self.key.begin(Purpose::Confirmed).map_err(unspecified)?;
            self.confirmations = Some(Confirmations { head, sealer });
        }
        // It was made just above.
        let Some(Confirmations { head, sealer }) = &mut self.confirmations else {
            return Ok(());
        };
        let mut text = serde_json::to_vec(confirmed)?;
        if text.len() > CONFIRMED_TEXT_BYTES {
            return Err(io::Error::other("the name of the store is too long"));
        }
        // One length for all, so that one is written over the other in one sector. Blanks behind it are none of JSON's.
        text.resize(CONFIRMED_TEXT_BYTES, b' ');
        let mut octets = head.to_vec();
        octets.extend_from_slice(&sealer.number().to_le_bytes());
        sealer.seal_bare(&text, &mut octets).map_err(unspecified)?;
        self.disk.overwrite(CONFIRMED, &octets)
    }

    /// Keeps no state any more: what is on the disk is removed.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn forget(&mut self) -> io::Result<()> {
        self.state = None;
        self.disk.remove(FRESH)?;
        self.disk.remove(STATE)
    }
}

impl<D: Disk> State<D> {
    fn append(&mut self, revision: u64, records: &[Record]) -> io::Result<()> {
        if revision <= self.revision {
            return Ok(());
        }
        if revision != self.revision + 1 {
            return Err(io::Error::other(format!(
                "a change is missing between {} and {revision}",
                self.revision
            )));
        }
        let mut sealed = Vec::new();
        let part = change_part(revision, records)?;
        self.sealer.seal(&part, &mut sealed).map_err(unspecified)?;
        self.file.append(&sealed)?;
        self.revision = revision;
        self.change_bytes += sealed.len() as u64;
        Ok(())
    }
}

/// Name of the state, of what was confirmed, and of a state that is not whole yet.
const STATE: &str = "state";
const CONFIRMED: &str = "confirmed";
const FRESH: &str = "state.fresh";

/// Length of the text of what was confirmed: the file fits a sector of 512 octets.
const CONFIRMED_TEXT_BYTES: usize = 512 - HEAD_BYTES - 8 - SEAL_BYTES;

/// By how much a clock may be before the moment at which the feed was last heard, when the machine was started since: NTP
/// sets clocks right by less.
const CLOCK_TOLERANCE_MS: i64 = 5_000;

/// Changes that are kept beside a state, however small it is.
const CHANGE_BYTES_MIN: u64 = 4 * 1024 * 1024;

fn unspecified(_: Unspecified) -> io::Error {
    io::Error::other("sealing failed")
}
