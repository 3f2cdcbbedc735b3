//! `postern policy push` and `pull`: components in OCI registries. They ask no Postern.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use feed::{Clock, PolicyDigest};
use serde_json::json;

use crate::client::error::Error;
use crate::client::oci::{COMPONENT_BYTES_MAX, Options, Reference, Registry};
use crate::client::output::Output;

/// Options of `postern policy push`.
#[derive(Debug, Args)]
pub(crate) struct Push {
    /// Component
    file: PathBuf,
    /// Where to, such as oci://registry.example.com/policies/freeze:1.2.0
    #[arg(value_name = "REFERENCE")]
    reference: String,
    /// Print reference and digest as JSON
    #[arg(long, env = "POSTERN_JSON")]
    json: bool,
    #[command(flatten)]
    registry: Options,
}

/// Options of `postern policy pull`.
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// Where from; with @sha256:… only that one artifact is taken
    #[arg(value_name = "REFERENCE")]
    reference: String,
    /// File to write the component to
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Print reference and digest as JSON
    #[arg(long, env = "POSTERN_JSON")]
    json: bool,
    #[command(flatten)]
    registry: Options,
}

/// Pushes a component.
///
/// # Errors
/// [`Error::File`], [`Error::Registry`], and [`Error::Usage`] for a reference that is pinned already.
pub(super) async fn push(push: Push, clock: &Clock) -> Result<Output, Error> {
    let reference: Reference = push.reference.parse()?;
    if reference.is_pinned() {
        let problem = "push to a tag: what the digest will be is told when it is done";
        return Err(Error::Usage(problem.to_owned()));
    }
    let component = read_component(&push.file)?;
    let registry = Registry::open(&reference, &push.registry)?;
    let pinned = registry.push(&reference, &component, clock.unix_ms()).await?;
    Ok(told(&pinned, &component, push.json))
}

/// Pulls a component into a file.
///
/// # Errors
/// [`Error::Registry`] and [`Error::Written`].
pub(super) async fn pull(pull: Pull) -> Result<Output, Error> {
    let reference: Reference = pull.reference.parse()?;
    let pulled = Registry::open(&reference, &pull.registry)?.pull(&reference).await?;
    write(&pull.output, &pulled.component)?;
    Ok(told(&pulled.pinned, &pulled.component, pull.json))
}

/// Reads a component from a file.
///
/// # Errors
/// [`Error::File`], and [`Error::Content`] for one that is longer than a policy may be.
pub(super) fn read_component(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > COMPONENT_BYTES_MAX as u64 {
        return Err(Error::Content {
            path: path.to_owned(),
            problem: format!(
                "longer than {} MiB, the most that a policy may have",
                COMPONENT_BYTES_MAX >> 20
            ),
        });
    }
    fs::read(path).map_err(failed)
}

/// Writes a file whole: under another name first, so that nobody finds half of it.
///
/// # Errors
/// [`Error::Written`].
pub(super) fn write(path: &Path, octets: &[u8]) -> Result<(), Error> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let written = fs::write(&beside, octets).and_then(|()| fs::rename(&beside, path));
    written.map_err(|source| Error::Written {
        path: path.to_owned(),
        source,
    })
}

fn told(pinned: &str, component: &[u8], json: bool) -> Output {
    let digest = PolicyDigest::of(component);
    if json {
        Output::json(&json!({"reference": pinned, "digest": digest.to_string(), "size_bytes": component.len()}))
    } else {
        Output::text(format!("{pinned}\n")).advise(format!("component {digest}, {} octets\n", component.len()))
    }
}
