//! How long a change takes to reach many gateways, and what that costs the admin service.
//!
//! Usage: cargo run --release -p admin --example feed_clients -- ADMIN DATA [CLIENTS] [CHANGES_PER_SECOND] [SECONDS]
//!
//! ADMIN is the address of a running `postern admin`, such as 127.0.0.1:8081, and DATA its directory of data. As many
//! clients as asked for (500) follow its feed and look for revisions in it, as gateways would but for checking and applying
//! them. Changes are then made at a steady rate (100 a second, for 10 seconds): a service user gets one role and another.
//! Prints p50, p99 and the most of the times from the request for a change to its arrival, over all clients and changes.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use feed::{Acknowledgement, Clock, GatewayInfo, Identity, SubjectKind, VerificationKey};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// What the clients are told to do.
struct Plan {
    admin: String,
    credential: String,
    clients: usize,
    changes: u64,
    pause: Duration,
}

/// Asks the API as a gateway does for a caller.
struct Caller {
    key: Ed25519KeyPair,
    subject: String,
    org: String,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [admin, data, rest @ ..] = &arguments[..] else {
        return Err("usage: feed_clients ADMIN DATA [CLIENTS] [CHANGES_PER_SECOND] [SECONDS]".into());
    };
    let number = |at: usize, default: u64| rest.get(at).map_or(Ok(default), |text| text.parse());
    let (clients, rate, seconds) = (number(0, 500)?, number(1, 100)?.max(1), number(2, 10)?);
    let plan = Plan {
        admin: admin.clone(),
        credential: std::fs::read_to_string(Path::new(data).join(admin::GATEWAY_CREDENTIAL_FILE))?
            .trim()
            .to_owned(),
        clients: usize::try_from(clients)?,
        changes: rate * seconds,
        pause: Duration::from_secs(1) / u32::try_from(rate)?,
    };
    let times = run(&plan, Path::new(data)).await?;
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "{clients} clients, {rate} changes/s for {seconds} s: p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms ({} arrivals)",
        at(0.5),
        at(0.99),
        at(1.0),
        times.len()
    );
    Ok(())
}

