//! A wire that can be cut: connections are passed on to wherever the other end is at the moment.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use super::PATIENCE;

/// A wire with a fixed near end.
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    held_back: Arc<HeldBack>,
}

/// Requests that wait on the wire.
#[derive(Default)]
struct HeldBack {
    /// What such a request begins with, and how many wait.
    what: Mutex<(Option<&'static str>, usize)>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Where connections go; nowhere when it is cut.
    far: Option<SocketAddr>,
    /// Whether connections are taken and then left without a word.
    silent: bool,
    open: Vec<TcpStream>,
}

impl Link {
    /// Returns a wire that is cut.
    pub(crate) fn cut_off() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::<Mutex<State>>::default();
        let held_back = Arc::<HeldBack>::default();
        let shared = (Arc::clone(&state), Arc::clone(&held_back));
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                pass_on(near, &shared.0, &shared.1);
            }
        });
        Self {
            address,
            state,
            held_back,
        }
    }

    /// Connects the far end to an address.
    pub(crate) fn connect(&self, far: SocketAddr) {
        let mut state = self.state.lock().expect("no test holds it");
        state.far = Some(far);
        state.silent = false;
    }

    /// Keeps requests that begin so on the wire, until they are let through.
    pub(crate) fn hold_back(&self, beginning: &'static str) {
        self.held_back.what.lock().expect("no test holds it").0 = Some(beginning);
    }

    /// Waits until a request is kept on the wire.
    pub(crate) fn wait_until_held(&self) {
        let what = self.held_back.what.lock().expect("no test holds it");
        let waited = self
            .held_back
            .changed
            .wait_timeout_while(what, PATIENCE, |(_, held)| *held == 0)
            .expect("no test holds it");
        assert!(!waited.1.timed_out(), "nothing came that is held back");
    }

    /// Lets through what is kept on the wire, and what comes.
    pub(crate) fn let_through(&self) {
        self.held_back.what.lock().expect("no test holds it").0 = None;
        self.held_back.changed.notify_all();
    }

    /// Breaks all connections, and lets no new one through.
    pub(crate) fn cut(&self) {
        let mut state = self.state.lock().expect("no test holds it");
        state.far = None;
        for stream in state.open.drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    /// Breaks all connections; new ones are taken, and nothing is ever answered on them.
    pub(crate) fn fall_silent(&self) {
        self.cut();
        self.state.lock().expect("no test holds it").silent = true;
    }
}

fn pass_on(near: TcpStream, shared: &Mutex<State>, held_back: &Arc<HeldBack>) {
    let mut state = shared.lock().expect("no test holds it");
    if state.silent {
        // Kept open, so that it is neither answered nor refused.
        return state.open.push(near);
    }
    let Some(far) = state.far.and_then(|far| TcpStream::connect(far).ok()) else {
        return;
    };
    let share = |stream: &TcpStream| stream.try_clone().expect("a stream can be shared");
    state.open.extend([share(&near), share(&far)]);
    let (mut asking, mut asked) = (share(&near), share(&far));
    let held_back = Arc::clone(held_back);
    std::thread::spawn(move || {
        drop(held_back.pass_on(&mut asking, &mut asked));
        drop(asked.shutdown(Shutdown::Both));
    });
    let (mut answering, mut answered) = (far, near);
    std::thread::spawn(move || {
        drop(io::copy(&mut answering, &mut answered));
        drop(answered.shutdown(Shutdown::Both));
    });
}

impl HeldBack {
    /// Passes requests on. Each begins with what is read at once: gateways write a head in one piece.
    fn pass_on(&self, from: &mut TcpStream, to: &mut TcpStream) -> io::Result<()> {
        let mut octets = [0; 16 << 10];
        loop {
            let count = from.read(&mut octets)?;
            if count == 0 {
                return Ok(());
            }
            self.wait(&octets[..count]);
            to.write_all(&octets[..count])?;
        }
    }

    fn wait(&self, octets: &[u8]) {
        let is_held = |what: Option<&str>| what.is_some_and(|what| octets.starts_with(what.as_bytes()));
        let mut what = self.what.lock().expect("no test holds it");
        if !is_held(what.0) {
            return;
        }
        what.1 += 1;
        self.changed.notify_all();
        let mut what = self
            .changed
            .wait_while(what, |(what, _)| is_held(*what))
            .expect("no test holds it");
        what.1 -= 1;
    }
}
