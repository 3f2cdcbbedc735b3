//! Who and where is meant: a subject by its id or its name, the organisation by what the caller's token says.

use std::collections::BTreeSet;

use serde_json::Value;
use uuid::Uuid;

use super::api::segment;
use super::connection::Session;
use super::error::Error;

impl Session {
    /// Returns the organisation: the one that was said, or else the only one that the caller has a role in.
    ///
    /// # Errors
    /// [`Error::Org`], and what asking fails with.
    pub(super) async fn org(&self) -> Result<&str, Error> {
        self.org.get_or_try_init(|| self.only_org()).await.map(String::as_str)
    }

    /// Returns the id of a subject. A text in the form of an id is one, and is not looked up.
    ///
    /// # Errors
    /// [`Error::NoSubject`], [`Error::SeveralSubjects`], and what asking fails with.
    pub(super) async fn subject(&self, id_or_name: &str) -> Result<String, Error> {
        if is_subject_id(id_or_name) {
            return Ok(id_or_name.to_owned());
        }
        let org = self.org().await?;
        let listed = self.api.get(&format!("/orgs/{}/users", segment(org))).await?;
        let subjects = listed.as_array().into_iter().flatten();
        let field = |subject: &Value, name: &str| subject[name].as_str().unwrap_or_default().to_owned();
        let mut ids = Vec::new();
        for subject in subjects {
            let id = field(subject, "id");
            if id == id_or_name {
                return Ok(id);
            }
            if field(subject, "name") == id_or_name {
                ids.push(id);
            }
        }
        match ids.as_slice() {
            [id] => Ok(id.clone()),
            [] => Err(Error::NoSubject {
                org: org.to_owned(),
                name: id_or_name.to_owned(),
            }),
            _ => Err(Error::SeveralSubjects {
                name: id_or_name.to_owned(),
                ids,
            }),
        }
    }

    async fn only_org(&self) -> Result<String, Error> {
        let caller = self.api.get("/current-user").await?;
        let roles = caller["roles"].as_object();
        let roles = roles.ok_or_else(|| self.api.incomplete("the current user has no roles"))?;
        let orgs: BTreeSet<_> = roles.keys().filter_map(|object| object.split('/').nth(2)).collect();
        match Vec::from_iter(orgs).as_slice() {
            [org] => Ok((*org).to_owned()),
            [] => Err(Error::Org("your token has no role in any".to_owned())),
            several => Err(Error::Org(format!("your token has roles in {}", several.join(", ")))),
        }
    }
}

/// Returns whether a text is `s-` or `g-` and a UUID, or a bare UUID.
fn is_subject_id(text: &str) -> bool {
    let uuid = text
        .strip_prefix("s-")
        .or_else(|| text.strip_prefix("g-"))
        .unwrap_or(text);
    // The parser knows other forms of UUIDs too, which differ in length.
    uuid.len() == UUID_CHARS && Uuid::try_parse(uuid).is_ok()
}

const UUID_CHARS: usize = uuid::fmt::Hyphenated::LENGTH;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_names() {
        let uuid = "d35b0d0e-8a53-40e9-a329-64e48b7e92e0";
        for id in [uuid.to_owned(), format!("s-{uuid}"), format!("g-{uuid}")] {
            assert!(is_subject_id(&id), "{id}");
        }
        for name in [
            "ci",
            "s-ci",
            &format!("x-{uuid}"),
            &uuid.replace('-', ""),
            &format!("{{{uuid}}}"),
        ] {
            assert!(!is_subject_id(name), "{name}");
        }
    }
}
