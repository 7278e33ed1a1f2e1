//! Where text goes: standard output, standard error, files.

use crate::failure::Failure;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Prints a result as it stands. Colours are taken away where there is no terminal, or `NO_COLOR`
/// is set.
///
/// # Errors
/// [`Failure::BrokenPipe`] if nobody reads any more, [`Failure::Input`] if it cannot be written for
/// another reason.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::BrokenPipe,
            _ => Failure::input(format!("standard output cannot be written: {error}")),
        }
    })
}

/// Prints a value as JSON, indented, with a line break at the end.
///
/// # Errors
/// See [`fn@print`].
pub fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n"))
}

/// Prints a diagnostic and a line break. If even that is not possible, nothing is.
pub fn complain(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// A file that takes its place only when it is complete: it is written beside it under another
/// name. What is no file, such as a pipe or `/dev/stdout`, is written to as it stands.
#[derive(Debug)]
pub struct NewFile {
    /// As it was named.
    path: PathBuf,
    /// The name that it has until it is complete, and the one that it takes then.
    temporary: Option<(PathBuf, PathBuf)>,
}

/// Files that are not complete.
static PARTIAL: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn partial() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    // Nothing that holds the lock can panic.
    PARTIAL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes what is not complete, before the process ends.
pub fn remove_partial_files() {
    partial().iter().for_each(|path| drop(fs::remove_file(path)));
}

impl NewFile {
    /// Begins the file that is to stand at `path`.
    ///
    /// # Errors
    /// [`Failure::Input`] if it cannot be created there.
    pub fn create(path: &Path) -> Result<(NewFile, BufWriter<File>), Failure> {
        let shown = path.display();
        if path.as_os_str() == "-" {
            let help = "write to standard output as /dev/stdout, to a file of that name as ./-";
            return Err(Failure::with_help("`-` names no file", help));
        }
        if path.is_dir() {
            let help = format!("name a file in it: {}", path.join("FILE").display());
            return Err(Failure::with_help(format!("`{shown}` is a folder"), help));
        }
        let unwritable = |error| unwritable(path, &error);
        if path.exists() && !path.is_file() {
            let file = File::options().write(true).open(path).map_err(unwritable)?;
            return Ok((NewFile { path: path.to_owned(), temporary: None }, BufWriter::new(file)));
        }
        let target = target_of(path);
        let Some(name) = target.file_name() else {
            return Err(Failure::input(format!("`{shown}` is not the name of a file")));
        };
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}.partial", std::process::id()));
        let temporary = target.with_file_name(temporary);
        partial().insert(temporary.clone());
        let new = NewFile { path: path.to_owned(), temporary: Some((temporary.clone(), target)) };
        let file = File::create(&temporary).map_err(unwritable)?;
        Ok((new, BufWriter::new(file)))
    }

    /// The file is complete: it takes its place.
    ///
    /// # Errors
    /// [`Failure::Input`] if it cannot.
    pub fn keep(mut self, mut writer: impl Write) -> Result<(), Failure> {
        let done = writer.flush().and_then(|()| match &self.temporary {
            Some((temporary, target)) => fs::rename(temporary, target),
            None => Ok(()),
        });
        match done {
            Ok(()) => {
                if let Some((temporary, _)) = self.temporary.take() {
                    partial().remove(&temporary);
                }
                Ok(())
            }
            Err(error) => Err(unwritable(&self.path, &error)),
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some((temporary, _)) = &self.temporary {
            let _ = fs::remove_file(temporary);
            partial().remove(temporary);
        }
    }
}

/// The file that a name leads to: a link stays a link, and what it names is replaced, even where
/// that is not there yet.
fn target_of(path: &Path) -> PathBuf {
    if let Ok(target) = fs::canonicalize(path) {
        return target;
    }
    let mut target = path.to_owned();
    for _ in 0..LINKS_FOLLOWED {
        let Ok(link) = fs::read_link(&target) else { break };
        target = folder_of(&target).join(link);
    }
    match (fs::canonicalize(folder_of(&target)), target.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => target,
    }
}

/// As many as Linux follows.
const LINKS_FOLLOWED: usize = 40;

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether all files could be written, and over nothing else, before hours of work find out: each of
/// the `outputs`, with the word for it, is to be another file than the `inputs` and the outputs
/// before it.
///
/// # Errors
/// [`Failure::Input`] if one would overwrite another; otherwise see [`NewFile::create`].
pub fn check_writable(
    inputs: &[(&str, &Path)],
    outputs: &[(&str, impl AsRef<Path>)],
) -> Result<(), Failure> {
    let outputs: Vec<(&str, &Path)> =
        outputs.iter().map(|(what, path)| (*what, path.as_ref())).collect();
    for (position, &(what, path)) in outputs.iter().enumerate() {
        let overwrites = |&&(_, other): &&(&str, &Path)| is_same_file(path, other);
        let shown = path.display();
        let message = match outputs[..position].iter().find(overwrites) {
            Some((other, _)) => Some(format!("{other} and {what} both write to `{shown}`")),
            None => inputs
                .iter()
                .find(overwrites)
                .map(|(input, _)| format!("{what} would overwrite {input} with `{shown}`")),
        };
        if let Some(message) = message {
            return Err(Failure::with_help(message, "name another file"));
        }
        NewFile::create(path)?;
    }
    Ok(())
}

/// Whether two names lead to one file, by links of either kind. What is no file, such as `/dev/null`,
/// can be written to any number of times.
fn is_same_file(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => {
            one.is_file() && (one.dev(), one.ino()) == (other.dev(), other.ino())
        }
        (Err(_), Err(_)) => target_of(one) == target_of(other),
        _ => false,
    }
}

