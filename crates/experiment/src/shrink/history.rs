//! One run of a scenario that is being shrunk: what it came to, also where the simulator panicked.

use super::target::Target;
use crate::case::Case;
use crate::defect::{self, Defect};
use crate::outcome::Outcome;
use acklab_runtime::RunOptions;
use acklab_scenario::model::FaultSpec;
use acklab_verdict::{Counter, Judge, Verdict};
use acklab_vocab::ids::TopicPartition;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{Observer, Stamped, TraceEvent};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// One history.
pub(super) struct History {
    /// `None` if it was not over in time.
    pub(super) ran: Result<Option<Outcome>, Defect>,
    /// When it ended; where the simulator panicked, the last instant of which a fact was stated.
    pub(super) ended_at: SimTime,
    /// When faults struck.
    pub(super) struck: Vec<SimTime>,
}

impl History {
    /// Runs a case until it is over, or until `stop_at`.
    pub(super) fn of(case: &Case, seed: u64, stop_at: Option<SimTime>) -> History {
        History::observed(case, seed, stop_at, ())
    }

    fn observed<O: Observer + Send + 'static>(
        case: &Case,
        seed: u64,
        stop_at: Option<SimTime>,
        observer: O,
    ) -> History {
        let strikes = Strikes::default();
        let ran = run(case, seed, stop_at, (strikes.clone(), observer));
        let (now, struck) = strikes.take();
        let ended_at = match &ran {
            Ok(Some(outcome)) => outcome.ended_at,
            Ok(None) | Err(_) => now,
        };
        History { ran, ended_at, struck }
    }

    /// What it has come to, if it was over in time.
    pub(super) fn outcome(&self) -> Option<Result<&Outcome, &Defect>> {
        match &self.ran {
            Ok(outcome) => outcome.as_ref().map(Ok),
            Err(defect) => Some(Err(defect)),
        }
    }

    /// What is kept of it where it shows the target.
    pub(super) fn shown(&self, case: &Case, seed: u64, target: &Target) -> Shown {
        let (schedule, partition) = match &self.ran {
            Ok(Some(outcome)) => (outcome.schedule.clone(), target.partition(&outcome.verdict)),
            Ok(None) | Err(_) => (struck_before(case, seed, self.ended_at), None),
        };
        Shown { ended_at: self.ended_at, schedule, partition }
    }
}

/// What is kept of a run that shows the target.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    pub(super) ended_at: SimTime,
    /// The faults that struck.
    pub(super) schedule: Vec<FaultSpec>,
    /// Where the anomaly is, if it is one of a record.
    pub(super) partition: Option<TopicPartition>,
}

impl Shown {
    /// When a smaller scenario is given up: it may take longer to come to rest, up to twice the
    /// time and some more. Nobody knows how long a simulator takes to panic, so there it may take
    /// all the time it has to come to rest.
    pub(super) fn stop_at(&self, target: &Target) -> Option<SimTime> {
        match target {
            Target::Defect { .. } => None,
            _ => Some(SimTime(self.ended_at.0.max(0).saturating_mul(2)) + MORE_TIME),
        }
    }
}

const MORE_TIME: SimDuration = SimDuration::from_secs(150);

/// What the first run has not shown: a smaller scenario must not either, or it would show something
/// else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flawless {
    comes_to_rest: bool,
    pub(super) keeps_promises: bool,
    is_explained: bool,
}

impl Flawless {
    pub(super) fn of(ran: &Result<&Outcome, &Defect>) -> Flawless {
        let Ok(outcome) = ran else {
            return Flawless { comes_to_rest: true, keeps_promises: true, is_explained: true };
        };
        let verdict: &Verdict = &outcome.verdict;
        Flawless {
            comes_to_rest: outcome.stuck.is_none(),
            keeps_promises: verdict.violations.is_empty(),
            is_explained: verdict.count(Counter::Unexplained) == 0,
        }
    }

