//! The control plane from outside: real sockets, a real database, a clock that is moved by hand.

mod bootstrap;
mod consistency;
mod current_user;
mod effects;
mod feed_stream;
mod foreign;
mod gateway;
mod groups_and_invitations;
mod harness;
mod opening;
mod permissions;
mod rights;
mod roles;
mod terraform;
mod tokens;
mod trust;
mod users;
