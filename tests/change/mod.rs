//! The path of a change, from the API to the next request.

mod durability;
mod effects;
mod feed;
mod freshness;
mod kept_state;
mod policies;
mod policy_model;
mod readiness;
mod revocation;
mod roles;
mod secrets;
mod tokens;
mod users;
