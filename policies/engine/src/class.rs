//! Classes of policies: small ones, and those that bring the runtime of a scripting language with them.

use std::fmt;

use crate::anatomy::Anatomy;
use crate::engine::TABLES_SMALL_MAX;
use crate::{Limits, LoadError};

/// How much a policy may use, and what may stand around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// From Rust, C, Zig, AssemblyScript: a few kilobytes, a few microseconds. Imports nothing.
    Small,
    /// With a language's runtime in it: JavaScript, Python, Go. Megabytes, milliseconds. May import WASI, which shows it
    /// nothing.
    Script,
}

impl Class {
    /// Returns the word for it in answers and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Script => "script",
        }
    }

    /// Returns the limits that policies of this class live under.
    pub fn limits(self) -> Limits {
        match self {
            Self::Small => Limits::small(),
            Self::Script => Limits::script(),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Returns the class of a component: small when it fits what small ones may have and imports no WASI, else script.
///
/// # Errors
/// When it is not a component, or too large for either.
pub fn classify(component: &[u8]) -> Result<Class, LoadError> {
    check_size(&Limits::script(), component)?;
    let anatomy = Anatomy::of(component)?;
    let small = Limits::small();
    let fits = component.len() <= small.component_bytes_max
        && anatomy.function_bytes_max <= small.function_bytes_max
        && anatomy.memories <= 1
        && anatomy.memory_bytes <= small.memory_bytes_max as u64
        && anatomy.tables <= TABLES_SMALL_MAX
        && anatomy.table_elements_max <= small.table_elements_max as u64
        && anatomy.core_instances <= small.core_instances_max
        && !anatomy.imports_wasi;
    Ok(if fits { Class::Small } else { Class::Script })
}

/// Checks what may be compiled at all under these limits.
pub(crate) fn check_sizes(limits: &Limits, component: &[u8]) -> Result<(), LoadError> {
    check_size(limits, component)?;
    let anatomy = Anatomy::of(component)?;
    if anatomy.function_bytes_max > limits.function_bytes_max {
        return Err(LoadError::FunctionTooLarge {
            bytes: anatomy.function_bytes_max,
            most: limits.function_bytes_max,
        });
    }
    Ok(())
}

fn check_size(limits: &Limits, component: &[u8]) -> Result<(), LoadError> {
    if component.len() > limits.component_bytes_max {
        return Err(LoadError::TooLarge {
            bytes: component.len(),
            most: limits.component_bytes_max,
        });
    }
    Ok(())
}
