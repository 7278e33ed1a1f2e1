//! What one history has come to: its verdict, held against what the scenario expects.

use crate::case::Case;
use crate::counts::Judged;
use acklab_runtime::{RunResult, Stuck};
use acklab_scenario::model::FaultSpec;
use acklab_scenario::{Bound, Counter, Expectation, Quantity};
use acklab_verdict::Verdict;
use acklab_vocab::time::SimTime;
use serde::Serialize;

/// One history, judged.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The fate and cause of every record.
    pub verdict: Verdict,
    /// How many events were handled.
    pub events: u64,
    /// When it ended.
    pub ended_at: SimTime,
    /// What did not come to rest, if something did not.
    pub stuck: Option<Stuck>,
    /// What was expected, the scenario's expectations first.
    pub expectations: Vec<Expected>,
    /// The faults that struck, with nothing left to draw.
    pub schedule: Vec<FaultSpec>,
}

/// One thing that was expected of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Expected {
    /// In words: `duplicated = 0`.
    pub text: String,
    /// Whether it held.
    pub held: bool,
    /// What it was instead, with its unit.
    pub actual: String,
}

impl Outcome {
    /// Everything that was expected holds.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.expectations.iter().all(|expected| expected.held)
    }

    /// What a run has come to, by the verdict that `conclude` takes from its observer.
    pub(crate) fn of<O, T>(
        case: &Case,
        result: RunResult<O>,
        conclude: impl FnOnce(O) -> (Verdict, T),
    ) -> (Outcome, T) {
        let RunResult { observer, events, ended_at, stuck, schedule, view: _ } = result;
        let (verdict, rest) = conclude(observer);
        let expectations = hold(&case.expect, &verdict, stuck.as_ref());
        (Outcome { verdict, events, ended_at, stuck, expectations, schedule }, rest)
    }
}

/// What a scenario expects, and what every run is expected to do unless the scenario says
/// otherwise: to break no promise, to be explained in full, and to come to rest.
fn hold(expect: &[Expectation], verdict: &Verdict, stuck: Option<&Stuck>) -> Vec<Expected> {
    let counts = Judged(verdict);
    let held = |expectation: &Expectation| Expected {
        text: expectation.to_string(),
        held: expectation.holds(&counts),
        actual: expectation.actual(&counts),
    };
    let implied = implied(expect);
    let mut all: Vec<Expected> = expect.iter().chain(&implied).map(held).collect();
    all.push(Expected {
        text: COMES_TO_REST.to_owned(),
        held: stuck.is_none(),
        actual: stuck.map_or_else(String::new, |stuck| {
            format!("not by {}: {}", stuck.at, stuck.because.join("; "))
        }),
    });
    all
}

/// The texts of what every run of a case is held against, in the order of
/// [`Outcome::expectations`].
pub(crate) fn expected_texts(expect: &[Expectation]) -> Vec<String> {
    let implied = implied(expect);
    let texts = expect.iter().chain(&implied).map(ToString::to_string);
    texts.chain(std::iter::once(COMES_TO_REST.to_owned())).collect()
}

const COMES_TO_REST: &str = "comes to rest";

fn implied(expect: &[Expectation]) -> Vec<Expectation> {
    [Counter::Violations, Counter::Unexplained]
        .into_iter()
        .map(Quantity::Counter)
        .filter(|quantity| expect.iter().all(|expectation| expectation.quantity != *quantity))
        .map(|quantity| Expectation { quantity, bound: Bound::Exactly(0) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_may_expect_violations_otherwise_there_are_to_be_none() {
        let texts = |expect: &[Expectation]| -> Vec<String> {
            implied(expect).iter().map(ToString::to_string).collect()
        };
        assert_eq!(texts(&[]), ["violations = 0", "unexplained = 0"]);
        let quantity = Quantity::Counter(Counter::Violations);
        let discovery = Expectation { quantity, bound: Bound::AtLeast(1) };
        assert_eq!(texts(&[discovery]), ["unexplained = 0"]);
    }
}
