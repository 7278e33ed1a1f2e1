//! Runs the binary in the folder of the fixtures, and masks what a change of the model may move.

#![allow(dead_code, reason = "every file of tests takes what it needs")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// How a command ended.
pub struct Done {
    pub stdout: String,
    pub stderr: String,
    pub status: i32,
}

impl From<Output> for Done {
    fn from(output: Output) -> Done {
        Done {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            status: output.status.code().unwrap(),
        }
    }
}

/// The binary with arguments, in the folder of the fixtures.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_acklab"));
    command
        .args(arguments)
        .current_dir(fixtures())
        .env_remove("CLICOLOR_FORCE")
        .env_remove("COLUMNS");
    command
}

/// Runs the binary.
pub fn acklab(arguments: &[&str]) -> Done {
    command(arguments).output().unwrap().into()
}

/// Runs a line as a shell does where `acklab` is installed.
pub fn shell(line: &str) -> Done {
    let folder = Path::new(env!("CARGO_BIN_EXE_acklab")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).current_dir(fixtures()).env("PATH", path);
    shell.output().unwrap().into()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The path of a fixture.
pub fn fixture(name: &str) -> PathBuf {
    fixtures().join(name)
}

/// Digests, numbers of events and latencies become `…`.
pub fn masked(text: &str) -> String {
    let mut masked = String::new();
    for line in text.lines() {
        let line = match (line.split_once("digest "), line.split_once(" simulated")) {
            (Some((before, _)), _) => format!("{}  digest …", before.trim_end()),
            (None, Some((before, _))) => {
                let (before, _) = before.rsplit_once("· ").unwrap();
                format!("{before}· … simulated · … events")
            }
            (None, None) if line.starts_with("  created to ") => {
                format!("{} …", line.split("  ").nth(1).unwrap_or(line))
            }
            (None, None) if line.trim_start().starts_with("latency ") => "  latency …".to_owned(),
            (None, None) => line.to_owned(),
        };
        masked.push_str(&line);
        masked.push('\n');
    }
    masked
}

/// A folder of its own for a test, removed at the end.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("cli-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Scratch(folder)
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// The names of the files in it.
    pub fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
