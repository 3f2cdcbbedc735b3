//! How many files and sockets the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one, and warns when connections could not all be had: each needs a socket for the
/// caller and one for the upstream.
pub(super) fn raise(connections_max: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be raised");
            current
        }
    };
    let needed = (connections_max as u64).saturating_mul(2).saturating_add(OWN_FILES);
    // `None`: no limit.
    match limit {
        Some(limit) if limit < needed => {
            tracing::warn!(
                limit,
                needed,
                connections_max,
                "the limit of open files is below connections_max"
            );
        }
        Some(_) | None => {}
    }
}

/// Files, listeners, feeds and connections of the process that no caller's connection stands behind.
const OWN_FILES: u64 = 256;
