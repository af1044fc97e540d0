//! Waiting for capacity: acquire through a running tollgate, on paused time.

mod crashing;
mod leaving;
mod line;
mod many_keys;
mod order;
mod pausing;
mod storm;
mod waking;
