//! Where text goes: standard output, standard error, files.

use crate::failure::Failure;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Prints a result as it stands. Colours are taken away where there is no terminal, or `NO_COLOR` is set.
///
/// # Errors
/// [`Failure::BrokenPipe`] if nobody reads any more, [`Failure::Input`] if it cannot be written for another reason.
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
/// See [`print`].
pub fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n"))
}

/// Prints a diagnostic and a line break. If even that is not possible, nothing is.
pub fn complain(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// A file that takes its place only when it is complete: it is written beside it under another name.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    temporary: PathBuf,
    kept: bool,
}

impl NewFile {
    /// Begins the file that is to stand at `path`.
    ///
    /// # Errors
    /// [`Failure::Input`] if it cannot be created there.
    pub fn create(path: &Path) -> Result<(NewFile, BufWriter<File>), Failure> {
        let shown = path.display();
        if path.is_dir() {
            let help = format!("name a file in it: {}", path.join("FILE").display());
            return Err(Failure::with_help(format!("`{shown}` is a folder"), help));
        }
        let Some(name) = path.file_name() else {
            return Err(Failure::input(format!("`{shown}` is not the name of a file")));
        };
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}.partial", std::process::id()));
        let temporary = path.with_file_name(temporary);
        let file = File::create(&temporary).map_err(|error| unwritable(path, &error))?;
        Ok((NewFile { path: path.to_owned(), temporary, kept: false }, BufWriter::new(file)))
    }

    /// The file is complete: it takes its place.
    ///
    /// # Errors
    /// [`Failure::Input`] if it cannot.
    pub fn keep(mut self, mut writer: impl Write) -> Result<(), Failure> {
        let done = writer.flush().and_then(|()| fs::rename(&self.temporary, &self.path));
        self.kept = done.is_ok();
        done.map_err(|error| unwritable(&self.path, &error))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.temporary);
        }
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
        (io::ErrorKind::NotFound, Some(folder)) if !folder.as_os_str().is_empty() => {
            let message = format!("`{shown}` cannot be written: there is no folder `{}`", folder.display());
            Failure::input(message)
        }
        _ => Failure::input(format!("`{shown}` cannot be written: {error}")),
    }
}
