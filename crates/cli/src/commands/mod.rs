//! One module per command.

mod check;
mod defaults;
mod diff;
mod explain;
mod list;
mod replay;
mod report;
mod run;
mod shrink;
mod sweep;
mod test;
mod verify;

use crate::args::Command;
use crate::failure::{Failure, Status};
use std::num::NonZeroUsize;

/// Does what the command says.
///
/// # Errors
/// Whatever keeps it from having a result.
pub fn execute(command: Command) -> Result<Status, Failure> {
    match command {
        Command::Run(args) => run::execute(&args),
        Command::Explain(args) => explain::execute(&args),
        Command::Diff(args) => diff::execute(&args),
        Command::Replay(args) => replay::execute(&args),
        Command::Report(args) => report::execute(&args),
        Command::Sweep(args) => sweep::execute(&args),
        Command::Test(args) => test::execute(&args),
        Command::Shrink(args) => shrink::execute(&args),
        Command::Verify(args) => verify::execute(&args),
        Command::Check(args) => check::execute(&args),
        Command::Defaults(args) => defaults::execute(&args),
        Command::List(args) => list::execute(&args),
    }
}

/// As many runs at a time as asked for, or one per core.
fn jobs(asked: Option<NonZeroUsize>) -> NonZeroUsize {
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    asked.unwrap_or_else(cores)
}
