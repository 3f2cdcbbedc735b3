//! The kept state: what comes back from the disk is what was there, at a revision that was not passed before, or nothing.

mod crashes;
mod memory;
mod model;
mod refusals;
mod simulation;
