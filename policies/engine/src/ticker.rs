//! The clock that ends evaluations: a thread that advances an engine's epoch until it is dropped.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// A running thread. Dropping it ends the thread and waits for that.
pub(crate) struct Ticker {
    /// Never sent on: the thread ends when this side is gone.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(crate) fn start(engine: &wasmtime::Engine, tick: Duration) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let engine = engine.clone();
        let thread = std::thread::Builder::new()
            .name("policy-ticker".to_owned())
            .spawn(move || run(&engine, tick, &stopped))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked in a way that matters to whoever drops the engine.
            drop(thread.join());
        }
    }
}

fn run(engine: &wasmtime::Engine, tick: Duration, stopped: &Receiver<()>) {
    while matches!(stopped.recv_timeout(tick), Err(RecvTimeoutError::Timeout)) {
        engine.increment_epoch();
    }
}
