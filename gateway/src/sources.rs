//! Sources: how many connections there are, in all and of one source, and what each source may still do.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use dashmap::DashMap;
use tokio::time::Instant;

use crate::limit::{Allowance, Rate};

/// All sources of connections and requests. Shared by all workers.
pub(crate) struct Sources {
    /// The rates of sources have a clock that nobody can set.
    began: Instant,
    connections: AtomicUsize,
    by_address: DashMap<IpAddr, Arc<Source>>,
    /// When the map was last cleared of sources at rest, in milliseconds since the beginning.
    cleared_ms: AtomicI64,
}

/// One source: an IPv4 address, or the /64 of an IPv6 address, since a host has as many of those as it likes.
#[derive(Debug)]
pub(crate) struct Source {
    began: Instant,
    connections: AtomicUsize,
    requests: Allowance,
    invalid_credentials: Allowance,
    resets: Allowance,
}

/// A limit on connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// There are as many as there may be.
    All,
    /// There are as many of this source as there may be of one.
    Source,
}

/// A connection's place; given back when it is dropped.
pub(crate) struct Place {
    sources: Arc<Sources>,
    source: Option<Arc<Source>>,
}

impl Sources {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            connections: AtomicUsize::new(0),
            by_address: DashMap::new(),
            cleared_ms: AtomicI64::new(i64::MIN / 2),
        })
    }

    /// Takes a place for a connection, of whomever.
    pub(crate) fn enter(self: &Arc<Self>, connections_max: usize) -> Result<Place, Full> {
        if self.connections.fetch_add(1, Ordering::Relaxed) >= connections_max {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::All);
        }
        Ok(Place {
            sources: Arc::clone(self),
            source: None,
        })
    }

    /// Returns how many connections there are.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Returns a source.
    pub(crate) fn of(&self, address: IpAddr) -> Arc<Source> {
        let address = network(address);
        if let Some(source) = self.by_address.get(&address) {
            return Arc::clone(&source);
        }
        let now_ms = since_ms(self.began);
        if self.by_address.len() >= SOURCES_MAX && now_ms - self.cleared_ms.load(Ordering::Relaxed) > CLEAR_PAUSE_MS {
            self.cleared_ms.store(now_ms, Ordering::Relaxed);
            self.by_address.retain(|_, source| !source.is_at_rest(now_ms));
        }
        // More sources than can be told apart share one, and its limits: memory stays bounded and nothing is let through.
        let room = self.by_address.len() < SOURCES_MAX;
        let address = if room {
            address
        } else {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        };
        let source = self
            .by_address
            .entry(address)
            .or_insert_with(|| Arc::new(Source::new(self.began)));
        Arc::clone(&source)
    }
}

impl Place {
    /// Counts the connection as one of a source's.
    pub(crate) fn assign(&mut self, source: &Arc<Source>, connections_max: usize) -> Result<(), Full> {
        if source.connections.fetch_add(1, Ordering::Relaxed) >= connections_max {
            source.connections.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::Source);
        }
        self.source = Some(Arc::clone(source));
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sources.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(source) = &self.source {
            source.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Source {
    fn new(began: Instant) -> Self {
        Self {
            began,
            connections: AtomicUsize::new(0),
            requests: Allowance::default(),
            invalid_credentials: Allowance::default(),
            resets: Allowance::default(),
        }
    }

    /// Takes one request out of what it may send. Otherwise returns the seconds after which it may again.
    pub(crate) fn take_request(&self, rate: Rate) -> Result<(), i64> {
        self.requests.take_or_wait(rate, self.now_ms())
    }

    /// Takes one invalid credential out of what it may present, as [`Source::take_request`].
    pub(crate) fn take_invalid_credential(&self, rate: Rate) -> Result<(), i64> {
        self.invalid_credentials.take_or_wait(rate, self.now_ms())
    }

    /// Takes one out of the streams that it may reset, over all its connections.
    pub(crate) fn take_reset(&self) -> bool {
        self.resets.take(RESETS, self.now_ms())
    }

    /// Milliseconds since the beginning.
    pub(crate) fn now_ms(&self) -> i64 {
        since_ms(self.began)
    }

    fn is_at_rest(&self, now_ms: i64) -> bool {
        let allowances = [&self.requests, &self.invalid_credentials, &self.resets];
        self.connections.load(Ordering::Relaxed) == 0 && allowances.iter().all(|allowance| allowance.is_whole(now_ms))
    }
}

/// Most sources that are told apart: about 10 MB.
const SOURCES_MAX: usize = 65_536;

/// How often the sources at rest are looked for, at most: it takes milliseconds.
const CLEAR_PAUSE_MS: i64 = 1_000;

/// Resets of one source, over all its connections: those of a few connections that are at their own limit.
const RESETS: Rate = Rate {
    per_second: 100,
    burst: 1_000,
};

fn since_ms(began: Instant) -> i64 {
    i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX)
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_all_and_for_each_source_and_given_back() {
        let sources = Sources::new();
        let near = sources.of([127, 0, 0, 1].into());
        let mut first = sources.enter(2).expect("there is room");
        first.assign(&near, 1).expect("there is room");
        let mut second = sources.enter(2).expect("there is room");
        assert_eq!(second.assign(&near, 1), Err(Full::Source));
        assert_eq!(sources.enter(2).err(), Some(Full::All));
        drop(first);
        second.assign(&near, 1).expect("there is room again");
        drop(second);
        assert_eq!(sources.connections(), 0);
        assert!(near.is_at_rest(0));
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_source_and_a_mapped_ipv4_address_is_itself() {
        let one = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(one("2001:db8::1"), one("2001:db8::ffff:2"));
        assert_ne!(one("2001:db8::1"), one("2001:db8:0:1::1"));
        assert_eq!(one("::ffff:192.0.2.1"), one("192.0.2.1"));
    }

    #[test]
    fn there_are_never_more_sources_than_the_limit() {
        let sources = Sources::new();
        for number in 0..SOURCES_MAX as u32 + 1000 {
            // None of them is at rest.
            let source = sources.of(IpAddr::V4(number.into()));
            source.connections.store(1, Ordering::Relaxed);
        }
        assert!(sources.by_address.len() <= SOURCES_MAX + 1);
    }
}