/// Returns the times in milliseconds, in order.
async fn run(plan: &Plan, data: &Path) -> Result<Vec<f64>, Failed> {
    let caller = Caller::of(plan, data).await?;
    let user = caller.user(plan).await?;
    let ready = Arc::new(AtomicU64::new(0));
    let (arrivals, mut arrived) = mpsc::unbounded_channel();
    let (ending, _) = watch::channel(());
    for _ in 0..plan.clients {
        let (admin, credential) = (plan.admin.clone(), plan.credential.clone());
        let (ready, arrivals, mut end) = (Arc::clone(&ready), arrivals.clone(), ending.subscribe());
        tokio::spawn(async move {
            tokio::select! {
                followed = follow(&admin, &credential, &ready, &arrivals) => {
                    if let Err(error) = followed {
                        eprintln!("a client has failed: {error}");
                    }
                }
                _ = end.changed() => {}
            }
        });
    }
    drop(arrivals);
    while ready.load(Ordering::Relaxed) < plan.clients as u64 {
        sleep(Duration::from_millis(20)).await;
    }
    let mut begun = std::collections::HashMap::new();
    let mut tick = interval(plan.pause);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut connection = Connection::open(&plan.admin).await?;
    for number in 0..plan.changes {
        tick.tick().await;
        let role = if number % 2 == 0 { "manager" } else { "member" };
        let (org, began) = (&caller.org, Instant::now());
        let path = format!("/orgs/{org}/users/{user}");
        let (revision, _) = caller
            .ask(plan, &mut connection, ("PATCH", &path), &json!({ "role": role }))
            .await?;
        begun.insert(revision.ok_or("a change has made no revision")?, began);
    }
    sleep(Duration::from_secs(2)).await;
    drop(ending);
    let mut times = Vec::new();
    while let Some((revision, at)) = arrived.recv().await {
        let began: Option<&Instant> = begun.get(&revision);
        times.extend(began.map(|began| at.saturating_duration_since(*began).as_secs_f64() * 1000.0));
    }
    let expected = plan.clients * begun.len();
    if times.len() != expected {
        return Err(format!("{} of {expected} changes have arrived", times.len()).into());
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// Follows the feed, and tells the moment at which each change arrives.
async fn follow(
    admin: &str,
    credential: &str,
    ready: &AtomicU64,
    arrivals: &mpsc::UnboundedSender<(u64, Instant)>,
) -> Result<(), Failed> {
    let mut stream = TcpStream::connect(admin).await?;
    stream.set_nodelay(true)?;
    let request = format!("GET /feed HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {credential}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut lines = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line).await? == 0 {
            return Err("the feed ended".into());
        }
        // Lines of the chunked coding begin otherwise.
        if line.starts_with(br#"{"frame":"snapshot-end""#) {
            ready.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(rest) = line.strip_prefix(br#"{"frame":"change","revision":"#) {
            let digits: Vec<u8> = rest.iter().copied().take_while(u8::is_ascii_digit).collect();
            arrivals.send((std::str::from_utf8(&digits)?.parse()?, Instant::now()))?;
        }
    }
}

/// A connection to the admin service for one request after the other.
struct Connection(BufReader<TcpStream>);

impl Connection {
    async fn open(admin: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(admin).await?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Returns the status, the revision that was made, and the body.
    async fn send(&mut self, head: &str, body: &str) -> Result<(u16, Option<u64>, Vec<u8>), Failed> {
        let request = format!(
            "{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.get_mut().write_all(request.as_bytes()).await?;
        let (mut status, mut revision, mut length) = (None, None, 0);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await?;
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            match line.split_once(": ") {
                None => status = line.split(' ').nth(1).and_then(|code| code.parse().ok()),
                Some(("content-length", value)) => length = value.parse()?,
                Some((feed::frame::REVISION_FIELD, value)) => revision = Some(value.parse()?),
                Some(_) => {}
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await?;
        Ok((status.ok_or("no status")?, revision, body))
    }
}

impl Caller {
    /// Makes a key known, with which the first administrator is vouched for.
    async fn of(plan: &Plan, data: &Path) -> Result<Self, Failed> {
        let key = Ed25519KeyPair::generate().map_err(|_unspecified| "no key could be made")?;
        let store = format!("sqlite://{}?mode=ro", data.join(admin::STORE_FILE).display());
        let store = sqlx::SqlitePool::connect(&store).await?;
        let (subject, org): (String, String) =
            sqlx::query_as("SELECT id, org FROM subjects WHERE name = 'bootstrap-administrator'")
                .fetch_one(&store)
                .await?;
        let caller = Self { key, subject, org };
        let report = Acknowledgement {
            gateway: "feed-clients".to_owned(),
            store: None,
            revision: 0,
            keys: vec![VerificationKey {
                kty: "OKP".to_owned(),
                crv: "Ed25519".to_owned(),
                alg: "EdDSA".to_owned(),
                usage: "sig".to_owned(),
                kid: KEY_ID.to_owned(),
                x: URL_SAFE_NO_PAD.encode(caller.key.public_key().as_ref()),
            }],
            lacking: Vec::new(),
            info: GatewayInfo {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                address: String::new(),
                policies: 0,
                refuses_after_ms: 0,
            },
        };
        let report = serde_json::to_value(report)?;
        let mut connection = Connection::open(&plan.admin).await?;
        caller
            .ask(plan, &mut connection, ("POST", "/feed/ack"), &report)
            .await?;
        Ok(caller)
    }

    /// Makes a service user to be changed.
    async fn user(&self, plan: &Plan) -> Result<String, Failed> {
        let mut connection = Connection::open(&plan.admin).await?;
        let path = format!("/orgs/{}/users", self.org);
        let body = json!({"name": "feed-clients", "role": "member"});
        let (_, user) = self.ask(plan, &mut connection, ("POST", &path), &body).await?;
        Ok(user["id"].as_str().ok_or("no id")?.to_owned())
    }

    async fn ask(
        &self,
        plan: &Plan,
        connection: &mut Connection,
        (method, path): (&str, &str),
        body: &Value,
    ) -> Result<(Option<u64>, Value), Failed> {
        let (admin, credential) = (&plan.admin, &plan.credential);
        let identity = self.identity()?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {credential}\r\n{}: {identity}\r\n",
            feed::frame::IDENTITY_FIELD
        );
        let (status, revision, body) = connection.send(&head, &body.to_string()).await?;
        if !(200..300).contains(&status) {
            return Err(format!("{method} {path}: {status} {}", String::from_utf8_lossy(&body)).into());
        }
        Ok((revision, serde_json::from_slice(&body).unwrap_or_default()))
    }

    fn identity(&self) -> Result<String, Failed> {
        let now = Clock::system().unix_ms() / 1000;
        let identity = Identity {
            iss: "postern".to_owned(),
            sub: self.subject.clone(),
            org: self.org.clone(),
            kind: SubjectKind::ServiceUser,
            token_id: "bootstrap".to_owned(),
            roles: std::collections::BTreeMap::new(),
            revision: 1,
            iat: now,
            exp: now + 60,
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(KEY_ID.to_owned());
        let der = AsDer::<Pkcs8V1Der>::as_der(&self.key).map_err(|_unspecified| "no key")?;
        Ok(jsonwebtoken::encode(
            &header,
            &identity,
            &EncodingKey::from_ed_der(der.as_ref()),
        )?)
    }
}

const KEY_ID: &str = "feed-clients";
