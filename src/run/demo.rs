//! Everything in one process, with a sandbox orchestrator, and lines to paste.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};

use feed::Clock;
use prometheus_client::registry::Registry;
use rand::TryRng as _;
use rand::rngs::SysRng;

use super::http::{self, Serving};
use super::secret_file;
use super::serve::{self, Plan, listen};
use super::signals::Signals;
use super::systemd::Sockets;
use crate::cli::DemoArgs;
use crate::config::{Given, SERVE};
use crate::exit::{CANNOT_CREATE, Failure, SOFTWARE, UNAVAILABLE, USAGE};
use crate::sandbox;

/// Runs until told to stop, and leaves nothing behind.
pub(super) async fn run(args: DemoArgs) -> Result<(), Failure> {
    super::start_log("warn");
    let mut signals = Signals::listen()?;
    let directory = Temporary::create()?;
    let (sandbox, _serving, credential_file) = start_sandbox(&directory).await?;
    let given = Given::<SERVE>::default()
        .with("upstream", format!("http://{sandbox}"))
        .with("upstream_token_file", credential_file.display().to_string())
        .with("listen", free_or_any(args.listen).to_string())
        .with("admin_listen", "127.0.0.1:0")
        .with("console_listen", free_or_any(CONSOLE).to_string());
    let mut reading = given.read();
    let mut plan = Plan::of(&mut reading);
    plan.control.data = directory.0.join("data");
    plan.control.org = ORG.to_owned();
    reading.finish().map_err(|errors| Failure::new(USAGE, &errors))?;
    let data = plan.control.data.clone();
    let token_file = plan.control.data.join(admin::BOOTSTRAP_TOKEN_FILE);
    let served = serve::start(plan, Sockets::default(), Registry::default()).await?;
    served.ready().await;
    let console = console_command(served.console_url(), &data);
    println!(
        "{}",
        introduction(
            served.address(),
            served.admin_address(),
            &secret_file(&token_file)?,
            &console
        )
    );
    signals.next().await;
    served.stop().await;
    Ok(())
}

const ORG: &str = "demo-org";

/// Where the console listens, if nobody else does.
const CONSOLE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8083));

/// Starts the sandbox orchestrator and writes down the credential that it demands.
async fn start_sandbox(directory: &Temporary) -> Result<(SocketAddr, Serving, PathBuf), Failure> {
    let credential = format!("sandbox-{}", uuid::Uuid::new_v4());
    let file = directory.0.join("orchestrator-credential");
    std::fs::write(&file, &credential).map_err(|error| Failure::new(CANNOT_CREATE, &error))?;
    let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0)), None).await?;
    let address = listener
        .local_addr()
        .map_err(|error| Failure::new(UNAVAILABLE, &error))?;
    let settings = sandbox::Settings {
        org: ORG.to_owned(),
        credential,
        deletion_looks: None,
        clock: Clock::system(),
    };
    // It ends with the process, not before.
    let serving = http::serve(listener, sandbox::router(settings));
    Ok((address, serving, file))
}

/// The address that was asked for, or another port when it is in use: a demonstration should start.
fn free_or_any(address: SocketAddr) -> SocketAddr {
    match std::net::TcpListener::bind(address) {
        Ok(_free) => address,
        Err(_in_use) => SocketAddr::new(address.ip(), 0),
    }
}

/// Returns the command that prints a link to the console; this program may be on nobody's path.
fn console_command(url: Option<&str>, data: &Path) -> String {
    let program =
        std::env::current_exe().map_or_else(|_unknown| "postern".to_owned(), |path| path.display().to_string());
    let url = url.unwrap_or_default().replace("localhost", "127.0.0.1");
    format!("{program} console open --url {url} --data {}", data.display())
}

fn introduction(requests: SocketAddr, admin: SocketAddr, token: &str, console: &str) -> String {
    format!(
        r#"Postern stands in front of a sandbox orchestrator. Requests: http://{requests}  Health and metrics: http://{admin}
Everything is in memory or in a temporary directory and ends with this process (Ctrl-C).

In another terminal, an administrator's token first:

  export POSTERN_URL=http://{requests} POSTERN_ORG={ORG} POSTERN_TOKEN={token}

1. Create a service user that may push image builds:

  CI=$(curl -sS $POSTERN_URL/orgs/{ORG}/users -H "Authorization: Bearer $POSTERN_TOKEN" -H 'Content-Type: application/json' -d '{{"name": "ci", "role": "artefactContributor"}}' | sed 's/.*"id":"\([^"]*\)".*/\1/'); echo $CI

2. Issue a token for it. It is shown this once:

  CI_TOKEN=$(curl -sS $POSTERN_URL/users/$CI/tokens -H "Authorization: Bearer $POSTERN_TOKEN" -H 'Content-Type: application/json' -d '{{"id": "first", "type": "static"}}' | sed 's/.*"token":"\([^"]*\)".*/\1/'); echo $CI_TOKEN

3. Use it: the registry's credentials, which an artefact contributor may fetch:

  curl -sS $POSTERN_URL/orgs/{ORG}/registries/humanitec/creds -H "Authorization: Bearer $CI_TOKEN"

4. And something it may not do:

  curl -sS $POSTERN_URL/orgs/{ORG}/apps -H "Authorization: Bearer $CI_TOKEN" -H 'Content-Type: application/json' -d '{{"id": "shop", "name": "Shop"}}'

The same in a browser; this prints a link that signs you in to the console, once:

  {console}

The same with the command line:  postern user list;  postern token create ci second;  postern --help
Below, each request's line in the access log:
"#
    )
}

/// A directory that only this user can read and that goes away with this value.
struct Temporary(PathBuf);

impl Temporary {
    fn create() -> Result<Self, Failure> {
        let mut random = [0; 8];
        SysRng
            .try_fill_bytes(&mut random)
            .map_err(|error| Failure::new(SOFTWARE, &error))?;
        let path = std::env::temp_dir().join(format!("postern-demo-{:016x}", u64::from_ne_bytes(random)));
        create_private(&path).map_err(|error| {
            Failure::said(
                CANNOT_CREATE,
                format!("the directory {} cannot be made: {error}", path.display()),
            )
        })?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("postern: {} could not be removed: {error}", self.0.display());
        }
    }
}

fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().mode(0o700).create(path)
}
