//! The limits that every policy lives under.

use std::time::Duration;

use crate::Class;

/// What a policy may use. The default is [`Limits::small`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The class of policies that these limits are for; it decides what may be imported, and how instances are made.
    pub class: Class,
    /// Largest component.
    ///
    /// # Units
    /// Bytes. The built-in ones have 6,000 to 9,200.
    pub component_bytes_max: usize,
    /// Largest function of a component, as its code stands in the file: compile time grows with the square of it.
    ///
    /// # Units
    /// Bytes.
    /// # Source
    /// A function of 341 KiB takes 1.9 s to compile, which makes about 0.1 s of 64 KiB; the largest built-in one has
    /// about 1 KiB.
    pub function_bytes_max: usize,
    /// Work that one evaluation may do.
    ///
    /// # Units
    /// Fuel of wasmtime: about one for each instruction, and one for each byte of a bulk operation.
    /// # Source
    /// A built-in role takes up to 2,500; an endless loop ends after some 15 µs. None for scripts: counting makes an
    /// interpreter about twice as slow, so the clock alone ends it.
    pub fuel: Option<u64>,
    /// How often the clock that ends evaluations advances.
    pub tick: Duration,
    /// Ticks after which an evaluation ends, whatever fuel it has left. One that begins just before a tick has one tick
    /// less.
    ///
    /// Fuel is what bounds a policy's work; this is for what fuel might not count. It is wall time, so it must be longer
    /// than a healthy thread ever waits for a processor.
    /// # Source
    /// A control group over its quota stands still for 100 ms; 15 ms ended healthy evaluations on a busy machine.
    pub deadline_ticks: u64,
    /// Linear memory of one evaluation. It also bounds the longest single instruction, which nothing interrupts.
    ///
    /// # Units
    /// Bytes. Filling 1 MiB takes about 0.1 ms.
    pub memory_bytes_max: usize,
    /// Core modules of one component: the policy itself, and the glue around it.
    pub core_instances_max: u32,
    /// Elements of one table.
    pub table_elements_max: usize,
    /// Native stack of one evaluation. Threads that evaluate need about 128 KiB more than this.
    ///
    /// # Units
    /// Bytes.
    pub stack_bytes_max: usize,
    /// Most that a policy may answer with, strings and lists together.
    ///
    /// # Units
    /// Bytes of the host's memory.
    pub answer_bytes_max: usize,
    /// Evaluations under way at once in one engine. A worker thread evaluates one at a time.
    pub instances_max: u32,
}

impl Limits {
    /// Returns the limits of small policies: Rust, C, Zig, AssemblyScript.
    pub fn small() -> Self {
        Self {
            class: Class::Small,
            component_bytes_max: 1 << 20,
            function_bytes_max: 64 << 10,
            fuel: Some(200_000),
            tick: Duration::from_millis(50),
            deadline_ticks: 5,
            memory_bytes_max: 1 << 20,
            core_instances_max: 4,
            table_elements_max: 1_000,
            stack_bytes_max: 256 << 10,
            answer_bytes_max: 64 << 10,
            instances_max: 2,
        }
    }

    /// Returns the limits of policies with a language's runtime in them. One engine serves all threads of a process:
    /// `instances_max` must then be one more than they are.
    ///
    /// Functions have no bound of their own: the compiler's process has.
    pub fn script() -> Self {
        Self {
            class: Class::Script,
            component_bytes_max: 32 << 20,
            function_bytes_max: usize::MAX,
            fuel: None,
            tick: Duration::from_millis(50),
            deadline_ticks: 20,
            memory_bytes_max: 64 << 20,
            core_instances_max: 60,
            table_elements_max: 20_000,
            stack_bytes_max: 512 << 10,
            answer_bytes_max: 64 << 10,
            instances_max: 3,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::small()
    }
}
