//! What is known of a connection before any request on it is read, and whether any is being answered.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use feed::Thumbprint;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use crate::accept::Phase;
use crate::sources::{Place, Source};
use crate::tls::Handshake;

/// The connection that requests come on.
pub(crate) struct Connection {
    /// The peer, or whom a listed front proxy's PROXY header names.
    pub(crate) origin: Origin,
    /// Whether the peer is a listed front proxy, whose fields are believed.
    pub(crate) fronted: bool,
    /// What the TLS handshake told; `None` when it is not encrypted up to here.
    tls: Option<Handshake>,
    /// Whether the gateway goes on.
    pub(crate) phase: watch::Receiver<Phase>,
    /// Its places among all connections and the worker's. A request that goes on without its caller keeps them, and so does a
    /// connection that was upgraded: the end of the process waits for them.
    _places: (Place, OwnedSemaphorePermit),
    in_flight: Cell<usize>,
    /// When the last request ended.
    rests_since: Cell<Instant>,
    offers: Offers,
}

/// Answers whose next part waits for the caller's window, by when it was offered.
#[derive(Default)]
struct Offers(RefCell<Vec<Weak<Cell<Option<Instant>>>>>);

/// The next part of an answer over HTTP/2, which waits until the caller has a window for it. Over HTTP/1.1 there is but one
/// answer at a time, and the socket knows.
pub(crate) struct Offer(Rc<Cell<Option<Instant>>>);

/// Where requests come from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) address: IpAddr,
    /// What that source may still do.
    pub(crate) source: Arc<Source>,
    /// Whether the caller's connection is encrypted.
    pub(crate) secure: bool,
}

/// A request of a connection that has begun and not ended.
pub(crate) struct Busy(Rc<Connection>);

impl Connection {
    pub(crate) fn new(
        origin: Origin,
        (fronted, tls): (bool, Option<Handshake>),
        phase: watch::Receiver<Phase>,
        places: (Place, OwnedSemaphorePermit),
    ) -> Rc<Self> {
        Rc::new(Self {
            origin,
            fronted,
            tls,
            phase,
            _places: places,
            in_flight: Cell::new(0),
            rests_since: Cell::new(Instant::now()),
            offers: Offers::default(),
        })
    }

    /// Returns the client certificate that was verified.
    pub(crate) fn certificate(&self) -> Option<&Thumbprint> {
        self.tls.as_ref()?.certificate()
    }

    /// Says whether requests for a host, without port, may come on it.
    pub(crate) fn answers_for(&self, host: &str) -> bool {
        self.tls.as_ref().is_none_or(|handshake| handshake.answers_for(host))
    }

    /// Notes that a request is being answered, for as long as what is returned lives.
    pub(crate) fn begin(self: &Rc<Self>) -> Busy {
        self.in_flight.set(self.in_flight.get() + 1);
        Busy(Rc::clone(self))
    }

    /// Notes that an answer will be offered in parts.
    pub(crate) fn offer(&self) -> Offer {
        self.offers.begin()
    }

    /// Returns when a part of an answer will have been on offer for some time, if it is not taken.
    pub(crate) fn stalled_at(&self, time: Duration) -> Option<Instant> {
        self.offers.earliest().map(|since| since + time)
    }

    /// Returns when it will have rested for some time, if no request comes; `None` while one is being answered.
    pub(crate) fn rested_at(&self, time: Duration) -> Option<Instant> {
        (self.in_flight.get() == 0).then(|| self.rests_since.get() + time)
    }
}

impl Offers {
    fn begin(&self) -> Offer {
        let offer = Offer(Rc::new(Cell::new(Some(Instant::now()))));
        let mut offers = self.0.borrow_mut();
        // Before it would grow: a connection may have many answers in its time, and few at once.
        if offers.len() == offers.capacity() {
            offers.retain(|offer| offer.strong_count() > 0);
        }
        offers.push(Rc::downgrade(&offer.0));
        offer
    }

    fn earliest(&self) -> Option<Instant> {
        let offers = self.0.borrow();
        offers.iter().filter_map(|offer| offer.upgrade()?.get()).min()
    }
}

impl Offer {
    /// Notes that the caller takes what is offered.
    pub(crate) fn take(&self) {
        self.0.set(None);
    }

    /// Notes that a part was made and is on offer.
    pub(crate) fn make(&self) {
        self.0.set(Some(Instant::now()));
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let connection = &self.0;
        connection.in_flight.set(connection.in_flight.get() - 1);
        connection.rests_since.set(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_remembers_the_answers_that_it_has_and_not_those_that_it_had() {
        let offers = Offers::default();
        let kept: Vec<Offer> = (0..10).map(|_| offers.begin()).collect();
        for _ in 0..10_000 {
            offers.begin();
        }
        assert!(offers.0.borrow().capacity() <= 64, "{}", offers.0.borrow().capacity());
        assert!(offers.earliest().is_some());
        kept.iter().for_each(Offer::take);
        assert_eq!(offers.earliest(), None);
    }
}
