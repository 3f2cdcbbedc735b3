//! Whose credentials a registry is asked with: those that were given, else those that `docker login` left.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci_client::secrets::RegistryAuth;
use serde_json::Value;

use super::{Error, Options, Reference};

/// Returns the credentials for the registry of a reference; anonymous when there are none.
///
/// # Errors
/// [`Error::File`], and [`Error::Credentials`] when docker's configuration has some that cannot be used.
pub(super) fn of(reference: &Reference, options: &Options) -> Result<RegistryAuth, Error> {
    if let (Some(name), Some(path)) = (&options.registry_username, &options.registry_password_file) {
        let password = read(path)?;
        return Ok(RegistryAuth::Basic(name.clone(), password.trim().to_owned()));
    }
    let Some(path) = docker_config() else {
        return Ok(RegistryAuth::Anonymous);
    };
    match fs::read_to_string(&path) {
        Ok(text) => in_docker_config(&text, reference.host()).map_err(|problem| Error::Credentials { path, problem }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(RegistryAuth::Anonymous),
        Err(source) => Err(Error::File { path, source }),
    }
}

/// Reads a small text file.
///
/// # Errors
/// [`Error::File`].
pub(super) fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}

fn docker_config() -> Option<PathBuf> {
    let folder = |name: &str| {
        std::env::var_os(name)
            .filter(|folder| !folder.is_empty())
            .map(PathBuf::from)
    };
    let folder = folder("DOCKER_CONFIG").or_else(|| folder("HOME").map(|home| home.join(".docker")))?;
    Some(folder.join("config.json"))
}

fn in_docker_config(text: &str, host: &str) -> Result<RegistryAuth, String> {
    let config: Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON ({error})"))?;
    let named = |map: &'static str| {
        let entries = config[map].as_object().into_iter().flatten();
        entries
            .filter(|(key, _)| names(key, host))
            .map(|(_, entry)| entry)
            .next()
    };
    let entry = named("auths");
    if let Some(auth) = entry
        .and_then(|entry| entry["auth"].as_str())
        .filter(|auth| !auth.is_empty())
    {
        let decoded = STANDARD.decode(auth).ok().and_then(|pair| String::from_utf8(pair).ok());
        let pair = decoded.as_deref().and_then(|pair| pair.split_once(':'));
        let (name, password) =
            pair.ok_or_else(|| format!("the credentials of {host} are not a name and a password"))?;
        return Ok(RegistryAuth::Basic(name.to_owned(), password.to_owned()));
    }
    let with_helper = named("credHelpers").is_some() || (entry.is_some() && config["credsStore"].is_string());
    if with_helper {
        return Err(format!(
            "it leaves the credentials of {host} to a helper program, which is not asked"
        ));
    }
    Ok(RegistryAuth::Anonymous)
}

/// Returns whether a key of docker's configuration means a host: alone, or as the address of its API.
fn names(key: &str, host: &str) -> bool {
    let key = key.trim_start_matches("https://").trim_start_matches("http://");
    let own = match host {
        "docker.io" => "index.docker.io",
        other => other,
    };
    [host, own].iter().any(|host| {
        key.strip_prefix(host)
            .is_some_and(|rest| matches!(rest.trim_end_matches('/'), "" | "/v1" | "/v2"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_login_left_is_used_for_that_host_alone() {
        // robot:secret:1
        let config = r#"{"auths": {"https://registry.example.com/v2/": {"auth": "cm9ib3Q6c2VjcmV0OjE="},
            "localhost:5000": {"auth": "cm9ib3Q6c2VjcmV0OjE="}, "https://index.docker.io/v1/": {"auth": "YTpi"}}}"#;
        let expected = RegistryAuth::Basic("robot".to_owned(), "secret:1".to_owned());
        for host in ["registry.example.com", "localhost:5000"] {
            assert_eq!(in_docker_config(config, host), Ok(expected.clone()), "{host}");
        }
        assert!(matches!(
            in_docker_config(config, "docker.io"),
            Ok(RegistryAuth::Basic(..))
        ));
        for host in ["example.com", "registry.example.co", "localhost", "localhost:50000"] {
            assert_eq!(in_docker_config(config, host), Ok(RegistryAuth::Anonymous), "{host}");
        }
    }

    #[test]
    fn credentials_that_cannot_be_had_are_not_left_out_silently() {
        for config in [
            "no JSON",
            r#"{"auths": {"example.com": {"auth": "bm9jb2xvbg=="}}}"#,
            r#"{"auths": {"example.com": {}}, "credsStore": "desktop"}"#,
            r#"{"credHelpers": {"example.com": "ecr-login"}}"#,
        ] {
            assert!(in_docker_config(config, "example.com").is_err(), "{config}");
        }
        let other = r#"{"credsStore": "desktop"}"#;
        assert_eq!(in_docker_config(other, "example.com"), Ok(RegistryAuth::Anonymous));
    }
}
