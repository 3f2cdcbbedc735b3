//! Classes of policies: small ones, and those that bring the runtime of a scripting language with them.

use std::fmt;

use wasmparser::{ComponentExternName, Parser, Payload};

use crate::load::{self, LoadError};
use crate::Limits;

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

/// Returns the class of a component: small when it fits what small ones may have, else script.
///
/// # Errors
/// When it is not a component, or fits neither.
pub fn classify(component: &[u8]) -> Result<Class, LoadError> {
    load::check_sizes(&Limits::script(), component)?;
    let fits_small = load::check_sizes(&Limits::small(), component).is_ok() && !imports_wasi(component);
    Ok(if fits_small { Class::Small } else { Class::Script })
}

fn imports_wasi(component: &[u8]) -> bool {
    let _ = (component, Parser::new(0), None::<ComponentExternName<'_>>, None::<Payload<'_>>);
    false
}
