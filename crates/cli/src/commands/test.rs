//! `acklab test`: scenarios held against what they expect.

use super::jobs;
use crate::args::TestArgs;
use crate::failure::{self, Failure, Status};
use crate::output;
use crate::progress::Progress;
use crate::request;
use crate::text::{Align, BAD, BOLD, GOOD, Rows, grouped, percent, quoted, styled, width};
use acklab_experiment::junit;
use acklab_experiment::test::{
    ComparisonReport, ExpectationReport, ScenarioReport, ShareReport, TestReport, VariantReport,
    run,
};
use acklab_verdict::names::counted;
use serde_json::json;
use std::fmt::Write;
use std::path::Path;

/// Runs all, and prints what held and what did not, with commands that show the latter.
pub fn execute(args: &TestArgs) -> Result<Status, Failure> {
    let plans = request::plans(&args.scenarios)?;
    if let Some(path) = &args.junit {
        let scenarios = args.scenarios.scenarios.iter().map(Path::new);
        let files: Vec<(&str, &Path)> =
            scenarios.filter(|path| path.is_file()).map(|path| ("a scenario", path)).collect();
        output::check_writable(&files, &[("--junit", path)])?;
    }
    let mut progress = Progress::new();
    let report = run(&plans, args.seeds, jobs(args.jobs), |done, of| progress.update(done, of));
    drop(progress);
    let report = report.expect("nothing stops it");
    if let Some(path) = &args.junit {
        output::write_file(path, &junit(&report))?;
    }
    if args.json {
        let holds = report.holds();
        output::print_json(&json!({ "schema": 1, "holds": holds, "report": report }))?;
    } else {
        output::print(&render(&report, args))?;
    }
    for variant in report.scenarios.iter().flat_map(|scenario| &scenario.variants) {
        variant.defects.iter().for_each(failure::show_defect);
    }
    Ok(match report.defects() {
        0 => Status::of(report.holds()),
        _ => Status::Defect,
    })
}

fn render(report: &TestReport, args: &TestArgs) -> String {
    let mut text = String::new();
    let mut failed = 0;
    let mut all = 0;
    for (scenario, name) in report.scenarios.iter().zip(&args.scenarios.scenarios) {
        let _ = writeln!(text, "{} · seeds {}", styled(BOLD, &scenario.scenario), report.seeds);
        for variant in &scenario.variants {
            let checks = checks(variant, name, args);
            all += checks.len();
            failed += checks.iter().filter(|check| !check.held).count();
            text.push_str(&render_variant(variant, &checks));
        }
        let compared = comparisons(scenario);
        all += compared.len();
        failed += compared.iter().filter(|check| !check.held).count();
        if !compared.is_empty() {
            let _ = writeln!(text, "  {}", styled(BOLD, "compared over the same seeds"));
        }
        for check in &compared {
            text.push_str(&check.render());
        }
        text.push('\n');
    }
    let expectations = counted(all as u64, "expectation");
    let verdict = if failed == 0 && report.defects() == 0 {
        styled(GOOD, &format!("all {expectations} held"))
    } else {
        styled(BAD, &format!("{failed} of {expectations} did not hold"))
    };
    let _ = writeln!(text, "{verdict}");
    text
}

/// One line of the report, and more below it where something did not hold.
struct Check {
    held: bool,
    text: String,
    below: Vec<String>,
}

impl Check {
    fn render(&self) -> String {
        let mark = if self.held { styled(GOOD, "held") } else { styled(BAD, "FAIL") };
        let mut text = format!("    {mark}  {}\n", self.text);
        for line in &self.below {
            let _ = writeln!(text, "          {line}");
        }
        text
    }
}

fn render_variant(variant: &VariantReport, checks: &[Check]) -> String {
    let mut rows = Rows::new(&[Align::Left, Align::Right, Align::Right, Align::Right]).indented(4);
    for of in variant.anomalies.iter().filter(|of| of.total > 0) {
        let tenths = (u128::from(of.total) * 10 / u128::from(variant.seeds.max(1)))
            .min(u128::from(u64::MAX));
        rows.add([
            of.anomaly.name().to_owned(),
            format!("in {} of seeds", percent(of.seeds, variant.seeds)),
            format!("mean {}.{}", grouped((tenths / 10) as u64), tenths % 10),
            format!("most {}", grouped(of.most)),
        ]);
    }
    let mut text = format!("  {}\n", styled(BOLD, &variant.variant));
    text.push_str(&rows.render(width()));
    for check in checks {
        text.push_str(&check.render());
    }
    text
}

fn checks(variant: &VariantReport, scenario: &str, args: &TestArgs) -> Vec<Check> {
    let expectations =
        variant.expectations.iter().map(|it| expectation(it, &variant.variant, scenario, args));
    expectations.chain(variant.shares.iter().map(share)).collect()
}

fn expectation(
    report: &ExpectationReport,
    variant: &str,
    scenario: &str,
    args: &TestArgs,
) -> Check {
    let seeds = report.failed + report.held;
    if report.failed == 0 {
        return Check { held: true, text: report.text.clone(), below: Vec::new() };
    }
    let shown = report.failures.iter().take(FAILURES_SHOWN);
    let mut below: Vec<String> = shown
        .map(|failure| {
            let command = run_command(scenario, variant, failure.seed, args);
            format!("seed {}: {}    {command}", failure.seed, failure.actual)
        })
        .collect();
    let more = report.failed - below.len() as u64;
    if more > 0 {
        below.push(format!("and in {} more", counted(more, "seed")));
    }
    let text = format!("{}: not in {} of {}", report.text, report.failed, counted(seeds, "seed"));
    Check { held: false, text, below }
}

fn share(report: &ShareReport) -> Check {
    let text = format!(
        "{}: in {} of {} ({})",
        report.text,
        report.held,
        report.of,
        percent(report.held, report.of)
    );
    Check { held: report.holds, text, below: Vec::new() }
}

fn comparisons(scenario: &ScenarioReport) -> Vec<Check> {
    let check = |report: &ComparisonReport| Check {
        held: report.holds,
        text: format!("{}: {} and {}", report.text, report.first, report.second),
        below: Vec::new(),
    };
    scenario.comparisons.iter().map(check).collect()
}

fn run_command(scenario: &str, variant: &str, seed: u64, args: &TestArgs) -> String {
    let mut command = format!("acklab run {} --seed {seed}", quoted(scenario));
    if variant != acklab_scenario::BASE {
        let _ = write!(command, " --variant {}", quoted(variant));
    }
    for set in &args.scenarios.sets {
        let _ = write!(command, " --set {}", quoted(&set.to_string()));
    }
    command
}

/// So many failing seeds are shown with a command each.
const FAILURES_SHOWN: usize = 3;
