//! Fields: what the values that clients send may be.

use catalogue::segment::is_identifier;
use chrono::{NaiveDate, NaiveDateTime};
use feed::Thumbprint;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::error::ApiError;

/// A point in time as a client wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expiry {
    /// As it was written.
    pub text: String,
    /// Milliseconds since the Unix epoch.
    pub unix_ms: i64,
}

/// Returns a field that must be there.
pub(super) fn required(name: &'static str, value: Option<String>) -> Result<String, ApiError> {
    value.ok_or(ApiError::Field {
        name,
        rule: "must be given",
    })
}

/// Reads a member that may be `null`, apart from one that is absent.
pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    member: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(member).map(Some)
}

/// Checks a name that people give: 1 to 100 printable characters of any script, not only spaces.
pub(super) fn check_name(name: &'static str, value: &str) -> Result<(), ApiError> {
    let printable = printable(value, NAME_CHARS_MAX) && !value.trim().is_empty();
    holds(printable, name, "1 to 100 printable characters")
}

/// Checks a description: up to 1000 printable characters.
pub(super) fn check_description(value: &str) -> Result<(), ApiError> {
    let printable = value.is_empty() || printable(value, DESCRIPTION_CHARS_MAX);
    holds(printable, "description", "at most 1000 printable characters")
}

/// Returns an address that looks like one; an empty text is no address.
pub(super) fn email(value: Option<String>) -> Result<Option<String>, ApiError> {
    let value = value.filter(|value| !value.is_empty());
    let valid = value.as_deref().is_none_or(|value| {
        let parts = value.rsplit_once('@');
        let whole = parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
        whole && printable(value, EMAIL_CHARS_MAX) && !value.contains(char::is_whitespace)
    });
    holds(valid, "email", "an email address")?;
    Ok(value)
}

/// Checks the id of a token: 1 to 100 printable characters that can be written into a path and found there again.
///
/// `/` would end the segment; `.` and `..` are dot segments; an encoded `%` or `\` is refused at the gateway's door,
/// since readers of paths differ about it.
pub(super) fn check_token_id(value: &str) -> Result<(), ApiError> {
    let addressable = !value.contains(['/', '%', '\\']) && !matches!(value, "." | "..");
    let valid = addressable && printable(value, NAME_CHARS_MAX);
    holds(valid, "id", "1 to 100 printable characters, none of / % \\")
}

/// Checks the id of a guard, which has the form of a policy's name.
pub(super) fn check_guard_id(value: &str) -> Result<(), ApiError> {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let valid = (1..=GUARD_ID_BYTES_MAX).contains(&value.len())
        && value.as_bytes()[0].is_ascii_alphabetic()
        && value.bytes().all(inner);
    holds(
        valid,
        "id",
        "a letter followed by letters, digits and hyphens, 60 at most",
    )
}

/// Checks the name of a gateway, which is a segment of paths and a label of metrics.
pub(super) fn check_gateway_name(value: &str) -> Result<(), ApiError> {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let valid = (1..=GATEWAY_NAME_BYTES_MAX).contains(&value.len())
        && value.as_bytes()[0].is_ascii_alphanumeric()
        && value.bytes().all(inner);
    holds(
        valid,
        "name",
        "a letter or digit followed by letters, digits and - _ ., 100 at most",
    )
}

/// Checks the id of an identity provider.
pub(super) fn check_idp_id(value: &str) -> Result<(), ApiError> {
    holds(is_identifier(value), "idp_id", "an identifier")
}

/// Reads an expiry, which must be a date of the future: `YYYY-MM-DDTHH:MM:SSZ`, with or without three fraction digits.
pub(super) fn expiry(text: String, now_ms: i64) -> Result<Expiry, ApiError> {
    let unix_ms = parse_timestamp(&text).filter(|unix_ms| *unix_ms > now_ms);
    let unix_ms = unix_ms.ok_or(ApiError::Field {
        name: "expires_at",
        rule: "a time in the future, as YYYY-MM-DDTHH:MM:SSZ or YYYY-MM-DDTHH:MM:SS.mmmZ",
    })?;
    Ok(Expiry { text, unix_ms })
}

/// Reads what must come with a token: the thumbprint of a client certificate, and nothing else, since nothing else would be
/// asked for.
pub(super) fn certificate(cnf: &Value) -> Result<Thumbprint, ApiError> {
    let members = cnf.as_object().filter(|members| members.len() == 1);
    let text = members.and_then(|members| members.get(CERTIFICATE)?.as_str());
    text.and_then(|text| text.parse().ok()).ok_or(ApiError::Field {
        name: "cnf",
        rule: "{\"x5t#S256\": the SHA-256 of a certificate in DER, 43 characters of base64url}",
    })
}

/// The member of `cnf` for the thumbprint of a certificate, RFC 8705 §3.1.
pub(super) const CERTIFICATE: &str = "x5t#S256";

