//! What needs a real TigerBeetle.

mod bad_days;
mod servers;
mod sharing;
mod waiting;
