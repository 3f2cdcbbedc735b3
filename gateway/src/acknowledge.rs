//! Acknowledged: telling every admin service how far this gateway is, and what it is.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use feed::{Acknowledgement, GatewayInfo};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::policies::Keeper;
use crate::refusal::{Reason, Refusal};
use crate::upstream::Pool;
use crate::worker::Shared;

/// What this gateway tells of itself.
pub(crate) struct Acknowledger {
    pub(crate) configured: watch::Receiver<Arc<Shared>>,
    pub(crate) policies: Rc<Keeper>,
    pub(crate) admin: Rc<Pool>,
    /// Where requests come to.
    pub(crate) address: SocketAddr,
}

impl Acknowledger {
    /// Tells each endpoint of the admin service, after each change and now and then, for ever: each knows all gateways,
    /// whichever they follow.
    pub(crate) fn begin(self: &Rc<Self>) {
        for endpoint in 0..self.admin.upstream.endpoints() {
            tokio::task::spawn_local(Rc::clone(self).keep_telling(endpoint));
        }
    }

    /// Tells one endpoint how far the cache is now.
    ///
    /// # Errors
    /// When it was not taken.
    pub(crate) async fn tell(&self, endpoint: usize) -> Result<(), Refusal> {
        // Numbers and text always make JSON.
        let body = serde_json::to_vec(&self.now()).unwrap_or_default();
        let body = (Bytes::from(body), ANSWER_BYTES_MAX);
        // One that takes connections and says nothing would otherwise keep us for as long as a change may take.
        let telling = timeout(TELL_MAX, self.admin.post_at(endpoint, "/feed/ack", body)).await;
        let status = telling.map_err(|elapsed| Refusal::caused_by(Reason::UpstreamTimeout, elapsed))??;
        if status.is_success() {
            Ok(())
        } else {
            Err(Refusal::caused_by(Reason::UpstreamFailed, format!("status {status}")))
        }
    }

    async fn keep_telling(self: Rc<Self>, endpoint: usize) {
        let cache = Arc::clone(&self.configured.borrow().cache);
        loop {
            // What would be forgotten by a restart does not count yet.
            let mut confirmable = cache.confirmable();
            let mut arrivals = self.policies.arrivals();
            let (began, told) = (Instant::now(), *confirmable.borrow());
            if let Err(error) = self.tell(endpoint).await {
                tracing::debug!(%error, "an admin service did not take an acknowledgement");
                sleep(FAILED_PAUSE).await;
                continue;
            }
            // The pause ends early when there is something new to tell.
            let news = async {
                tokio::select! {
                    _ = confirmable.wait_for(|confirmable| *confirmable > told) => {}
                    _ = arrivals.changed() => {}
                }
            };
            drop(timeout(PAUSE_MAX, news).await);
            sleep_until(began + PAUSE_MIN).await;
        }
    }

    fn now(&self) -> Acknowledgement {
        let shared = Arc::clone(&self.configured.borrow());
        let settings = &shared.settings;
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Acknowledgement {
            gateway: settings.name.clone(),
            store: shared.cache.store(),
            revision: *shared.cache.confirmable().borrow(),
            keys: vec![shared.signer.verification_key().clone()],
            lacking: self.policies.lacking(),
            info: GatewayInfo {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                address: self.address.to_string(),
                policies: self.policies.loaded(),
                refuses_after_ms: milliseconds(settings.limits.data_age.reads_max),
            },
        }
    }
}

/// Acknowledgements are sent at least this often: they also tell that this gateway lives.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// And at most this often, however fast changes follow each other: of many gateways they would be a load.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Longest time to tell one: as long as a feed may be silent.
const TELL_MAX: Duration = Duration::from_secs(5);

/// Until an admin service that did not take one is told again.
const FAILED_PAUSE: Duration = Duration::from_secs(1);

const ANSWER_BYTES_MAX: usize = 64 * 1024;
