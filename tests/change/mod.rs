//! The path of a change, from the API to the next request.

mod clocks;
mod durability;
mod effects;
mod enrolment;
mod feed;
mod freshness;
mod kept_state;
mod moving;
mod policies;
mod policy_model;
mod readiness;
mod receipts;
mod replicas;
mod revocation;
mod roles;
mod secrets;
mod shared_store;
mod tokens;
mod users;
