//! Guard `artefact-images`: artefact versions are made of images from certain registries only.
//!
//! It reads the JSON body of what makes an artefact version, and the settings, which `settings.schema.json` describes.
//! What it cannot judge, it refuses. It knows nothing of images that get into an environment by other ways.

#![no_std]

extern crate alloc;

mod body;
mod name;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use body::Body;
use json::{Malformed, Reader};
use postern_policy::{Guard, GuardVerdict, Input, Request, Scope};

struct ArtefactImages;

impl Guard for ArtefactImages {
    const NAME: &str = "artefact-images";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];
    const SETTINGS_SCHEMA: Option<&str> = Some(include_str!("../settings.schema.json"));

    fn inputs() -> Vec<Input> {
        [Input::JsonBody].into()
    }

    fn decide(request: &Request) -> GuardVerdict {
        if request.operation.permission != "artefactversion.create" {
            return GuardVerdict::Pass;
        }
        let build = request.operation.id == "createDeprecatedImageBuild";
        let settings = request.settings.as_deref().unwrap_or_default();
        match judge(request.inputs.json_body.as_deref(), build, settings) {
            Ok(()) => GuardVerdict::Pass,
            Err(reason) => GuardVerdict::Deny(reason),
        }
    }
}

postern_policy::guard!(ArtefactImages);

/// Judges a body: that of an image build, or of an artefact version. Returns why it is refused.
fn judge(body: Option<&str>, build: bool, settings: &str) -> Result<(), String> {
    let Ok(allowed) = allowed(settings) else {
        return Err("the settings of artefact-images cannot be read".into());
    };
    let body = body.ok_or("the images of an artefact version are judged by its JSON body, and there is none")?;
    if body.len() > BODY_BYTES_MAX {
        return Err(format!(
            "a body of more than {BODY_BYTES_MAX} bytes cannot be judged by artefact-images"
        ));
    }
    let body = Body::read(body).map_err(|Malformed| "the body cannot be read for its images")?;
    if build {
        if body.images.is_empty() {
            return Err("the body names no image".into());
        }
    } else {
        match (body.types.as_slice(), body.names.as_slice()) {
            ([kind], [name]) if kind == "container" => check(name, &allowed)?,
            ([kind], _) if kind == "workload" => {}
            ([kind], _) if kind == "container" => return Err("the body must have one name".into()),
            _ => return Err("the body must have one type, container or workload".into()),
        }
    }
    body.images.iter().try_for_each(|image| check(image, &allowed))
}

fn check(image: &str, allowed: &[String]) -> Result<(), String> {
    let name = name::of_image(image);
    let covered = name.is_some_and(|name| allowed.iter().any(|entry| name::covers(entry, &name)));
    if covered {
        return Ok(());
    }
    // A caller may send an image as long as a body.
    let shown: String = image.chars().take(SHOWN_CHARS_MAX).collect();
    Err(format!("the image {shown} is not from a registry that is allowed here"))
}

/// Reads the settings: what is allowed, spelled out.
fn allowed(settings: &str) -> Result<Vec<String>, Malformed> {
    let mut allowed = Vec::new();
    Reader::whole(settings, |reader| {
        reader.object(|reader, member| match member {
            "images" => reader.array(|reader| {
                allowed.push(name::of_entry(&reader.string()?).ok_or(Malformed)?);
                Ok(())
            }),
            _ => Err(Malformed),
        })
    })?;
    Ok(allowed)
}

/// Longest body that is judged; a longer one is refused.
///
/// # Units
/// Bytes.
/// # Source
/// Text takes little fuel, members and images much: 120 variables, or 13 images with 20 entries of the settings, are about
/// what a small policy has fuel for. A body that takes more ends in a fault, which refuses too, so this only gives a
/// reason to those that are far too long.
const BODY_BYTES_MAX: usize = 4_096;

/// How much of an image's name a reason tells.
const SHOWN_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: &str = r#"{"images": ["registry.example.com/team", "nginx"]}"#;

    fn version(body: &str) -> Result<(), String> {
        judge(Some(body), false, SETTINGS)
    }

    #[test]
    fn an_artefact_version_of_allowed_images_passes() {
        for body in [
            r#"{"type": "container", "name": "registry.example.com/team/app", "version": "1.0.0", "commit": "884bccaa"}"#,
            r#"{"type": "workload", "name": "app", "spec": {"containers": {"web": {"image": "nginx:1.27"}}}}"#,
            r#"{"type": "workload", "name": "app", "image": "nginx", "spec": {"containers": {"web": {"image": "."}}}}"#,
        ] {
            assert_eq!(version(body), Ok(()), "{body}");
        }
    }

    #[test]
    fn an_artefact_version_of_other_images_is_refused_with_their_name() {
        let refused = "the image evil.example/app is not from a registry that is allowed here";
        for body in [
            r#"{"type": "container", "name": "evil.example/app"}"#,
            r#"{"type": "workload", "name": "app", "image": "evil.example/app", "spec": {}}"#,
            r#"{"type": "workload", "name": "app", "spec": {"containers": {"web": {"image": "evil.example/app"}}}}"#,
            r#"{"type": "container", "name": "nginx", "image": "evil.example/app"}"#,
        ] {
            assert_eq!(version(body).as_ref().map_err(String::as_str), Err(refused), "{body}");
        }
    }

    #[test]
    fn an_artefact_version_that_may_be_read_in_two_ways_is_refused() {
        for body in [
            "{}",
            r#"{"name": "nginx"}"#,
            r#"{"type": "Container", "name": "nginx"}"#,
            r#"{"type": "workload", "type": "container", "name": "nginx"}"#,
            r#"{"type": "workload", "Type": "container", "name": "nginx"}"#,
            r#"{"type": "container", "name": "nginx", "name": "nginx"}"#,
            r#"{"type": "container"}"#,
        ] {
            assert!(version(body).is_err(), "{body}");
        }
    }

    #[test]
    fn an_image_build_is_judged_by_its_image() {
        let build = |body| judge(body, true, SETTINGS);
        assert_eq!(
            build(Some(r#"{"image": "registry.example.com/team/app:1", "tags": ["1"]}"#)),
            Ok(())
        );
        assert!(build(Some(r#"{"image": "registry.example.com/other/app:1"}"#)).is_err());
        assert!(build(Some(r#"{"commit": "884bccaa"}"#)).is_err());
    }

    #[test]
    fn without_a_body_or_settings_that_can_be_read_everything_is_refused() {
        let good = r#"{"type": "container", "name": "nginx"}"#;
        assert!(judge(None, false, SETTINGS).is_err());
        for settings in [
            "",
            "[]",
            "{\"images\": \"nginx\"}",
            r#"{"images": ["nginx:1"]}"#,
            r#"{"image": ["nginx"]}"#,
        ] {
            assert!(judge(Some(good), false, settings).is_err(), "{settings}");
        }
        assert!(judge(Some(good), false, "{\"images\": []}").is_err());
        let long = format!(
            "{{\"type\": \"container\", \"name\": \"nginx\"{}}}",
            " ".repeat(BODY_BYTES_MAX)
        );
        assert!(version(&long).is_err());
    }
}
