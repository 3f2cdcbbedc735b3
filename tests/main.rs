//! The whole system, from outside: the real binary over real sockets.
