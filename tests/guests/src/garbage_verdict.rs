//! A role whose verdict is none of those that there are. Its entry points are written by hand, since no macro makes such.

#![no_std]

use core::ptr::addr_of;

// Only what tells the linker the component's type: nothing of it is exported.
use postern_policy as _;

mod contract {
    wit_bindgen::generate!({
        path: "../../policies/wit",
        world: "role",
    });
}

/// A list or a string: where it begins, and its length.
#[repr(C)]
struct List(*const u8, usize);

/// A manifest as it lies in memory, by the rules of the canonical ABI.
#[repr(C)]
struct Manifest {
    name: List,
    version: List,
    kind: u32,
    scopes: List,
    subject_kinds: List,
    inputs: List,
    settings_schema: [usize; 3],
}

// SAFETY: it is never written, and the guest has one thread.
unsafe impl Sync for Manifest {}

static MANIFEST: Manifest = Manifest {
    name: List("hostile".as_ptr(), 7),
    version: List("1.0.0".as_ptr(), 5),
    kind: 0,
    scopes: List([0_u8].as_ptr(), 1),
    subject_kinds: List([0_u8].as_ptr(), 1),
    inputs: List(core::ptr::without_provenance(4), 0),
    settings_schema: [0; 3],
};

// SAFETY: no other function of the component has this name.
#[unsafe(export_name = "describe")]
extern "C" fn describe() -> *const u8 {
    addr_of!(MANIFEST).cast()
}

// SAFETY: as above.
#[unsafe(export_name = "decide")]
extern "C" fn decide(_request: *const u8) -> u32 {
    0x5a
}
