//! A request that has begun: it ends once, however it ends, and then it is logged and counted.

use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::time::Instant;

use http::request::Parts;

use crate::access_log::AccessRecord;
use crate::body::Finished;
use crate::connection::{Busy, Connection, Origin};
use crate::metrics::Outcome;
use crate::worker::Worker;

/// A request that has begun and not ended, with its record. The record is written to and never read before the end.
pub(crate) struct UnderWay {
    worker: Rc<Worker>,
    _busy: Busy,
    record: Option<AccessRecord>,
}

impl UnderWay {
    /// Begins a request.
    pub(crate) fn begin(worker: &Rc<Worker>, connection: &Rc<Connection>, origin: &Origin, parts: &Parts) -> Self {
        worker.counters.begun();
        let record = AccessRecord {
            decision_id: worker.next_decision_id(),
            at_ms: worker.shared.unix_ms(),
            started: Instant::now(),
            source: origin.address,
            method: parts.method.clone(),
            target: parts.uri.clone(),
            operation: None,
            subject: None,
            token: None,
            revision: 0,
            role: None,
            guard: None,
            outcome: Outcome::Left,
            status: LEFT,
            bytes: 0,
            complete: false,
            took: std::time::Duration::ZERO,
            detail: None,
        };
        Self {
            worker: Rc::clone(worker),
            _busy: connection.begin(),
            record: Some(record),
        }
    }

    /// Ends it. What is dropped without this was left by its caller.
    pub(crate) fn end(mut self, outcome: Outcome, status: u16, finished: Finished) {
        self.outcome = outcome;
        self.status = status;
        self.bytes = finished.bytes;
        self.complete = finished.complete;
    }
}

impl Deref for UnderWay {
    type Target = AccessRecord;

    fn deref(&self) -> &AccessRecord {
        self.record.as_ref().expect("only the drop takes it")
    }
}

impl DerefMut for UnderWay {
    fn deref_mut(&mut self) -> &mut AccessRecord {
        self.record.as_mut().expect("only the drop takes it")
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.worker.counters.ended();
        let Some(mut record) = self.record.take() else { return };
        record.took = record.started.elapsed();
        let operation = record.operation.as_ref().map(|operation| operation.index);
        self.worker.requests.count(operation, record.outcome);
        if !self.worker.shared.access_log.push(record) {
            self.worker.counters.log_dropped();
        }
    }
}

/// Status of a request whose caller left before there was one: nobody was told it. nginx logs the same.
const LEFT: u16 = 499;
