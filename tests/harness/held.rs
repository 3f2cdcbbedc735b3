//! Sockets that a test holds: those it hands over, as a service manager does, and one that nobody answers at.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::Command;

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use socket2::{Domain, Socket, Type};

/// Sockets with names. Connections wait in their queues while no process accepts them.
pub(crate) struct Held(Vec<(&'static str, OwnedFd)>);

impl Held {
    /// Binds a socket for each name.
    pub(crate) fn bind(names: &[&'static str]) -> Self {
        let held = |name: &&'static str| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
            // Above all numbers that they get in the process they are handed to, and open in processes that are started.
            let socket = fcntl_dupfd_cloexec(&listener, 100).expect("there is room");
            fcntl_setfd(&socket, FdFlags::empty()).expect("it is open");
            (*name, socket)
        };
        Self(names.iter().map(held).collect())
    }

    /// Returns a command that runs another one with the sockets in its hands.
    pub(crate) fn hand_to(&self, command: &Command) -> Command {
        let mut script = String::new();
        for (at, (_, socket)) in self.0.iter().enumerate() {
            let (own, number) = (socket.as_raw_fd(), at + 3);
            script.push_str(&format!("exec {number}<&{own} {own}<&-; "));
        }
        let names: Vec<&str> = self.0.iter().map(|(name, _)| *name).collect();
        script.push_str("export LISTEN_PID=$$; exec \"$@\"");
        let mut handing = Command::new("bash");
        handing.args(["-c", &script, "bash"]);
        handing.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => handing.env(name, value),
                None => handing.env_remove(name),
            };
        }
        handing.env("LISTEN_FDS", self.0.len().to_string());
        handing.env("LISTEN_FDNAMES", names.join(":"));
        handing
    }
}

/// An address that refuses connections. It is bound, so that nothing else listens on it meanwhile.
pub(crate) struct Refusing {
    pub(crate) address: SocketAddr,
    _bound: Socket,
}

impl Refusing {
    pub(crate) fn bind() -> Self {
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there is room");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        bound.bind(&any.into()).expect("a port is free");
        let address = bound.local_addr().ok().and_then(|address| address.as_socket());
        Self {
            address: address.expect("it is bound"),
            _bound: bound,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}
