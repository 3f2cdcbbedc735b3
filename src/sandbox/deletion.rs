//! Deletion that takes its time, without a clock: counted in looks at the object.

use serde_json::{Map, Value, json};

use super::request::Stamp;

/// Whether an app or an environment is there to stay.
#[derive(Debug)]
pub(super) struct Status {
    changed_at: String,
    looks_left: Option<u32>,
}

/// How a deletion goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deletion {
    /// The object is gone: 204.
    Done,
    /// The object is still there for a while: 202.
    InProgress,
}

impl Status {
    pub(super) fn active(stamp: &Stamp) -> Self {
        Self {
            changed_at: stamp.at.clone(),
            looks_left: None,
        }
    }

    /// Begins the deletion, or lets one that has begun go on.
    pub(super) fn begin_deletion(&mut self, looks: Option<u32>, stamp: &Stamp) -> Deletion {
        let Some(looks) = looks else {
            return Deletion::Done;
        };
        if self.looks_left.is_none() {
            self.looks_left = Some(looks);
            self.changed_at = stamp.at.clone();
        }
        Deletion::InProgress
    }

    /// Counts one look at the object. Returns whether the deletion is over, so that the object must go now.
    pub(super) fn is_over_at_this_look(&mut self) -> bool {
        match &mut self.looks_left {
            None => false,
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }

    /// Writes the fields that tell the status.
    pub(super) fn describe(&self, fields: &mut Map<String, Value>) {
        let status = if self.looks_left.is_some() {
            "deleting"
        } else {
            "active"
        };
        fields.insert("status".to_owned(), json!(status));
        fields.insert("status_changed_at".to_owned(), json!(self.changed_at));
    }
}

impl axum::response::IntoResponse for Deletion {
    fn into_response(self) -> axum::response::Response {
        match self {
            Self::Done => http::StatusCode::NO_CONTENT.into_response(),
            Self::InProgress => http::StatusCode::ACCEPTED.into_response(),
        }
    }
}
