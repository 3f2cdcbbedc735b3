//! The contract in Rust, as wasmtime reads it: the host's side of world `role`.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "role",
    // A borrowed string goes straight into the guest's memory.
    ownership: Borrowing { duplicate_if_necessary: true },
});
