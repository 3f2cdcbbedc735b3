//! The guest's allocator: it hands out memory from the end of the last piece and takes nothing back.
//!
//! An instance answers one request and is thrown away with all its memory, so freeing would be work for nothing. A small
//! guest stays inside its first page, which is the cheapest to give it anew for the next request.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator {
    free_from: AtomicUsize::new(0),
};

struct Allocator {
    /// Address after the last piece handed out; 0 before the first. An atomic costs nothing here: without threads it is
    /// a plain load and store.
    free_from: AtomicUsize,
}

unsafe extern "C" {
    /// Where the linker says that the heap begins.
    static __heap_base: u8;
}

// SAFETY: each piece lies after all earlier ones and before the end of memory, begins at a multiple of the alignment,
// and is never handed out again.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let free_from = match self.free_from.load(Ordering::Relaxed) {
            0 => (&raw const __heap_base).addr(),
            address => address,
        };
        let Some(start) = free_from.checked_next_multiple_of(layout.align()) else {
            return null_mut();
        };
        let Some(end) = start.checked_add(layout.size()) else {
            return null_mut();
        };
        let pages = end.div_ceil(PAGE_BYTES);
        if pages > memory_size(0) && memory_grow(0, pages - memory_size(0)) == usize::MAX {
            return null_mut();
        }
        self.free_from.store(end, Ordering::Relaxed);
        core::ptr::with_exposed_provenance_mut(start)
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

/// Size of a page of WebAssembly memory.
const PAGE_BYTES: usize = 65_536;
