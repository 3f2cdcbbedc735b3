//! The engine: compiles components and holds the places that their instances live in.

use std::error::Error;
use std::io;
use std::sync::Arc;

use wasmtime::component::Component;
use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Strategy, WasmFeatures,
};

use crate::evaluation::Bounds;
use crate::ticker::Ticker;
use crate::{Class, Limits, LoadError, Policy, Precompiled, load};

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

    /// Makes a policy of what a [`crate::Compiler`] made of a component of this engine's class: checks its world, asks it
    /// once to describe itself, and checks its manifest.
    ///
    /// Takes some 50 µs for a small policy.
    ///
    /// # Errors
    /// When the component breaks any rule, or is of another class.
    pub fn load_precompiled(&self, precompiled: &Precompiled) -> Result<Policy, LoadError> {
        load::precompiled(self, precompiled)
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

    /// Makes a component of what [`precompile`] made of it.
    #[expect(
        unsafe_code,
        reason = "there is no other way to take what another process has compiled"
    )]
    pub(crate) fn deserialize(&self, artefact: &[u8]) -> wasmtime::Result<Component> {
        // SAFETY: the bytes must come from this version of wasmtime, unchanged. Only `Compiler` makes a `Precompiled`, from
        // what its child wrote: the same program, over a pipe that nobody else holds. Nothing of it was on a disk.
        // What wasmtime can check of it (its own version, its settings, the processor's features) it checks.
        unsafe { Component::deserialize(&self.0.wasmtime, artefact) }
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

/// Compiles a component of a class for engines with its limits.
pub(crate) fn precompile(class: Class, component: &[u8]) -> wasmtime::Result<Vec<u8>> {
    let mut config = config(&class.limits());
    // No instance is made here, so no place is set aside for one.
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    wasmtime::Engine::new(&config)?.precompile_component(component)
}

fn config(limits: &Limits) -> Config {
    let is_script = limits.class == Class::Script;
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
        // Interpreters are built with it.
        .wasm_tail_call(is_script)
        // What wasmtime puts between the parts of a component sees the memories of two: an interpreter's component has
        // parts, for what of WASI is stubbed inside it and for handles that it exports.
        .wasm_multi_memory(is_script)
        // A trap becomes a fault with a name; nobody reads the guest's stack.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        // Reserves little address space, so that an engine for each thread fits under a `ulimit -v` too; the bounds
        // checks that it takes cost less than 0.1 µs.
        .memory_reservation(limits.memory_bytes_max as u64)
        .memory_guard_size(MEMORY_GUARD_BYTES)
        .memory_may_move(false)
        // A policy's data is copied into an instance's memory, not mapped: it is a few kilobytes, and places are shared
        // by the policies of all roles, so that most instances would need a new mapping (measured: 13 µs each). That of a
        // script is megabytes.
        .memory_init_cow(is_script);
    config
}

fn pool(limits: &Limits) -> PoolingAllocationConfig {
    let (memories_max, tables_max) = match limits.class {
        Class::Small => (1, TABLES_SMALL_MAX),
        Class::Script => (MEMORIES_SCRIPT_MAX, limits.core_instances_max),
    };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(limits.instances_max)
        .total_core_instances(limits.instances_max * limits.core_instances_max)
        .total_memories(limits.instances_max * memories_max)
        .total_tables(limits.instances_max * tables_max)
        .max_core_instances_per_component(limits.core_instances_max)
        .max_memories_per_component(memories_max)
        .max_tables_per_component(tables_max)
        .max_memory_size(limits.memory_bytes_max)
        .table_elements(limits.table_elements_max)
        .linear_memory_keep_resident(MEMORY_RESIDENT_BYTES)
        .table_keep_resident(TABLE_RESIDENT_BYTES)
        // Never on: it overlooks dirtied pages that were swapped out, and the next request's instance reads them.
        .pagemap_scan(Enabled::No);
    if limits.class == Class::Script {
        // What an instance is described by grows with the functions of its modules: thousands.
        pool.max_core_instance_size(INSTANCE_SCRIPT_BYTES_MAX)
            .max_component_instance_size(INSTANCE_SCRIPT_BYTES_MAX);
    }
    pool
}

/// Tables in one small component.
pub(crate) const TABLES_SMALL_MAX: u32 = 2;

/// Memories in one script component: that of the runtime, and what is put around it.
const MEMORIES_SCRIPT_MAX: u32 = 4;

/// Most that the host keeps for one instance of a script beside its memories, in bytes; four times wasmtime's default.
const INSTANCE_SCRIPT_BYTES_MAX: usize = 4 << 20;

/// Part of an instance's memory that is cleared in place for the next one instead of being given back to the system:
/// the whole of a small guest, which costs 2 µs where the system call costs 6.
const MEMORY_RESIDENT_BYTES: usize = 64 << 10;

/// As [`MEMORY_RESIDENT_BYTES`], for tables.
const TABLE_RESIDENT_BYTES: usize = 4 << 10;

/// Pages after a memory that trap.
const MEMORY_GUARD_BYTES: u64 = 64 << 10;

const UNUSED_FEATURES: WasmFeatures = WasmFeatures::RELAXED_SIMD
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::MEMORY64);
