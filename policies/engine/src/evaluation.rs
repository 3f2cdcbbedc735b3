//! One evaluation: a fresh instance, asked once, thrown away.
//!
//! Bounded four ways: fuel for work, the clock for what fuel does not count, [`Bounds`] for memory, the engine for stack.
//! Whatever goes wrong, here or in the guest, leaves as a [`Fault`].

use std::panic::{AssertUnwindSafe, catch_unwind};

use feed::PolicyKind;
use wasmtime::component::{ComponentExportIndex, ComponentType, InstancePre, Lift};
use wasmtime::{PoolConcurrencyLimitError, ResourceLimiter, Store, Trap};

use crate::contract::{GuardVerdict, Request, RoleVerdict};
use crate::decision::{REASON_CHARS_MAX, Said};
use crate::{Engine, Fault, Limits};

/// A component that is checked and compiled: what instances are made of.
pub(crate) struct Template {
    engine: Engine,
    instance: InstancePre<Bounds>,
    decide: ComponentExportIndex,
    kind: PolicyKind,
}

/// What a policy answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The role grants.
    Allow,
    /// The role says nothing.
    Abstain,
    /// The guard has nothing against it.
    Pass,
    /// The guard refuses, for a reason that is fit to be shown: one line of bounded length.
    Deny(String),
}

/// A verdict, and what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// Fuel that was used; 0 where none is counted.
    pub fuel: u64,
    /// Linear memory of the instance at its end, in bytes.
    pub memory_bytes: usize,
}

/// Memory that an instance may have. Growing past it is a trap, not an answer that the guest could carry on from.
pub(crate) struct Bounds {
    memory_bytes_max: usize,
    table_elements_max: usize,
    /// Memory that it has. A policy has one memory.
    memory_bytes: usize,
}

impl Template {
    /// `decide` is the export of that name, its type checked to be that of a policy of this kind.
    pub(crate) fn new(
        engine: Engine,
        instance: InstancePre<Bounds>,
        decide: ComponentExportIndex,
        kind: PolicyKind,
    ) -> Self {
        Self {
            engine,
            instance,
            decide,
            kind,
        }
    }

    /// Asks a fresh instance.
    pub(crate) fn decide(&self, request: Request<'_>) -> Result<Verdict, Fault> {
        match self.kind {
            PolicyKind::Role => self.call(request).map(Verdict::of_role),
            PolicyKind::Guard => self.call(request).map(Verdict::of_guard),
        }
    }

    /// Asks a fresh instance, and looks at what that took.
    pub(crate) fn judge(&self, request: Request<'_>) -> Result<Judged, Fault> {
        let given = self.engine.limits().fuel.unwrap_or_default();
        let cost = |store: &Store<Bounds>| {
            let left = store.get_fuel().unwrap_or_default();
            (given.saturating_sub(left), store.data().memory_bytes)
        };
        let (verdict, (fuel, memory_bytes)) = match self.kind {
            PolicyKind::Role => self
                .call_then(request, cost)
                .map(|(verdict, cost)| (Verdict::of_role(verdict), cost))?,
            PolicyKind::Guard => self
                .call_then(request, cost)
                .map(|(verdict, cost)| (Verdict::of_guard(verdict), cost))?,
        };
        Ok(Judged {
            verdict,
            fuel,
            memory_bytes,
        })
    }

    fn call<V: ComponentType + Lift + 'static>(&self, request: Request<'_>) -> Result<V, Fault> {
        self.call_then(request, |_| ()).map(|(verdict, ())| verdict)
    }

    fn call_then<V: ComponentType + Lift + 'static, T>(
        &self,
        request: Request<'_>,
        then: impl FnOnce(&Store<Bounds>) -> T,
    ) -> Result<(V, T), Fault> {
        guarded(|| {
            let mut store = self.engine.store();
            let instance = self.instance.instantiate(&mut store).map_err(while_instantiating)?;
            let decide = instance
                .get_typed_func::<(Request<'_>,), (V,)>(&mut store, &self.decide)
                .map_err(while_instantiating)?;
            let (verdict,) = decide.call(&mut store, (request,)).map_err(while_asking)?;
            Ok((verdict, then(&store)))
        })
    }
}

