//! Vetting: what a component must pass before it is a policy.
//!
//! Cheap checks come first, compilation after them, the guest's own code last. The order matters: nothing of a component
//! is compiled before its size is known to be bounded, and nothing of it runs before it is known to import nothing.

use std::error::Error;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use feed::{PolicyDigest, PolicyKind};
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, InstancePre, Linker};

use crate::contract::{GuardVerdict, Manifest as Said, Request, RoleVerdict};
use crate::evaluation::{Bounds, Template, guarded, while_asking, while_instantiating};
use crate::manifest::ManifestProblem;
use crate::{Class, Engine, Fault, Manifest, Policy, Precompiled, class, wasi};

/// Why a component is not taken as a policy.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The component is larger than a policy may be.
    #[error("the component has {bytes} bytes, {most} at most are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// Most that is allowed.
        most: usize,
    },
    /// A function of the component is larger than one may be.
    #[error("a function of the component has {bytes} bytes, {most} at most are allowed")]
    FunctionTooLarge {
        /// Size of the function's code.
        bytes: usize,
        /// Most that is allowed.
        most: usize,
    },
    /// The bytes are not a component.
    #[error("it is not a WebAssembly component")]
    NotAComponent,
    /// The bytes are a component that cannot be compiled, or that needs more of the engine than a policy may have.
    #[error("{NOT_COMPILED}{0}")]
    NotCompiled(#[source] Box<dyn Error + Send + Sync>),
    /// The component imports something that it could observe or change the world with.
    #[error("it imports `{name}`; a policy imports nothing but types")]
    Imports {
        /// What it imports.
        name: String,
    },
    /// The component does not export what world `role` or world `guard` asks for.
    #[error("it is a component for neither world `role` nor world `guard`: {0}")]
    WrongWorld(#[source] Box<dyn Error + Send + Sync>),
    /// The component failed to describe itself.
    #[error("have it describe itself: {0}")]
    NotDescribed(#[source] Fault),
    /// What the component says of itself breaks the contract.
    #[error("read its manifest: {0}")]
    Manifest(#[from] ManifestProblem),
    /// It was compiled for engines of another class.
    #[error("it is a policy of class {of}, the engine runs class {by}")]
    OtherClass {
        /// Class of the policy.
        of: Class,
        /// Class of the engine.
        by: Class,
    },
    /// Compiling it took longer than it may.
    #[error("compiling it takes longer than it may")]
    CompileTime,
    /// Compiling it took more memory than it may.
    #[error("compiling it takes more memory than it may")]
    CompileMemory,
    /// The compiler's process cannot be started or spoken with.
    #[error("run the compiler: {0}")]
    Compiler(#[source] io::Error),
    /// The host's own code panicked around it.
    #[error("vet the component: the host panicked")]
    HostPanicked,
}

impl LoadError {
    pub(crate) fn compiler(error: impl Into<io::Error>) -> Self {
        Self::Compiler(error.into())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "handed to `map_err`")]
pub(crate) fn not_compiled(error: wasmtime::Error) -> LoadError {
    LoadError::NotCompiled(format!("{error:#}").into())
}

/// Vets what a child has compiled.
pub(crate) fn precompiled(engine: &Engine, precompiled: &Precompiled) -> Result<Policy, LoadError> {
    let (of, by) = (precompiled.class(), engine.class());
    if of != by {
        return Err(LoadError::OtherClass { of, by });
    }
    let vet = || {
        let component = engine.deserialize(precompiled.artefact()).map_err(not_compiled)?;
        of_component(engine, &component, precompiled.digest())
    };
    catch_unwind(AssertUnwindSafe(vet)).unwrap_or(Err(LoadError::HostPanicked))
}

/// Vets a component.
pub(crate) fn policy(engine: &Engine, bytes: &[u8]) -> Result<Policy, LoadError> {
    // A compiler bug that a hostile component finds must not end the thread.
    catch_unwind(AssertUnwindSafe(|| vet(engine, bytes))).unwrap_or(Err(LoadError::HostPanicked))
}

fn vet(engine: &Engine, bytes: &[u8]) -> Result<Policy, LoadError> {
    class::check_sizes(engine.limits(), bytes)?;
    let component = Component::from_binary(engine.wasmtime(), bytes).map_err(not_compiled)?;
    of_component(engine, &component, PolicyDigest::of(bytes))
}

/// Vets what is compiled already.
fn of_component(engine: &Engine, component: &Component, digest: PolicyDigest) -> Result<Policy, LoadError> {
    check_imports(engine, component)?;
    let wrong_world = |error: wasmtime::Error| LoadError::WrongWorld(error.into_boxed_dyn_error());
    let kind = kind_of(engine, component).map_err(wrong_world)?;
    let mut linker: Linker<Bounds> = Linker::new(engine.wasmtime());
    match engine.class() {
        Class::Small => {}
        Class::Script => wasi::define(engine, component, &mut linker).map_err(wrong_world)?,
    }
    let instance = linker.instantiate_pre(component).map_err(wrong_world)?;
    let said = describe(engine, &instance).map_err(LoadError::NotDescribed)?;
    let manifest = Manifest::check(said, kind)?;
    let decide = component
        .get_export_index(None, DECIDE)
        .expect("the export was found when its type was checked");
    let template = Template::new(engine.clone(), instance, decide, kind);
    Ok(Policy::new(manifest, digest, template))
}

/// Returns the kind of policy that the types of its exports make it.
fn kind_of(engine: &Engine, component: &Component) -> wasmtime::Result<PolicyKind> {
    let engine = engine.wasmtime();
    let component = component.component_type();
    let function = |name: &str| -> wasmtime::Result<ComponentFunc> {
        match component.get_export(engine, name).map(|export| export.ty) {
            Some(ComponentItem::ComponentFunc(function)) => Ok(function),
            Some(_) | None => Err(wasmtime::Error::msg(format!("it exports no function `{name}`"))),
        }
    };
    let types = component.instance_type();
    function(DESCRIBE)?.typecheck::<(), (Said,)>(&types)?;
    let decide = function(DECIDE)?;
    if decide.typecheck::<(Request<'_>,), (GuardVerdict,)>(&types).is_ok() {
        return Ok(PolicyKind::Guard);
    }
    decide.typecheck::<(Request<'_>,), (RoleVerdict,)>(&types)?;
    Ok(PolicyKind::Role)
}

fn check_imports(engine: &Engine, component: &Component) -> Result<(), LoadError> {
    let class = engine.class();
    let engine = engine.wasmtime();
    let component = component.component_type();
    match component
        .imports(engine)
        .filter(|(name, _)| class == Class::Small || !wasi::is_stubbed(name))
        .find_map(|(name, import)| observable(engine, name, &import.ty))
    {
        Some(name) => Err(LoadError::Imports { name }),
        None => Ok(()),
    }
}

/// Returns the name of what is not a mere type in an import.
fn observable(engine: &wasmtime::Engine, name: &str, item: &ComponentItem) -> Option<String> {
    match item {
        ComponentItem::Type(_) => None,
        ComponentItem::ComponentInstance(instance) => instance
            .exports(engine)
            .find_map(|(inner, export)| observable(engine, &format!("{name}/{inner}"), &export.ty)),
        ComponentItem::ComponentFunc(_)
        | ComponentItem::CoreFunc(_)
        | ComponentItem::Module(_)
        | ComponentItem::Component(_)
        | ComponentItem::Resource(_) => Some(name.to_owned()),
    }
}

fn describe(engine: &Engine, instance: &InstancePre<Bounds>) -> Result<Said, Fault> {
    guarded(|| {
        let mut store = engine.store();
        let instance = instance.instantiate(&mut store).map_err(while_instantiating)?;
        let describe = instance
            .get_typed_func::<(), (Said,)>(&mut store, DESCRIBE)
            .map_err(while_instantiating)?;
        let (said,) = describe.call(&mut store, ()).map_err(while_asking)?;
        Ok(said)
    })
}

/// What an error of the compiler begins with.
pub(crate) const NOT_COMPILED: &str = "compile the component: ";

const DESCRIBE: &str = "describe";
const DECIDE: &str = "decide";
