//! Tunnel: the octets of an upgraded connection, both ways, until one side ends it or it must end.
//!
//! It looks at octets only to know where a WebSocket's frames end, so that it can say goodbye in the right place.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::io;
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::accept::Phase;
use crate::body::Finished;
use crate::refusal::Reason;
use crate::streams::{Registered, Side};
use crate::upstream::Lease;
use crate::websocket::{self, Frames, GOING_AWAY, POLICY_VIOLATION};

/// The two ends of an upgraded connection, before they are joined.
pub(crate) struct Tunnel {
    pub(crate) websocket: bool,
    /// Comes when the caller has got its 101.
    pub(crate) caller: OnUpgrade,
    pub(crate) upstream: OnUpgrade,
    /// Held to the end: the upstream's connection is in use.
    pub(crate) lease: Lease,
    /// Its place among the upgraded connections.
    pub(crate) place: OwnedSemaphorePermit,
}

/// What can end a tunnel besides its two sides.
pub(crate) struct Ends<'t> {
    pub(crate) registered: Option<&'t Registered>,
    pub(crate) phase: watch::Receiver<Phase>,
    /// Longest time without an octet either way.
    pub(crate) idle: Duration,
}

/// Why it ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("no longer allowed: {}", .0.id())]
    Cut(Reason),
    #[error("nothing came for {0:?}")]
    Idle(Duration),
    #[error("the gateway stops")]
    Drained,
    #[error("the upgrade failed: {0}")]
    Upgrade(#[from] hyper::Error),
    #[error("the upgrade took too long")]
    Late,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Tunnel {
    /// Moves octets until both sides have ended, or something ends it. Returns how much the caller got, and why it broke
    /// off if it did.
    pub(crate) async fn run(self, ends: Ends<'_>) -> (Finished, Result<(), Broken>) {
        let Self {
            websocket,
            caller,
            upstream,
            lease,
            place,
        } = self;
        let _held = (lease, place);
        let joining = async { tokio::try_join!(caller, upstream) };
        let (caller, upstream) = match timeout(JOIN_TIME_MAX, joining).await {
            Ok(Ok(joined)) => joined,
            Ok(Err(error)) => return (Finished::default(), Err(error.into())),
            Err(_elapsed) => return (Finished::default(), Err(Broken::Late)),
        };
        let (caller_read, caller_write) = tokio::io::split(TokioIo::new(caller));
        let (upstream_read, upstream_write) = tokio::io::split(TokioIo::new(upstream));
        let mut down = Way::new(upstream_read, caller_write, websocket);
        let mut up = Way::new(caller_read, upstream_write, websocket);
        let end = pass(&mut down, &mut up, ends).await;
        let finished = Finished {
            bytes: down.bytes,
            complete: end.is_ok(),
        };
        if let Err(broken) = &end {
            // What the other side does not take in time, it does not get.
            drop(timeout(CLOSE_TIME_MAX, say_goodbye(&mut down, &mut up, broken)).await);
        }
        (finished, end)
    }
}

/// What the directions of a tunnel tell of themselves.
struct Activity {
    /// When an octet last came or went.
    moved: Cell<Instant>,
    /// Whether a direction has ended.
    half_closed: Cell<bool>,
}

/// One direction.
struct Way {
    from: ReadHalf<TokioIo<Upgraded>>,
    to: WriteHalf<TokioIo<Upgraded>>,
    buffer: Box<[u8]>,
    /// What is in the buffer and has not gone on.
    waiting: std::ops::Range<usize>,
    /// Octets that have gone on.
    bytes: u64,
    frames: Option<Frames>,
}

impl Way {
    fn new(from: ReadHalf<TokioIo<Upgraded>>, to: WriteHalf<TokioIo<Upgraded>>, websocket: bool) -> Self {
        Self {
            from,
            to,
            buffer: vec![0; BUFFER_BYTES].into(),
            waiting: 0..0,
            bytes: 0,
            frames: websocket.then(Frames::default),
        }
    }

    /// Moves octets until the one side ends, and ends the other.
    ///
    /// # Cancel safety
    /// Cancel safe: what has gone on is noted as it goes.
    async fn pass(&mut self, activity: &Activity) -> io::Result<()> {
        loop {
            while !self.waiting.is_empty() {
                let written = self.to.write(&self.buffer[self.waiting.clone()]).await?;
                if written == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                let end = self.waiting.start + written;
                if let Some(frames) = &mut self.frames {
                    frames.pass(&self.buffer[self.waiting.start..end]);
                }
                self.waiting.start = end;
                self.bytes += written as u64;
                activity.moved.set(Instant::now());
            }
            self.to.flush().await?;
            let read = self.from.read(&mut self.buffer).await?;
            if read == 0 {
                activity.half_closed.set(true);
                return self.to.shutdown().await;
            }
            self.waiting = 0..read;
            activity.moved.set(Instant::now());
        }
    }

    /// Ends a direction that was broken off: with a Close frame where one may stand.
    async fn end(&mut self, close: &[u8]) -> io::Result<()> {
        if self.frames.as_ref().is_some_and(Frames::may_close) {
            self.to.write_all(close).await?;
            self.to.flush().await?;
        }
        self.to.shutdown().await
    }

    /// Reads on without looking: a socket that is closed with something unread takes back what was sent last.
    async fn ignore_rest(&mut self) -> io::Result<()> {
        while self.from.read(&mut self.buffer).await? > 0 {}
        Ok(())
    }
}

/// Longest time from the upstream's 101 to the caller's.
const JOIN_TIME_MAX: Duration = Duration::from_secs(10);

/// Longest time without an octet when one side has ended.
const HALF_CLOSED_TIME_MAX: Duration = Duration::from_secs(10);

/// Longest time to say goodbye.
const CLOSE_TIME_MAX: Duration = Duration::from_millis(500);

/// Room for what is on its way, in each direction.
const BUFFER_BYTES: usize = 8 * 1024;

async fn pass(down: &mut Way, up: &mut Way, ends: Ends<'_>) -> Result<(), Broken> {
    let Ends {
        registered,
        mut phase,
        idle,
    } = ends;
    let activity = Activity {
        moved: Cell::new(Instant::now()),
        half_closed: Cell::new(false),
    };
    let passing = async { tokio::try_join!(down.pass(&activity), up.pass(&activity)) };
    let cut = async {
        let Some(registered) = registered else {
            return pending().await;
        };
        let stream = registered.stream();
        let reason = poll_fn(|context| stream.poll_cut(Side::Answer, context)).await;
        stream.obey();
        reason
    };
    tokio::select! {
        biased;
        reason = cut => Err(Broken::Cut(reason)),
        passed = passing => Ok(passed.map(drop)?),
        () = silence(&activity, idle) => if activity.half_closed.get() { Ok(()) } else { Err(Broken::Idle(idle)) },
        () = end_of_drain(&mut phase) => Err(Broken::Drained),
    }
}

/// Waits until nothing has moved for the longest time that it may; that is short when one side has ended.
async fn silence(activity: &Activity, longest: Duration) {
    loop {
        let half_closed = longest.min(HALF_CLOSED_TIME_MAX);
        let longest = if activity.half_closed.get() {
            half_closed
        } else {
            longest
        };
        let (now, end) = (Instant::now(), activity.moved.get() + longest);
        if end <= now {
            return;
        }
        sleep_until(end.min(now + half_closed)).await;
    }
}

/// Waits until the time to finish is nearly up: a tunnel has no end of its own that could be waited for.
async fn end_of_drain(phase: &mut watch::Receiver<Phase>) {
    let draining = phase.wait_for(|phase| *phase != Phase::Serve).await;
    let deadline = match draining.map(|phase| *phase) {
        Ok(Phase::Drain(deadline)) => deadline,
        Ok(Phase::Serve) | Err(_) => return,
    };
    sleep_until(deadline.checked_sub(2 * CLOSE_TIME_MAX).unwrap_or(deadline)).await;
}

async fn say_goodbye(down: &mut Way, up: &mut Way, broken: &Broken) {
    let (code, reason) = match broken {
        Broken::Cut(reason) => (POLICY_VIOLATION, reason.public_id()),
        Broken::Idle(_) => (GOING_AWAY, "idle for too long"),
        Broken::Drained => (GOING_AWAY, "the gateway stops"),
        Broken::Upgrade(_) | Broken::Late | Broken::Io(_) => return,
    };
    let close_down = websocket::close(code, reason, None);
    let close_up = websocket::close(GOING_AWAY, "", Some(rand::random()));
    drop(tokio::join!(down.end(&close_down), up.end(&close_up)));
    drop(up.ignore_rest().await);
}
