//! The grammar of path segments: which octets a segment may hold, and how it is read.

use std::borrow::Cow;

/// What a parameter's segment may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grammar {
    /// An identifier of the orchestrator: `^[a-z0-9](?:-?[a-z0-9]+)+$`, at most 50 characters.
    ///
    /// # Source
    /// The API description's pattern for organisations, apps, environments, env types and users.
    Identifier,
    /// Identifiers joined by `%2F`, each part not empty, `.` or `..`; forwarded octet for octet.
    Qualified,
    /// Any text of one segment, without `/` in any spelling.
    Text,
}

impl Grammar {
    /// Returns the grammar of a parameter, which its name decides.
    pub fn of_parameter(name: &str) -> Self {
        match name {
            "orgId" | "appId" | "envId" | "envTypeId" | "envType" | "userId" | "groupId" => Self::Identifier,
            "typeId" | "profileQid" | "driverId" | "imageId" => Self::Qualified,
            _ => Self::Text,
        }
    }

    /// Returns whether a raw segment that [`check_path`] let pass fits.
    pub fn admits(self, raw: &str) -> bool {
        match self {
            Self::Identifier => is_identifier(raw),
            Self::Qualified => {
                raw.len() <= SEGMENT_BYTES_MAX
                    && decode(raw).is_some_and(|text| text.split('/').all(|part| !matches!(part, "" | "." | "..")))
            }
            Self::Text => {
                raw.len() <= SEGMENT_BYTES_MAX
                    && decode(raw).is_some_and(|text| !text.is_empty() && !text.contains('/'))
            }
        }
    }
}

/// Longest identifier.
pub const IDENTIFIER_BYTES_MAX: usize = 50;

/// Longest segment of another grammar, in octets as they came: 100 characters of four octets, each octet percent-encoded.
pub const SEGMENT_BYTES_MAX: usize = 1200;

/// Returns whether the text is an identifier of the orchestrator: `^[a-z0-9](?:-?[a-z0-9]+)+$`, at most 50 characters.
pub fn is_identifier(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (2..=IDENTIFIER_BYTES_MAX).contains(&bytes.len())
        && inner(bytes[0])
        && inner(bytes[bytes.len() - 1])
        && bytes
            .windows(2)
            .all(|pair| inner(pair[0]) || (pair[0] == b'-' && inner(pair[1])))
}

/// Why a path cannot be read in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathProblem {
    /// It does not begin with `/`.
    #[error("the path does not begin with a slash")]
    NoSlash,
    /// An octet that a path may not hold, such as a backslash, a space or a non-ASCII octet.
    #[error("the path holds a character that a path may not hold")]
    Octet,
    /// `%` without two hexadecimal digits behind it.
    #[error("the path holds a percent sign without two hexadecimal digits")]
    Percent,
    /// An encoding that readers differ about: of an unreserved character, a percent sign, a control character, a
    /// backslash, or not UTF-8.
    #[error("the path holds an encoding that can be read in two ways")]
    Encoding,
    /// An empty segment, `.`, `..` or a segment with `;` in it.
    #[error("the path holds an empty segment, a dot segment or a segment parameter")]
    Segment,
}

/// Checks that a raw path can be read in one way only.
///
/// # Errors
/// The first [`PathProblem`] found.
/// # Source
/// RFC 3986 §3.3 and §6.2.2 (what normalising readers change is refused instead of changed).
pub fn check_path(path: &str) -> Result<(), PathProblem> {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return Err(PathProblem::NoSlash);
    }
    // The root: one reading, though no operation has it.
    if bytes.len() == 1 {
        return Ok(());
    }
    let mut at = 1;
    let mut start = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'/' => {
                check_segment(&bytes[start..at])?;
                start = at + 1;
                at += 1;
            }
            b'%' => {
                check_encoding(bytes, at)?;
                at += 3;
            }
            b if is_plain(b) => at += 1,
            b';' => return Err(PathProblem::Segment),
            _ => return Err(PathProblem::Octet),
        }
    }
    check_segment(&bytes[start..])
}

