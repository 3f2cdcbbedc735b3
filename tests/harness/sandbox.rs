//! The sandbox orchestrator that the binary brings, as a process of its own.

use tempfile::TempDir;

use super::postern::{ORG, UPSTREAM_CREDENTIAL, address_in};
use super::process::Process;

/// A running sandbox orchestrator.
pub(crate) struct Sandbox {
    _process: Process,
    _directory: TempDir,
    url: String,
}

impl Sandbox {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// Starts it with more flags.
    pub(crate) fn with(flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let credential = directory.path().join("credential");
        std::fs::write(&credential, UPSTREAM_CREDENTIAL).expect("it is written");
        let credential = credential.display().to_string();
        let own = [
            "sandbox",
            "--listen",
            "127.0.0.1:0",
            "--credential-file",
            &credential,
            "--org",
            ORG,
        ];
        let process = Process::start(own.iter().chain(flags));
        let url = format!("http://{}", address_in(&process.logged("listening"), "address"));
        Self {
            _process: process,
            _directory: directory,
            url,
        }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }
}
