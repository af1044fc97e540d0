//! The real binary: how it starts or refuses to, serves, and ends in every way a process can.

mod crash;
mod disk;
mod log;
mod reload;
mod start;
mod stop;
mod vanish;

/// A limit of one slot, a limit of many requests, and a stop that takes 5 s at most.
const CONFIG: &str = r#"
server = { shutdown_grace_ms = 5000 }

[[limits]]
key = "slot"
kind = "concurrency"
capacity = 1
timeout_seconds = 600

[[limits]]
key = "rpm"
kind = "rolling"
capacity = 1_000_000
window_seconds = 60
"#;
