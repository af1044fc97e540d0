//! What the kernel says of this process.

use std::fs;

/// Resident memory in bytes; `None` where there is no `/proc`.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// Nanoseconds of processor time that the threads whose name begins with `name` have had.
pub(crate) fn thread_cpu_ns(name: &str) -> Option<u64> {
    let threads = fs::read_dir("/proc/self/task").ok()?.filter_map(Result::ok);
    let named = threads
        .filter(|thread| fs::read_to_string(thread.path().join("comm")).is_ok_and(|comm| comm.starts_with(name)));
    let spent = |thread: fs::DirEntry| -> Option<u64> {
        fs::read_to_string(thread.path().join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    named.map(spent).sum()
}
