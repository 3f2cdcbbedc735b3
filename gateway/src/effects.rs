//! Effects: what happened at the orchestrator and bears on role bindings reaches the store at least once.
//!
//! An effect is on disk before the caller hears of the success that caused it, and stays there until the admin service
//! has confirmed it. A deletion that has only begun is believed when the object is seen to be gone.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use feed::{EffectReport, ObjectEffect, Scope};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use crate::body::RequestBody;
use crate::cache::Cache;
use crate::journal::{Journal, JournalError};
use crate::upstream::{Pool, tend};
use crate::worker::Shared;

/// Something that a success of the orchestrator told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Happened {
    /// It has happened.
    Certain(ObjectEffect),
    /// The object will be gone some time; until then it is found under a path.
    DeletionBegun { scope: Scope, path: String },
}

/// Where workers hand in what happened.
pub(crate) struct Effects(mpsc::Sender<Message>);

/// The other end: what arrives from the workers.
pub(crate) struct Arrivals(mpsc::Receiver<Message>);

struct Message {
    happened: Happened,
    durable: oneshot::Sender<()>,
    /// The revision that the effect made, when the admin service has confirmed it.
    confirmed: oneshot::Sender<u64>,
}

/// Writes effects to the journal and delivers them, in the order of their arrival.
pub(crate) struct Reporter {
    admin: Rc<Pool>,
    orchestrator: RefCell<Rc<Pool>>,
    journal: RefCell<Journal<Happened>>,
    queue: RefCell<VecDeque<Queued>>,
    more: Notify,
    /// Deletions that are watched, by their journal ids.
    watched: RefCell<Vec<(String, Scope)>>,
}

struct Queued {
    report: EffectReport,
    confirmed: Option<oneshot::Sender<u64>>,
}

impl Effects {
    pub(crate) fn channel() -> (Self, Arrivals) {
        let (sender, receiver) = mpsc::channel(ARRIVALS_MAX);
        (Self(sender), Arrivals(receiver))
    }

    /// Hands in what happened. Returns when it is on disk and, unless the admin service is away, has come back by the
    /// feed: so that the caller's next request finds it.
    pub(crate) async fn report(&self, cache: &Cache, happened: Happened) {
        let (durable, on_disk) = oneshot::channel();
        let (confirmed, revision) = oneshot::channel();
        if self
            .0
            .send(Message {
                happened,
                durable,
                confirmed,
            })
            .await
            .is_err()
            || on_disk.await.is_err()
        {
            tracing::error!("an effect on role bindings could not be kept");
            return;
        }
        let arrived = async {
            if let Ok(revision) = revision.await {
                cache.reached(revision).await;
            }
        };
        if timeout(CONFIRM_TIME_MAX, arrived).await.is_err() {
            tracing::warn!("the admin service has not confirmed an effect on role bindings; it will be told again");
        }
    }
}

impl Reporter {
    /// Opens the journal in a directory; what an earlier run left in it is delivered now.
    ///
    /// # Errors
    /// When the journal cannot be read or written.
    pub(crate) fn open(data: &Path, admin: Rc<Pool>, orchestrator: Rc<Pool>) -> Result<Rc<Self>, JournalError> {
        let (journal, pending) = Journal::take(&data.join("effects-journal"))?;
        let reporter = Rc::new(Self {
            admin,
            orchestrator: RefCell::new(orchestrator),
            journal: RefCell::new(journal),
            queue: RefCell::default(),
            more: Notify::new(),
            watched: RefCell::default(),
        });
        for (id, happened) in pending {
            reporter.take_up(id, happened, None);
        }
        Ok(reporter)
    }

    /// Asks the orchestrator that is configured, whichever that becomes, and looks after it between requests.
    pub(crate) async fn follow_orchestrator(self: Rc<Self>, mut configured: watch::Receiver<Arc<Shared>>) {
        let mut version = configured.borrow().orchestrator_version;
        let mut tending = tokio::task::spawn_local(tend(Rc::clone(&self.orchestrator.borrow())));
        while configured.changed().await.is_ok() {
            let shared = Arc::clone(&configured.borrow_and_update());
            if shared.orchestrator_version != version {
                version = shared.orchestrator_version;
                let orchestrator = Pool::new(shared.settings.orchestrator.clone());
                tending.abort();
                tending = tokio::task::spawn_local(tend(Rc::clone(&orchestrator)));
                self.orchestrator.replace(orchestrator);
            }
        }
    }

    /// Runs until the workers are gone.
    pub(crate) async fn run(self: Rc<Self>, mut arrivals: Arrivals) {
        let delivering = tokio::task::spawn_local(Rc::clone(&self).deliver_all());
        let adopting = tokio::task::spawn_local(Rc::clone(&self).adopt_all());
        while let Some(Message {
            happened,
            durable,
            confirmed,
        }) = arrivals.0.recv().await
        {
            let id = uuid::Uuid::new_v4().to_string();
            let kept = self.journal.borrow_mut().append(&id, &happened);
            match kept {
                // Whoever waited may be gone; the effect is kept all the same.
                Ok(()) => {
                    let _ = durable.send(());
                }
                Err(error) => {
                    tracing::error!(%error, "the effects journal cannot be written");
                    continue;
                }
            }
            self.take_up(id, happened, Some(confirmed));
        }
        delivering.abort();
        adopting.abort();
    }

