//! A sweep as JUnit XML, for CI: a suite per cell, a case per expectation, and the gates.

use super::report::{CellReport, Ended, GateCell, GateOutcome, GateReport, SweepReport};
use crate::junit::{case, defect_case, error};
use quick_junit::{Report, TestSuite};

/// The XML. No times, so that the same seeds give the same bytes.
#[must_use]
pub fn junit(report: &SweepReport) -> String {
    let mut xml = Report::new("acklab");
    for cell in &report.cells {
        let mut suite = TestSuite::new(format!("{} {}", report.scenario, cell.name));
        suite.add_property(("seeds".to_owned(), report.seeds.to_string()));
        suite.add_property(("seeds_done".to_owned(), report.seeds_done.to_string()));
        add_expectations(&mut suite, report, cell);
        xml.add_test_suite(suite);
    }
    if !report.gates.is_empty() {
        let mut suite = TestSuite::new(format!("{} --expect", report.scenario));
        for gate in &report.gates {
            let message = (!gate.held).then(|| gate_message(report, gate));
            suite.add_test_case(case(&report.scenario, "expect", &gate.text, message));
        }
        xml.add_test_suite(suite);
    }
    add_relations(&mut xml, report);
    if report.ended == Ended::Interrupted {
        let mut suite = TestSuite::new(format!("{} sweep", report.scenario));
        let (done, asked) = (report.seeds_done, report.seeds.count());
        let message = format!("interrupted after {done} of {asked} seeds");
        suite.add_test_case(error(&report.scenario, "sweep", "all seeds are run", &message));
        xml.add_test_suite(suite);
    }
    xml.to_string().expect("names and messages are text")
}

/// What the scenario says of its variants against each other.
fn add_relations(xml: &mut Report, report: &SweepReport) {
    if report.compare.is_empty() {
        return;
    }
    let mut suite = TestSuite::new(format!("{} compare", report.scenario));
    for it in &report.compare {
        let message = (!it.holds).then(|| format!("means {} and {}", it.first, it.second));
        suite.add_test_case(case(&report.scenario, "compare", &it.text, message));
    }
    xml.add_test_suite(suite);
}

fn add_expectations(suite: &mut TestSuite, report: &SweepReport, cell: &CellReport) {
    for expectation in &cell.expectations {
        let message = (expectation.failed > 0).then(|| {
            let seeds: Vec<String> =
                expectation.failing_seeds.iter().map(ToString::to_string).collect();
            let of = expectation.failed + expectation.held;
            format!("not in {} of {of} seeds: {}", expectation.failed, seeds.join(", "))
        });
        suite.add_test_case(case(&report.scenario, &cell.name, &expectation.text, message));
    }
    for share in &cell.shares {
        let message = (!share.holds).then(|| format!("in {} of {} seeds", share.held, share.of));
        suite.add_test_case(case(&report.scenario, &cell.name, &share.text, message));
    }
    for defect in &cell.defects {
        suite.add_test_case(defect_case(&report.scenario, &cell.name, defect));
    }
}

fn gate_message(report: &SweepReport, gate: &GateReport) -> String {
    let failed = gate.cells.iter().filter(|cell| cell.outcome != GateOutcome::Held);
    let message = |cell: &GateCell| {
        let name = &report.cells[cell.cell].name;
        let seeds: Vec<String> = cell
            .failures
            .iter()
            .map(|failure| format!("seed {}: {}", failure.seed, failure.actual))
            .collect();
        let told = match (cell.outcome, cell.seeds_needed) {
            (GateOutcome::Inconclusive, Some(seeds)) => {
                format!("; too few seeds to tell: run at least {seeds}")
            }
            (GateOutcome::Inconclusive, None) => "; not shown".to_owned(),
            (GateOutcome::Held | GateOutcome::Failed, _) => String::new(),
        };
        let failures =
            if seeds.is_empty() { String::new() } else { format!(": {}", seeds.join(", ")) };
        format!("{name}: in {} of {} seeds{told}{failures}", cell.held, cell.of)
    };
    failed.map(message).collect::<Vec<_>>().join("\n")
}
