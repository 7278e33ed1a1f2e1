//! One variant of a scenario, ready to run with any seed.

use crate::defect::{self, Defect};
use crate::outcome::Outcome;
use crate::verify::Driver;
use acklab_runtime::view::ClusterView;
use acklab_runtime::{Fork, RunOptions, RunResult};
use acklab_scenario::model::Scenario;
use acklab_scenario::{Counter, Difference, Expectation, Quantity, Resolved, ShareExpectation};
use acklab_verdict::{Judge, RecordFates, Verdict};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::Observer;
use std::sync::Arc;

/// One variant of a scenario, its settings applied.
#[derive(Clone, Debug)]
pub struct Case {
    /// What runs.
    pub scenario: Arc<Scenario>,
    /// What must hold in every seed.
    pub expect: Vec<Expectation>,
    /// What must hold in a share of the seeds.
    pub expect_share: Vec<ShareExpectation>,
    /// Kafka's properties that are set to something else than the default of the version: what is
    /// set first, then the default.
    pub settings: Vec<Difference>,
}

impl From<Resolved> for Case {
    fn from(resolved: Resolved) -> Self {
        let Resolved { scenario, expect, expect_share, settings, warnings: _ } = resolved;
        Case { scenario: Arc::new(scenario), expect, expect_share, settings }
    }
}

impl Case {
    /// Holds it against promises only, and what the scenario says of them: whatever else it expects,
    /// it expects of its own settings. Whether it expects anything else.
    pub fn promises_only(&mut self) -> bool {
        let before = self.expect.len() + self.expect_share.len();
        self.expect.retain(|expectation| {
            let promises = [Counter::Violations, Counter::Unexplained].map(Quantity::Counter);
            promises.contains(&expectation.quantity)
        });
        self.expect_share.clear();
        self.expect.len() < before
    }

    /// Runs one history and judges it.
    ///
    /// # Errors
    /// [`Defect`] if the simulator panics.
    pub fn run(&self, seed: u64) -> Result<Outcome, Defect> {
        Ok(self.run_observed(seed, ())?.0)
    }

    /// Runs one history and judges it, while something else observes it too.
    ///
    /// # Errors
    /// [`Defect`] if the simulator panics.
    pub fn run_observed<O: Observer + Send + 'static>(
        &self,
        seed: u64,
        observer: O,
    ) -> Result<(Outcome, O), Defect> {
        self.run_by(seed, Driver::Madsim, observer)
    }

    /// The same by either driver.
    ///
    /// # Errors
    /// [`Defect`] if the simulator panics.
    pub fn run_by<O: Observer + Send + 'static>(
        &self,
        seed: u64,
        driver: Driver,
        observer: O,
    ) -> Result<(Outcome, O), Defect> {
        let conclude = |(judge, observer): (Judge, O)| (judge.finish(), observer);
        self.judge(seed, driver, RunOptions::default(), (Judge::new(), observer), conclude)
    }

    /// Runs one history and judges it, with the fate of every single record; or another future of
    /// it, if it forks.
    ///
    /// # Errors
    /// [`Defect`] if the simulator panics.
    pub fn run_with_fates<O: Observer + Send + 'static>(
        &self,
        seed: u64,
        fork: Option<Fork>,
        observer: O,
    ) -> Result<(Outcome, RecordFates, O), Defect> {
        let options = RunOptions { fork, ..RunOptions::default() };
        let conclude = |(judge, observer): (Judge, O)| {
            let (verdict, fates) = judge.finish_with_fates();
            (verdict, (fates, observer))
        };
        let observer = (Judge::new(), observer);
        let (outcome, (fates, observer)) =
            self.judge(seed, Driver::Madsim, options, observer, conclude)?;
        Ok((outcome, fates, observer))
    }

    /// Runs one history under an observer that judges it itself: `conclude` takes the verdict from
    /// it, and whatever else it has.
    ///
    /// # Errors
    /// [`Defect`] if the simulator panics.
    pub fn run_judged_by<O: Observer + Send + 'static, T>(
        &self,
        seed: u64,
        observer: O,
        conclude: impl FnOnce(O) -> (Verdict, T),
    ) -> Result<(Outcome, T), Defect> {
        self.judge(seed, Driver::Madsim, RunOptions::default(), observer, conclude)
    }

    /// Runs one history again that has been judged before, under an observer alone.
    ///
    /// # Errors
    /// [`Defect`] if the simulator panics.
    pub fn watch<O: Observer + Send + 'static>(&self, seed: u64, observer: O) -> Result<O, Defect> {
        Ok(self.observe(seed, Driver::Madsim, observer)?.observer)
    }

    fn judge<O: Observer + Send + 'static, T>(
        &self,
        seed: u64,
        driver: Driver,
        options: RunOptions,
        observer: O,
        conclude: impl FnOnce(O) -> (Verdict, T),
    ) -> Result<(Outcome, T), Defect> {
        let result = self.observe_with(seed, driver, options, observer)?;
        defect::catch(&self.scenario, seed, || Outcome::of(self, result, conclude))
    }

    /// The cluster at an instant of a history; `None` if the history is over before.
    ///
    /// # Errors
    /// [`Defect`] if the simulator panics.
    pub fn view_at(
        &self,
        seed: u64,
        at: SimTime,
    ) -> Result<(Option<ClusterView>, SimTime), Defect> {
        let options = RunOptions { stop_at: Some(at), ..RunOptions::default() };
        let result = defect::catch(&self.scenario, seed, || {
            acklab_runtime::run(&self.scenario, seed, options, ())
        })?;
        Ok((result.view, result.ended_at))
    }

    /// Runs one history under an observer of any kind.
    pub(crate) fn observe<O: Observer + Send + 'static>(
        &self,
        seed: u64,
        driver: Driver,
        observer: O,
    ) -> Result<RunResult<O>, Defect> {
        self.observe_with(seed, driver, RunOptions::default(), observer)
    }

    fn observe_with<O: Observer + Send + 'static>(
        &self,
        seed: u64,
        driver: Driver,
        options: RunOptions,
        observer: O,
    ) -> Result<RunResult<O>, Defect> {
        defect::catch(&self.scenario, seed, || match driver {
            Driver::Madsim => acklab_runtime::run(&self.scenario, seed, options, observer),
            Driver::Plain => acklab_runtime::plain::run(&self.scenario, seed, options, observer),
        })
    }
}