    /// Delivers what other processes on this directory have left, such as the one that an upgrade replaced.
    async fn adopt_all(self: Rc<Self>) {
        loop {
            let adopted = self.journal.borrow_mut().adopt();
            match adopted {
                Ok(adopted) => {
                    for (id, happened) in adopted {
                        self.take_up(id, happened, None);
                    }
                }
                Err(error) => tracing::error!(%error, "effects that another process left cannot be taken over"),
            }
            sleep(ADOPT_PAUSE).await;
        }
    }

    fn take_up(self: &Rc<Self>, id: String, happened: Happened, confirmed: Option<oneshot::Sender<u64>>) {
        match happened {
            Happened::Certain(effect) => {
                if let ObjectEffect::Created { scope, .. } = &effect {
                    self.stop_watching(scope);
                }
                self.queue.borrow_mut().push_back(Queued {
                    report: EffectReport { id, effect },
                    confirmed,
                });
                self.more.notify_one();
            }
            Happened::DeletionBegun { scope, path } => {
                self.watched.borrow_mut().push((id.clone(), scope.clone()));
                tokio::task::spawn_local(Rc::clone(self).watch(id, scope, path));
            }
        }
    }

    /// An object that was made anew is not the one whose end is awaited.
    fn stop_watching(&self, scope: &Scope) {
        let ended = self
            .watched
            .borrow_mut()
            .extract_if(.., |(_, watched)| watched == scope)
            .collect::<Vec<_>>();
        for (id, _) in ended {
            self.journal_done(&id);
        }
    }

    async fn watch(self: Rc<Self>, id: String, scope: Scope, path: String) {
        let mut pause = WATCH_PAUSE_MIN;
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(WATCH_PAUSE_MAX);
            if !self.watched.borrow().iter().any(|(watched, _)| *watched == id) {
                return;
            }
            let orchestrator = Rc::clone(&self.orchestrator.borrow());
            let asked = orchestrator
                .fetch(Method::GET, &path, RequestBody::empty(), CONFIRMATION_BYTES_MAX)
                .await;
            if asked.is_ok_and(|(status, _, _)| status == StatusCode::NOT_FOUND) {
                break;
            }
        }
        self.watched.borrow_mut().retain(|(watched, _)| *watched != id);
        self.take_up(id, Happened::Certain(ObjectEffect::Deleted { scope }), None);
    }

    async fn deliver_all(self: Rc<Self>) {
        let mut pause = DELIVER_PAUSE_MIN;
        loop {
            let next = self.queue.borrow().front().map(|queued| queued.report.clone());
            let Some(report) = next else {
                self.more.notified().await;
                continue;
            };
            match self.deliver(&report).await {
                Delivery::Confirmed(revision) => {
                    self.finish(&report.id, Some(revision));
                    pause = DELIVER_PAUSE_MIN;
                }
                Delivery::Rejected(status) => {
                    tracing::error!(%status, effect = ?report.effect, "the admin service rejects an effect; it is dropped");
                    self.finish(&report.id, None);
                }
                Delivery::Failed => {
                    sleep(pause).await;
                    pause = (pause * 2).min(DELIVER_PAUSE_MAX);
                }
            }
        }
    }

    async fn deliver(&self, report: &EffectReport) -> Delivery {
        let Ok(body) = serde_json::to_vec(report) else {
            return Delivery::Rejected(StatusCode::BAD_REQUEST);
        };
        let body = RequestBody::Full(Some(Bytes::from(body)));
        match self
            .admin
            .fetch(Method::POST, "/effects", body, CONFIRMATION_BYTES_MAX)
            .await
        {
            Ok((StatusCode::OK, _, answer)) => match serde_json::from_slice(&answer) {
                Ok(Confirmation { revision }) => Delivery::Confirmed(revision),
                Err(_unreadable) => Delivery::Failed,
            },
            Ok((status @ (StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY), _, _)) => {
                Delivery::Rejected(status)
            }
            Ok(_) | Err(_) => Delivery::Failed,
        }
    }

    fn finish(&self, id: &str, revision: Option<u64>) {
        let queued = self.queue.borrow_mut().pop_front();
        self.journal_done(id);
        if let Some((confirmed, revision)) = queued.and_then(|queued| queued.confirmed).zip(revision) {
            // Whoever waited may have given up.
            let _ = confirmed.send(revision);
        }
    }

    fn journal_done(&self, id: &str) {
        if let Err(error) = self.journal.borrow_mut().done(id) {
            tracing::error!(%error, "the effects journal cannot be written");
        }
    }
}

enum Delivery {
    Confirmed(u64),
    Rejected(StatusCode),
    Failed,
}

#[derive(Deserialize)]
struct Confirmation {
    revision: u64,
}

/// Effects that may wait to be written at once.
const ARRIVALS_MAX: usize = 1024;

/// Longest time that an answer is held back for its effect.
const CONFIRM_TIME_MAX: Duration = Duration::from_secs(2);

const WATCH_PAUSE_MIN: Duration = Duration::from_millis(500);
const WATCH_PAUSE_MAX: Duration = Duration::from_secs(60);
const DELIVER_PAUSE_MIN: Duration = Duration::from_millis(100);
const DELIVER_PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often journals of processes that have ended are looked for.
const ADOPT_PAUSE: Duration = Duration::from_secs(10);

const CONFIRMATION_BYTES_MAX: usize = 1024 * 1024;
