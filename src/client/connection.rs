//! The options that all commands share: where the API is, and with which token it is asked.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Uri};
use tokio::sync::OnceCell;

use super::api::Api;
use super::error::Error;
use super::tls::TlsFiles;

/// How to reach the API.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Connection {
    /// Where Postern takes requests; a path in front of the API's paths may be part of it
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "POSTERN_URL",
        default_value = "http://127.0.0.1:8080"
    )]
    url: String,
    /// Organisation; not needed when your token belongs to one only
    #[arg(long, global = true, value_name = "ORG", env = "POSTERN_ORG")]
    org: Option<String>,
    /// File that holds your token; without it the token is taken from the variable POSTERN_TOKEN
    #[arg(long, global = true, value_name = "FILE", env = "POSTERN_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Send this field with each request, for guards that ask for it; may be given more than once
    #[arg(long = "header", global = true, value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    #[command(flatten)]
    tls: TlsFiles,
    /// Print the API's answer as JSON
    #[arg(long, global = true, env = "POSTERN_JSON")]
    json: bool,
}

/// Reads a variable of the environment.
pub(super) type Variables = dyn Fn(&str) -> Option<String>;

/// A connection that is ready to ask, and how its answers are printed.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) api: Api,
    /// The organisation, once it is known.
    pub(super) org: OnceCell<String>,
    pub(super) json: bool,
}

/// The caller's token.
pub(super) struct Bearer(String);

impl Connection {
    /// Returns whether answers are printed as JSON.
    pub(super) fn json(&self) -> bool {
        self.json
    }

    /// Gathers what a request needs. Nothing is sent yet.
    ///
    /// # Errors
    /// Whatever cannot be used: the address, the token, a file.
    pub(super) fn open(self, variables: &Variables) -> Result<Session, Error> {
        let base = base(&self.url).ok_or(Error::Url(self.url))?;
        let bearer = Bearer::find(self.token_file.as_deref(), variables)?;
        let tls = self.tls.config(&base)?;
        Ok(Session {
            api: Api::new(base, bearer, self.headers.into_iter().collect(), tls),
            org: OnceCell::new_with(self.org),
            json: self.json,
        })
    }
}

impl Bearer {
    /// Returns the token, to be sent.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// Returns the secret that a file holds.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::UnusableToken`].
    pub(super) fn of_file(path: &Path) -> Result<Self, Error> {
        Self::find(Some(path), &|_name| None)
    }

    fn find(file: Option<&Path>, variables: &Variables) -> Result<Self, Error> {
        let (text, place) = match file {
            Some(path) => (read(path)?, path.display().to_string()),
            None => {
                let token = variables(TOKEN_VARIABLE).filter(|token| !token.trim().is_empty());
                (token.ok_or(Error::NoToken)?, TOKEN_VARIABLE.to_owned())
            }
        };
        let token = text.trim();
        if !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(token.to_owned()))
        } else {
            Err(Error::UnusableToken(place))
        }
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(..)")
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

/// Where the caller's token is, unless it is in a file.
const TOKEN_VARIABLE: &str = "POSTERN_TOKEN";

/// Reads a field as RFC 9110 §5 writes it. Those that say whose request it is, where it goes and where it ends are not for
/// the caller to set.
fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("a name, a colon and a value")?;
    let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
    let value = HeaderValue::try_from(value.trim()).map_err(|error| error.to_string())?;
    if [AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING].contains(&name) {
        return Err(format!("{name} is set by the command itself"));
    }
    Ok((name, value))
}

/// Returns an address without a slash at its end. `None` when no path of the API could be put behind it.
pub(super) fn base(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let known = [&Scheme::HTTP, &Scheme::HTTPS].contains(&uri.scheme()?);
    // Name and password in an address would end up in messages.
    let plain = !uri.authority()?.as_str().contains('@') && uri.query().is_none();
    (known && plain && !url.contains('#')).then(|| url.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_a_prefix_and_loses_its_last_slash() {
        for (url, expected) in [
            ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("https://example.com/", Some("https://example.com")),
            ("https://example.com/a/b/", Some("https://example.com/a/b")),
            ("example.com", None),
            ("ftp://example.com", None),
            ("https://user:secret@example.com", None),
            ("https://example.com/?a=b", None),
            ("https://example.com/#a", None),
            ("", None),
        ] {
            assert_eq!(base(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn a_field_has_a_name_and_a_value_and_is_not_one_of_the_commands_own() {
        let (name, value) = header("X-Change-Ticket: CHG-1: now").expect("a field");
        assert_eq!(
            (name.as_str(), value.as_bytes()),
            ("x-change-ticket", &b"CHG-1: now"[..])
        );
        for refused in [
            "ticket",
            ": 1",
            "a b: 1",
            "a: b\nc: d",
            "authorization: Bearer x",
            "Host: x",
        ] {
            assert!(header(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_token_is_taken_from_the_file_first_and_must_be_one_word() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("token");
        fs::write(&file, "from-file\n").expect("it is written");
        let variable = |_: &str| Some("from-variable".to_owned());
        let found = Bearer::find(Some(&file), &variable).expect("a token");
        assert_eq!(
            (found.reveal(), format!("{found:?}")),
            ("from-file", "Bearer(..)".to_owned())
        );
        assert_eq!(
            Bearer::find(None, &variable).expect("a token").reveal(),
            "from-variable"
        );
        assert!(matches!(Bearer::find(None, &|_: &str| None), Err(Error::NoToken)));
        assert!(matches!(
            Bearer::find(None, &|_: &str| Some(" ".to_owned())),
            Err(Error::NoToken)
        ));

        fs::write(&file, "two words").expect("it is written");
        let error = Bearer::find(Some(&file), &variable).expect_err("it is refused");
        assert!(matches!(error, Error::UnusableToken(_)) && !error.to_string().contains("words"));
        fs::remove_file(&file).expect("it is removed");
        assert!(matches!(Bearer::find(Some(&file), &variable), Err(Error::File { .. })));
    }
}
