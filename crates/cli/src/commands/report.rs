//! `acklab report`: a history, or a sweep of many, as a page that opens offline; and the index of a
//! folder of such pages.

pub mod index;
mod sweep;

use crate::args::ReportArgs;
use crate::failure::{Failure, Status};
use crate::output::{self, NewFile};
use crate::request::{Request, input_files};
use crate::text::{width, wrapped};
use acklab_report::page::run::{Report, report};
use acklab_scenario::BASE;
use std::io::Write;
use std::path::PathBuf;

/// Runs the history, writes its page, and says where.
pub fn execute(args: &ReportArgs) -> Result<Status, Failure> {
    if args.index {
        return index::execute(args.scenario.scenario.as_ref());
    }
    if args.seeds.is_some() || !args.vary.is_empty() || args.pages {
        return sweep::execute(args);
    }
    let request = Request::resolve(&args.scenario)?;
    let path = args.output.clone().unwrap_or_else(|| default_path(&request, args.seed));
    output::check_writable(&input_files(&args.scenario), &[("the page", &path)])?;
    let (file, mut writer) = NewFile::create(&path)?;
    let say = |verb: &str, more: &str| request.command(verb, args.seed, more);
    let Report { html, sentence, outcome } = report(&request.case, args.seed, &say)?;
    writer.write_all(html.as_bytes()).map_err(|error| output::unwritable(&path, &error))?;
    file.keep(writer)?;
    // What is written to a pipe is the result itself.
    if path.is_file() {
        let lines = wrapped(&sentence, width() - 2);
        let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
        output::print(&format!("{}\n{lines}", path.display()))?;
    }
    Ok(Status::of(outcome.is_as_expected()))
}

/// `acks-1-leader-crash-acks=all-seed-7.html`, in the current folder whatever the names are.
fn default_path(request: &Request, seed: u64) -> PathBuf {
    let scenario = &request.case.scenario;
    let variant = match scenario.variant.as_str() {
        BASE => String::new(),
        variant => format!("-{variant}"),
    };
    PathBuf::from(output::file_name(&format!("{}{variant}-seed-{seed}", scenario.name), ".html"))
}
