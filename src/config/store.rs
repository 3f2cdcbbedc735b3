//! Settings of the store.

use admin::PostgresPlace;

use super::Reading;

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