/// Writes a file as a whole, or not at all.
///
/// # Errors
/// [`Failure::Input`] if it cannot be written.
pub fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    let (file, mut writer) = NewFile::create(path)?;
    writer.write_all(text.as_bytes()).map_err(|error| unwritable(path, &error))?;
    file.keep(writer)
}

/// The message for a file that cannot be written.
pub fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let shown = path.display();
    match (error.kind(), path.parent()) {
        (io::ErrorKind::NotFound, Some(folder))
            if !folder.as_os_str().is_empty() && !folder.exists() =>
        {
            let folder = folder.display();
            Failure::input(format!("`{shown}` cannot be written: there is no folder `{folder}`"))
        }
        _ => Failure::input(format!("`{shown}` cannot be written: {error}")),
    }
}

/// A name that every file system takes and no shell minds; what is too long for one ends with a
/// digest of the rest.
pub fn file_name(stem: &str, ending: &str) -> String {
    let kept = |letter: char| letter.is_alphanumeric() || "-_=.".contains(letter);
    let safe: String = stem.chars().map(|letter| if kept(letter) { letter } else { '_' }).collect();
    let safe = safe.trim_start_matches(['.', '-']);
    if safe.len() <= LONGEST_STEM {
        return format!("{safe}{ending}");
    }
    let digest = stem.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let start = safe.char_indices().map(|(at, _)| at).take_while(|&at| at <= LONGEST_STEM - 20);
    format!("{}-{digest:016x}{ending}", &safe[..start.last().unwrap_or(0)])
}

/// In bytes. File systems take 255 with what is added to a file that is not complete.
const LONGEST_STEM: usize = 150;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_names_of_files() {
        assert_eq!(file_name("acks-1, acks=all-seed-7", ".html"), "acks-1__acks=all-seed-7.html");
        assert_eq!(
            file_name("../<script>alert(1)</script>", ".html"),
            "__script_alert_1___script_.html"
        );
        let long = |last: &str| file_name(&format!("{}{last}", "äcks=0_".repeat(60)), ".html");
        assert!(long("a").len() <= 160 && long("a") != long("b"), "{}", long("a"));
    }
}
