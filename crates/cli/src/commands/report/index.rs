//! `acklab report --index`: a page that lists the reports of a folder.

use crate::failure::{Failure, Status};
use crate::output;
use acklab_report::index::{FILE_NAME, Folder, page};
use std::fs;
use std::io;
use std::path::Path;

/// Pages of acklab are smaller; what is larger is not read.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Writes the index of a folder, and says where.
pub fn execute(folder: &Path) -> Result<Status, Failure> {
    let shown = folder.display();
    let content = read(folder).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::input(format!("there is no folder `{shown}`")),
        _ if !folder.is_dir() => Failure::with_help(
            format!("`{shown}` is not a folder"),
            "name the folder that holds the reports: acklab report --index reports",
        ),
        _ => Failure::input(format!("the folder `{shown}` cannot be read: {error}")),
    })?;
    let path = folder.join(FILE_NAME);
    output::write_file(&path, &page(&content))?;
    let reports = acklab_verdict::names::counted(content.entries.len() as u64, "report");
    let others = match content.foreign {
        0 => String::new(),
        1 => "; 1 other HTML file was left alone".to_owned(),
        more => format!("; {more} other HTML files were left alone"),
    };
    output::print(&format!("{}\n  {reports}{others}\n", path.display()))?;
    Ok(Status::AsExpected)
}

/// The HTML files of a folder, not of those within it.
pub fn read(folder: &Path) -> io::Result<Folder> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_page = path.extension().is_some_and(|of| of.eq_ignore_ascii_case("html"));
        // A name that is no text cannot be linked to.
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|_| is_page) else {
            continue;
        };
        let is_readable = fs::metadata(&path).is_ok_and(|of| of.is_file() && of.len() <= LARGEST);
        let text = if is_readable { fs::read(&path).unwrap_or_default() } else { Vec::new() };
        files.push((name.to_owned(), String::from_utf8_lossy(&text).into_owned()));
    }
    Ok(Folder::of(files))
}
