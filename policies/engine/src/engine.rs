//! The engine: compiles components and holds the places that their instances live in.

use std::error::Error;
use std::io;
use std::sync::Arc;

use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Strategy, WasmFeatures,
};

use crate::evaluation::Bounds;
use crate::ticker::Ticker;
use crate::{Class, Limits, LoadError, Policy, load};

/// Compiles and vets policies. Each worker thread has one of its own: engines share nothing that threads would queue for.
///
/// Cheap to clone. Its policies keep it alive, and with it the clock that ends their evaluations.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

/// Why an engine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The machine refuses what the limits ask for, as address space for the instances' memories.
    #[error("set up the policy engine: {0}")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    /// No thread for the clock that ends evaluations.
    #[error("start the policy engine's clock: {0}")]
    Clock(#[source] io::Error),
}

struct Inner {
    wasmtime: wasmtime::Engine,
    limits: Limits,
    _ticker: Ticker,
}

impl Engine {
    /// Returns an engine, and starts the thread that ends its evaluations; the thread ends with the engine.
    ///
    /// # Errors
    /// When the machine refuses the memory or the thread.
    pub fn new(limits: &Limits) -> Result<Self, StartError> {
        let wasmtime = wasmtime::Engine::new(&config(limits))
            .map_err(|error| StartError::Refused(error.into_boxed_dyn_error()))?;
        let ticker = Ticker::start(&wasmtime, limits.tick).map_err(StartError::Clock)?;
        Ok(Self(Arc::new(Inner {
            wasmtime,
            limits: limits.clone(),
            _ticker: ticker,
        })))
    }

    /// Vets a component and makes it a policy: checks its size and imports, compiles it, checks its world, asks it once
    /// to describe itself, and checks its manifest.
    ///
    /// Takes some 10 ms of CPU for a component of 7 kB in a release build: not for the request path.
    ///
    /// # Errors
    /// When the component breaks any rule.
    pub fn load(&self, component: &[u8]) -> Result<Policy, LoadError> {
        load::policy(self, component)
    }

    /// Returns the class of the policies that it runs.
    pub fn class(&self) -> Class {
        self.limits().class
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.wasmtime
    }

    pub(crate) fn store(&self) -> wasmtime::Store<Bounds> {
        let limits = self.limits();
        let mut store = wasmtime::Store::new(self.wasmtime(), Bounds::of(limits));
        store.limiter(|bounds| bounds);
        store.set_epoch_deadline(limits.deadline_ticks);
        store.set_hostcall_fuel(limits.answer_bytes_max);
        if let Some(fuel) = limits.fuel {
            store.set_fuel(fuel).expect("the engine's configuration turns fuel on");
        }
        store
    }
}

fn config(limits: &Limits) -> Config {
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)))
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .consume_fuel(limits.fuel.is_some())
        .epoch_interruption(true)
        .max_wasm_stack(limits.stack_bytes_max)
        // Same request, same verdict: the payload of a NaN may not depend on the machine.
        .cranelift_nan_canonicalization(true)
        // Proposals that a small policy has no use for, and relaxed SIMD, which may differ between machines.
        .wasm_features(UNUSED_FEATURES, false)
        // A trap becomes a fault with a name; nobody reads the guest's stack.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        // Reserves little address space, so that an engine for each thread fits under a `ulimit -v` too; the bounds
        // checks that it takes cost less than 0.1 µs.
        .memory_reservation(limits.memory_bytes_max as u64)
        .memory_guard_size(MEMORY_GUARD_BYTES)
        .memory_may_move(false)
        // A policy's data is copied into an instance's memory, not mapped: it is a few kilobytes, and places are shared
        // by the policies of all roles, so that most instances would need a new mapping (measured: 13 µs each).
        .memory_init_cow(false);
    config
}

fn pool(limits: &Limits) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(limits.instances_max)
        .total_core_instances(limits.instances_max * limits.core_instances_max)
        .total_memories(limits.instances_max)
        .total_tables(limits.instances_max * TABLES_MAX)
        .max_core_instances_per_component(limits.core_instances_max)
        .max_memories_per_component(1)
        .max_tables_per_component(TABLES_MAX)
        .max_memory_size(limits.memory_bytes_max)
        .table_elements(limits.table_elements_max)
        .linear_memory_keep_resident(MEMORY_RESIDENT_BYTES)
        .table_keep_resident(TABLE_RESIDENT_BYTES)
        // Never on: it overlooks dirtied pages that were swapped out, and the next request's instance reads them.
        .pagemap_scan(Enabled::No);
    pool
}

/// Tables in one component.
const TABLES_MAX: u32 = 2;

/// Part of an instance's memory that is cleared in place for the next one instead of being given back to the system:
/// the whole of a small guest, which costs 2 µs where the system call costs 6.
const MEMORY_RESIDENT_BYTES: usize = 64 << 10;

/// As [`MEMORY_RESIDENT_BYTES`], for tables.
const TABLE_RESIDENT_BYTES: usize = 4 << 10;

/// Pages after a memory that trap.
const MEMORY_GUARD_BYTES: u64 = 64 << 10;

const UNUSED_FEATURES: WasmFeatures = WasmFeatures::RELAXED_SIMD
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::MEMORY64)
    .union(WasmFeatures::TAIL_CALL);
