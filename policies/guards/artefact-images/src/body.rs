//! What the body of a request says about images.
//!
//! Names are compared as laxly as a server may: whatever the case, and every one of those that come twice. An image is
//! what stands as `image` at the top, in a container of a workload (`containers.NAME.image`), or in an override by path,
//! such as `"containers.web.image": …`.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use json::{Kind, Malformed, Reader};

/// What a body says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Body {
    /// Each value of `type` at the top.
    pub(crate) types: Vec<String>,
    /// Each value of `name` at the top.
    pub(crate) names: Vec<String>,
    /// Every image.
    pub(crate) images: Vec<String>,
}

impl Body {
    /// Reads a body.
    pub(crate) fn read(text: &str) -> Result<Self, Malformed> {
        let mut body = Self::default();
        Reader::whole(text, |reader| {
            reader.object(|reader, name| {
                if is(name, "type") {
                    body.types.push((*reader.string()?).to_owned());
                } else if is(name, "name") {
                    body.names.push((*reader.string()?).to_owned());
                } else if is(name, "image") {
                    body.image(reader)?;
                } else {
                    body.member(reader, name, Place::default())?;
                }
                Ok(())
            })
        })?;
        Ok(body)
    }

    /// Reads a value, which is at a place.
    fn value(&mut self, reader: &mut Reader<'_>, place: Place) -> Result<(), Malformed> {
        match reader.kind()? {
            Kind::Object => reader.object(|reader, name| self.member(reader, name, place)),
            Kind::Array => reader.array(|reader| self.value(reader, place.below(""))),
            Kind::String | Kind::Scalar => reader.skip(),
        }
    }

    /// Reads the value of a member, whose name may be a path.
    fn member(&mut self, reader: &mut Reader<'_>, path: &str, place: Place) -> Result<(), Malformed> {
        let mut place = place;
        let mut rest = path;
        while let Some(end) = end_of_first(rest) {
            place = place.below(&rest[..end]);
            rest = &rest[end + 1..];
        }
        if place.in_container && is(rest, "image") {
            self.image(reader)
        } else {
            self.value(reader, place.below(rest))
        }
    }

    /// Reads an image. `null` is none, and so is `.`, which stands for that of the workload.
    fn image(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        match reader.kind()? {
            Kind::String => {
                let image = reader.string()?;
                if image != "." {
                    self.images.push((*image).to_owned());
                }
                Ok(())
            }
            Kind::Scalar if reader.scalar()? == "null" => Ok(()),
            Kind::Object | Kind::Array | Kind::Scalar => Err(Malformed),
        }
    }
}

/// Where in a body a value is.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// It is named `containers`.
    is_containers: bool,
    /// What it is in is named `containers`.
    in_container: bool,
}

impl Place {
    fn below(self, name: &str) -> Self {
        Self {
            is_containers: is(name, "containers"),
            in_container: self.is_containers,
        }
    }
}

/// Returns where the first part of a path ends, if another one follows. A backslash takes the next character's meaning.
fn end_of_first(path: &str) -> Option<usize> {
    let mut escaped = false;
    path.bytes().position(|byte| {
        let ends = byte == b'.' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

fn is(name: &str, wanted: &str) -> bool {
    let letters = name.bytes().filter(|byte| *byte != b'\\');
    letters.map(|byte| byte.to_ascii_lowercase()).eq(wanted.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(text: &str) -> Vec<String> {
        Body::read(text).expect(text).images
    }

    #[test]
    fn an_image_is_found_wherever_the_api_takes_one() {
        for text in [
            r#"{"image": "evil"}"#,
            r#"{"IMAGE": "evil"}"#,
            r#"{"\u0069mage": "evil"}"#,
            r#"{"spec": {"containers": {"web": {"image": "evil"}}}}"#,
            r#"{"spec": {"Containers": {"web": {"Image": "evil"}}}}"#,
            r#"{"spec": {"containers": [{"image": "evil"}]}}"#,
            r#"{"spec": {"containers": {"containers": {"image": "evil"}}}}"#,
            r#"{"overrides": {"containers": {"image": {"image": "evil"}}}}"#,
            r#"{"property_overrides": {"containers.web.image": "evil"}}"#,
            r#"{"property_overrides": {"containers.a\\.b.image": "evil"}}"#,
            r#"{"property_overrides": {"containers.a\\\\.image": "evil"}}"#,
            r#"{"property_overrides": {"containers.web.im\\age": "evil"}}"#,
            r#"{"property_overrides": {"containers.web": {"image": "evil"}}}"#,
            r#"{"property_overrides": {"containers": {"web": {"image": "evil"}}}}"#,
            r#"{"x": [{"containers.web": {"image": "evil"}}]}"#,
        ] {
            assert_eq!(images(text), ["evil"], "{text}");
        }
        assert_eq!(images(r#"{"image": "a", "image": "b"}"#), ["a", "b"]);
    }

    #[test]
    fn what_is_called_image_elsewhere_is_none() {
        for text in [
            r#"{"spec": {"containers": {"web": {"variables": {"IMAGE": "x"}}}}}"#,
            r#"{"spec": {"metadata": {"image": "x"}}}"#,
            r#"{"spec": {"containers": {"web": {"image": "."}}}}"#,
            r#"{"property_overrides": {"containers.web.image": null, "containers.web.variables.image": "x"}}"#,
        ] {
            assert!(images(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn an_image_that_is_no_text_makes_the_body_malformed() {
        for text in [
            r#"{"image": 1}"#,
            r#"{"image": ["a"]}"#,
            r#"{"property_overrides": {"containers.web.image": {"name": "evil"}}}"#,
            "[]",
            "",
            "{}{}",
        ] {
            assert_eq!(Body::read(text), Err(Malformed), "{text}");
        }
    }
}
