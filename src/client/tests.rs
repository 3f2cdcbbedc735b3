//! The commands against a stand-in for the API, over a real socket: what they send, print and fail with.

mod commands;
mod failures;
mod fleet;
mod policies;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use clap::{Parser, Subcommand};
use feed::Clock;
use http::StatusCode;
use serde_json::Value;

use super::{Command, Error, Output, policy};
use crate::client::connection::Variables;

/// The caller's token in all these tests.
const TOKEN: &str = "pstn_callers-own-token";

/// A server that answers as it was told and writes down what it was asked.
#[derive(Clone, Default)]
struct Stub {
    answers: Arc<Mutex<HashMap<String, (u16, String)>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    base: String,
}

/// One request that arrived.
#[derive(Debug, Clone, PartialEq)]
struct Asked {
    /// Method and path.
    what: String,
    authorization: Option<String>,
    body: Value,
}

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Any,
}

/// A command that asks.
#[derive(Debug, Subcommand)]
enum Any {
    #[command(flatten)]
    Client(Box<Command>),
    #[command(subcommand)]
    Policy(Box<policy::Command>),
}

impl Stub {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let stub = Self {
            base,
            ..Self::default()
        };
        let router = Router::new().fallback(respond).with_state(stub.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        stub
    }

    /// Answers a method and path from now on.
    fn on(&self, what: &str, status: u16, body: impl ToString) -> &Self {
        let mut answers = self.answers.lock().expect("not poisoned");
        answers.insert(what.to_owned(), (status, body.to_string()));
        self
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("not poisoned").clone()
    }

    fn paths(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.what).collect()
    }

    /// Runs a command line in the organisation `acme`.
    async fn run(&self, line: &str) -> Result<Output, Error> {
        self.run_words(&[line.split(' ').collect(), vec!["--org", "acme"]].concat())
            .await
    }

    async fn run_words(&self, words: &[&str]) -> Result<Output, Error> {
        let command = parse(&[words, &["--url", &self.base]].concat()).expect("a command line");
        answer(command, &variables, &Clock::manual(1_700_000_000_000)).await
    }

    /// Runs a command line that fails, and returns the code and everything that a person or a log could see of it.
    async fn fail(&self, line: &str) -> (u8, String) {
        let Err(error) = self.run(line).await else {
            panic!("{line} did not fail");
        };
        assert!(!format!("{error} {error:?}").contains(TOKEN), "{error:?}");
        (error.exit_code(), error.to_string())
    }
}

async fn respond(State(stub): State<Stub>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX)
        .await
        .unwrap_or_else(|_| Bytes::new());
    let authorization = head.headers.get("authorization");
    let asked = Asked {
        what: format!("{} {}", head.method, head.uri),
        authorization: authorization.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let answers = stub.answers.lock().expect("not poisoned");
    let answer = answers.get(&asked.what).cloned();
    stub.asked.lock().expect("not poisoned").push(asked);
    let (status, body) = answer.unwrap_or((599, String::new()));
    (StatusCode::from_u16(status).expect("a status"), body).into_response()
}

async fn answer(command: Any, variables: &Variables, clock: &Clock) -> Result<Output, Error> {
    match command {
        Any::Client(command) => super::answer(*command, variables, clock).await,
        Any::Policy(command) => policy::answer(*command, variables, clock, &mut std::io::sink()).await,
    }
}

fn parse(words: &[&str]) -> Result<Any, clap::Error> {
    Cli::try_parse_from(["postern"].iter().chain(words)).map(|cli| cli.command)
}

fn variables(name: &str) -> Option<String> {
    (name == "POSTERN_TOKEN").then(|| TOKEN.to_owned())
}
