//! When it is frozen: windows that come every week, and windows that come once.

use alloc::borrow::ToOwned;
use alloc::string::String;
use json::{Malformed, Reader};

use crate::instant::{self, MINUTES_A_DAY};

/// A time in which nothing is deployed.
#[derive(Debug)]
pub(crate) struct Window {
    when: When,
    /// Why, in the words of whoever set it.
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Clone, Copy)]
enum When {
    /// Begins on these days (bit 0: Monday), so many minutes after midnight, and lasts so long.
    Weekly { days: u8, from: i64, minutes: i64 },
    /// From the first to just before the second, in milliseconds since the Unix epoch.
    Once { from_ms: i64, to_ms: i64 },
}

impl Window {
    /// Reads a window of the settings.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut days = None;
        let (mut from, mut to) = (None, None);
        let mut reason = None;
        reader.object(|reader, name| {
            match name {
                "days" => {
                    let mut mask = 0;
                    let mut known = true;
                    reader.strings(|day| match DAYS.iter().position(|own| *own == day) {
                        Some(index) => mask |= 1 << index,
                        None => known = false,
                    })?;
                    days = Some(known.then_some(mask).ok_or(Malformed)?);
                }
                "from" => from = Some(reader.string()?),
                "to" => to = Some(reader.string()?),
                "reason" => reason = Some((*reader.string()?).to_owned()),
                _ => return Err(Malformed),
            }
            Ok(())
        })?;
        let (from, to) = (from.ok_or(Malformed)?, to.ok_or(Malformed)?);
        let when = match days {
            Some(days) => When::weekly(days, &from, &to),
            None => When::once(&from, &to),
        };
        Ok(Self {
            when: when.ok_or(Malformed)?,
            reason,
        })
    }

    /// Returns when the window ends, if the time is in it. Milliseconds since the Unix epoch, both.
    pub(crate) fn end(&self, time_ms: i64) -> Option<i64> {
        match self.when {
            When::Once { from_ms, to_ms } => (from_ms..to_ms).contains(&time_ms).then_some(to_ms),
            When::Weekly { days, from, minutes } => {
                let in_week = (time_ms + EPOCH_IN_WEEK_MS).rem_euclid(DAY_MS * 7);
                let begun = (0..7).filter(|day| days & (1 << day) != 0);
                let ends = begun.filter_map(|day| {
                    let passed = (in_week - day * DAY_MS - from * MINUTE_MS).rem_euclid(DAY_MS * 7);
                    (passed < minutes * MINUTE_MS).then_some(time_ms - passed + minutes * MINUTE_MS)
                });
                ends.max()
            }
        }
    }
}

impl When {
    fn weekly(days: u8, from: &str, to: &str) -> Option<Self> {
        let (from, to) = (instant::time_of_day(from)?, instant::time_of_day(to)?);
        let minutes = if to > from {
            to - from
        } else {
            to + MINUTES_A_DAY - from
        };
        Some(Self::Weekly { days, from, minutes })
    }

    fn once(from: &str, to: &str) -> Option<Self> {
        let (from_ms, to_ms) = (instant::parse(from)?, instant::parse(to)?);
        Some(Self::Once { from_ms, to_ms })
    }
}

