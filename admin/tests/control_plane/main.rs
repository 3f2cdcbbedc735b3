//! The control plane from outside: real sockets, a real database, a clock that is moved by hand. It runs twice: with the
//! store in a file, and from `on_postgres` with the store in PostgreSQL.

mod access;
mod bootstrap;
mod cluster;
mod components;
mod consistency;
mod console;
mod current_user;
mod decisions;
mod effects;
mod enrolment;
mod feed_stream;
mod fleet;
mod foreign;
mod gateway;
mod groups_and_invitations;
mod guards;
mod harness;
mod moving;
mod on_postgres;
mod opening;
mod permissions;
mod policies;
mod promotion;
mod publishing;
mod rights;
mod roles;
mod terraform;
mod tokens;
mod trust;
mod users;
