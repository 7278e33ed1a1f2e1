//! The command line of acklab: it parses, asks the other crates, and prints.
//!
//! Results go to standard output, diagnostics and progress to standard error. A reader that closes
//! the pipe early is no error. The exit status says what came of it, see [`failure`].

mod args;
mod commands;
mod failure;
mod interrupt;
mod output;
mod progress;
mod request;
mod source;
mod text;

use clap::Parser;
use failure::{Failure, Status};
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = match args::Cli::try_parse() {
        Ok(cli) => commands::execute(cli.command),
        Err(error) => show_usage(&error),
    };
    let status = match done {
        Ok(status) => status,
        Err(failure) => failure.report(),
    };
    ExitCode::from(status as u8)
}

/// Help and the version are results; everything else that clap says is a diagnostic.
fn show_usage(error: &clap::Error) -> Result<Status, Failure> {
    let rendered = error.render();
    if error.use_stderr() {
        return Err(Failure::Usage(rendered.ansi().to_string()));
    }
    output::print(&rendered.ansi().to_string())?;
    Ok(Status::AsExpected)
}