/// Returns when all windows around a time have ended, where one follows another, and why it is frozen; `None` if it is
/// in none of them.
pub(crate) fn frozen_until(windows: &[Window], time_ms: i64) -> Option<(i64, Option<&str>)> {
    let first = windows.iter().find(|window| window.end(time_ms).is_some())?;
    let mut until = time_ms;
    for _ in 0..FOLLOWING_MAX {
        match windows.iter().filter_map(|window| window.end(until)).max() {
            Some(end) => until = end,
            None => break,
        }
    }
    Some((until, first.reason.as_deref()))
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = MINUTE_MS * MINUTES_A_DAY;

/// The epoch was a Thursday.
const EPOCH_IN_WEEK_MS: i64 = 3 * DAY_MS;

/// Windows that are followed from one to the next: weekly ones might do so for ever.
const FOLLOWING_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(text: &str) -> Result<alloc::vec::Vec<Window>, Malformed> {
        let mut windows = alloc::vec::Vec::new();
        Reader::whole(text, |reader| {
            reader.array(|reader| {
                windows.push(Window::read(reader)?);
                Ok(())
            })
        })?;
        Ok(windows)
    }

    fn until(text: &str, time: &str) -> Option<String> {
        let windows = windows(text).unwrap();
        let (until, _) = frozen_until(&windows, instant::parse(time).unwrap())?;
        Some(instant::text(until))
    }

    #[test]
    fn a_weekly_window_holds_on_its_days_from_its_beginning_to_just_before_its_end() {
        // 2026-11-27 is a Friday.
        let fridays = r#"[{"days": ["fri"], "from": "16:00", "to": "24:00"}]"#;
        assert_eq!(until(fridays, "2026-11-27T15:59:59Z"), None);
        assert_eq!(
            until(fridays, "2026-11-27T16:00:00Z").as_deref(),
            Some("2026-11-28T00:00:00Z")
        );
        assert_eq!(
            until(fridays, "2026-11-27T23:59:59Z").as_deref(),
            Some("2026-11-28T00:00:00Z")
        );
        assert_eq!(until(fridays, "2026-11-28T00:00:00Z"), None);
        assert_eq!(until(fridays, "2026-11-26T17:00:00Z"), None);
    }

    #[test]
    fn a_weekly_window_that_ends_before_it_begins_ends_on_the_next_day() {
        let nights = r#"[{"days": ["sun"], "from": "22:00", "to": "06:00"}]"#;
        assert_eq!(
            until(nights, "2026-11-30T05:00:00Z").as_deref(),
            Some("2026-11-30T06:00:00Z")
        );
        assert_eq!(
            until(nights, "2026-11-29T22:00:00Z").as_deref(),
            Some("2026-11-30T06:00:00Z")
        );
        assert_eq!(until(nights, "2026-11-29T05:00:00Z"), None);
    }

    #[test]
    fn windows_that_follow_one_another_are_one_freeze() {
        let weekend = r#"[{"days": ["sat", "sun"], "from": "00:00", "to": "24:00"},
            {"days": ["mon"], "from": "00:00", "to": "08:00"}, {"days": ["fri"], "from": "16:00", "to": "24:00"}]"#;
        assert_eq!(
            until(weekend, "2026-11-27T18:00:00Z").as_deref(),
            Some("2026-11-30T08:00:00Z")
        );
        let always = r#"[{"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "from": "00:00", "to": "00:00"}]"#;
        assert!(until(always, "2026-11-27T18:00:00Z").is_some());
    }

    #[test]
    fn a_window_that_comes_once_holds_between_its_times() {
        let once = r#"[{"from": "2026-12-23T18:00:00+01:00", "to": "2027-01-04T08:00:00Z", "reason": "holidays"}]"#;
        assert_eq!(until(once, "2026-12-23T16:59:59Z"), None);
        assert_eq!(
            until(once, "2026-12-23T17:00:00Z").as_deref(),
            Some("2027-01-04T08:00:00Z")
        );
        let windows = windows(once).unwrap();
        let (_, reason) = frozen_until(&windows, instant::parse("2026-12-25T00:00:00Z").unwrap()).unwrap();
        assert_eq!(reason, Some("holidays"));
    }

    #[test]
    fn a_window_that_is_none_is_refused() {
        for text in [
            r#"[{}]"#,
            r#"[{"from": "08:00", "to": "09:00"}]"#,
            r#"[{"days": ["friday"], "from": "08:00", "to": "09:00"}]"#,
            r#"[{"days": ["fri"], "from": "08:00", "to": "25:00"}]"#,
            r#"[{"days": "fri", "from": "08:00", "to": "09:00"}]"#,
            r#"[{"days": ["fri"], "from": "08:00", "to": "09:00", "zone": "CET"}]"#,
        ] {
            assert_eq!(windows(text).err(), Some(Malformed), "{text}");
        }
    }
}
