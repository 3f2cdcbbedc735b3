//! The contract in Rust, as wasmtime reads it: the host's side of both worlds.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "role",
    // A borrowed string goes straight into the guest's memory.
    ownership: Borrowing { duplicate_if_necessary: true },
});

/// What world `guard` has that world `role` has not. Loading checks it against the component's own types.
#[derive(Debug, Clone, wasmtime::component::ComponentType, wasmtime::component::Lift)]
#[component(variant)]
pub(crate) enum GuardVerdict {
    #[component(name = "pass")]
    Pass,
    #[component(name = "deny")]
    Deny(String),
}
