//! `acklab check`: everything that can be said of a scenario without running it.

use crate::args::CheckArgs;
use crate::failure::{self, Failure, Status};
use crate::output;
use crate::source;
use acklab_experiment::test::Plan;
use acklab_verdict::names::counted;
use std::fmt::Write;

/// Resolves every variant of every scenario, shows what is wrong and what is odd.
pub fn execute(args: &CheckArgs) -> Result<Status, Failure> {
    let mut sound = String::new();
    let mut wrong = Vec::new();
    for name in &args.scenarios {
        let plan = source::open(name)
            .and_then(|file| Plan::new(&file, None, &args.sets).map_err(Failure::Scenario));
        match plan {
            Ok(plan) => {
                failure::show_diagnostics(plan.warnings());
                let variants = plan.cases().len() as u64 - 1;
                let warnings = plan.warnings().len() as u64;
                let _ = writeln!(
                    sound,
                    "{name}: sound, {}, {}",
                    counted(variants, "variant"),
                    counted(warnings, "warning")
                );
            }
            Err(failure) => wrong.push(failure),
        }
    }
    output::print(&sound)?;
    let status = if wrong.is_empty() { Status::AsExpected } else { Status::BadInput };
    for failure in wrong {
        failure.report();
    }
    Ok(status)
}
