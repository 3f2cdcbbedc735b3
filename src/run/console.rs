//! The console's listener. Browsers reach it, so it is apart from that of gateways, and has limits of its own.

use std::sync::Arc;

use admin::{Admin, Origin};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::control;
use super::http::{self, Serving};
use super::serve;
use crate::config::ConsoleConfig;
use crate::exit::{Failure, SOFTWARE, UNAVAILABLE};

/// A listener that browsers may reach, before there is a console.
pub(super) struct Listening {
    listener: TcpListener,
    origin: Origin,
    gateway_url: String,
}

/// A console that is being served.
pub(super) struct Console {
    origin: Origin,
    serving: Serving,
}

/// Takes over the listener of the console, or binds it; `None`: there is to be no console.
pub(super) async fn listen(
    config: Option<ConsoleConfig>,
    handed_over: Option<std::net::TcpListener>,
) -> Result<Option<Listening>, Failure> {
    let Some(config) = config else { return Ok(None) };
    let listener = serve::listen(config.listen, handed_over).await?;
    let address = listener.local_addr();
    let port = address.map_err(|error| Failure::new(UNAVAILABLE, &error))?.port();
    let origin = match config.origin {
        Some(origin) => origin,
        None => Origin::parse(&format!("http://localhost:{port}")).map_err(|error| Failure::new(SOFTWARE, &error))?,
    };
    Ok(Some(Listening {
        listener,
        origin,
        gateway_url: config.gateway_url,
    }))
}

impl Listening {
    /// Serves the console; callers reach the gateways at this address, unless the configuration names another.
    pub(super) fn serve(self, admin: &Arc<Admin>, gateway_url: &str) -> Result<Console, Failure> {
        let named = self.gateway_url.as_str();
        let gateway_url = if named.is_empty() { gateway_url } else { named };
        let routes = admin.console(self.origin.clone(), gateway_url);
        let routes = routes.map_err(|error| control::failure(&error))?;
        Ok(Console {
            origin: self.origin,
            serving: http::serve(self.listener, routes),
        })
    }
}

impl Console {
    /// Returns where browsers find it.
    pub(super) fn url(&self) -> &str {
        self.origin.as_str()
    }

    /// Takes no more connections. Requests that run are finished until the deadline, and then cut.
    pub(super) fn end(&self, deadline: Instant) {
        self.serving.end(deadline);
    }

    /// Waits for the end that was asked for.
    pub(super) async fn ended(self) {
        self.serving.ended().await;
    }
}
