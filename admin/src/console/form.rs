//! Forms: what a person has typed, with what is wrong with it beside it.

use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::multipart::Multipart;
use axum::extract::{FromRequest, Request};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode;
use tokio::time::timeout;

use super::ask::Refused;

/// The fields of a form, in their order, as they were typed.
#[derive(Debug, Clone, Default)]
pub(super) struct Typed(Vec<(String, String)>);

/// A form with a file.
#[derive(Debug, Default)]
pub(super) struct Upload {
    fields: Typed,
    /// Empty when none was chosen.
    pub file: Vec<u8>,
}

/// A field of a form as it is shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Field {
    pub value: String,
    pub error: Option<String>,
}

impl Typed {
    /// Reads the body of a request, `application/x-www-form-urlencoded`.
    pub(super) async fn read(request: Request) -> Result<Self, Refused> {
        let reading = to_bytes(request.into_body(), FORM_BYTES_MAX);
        let octets = timeout(FORM_TIME_MAX, reading)
            .await
            .map_err(|_elapsed| Refused::unread())?;
        let octets = octets.map_err(|_too_long| Refused::unread())?;
        let fields = octets.split(|octet| *octet == b'&').filter(|field| !field.is_empty());
        let decode = |octets: &[u8]| {
            let spaced: Vec<u8> = octets
                .iter()
                .map(|octet| if *octet == b'+' { b' ' } else { *octet })
                .collect();
            percent_decode(&spaced).decode_utf8_lossy().into_owned()
        };
        let pair = |field: &[u8]| match field.iter().position(|octet| *octet == b'=') {
            Some(at) => (decode(&field[..at]), decode(&field[at + 1..])),
            None => (decode(field), String::new()),
        };
        Ok(Self(fields.map(pair).collect()))
    }

    /// Returns a field without spaces around it; empty when it was not sent.
    pub(super) fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(field, _)| field == name);
        found.map_or("", |(_, value)| value.trim())
    }

    /// Returns a field as it is shown again.
    pub(super) fn field(&self, name: &str) -> Field {
        Field {
            value: self.text(name).to_owned(),
            error: None,
        }
    }

    /// Returns all fields.
    pub(super) fn fields(&self) -> &[(String, String)] {
        &self.0
    }
}

impl<S: Send + Sync> FromRequest<S> for Typed {
    type Rejection = Refused;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refused> {
        Self::read(request).await
    }
}

impl Upload {
    /// Returns a field beside the file.
    pub(super) fn text(&self, name: &str) -> &str {
        self.fields.text(name)
    }

    /// Returns whether a request brings such a form.
    pub(super) fn is_in(headers: &HeaderMap) -> bool {
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        content_type.is_some_and(|content_type| content_type.starts_with("multipart/form-data"))
    }
}

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let reading = async {
            let mut parts = Multipart::from_request(request, state)
                .await
                .map_err(|_other_form| Refused::unread())?;
            let mut upload = Self::default();
            while let Some(part) = parts.next_field().await.map_err(|_malformed| Refused::unread())? {
                let name = part.name().unwrap_or_default().to_owned();
                let of_file = part.file_name().is_some();
                let octets = part.bytes().await.map_err(|_too_long| Refused::unread())?;
                if of_file {
                    upload.file = octets.into();
                } else {
                    let text = String::from_utf8_lossy(&octets).into_owned();
                    upload.fields.0.push((name, text));
                }
            }
            Ok(upload)
        };
        timeout(UPLOAD_TIME_MAX, reading)
            .await
            .map_err(|_elapsed| Refused::unread())?
    }
}

impl Field {
    /// Returns a field that nobody has typed in.
    pub(super) fn of(value: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            error: None,
        }
    }

    pub(super) fn refuse(&mut self, why: impl Into<String>) {
        self.error = Some(why.into());
    }
}

/// Longest form, in octets: no field of the API holds more than a thousand characters.
const FORM_BYTES_MAX: usize = 64 << 10;

/// Longest form with a file: larger components are published by the command line.
pub(super) const UPLOAD_BYTES_MAX: usize = 16 << 20;

/// Longest time that the body of a form may take to come.
const FORM_TIME_MAX: Duration = Duration::from_secs(10);
const UPLOAD_TIME_MAX: Duration = Duration::from_secs(60);
