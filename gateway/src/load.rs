//! Load: what is more than may be is refused, in all, of one source, of one subject and of one token.

use http::StatusCode;

use crate::cache::Caller;
use crate::connection::Origin;
use crate::limit::Rate;
use crate::refusal::{PassedRate, Reason, Refusal};
use crate::worker::Worker;

/// What is too much is refused before anything is done for it.
pub(crate) fn check(worker: &Worker, origin: &Origin) -> Result<(), Refusal> {
    let limits = &worker.shared.settings.limits;
    if worker.counters.in_flight() > limits.requests_in_flight_max.div_ceil(worker.shared.workers) as u64 {
        return Err(Reason::Overloaded.into());
    }
    match limits.source_rate {
        Some(rate) => within(rate, "source", origin.source.take_request(rate)),
        None => Ok(()),
    }
}

/// A subject and a token may be used so often.
pub(crate) fn check_rates(worker: &Worker, caller: &Caller) -> Result<(), Refusal> {
    let limits = &worker.shared.settings.limits;
    // By the clock that nobody can set: one that was set back would leave nobody a request until it has caught up.
    let now_ms = || worker.shared.settings.clock.elapsed_ms();
    if let Some(rate) = limits.subject_rate {
        within(rate, "subject", caller.take_request(rate, now_ms()))?;
    }
    if let Some(rate) = limits.token_rate {
        let taken = worker.shared.token_allowances.take(&caller.digest, rate, now_ms());
        within(rate, "token", taken)?;
    }
    Ok(())
}

/// A source that presents one invalid credential after the other is told so. Valid ones of the same source are not: others
/// may be behind the same address.
pub(crate) fn slow_guesses(worker: &Worker, origin: &Origin, refusal: Refusal) -> Refusal {
    let guess = refusal.reason.status() == StatusCode::UNAUTHORIZED && refusal.reason != Reason::TokenMissing;
    let rate = worker.shared.settings.limits.invalid_credentials_rate.filter(|_| guess);
    match rate.map(|rate| (rate, origin.source.take_invalid_credential(rate))) {
        Some((rate, Err(wait_s))) => {
            let passed = PassedRate {
                of: "invalid-credentials",
                rate,
                wait_s,
            };
            Refusal::too_fast(Reason::TooManyInvalidCredentials, passed)
        }
        Some((_, Ok(()))) | None => refusal,
    }
}

fn within(rate: Rate, of: &'static str, taken: Result<(), i64>) -> Result<(), Refusal> {
    taken.map_err(|wait_s| Refusal::too_fast(Reason::TooManyRequests, PassedRate { of, rate, wait_s }))
}
