//! Inputs: what policies ask for of a request beyond its subject and operation, read in one way only.
//!
//! Nothing is read that no policy asks for. A body is read when a policy that bears on the request asks for it and a role
//! could allow the request; it goes on unchanged.

use std::collections::HashSet;
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use catalogue::Matched;
use engine::Needs;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap};
use http::request::Parts;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use crate::authenticate::look_up;
use crate::authorize::{self, Asked};
use crate::cache::Caller;
use crate::facts::{self, GatheredBody};
use crate::forward::one_host;
use crate::refusal::{Reason, Refusal};
use crate::worker::Worker;

/// What was read of a request for its policies. What is not here was not asked for.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Header fields by lower-case name, with all their values: none for one that is not there.
    headers: Vec<(String, Vec<String>)>,
    body: ToldBody,
}

/// What is known of a request's body.
#[derive(Debug, Default)]
enum ToldBody {
    /// Nothing: nobody asked.
    #[default]
    Unread,
    /// There is none, or one that is not JSON.
    NoJson,
    /// It is JSON, and can be read in one way only.
    Json(Bytes),
}

/// What a request's inputs are read from.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'r> {
    pub(crate) parts: &'r Parts,
    pub(crate) operation: &'r Matched<'r>,
}

/// Reads what the policies that bear on a request ask for. Reading a body may take a while, so the caller is looked up anew
/// behind it.
///
/// # Errors
/// When something that is asked for can be read in two ways, or the body is over its limits.
pub(crate) async fn gather(
    worker: &Worker,
    mut caller: Caller,
    reading: Reading<'_>,
    asked: &Asked<'_>,
    mut body: GatheredBody,
) -> Result<(Caller, Rc<Told>, GatheredBody), Refusal> {
    loop {
        let arranged = worker.policies.at(caller.revision);
        let asking = (&caller, reading.operation, asked);
        let mut told = Told::default();
        let wants_body = authorize::with_needs(worker, &arranged, asking, |needs| {
            told.read_headers(needs, reading.parts)?;
            Ok::<_, Refusal>(needs.json_body)
        })?;
        if !wants_body {
            return Ok((caller, Rc::new(told), body));
        }
        let so_far = Asked {
            told: Some(&told),
            ..*asked
        };
        match body {
            empty if empty.is_empty() => {
                told.body = ToldBody::NoJson;
                return Ok((caller, Rc::new(told), empty));
            }
            // Who may not do it whatever the body holds cannot make us read it.
            unread @ GatheredBody::Unread(_)
                if !authorize::body_matters(worker, &arranged, (&caller, reading.operation, &so_far)) =>
            {
                return Ok((caller, Rc::new(told), unread));
            }
            unread @ GatheredBody::Unread(_) => {
                check_coding(&reading.parts.headers)?;
                body = GatheredBody::Read(facts::read(worker, unread).await?);
                let now_ms = worker.shared.unix_ms();
                caller = look_up(&worker.shared.cache, &caller.digest, now_ms)?;
            }
            GatheredBody::Read(bytes) => {
                check_coding(&reading.parts.headers)?;
                told.body = read_body(&bytes, &reading.parts.headers)?;
                return Ok((caller, Rc::new(told), GatheredBody::Read(bytes)));
            }
        }
    }
}

impl Told {
    /// Returns the header fields, one for each value.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers
            .iter()
            .flat_map(|(name, values)| values.iter().map(move |value| (name.as_str(), value.as_str())))
    }

    /// Returns the JSON body, if it was read and is one.
    pub(crate) fn json_body(&self) -> Option<&str> {
        match &self.body {
            // What was read as JSON is UTF-8.
            ToldBody::Json(bytes) => std::str::from_utf8(bytes).ok(),
            ToldBody::Unread | ToldBody::NoJson => None,
        }
    }

    pub(crate) fn knows_body(&self) -> bool {
        !matches!(self.body, ToldBody::Unread)
    }

    pub(crate) fn knows_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(own, _)| own == name)
    }

    /// Two readers may decode octets beyond ASCII in two ways, so a value that has any is refused where a policy asks.
    fn read_headers(&mut self, needs: &Needs<'_>, parts: &Parts) -> Result<(), Refusal> {
        for name in &needs.headers {
            let host = (*name == HOST.as_str()).then(|| one_host(parts)).flatten();
            let values = match &host {
                Some(host) => vec![host],
                None => parts.headers.get_all(*name).iter().collect(),
            };
            let mut texts = Vec::with_capacity(values.len());
            for value in values {
                let text = value
                    .to_str()
                    .map_err(|error| Refusal::caused_by(Reason::RequestAmbiguous, error))?;
                texts.push(text.to_owned());
            }
            self.headers.push(((*name).to_owned(), texts));
        }
        Ok(())
    }
}

