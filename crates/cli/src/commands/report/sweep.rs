//! `acklab report --seeds`: many histories as a page.

use super::file_name;
use crate::args::{ReportArgs, SweepArgs};
use crate::commands::sweep::{collect, html, plan};
use crate::failure::{self, Failure, Status};
use crate::output;
use acklab_experiment::Seeds;
use acklab_experiment::sweep::report::Ended;
use acklab_experiment::sweep::{self, Collected};
use acklab_report::sweep::answer::headline;
use acklab_scenario::BASE;
use std::path::PathBuf;

/// So many seeds if none are named.
const SEEDS: u64 = 100;

/// Runs the sweep, writes its page, and says where.
pub fn execute(args: &ReportArgs) -> Result<Status, Failure> {
    let hundred = Seeds::new(0, SEEDS).expect("it is not empty");
    let args_of_sweep = SweepArgs {
        scenario: args.scenario.clone(),
        seeds: args.seeds.unwrap_or(hundred),
        vary: args.vary.clone(),
        until_width: None,
        expect: Vec::new(),
        jobs: None,
        json: false,
        csv: None,
        junit: None,
        html: None,
        save: None,
        resume: None,
    };
    let plan = plan(&args_of_sweep)?;
    let path = args.output.clone().unwrap_or_else(|| default_path(plan.name(), args, plan.seeds()));
    output::check_writable(&path)?;
    let (collected, failed) = collect(&args_of_sweep, &plan, Collected::new(&plan))?;
    if let Some(failure) = failed {
        return Err(failure);
    }
    let report = sweep::report(&plan, &collected);
    output::write_file(&path, &html(&report, &path))?;
    // What is written to a pipe is the result itself.
    if path.is_file() {
        output::print(&format!("{}\n  {}.\n", path.display(), headline(&report)))?;
    }
    for cell in &report.cells {
        cell.defects.iter().for_each(failure::show_defect);
    }
    if report.ended == Ended::Interrupted {
        let (done, asked) = (report.seeds_done, report.seeds.count());
        return Err(Failure::with_help(
            format!("interrupted after {done} of {asked} seeds"),
            "the page shows these; `acklab sweep --html FILE --save FILE` can go on later",
        ));
    }
    let has_defects = report.cells.iter().any(|cell| cell.defects_total > 0);
    Ok(if has_defects { Status::Defect } else { Status::of(report.held) })
}

/// `acks-1-leader-crash-seeds-0..100.html`, in the current folder whatever the names are.
fn default_path(scenario: &str, args: &ReportArgs, seeds: Seeds) -> PathBuf {
    let variant = match args.scenario.variant.as_str() {
        BASE => String::new(),
        variant => format!("-{variant}"),
    };
    let vary: String = args.vary.iter().map(|vary| format!("-{vary}")).collect();
    PathBuf::from(file_name(&format!("{scenario}{variant}{vary}-seeds-{seeds}.html")))
}
