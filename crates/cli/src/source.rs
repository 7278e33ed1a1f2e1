//! What `SCENARIO` on the command line names: a file, or a scenario that acklab ships.

use crate::failure::Failure;
use acklab_scenario::diagnostic::nearest;
use acklab_scenario::{ScenarioFile, shipped};
use std::path::Path;

/// Opens a scenario. What looks like a path is one; a bare name is a shipped scenario unless a file
/// has it.
///
/// # Errors
/// There is no such scenario, or its text is not one.
pub fn open(name: &str) -> Result<ScenarioFile, Failure> {
    let path = Path::new(name);
    if is_like_a_path(name) || path.is_file() {
        return match ScenarioFile::load(path) {
            Err(_) if !path.exists() => Err(nothing_there(name)),
            loaded => Ok(loaded?),
        };
    }
    if let Some(&(name, text)) = shipped().iter().find(|&&(shipped, _)| shipped == name) {
        return Ok(ScenarioFile::parse(name, None, text)?);
    }
    if path.is_dir() {
        // Says that it is a folder.
        return Ok(ScenarioFile::load(path)?);
    }
    Err(nothing_there(name))
}

fn is_like_a_path(name: &str) -> bool {
    name.contains(['/', '\\']) || name.ends_with(".ron")
}

/// Opens several, and says everything that is wrong with any.
///
/// # Errors
/// See [`open`].
pub fn open_all(names: &[String]) -> Result<Vec<ScenarioFile>, Failure> {
    let mut files = Vec::new();
    let mut wrong = Vec::new();
    for name in names {
        match open(name) {
            Ok(file) => files.push(file),
            Err(Failure::Scenario(diagnostics)) => wrong.extend(diagnostics),
            Err(other) => return Err(other),
        }
    }
    if wrong.is_empty() { Ok(files) } else { Err(Failure::Scenario(wrong)) }
}

fn nothing_there(name: &str) -> Failure {
    let message = match is_like_a_path(name) {
        true => format!("there is no file `{name}`"),
        false => format!("there is no file and no shipped scenario `{name}`"),
    };
    let stem = Path::new(name).file_stem().map_or(name.into(), |stem| stem.to_string_lossy());
    match nearest(&stem, shipped().iter().map(|&(shipped, _)| shipped)) {
        Some(shipped) => Failure::with_help(message, format!("did you mean `{shipped}`?")),
        None => Failure::with_help(message, "`acklab list` shows the shipped ones"),
    }
}
