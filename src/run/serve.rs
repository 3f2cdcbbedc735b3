//! Gateway and admin service in one process. They speak over the same feed and the same API as two processes would.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use admin::Admin;
use gateway::Running;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::edge::AdminService;
use super::stop::Stop;
use super::{control, edge, ops};
use crate::config::{Edge, Given, SERVE};
use crate::exit::{Failure, UNAVAILABLE, USAGE};

/// What is needed to serve.
pub(super) struct Plan {
    pub(super) edge: Edge,
    pub(super) admin_listen: SocketAddr,
    pub(super) data: PathBuf,
    pub(super) org: String,
    pub(super) drain: Duration,
}

/// Everything of one process, while it runs.
pub(super) struct Served {
    running: Arc<Running>,
    admin: Arc<Admin>,
    admin_address: SocketAddr,
    listening: JoinHandle<()>,
    stop: watch::Sender<bool>,
    drain: Duration,
}

/// Runs until told to stop.
pub(super) async fn run(given: Given<SERVE>) -> Result<(), Failure> {
    super::start_log("info");
    let mut reading = given.read();
    let plan = Plan {
        edge: reading.edge(),
        admin_listen: reading.address("admin_listen"),
        data: PathBuf::from(reading.text("data")),
        org: reading.org(),
        drain: reading.milliseconds("drain_timeout_ms"),
    };
    reading.finish().map_err(|errors| Failure::new(USAGE, &errors))?;
    reading.log();
    let mut stop = Stop::listen()?;
    let served = start(plan).await?;
    tracing::info!(requests = %served.address(), admin = %served.admin_address(), "listening");
    stop.asked().await;
    served.stop().await;
    Ok(())
}

/// Binds every socket, then opens the store, then starts: an address in use leaves nothing behind.
pub(super) async fn start(plan: Plan) -> Result<Served, Failure> {
    let listener = listen(plan.admin_listen).await?;
    let admin_address = listener
        .local_addr()
        .map_err(|error| Failure::new(UNAVAILABLE, &error))?;
    let listeners = edge::listen(&plan.edge)?;
    let admin = Arc::new(control::open(&plan.data, plan.org, Arc::clone(&plan.edge.catalogue)).await?);
    let service = AdminService {
        url: format!("http://{}", reachable(admin_address)),
        ca_file: None,
        credential: super::secret_file(&plan.data.join(admin::GATEWAY_CREDENTIAL_FILE))?,
    };
    let gateway = edge::prepare(plan.edge, &plan.data, service, listeners).await?;
    let running = Arc::new(gateway.start().map_err(edge::failure)?);
    let mut registry = Registry::default();
    running.register_metrics(&mut registry);
    control::register_metrics(&admin, &mut registry);
    let routes = admin.router().merge(ops::routes(Some(Arc::clone(&running)), registry));
    let (stop, stopped) = watch::channel(false);
    let listening = tokio::spawn(ops::serve(listener, routes, stopped));
    Ok(Served {
        running,
        admin,
        admin_address,
        listening,
        stop,
        drain: plan.drain,
    })
}

/// Binds a listener for administration.
pub(super) async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| Failure::said(UNAVAILABLE, format!("cannot listen on {address}: {error}")))
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

    /// Waits until requests can be decided.
    pub(super) async fn ready(&self) {
        self.running.cache().reached(1).await;
    }

    /// Finishes what runs, gateway first: requests that wait for the admin service still get their answer.
    pub(super) async fn stop(self) {
        tracing::info!("stopping");
        self.running.begin_drain(self.drain);
        let running = Arc::clone(&self.running);
        drop(tokio::task::spawn_blocking(move || running.join()).await);
        self.stop.send_replace(true);
        self.admin.close().await;
        drop(self.listening.await);
        tracing::info!("stopped");
    }
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
