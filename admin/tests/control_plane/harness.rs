//! A control plane on a socket, callers, and a look into the database.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use admin::{Admin, OpenError, PostgresPlace, Random, Settings, StorePlace};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catalogue::Catalogue;
use feed::{Acknowledgement, Clock, FeedKeys, GatewayInfo, Identity, Scope, SubjectKind};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, SqliteConnection};

use crate::cluster::Cluster;

use crate::gateway::{Feed, NONCE, Signer};

/// 2026-01-01T00:00:00Z.
pub(crate) const START_MS: i64 = 1_767_225_600_000;
pub(crate) const ORG: &str = "my-org";

/// A control plane with one administrator, `root`.
pub(crate) struct Plane {
    pub(crate) admin: Admin,
    pub(crate) clock: Clock,
    pub(crate) root: Who,
    pub(crate) signer: Signer,
    pub(crate) credential: String,
    directory: tempfile::TempDir,
    client: Client<HttpConnector, Full<Bytes>>,
    authority: String,
    /// Stops serving when it is dropped.
    server: tokio::task::JoinSet<()>,
}

/// A caller.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    pub(crate) subject: String,
    pub(crate) token: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

pub(crate) fn settings(data: &Path, clock: &Clock) -> Settings {
    Settings {
        data: data.to_owned(),
        postgres: postgres(data),
        org: Some(ORG.to_owned()),
        feed_key_file: None,
        clock: clock.clone(),
        random: Random::system(),
        catalogue: Arc::new(Catalogue::parse(catalogue::OPERATIONS).expect("the shipped table is valid")),
        compiler: crate::components::compiler(),
        trusted_keys: engine::signature::TrustedKeys::default(),
    }
}

