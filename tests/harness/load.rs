//! Requests without pause, on kept connections: what fails while something is changed.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use super::client::{Client, Request, read_body, read_head};
use super::{PATIENCE, eventually};

/// Callers that send one request after another until they are stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    callers: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// Starts callers that get a target. Each keeps its connection until an answer says that it will be closed.
    pub(crate) fn start(client: &Client, target: &str, callers: usize) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let start = |_| {
            let (client, stop, answered) = (client.clone(), Arc::clone(&stop), Arc::clone(&answered));
            let octets = client.octets(Request::new("GET", target).keeping_the_connection());
            std::thread::spawn(move || call(&client, &octets, &stop, &answered))
        };
        let load = Self {
            callers: (0..callers).map(start).collect(),
            stop,
            answered,
        };
        load.go_on(callers);
        load
    }

    /// Waits until so many more requests have been answered.
    pub(crate) fn go_on(&self, requests: usize) {
        let begun = self.answered.load(Ordering::Relaxed);
        eventually("answers", || {
            (self.answered.load(Ordering::Relaxed) >= begun + requests
                || self.callers.iter().any(JoinHandle::is_finished))
            .then_some(())
        });
    }

    /// Stops the callers. Returns how many requests were answered, and what went wrong.
    pub(crate) fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.callers.into_iter();
        let failures = failures.flat_map(|caller| caller.join().expect("it returns")).collect();
        (self.answered.load(Ordering::Relaxed), failures)
    }
}

/// Calls until told to stop or the first failure.
fn call(client: &Client, octets: &[u8], stop: &AtomicBool, answered: &AtomicUsize) -> Vec<String> {
    let mut kept = None;
    while !stop.load(Ordering::Relaxed) {
        match call_once(client, octets, kept.take()) {
            Ok(reader) => {
                kept = reader;
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(failure) => return vec![failure],
        }
    }
    Vec::new()
}

/// Sends one request; returns the connection when it is kept.
fn call_once(
    client: &Client,
    octets: &[u8],
    kept: Option<BufReader<TcpStream>>,
) -> Result<Option<BufReader<TcpStream>>, String> {
    let how = if kept.is_some() { "kept" } else { "new" };
    let said = |error: std::io::Error| format!("on a {how} connection: {error}");
    let mut reader = match kept {
        Some(reader) => reader,
        None => {
            let stream = TcpStream::connect_timeout(&client.address, PATIENCE).map_err(said)?;
            stream.set_read_timeout(Some(PATIENCE)).map_err(said)?;
            BufReader::new(stream)
        }
    };
    reader.get_mut().write_all(octets).map_err(said)?;
    let mut answer = read_head(&mut reader).ok_or_else(|| format!("on a {how} connection: no answer"))?;
    answer.body = read_body(&mut reader, &answer).map_err(said)?;
    if answer.status != 200 {
        return Err(answer.shown());
    }
    let closes = answer.field("connection").is_some_and(|value| value == "close");
    Ok((!closes).then_some(reader))
}
