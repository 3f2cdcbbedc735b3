//! The contract in Rust, as `wit-bindgen` reads it: one module for each world, one set of types.

#[expect(
    missing_docs,
    reason = "generated; the contract's own comments are passed on where it has any"
)]
pub mod role {
    wit_bindgen::generate!({
        path: "../wit",
        world: "role",
        pub_export_macro: true,
        export_macro_name: "role",
        default_bindings_module: "postern_policy::bindings::role",
        generate_unused_types: true,
    });
}

#[expect(
    missing_docs,
    reason = "generated; the contract's own comments are passed on where it has any"
)]
pub mod guard {
    wit_bindgen::generate!({
        path: "../wit",
        world: "guard",
        pub_export_macro: true,
        export_macro_name: "guard",
        default_bindings_module: "postern_policy::bindings::guard",
        with: { "postern:policy/types@1.0.0": crate::bindings::role::postern::policy::types },
    });
}
