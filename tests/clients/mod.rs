//! The clients that people have, as they are, against the real binary.
//!
//! # Layout
//! - [`grpc`]: `tonic`, calls of gRPC.
//! - [`curl`]: uploads, downloads and events.
//! - [`h2load`]: many streams on few connections.

mod curl;
mod grpc;
mod h2load;
