//! A wire that can be cut: connections are passed on to wherever the other end is at the moment.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A wire with a fixed near end.
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
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
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                pass_on(near, &shared);
            }
        });
        Self { address, state }
    }

    /// Connects the far end to an address.
    pub(crate) fn connect(&self, far: SocketAddr) {
        let mut state = self.state.lock().expect("no test holds it");
        state.far = Some(far);
        state.silent = false;
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

fn pass_on(near: TcpStream, shared: &Mutex<State>) {
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
    for (mut from, mut to) in [(share(&near), share(&far)), (far, near)] {
        std::thread::spawn(move || {
            drop(io::copy(&mut from, &mut to));
            drop(to.shutdown(Shutdown::Both));
        });
    }
}
