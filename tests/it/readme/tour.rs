//! A tour is the commands in the code blocks of one chapter, each with what it prints below it.

use super::stage::Stage;

/// Runs what stands under `heading`: the servers of its `sh` blocks, the commands of its `console` blocks. Answers with
/// the whole text, in which each command is followed by what it has printed now.
pub(super) fn run(readme: &str, heading: &str, stage: &mut Stage) -> String {
    let mut out = String::new();
    let mut push = |line: &str| out.extend([line, "\n"]);
    let (mut is_here, mut block) = (false, "");
    // Ids that were made up when README was written, and those made up now.
    let mut ids: Vec<(String, String)> = Vec::new();
    let mut lines = readme.lines().peekable();
    while let Some(line) = lines.next() {
        if block.is_empty() && line.starts_with("## ") {
            is_here = line == heading;
        }
        if let Some(language) = line.strip_prefix("```") {
            block = language;
        }
        let Some(command) = line.strip_prefix("$ ").filter(|_| is_here && block == "console") else {
            if is_here && block == "sh" && line.starts_with("tollgate serve") {
                stage.serve(line.split(" #").next().unwrap_or(line).trim_end());
            }
            push(line);
            continue;
        };
        let command = ids.iter().fold(command.to_owned(), |command, (then, now)| command.replace(then, now));
        push(&format!("$ {command}"));
        let mut shown = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with("$ ") && *line != "```") {
            shown.push(line);
        }
        let printed = stage.shown(&command);
        ids.extend(made_up_ids(&shown.join("\n")).into_iter().zip(made_up_ids(&printed)));
        if !printed.is_empty() {
            push(&printed);
        }
    }
    out
}

fn is_made_up_id(word: &str) -> bool {
    word.len() == 26 && !word.ends_with("TR01")
}

fn made_up_ids(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| is_made_up_id(word)).map(str::to_owned).collect()
}

/// The line with what differs from run to run made equal: lease ids that were made up, times, waits, processes.
pub(super) fn settled(line: &str) -> String {
    let cells: Vec<_> = line.split_whitespace().collect();
    match cells[..] {
        [key, capacity, available, wait] if key.contains(':') && is_number(wait) => {
            return format!("{key} {capacity} {available} N");
        }
        ["hint:", "try", "again", "in", _, ref rest @ ..] => return format!("hint: try again in N {}", rest.join(" ")),
        [ref replica @ .., file, process] if file.ends_with(".tigerbeetle") && is_number(process) => {
            return format!("{} {file} N", replica.join(" "));
        }
        _ => {}
    }
    let mut out = String::new();
    for word in line.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let (body, end) = word.split_at(word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).len());
        out.push_str(if is_made_up_id(body) {
            "ID"
        } else if 4 < body.len() && is_number(body) && !["299000", "300000", "298170"].contains(&body) {
            "N"
        } else {
            body
        });
        out.push_str(end);
    }
    out
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}
