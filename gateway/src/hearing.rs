//! Hearing: of which moment the data is, as the feed has proven it.
//!
//! A feed's opening answers a question of this gateway, so what it tells was so after the question: that moment is known
//! by our own clock, which nobody can set. A heartbeat tells the store's time; it was so as much later than the opening as
//! the two times differ. So a frame that was held back, or is sent again, shows an old moment, however late it comes.

use feed::{Clock, Frame};

/// What one feed shows.
pub(crate) struct Hearing {
    clock: Clock,
    /// When the opening was asked for, by [`Clock::elapsed_ms`].
    asked_ms: i64,
    /// The time that the opening told, by the store's clock in milliseconds.
    told_ms: i64,
    /// A moment by the same clock, and the revision whose state was the newest then.
    newest: Option<(i64, u64)>,
}

/// What a heartbeat shows is older than it can be on a feed that flows.
#[derive(Debug, thiserror::Error)]
#[error("what the feed tells is {late_ms} ms old")]
pub(crate) struct Late {
    late_ms: i64,
}

impl Hearing {
    /// Begins at the moment at which a feed is asked for.
    pub(crate) fn asked(clock: Clock) -> Self {
        Self {
            asked_ms: clock.elapsed_ms(),
            clock,
            told_ms: 0,
            newest: None,
        }
    }

    /// Takes a frame that is vouched for.
    ///
    /// # Errors
    /// [`Late`]: the feed has to be asked for anew, which shows whether it was held back or one of the clocks was set.
    pub(crate) fn take(&mut self, frame: &Frame) -> Result<(), Late> {
        match frame {
            Frame::Opening { revision, unix_ms, .. } => {
                self.told_ms = *unix_ms;
                self.newest = Some((self.asked_ms, *revision));
            }
            Frame::Heartbeat { revision, unix_ms } => {
                let now_ms = self.clock.elapsed_ms();
                let since = unix_ms.saturating_sub(self.told_ms);
                let moment = self.asked_ms.saturating_add(since).min(now_ms);
                let late_ms = now_ms.saturating_sub(moment);
                if late_ms > LATE_MS_MAX {
                    return Err(Late { late_ms });
                }
                self.newest = Some((moment, *revision));
            }
            Frame::SnapshotBegin { .. } | Frame::Record { .. } | Frame::SnapshotEnd { .. } | Frame::Change { .. } => {}
        }
        Ok(())
    }

    /// Returns the moment at which data of this revision is shown to have been the newest, once.
    pub(crate) fn shown(&mut self, revision: u64) -> Option<i64> {
        let (moment, _) = self.newest.take_if(|(_, newest)| *newest <= revision)?;
        Some(moment)
    }
}

/// How much older than its arrival a heartbeat may be: three of them, below the silence after which a feed is given up.
const LATE_MS_MAX: i64 = 3000;

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(revision: u64, unix_ms: i64) -> Frame {
        Frame::Opening {
            store: "store".to_owned(),
            revision,
            unix_ms,
            resumes: true,
            nonce: "nonce".to_owned(),
        }
    }

    fn heartbeat(revision: u64, unix_ms: i64) -> Frame {
        Frame::Heartbeat { revision, unix_ms }
    }

    #[test]
    fn an_opening_shows_the_moment_at_which_it_was_asked_for_once_its_revision_is_there() {
        let clock = Clock::manual(10_000);
        let asked_ms = clock.elapsed_ms();
        let mut hearing = Hearing::asked(clock.clone());
        clock.advance_ms(400);
        hearing.take(&opening(7, 777_000)).expect("an opening is never late");
        assert_eq!(hearing.shown(6), None);
        assert_eq!(hearing.shown(7), Some(asked_ms));
        assert_eq!(hearing.shown(7), None, "it is shown once");
    }

    #[test]
    fn a_heartbeat_shows_its_own_moment_and_not_that_of_its_arrival() {
        let clock = Clock::manual(10_000);
        let asked_ms = clock.elapsed_ms();
        let mut hearing = Hearing::asked(clock.clone());
        hearing.take(&opening(7, 777_000)).expect("it is taken");
        clock.advance_ms(5000);
        hearing.take(&heartbeat(7, 780_000)).expect("it is taken");
        assert_eq!(hearing.shown(7), Some(asked_ms + 3000));
        // A clock of the store that runs ahead cannot show the future.
        hearing.take(&heartbeat(8, 900_000)).expect("it is taken");
        assert_eq!(hearing.shown(8), Some(asked_ms + 5000));
    }

    #[test]
    fn heartbeats_that_were_held_back_end_the_feed() {
        let clock = Clock::manual(10_000);
        let mut hearing = Hearing::asked(clock.clone());
        hearing.take(&opening(7, 777_000)).expect("it is taken");
        clock.advance_ms(5000);
        hearing.take(&heartbeat(7, 779_000)).expect("three seconds are taken");
        hearing.take(&heartbeat(7, 778_999)).expect_err("more are not");
    }
}
