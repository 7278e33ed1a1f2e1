//! What the README shows is what the commands print.

use std::path::{Path, PathBuf};
use std::process::Command;

fn readme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")
}

/// Every command of the README that is followed by its output: arguments, and where the output stands.
fn shown(text: &str) -> Vec<(Vec<String>, std::ops::Range<usize>)> {
    const COMMAND: &str = "```sh\ncargo run --release -- ";
    const OUTPUT: &str = "\n```\n\n```text\n";
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(position) = text[at..].find(COMMAND) {
        let begin = at + position + COMMAND.len();
        let end = begin + text[begin..].find("\n").expect("a command ends");
        at = end;
        if let Some(rest) = text[end..].strip_prefix(OUTPUT) {
            let output = end + OUTPUT.len();
            let length = rest.find("```").expect("a block ends");
            let arguments = text[begin..end].split(' ').map(str::to_owned).collect();
            found.push((arguments, output..output + length));
        }
    }
    found
}

/// `UPDATE_EXPECT=1` writes the outputs anew.
#[test]
fn the_readme_shows_what_its_commands_print() {
    let text = std::fs::read_to_string(readme()).expect("there is a README");
    let shown = shown(&text);
    assert!(!shown.is_empty(), "the README shows no output");
    let mut updated = text.clone();
    for (arguments, place) in shown.into_iter().rev() {
        let output = Command::new(env!("CARGO_BIN_EXE_acklab"))
            .args(&arguments)
            .output()
            .expect("acklab runs");
        assert!(output.status.success(), "acklab {arguments:?} failed");
        let printed = String::from_utf8(output.stdout).expect("text");
        updated.replace_range(place, &printed);
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(readme(), &updated).expect("the README can be written");
    }
    assert!(
        updated == text || std::env::var_os("UPDATE_EXPECT").is_some(),
        "the README shows something else than its commands print; `just bless` writes it anew"
    );
}
