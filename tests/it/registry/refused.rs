//! What refuses to start, says where and what to do, and leaves the file as it is.

use std::path::Path;

use tollgate::Tollgate;

use super::{capacity, end, rolling, start, try_start};

async fn refusal(directory: &Path) -> String {
    let started = try_start(directory).await;
    started.map(|_| ()).expect_err("it is refused").to_string()
}

#[track_caller]
fn check_told(refusal: &str, told: &[&str]) {
    for part in told {
        assert!(refusal.contains(part), "`{part}` is not told: {refusal}");
    }
    let (_, hint) = refusal.split_once("\nhint: ").expect(refusal);
    assert!(!hint.is_empty());
}

/// A registry with this text is refused, and stays as it is byte by byte.
async fn check(text: &[u8], told: &[&str]) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("limits.json");
    std::fs::write(&path, text).expect("it is written");
    let refusal = refusal(directory.path()).await;
    check_told(&refusal, &[told, &[path.to_str().expect("UTF-8")]].concat());
    assert_eq!(std::fs::read(&path).expect("it is there"), text);
    assert!(!directory.path().join("limits.json.new").exists());
}

fn rpm(key: &str) -> String {
    format!(r#"{{"definition":{{"key":"{key}","kind":"rolling","capacity":9,"window_seconds":60}}}}"#)
}

#[tokio::test]
async fn a_file_that_is_cut_off_or_something_else() {
    for text in ["", "[", "\n\n[{\"definition\"", "null", "{}", "[1]", "[{\"definition\":{}}]", "[] []", "key: a"] {
        check(text.as_bytes(), &["limits.json:", "is no list of limits"]).await;
    }
    check(format!("[\n{},\n{{\"def", rpm("a")).as_bytes(), &["limits.json:3: "]).await;
    check(&[b"[\n".as_slice(), &[0xff; 9]].concat(), &["UTF-8"]).await;
    check(&[0; 4096], &["limits.json:1: "]).await;
}

#[tokio::test]
async fn a_file_from_a_newer_version() {
    let newer = rpm("a").replace("}}", "},\n\"shards\":2}");
    check(format!("[\n{newer}]").as_bytes(), &["limits.json:3: ", "`shards`", "newer tollgate: use that one"]).await;
    let newer = rpm("a").replace("60}", "60,\"color\":1}");
    check(format!("[\n{newer}]").as_bytes(), &["limits.json:2: ", "`color`", "newer tollgate: use that one"]).await;
    let newer = rpm("a").replace("}}", "},\"status\":\"sleeping\"}");
    check(format!("[\n{newer}]").as_bytes(), &["limits.json:2: ", "`sleeping`"]).await;
}

#[tokio::test]
async fn entries_that_contradict_themselves_or_each_other() {
    check(format!("[{},{},{}]", rpm("a"), rpm("b"), rpm("a")).as_bytes(), &["entry 3 (`a`): is there twice"]).await;
    check(format!("[{},{}]", rpm("t:{x}"), rpm("t:{y}")).as_bytes(), &["entry 2 (`t:{y}`)", "`t:{x}`"]).await;
    let wrong = rpm("b").replace(":9", ":0").replace("60", "0");
    check(format!("[{},{wrong}]", rpm("a")).as_bytes(), &["entry 2 (`b`)", "`capacity`", "`window_seconds`"]).await;
    let pending = rpm("a").replace("}}", "},\"status\":\"decreasing\",\"pending_decrease_to\":10}");
    check(format!("[{pending}]").as_bytes(), &["entry 1 (`a`)", "`pending_decrease_to` is 10"]).await;
    let last = rpm("a").replace("}}", &format!("}},\"version\":{}}}", u64::MAX));
    check(format!("[{last}]").as_bytes(), &["entry 1 (`a`)", "`version` is 18446744073709551615"]).await;
}

#[tokio::test]
async fn a_directory_in_the_place_of_the_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("limits.json");
    std::fs::create_dir(&path).expect("a new directory");
    check_told(&refusal(directory.path()).await, &["limits.json: cannot be read: "]);
    assert!(path.is_dir());
}

#[tokio::test]
async fn a_place_that_takes_no_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    std::fs::write(&file, "mine").expect("it is written");
    for place in [file.join("data"), file.clone()] {
        check_told(&refusal(&place).await, &[place.to_str().expect("UTF-8"), "cannot be made: ", "`--data-dir`"]);
    }
    assert_eq!(std::fs::read(&file).expect("it is there"), b"mine");
}

#[tokio::test]
async fn more_limits_than_may_be() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("limits.json"), format!("[{},{}]", rpm("a"), rpm("b")))
        .expect("it is written");
    let settings = tollgate::config::Settings { max_limits: 1, ..Default::default() };
    let started = Tollgate::builder().settings(settings).data_dir(directory.path()).start().await;
    let refusal = started.map(|_| ()).expect_err("it is refused").to_string();
    check_told(&refusal, &["has 2 limits, more than `registry.max_limits` = 1"]);
}

#[tokio::test]
async fn a_second_one_in_the_same_directory_until_the_first_has_ended() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = start(directory.path()).await;
    for _ in 0..2 {
        check_told(&refusal(directory.path()).await, &["limits.json: is in use by another tollgate", "stop that one"]);
    }
    first.put_limit(rolling("a", 10)).await.expect("the first is not disturbed");
    end(&first).await;
    let second = start(directory.path()).await;
    assert_eq!(capacity(&second, "a").await, Some(10));
}