impl Plane {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self::start_in(directory).await.expect("it opens")
    }

    pub(crate) async fn start_in(directory: tempfile::TempDir) -> Result<Self, OpenError> {
        let settings = settings(directory.path(), &Clock::manual(START_MS));
        Self::start_with(directory, settings).await
    }

    /// Starts in a directory with other settings than [`settings`] has.
    pub(crate) async fn start_with(directory: tempfile::TempDir, settings: Settings) -> Result<Self, OpenError> {
        let clock = settings.clock.clone();
        let admin = admin::open(settings).await?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let authority = listener.local_addr().expect("an address").to_string();
        let router = admin.router();
        let mut server = tokio::task::JoinSet::new();
        server.spawn(async move {
            axum::serve(listener, router).await.expect("it serves");
        });
        let credential = std::fs::read_to_string(directory.path().join(admin::GATEWAY_CREDENTIAL_FILE));
        let mut plane = Self {
            admin,
            clock,
            root: Who {
                subject: String::new(),
                token: "bootstrap".to_owned(),
            },
            signer: Signer::new("key-1"),
            credential: credential.expect("a credential").trim_end().to_owned(),
            directory,
            client: Client::builder(TokioExecutor::new()).build_http(),
            authority,
            server,
        };
        plane.root.subject = plane
            .text("SELECT actor_subject FROM audit_entries WHERE revision = 1")
            .await;
        plane.acknowledge(&plane.signer).await;
        Ok(plane)
    }

    /// Starts in a directory that holds a restored store, as the administrator that restoring made.
    pub(crate) async fn start_restored(directory: tempfile::TempDir) -> Self {
        let mut plane = Self::start_in(directory).await.expect("it opens");
        plane.root.subject = plane
            .text("SELECT actor_subject FROM audit_entries WHERE operation = 'restore'")
            .await;
        plane
    }

    /// Ends the server and the control plane and gives back the directory.
    pub(crate) async fn stop(mut self) -> tempfile::TempDir {
        self.server.shutdown().await;
        self.admin.close().await;
        self.directory
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Asks as a caller, with a body.
    pub(crate) async fn send(&self, who: &Who, method: &str, path: &str, body: Value) -> Answer {
        let identity = self.signer.sign(&self.identity(who));
        self.request(
            method,
            path,
            body.to_string(),
            &[(feed::frame::IDENTITY_FIELD, &identity)],
        )
        .await
    }

    /// Asks as a caller, without a body.
    pub(crate) async fn ask(&self, who: &Who, method: &str, path: &str) -> Answer {
        let identity = self.signer.sign(&self.identity(who));
        self.request(method, path, String::new(), &[(feed::frame::IDENTITY_FIELD, &identity)])
            .await
    }

    /// Asks with the gateway credential and these fields besides.
    pub(crate) async fn request(&self, method: &str, path: &str, body: String, fields: &[(&str, &str)]) -> Answer {
        let credential = format!("Bearer {}", self.credential);
        let all: Vec<(&str, &str)> = [("authorization", credential.as_str())]
            .into_iter()
            .chain(fields.iter().copied())
            .collect();
        self.raw(method, path, body, &all).await
    }

    /// Asks with nothing but these fields.
    pub(crate) async fn raw(&self, method: &str, path: &str, body: String, fields: &[(&str, &str)]) -> Answer {
        let response = self.open(method, path, body, fields).await;
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let body = match bytes.len() {
            0 => Value::Null,
            _ => serde_json::from_slice(&bytes).expect("a JSON body"),
        };
        Answer {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    pub(crate) async fn open(
        &self,
        method: &str,
        path: &str,
        body: String,
        fields: &[(&str, &str)],
    ) -> hyper::Response<Incoming> {
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).expect("a method"))
            .uri(format!("http://{}{path}", self.authority));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body)).expect("a request");
        self.client.request(request).await.expect("an answer")
    }

    pub(crate) async fn feed(&self, query: &str) -> Feed {
        self.feed_of(&self.credential, query).await
    }

    /// Follows the feed with a credential.
    pub(crate) async fn feed_of(&self, credential: &str, query: &str) -> Feed {
        let credential = format!("Bearer {credential}");
        let fields = [("authorization", credential.as_str())];
        let separator = if query.is_empty() { '?' } else { '&' };
        let path = format!("/feed{query}{separator}nonce={NONCE}");
        let response = self.open("GET", &path, String::new(), &fields).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        let keys = std::fs::read_to_string(self.file(admin::FEED_PUBLIC_KEY_FILE)).expect("it is there");
        Feed::new(response.into_body(), FeedKeys::parse(&keys).expect("a key"))
    }

    /// Reports a key as a gateway does.
    pub(crate) async fn acknowledge(&self, signer: &Signer) {
        let name = format!("gateway-of-{}", signer.key_id);
        // So that nothing waits for it.
        let answer = self.acknowledge_as(&self.credential, signer, (&name, u64::MAX)).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
    }

    /// Reports a key with a credential, under a name and at a revision.
    pub(crate) async fn acknowledge_as(
        &self,
        credential: &str,
        signer: &Signer,
        (name, revision): (&str, u64),
    ) -> Answer {
        let report = Acknowledgement {
            gateway: name.to_owned(),
            store: Some(self.admin.store_name()),
            revision,
            keys: vec![signer.verification_key()],
            lacking: Vec::new(),
            info: GatewayInfo {
                version: "1.2.3".to_owned(),
                address: "192.0.2.1:8080".to_owned(),
                policies: 0,
                refuses_after_ms: 900_000,
            },
        };
        let body = serde_json::to_string(&report).expect("it serializes");
        let authorization = format!("Bearer {credential}");
        self.raw("POST", "/feed/ack", body, &[("authorization", &authorization)])
            .await
    }

    /// The claims that a gateway makes for a caller; roles play no part here, so there are none.
    pub(crate) fn identity(&self, who: &Who) -> Identity {
        let now = self.clock.unix_ms() / 1000;
        Identity {
            iss: "postern".to_owned(),
            sub: who.subject.clone(),
            org: ORG.to_owned(),
            kind: SubjectKind::ServiceUser,
            token_id: who.token.clone(),
            roles: std::collections::BTreeMap::new(),
            revision: 1,
            iat: now,
            exp: now + 60,
        }
    }

    /// Makes a service user with a role and a token.
    pub(crate) async fn service_user(&self, role: &str) -> Who {
        let body = json!({"name": format!("a {role}"), "role": role});
        let user = self.send(&self.root, "POST", &format!("/orgs/{ORG}/users"), body).await;
        assert_eq!(user.status, StatusCode::OK, "{}", user.body);
        let subject = user.body["id"].as_str().expect("an id").to_owned();
        let body = json!({"id": "main", "type": "static"});
        let token = self
            .send(&self.root, "POST", &format!("/users/{subject}/tokens"), body)
            .await;
        assert_eq!(token.status, StatusCode::OK, "{}", token.body);
        Who {
            subject,
            token: "main".to_owned(),
        }
    }

    /// Makes a member who has followed their invitation.
    pub(crate) async fn member(&self, email: &str, role: &str) -> Who {
        let body = json!({"email": email, "role": role});
        let invited = self
            .send(&self.root, "POST", &format!("/orgs/{ORG}/invitations"), body)
            .await;
        assert_eq!(invited.status, StatusCode::OK, "{}", invited.body);
        let subject = invited.body[0]["id"].as_str().expect("an id").to_owned();
        self.sql(&format!(
            "UPDATE subjects SET invite = 'accepted' WHERE id = '{subject}'"
        ))
        .await
        .expect("it is accepted");
        Who {
            subject,
            token: "session".to_owned(),
        }
    }

    /// Makes another organisation with an administrator, as an import by plain SQL does.
    pub(crate) async fn foreign_administrator(&self) -> Who {
        let subject = "s-00000000-0000-4000-8000-000000000001".to_owned();
        let statements = format!(
            "INSERT INTO organisations (id, created_ms) VALUES ('their-org', 0);
             INSERT INTO subjects (id, org, kind, name, created_ms, created_by)
                 VALUES ('{subject}', 'their-org', 'service-user', 'their robot', 0, 'import');
             INSERT INTO role_bindings (subject, subject_kind, org, scope, role, created_ms, created_by)
                 VALUES ('{subject}', 'service-user', 'their-org', '/orgs/their-org', 'administrator', 0, 'import'),
                        ('{subject}', 'service-user', 'their-org', '/orgs/their-org/apps/web', 'owner', 0, 'import');
             INSERT INTO tokens (number, subject, org, id, digest, description, created_ms, created_by)
                 VALUES (1000, '{subject}', 'their-org', 'main', {}, '', 0, 'import');",
            Self::random_octets()
        );
        self.sql(&statements).await.expect("they are inserted");
        Who {
            subject,
            token: "main".to_owned(),
        }
    }

    /// Publishes a component as the administrator.
    pub(crate) async fn publish(&self, component: &[u8]) -> Answer {
        let body = json!({"component": STANDARD.encode(component)});
        self.send(&self.root, "POST", &format!("/orgs/{ORG}/policies"), body)
            .await
    }

    /// Returns a policy as the administrator sees it.
    pub(crate) async fn policy(&self, name: &str) -> Value {
        let answer = self
            .ask(&self.root, "GET", &format!("/orgs/{ORG}/policies/{name}"))
            .await;
        answer.assert_ok();
        answer.body
    }

    /// Changes a policy as the administrator.
    pub(crate) async fn change_policy(&self, name: &str, body: Value) -> Answer {
        self.send(&self.root, "PATCH", &format!("/orgs/{ORG}/policies/{name}"), body)
            .await
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Asks for octets as a caller, or as a gateway.
    pub(crate) async fn octets(&self, who: Option<&Who>, path: &str) -> (StatusCode, HeaderMap, Bytes) {
        let credential = format!("Bearer {}", self.credential);
        let identity = who.map(|who| self.signer.sign(&self.identity(who)));
        let mut fields = vec![("authorization", credential.as_str())];
        fields.extend(identity.iter().map(|jwt| (feed::frame::IDENTITY_FIELD, jwt.as_str())));
        let (head, body) = self.open("GET", path, String::new(), &fields).await.into_parts();
        let octets = body.collect().await.expect("a body").to_bytes();
        (head.status, head.headers, octets)
    }

    pub(crate) async fn database(&self) -> Database {
        database(self.directory.path()).await
    }

    /// A connection to the database of decisions.
    pub(crate) async fn decisions_database(&self) -> Database {
        if on_postgres() {
            return self.database().await;
        }
        let file = SqliteConnectOptions::new().filename(self.file(admin::DECISIONS_FILE));
        Database::File(file.connect().await.expect("a database"))
    }

    /// An expression for 32 random octets.
    pub(crate) fn random_octets() -> &'static str {
        if on_postgres() {
            "sha256(random()::text::bytea)"
        } else {
            "randomblob(32)"
        }
    }

    /// An expression for octets as hexadecimal digits.
    pub(crate) fn hex(octets: &str) -> String {
        if on_postgres() {
            format!("encode({octets}, 'hex')")
        } else {
            format!("lower(hex({octets}))")
        }
    }

    /// Runs statements beside the running control plane.
    pub(crate) async fn sql(&self, statements: &str) -> Result<(), sqlx::Error> {
        self.database().await.run(statements).await
    }

    pub(crate) async fn number(&self, query: &str) -> i64 {
        self.database().await.number(query).await
    }

    pub(crate) async fn text(&self, query: &str) -> String {
        self.database().await.texts(query).await.swap_remove(0)
    }
}

