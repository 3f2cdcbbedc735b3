//! What the fuzz targets share: readers of HTTP/1.1 and of paths that have nothing in common with the gateway's own, and
//! the ways in which octets are cut, told and written.
//!
//! A target hands what it is given to the gateway and to one of these readers, and compares. They are slow and plain, so
//! that they can be seen to be right.

pub mod cuts;
pub mod normal;
pub mod strict;
