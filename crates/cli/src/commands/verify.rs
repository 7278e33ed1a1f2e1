//! `acklab verify`: every seed twice, in different threads.

use super::jobs;
use crate::args::VerifyArgs;
use crate::failure::{self, Failure, Status};
use crate::output;
use crate::progress::Progress;
use crate::request;
use crate::text::grouped;
use acklab_experiment::{Case, Driver, Mismatch, Pace, in_order, verify};
use acklab_verdict::names::counted;
use std::fmt::Write;
use std::num::NonZeroUsize;

/// Runs them, and prints one line per variant and everything that differs.
pub fn execute(args: &VerifyArgs) -> Result<Status, Failure> {
    let plans = request::plans(&args.scenarios)?;
    let cases: Vec<&Case> = plans.iter().flat_map(|plan| plan.cases()).collect();
    let seeds = args.seeds;
    let second = if args.plain { Driver::Plain } else { Driver::Madsim };
    let asked = jobs(args.jobs);
    // One job holds the two runs of a seed, which happen at once wherever more than one run may.
    let pace = if asked.get() == 1 { Pace::Alone } else { Pace::Together };
    let pairs = NonZeroUsize::new(asked.get() / 2).unwrap_or(NonZeroUsize::MIN);
    let total = cases.len() as u64 * seeds.count();
    let mut progress = Progress::new();
    let mut tally = Tally::default();
    let mut text = String::new();
    in_order(
        pairs,
        total,
        |index| {
            let case = cases[(index / seeds.count()) as usize];
            verify(case, seeds.nth(index % seeds.count()), second, pace)
        },
        |index, result| {
            match result {
                Ok(None) => tally.same += 1,
                Ok(Some(mismatch)) => tally.mismatches.push(mismatch),
                Err(defect) => tally.defects.push(defect),
            }
            if (index + 1) % seeds.count() == 0 {
                let case = cases[(index / seeds.count()) as usize];
                tally.write_line(case, &mut text);
            }
            progress.update(index + 1, total)
        },
    );
    drop(progress);
    output::print(&text)?;
    for defect in &tally.defects {
        failure::show_defect(defect);
    }
    Ok(match (tally.defects.is_empty(), tally.differ) {
        (false, _) => Status::Defect,
        (true, differ) => {
            // Two histories of one seed are a defect of the simulator too.
            if differ { Status::Defect } else { Status::AsExpected }
        }
    })
}

/// What the seeds of one variant have come to.
#[derive(Default)]
struct Tally {
    same: u64,
    mismatches: Vec<Mismatch>,
    /// Of all variants so far.
    defects: Vec<acklab_experiment::Defect>,
    differ: bool,
}

impl Tally {
    fn write_line(&mut self, case: &Case, text: &mut String) {
        let scenario = &case.scenario;
        let same = std::mem::take(&mut self.same);
        let _ = writeln!(
            text,
            "{} · {}: {} the same twice, {} different",
            scenario.name,
            scenario.variant,
            counted(same, "seed"),
            grouped(self.mismatches.len() as u64)
        );
        for mismatch in self.mismatches.drain(..) {
            self.differ = true;
            let _ = writeln!(text, "{mismatch}");
        }
    }
}
