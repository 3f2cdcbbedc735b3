//! Moments: times as people read them. A page says them in UTC, exactly; the browser puts them into its own zone.

use chrono::{DateTime, Utc};

/// A time on a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Moment {
    /// As it is in the API: RFC 3339.
    pub iso: String,
    /// The exact time in UTC, for people.
    pub exact: String,
    /// The same to the minute.
    pub short: String,
    unix_ms: i64,
}

impl Moment {
    /// Reads a time of the API.
    pub(super) fn read(text: &str) -> Option<Self> {
        let time = DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc);
        Some(Self::at(time, text.to_owned()))
    }

    /// Returns a time of the store.
    pub(super) fn of_ms(unix_ms: i64) -> Self {
        let time = DateTime::from_timestamp_millis(unix_ms).unwrap_or_default();
        Self::at(time, time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
    }

    fn at(time: DateTime<Utc>, iso: String) -> Self {
        Self {
            iso,
            exact: time.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
            short: time.format("%-d %b %Y, %H:%M UTC").to_string(),
            unix_ms: time.timestamp_millis(),
        }
    }

    /// Returns how far it is from a moment, in words: `in 5 days`, `3 hours ago`.
    pub(super) fn relative(&self, now_ms: i64) -> String {
        let apart = distance(self.unix_ms.abs_diff(now_ms));
        match self.unix_ms > now_ms {
            true => format!("in {apart}"),
            false => format!("{apart} ago"),
        }
    }

    /// Returns whether it is over.
    pub(super) fn is_over(&self, now_ms: i64) -> bool {
        self.unix_ms <= now_ms
    }

    /// Returns how many whole days are left.
    pub(super) fn days_left(&self, now_ms: i64) -> i64 {
        self.unix_ms.saturating_sub(now_ms) / DAY_MS
    }
}

pub(super) const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn distance(ms: u64) -> String {
    let minutes = ms / 60_000;
    let (number, unit) = match minutes {
        0 => return "less than a minute".to_owned(),
        1..60 => (minutes, "minute"),
        60..2880 => (minutes / 60, "hour"),
        2880..86_400 => (minutes / 1440, "day"),
        86_400..1_051_200 => (minutes / 43_200, "month"),
        _ => (minutes / 525_600, "year"),
    };
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_told_in_one_unit() {
        let now = Moment::of_ms(1_767_225_600_000);
        for (ms, expected) in [
            (1_000, "in less than a minute"),
            (60_000, "in 1 minute"),
            (3_600_000, "in 1 hour"),
            (47 * 3_600_000, "in 47 hours"),
            (90 * DAY_MS, "in 3 months"),
            (800 * DAY_MS, "in 2 years"),
            (-5 * DAY_MS, "5 days ago"),
        ] {
            let then = Moment::of_ms(now.unix_ms + ms);
            assert_eq!(then.relative(now.unix_ms), expected);
        }
    }
}