/// Decodes a segment's percent encodings, once. `None` when the result is not UTF-8.
pub fn decode(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.contains('%') {
        return Some(Cow::Borrowed(raw));
    }
    let bytes = raw.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            decoded.push(hex_pair(bytes.get(at + 1..at + 3)?)?);
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn check_segment(segment: &[u8]) -> Result<(), PathProblem> {
    match segment {
        b"" | b"." | b".." => Err(PathProblem::Segment),
        _ => Ok(()),
    }
}

fn check_encoding(bytes: &[u8], at: usize) -> Result<(), PathProblem> {
    let octet = bytes
        .get(at + 1..at + 3)
        .and_then(hex_pair)
        .ok_or(PathProblem::Percent)?;
    let unreserved = octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~');
    if unreserved || octet.is_ascii_control() || matches!(octet, b'%' | b'\\') {
        return Err(PathProblem::Encoding);
    }
    Ok(())
}

/// Octets that stand for themselves in a segment: `pchar` of RFC 3986 §3.3 without `;` and `%`.
fn is_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(
            octet,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b'='
                | b':'
                | b'@'
        )
}

fn hex_pair(pair: &[u8]) -> Option<u8> {
    let digit = |b: u8| (b as char).to_digit(16);
    let [high, low] = pair else { return None };
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_follow_the_orchestrators_pattern() {
        for good in [
            "ab",
            "a1",
            "my-org",
            "0-0",
            &"a".repeat(50),
            "s-d35b0d0e-8a53-40e9-a329-64e48b7e92e0",
        ] {
            assert!(is_identifier(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "-ab",
            "ab-",
            "a--b",
            "Ab",
            "a_b",
            "a.b",
            "a/b",
            "ä1",
            &"a".repeat(51),
        ] {
            assert!(!is_identifier(bad), "{bad}");
        }
    }

    #[test]
    fn a_path_that_readers_could_read_in_two_ways_is_refused() {
        let rows = [
            ("orgs", PathProblem::NoSlash),
            ("/orgs/../x", PathProblem::Segment),
            ("/orgs/./x", PathProblem::Segment),
            ("/orgs//x", PathProblem::Segment),
            ("/orgs/", PathProblem::Segment),
            ("/orgs/a;b", PathProblem::Segment),
            ("/orgs\\x", PathProblem::Octet),
            ("/orgs/a b", PathProblem::Octet),
            ("/orgs/ä", PathProblem::Octet),
            ("/orgs/a#b", PathProblem::Octet),
            ("/orgs/%2", PathProblem::Percent),
            ("/orgs/%zz", PathProblem::Percent),
            ("/%6frgs", PathProblem::Encoding),
            ("/orgs/%2e%2e/x", PathProblem::Encoding),
            ("/orgs/%252e", PathProblem::Encoding),
            ("/orgs/%00", PathProblem::Encoding),
            ("/orgs/%5c", PathProblem::Encoding),
        ];
        for (path, problem) in rows {
            assert_eq!(check_path(path), Err(problem), "{path}");
        }
        assert_eq!(check_path("/orgs/my-org/resources/types/my-org%2Fmy-type"), Ok(()));
    }

    #[test]
    fn an_encoded_slash_is_admitted_only_where_a_parameter_may_hold_one() {
        assert!(Grammar::Qualified.admits("my-org%2Fmy-type"));
        assert!(!Grammar::Qualified.admits("my-org%2F"));
        assert!(!Grammar::Qualified.admits("%2Fmy-type"));
        assert!(!Grammar::Text.admits("my-org%2Fmy-type"));
        assert!(!Grammar::Identifier.admits("my-org%2Fmy-type"));
        assert!(!Grammar::Text.admits("%C0%AF"), "overlong UTF-8");
    }
}
