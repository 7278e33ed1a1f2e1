//! `acklab report --seeds`: many histories as a page.

use crate::args::{ReportArgs, SweepArgs};
use crate::commands::sweep::{collect, html, interrupted, plan, save_at_end};
use crate::failure::{self, Failure, Status};
use crate::output;
use crate::request::input_files;
use acklab_experiment::Seeds;
use acklab_experiment::sweep::report::{Ended, SweepReport};
use acklab_experiment::sweep::{self, Collected, SweepPlan};
use acklab_report::page::run;
use acklab_report::sweep::answer::headline;
use acklab_scenario::BASE;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

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
    output::check_writable(&input_files(&args.scenario), &[("the page", &path)])?;
    if args.seeds.is_none() {
        output::complain(&format!("seeds {hundred}: --seeds A..B takes others"));
    }
    let collected = collect(&args_of_sweep, &plan, Collected::new(&plan))?;
    let report = sweep::report(&plan, &collected);
    if report.ended == Ended::Interrupted {
        // A page of all seeds may stand there: it is not replaced by one of some.
        let goes_on = SweepArgs { html: Some(path), ..args_of_sweep };
        let saved = save_at_end(&goes_on, &plan, &collected)?;
        return Err(interrupted(&goes_on, &report, saved.as_deref()));
    }
    let pages = if args.pages { write_pages(&plan, &report, &path)? } else { Vec::new() };
    output::write_file(&path, &html(&report, &path))?;
    // What is written to a pipe is the result itself.
    if path.is_file() {
        output::print(&format!("{}\n  {}.\n", path.display(), headline(&report)))?;
        for page in pages {
            output::print(&format!("{}\n", page.display()))?;
        }
    }
    for cell in &report.cells {
        cell.defects.iter().for_each(failure::show_defect);
    }
    let has_defects = report.cells.iter().any(|cell| cell.defects_total > 0);
    Ok(if has_defects { Status::Defect } else { Status::of(report.held) })
}

/// The pages of the worst seed of each anomaly, cell by cell, beside the page of the sweep.
fn write_pages(
    plan: &SweepPlan,
    sweep: &SweepReport,
    path: &Path,
) -> Result<Vec<PathBuf>, Failure> {
    let mut pages = Vec::new();
    for (cell, figures) in plan.cells().iter().zip(&sweep.cells) {
        let worst = figures.anomalies.iter().filter_map(|anomaly| anomaly.worst.as_ref());
        let seeds: BTreeSet<u64> = worst.map(|example| example.seed).collect();
        for seed in seeds {
            let say = |verb: &str, more: &str| cell.selection.command(verb, seed, more);
            let cell_name = match (cell.labels.is_empty(), cell.variant.as_str()) {
                (true, BASE) => String::new(),
                (true, variant) => format!("-{variant}"),
                (false, _) => format!("-{}", cell.name.replace(", ", "-")),
            };
            let stem = format!("{}{cell_name}-seed-{seed}", plan.name());
            let page = path.with_file_name(output::file_name(&stem, ".html"));
            output::write_file(&page, &run::report(&cell.case, seed, &say)?.html)?;
            pages.push(page);
        }
    }
    Ok(pages)
}

/// `acks-1-leader-crash-seeds-0..100.html`, in the current folder whatever the names are.
fn default_path(scenario: &str, args: &ReportArgs, seeds: Seeds) -> PathBuf {
    let variant = match args.scenario.variant.as_str() {
        BASE => String::new(),
        variant => format!("-{variant}"),
    };
    let vary: String = args.vary.iter().map(|vary| format!("-{vary}")).collect();
    let stem = format!("{scenario}{variant}{vary}-seeds-{seeds}");
    PathBuf::from(output::file_name(&stem, ".html"))
}
