//! One variant of a scenario, ready to run with any seed.

use crate::defect::{self, Defect};
use crate::outcome::Outcome;
use crate::verify::Driver;
use acklab_runtime::view::ClusterView;
use acklab_runtime::{RunOptions, RunResult};
use acklab_scenario::model::Scenario;
use acklab_scenario::{Expectation, Resolved, ShareExpectation};
use acklab_verdict::Judge;
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
}

impl From<Resolved> for Case {
    fn from(resolved: Resolved) -> Self {
        let Resolved { scenario, expect, expect_share, warnings: _ } = resolved;
        Case { scenario: Arc::new(scenario), expect, expect_share }
    }
}

impl Case {
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
        let result = self.observe(seed, driver, (Judge::new(), observer))?;
        defect::catch(&self.scenario, seed, || Outcome::of(self, result))
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
        let options = RunOptions { stop_at: Some(at) };
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
        let options = RunOptions::default();
        defect::catch(&self.scenario, seed, || match driver {
            Driver::Madsim => acklab_runtime::run(&self.scenario, seed, options, observer),
            Driver::Plain => acklab_runtime::plain::run(&self.scenario, seed, options, observer),
        })
    }
}
