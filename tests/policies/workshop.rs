//! A folder to write policies in.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::harness::process::{Ended, postern};

/// Somebody at a terminal, in a folder of their own.
pub(crate) struct Workshop {
    folder: TempDir,
}

impl Workshop {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        Self { folder }
    }

    /// Returns a path in the folder.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Runs `postern policy …`, however long it takes: compilers do on a busy machine.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.end(postern([&["policy"], arguments].concat()))
    }

    /// Runs a command in the folder.
    pub(crate) fn end(&self, mut command: Command) -> Ended {
        let output = command.current_dir(&self.folder).output().expect("it can be run");
        let text = |bytes| String::from_utf8(bytes).expect("it prints UTF-8");
        Ended {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Runs `postern policy …`, which is to succeed, and returns what it prints.
    #[track_caller]
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}{}", ended.stdout, ended.stderr);
        ended.stdout
    }

    /// Runs `postern policy …`, which is to refuse, and returns all that it prints.
    #[track_caller]
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.code, Some(1), "{arguments:?}: {said}");
        said
    }

    /// Makes a policy from a template, with the packages of its language where all tests share them.
    #[track_caller]
    pub(crate) fn make(&self, lang: &str, kind: &str, name: &str) {
        self.done(&["new", "--lang", lang, "--kind", kind, name]);
        let shared = match lang {
            "rust" | "rego" => "target",
            "assemblyscript" | "javascript" | "typescript" => "node_modules",
            _ => return,
        };
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("policies").join(lang);
        fs::create_dir_all(folder.join(shared)).expect("a directory");
        symlink(folder.join(shared), self.path(name).join(shared)).expect("a link");
    }

    /// Compiles a policy; one after the other, where they share packages.
    #[track_caller]
    pub(crate) fn build(&self, name: &str) {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        // Another test's failure says what it has to say itself.
        let _one = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.done(&["build", name]);
    }

    /// Makes a policy in C, which compiles in no time, of a template with some of its text replaced.
    #[track_caller]
    pub(crate) fn made_of_c(&self, kind: &str, name: &str, replaced: &[(&str, &str)]) {
        self.made_of_c_in(name, (kind, name), replaced);
    }

    /// As [`Workshop::made_of_c`], in a folder of another name.
    #[track_caller]
    pub(crate) fn made_of_c_in(&self, folder: &str, (kind, name): (&str, &str), replaced: &[(&str, &str)]) {
        self.done(&["new", "--lang", "c", "--kind", kind, name, "--dir", folder]);
        let source = self.path(folder).join("policy.c");
        let mut text = fs::read_to_string(&source).expect("the template's source");
        for (from, to) in replaced {
            assert!(text.contains(from), "the template has no {from:?}");
            text = text.replace(from, to);
        }
        fs::write(source, text).expect("it can be written");
        self.build(folder);
    }

    /// Writes a file.
    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a directory");
        fs::write(path, text).expect("it can be written");
    }

    /// Returns the digest of a file.
    pub(crate) fn digest(&self, path: impl AsRef<OsStr>) -> String {
        let bytes = fs::read(self.folder.path().join(path.as_ref())).expect("it is there");
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
