//! Calls of gRPC: messages, statuses and refusals arrive as the client's own.

use bytes::Bytes;
use tempfile::TempDir;
use tonic::{Code, Status};

use crate::harness::client::Request;
use crate::harness::grpc::{BUSY, COUNT, Caller, ECHO, NOT_NOW, Service};
use crate::harness::postern::Postern;

/// What only `administrator` and `artefactContributor` may do, and a method that the service does not have.
const OPERATIONS: &str = r#"
[[operations]]
method = "POST"
path = "/pkg.Service/Echo"
id = "echo"
permission = "artefactversion.create"

[[operations]]
method = "POST"
path = "/pkg.Service/Count"
id = "count"
permission = "artefactversion.create"

[[operations]]
method = "POST"
path = "/pkg.Service/Absent"
id = "absent"
permission = "artefactversion.create"
"#;

/// A service behind Postern. The directory holds the configuration.
struct Behind {
    service: Service,
    postern: Postern,
    runtime: tokio::runtime::Runtime,
    _directory: TempDir,
}

impl Behind {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("postern.toml");
        std::fs::write(&path, OPERATIONS).expect("it is written");
        let service = Service::start();
        let path = path.display().to_string();
        let flags = ["--config", &path, "--http2-cleartext", "true"];
        let flags = [&flags[..], &["--upstream-http2", "prior-knowledge"]].concat();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self {
            postern: Postern::with(&format!("http://{}", service.address), &flags),
            service,
            runtime: runtime.expect("a runtime"),
            _directory: directory,
        }
    }

    /// Returns a caller with a token or none.
    fn caller(&self, token: Option<String>) -> Caller {
        let _entered = self.runtime.enter();
        Caller::new(self.postern.address, token)
    }

    /// Returns a caller who may call everything.
    fn contributor(&self) -> Caller {
        let contributor = self.postern.administrator().with_org_role("artefactContributor");
        self.caller(Some(contributor.token))
    }

    /// Makes a call that is answered by one message.
    fn unary(&self, caller: &Caller, method: &'static str, message: &'static str) -> Result<Bytes, Status> {
        self.runtime.block_on(caller.unary(method, message))
    }
}

fn told(status: &Status) -> (Code, &str) {
    (status.code(), status.message())
}

#[test]
fn a_unary_call_is_answered_or_ends_with_the_status_of_the_service() {
    let behind = Behind::start();
    let caller = behind.contributor();
    assert_eq!(behind.unary(&caller, ECHO, "hello").expect("an answer"), "hello");
    assert_eq!(behind.unary(&caller, ECHO, "").expect("an answer"), "");
    let failed = behind.unary(&caller, ECHO, "fail").expect_err("it fails");
    assert_eq!(told(&failed), NOT_NOW);
    let absent = behind
        .unary(&caller, "/pkg.Service/Absent", "x")
        .expect_err("it is absent");
    assert_eq!(told(&absent), (Code::Unimplemented, "no such method"));
    for fields in behind.service.seen() {
        assert_eq!(fields["te"], "trailers");
        assert!(fields.contains_key("postern-identity"), "{fields:?}");
    }
}

#[test]
fn messages_of_a_stream_arrive_one_by_one_and_its_status_behind_them() {
    let behind = Behind::start();
    let caller = behind.contributor();
    for (message, ends_with) in [("go", None), ("fail", Some(BUSY))] {
        let ended = behind.runtime.block_on(async {
            let mut messages = caller.streaming(COUNT, message).await.expect("it begins");
            for expected in ["0", "1", "2"] {
                // The next one is not sent before this one has arrived.
                behind.service.release(1);
                let next = messages.message().await.expect("it goes on").expect("a message");
                assert_eq!(next, expected);
            }
            messages.message().await
        });
        match ends_with {
            None => assert!(ended.expect("it ended well").is_none()),
            Some(status) => assert_eq!(told(&ended.expect_err("it ended with a status")), status),
        }
    }
}

#[test]
fn a_refusal_arrives_as_a_status_of_grpc() {
    let behind = Behind::start();
    let member = behind.postern.administrator().with_org_role("member");
    let refused = |token: Option<&str>, method| {
        let caller = behind.caller(token.map(str::to_owned));
        let status = behind.unary(&caller, method, "x").expect_err("it is refused");
        (status.code(), status.message().to_owned())
    };
    let unauthenticated = (Code::Unauthenticated, "a valid bearer token is required".to_owned());
    assert_eq!(refused(None, ECHO), unauthenticated);
    assert_eq!(refused(Some("guessed"), ECHO), unauthenticated);
    let (code, text) = refused(Some(&member.token), ECHO);
    assert_eq!(code, Code::PermissionDenied, "{text}");
    let (code, text) = refused(Some(&member.token), "/pkg.Service/Unknown");
    assert_eq!(code, Code::Unimplemented, "{text}");
    let stream = behind.caller(None);
    let refused = behind.runtime.block_on(stream.streaming(COUNT, "go"));
    assert_eq!(refused.expect_err("it is refused").code(), Code::Unauthenticated);
    assert!(behind.service.seen().is_empty());
}

#[test]
fn a_refusal_of_what_is_no_call_says_nothing_of_grpc() {
    let behind = Behind::start();
    let ask = |kind: &str| {
        let request = Request::new("POST", ECHO).field("Content-Type", kind);
        behind.postern.anybody().send(request.body("x"))
    };
    let (json, call) = (ask("application/json"), ask("application/grpc"));
    assert_eq!(json.refusal(), call.refusal());
    assert_eq!(
        (json.field("grpc-status"), call.field("grpc-status")),
        (None, Some("16"))
    );
}

#[test]
fn a_call_whose_caller_loses_its_token_ends() {
    let behind = Behind::start();
    let administrator = behind.postern.administrator();
    let contributor = administrator.with_org_role("artefactContributor");
    let caller = behind.caller(Some(contributor.token.clone()));
    behind.runtime.block_on(async {
        let mut messages = caller.streaming(COUNT, "go").await.expect("it begins");
        behind.service.release(1);
        messages.message().await.expect("it goes on").expect("a message");
        let path = format!("/users/{}/tokens/first", contributor.id);
        administrator.delete(&path).ok(204);
        assert!(messages.message().await.is_err(), "it goes on without a token");
    });
}