/// A body in a coding is not what policies would be told of.
fn check_coding(fields: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = fields.get_all(CONTENT_ENCODING).iter();
    if codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        Ok(())
    } else {
        Err(Refusal::caused_by(
            Reason::BodyUnreadable,
            "a policy asks for the body, and it is in a content coding",
        ))
    }
}

/// Reads a body that a policy asks for.
fn read_body(body: &Bytes, fields: &HeaderMap) -> Result<ToldBody, Refusal> {
    if body.is_empty() {
        return Ok(ToldBody::NoJson);
    }
    let unreadable = |error| Refusal::caused_by(Reason::BodyUnreadable, error);
    match check_json(body) {
        Ok(()) => Ok(ToldBody::Json(body.clone())),
        Err(error) => match error.classify() {
            Category::Data => Err(unreadable(error)),
            Category::Syntax | Category::Eof | Category::Io if is_meant_as_json(body, fields) => Err(unreadable(error)),
            Category::Syntax | Category::Eof | Category::Io => Ok(ToldBody::NoJson),
        },
    }
}

/// Returns whether whoever gets a body might read it as JSON: it says so, it says nothing, or it begins like an object or a
/// list.
fn is_meant_as_json(body: &[u8], fields: &HeaderMap) -> bool {
    let says_json = match fields.get(CONTENT_TYPE) {
        None => true,
        Some(kind) => kind
            .to_str()
            .map_or(true, |kind| kind.to_ascii_lowercase().contains("json")),
    };
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    says_json
        || text
            .trim_ascii_start()
            .first()
            .is_some_and(|octet| b"{[".contains(octet))
}

/// Checks that a text is JSON that can be read in one way only: no member is named twice in its object.
fn check_json(text: &[u8]) -> serde_json::Result<()> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    Value { depth: 0 }.deserialize(&mut reader)?;
    reader.end()
}

/// A JSON value at a depth.
struct Value {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Value {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.depth > DEPTH_MAX {
            return Err(D::Error::custom("it is nested too deeply"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Self { depth: self.depth + 1 })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = object.next_key::<String>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a member is named twice"));
            }
            object.next_value_seed(Self { depth: self.depth + 1 })?;
        }
        Ok(())
    }
}

/// Deepest nesting that is read; the reader itself gives up at 128, and then could not say that it was JSON.
const DEPTH_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(body: &str, kind: Option<&'static str>) -> Result<bool, Reason> {
        let mut fields = HeaderMap::new();
        if let Some(kind) = kind {
            fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        let read = read_body(&Bytes::copy_from_slice(body.as_bytes()), &fields);
        read.map(|told| matches!(told, ToldBody::Json(_)))
            .map_err(|refusal| refusal.reason)
    }

    #[test]
    fn json_is_told_whatever_its_type_is_said_to_be() {
        for kind in [None, Some("application/json"), Some("text/plain")] {
            assert_eq!(
                read(r#" {"a":[1,-2,3.5,{"a":null}],"b":"c","d":true} "#, kind),
                Ok(true)
            );
        }
        assert_eq!(read("", Some("application/json")), Ok(false));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused_whatever_its_type() {
        let deep = format!("{}1{}", "[".repeat(110), "]".repeat(110));
        let deeper = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        for body in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[{"b":{"a":1,"a":1}}]"#,
            r#"{"a":1}{"a":2}"#,
            r#"{"a":"\ud800"}"#,
            "{\"a\":1,}",
            "\u{feff}{\"a\":1}",
            &deep,
            &deeper,
        ] {
            for kind in [None, Some("application/json"), Some("application/octet-stream")] {
                assert_eq!(read(body, kind), Err(Reason::BodyUnreadable), "{body} {kind:?}");
            }
        }
    }

    #[test]
    fn what_is_no_json_is_told_as_nothing_where_it_does_not_claim_to_be() {
        for body in ["--boundary\r\n", "a=b", "\u{1}\u{2}"] {
            assert_eq!(read(body, Some("multipart/form-data; boundary=boundary")), Ok(false));
            assert_eq!(
                read(body, Some("application/problem+json")),
                Err(Reason::BodyUnreadable)
            );
            assert_eq!(read(body, None), Err(Reason::BodyUnreadable));
        }
    }
}