impl Verdict {
    pub(crate) fn said(&self) -> Said {
        match self {
            Self::Allow => Said::Allow,
            Self::Abstain => Said::Abstain,
            Self::Pass => Said::Pass,
            Self::Deny(_) => Said::Deny,
        }
    }

    fn of_role(verdict: RoleVerdict) -> Self {
        match verdict {
            RoleVerdict::Allow => Self::Allow,
            RoleVerdict::Abstain => Self::Abstain,
        }
    }

    fn of_guard(verdict: GuardVerdict) -> Self {
        match verdict {
            GuardVerdict::Pass => Self::Pass,
            GuardVerdict::Deny(reason) => {
                let shown = reason.chars().take(REASON_CHARS_MAX);
                Self::Deny(shown.map(|char| if breaks_line(char) { ' ' } else { char }).collect())
            }
        }
    }
}

/// Returns whether a character could end a line, or change how what stands around it is shown.
fn breaks_line(char: char) -> bool {
    let is_direction = matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    char.is_control() || is_direction || matches!(char, '\u{2028}' | '\u{2029}')
}

impl Bounds {
    pub(crate) fn of(limits: &Limits) -> Self {
        Self {
            memory_bytes_max: limits.memory_bytes_max,
            table_elements_max: limits.table_elements_max,
            memory_bytes: 0,
        }
    }
}

impl ResourceLimiter for Bounds {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.memory_bytes = desired;
        within(desired, self.memory_bytes_max)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        within(desired, self.table_elements_max)
    }
}

/// Runs work of the host's; a panic in it ends the work, not the thread.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    // Nothing that the work could leave half done outlives it: its store and instance are its own.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Fault::HostPanicked))
}

/// Returns the fault behind an error of instantiation, which may run code of the guest's.
#[expect(clippy::needless_pass_by_value, reason = "handed to `map_err`")]
pub(crate) fn while_instantiating(error: wasmtime::Error) -> Fault {
    known_fault(&error).unwrap_or(Fault::NotInstantiated)
}

/// Returns the fault behind an error of a call. What is neither a trap nor a limit is an answer that breaks the contract.
#[expect(clippy::needless_pass_by_value, reason = "handed to `map_err`")]
pub(crate) fn while_asking(error: wasmtime::Error) -> Fault {
    known_fault(&error).unwrap_or(Fault::AnswerInvalid)
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "wasmtime's enum is open, and its other traps are the guest's doing"
)]
fn known_fault(error: &wasmtime::Error) -> Option<Fault> {
    if let Some(fault) = error.downcast_ref::<Fault>() {
        return Some(*fault);
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Some(Fault::NoSlot);
    }
    error.downcast_ref::<Trap>().map(|trap| match trap {
        Trap::OutOfFuel => Fault::OutOfFuel,
        Trap::Interrupt => Fault::DeadlineExceeded,
        Trap::StackOverflow => Fault::StackExhausted,
        Trap::InvalidChar
        | Trap::InvalidDiscriminant
        | Trap::StringOutOfBounds
        | Trap::ListOutOfBounds
        | Trap::UnalignedPointer => Fault::AnswerInvalid,
        _ => Fault::Trapped,
    })
}

fn within(desired: usize, most: usize) -> wasmtime::Result<bool> {
    if desired > most {
        return Err(wasmtime::Error::new(Fault::MemoryExceeded));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_host_is_a_fault_and_not_the_end_of_the_thread() {
        let answer: Result<bool, Fault> = guarded(|| panic!("as a bug in the glue would"));
        assert_eq!(answer, Err(Fault::HostPanicked));
    }
}
