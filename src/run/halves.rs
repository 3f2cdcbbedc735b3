//! The two halves, for many machines.

use std::path::PathBuf;
use std::sync::Arc;

use catalogue::Catalogue;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use super::edge::AdminService;
use super::serve::listen;
use super::stop::Stop;
use super::{control, edge, ops};
use crate::config::{ADMIN, GATEWAY, Given};
use crate::exit::{Failure, UNAVAILABLE, USAGE};

/// Runs the data plane until told to stop.
pub(super) async fn gateway(given: Given<GATEWAY>) -> Result<(), Failure> {
    super::start_log("info");
    let mut reading = given.read();
    let edge_config = reading.edge();
    let ops_listen = reading.address("ops_listen");
    let data = PathBuf::from(reading.text("data"));
    let drain = reading.milliseconds("drain_timeout_ms");
    let (url, ca_file) = (reading.url("admin_url"), reading.file("admin_ca_file"));
    let credential_file = PathBuf::from(reading.needed("gateway_credential_file"));
    reading.finish().map_err(|errors| Failure::new(USAGE, &errors))?;
    reading.log();
    let mut stop = Stop::listen()?;
    let listeners = edge::listen(&edge_config)?;
    super::data_directory(&data)?;
    let service = AdminService {
        url,
        ca_file,
        credential: super::secret_file(&credential_file)?,
    };
    let listener = listen(ops_listen).await?;
    let ops_listen = local(&listener)?;
    let bound = edge::prepare(edge_config, &data, service, listeners).await?;
    let running = Arc::new(bound.start().map_err(edge::failure)?);
    let mut registry = Registry::default();
    running.register_metrics(&mut registry);
    let (stopping, stopped) = watch::channel(false);
    let listening = tokio::spawn(ops::serve(
        listener,
        ops::routes(Some(Arc::clone(&running)), registry),
        stopped,
    ));
    tracing::info!(requests = %running.address(), ops = %ops_listen, "listening");
    stop.asked().await;
    tracing::info!("stopping");
    running.begin_drain(drain);
    let joining = Arc::clone(&running);
    drop(tokio::task::spawn_blocking(move || joining.join()).await);
    stopping.send_replace(true);
    drop(listening.await);
    tracing::info!("stopped");
    Ok(())
}

/// Runs the control plane until told to stop.
pub(super) async fn admin(given: Given<ADMIN>) -> Result<(), Failure> {
    super::start_log("info");
    let mut reading = given.read();
    let address = reading.address("admin_listen");
    let data = PathBuf::from(reading.text("data"));
    let org = reading.org();
    reading.finish().map_err(|errors| Failure::new(USAGE, &errors))?;
    reading.log();
    let mut stop = Stop::listen()?;
    let listener = listen(address).await?;
    let address = local(&listener)?;
    let shipped = Catalogue::parse(catalogue::OPERATIONS).expect("the shipped table is tested to be valid");
    let admin = Arc::new(control::open(&data, org, Arc::new(shipped)).await?);
    let mut registry = Registry::default();
    control::register_metrics(&admin, &mut registry);
    let (stopping, stopped) = watch::channel(false);
    let routes = admin.router().merge(ops::routes(None, registry));
    let listening = tokio::spawn(ops::serve(listener, routes, stopped));
    tracing::info!(admin = %address, "listening");
    stop.asked().await;
    tracing::info!("stopping");
    stopping.send_replace(true);
    admin.close().await;
    drop(listening.await);
    tracing::info!("stopped");
    Ok(())
}

fn local(listener: &tokio::net::TcpListener) -> Result<std::net::SocketAddr, Failure> {
    listener.local_addr().map_err(|error| Failure::new(UNAVAILABLE, &error))
}
