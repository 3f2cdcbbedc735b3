//! Listeners: the sockets that connections come to, from before there is a worker to after the last one has accepted.
//!
//! Nothing that a caller could have connected to is closed on them: who connects before there is data waits, and what the
//! kernel has queued when the end comes is still taken.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::cache::Cache;
use crate::start::StartError;

/// Whether another gateway of the same user may listen on the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// No: one that does is a mistake.
    Alone,
    /// Yes: the kernel spreads new connections over both, until the older one is told to stop.
    Shared,
}

/// The bound sockets of a gateway, one for each worker.
pub struct Listeners {
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) sharing: Sharing,
    pub(crate) address: SocketAddr,
}

impl Listeners {
    /// Binds the sockets: before a store is opened or anything is written, so that an address in use changes nothing.
    ///
    /// # Errors
    /// [`StartError::Listen`].
    pub fn bind(address: SocketAddr, workers: usize, sharing: Sharing) -> Result<Self, StartError> {
        let listening = |source| StartError::Listen { address, source };
        let listeners = bind(address, workers, sharing).map_err(listening)?;
        let address = listeners[0].local_addr().map_err(listening)?;
        Ok(Self {
            listeners,
            sharing,
            address,
        })
    }

    /// Takes over a socket that listens already: all workers take connections from its one queue, which outlives this
    /// process when whoever handed it over keeps it open.
    ///
    /// # Errors
    /// [`StartError::Listen`].
    pub fn handed_over(listener: &TcpListener, workers: usize) -> Result<Self, StartError> {
        let failed = |address| move |source| StartError::Listen { address, source };
        let unnamed = SocketAddr::from(([0, 0, 0, 0], 0));
        let address = listener.local_addr().map_err(failed(unnamed))?;
        listener.set_nonblocking(true).map_err(failed(address))?;
        let listeners = (0..workers.max(1)).map(|_| listener.try_clone());
        let listeners = listeners.collect::<io::Result<_>>().map_err(failed(address))?;
        Ok(Self {
            listeners,
            sharing: Sharing::Alone,
            address,
        })
    }
}

/// Waits until requests can be decided, so that who connects meanwhile need not be refused: their connections are in the
/// kernel's queue, or with the gateway that this one follows. Without data, a gateway that is alone begins to refuse after
/// [`FIRST_DATA_TIME_MAX`]; one that shares its address goes on waiting, as the other has data.
pub(crate) async fn await_data(listener: &TcpListener, sharing: Sharing, cache: &Cache) {
    match sharing {
        Sharing::Alone => drop(timeout(FIRST_DATA_TIME_MAX, first_data(cache)).await),
        Sharing::Shared => {
            first_data(cache).await;
            if let Err(error) = SockRef::from(listener).listen(BACKLOG) {
                tracing::error!(%error, "a listener cannot be used");
            }
        }
    }
}

/// Sends callers who begin to connect to the other gateway of a shared address: what they begin with is not answered here, so
/// that they ask again within a second. What has been answered comes to its end. Closing the socket without this would reset
/// the connections that are being made at that moment.
pub(crate) fn turn_away(listener: &tokio::net::TcpListener) {
    if let Err(error) = SockRef::from(listener).attach_filter(&NO_SYN) {
        tracing::warn!(%error, "connections that begin now may be reset");
    }
}

/// Closes a listener. Returns the connections that the kernel had in its queue, which would be reset.
pub(crate) fn waiting(listener: tokio::net::TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let taken = listener.into_std().map(|listener| {
        std::iter::from_fn(|| listener.accept().ok())
            .take(BACKLOG as usize)
            .filter_map(|(stream, peer)| {
                stream.set_nonblocking(true).ok()?;
                Some((TcpStream::from_std(stream).ok()?, peer))
            })
            .collect()
    });
    taken.unwrap_or_default()
}

/// How long connections that are half made when callers are turned away may take: some round trips.
pub(crate) const SETTLE_TIME: Duration = Duration::from_millis(200);

/// Drops segments that begin a connection. It sees a segment from its TCP header on: the flags are in octet 13, SYN is 2 (RFC
/// 9293 §3.1).
static NO_SYN: [SockFilter; 4] = [
    SockFilter::new(LOAD_OCTET, 0, 0, 13),
    SockFilter::new(JUMP_IF_SET, 0, 1, 2),
    SockFilter::new(RETURN, 0, 0, 0),
    SockFilter::new(RETURN, 0, 0, u32::MAX),
];

/// Instructions of classic BPF: `BPF_LD | BPF_B | BPF_ABS`, `BPF_JMP | BPF_JSET | BPF_K`, `BPF_RET | BPF_K`.
const LOAD_OCTET: u16 = 0x30;
const JUMP_IF_SET: u16 = 0x45;
const RETURN: u16 = 0x06;

/// How long connections wait for the first data.
const FIRST_DATA_TIME_MAX: Duration = Duration::from_secs(2);

const AGE_PAUSE: Duration = Duration::from_millis(1);

/// Connections that the kernel keeps for us while we take others.
const BACKLOG: i32 = 1024;

/// Binds one listener for each worker to one address, so that the kernel spreads connections over them.
///
/// # Errors
/// When the address cannot be bound, or is in use and not to be shared.
fn bind(address: SocketAddr, workers: usize, sharing: Sharing) -> io::Result<Vec<TcpListener>> {
    let address = match sharing {
        Sharing::Shared if address.port() != 0 => address,
        // SO_REUSEPORT would let us share the port with another gateway of the same user without a word, so the address
        // is first tried without it.
        Sharing::Alone | Sharing::Shared => {
            let alone = socket(address)?;
            alone.bind(&address.into())?;
            alone.local_addr()?.as_socket().unwrap_or(address)
        }
    };
    (0..workers.max(1)).map(|_| bind_one(address, sharing)).collect()
}

/// Waits for the first snapshot, and for its age, which is known a moment later.
async fn first_data(cache: &Cache) {
    cache.reached(1).await;
    while !cache.freshness().is_known() {
        sleep(AGE_PAUSE).await;
    }
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// Binds a socket of several on one address. One that is shared listens later: from then on the kernel gives it
/// connections.
fn bind_one(address: SocketAddr, sharing: Sharing) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    match sharing {
        Sharing::Alone => socket.listen(BACKLOG)?,
        Sharing::Shared => {}
    }
    Ok(socket.into())
}
