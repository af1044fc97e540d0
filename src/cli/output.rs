//! Writing to stdout. A reader that goes away, such as `head`, is no error.

use std::io::{self, Write};

use serde_json::Value;

use super::Failure;

/// Prints `text` as it is.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    settle(write_to(&mut io::stdout().lock(), text))
}

/// Prints what the server said on one line, for scripts.
pub(super) fn print_json(value: &Value) -> Result<(), Failure> {
    print(&format!("{value}\n"))
}

fn write_to(out: &mut impl Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn settle(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::runtime(format!("stdout takes no more output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is() {
        assert_eq!(settle(Err(io::ErrorKind::BrokenPipe.into())), Ok(()));
        let failure = settle(Err(io::ErrorKind::StorageFull.into())).expect_err("a full disk");
        assert_eq!(failure.to_string(), "error: stdout takes no more output: no storage space\n");
    }
}
