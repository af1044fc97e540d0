//! What the kernel says of this process. Linux only.

use std::fs;
use std::time::Duration;

/// Resident memory in bytes.
pub(crate) fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("a Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line on resident memory");
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kibibytes * 1024
}

/// Processor time that the living threads have had whose name begins with `name`.
pub(crate) fn cpu_time(name: &str) -> Duration {
    let threads = fs::read_dir("/proc/self/task").expect("a Linux").filter_map(Result::ok);
    let spent = |thread: fs::DirEntry| -> Option<u64> {
        // A thread that ends meanwhile is passed over.
        let comm = fs::read_to_string(thread.path().join("comm")).ok()?;
        let schedstat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        comm.starts_with(name).then_some(schedstat.split(' ').next()?.parse().ok()?)
    };
    Duration::from_nanos(threads.filter_map(spent).sum())
}
