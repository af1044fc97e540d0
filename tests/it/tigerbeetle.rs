//! What needs a real TigerBeetle.

mod servers;
mod sharing;
mod waiting;
