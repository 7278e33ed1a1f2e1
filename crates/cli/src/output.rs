//! Where text goes: standard output, standard error, files.

use crate::failure::Failure;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

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
    path: PathBuf,
    /// Gone once the file has taken its place.
    temporary: Option<PathBuf>,
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
        let unwritable = |error| unwritable(path, &error);
        if path.exists() && !path.is_file() {
            let file = File::options().write(true).open(path).map_err(unwritable)?;
            return Ok((NewFile { path: path.to_owned(), temporary: None }, BufWriter::new(file)));
        }
        // A link stays a link: what it names is replaced.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let Some(name) = target.file_name() else {
            return Err(Failure::input(format!("`{shown}` is not the name of a file")));
        };
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}.partial", std::process::id()));
        let temporary = target.with_file_name(temporary);
        let file = File::create(&temporary).map_err(unwritable)?;
        Ok((NewFile { path: target, temporary: Some(temporary) }, BufWriter::new(file)))
    }

    /// The file is complete: it takes its place.
    ///
    /// # Errors
    /// [`Failure::Input`] if it cannot.
    pub fn keep(mut self, mut writer: impl Write) -> Result<(), Failure> {
        let rename = |temporary: &PathBuf| fs::rename(temporary, &self.path);
        let done = writer.flush().and_then(|()| self.temporary.as_ref().map_or(Ok(()), rename));
        if done.is_ok() {
            self.temporary = None;
        }
        done.map_err(|error| unwritable(&self.path, &error))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = fs::remove_file(temporary);
        }
    }
}

/// Whether a file could be written there, before hours of work find out.
///
/// # Errors
/// See [`NewFile::create`].
pub fn check_writable(path: &Path) -> Result<(), Failure> {
    NewFile::create(path).map(drop)
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
