//! Settings of the store.

use admin::PostgresPlace;

use super::Reading;

impl Reading {
    /// Returns the database of a store that is not in the data directory.
    pub(crate) fn postgres(&mut self) -> Option<PostgresPlace> {
        let url = self.text("store_url");
        let password = self.file("store_password_file");
        if url.is_empty() {
            if password.is_some() {
                self.errors.push("store_password_file: only with store_url".to_owned());
            }
            return None;
        }
        let password = match password.map(|path| (std::fs::read_to_string(&path), path)) {
            None => None,
            Some((Ok(text), _)) => Some(text.trim_end_matches(['\r', '\n']).to_owned()),
            Some((Err(error), path)) => {
                let path = path.display();
                self.errors
                    .push(format!("store_password_file: {path} cannot be read: {error}"));
                None
            }
        };
        match PostgresPlace::parse(&url, password.as_deref()) {
            Ok(place) => Some(place),
            // Without the value: it may hold what belongs nowhere.
            Err(error) => {
                self.errors.push(format!("store_url: {error}"));
                None
            }
        }
    }
}
