//! One request to the API and its answer, as JSON.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use serde_json::Value;

use super::connection::Bearer;
use super::error::Error;
use super::output::printable;

/// The API, and the token it is asked with.
pub(super) struct Api {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    bearer: Bearer,
    /// Fields that every request carries besides.
    headers: HeaderMap,
}

impl Api {
    /// Prepares to ask the API at an address without a slash at its end.
    pub(super) fn new(base: String, bearer: Bearer, headers: HeaderMap, tls: ClientConfig) -> Self {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            base,
            bearer,
            headers,
        }
    }

    /// Returns what is at a path.
    ///
    /// # Errors
    /// As [`Api::ask`].
    pub(super) async fn get(&self, path: &str) -> Result<Value, Error> {
        self.ask(Method::GET, path, None).await
    }

    /// Sends a request and returns the answer; null when it is empty. Redirects are not followed: the token is for
    /// this address.
    ///
    /// # Errors
    /// [`Error::Refused`] for any status but 2xx; [`Error::Unreachable`] without an answer within [`DEADLINE`];
    /// [`Error::NotTheApi`] for an answer that is not JSON.
    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        let (url, body) = self.answer(method, path, body, DEADLINE).await?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        let problem = "its answer is not JSON";
        serde_json::from_slice(&body).or(Err(Error::NotTheApi { url, problem }))
    }

    /// Returns the octets at a path.
    ///
    /// # Errors
    /// As [`Api::ask`], but for [`Error::NotTheApi`].
    pub(super) async fn octets(&self, path: &str) -> Result<Bytes, Error> {
        let (_, body) = self.answer(Method::GET, path, None, DEADLINE).await?;
        Ok(body)
    }

    /// Sends a component to be vetted and stored, which takes its time, and returns the answer.
    ///
    /// # Errors
    /// As [`Api::ask`], with [`VETTING_DEADLINE`].
    pub(super) async fn publish(&self, path: &str, body: &Value) -> Result<Value, Error> {
        let (url, body) = self.answer(Method::POST, path, Some(body), VETTING_DEADLINE).await?;
        let problem = "its answer is not JSON";
        serde_json::from_slice(&body).or(Err(Error::NotTheApi { url, problem }))
    }

    /// Sends a request and returns the address it went to, and the body of the answer.
    async fn answer(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        deadline: Duration,
    ) -> Result<(String, Bytes), Error> {
        let url = format!("{}{path}", self.base);
        let request = self.request(method, &url, body)?;
        let answered = tokio::time::timeout(deadline, self.exchange(request)).await;
        let (status, body) = match answered {
            Ok(Ok(answer)) => answer,
            Ok(Err(source)) => return Err(Error::Unreachable { url, source }),
            Err(elapsed) => {
                let source = Box::new(elapsed);
                return Err(Error::Unreachable { url, source });
            }
        };
        if !status.is_success() {
            return Err(self.refused(status, &body));
        }
        Ok((url, body))
    }

    /// Reports an answer of the API that lacks what it must have.
    pub(super) fn incomplete(&self, problem: &'static str) -> Error {
        let url = self.base.clone();
        Error::NotTheApi { url, problem }
    }

    fn request(&self, method: Method, url: &str, body: Option<&Value>) -> Result<Request<Full<Bytes>>, Error> {
        let authorization = HeaderValue::try_from(format!("Bearer {}", self.bearer.reveal()));
        let mut authorization = authorization.expect("a bearer is printable ASCII");
        authorization.set_sensitive(true);
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .header(AUTHORIZATION, authorization)
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("postern/", env!("CARGO_PKG_VERSION")));
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut request = request.body(Full::from(body)).or(Err(Error::Url(url.to_owned())))?;
        request.headers_mut().extend(self.headers.clone());
        Ok(request)
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let (head, body) = self.client.request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?;
        Ok((head.status, body.to_bytes()))
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> Error {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        // Whatever stands there may be no Postern, and may send back what it was sent.
        let text = |field: &str| {
            let text = body[field].as_str().unwrap_or_default();
            printable(&text.replace(self.bearer.reveal(), "(your token)"))
        };
        let mut message = text("message");
        if message.is_empty() {
            status
                .canonical_reason()
                .unwrap_or("no reason was given")
                .clone_into(&mut message);
        }
        Error::Refused {
            status,
            reason: text("error"),
            message,
            details: self.without_token(&body["details"]),
            advice: String::new(),
        }
    }

    fn without_token(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::from(text.replace(self.bearer.reveal(), "(your token)")),
            Value::Array(items) => items.iter().map(|item| self.without_token(item)).collect(),
            Value::Object(fields) => {
                let fields = fields.iter();
                let fields =
                    fields.map(|(name, field)| (name.replace(self.bearer.reveal(), ""), self.without_token(field)));
                Value::Object(fields.collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("base", &self.base).finish_non_exhaustive()
    }
}

/// Writes a text as one segment of a path.
///
/// # Source
/// RFC 3986 §2.3: what may stand for itself everywhere.
pub(super) fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

/// Longest time from the connection to the last octet of the answer.
const DEADLINE: Duration = Duration::from_secs(30);

/// Longest time for a component to be sent, compiled, vetted and stored.
const VETTING_DEADLINE: Duration = Duration::from_secs(150);

/// Longest answer: a component of 32 MiB, or some 100,000 users.
const ANSWER_BYTES_MAX: usize = 33 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_keeps_only_what_may_stand_for_itself() {
        assert_eq!(segment("s-1.a_b~C"), "s-1.a_b~C");
        assert_eq!(segment("a b/ä?#%"), "a%20b%2F%C3%A4%3F%23%25");
    }
}
