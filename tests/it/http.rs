//! The HTTP face, over real sockets.

mod access;
mod acquire;
mod bounds;
mod breakers;
mod errors;
mod limits;
mod observe;
mod outcomes;
mod page;
mod pausing;
mod prices;
mod remote;
mod reserve;
mod server;
