//! Settings of the control plane: its store, and the console.

use std::net::SocketAddr;

use admin::{Origin, PostgresPlace};

use super::Reading;

/// Settings of the console.
#[derive(Debug, Clone)]
pub(crate) struct ConsoleConfig {
    pub(crate) listen: SocketAddr,
    /// `None`: this machine, on the port that it listens on.
    pub(crate) origin: Option<Origin>,
    /// Empty: nobody has said.
    pub(crate) gateway_url: String,
}

impl Reading {
    /// Returns the database of a store that is not in the data directory.
    pub(crate) fn postgres(&mut self) -> Option<PostgresPlace> {
        let url = self.text("store_url");
        if url.is_empty() {
            if self.file("store_password_file").is_some() {
                self.errors.push("store_password_file: only with store_url".to_owned());
            }
            return None;
        }
        let password = self.store_password();
        match PostgresPlace::parse(&url, password.as_deref()) {
            Ok(place) => Some(place),
            // Without the value: it may hold what belongs nowhere.
            Err(error) => {
                self.errors.push(format!("store_url: {error}"));
                None
            }
        }
    }

    /// Returns where the console listens, and where browsers find it if not there; `None`: there is no console.
    pub(crate) fn console(&mut self) -> Option<ConsoleConfig> {
        let url = self.text("console_url");
        let origin = match url.as_str() {
            "" => None,
            url => match Origin::parse(url) {
                Ok(origin) => Some(origin),
                Err(error) => {
                    self.errors.push(format!("console_url: {url:?} is {error}"));
                    None
                }
            },
        };
        let gateway_url = self.text("console_gateway_url");
        if self.text("console_listen").is_empty() {
            return None;
        }
        Some(ConsoleConfig {
            listen: self.address("console_listen"),
            origin,
            gateway_url,
        })
    }

    /// Returns the password for databases of stores, without the end of its line.
    pub(crate) fn store_password(&mut self) -> Option<String> {
        let path = self.file("store_password_file")?;
        match std::fs::read_to_string(&path) {
            Ok(text) => Some(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) => {
                let path = path.display();
                self.errors
                    .push(format!("store_password_file: {path} cannot be read: {error}"));
                None
            }
        }
    }
}
