//! The catalogue: every operation that may pass, as data, and the matcher that finds one by method and raw path.
//!
//! A request whose method and path are not in the catalogue is refused. Paths are read one way only: whole segments,
//! case-sensitive, on the octets that came over the wire. This crate knows neither HTTP libraries nor policies.
//!
//! # Layout
//! - [`operation`]: what a row holds, and how the table is read.
//! - [`segment`]: the grammar of path segments.
//! - [`Catalogue`]: the matcher.

pub mod operation;
pub mod segment;

mod matcher;

pub use matcher::{Catalogue, Matched, NotIdentified};
pub use operation::{Effect, EnvTypes, Filter, Operation, Server, TableError};

/// The operations of the orchestrator's API that ship with Postern.
pub const OPERATIONS: &str = include_str!("../operations.tsv");
