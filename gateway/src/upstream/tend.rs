//! What is looked after between requests: the credential, the certificate that we show, the health of endpoints.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::pool::Pool;
use crate::refusal::{Reason, Refusal};

/// Looks after an upstream, for ever: to be dropped when the upstream is not used any more. One such is enough for all
/// workers.
pub(crate) async fn tend(pool: Rc<Pool>) {
    let shared = &pool.upstream.0;
    let (watch, reloads) = (shared.config.files_watch, &shared.counts.reloads);
    let checks = shared.config.health.path.as_deref();
    let checks = checks.map(|path| join_all((0..shared.endpoints.len()).map(|endpoint| check(&pool, endpoint, path))));
    tokio::join!(
        shared.credential.tend(watch, reloads),
        shared.connectors.tend(watch, reloads),
        async {
            if let Some(checks) = checks {
                checks.await;
            }
        }
    );
}

/// How long a check may take.
const CHECK_TIME_MAX: Duration = Duration::from_secs(5);

async fn check(pool: &Rc<Pool>, number: usize, path: &str) {
    let shared = &pool.upstream.0;
    let endpoint = &shared.endpoints[number];
    loop {
        let checked = timeout(CHECK_TIME_MAX, pool.check(number, path)).await;
        let checked = checked.unwrap_or_else(|elapsed| Err(Refusal::caused_by(Reason::UpstreamTimeout, elapsed)));
        let well = matches!(checked, Ok(true));
        if endpoint.health.checked(well) {
            let (endpoint, error) = (endpoint.authority(), checked.err().and_then(|refusal| refusal.source));
            if well {
                tracing::info!(endpoint, "an endpoint of the upstream is well again");
            } else {
                let error = error.map_or_else(|| "its answer was no success".to_owned(), |error| error.to_string());
                tracing::warn!(endpoint, error, "an endpoint of the upstream fails its checks");
            }
        }
        sleep(shared.config.health.interval).await;
    }
}
