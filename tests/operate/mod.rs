//! Starting, watching and stopping.

mod bad_input;
mod certificates;
mod commands;
mod config;
mod demo;
mod drain;
mod log;
mod metrics;
mod start;
mod tls;