/// Writes a time in the API's form, `YYYY-MM-DDTHH:MM:SS.mmmZ`.
pub(super) fn timestamp(unix_ms: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(unix_ms).unwrap_or_default();
    time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Longest name or token id, in characters (design: tokens).
const NAME_CHARS_MAX: usize = 100;

/// Longest id of a guard: a policy's name with a number behind it.
const GUARD_ID_BYTES_MAX: usize = 60;

/// Longest name of a gateway, in octets.
const GATEWAY_NAME_BYTES_MAX: usize = 100;

const DESCRIPTION_CHARS_MAX: usize = 1000;

/// RFC 5321 §4.5.3.1.3: a path is at most 256 octets, two of them the brackets.
const EMAIL_CHARS_MAX: usize = 254;

fn holds(valid: bool, name: &'static str, rule: &'static str) -> Result<(), ApiError> {
    if valid {
        Ok(())
    } else {
        Err(ApiError::Field { name, rule })
    }
}

fn printable(value: &str, chars_max: usize) -> bool {
    (1..=chars_max).contains(&value.chars().count()) && !value.chars().any(is_unprintable)
}

/// Control characters, and those that hide text or turn its direction, so that a name cannot look like another's.
fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}')
        || matches!(character, '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{FFFE}' | '\u{FFFF}' | '\u{E0000}'..='\u{E007F}')
}

fn parse_timestamp(text: &str) -> Option<i64> {
    let shape = |pattern: &[u8]| {
        let digit_or_same = |(own, mark): (&u8, &u8)| {
            if *mark == b'0' {
                own.is_ascii_digit()
            } else {
                own == mark
            }
        };
        text.len() == pattern.len() && text.as_bytes().iter().zip(pattern).all(digit_or_same)
    };
    if !shape(b"0000-00-00T00:00:00Z") && !shape(b"0000-00-00T00:00:00.000Z") {
        return None;
    }
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u32>().ok();
    let date = NaiveDate::from_ymd_opt(i32::try_from(number(0..4)?).ok()?, number(5..7)?, number(8..10)?)?;
    let millis = if text.len() == 24 { number(20..23)? } else { 0 };
    let time: NaiveDateTime = date.and_hms_milli_opt(number(11..13)?, number(14..16)?, number(17..19)?, millis)?;
    Some(time.and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_only_in_its_two_forms() {
        let good = [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.001Z", 1),
            ("2024-02-29T23:59:59.999Z", 1_709_251_199_999),
            ("9999-12-31T23:59:59Z", 253_402_300_799_000),
        ];
        for (text, unix_ms) in good {
            assert_eq!(parse_timestamp(text), Some(unix_ms), "{text}");
        }
        let bad = [
            "",
            "2024-02-29",
            "2024-02-29T23:59:59",
            "2024-02-29T23:59:59z",
            "2024-02-29 23:59:59Z",
            "2024-02-29T23:59:59+00:00",
            "2024-02-29T23:59:59.9Z",
            "2024-02-29T23:59:59.99Z",
            "2024-02-29T23:59:59.9999Z",
            "2024-02-29T23:59:59,999Z",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:60:00Z",
            "2024-01-01T00:00:60Z",
            "+024-01-01T00:00:00Z",
            "２024-01-01T00:00Z",
        ];
        for text in bad {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_is_written_with_three_fraction_digits() {
        assert_eq!(timestamp(1_709_251_199_000), "2024-02-29T23:59:59.000Z");
        assert_eq!(timestamp(1_709_251_199_900), "2024-02-29T23:59:59.900Z");
    }

    #[test]
    fn a_name_has_1_to_100_printable_characters_of_any_script() {
        for good in ["a", "CI Robot", "Zoë", "Ωμέγα", "机器人", "🤖", &"ä".repeat(100)] {
            assert!(check_name("name", good).is_ok(), "{good}");
        }
        for bad in [
            "",
            " ",
            "\t",
            "a\nb",
            "a\0b",
            "a\u{202E}b",
            "\u{200B}",
            &"ä".repeat(101),
        ] {
            assert!(check_name("name", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_token_id_can_be_found_again_in_a_path() {
        for good in [
            "a",
            "circle-ci-token",
            "a b",
            "sa-admin1-at-example-dot-com",
            "名",
            "...",
            &"x".repeat(100),
        ] {
            assert!(check_token_id(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a%2Fb", "a\\b", "a\nb", &"x".repeat(101)] {
            assert!(check_token_id(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_empty_address_is_none() {
        assert!(matches!(email(Some(String::new())), Ok(None)));
        assert!(matches!(email(Some("jo@example.com".to_owned())), Ok(Some(_))));
        for bad in ["jo", "@example.com", "jo@", "jo @example.com", "jo@exa\nmple.com"] {
            assert!(email(Some(bad.to_owned())).is_err(), "{bad:?}");
        }
    }
}
