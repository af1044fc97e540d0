//! What needs a real TigerBeetle.

mod servers;
mod session;
