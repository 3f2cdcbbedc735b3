//! Names of images, spelled out: `nginx:1.27` is `docker.io/library/nginx`.

use alloc::format;
use alloc::string::String;

/// Returns an image's registry and repository, spelled out, without tag and digest; `None` if it is no image's name.
pub(crate) fn of_image(image: &str) -> Option<String> {
    let tagged = match image.split_once('@') {
        Some((tagged, digest)) => {
            let (algorithm, hash) = digest.split_once(':')?;
            (is_word(algorithm) && is_word(hash)).then_some(tagged)?
        }
        None => image,
    };
    let last = tagged.rfind('/').map_or(0, |slash| slash + 1);
    let name = match tagged[last..].split_once(':') {
        Some((name, tag)) => is_word(tag).then(|| &tagged[..last + name.len()])?,
        None => tagged,
    };
    match name.split_once('/') {
        Some((host, repository)) if is_host(host) => spelled_out(host, repository),
        Some(_) => spelled_out(DOCKER, name),
        None => spelled_out(DOCKER, &format!("library/{name}")),
    }
}

/// Returns what an entry of the settings allows, spelled out: a registry, or a part of one.
pub(crate) fn of_entry(entry: &str) -> Option<String> {
    match entry.split_once('/') {
        None if is_host(entry) => is_reachable(entry).then(|| canonical(entry)),
        Some((host, repository)) if is_host(host) => spelled_out(host, repository),
        // Without a registry it is an image as in Dockerfiles, but not one with a tag.
        _ if entry.contains([':', '@']) => None,
        _ => of_image(entry),
    }
}

/// Tells whether what an entry allows has an image in it, both spelled out.
pub(crate) fn covers(entry: &str, image: &str) -> bool {
    let below = image.strip_prefix(entry);
    below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

fn spelled_out(host: &str, repository: &str) -> Option<String> {
    let whole = repository
        .split('/')
        .all(|part| is_word(part) && part != "." && part != "..");
    (is_reachable(host) && whole).then(|| format!("{}/{repository}", canonical(host)))
}

/// Tells whether the first part of a name is a registry, as container runtimes do.
fn is_host(part: &str) -> bool {
    part == "localhost" || part.contains(['.', ':'])
}

/// Tells whether it is a host, with or without a port.
fn is_reachable(host: &str) -> bool {
    let (name, port) = host.split_once(':').unwrap_or((host, "443"));
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    !name.is_empty() && name.bytes().all(known) && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
}

fn canonical(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" => DOCKER.into(),
        _ => host,
    }
}

fn is_word(part: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
    !part.is_empty() && part.bytes().all(known)
}

/// The registry of images that name none.
const DOCKER: &str = "docker.io";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_spelled_out_as_container_runtimes_do() {
        for (image, wanted) in [
            ("nginx", "docker.io/library/nginx"),
            ("nginx:1.27", "docker.io/library/nginx"),
            ("team/app@sha256:0a1b", "docker.io/team/app"),
            ("index.docker.io/team/app", "docker.io/team/app"),
            ("Registry.Example.com/team/app:1.0.0", "registry.example.com/team/app"),
            (
                "registry.example.com:5000/app:1@sha256:0a",
                "registry.example.com:5000/app",
            ),
            ("localhost/app", "localhost/app"),
        ] {
            assert_eq!(of_image(image).as_deref(), Some(wanted), "{image}");
        }
    }

    #[test]
    fn what_is_no_image_has_no_name() {
        for image in [
            "",
            "/",
            ":",
            "@",
            "a/",
            "/a",
            "a//b",
            "a:",
            "a@",
            "a@b",
            "a@:",
            "a@sha256:0/../b",
            "a b",
            "a:1 ",
            "registry.example.com/../evil/app",
            "registry.example.com/./app",
            "https://registry.example.com/app",
            "registry.example.com/team/${app}",
            "registry.example.com@evil.example/app",
            "räksmörgås",
            "a:1:2",
            "a\0b",
        ] {
            assert_eq!(of_image(image), None, "{image}");
        }
    }

    #[test]
    fn an_entry_covers_what_is_below_it_and_nothing_beside_it() {
        for (entry, inside, outside) in [
            (
                "registry.example.com",
                "registry.example.com/a/b:1",
                "registry.example.com.evil.example/a",
            ),
            (
                "registry.example.com",
                "REGISTRY.example.com/a",
                "registry.example.com:5000/a",
            ),
            (
                "registry.example.com/team",
                "registry.example.com/team/app",
                "registry.example.com/teams/app",
            ),
            (
                "registry.example.com/team",
                "registry.example.com/team:1",
                "registry.example.com/TEAM/app",
            ),
            ("nginx", "docker.io/library/nginx:1.27", "docker.io/library/nginx-evil"),
            ("team", "library/team", "team/app"),
            ("docker.io", "nginx", "quay.io/nginx"),
        ] {
            let entry = of_entry(entry).expect(entry);
            assert!(covers(&entry, &of_image(inside).expect(inside)), "{entry} {inside}");
            assert!(!covers(&entry, &of_image(outside).expect(outside)), "{entry} {outside}");
        }
        for entry in [
            "",
            "nginx:1.27",
            "registry.example.com/app:1",
            "team/app@sha256:0a",
            "registry.example.com/",
        ] {
            assert_eq!(of_entry(entry), None, "{entry}");
        }
    }
}
