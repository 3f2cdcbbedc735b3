//! How the commands fail: text, exit code, and no token in either.

use std::io;
use std::sync::Arc;

use feed::Clock;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use super::super::Error;
use super::super::output::Output;
use super::{Stub, TOKEN, answer, parse, variables};

#[tokio::test]
async fn a_refusal_shows_its_status_reason_and_message() {
    let stub = Stub::start().await;
    for (status, body, expected) in [
        (
            403,
            r#"{"error": "not-allowed", "message": "No role allows this."}"#,
            "refused (403 not-allowed): No role allows this.",
        ),
        (
            401,
            r#"{"error": "unauthenticated", "message": "m"}"#,
            "refused (401 unauthenticated): m",
        ),
        (409, r#"{"error": "e"}"#, "refused (409 e): Conflict"),
        (502, "<html>", "refused (502): Bad Gateway"),
        (307, "", "refused (307): Temporary Redirect"),
    ] {
        stub.on("GET /orgs/acme/users", status, body);
        assert_eq!(stub.fail("user list").await, (1, expected.to_owned()));
    }
}

#[tokio::test]
async fn what_a_server_sends_back_of_the_token_is_not_shown_and_commands_no_terminal() {
    let stub = Stub::start().await;
    let message = format!("you sent Bearer {TOKEN}\u{1b}[2J");
    stub.on("GET /orgs/acme/users", 500, json!({"error": TOKEN, "message": message}));
    let (code, message) = stub.fail("user list").await;
    assert_eq!(code, 1);
    assert_eq!(
        message,
        "refused (500 (your token)): you sent Bearer (your token)\\u{1b}[2J"
    );
}

#[tokio::test]
async fn a_token_is_not_created_when_its_expiry_makes_no_sense() {
    let stub = Stub::start().await;
    for flags in ["--expires-in 1fortnight", "--expires-at 2020-01-01T00:00:00Z"] {
        let (code, _) = stub.fail(&format!("token create ci deploy {flags}")).await;
        assert_eq!(code, 64);
    }
    assert_eq!(stub.paths(), Vec::<String>::new());
}

#[tokio::test]
async fn nobody_listening_is_69() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let error = failure(&["user", "list", "--org", "acme", "--url", &url]).await;
    assert_eq!(
        (error.exit_code(), error.to_string()),
        (69, format!("failed to ask {url}/orgs/acme/users"))
    );
}

#[tokio::test]
async fn something_else_that_listens_is_69() {
    let stub = Stub::start().await;
    stub.on("GET /orgs/acme/users", 200, "<html>welcome</html>");
    let (code, message) = stub.fail("user list").await;
    assert!(code == 69 && message.contains("not JSON"), "{message}");
    let own = "s-d35b0d0e-8a53-40e9-a329-64e48b7e92e0";
    stub.on(&format!("POST /users/{own}/tokens"), 200, "[]");
    assert_eq!(stub.fail(&format!("token create {own} deploy")).await.0, 69);
    stub.on(&format!("GET /users/{own}/tokens"), 200, "[1, \"a\", null]");
    assert!(stub.run(&format!("token list {own}")).await.is_ok());
    stub.on("POST /orgs/acme/users", 200, "7");
    assert!(stub.run("user create ci --role member").await.is_ok());
    stub.on("GET /current-user", 200, "{}");
    let Err(error) = stub.run_words(&["user", "list"]).await else {
        panic!("the organisation is not known");
    };
    assert_eq!(error.exit_code(), 69);
}

#[tokio::test]
async fn a_prefix_of_the_address_goes_in_front_of_every_path() {
    let stub = Stub::start().await;
    stub.on("GET /a/b/orgs/acme/users", 200, "[]");
    let url = format!("{}/a/b/", stub.base);
    let command = parse(&["user", "list", "--org", "acme", "--url", &url]).expect("a command line");
    assert!(answer(command, &variables, &Clock::manual(0)).await.is_ok());
}

#[tokio::test]
async fn over_tls_only_a_server_with_a_trusted_certificate_is_asked() {
    let directory = tempfile::tempdir().expect("a directory");
    let (url, certificate) = tls_server().await;
    let (right, wrong) = (directory.path().join("right.pem"), directory.path().join("wrong.pem"));
    std::fs::write(&right, certificate).expect("it is written");
    std::fs::write(&wrong, self_signed().cert.pem()).expect("it is written");
    for (ca_file, expected) in [(&right, None), (&wrong, Some(69))] {
        let ca_file = ca_file.to_str().expect("a text");
        let line = ["user", "list", "--org", "acme", "--url", &url, "--ca-file", ca_file];
        let command = parse(&line).expect("a command line");
        let answered = answer(command, &variables, &Clock::manual(0)).await;
        assert_eq!(answered.err().map(|error| error.exit_code()), expected, "{ca_file}");
    }
}

#[tokio::test]
async fn a_missing_token_says_where_to_put_it() {
    let command = parse(&["user", "list", "--url", "http://127.0.0.1:1"]).expect("a command line");
    let Err(error) = answer(command, &|_: &str| None, &Clock::manual(0)).await else {
        panic!("there is no token");
    };
    assert_eq!(error.exit_code(), 64);
    assert!(error.to_string().contains("POSTERN_TOKEN") && error.to_string().contains("--token-file"));
}

#[tokio::test]
async fn what_cannot_be_used_is_told_before_anything_is_sent() {
    for (words, code) in [
        (["--url", "127.0.0.1:8080"], 64),
        (["--token-file", "/nowhere/token"], 74),
        (["--ca-file", "/nowhere/ca.pem"], 74),
    ] {
        let error = failure(&[&["user", "list"], words.as_slice()].concat()).await;
        assert_eq!(error.exit_code(), code, "{error}");
        assert!(error.to_string().contains(words[1]), "{error}");
    }
}

#[test]
fn output_that_cannot_be_written_is_74_and_says_no_token() {
    struct Full;
    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let printed = Output::text(TOKEN.to_owned()).print(&mut Full, &mut io::sink());
    let error = printed.expect_err("the output is full");
    assert_eq!(error.exit_code(), 74);
    assert!(!format!("{error} {error:?}").contains(TOKEN));
}

/// Starts a server that answers every request on a TLS connection with an empty list. Returns its address and its
/// certificate.
async fn tls_server() -> (String, String) {
    let own = self_signed();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")
                .await;
            let _ = stream.shutdown().await;
        }
    });
    (format!("https://127.0.0.1:{port}"), own.cert.pem())
}

fn self_signed() -> rcgen::CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate")
}

async fn failure(words: &[&str]) -> Error {
    let command = parse(words).expect("a command line");
    match answer(command, &variables, &Clock::manual(0)).await {
        Ok(_) => panic!("{words:?} did not fail"),
        Err(error) => error,
    }
}
