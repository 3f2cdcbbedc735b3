//! When a new token ends: as a time, or as a duration from now.

use chrono::{DateTime, Datelike as _, SecondsFormat, Utc};
use feed::Clock;

use super::error::Error;

/// Returns a time in the API's form. One that is written so already stays as it is; an offset is turned into UTC.
///
/// # Errors
/// [`Error::Expiry`] when it is no time, or past.
pub(super) fn at(text: &str, clock: &Clock) -> Result<String, Error> {
    let Ok(time) = DateTime::parse_from_rfc3339(text) else {
        return Err(Error::Expiry(format!(
            "{text:?} is not a time such as 2030-12-31T00:00:00Z"
        )));
    };
    if time.timestamp_millis() <= clock.unix_ms() {
        return Err(Error::Expiry(format!("{text} is past: the token could never be used")));
    }
    // The API takes no fraction, or one of three digits.
    let fraction = if time.timestamp_subsec_millis() == 0 {
        SecondsFormat::Secs
    } else {
        SecondsFormat::Millis
    };
    let in_utc = time.with_timezone(&Utc).to_rfc3339_opts(fraction, true);
    let as_written = in_utc == text
        || text
            .strip_suffix(".000Z")
            .is_some_and(|seconds| in_utc.strip_suffix('Z') == Some(seconds));
    Ok(if as_written { text.to_owned() } else { in_utc })
}

/// Returns the time that is a duration from now, in whole seconds.
///
/// # Errors
/// [`Error::Expiry`] when it is no duration, nothing, or ends after the year 9999.
pub(super) fn after(text: &str, clock: &Clock) -> Result<String, Error> {
    let now = DateTime::from_timestamp_millis(clock.unix_ms());
    let end = seconds(text)
        .zip(now)
        .and_then(|(seconds, now)| now.checked_add_signed(seconds));
    // RFC 3339 has four digits for the year.
    match end.filter(|end| end.year() <= 9999) {
        Some(end) => Ok(end.to_rfc3339_opts(SecondsFormat::Secs, true)),
        None => Err(Error::Expiry(format!(
            "{text:?} is not a duration such as 90d, 12h or 30m"
        ))),
    }
}

fn seconds(text: &str) -> Option<chrono::TimeDelta> {
    let unit = text.chars().last()?;
    let number = text.strip_suffix(unit)?;
    let in_unit = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    let digits_only = number.bytes().all(|b| b.is_ascii_digit());
    let number: i64 = number.parse().ok().filter(|number| digits_only && *number > 0)?;
    chrono::TimeDelta::try_seconds(number.checked_mul(in_unit)?)
}

/// Units of durations, in seconds. A day is 24 hours.
const UNITS: [(char, i64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

#[cfg(test)]
mod tests {
    use super::*;

    /// 2023-11-14T22:13:20.500Z
    fn clock() -> Clock {
        Clock::manual(1_700_000_000_500)
    }

    #[test]
    fn a_duration_counts_from_the_clock() {
        for (text, expected) in [
            ("90d", "2024-02-12T22:13:20Z"),
            ("12h", "2023-11-15T10:13:20Z"),
            ("30m", "2023-11-14T22:43:20Z"),
            ("45s", "2023-11-14T22:14:05Z"),
        ] {
            assert_eq!(after(text, &clock()).expect("a time"), expected, "{text}");
        }
        let later = clock();
        later.advance_ms(3_600_000);
        assert_eq!(after("12h", &later).expect("a time"), "2023-11-15T11:13:20Z");
    }

    #[test]
    fn what_is_no_duration_is_a_usage_error() {
        for text in [
            "",
            "d",
            "90",
            "0d",
            "-1d",
            "+1d",
            "1.5h",
            "1w",
            "1d2h",
            " 1d",
            "1ä",
            "9999999d",
            "9223372036854775807d",
        ] {
            let error = after(text, &clock()).expect_err(text);
            assert_eq!(error.exit_code(), 64, "{text}");
        }
    }

    #[test]
    fn a_time_is_sent_as_it_was_written_unless_it_has_an_offset() {
        for (text, expected) in [
            ("2030-12-31T00:00:00Z", "2030-12-31T00:00:00Z"),
            ("2030-12-31T00:00:00.000Z", "2030-12-31T00:00:00.000Z"),
            ("2030-12-31T00:00:00.250Z", "2030-12-31T00:00:00.250Z"),
            ("2030-12-31T02:00:00+02:00", "2030-12-31T00:00:00Z"),
            ("2030-12-31T00:00:00.25Z", "2030-12-31T00:00:00.250Z"),
        ] {
            assert_eq!(at(text, &clock()).expect("a time"), expected);
        }
    }

    #[test]
    fn a_time_that_is_past_or_none_is_a_usage_error() {
        for text in [
            "2023-11-14T22:13:20.500Z",
            "2020-01-01T00:00:00Z",
            "2030-12-31",
            "tomorrow",
            "",
        ] {
            assert_eq!(at(text, &clock()).expect_err(text).exit_code(), 64, "{text}");
        }
        assert!(at("2023-11-14T22:13:20.501Z", &clock()).is_ok());
    }
}
