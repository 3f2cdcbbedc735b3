//! The sandbox from outside, over a real socket: status codes, fields, and that it remembers.

mod families;
mod lifecycle;
mod refusals;

use axum::Router;
use bytes::Bytes;
use feed::Clock;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::{Settings, router};

/// A sandbox that listens, and the client that asks it as the gateway would.
struct Outside {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
}

impl Outside {
    async fn start() -> Self {
        Self::start_with(settings()).await
    }

    async fn start_with(settings: Settings) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router: Router = router(settings);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            base: format!("http://{address}"),
        }
    }

    async fn send(&self, request: http::request::Builder, body: impl Into<Bytes>) -> http::Response<Incoming> {
        let request = request.body(Full::new(body.into())).expect("a request");
        self.client.request(request).await.expect("an answer")
    }

    fn request(&self, method: &str, path: &str) -> http::request::Builder {
        Request::builder()
            .method(Method::from_bytes(method.as_bytes()).expect("a method"))
            .uri(format!("{}{path}", self.base))
    }

    /// Asks with the credential, as the subject `s-1`.
    async fn ask(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let request = self.request(method, path).header("authorization", "Bearer upstream");
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        answer(self.send(request.header("from", "s-1"), body).await).await
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.ask("GET", path, Value::Null).await
    }
}

fn settings() -> Settings {
    Settings {
        org: "acme".to_owned(),
        credential: "upstream".to_owned(),
        deletion_looks: None,
        clock: Clock::manual(1_700_000_000_000),
    }
}

async fn answer(response: http::Response<Incoming>) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let body = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&body).expect("JSON")
    };
    (status, body)
}

/// Returns one field of each item of a list.
fn each(list: &Value, field: &str) -> Vec<String> {
    let items = list.as_array().expect("a list").iter();
    items
        .map(|item| item[field].as_str().expect("a text").to_owned())
        .collect()
}

fn content_type(headers: &HeaderMap) -> &str {
    headers["content-type"].to_str().expect("a text")
}
