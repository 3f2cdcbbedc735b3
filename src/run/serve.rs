//! Gateway and admin service in one process. They speak over the same feed and the same API as two processes would.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use admin::Admin;
use gateway::Running;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::console::{self, Console};
use super::control::ControlPlan;
use super::edge::{AdminPlace, AdminService};
use super::enrol::Proofs;
use super::http::{self, Serving};
use super::reload::Reloads;
use super::signals::{Asked, Signals};
use super::systemd::{self, Sockets};
use super::{control, edge, ops};
use crate::config::{ConsoleConfig, Edge, Given, Reading, SERVE};
use crate::exit::{Failure, UNAVAILABLE, USAGE};

/// What is needed to serve.
pub(super) struct Plan {
    pub(super) edge: Edge,
    pub(super) admin_listen: SocketAddr,
    pub(super) console: Option<ConsoleConfig>,
    pub(super) control: ControlPlan,
    pub(super) drain: Duration,
}

/// Everything of one process, while it runs.
pub(super) struct Served {
    running: Arc<Running>,
    admin: Arc<Admin>,
    admin_address: SocketAddr,
    serving: Serving,
    console: Option<Console>,
    drain: Duration,
}

/// Runs until told to stop.
pub(super) async fn run(given: Given<SERVE>, sockets: Sockets) -> Result<(), Failure> {
    super::start_log("info");
    let sockets = sockets.only(&["requests", "admin", "console"])?;
    let mut reading = given.clone().read();
    let plan = Plan::of(&mut reading);
    reading.finish().map_err(|errors| Failure::new(USAGE, &errors))?;
    reading.log();
    super::file_limit::raise(plan.edge.limits.connections_max);
    let mut signals = Signals::listen()?;
    let mut reloads = Reloads::new(given, reading);
    let mut registry = Registry::default();
    reloads.register_metrics(&mut registry);
    let mut served = start(plan, sockets, registry).await?;
    let console = served.console.as_ref().map(Console::url);
    tracing::info!(requests = %served.address(), admin = %served.admin_address(), console, "listening");
    systemd::ready();
    while signals.next().await == Asked::Reload {
        served.running.reopen_access_log();
        reloads
            .again(Plan::of, async |plan| served.reconfigure(plan).await)
            .await;
    }
    systemd::stopping();
    served.stop().await;
    Ok(())
}

/// Binds every socket, then opens the store, then starts: an address in use leaves nothing behind.
pub(super) async fn start(plan: Plan, mut sockets: Sockets, mut registry: Registry) -> Result<Served, Failure> {
    let listener = listen(plan.admin_listen, sockets.named("admin")).await?;
    let admin_address = listener
        .local_addr()
        .map_err(|error| Failure::new(UNAVAILABLE, &error))?;
    let console = console::listen(plan.console, sockets.named("console")).await?;
    let listeners = edge::listen(&plan.edge, sockets.named("requests"))?;
    let data = plan.control.data.clone();
    let admin = Arc::new(control::open(plan.control, Arc::clone(&plan.edge.catalogue)).await?);
    let service = AdminService {
        // The store is beside it.
        keep: false,
        place: AdminPlace {
            urls: vec![format!("http://{}", reachable(admin_address))],
            ca_file: None,
        },
        proofs: Proofs {
            credential: super::secret_file(&data.join(admin::GATEWAY_CREDENTIAL_FILE))?,
            feed_keys: super::feed_keys(&data.join(admin::FEED_PUBLIC_KEY_FILE))?,
        },
    };
    let running = edge::start(plan.edge, &data, service, listeners).await?;
    running.register_metrics(&mut registry);
    control::register_metrics(&admin, &mut registry);
    let routes = ops::routes(Some(Arc::clone(&running)), registry);
    let serving = http::serve(listener, admin.router().merge(routes));
    let gateway_url = format!("http://{}", reachable(running.address()));
    let console = console.map(|console| console.serve(&admin, &gateway_url)).transpose()?;
    Ok(Served {
        running,
        admin,
        admin_address,
        serving,
        console,
        drain: plan.drain,
    })
}

/// Takes over a listener for administration, or binds one.
pub(super) async fn listen(
    address: SocketAddr,
    handed_over: Option<std::net::TcpListener>,
) -> Result<TcpListener, Failure> {
    let failed = |error| Failure::said(UNAVAILABLE, format!("cannot listen on {address}: {error}"));
    match handed_over {
        None => TcpListener::bind(address).await.map_err(failed),
        Some(listener) => {
            listener.set_nonblocking(true).map_err(failed)?;
            TcpListener::from_std(listener).map_err(failed)
        }
    }
}

impl Plan {
    /// Reads what is needed; errors are noted in the reading.
    pub(super) fn of(reading: &mut Reading) -> Self {
        Self {
            edge: reading.edge(),
            admin_listen: reading.address("admin_listen"),
            console: reading.console(),
            control: ControlPlan::of(reading),
            drain: reading.milliseconds("drain_timeout_ms"),
        }
    }
}

impl Served {
    /// Returns the address that requests come to.
    pub(super) fn address(&self) -> SocketAddr {
        self.running.address()
    }

    /// Returns the address of the admin service.
    pub(super) fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Returns where browsers find the console.
    pub(super) fn console_url(&self) -> Option<&str> {
        self.console.as_ref().map(Console::url)
    }

    /// Waits until requests can be decided.
    pub(super) async fn ready(&self) {
        self.running.cache().reached(1).await;
    }

    /// Finishes what runs, gateway first: requests that wait for the admin service still get their answer. What has not
    /// finished when the time to drain is up is cut.
    pub(super) async fn stop(self) {
        tracing::info!("stopping");
        let deadline = Instant::now() + self.drain;
        drain(&self.running, self.drain).await;
        self.serving.end(deadline);
        if let Some(console) = &self.console {
            console.end(deadline);
        }
        self.admin.close().await;
        self.serving.ended().await;
        if let Some(console) = self.console {
            console.ended().await;
        }
        tracing::info!("stopped");
    }

    async fn reconfigure(&mut self, plan: Plan) -> Result<(), Vec<String>> {
        let catalogue = Arc::clone(&plan.edge.catalogue);
        edge::reconfigure(&self.running, plan.edge).await?;
        self.admin.replace_catalogue(catalogue);
        self.drain = plan.drain;
        Ok(())
    }
}

/// Ends a gateway: nothing new is taken, and what runs has a time to finish.
pub(super) async fn drain(running: &Arc<Running>, time_max: Duration) {
    running.begin_drain(time_max);
    let joining = Arc::clone(running);
    drop(tokio::task::spawn_blocking(move || joining.join()).await);
}

/// The address at which a listener on all addresses is reached from its own machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut reachable = address;
    if address.ip().is_unspecified() {
        reachable.set_ip(if address.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    reachable
}
