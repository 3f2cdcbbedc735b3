//! Somebody who uses the commands that ask a running Postern.

use serde_json::Value;

use super::postern::Postern;
use super::process::{Ended, Process, postern};

/// Somebody at a terminal.
pub(crate) struct Terminal {
    pub(crate) url: String,
    pub(crate) token: String,
}

impl Terminal {
    pub(crate) fn of_administrator(postern: &Postern) -> Self {
        Self {
            url: format!("http://{}", postern.address),
            token: postern.administrator().token.expect("it has one"),
        }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = postern(arguments);
        command.env("POSTERN_URL", &self.url).env("POSTERN_TOKEN", &self.token);
        Process::spawn(command).ended()
    }

    /// Runs a command that is to succeed, and checks that it prints no token.
    #[track_caller]
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
        assert!(
            ![&ended.stdout, &ended.stderr].iter().any(|text| text.contains("pstn_")),
            "{}",
            ended.stdout
        );
        ended.stdout
    }

    /// Runs a command that is to be refused by the API, and returns what it says.
    #[track_caller]
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(1), "{arguments:?}: {}{}", ended.stdout, ended.stderr);
        ended.stderr
    }

    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let printed = self.done(&[arguments, &["--json"]].concat());
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
    }
}
