//! Policies as a product: writing, testing, publishing, watching and promoting them.

mod oci;
mod online;