    /// What a run has got wrong that it should not.
    pub(super) fn broken_by(self, of: Flawless) -> bool {
        (self.comes_to_rest && !of.comes_to_rest)
            || (self.keeps_promises && !of.keeps_promises)
            || (self.is_explained && !of.is_explained)
    }
}

/// Runs one history and judges it; `None` if it is not over by then.
fn run<O: Observer + Send + 'static>(
    case: &Case,
    seed: u64,
    stop_at: Option<SimTime>,
    observer: O,
) -> Result<Option<Outcome>, Defect> {
    let options = RunOptions { stop_at, ..RunOptions::default() };
    let result = defect::catch(&case.scenario, seed, || {
        acklab_runtime::run(&case.scenario, seed, options, (Judge::new(), observer))
    })?;
    if result.view.is_some() {
        return Ok(None);
    }
    let conclude = |(judge, _): (Judge, O)| (judge.finish(), ());
    defect::catch(&case.scenario, seed, || Some(Outcome::of(case, result, conclude).0))
}

/// The faults that struck before the simulator panicked.
fn struck_before(case: &Case, seed: u64, panicked: SimTime) -> Vec<FaultSpec> {
    for stop_at in [panicked, panicked - SimDuration::from_nanos(1)] {
        let options = RunOptions { stop_at: Some(stop_at), ..RunOptions::default() };
        let run = || acklab_runtime::run(&case.scenario, seed, options, ());
        if let Ok(result) = defect::catch(&case.scenario, seed, run) {
            return result.schedule;
        }
    }
    Vec::new()
}

/// Notes when faults strike, also of a run that panics.
#[derive(Clone, Debug, Default)]
struct Strikes {
    /// The last instant of which a fact was stated.
    now: Arc<AtomicI64>,
    at: Arc<Mutex<Vec<SimTime>>>,
}

impl Strikes {
    fn take(&self) -> (SimTime, Vec<SimTime>) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        (SimTime(self.now.load(Ordering::Relaxed)), std::mem::take(&mut *at))
    }
}

impl Observer for Strikes {
    fn observe(&mut self, stamped: &Stamped) {
        self.now.store(stamped.at.0, Ordering::Relaxed);
        if let TraceEvent::FaultBegan { .. } = stamped.event {
            self.at.lock().unwrap_or_else(PoisonError::into_inner).push(stamped.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use acklab_scenario::ScenarioFile;

    struct PanicsAt(SimTime);

    impl Observer for PanicsAt {
        fn observe(&mut self, stamped: &Stamped) {
            assert!(stamped.at < self.0, "on purpose");
        }
    }

    #[test]
    fn a_panic_at_any_time_can_be_shown_again() {
        let text = r#"Scenario(
            kafka: "3.9", duration: "300s", topics: {"orders": (partitions: 1)},
            cluster: (brokers: 1, mode: KRaft(controllers: 1)),
            producers: [(name: "shop", topic: "orders", rate: 1)],
            faults: [(at: Uniform("1s", "2s"), fault: Pause(Broker(1)), for: "1s")],
        )"#;
        let file = ScenarioFile::parse("late", None, text).expect("it parses");
        let case = Case::from(file.resolve("base", &[]).expect("it is sound"));
        let late = SimTime::from_millis(200_000);
        let first = History::observed(&case, 1, None, PanicsAt(late));
        let defect = first.ran.as_ref().expect_err("it panics");
        let target = Target::Defect { location: defect.location.clone() };
        assert!(first.ended_at >= late && first.struck.len() == 1, "{}", first.ended_at);
        let shown = first.shown(&case, 1, &target);
        assert_eq!((shown.schedule.len(), shown.ended_at), (1, first.ended_at));
        let again = History::observed(&case, 1, shown.stop_at(&target), PanicsAt(late));
        let ran = again.outcome().expect("it is over");
        assert!(target.shows(&ran));
        // Other runs are given up some time after the first one was over.
        let stuck = Target::Stuck { because: Vec::new() };
        assert_eq!(shown.stop_at(&stuck), Some(SimTime(shown.ended_at.0 * 2) + MORE_TIME));
    }
}
