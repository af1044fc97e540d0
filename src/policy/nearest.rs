//! The known name that a mistyped one most likely stands for.

/// The name nearest to `typed`, unless all are too far from it to be meant.
pub(crate) fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let far = 2.max(typed.len() / 3);
    known.map(|name| (distance(typed, name), name)).filter(|(distance, _)| *distance <= far).min().map(|(_, name)| name)
}

/// How many bytes must be put in, taken out or replaced to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_name() {
        let known = ["listen", "allow_insecure", "max_connections"];
        let find = |typed| nearest(typed, known.into_iter());
        assert_eq!(find("listn"), Some("listen"));
        assert_eq!(find("lisetn"), Some("listen"));
        assert_eq!(find("max_conections"), Some("max_connections"));
        assert_eq!(find("max_connection_count"), Some("max_connections"));
        assert_eq!(find("port"), None);
        assert_eq!(find(""), None);
    }

    #[test]
    fn distance_counts_edits() {
        for (a, b, edits) in [("", "", 0), ("a", "", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("abc", "abc", 0)] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }
}
