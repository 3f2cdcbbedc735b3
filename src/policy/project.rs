//! A policy's folder: `policy.toml`, and where its parts are.

use std::path::{Path, PathBuf};

use feed::PolicyKind;
use serde::Deserialize;

use crate::exit::{DATA, Failure, INPUT_OUTPUT, USAGE};

/// A folder with a `policy.toml`.
pub(super) struct Project {
    folder: PathBuf,
    /// What the file says.
    pub(super) said: Said,
}

/// What `policy.toml` says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    /// Name of the policy.
    pub(super) name: String,
    /// Whether it grants or refuses.
    pub(super) kind: PolicyKind,
    /// The language it is written in; told to people only.
    pub(super) lang: String,
    /// How a component is made.
    pub(super) build: Build,
}

/// How a component is made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Build {
    /// The component or core module that the last step leaves.
    pub(super) output: PathBuf,
    /// Commands, in their order.
    #[serde(default)]
    pub(super) step: Vec<Step>,
}

/// A command of a build.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// Words separated by blanks; no shell reads them.
    pub(super) run: String,
    /// Not run when this is there.
    pub(super) unless: Option<PathBuf>,
    /// What to do when its tool is missing.
    pub(super) install: Option<String>,
}

impl Project {
    /// Reads `policy.toml` of a folder.
    ///
    /// # Errors
    /// When there is none, or it cannot be understood.
    pub(super) fn open(folder: &Path) -> Result<Self, Failure> {
        let file = folder.join(FILE);
        let text = std::fs::read_to_string(&file).map_err(|error| {
            let advice = "make a policy with `postern policy new --lang rust NAME`, or say which folder";
            Failure::said(INPUT_OUTPUT, format!("{}: {error}; {advice}", file.display()))
        })?;
        let said: Said =
            toml::from_str(&text).map_err(|error| Failure::said(DATA, format!("{}: {error}", file.display())))?;
        let problem = is_name(&said.name).err();
        match problem {
            Some(problem) => Err(Failure::said(DATA, format!("{}: {problem}", file.display()))),
            None => Ok(Self {
                folder: folder.to_owned(),
                said,
            }),
        }
    }

    /// Returns the folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns where the component is.
    pub(super) fn component(&self) -> PathBuf {
        self.folder.join(format!("{}.wasm", self.said.name))
    }
}

/// A component to work with: a file, or that of a policy's folder.
pub(super) struct Component {
    /// Where it is.
    pub(super) file: PathBuf,
    /// What it is.
    pub(super) bytes: Vec<u8>,
    /// The folder, when one was given.
    pub(super) project: Option<Project>,
}

impl Component {
    /// Reads a component file, or that of a policy's folder.
    ///
    /// # Errors
    /// When it is not there; the message says how to make it.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let project = if path.is_dir() {
            Some(Project::open(path)?)
        } else {
            None
        };
        let file = project.as_ref().map_or_else(|| path.to_owned(), Project::component);
        let bytes = std::fs::read(&file).map_err(|error| {
            let advice = match project {
                Some(_) => "; run `postern policy build` first",
                None => "",
            };
            Failure::said(INPUT_OUTPUT, format!("{}: {error}{advice}", file.display()))
        })?;
        Ok(Self { file, bytes, project })
    }
}

/// Checks the name of a policy.
///
/// # Errors
/// What a name must be.
pub(super) fn is_name(name: &str) -> Result<(), String> {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let starts = name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic());
    if starts && name.len() <= NAME_BYTES_MAX && name.bytes().all(inner) {
        return Ok(());
    }
    Err(format!(
        "{name:?} is no name of a policy: a letter, then letters, digits and hyphens, {NAME_BYTES_MAX} at most"
    ))
}

/// Checks a name that was given on the command line.
///
/// # Errors
/// [`USAGE`].
pub(super) fn check_name(name: &str) -> Result<(), Failure> {
    is_name(name).map_err(|problem| Failure::said(USAGE, problem))
}

const FILE: &str = "policy.toml";

/// Longest name of a policy, as the contract has it.
const NAME_BYTES_MAX: usize = 50;
