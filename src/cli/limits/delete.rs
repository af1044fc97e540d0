//! `tollgate limits delete`: removes one definition.

use super::{ADMIN_PATH, Failure, Server};
use crate::cli::text::plain;
use crate::cli::{output, path};

pub(super) async fn run(server: &Server, key: &str, json: bool) -> Result<(), Failure> {
    let answer = server.delete(&path::under(ADMIN_PATH, key)).await?.accepted()?;
    if json { output::print_json(&answer) } else { output::print(&format!("deleted `{}`\n", plain(key))) }
}
