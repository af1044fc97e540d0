//! What needs a real TigerBeetle.

mod servers;
