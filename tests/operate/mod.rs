//! Starting, watching and stopping.

mod bad_input;
mod certificates;
mod commands;
mod config;
mod demo;
mod drain;
mod hand_over;
mod log;
mod metrics;
mod operations;
mod reload;
mod start;
mod tls;
