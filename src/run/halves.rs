//! The two halves, for many machines.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use catalogue::Catalogue;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::console::{self, Console};
use super::control::ControlPlan;
use super::edge::{AdminPlace, AdminService};
use super::enrol::Credentials;
use super::reload::Reloads;
use super::serve::{drain, listen};
use super::signals::{Asked, Signals};
use super::systemd::{self, Sockets};
use super::{control, edge, http, ops};
use crate::config::{ADMIN, ConsoleConfig, Edge, GATEWAY, Given, Reading};
use crate::exit::{Failure, UNAVAILABLE, USAGE};

/// What the data plane needs.
pub(super) struct GatewayPlan {
    pub(super) edge: Edge,
    ops_listen: SocketAddr,
    data: PathBuf,
    admin_urls: Vec<String>,
    admin_ca_file: Option<PathBuf>,
    credentials: Credentials,
    drain: Duration,
}

/// What the control plane needs.
pub(super) struct AdminPlan {
    listen: SocketAddr,
    console: Option<ConsoleConfig>,
    control: ControlPlan,
    drain: Duration,
}

/// Runs the data plane until told to stop.
pub(super) async fn gateway(given: Given<GATEWAY>, sockets: Sockets) -> Result<(), Failure> {
    super::start_log("info");
    let mut sockets = sockets.only(&["requests", "ops"])?;
    let mut reading = given.clone().read();
    let plan = GatewayPlan::of(&mut reading);
    reading.finish().map_err(|errors| Failure::new(USAGE, &errors))?;
    reading.log();
    super::file_limit::raise(plan.edge.limits.connections_max);
    let mut signals = Signals::listen()?;
    let mut reloads = Reloads::new(given, reading);
    let listeners = edge::listen(&plan.edge, sockets.named("requests"))?;
    super::data_directory(&plan.data)?;
    let place = AdminPlace {
        urls: plan.admin_urls,
        ca_file: plan.admin_ca_file,
    };
    let open = async |credential: String| edge::open_admin(&place, credential).await;
    let proofs = plan.credentials.proofs(open).await?;
    let service = AdminService {
        place,
        proofs,
        keep: true,
    };
    let listener = listen(plan.ops_listen, sockets.named("ops")).await?;
    let ops_address = local(&listener)?;
    let running = edge::start(plan.edge, &plan.data, service, listeners).await?;
    let mut registry = Registry::default();
    reloads.register_metrics(&mut registry);
    running.register_metrics(&mut registry);
    let serving = http::serve(listener, ops::routes(Some(Arc::clone(&running)), registry));
    tracing::info!(requests = %running.address(), ops = %ops_address, "listening");
    systemd::ready();
    let mut time_max = plan.drain;
    while signals.next().await == Asked::Reload {
        running.reopen_access_log();
        let apply = async |plan: GatewayPlan| {
            edge::reconfigure(&running, plan.edge).await?;
            time_max = plan.drain;
            Ok(())
        };
        reloads.again(GatewayPlan::of, apply).await;
    }
    systemd::stopping();
    tracing::info!("stopping");
    let deadline = Instant::now() + time_max;
    drain(&running, time_max).await;
    serving.end(deadline);
    serving.ended().await;
    tracing::info!("stopped");
    Ok(())
}

/// Runs the control plane until told to stop.
pub(super) async fn admin(given: Given<ADMIN>, sockets: Sockets) -> Result<(), Failure> {
    super::start_log("info");
    let mut sockets = sockets.only(&["admin", "console"])?;
    let mut reading = given.clone().read();
    let plan = AdminPlan::of(&mut reading);
    reading.finish().map_err(|errors| Failure::new(USAGE, &errors))?;
    reading.log();
    let mut signals = Signals::listen()?;
    let mut reloads = Reloads::new(given, reading);
    let listener = listen(plan.listen, sockets.named("admin")).await?;
    let address = local(&listener)?;
    let console = console::listen(plan.console, sockets.named("console")).await?;
    let shipped = Catalogue::parse(catalogue::OPERATIONS).expect("the shipped table is tested to be valid");
    let admin = Arc::new(control::open(plan.control, Arc::new(shipped)).await?);
    let mut registry = Registry::default();
    reloads.register_metrics(&mut registry);
    control::register_metrics(&admin, &mut registry);
    let serving = http::serve(listener, admin.router().merge(ops::routes(None, registry)));
    let console = console.map(|console| console.serve(&admin, "")).transpose()?;
    let console_url = console.as_ref().map(Console::url);
    tracing::info!(admin = %address, console = console_url, "listening");
    systemd::ready();
    let mut time_max = plan.drain;
    while signals.next().await == Asked::Reload {
        let apply = async |plan: AdminPlan| {
            time_max = plan.drain;
            Ok(())
        };
        reloads.again(AdminPlan::of, apply).await;
    }
    systemd::stopping();
    tracing::info!("stopping");
    serving.end(Instant::now() + time_max);
    if let Some(console) = &console {
        console.end(Instant::now() + time_max);
    }
    admin.close().await;
    serving.ended().await;
    if let Some(console) = console {
        console.ended().await;
    }
    tracing::info!("stopped");
    Ok(())
}

impl GatewayPlan {
    /// Reads what is needed; errors are noted in the reading.
    pub(super) fn of(reading: &mut Reading) -> Self {
        let data = PathBuf::from(reading.text("data"));
        Self {
            edge: reading.edge(),
            ops_listen: reading.address("ops_listen"),
            admin_urls: reading.urls("admin_url"),
            admin_ca_file: reading.file("admin_ca_file"),
            credentials: Credentials::of(reading, &data),
            data,
            drain: reading.milliseconds("drain_timeout_ms"),
        }
    }
}

impl AdminPlan {
    /// Reads what is needed; errors are noted in the reading.
    pub(super) fn of(reading: &mut Reading) -> Self {
        Self {
            listen: reading.address("admin_listen"),
            console: reading.console(),
            control: ControlPlan::of(reading),
            drain: reading.milliseconds("drain_timeout_ms"),
        }
    }
}

fn local(listener: &tokio::net::TcpListener) -> Result<SocketAddr, Failure> {
    listener.local_addr().map_err(|error| Failure::new(UNAVAILABLE, &error))
}
