//! Reading single members of JSON objects, in the one way that every reader must agree with.
//!
//! JSON readers differ about a member that is named twice, and some match names without regard to case. A body in which
//! such a reader could see another value than we do is refused.

use std::fmt;

use catalogue::segment::is_identifier;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::refusal::{Reason, Refusal};

/// Returns the env type that the body of a new environment names, if it names one.
pub(crate) fn environment_type(body: &[u8]) -> Result<Option<String>, Refusal> {
    let [env_type] = members(body, ["type"])?;
    Ok(env_type)
}

/// Returns the environments that the body of a pipeline run names: one, or two when the older member is there as well.
pub(crate) fn environments(body: &[u8]) -> Result<Vec<String>, Refusal> {
    let named = members(body, ["env_id", "environment"])?;
    let named: Vec<String> = named.into_iter().flatten().collect();
    if named.is_empty() {
        Err(Reason::EnvironmentNotNamed.into())
    } else {
        Ok(named)
    }
}

/// Returns the value of one member of an object in an answer, if it is there.
///
/// # Errors
/// When the object cannot be read in one way.
pub(crate) fn member(object: &str, name: &str) -> serde_json::Result<Option<String>> {
    let [value] = serde_json::Deserializer::from_str(object).deserialize_map(Members([name]))?;
    Ok(value)
}

/// Returns the values of these members; a member that is null or empty counts as absent.
fn members<const N: usize>(body: &[u8], names: [&str; N]) -> Result<[Option<String>; N], Refusal> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let found = reader.deserialize_map(Members(names));
    let values = found.and_then(|values| reader.end().map(|()| values));
    let values = values.map_err(|error| Refusal::caused_by(Reason::BodyUnreadable, error))?;
    if values.iter().flatten().all(|value| is_identifier(value)) {
        Ok(values)
    } else {
        Err(Refusal::caused_by(
            Reason::BodyUnreadable,
            "a member that must be an identifier is none",
        ))
    }
}

struct Members<'n, const N: usize>([&'n str; N]);

impl<'de, const N: usize> Visitor<'de> for Members<'_, N> {
    type Value = [Option<String>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values: [Option<Option<String>>; N] = [const { None }; N];
        while let Some(Name(name)) = map.next_key()? {
            let Some(at) = self.0.iter().position(|own| own.eq_ignore_ascii_case(&name)) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if name != self.0[at] || values[at].is_some() {
                return Err(serde::de::Error::custom("a member is named twice or in another case"));
            }
            values[at] = Some(map.next_value::<Option<String>>()?.filter(|value| !value.is_empty()));
        }
        Ok(values.map(Option::flatten))
    }
}

/// A member's name after its escapes were read.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn reason<T: fmt::Debug>(result: Result<T, Refusal>) -> Reason {
        result.expect_err("refused").reason
    }

    #[test]
    fn the_named_member_is_found_among_others() {
        let body =
            br#"{"id":"dev2","name":"x","nested":{"type":"production"},"type":"development","l":[1,{"type":2}]}"#;
        assert_eq!(
            environment_type(body).expect("readable").as_deref(),
            Some("development")
        );
        assert_eq!(environment_type(br#"{"id":"dev2"}"#).expect("readable"), None);
        assert_eq!(environment_type(br#"{"type":null}"#).expect("readable"), None);
        assert_eq!(environments(br#"{"env_id":"dev"}"#).expect("readable"), ["dev"]);
        assert_eq!(
            environments(br#"{"env_id":"dev","environment":"prod"}"#).expect("readable"),
            ["dev", "prod"]
        );
        assert_eq!(reason(environments(br#"{"trigger":"x"}"#)), Reason::EnvironmentNotNamed);
    }

    #[test]
    fn a_body_that_another_reader_could_read_otherwise_is_refused() {
        let bodies: [&[u8]; 12] = [
            br#"{"type":"development","type":"production"}"#,
            br#"{"type":"development","Type":"production"}"#,
            br#"{"TYPE":"production"}"#,
            br#"{"type":"development","\u0074ype":"production"}"#,
            br#"{"type":"development"}{"type":"production"}"#,
            br#"{"type":"development"} x"#,
            br#"{"type":["development"]}"#,
            br#"{"type":"Development"}"#,
            br#"["type"]"#,
            b"type=development",
            b"",
            b"\xef\xbb\xbf{\"type\":\"development\"}",
        ];
        for body in bodies {
            assert_eq!(
                reason(environment_type(body)),
                Reason::BodyUnreadable,
                "{}",
                String::from_utf8_lossy(body)
            );
        }
    }
}
