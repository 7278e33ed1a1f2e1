//! A test report as JUnit XML, for CI: a suite per scenario, a case per variant and expectation.

use crate::defect::Defect;
use crate::test::{ExpectationReport, ScenarioReport, TestReport, VariantReport};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

/// The XML. No times, so that the same seeds give the same bytes.
#[must_use]
pub fn junit(report: &TestReport) -> String {
    let mut xml = Report::new("acklab");
    for scenario in &report.scenarios {
        xml.add_test_suite(suite(scenario, report));
    }
    xml.to_string().expect("names and messages are text")
}

fn suite(scenario: &ScenarioReport, report: &TestReport) -> TestSuite {
    let name = &scenario.scenario;
    let mut suite = TestSuite::new(name.as_str());
    suite.add_property(("seeds".to_owned(), report.seeds.to_string()));
    for variant in &scenario.variants {
        add_variant(&mut suite, name, variant);
    }
    for comparison in &scenario.comparisons {
        let message = (!comparison.holds)
            .then(|| format!("means {} and {}", comparison.first, comparison.second));
        suite.add_test_case(case(name, "compare", &comparison.text, message));
    }
    suite
}

fn add_variant(suite: &mut TestSuite, scenario: &str, variant: &VariantReport) {
    for expectation in &variant.expectations {
        let message = (expectation.failed > 0).then(|| failures(expectation));
        suite.add_test_case(case(scenario, &variant.variant, &expectation.text, message));
    }
    for share in &variant.shares {
        let message = (!share.holds).then(|| format!("in {} of {} seeds", share.held, share.of));
        suite.add_test_case(case(scenario, &variant.variant, &share.text, message));
    }
    for defect in &variant.defects {
        suite.add_test_case(defect_case(scenario, &variant.variant, defect));
    }
}

/// A seed whose run panicked.
pub(crate) fn defect_case(scenario: &str, variant: &str, defect: &Defect) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_message(one_line(&defect.message)).set_description(defect.to_string());
    named(scenario, variant, &format!("seed {} runs", defect.seed), status)
}

/// Something that keeps the rest from being a result.
pub(crate) fn error(scenario: &str, variant: &str, name: &str, message: &str) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_message(one_line(message));
    named(scenario, variant, name, status)
}

/// Readers of XML turn line breaks in attributes into spaces.
fn one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

fn failures(expectation: &ExpectationReport) -> String {
    let seeds: Vec<String> = expectation
        .failures
        .iter()
        .map(|failure| format!("seed {}: {}", failure.seed, failure.actual))
        .collect();
    let all = expectation.failed + expectation.held;
    format!("in {} of {all} seeds not: {}", expectation.failed, seeds.join(", "))
}

/// Something that was expected, and what was wrong if it did not hold.
pub(crate) fn case(scenario: &str, variant: &str, name: &str, failure: Option<String>) -> TestCase {
    let status = match failure {
        None => TestCaseStatus::success(),
        Some(message) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(one_line(&message));
            if message.contains('\n') {
                status.set_description(message);
            }
            status
        }
    };
    named(scenario, variant, name, status)
}

fn named(scenario: &str, variant: &str, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(format!("{scenario}.{variant}"));
    case
}