/// A connection to the database of a store, beside the control plane.
pub(crate) enum Database {
    File(SqliteConnection),
    Postgres(PgConnection),
}

impl Database {
    pub(crate) async fn run(&mut self, statements: &str) -> Result<(), sqlx::Error> {
        let statements = sqlx::raw_sql(sqlx::AssertSqlSafe(statements));
        match self {
            Self::File(connection) => statements.execute(connection).await.map(drop),
            Self::Postgres(connection) => statements.execute(connection).await.map(drop),
        }
    }

    pub(crate) async fn close(self) {
        let closed = match self {
            Self::File(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        };
        closed.expect("it is closed");
    }

    pub(crate) async fn number(&mut self, query: &str) -> i64 {
        let query = sqlx::AssertSqlSafe(query);
        let number = match self {
            Self::File(connection) => sqlx::query_scalar(query).fetch_one(connection).await,
            Self::Postgres(connection) => sqlx::query_scalar(query).fetch_one(connection).await,
        };
        number.expect("a number")
    }

    pub(crate) async fn texts(&mut self, query: &str) -> Vec<String> {
        let query = sqlx::AssertSqlSafe(query);
        let texts = match self {
            Self::File(connection) => sqlx::query_scalar(query).fetch_all(connection).await,
            Self::Postgres(connection) => sqlx::query_scalar(query).fetch_all(connection).await,
        };
        texts.expect("texts")
    }
}

impl Answer {
    /// Returns what is answered, without what was waited for.
    pub(crate) fn without_readiness(&self) -> Value {
        let mut body = self.body.clone();
        body.as_object_mut().and_then(|fields| fields.remove("readiness"));
        body
    }

