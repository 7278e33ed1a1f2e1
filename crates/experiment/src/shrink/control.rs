//! The control of an expectation that does not hold: the same scenario without what makes it fail.
//!
//! That there are fewer than 450 acks is true of any workload of 449 records, and that a latency is
//! above its limit of any group with too few members. So a smaller scenario shows that an
//! expectation fails only if it would hold without its faults; or, where faults are not to blame,
//! without its faults and with the default of every setting.

use super::history::{History, Shown};
use super::target::{NothingToShrink, Target};
use crate::case::Case;
use crate::counts::Judged;
use acklab_scenario::{Bound, Draft, Expectation};
use std::collections::BTreeMap;

/// What is taken away from a scenario for its control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Faults,
    FaultsAndSettings,
}

/// How a scenario is held against its control.
#[derive(Clone, Debug)]
pub(super) struct Control {
    without: Without,
    /// What must not be true of the control.
    instead: Expectation,
}

/// What is known of controls, by their text: many candidates have the same.
pub(super) type Known = BTreeMap<String, bool>;

impl Control {
    /// The control of a target, if it needs one. Adds the runs that it took to find that out.
    ///
    /// # Errors
    /// [`NothingToShrink`] if there is too little of something with or without faults and settings.
    pub(super) fn choose(
        target: &Target,
        draft: &Draft,
        seed: u64,
        shown: &Shown,
        runs: &mut u64,
    ) -> Result<Option<Control>, NothingToShrink> {
        let Target::Expectation { text, instead, .. } = target else { return Ok(None) };
        for without in [Without::Faults, Without::FaultsAndSettings] {
            let control = Control { without, instead: instead.clone() };
            *runs += 1;
            if control.holds(&control.draft(draft), seed, target, shown) {
                return Ok(Some(control));
            }
        }
        if matches!(instead.bound, Bound::AtLeast(_)) {
            return Ok(None);
        }
        let message = format!(
            "{text} does not hold without faults and with the default of every setting either, so \
             nothing in this history keeps it from holding"
        );
        Err(NothingToShrink { message })
    }

    /// Whether the expectation holds of the control of a draft. Counts a run if it is not known.
    pub(super) fn is_met(
        &self,
        draft: &Draft,
        seed: u64,
        target: &Target,
        shown: &Shown,
        (known, runs): (&mut Known, &mut u64),
    ) -> bool {
        let control = self.draft(draft);
        *known.entry(control.write()).or_insert_with(|| {
            *runs += 1;
            self.holds(&control, seed, target, shown)
        })
    }

    fn holds(&self, control: &Draft, seed: u64, target: &Target, shown: &Shown) -> bool {
        let Ok(resolved) = control.resolve() else { return false };
        let history = History::of(&Case::from(resolved), seed, shown.stop_at(target));
        matches!(&history.ran, Ok(Some(outcome)) if !self.instead.holds(&Judged(&outcome.verdict)))
    }

    fn draft(&self, draft: &Draft) -> Draft {
        let less = |draft: &Draft, path: &str| draft.without(path).unwrap_or_else(|| draft.clone());
        let mut control = less(draft, "faults");
        if self.without == Without::Faults {
            return control;
        }
        for path in ["network", "disk", "rules", "cluster/service", "cluster/start_up"] {
            control = less(&control, path);
        }
        control = less(&control, "cluster/properties");
        for list in ["topics", "producers", "readers", "groups"] {
            for part in control.parts(list) {
                for field in ["properties", "processing"] {
                    control = less(&control, &format!("{list}/{part}/{field}"));
                }
            }
        }
        control
    }
}
