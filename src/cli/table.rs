//! Tables for people: aligned columns, numbers to the right.

use super::text::MISSING;

const GAP: &str = "  ";

/// The rows under their header, one per line.
pub(super) fn table<const COLUMNS: usize>(header: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let numeric: [bool; COLUMNS] =
        std::array::from_fn(|column| is_numeric(rows.iter().map(|row| row[column].as_str())));
    let line = |cells: [&str; COLUMNS]| {
        let aligned: [String; COLUMNS] = std::array::from_fn(|column| {
            let (cell, width) = (cells[column], widths[column]);
            if numeric[column] { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        format!("{}\n", aligned.join(GAP).trim_end())
    };
    let body = rows.iter().map(|row| line(std::array::from_fn(|column| row[column].as_str())));
    [line(header)].into_iter().chain(body).collect()
}

/// Names and values in two columns, without a header.
pub(super) fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    pairs.iter().map(|(name, value)| format!("{name:<width$}{GAP}{value}\n")).collect()
}

fn is_numeric<'a>(cells: impl Iterator<Item = &'a str>) -> bool {
    let mut known = cells.filter(|cell| *cell != MISSING).peekable();
    known.peek().is_some() && known.all(|cell| cell.parse::<i128>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_stand_right() {
        let rows = [["tpm", "90000", "tokens"], ["größe", "-", "-"], ["x", "7", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(
            table(["KEY", "CAPACITY", "UNIT"], &rows),
            concat!(
                "KEY    CAPACITY  UNIT\n",
                "tpm       90000  tokens\n",
                "größe         -  -\n",
                "x             7\n"
            )
        );
    }

    #[test]
    fn a_table_without_rows_is_its_header() {
        assert_eq!(table(["KEY", "KIND"], &[]), "KEY  KIND\n");
    }

    #[test]
    fn pairs_line_up() {
        let shown = pairs(&[("key", "rpm".to_owned()), ("capacity", "60".to_owned())]);
        assert_eq!(shown, "key       rpm\ncapacity  60\n");
    }
}