    /// Checks that it refuses for this reason, in the form that all refusals have.
    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, reason: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        assert_eq!(self.body["error"], reason, "{}", self.body);
        assert!(self.body["message"].is_string() && self.body["details"].is_object());
        assert_eq!(self.headers["content-type"], "application/json");
        assert!(!self.headers.contains_key(feed::frame::REVISION_FIELD));
    }

    /// Checks status and media type, and that a change tells its revision.
    #[track_caller]
    pub(crate) fn assert_ok(&self) {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        assert_eq!(self.headers["content-type"], "application/json");
    }

    #[track_caller]
    pub(crate) fn revision(&self) -> u64 {
        let field = self.headers[feed::frame::REVISION_FIELD].to_str().expect("a text");
        field.parse().expect("a number")
    }
}

pub(crate) async fn database(directory: &Path) -> Database {
    if let Some(url) = postgres_url(directory) {
        let url = url.replace("@/", "@localhost/");
        let options: sqlx::postgres::PgConnectOptions = url.parse().expect("a URL");
        return Database::Postgres(options.connect().await.expect("a database"));
    }
    let connection = SqliteConnectOptions::new()
        .filename(directory.join(admin::STORE_FILE))
        .foreign_keys(true)
        .connect()
        .await;
    Database::File(connection.expect("a database"))
}

/// Variable that holds the directory of the socket of the server that the suite runs on.
pub(crate) const SOCKET: &str = "POSTERN_TEST_POSTGRES";

/// Database of that server with all tables and nothing in them.
pub(crate) const TEMPLATE: &str = "template_postern";

/// Returns whether the suite runs on PostgreSQL now.
pub(crate) fn on_postgres() -> bool {
    std::env::var_os(SOCKET).is_some()
}

/// Returns the URL of the database that goes with a directory, which is made with its first use.
fn postgres_url(directory: &Path) -> Option<String> {
    let socket = PathBuf::from(std::env::var_os(SOCKET)?);
    let marker = directory.join("database");
    let name = match std::fs::read_to_string(&marker) {
        Ok(name) => name,
        Err(_missing) => {
            let name = format!("store_{}", uuid::Uuid::new_v4().simple());
            std::fs::write(&marker, &name).ok()?;
            let make = format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}");
            Cluster::sql(&socket, "postgres", &make);
            name
        }
    };
    Some(Cluster::url(&socket, &name))
}

/// Returns the place of the store of a directory.
pub(crate) fn place(directory: &Path) -> StorePlace {
    StorePlace {
        data: directory.to_owned(),
        postgres: postgres(directory),
    }
}

fn postgres(directory: &Path) -> Option<PostgresPlace> {
    let url = postgres_url(directory)?;
    Some(PostgresPlace::parse(&url, None).expect("a place"))
}

/// Checks that a time has the API's form, to the millisecond.
#[track_caller]
pub(crate) fn assert_timestamp(value: &Value) {
    let text = value.as_str().expect("a text");
    let form: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(form, "0000-00-00T00:00:00.000Z", "{text}");
}

pub(crate) fn app(name: &str) -> Scope {
    Scope::app(ORG, name)
}
