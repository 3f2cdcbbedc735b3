//! What the author of a Postern policy needs: the contract's types, a trait to implement, and a macro that makes the
//! crate a component.
//!
//! A policy is a pure function of its request. This crate gives it no clock, randomness, files, network or environment,
//! and knows nothing of the host beyond the contract in `policies/wit/policy.wit`.
//!
//! ```no_run
//! use postern_policy::{Request, Role, RoleVerdict, Scope};
//!
//! struct Reader;
//!
//! impl Role for Reader {
//!     const NAME: &str = "reader";
//!     const VERSION: &str = env!("CARGO_PKG_VERSION");
//!     const SCOPES: &[Scope] = &[Scope::App];
//!
//!     fn decide(request: &Request) -> RoleVerdict {
//!         RoleVerdict::allow_if(request.operation.permission.ends_with(".read"))
//!     }
//! }
//!
//! postern_policy::role!(Reader);
//! # fn main() {}
//! ```
//!
//! Most guests are `#![no_std]` too, which keeps them small.
//!
//! # Layout
//! - `policy`: the traits [`Role`] and [`Guard`].
//! - `bindings`: what `wit-bindgen` makes of the contract.
//! - `allocator`: the guest's memory, which ends with the request.

#![no_std]

extern crate alloc;

#[cfg(target_arch = "wasm32")]
mod allocator;
#[doc(hidden)]
pub mod bindings;
mod policy;

pub use bindings::guard::guard;
pub use bindings::guard::postern::policy::guard_types::GuardVerdict;
pub use bindings::role::postern::policy::role_types::RoleVerdict;
pub use bindings::role::postern::policy::types::{
    EnvTypeRole, Header, Input, Inputs, Manifest, Operation, Parameter, PolicyKind, Request, Scope, Subject,
    SubjectKind,
};
pub use bindings::role::role;
pub use policy::{Guard, Role};

#[cfg(all(target_arch = "wasm32", feature = "panic-handler"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The host sees a trap. Formatting a message that nobody reads would triple the size of a guest.
    core::arch::wasm32::unreachable()
}
