//! t
use super::*;
#[test]
fn exp() {
    for text in [
        "[server]\nlisten = 127.0.0.1:80\nmax_connections = 0\n",
        "[server\nlisten = \"x\"\nmax_connections = 0\n",
        "[server]\nlisten = \"x\nmax_connections = 0\n[waiting]\nmax_waiters = 0",
        "[server]\nlisten \"x\"\nmax_connections = 0\n[server]\nfoo=1",
        "[[limits]]\nkey = \nkind = rolling\ncapacity = 1\nwindow_seconds=60\n",
        "[server]\nlisten = 1\nlisten = 2\nmax_connections = [1,2\n[waiting]\nmax_waiters = 0",
        "[server]\nlisten = \"\"\"x\nmax_connections = 0\n[waiting]\nmax_waiters = 0",
        "\u{feff}[server]\nmax_connections = 99999999999999999999999999999999999999999999999999999999\nrequest_timeout_ms=1_0\nmax_wait_ms=0x10\nallow_insecure=True",
    ] {
        println!("=====\n{text}\n-----");
        match Config::parse(text, "t.toml", Path::new("/"), &Environment::default()) {
            Ok(c) => println!("{c:?}"),
            Err(e) => println!("{e}"),
        }
    }
}
