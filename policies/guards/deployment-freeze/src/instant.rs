//! Times as text: RFC 3339 to the second, and times of day.

use alloc::format;
use alloc::string::String;

/// Reads an RFC 3339 time without fractions, as milliseconds since the Unix epoch.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once('T')?;
    let mut numbers = date.split('-').map(number);
    let (year, month, day) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let within = year <= 9999 && (1..=12).contains(&month) && (1..=31).contains(&day);
    let (time, zone) = rest.split_at_checked(8)?;
    let minutes = time_of_day(time.get(..5)?)?;
    let seconds = number(time[5..].strip_prefix(':')?)?;
    let offset = match zone.split_at_checked(1)? {
        ("Z", "") => 0,
        ("+", ahead) => time_of_day(ahead)?,
        ("-", behind) => -time_of_day(behind)?,
        _ => return None,
    };
    let whole = (days(year, month, day) * MINUTES_A_DAY + minutes - offset) * 60 + seconds;
    (within && seconds < 60).then_some(whole * 1_000)
}

/// Reads `HH:MM` as minutes since midnight; `24:00` is the day's end.
pub(crate) fn time_of_day(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let within = (hours < 24 && minutes < 60) || (hours, minutes) == (24, 0);
    within.then_some(hours * 60 + minutes)
}

/// Writes milliseconds since the Unix epoch as RFC 3339, in UTC.
pub(crate) fn text(time_ms: i64) -> String {
    let seconds = time_ms.div_euclid(1_000);
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Minutes in a day.
pub(crate) const MINUTES_A_DAY: i64 = 1_440;

/// Reads digits and nothing else.
fn number(text: &str) -> Option<i64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Returns the days since the Unix epoch. Years begin in March here, so that the leap day is the last one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - DAYS_TO_EPOCH
}

/// Returns year, month and day of a day since the Unix epoch.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_TO_EPOCH;
    let (era, day) = (days.div_euclid(DAYS_IN_400_YEARS), days.rem_euclid(DAYS_IN_400_YEARS));
    let year = (day - day / 1_460 + day / 36_524 - day / (DAYS_IN_400_YEARS - 1)) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year;
    if month < 10 {
        (year, month + 3, day)
    } else {
        (year + 1, month - 9, day)
    }
}

/// Days from 1 March of the year 0 to the Unix epoch.
const DAYS_TO_EPOCH: i64 = 719_468;

const DAYS_IN_400_YEARS: i64 = 146_097;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_and_written_as_the_same() {
        for (written, time_ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59Z", -1_000),
            ("2000-02-29T12:00:00Z", 951_825_600_000),
            ("2026-11-24T15:33:17Z", 1_795_534_397_000),
            ("2100-03-01T00:00:00Z", 4_107_542_400_000),
        ] {
            assert_eq!(parse(written), Some(time_ms), "{written}");
            assert_eq!(text(time_ms), written);
        }
        for day in -800_000..800_000_i64 {
            let (year, month, of_month) = civil(day);
            assert_eq!(days(year, month, of_month), day);
        }
    }

    #[test]
    fn an_offset_is_taken_off() {
        let noon = parse("2026-12-24T12:00:00Z");
        assert_eq!(parse("2026-12-24T13:30:00+01:30"), noon);
        assert_eq!(parse("2026-12-24T04:00:00-08:00"), noon);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026-12-24",
            "2026-12-24T12:00Z",
            "2026-12-24T12:00:00",
            "2026-13-24T12:00:00Z",
            "2026-12-24T25:00:00Z",
            "2026-12-24T12:00:60Z",
            "2026-12-24 12:00:00Z",
            "2026-12-24T12:00:00+1",
            "-2026-12-24T12:00:00Z",
            "2026-12-24T12:00:00Zx",
            "2026-12-24T12:0ä:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        for text in ["", "8", "08", "24:01", "8:60", "-1:00", "+1:00", "a:b"] {
            assert_eq!(time_of_day(text), None, "{text}");
        }
    }
}
