//! `tollgate dev-cluster status`.

use std::fs;

use super::super::table::table;
use super::super::text::MISSING;
use super::super::{Failure, output};
use super::cluster::{Cluster, Replica};
use super::folder::Folder;

pub(super) fn run(folder: &Folder) -> Result<(), Failure> {
    output::print(&table_of(&Cluster::find(folder)?))
}

/// One line per replica.
pub(super) fn table_of(cluster: &Cluster) -> String {
    let rows: Vec<_> = cluster.replicas.iter().map(row).collect();
    table(["REPLICA", "STATE", "ADDRESS", "SIZE", "FILE", "PROCESS"], &rows)
}

fn row(replica: &Replica) -> [String; 6] {
    let size = fs::metadata(&replica.file).map_or_else(|_| MISSING.to_owned(), |file| bytes(file.len()));
    let (state, address, process) = match replica.process {
        Some(id) => ("runs", replica.address.to_string(), id.to_string()),
        None => ("stopped", MISSING.to_owned(), MISSING.to_owned()),
    };
    [replica.index.to_string(), state.to_owned(), address, size, replica.file.display().to_string(), process]
}

/// A size in the largest unit it fills.
fn bytes(count: u64) -> String {
    let Some((unit, shift)) = [("GiB", 30), ("MiB", 20), ("KiB", 10)].into_iter().find(|(_, shift)| 0 < count >> shift)
    else {
        return format!("{count} B");
    };
    let hundredths = (u128::from(count) * 100) >> shift;
    format!("{}.{:02} {unit}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_the_largest_unit_they_fill() {
        assert_eq!([0, 1023].map(bytes), ["0 B", "1023 B"]);
        assert_eq!([1024, 1_572_864, 1_141_374_976].map(bytes), ["1.00 KiB", "1.50 MiB", "1.06 GiB"]);
        assert_eq!(bytes(u64::MAX), "17179869183.99 GiB");
    }
}
