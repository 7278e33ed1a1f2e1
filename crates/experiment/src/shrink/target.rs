//! What has to remain when a scenario is shrunk: one thing that went wrong, and why.

use crate::counts::{Judged, counter_of, kind_of};
use crate::defect::Defect;
use crate::outcome::Outcome;
use acklab_scenario::{Bound, Counter, Expectation, Quantity};
use acklab_verdict::{Anomaly, AnomalyKind, Cause, CauseCount, Verdict, names};
use acklab_vocab::ids::{GroupIndex, TopicPartition};
use serde::Serialize;

/// What the user wants to see in the small scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What went wrong.
    pub what: What,
    /// Why, if one cause is meant.
    pub cause: Option<Cause>,
    /// In which consumer application, if one is meant.
    pub group: Option<String>,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum What {
    /// The worst thing in the history: a defect of the simulator, a broken promise, a run that does
    /// not come to rest, an anomaly without a cause, an expectation of the scenario that did not
    /// hold, and then anomalies, lost records first.
    #[default]
    Worst,
    /// An anomaly of one kind.
    Anomaly(AnomalyKind),
    /// A broken promise.
    Violation,
    /// A promise broken as documented for the version.
    KnownViolation,
    /// A run that does not come to rest.
    Stuck,
    /// A defect of the simulator.
    Defect,
    /// An expectation of the scenario.
    Expectation,
}

/// What a scenario must still show, however small it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The simulator panics at this place.
    Defect {
        /// File, line and column.
        location: String,
    },
    /// This invariant is violated.
    Violation {
        /// Its name.
        invariant: &'static str,
        /// The version is documented to do so.
        known: bool,
    },
    /// The run does not come to rest, for one of these reasons, numbers aside.
    Stuck {
        /// The reasons, without digits.
        because: Vec<String>,
    },
    /// At least one record has this anomaly, for this cause.
    Anomaly(Anomalous),
    /// An expectation does not hold.
    Expectation {
        /// The expectation, in words.
        text: String,
        /// What holds instead.
        instead: Expectation,
        /// Why, where it is about too many of an anomaly: the most frequent cause.
        because: Option<Anomalous>,
    },
}

/// What is wrong with a record, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomalous {
    /// What.
    pub kind: AnomalyKind,
    /// Why.
    pub cause: Cause,
    /// The consumer application that has it, if one has.
    pub group: Option<String>,
}

impl Anomalous {
    fn of(of: &CauseCount, verdict: &Verdict) -> Anomalous {
        Anomalous { kind: of.kind, cause: of.cause, group: group_of(of.group, verdict) }
    }

    /// Whether a record of the history has it.
    fn is_in(&self, verdict: &Verdict) -> bool {
        verdict.causes.iter().any(|of| *self == Anomalous::of(of, verdict))
    }

    /// The partition of the first record that has it.
    fn partition(&self, verdict: &Verdict) -> Option<TopicPartition> {
        let same = |of: &&Anomaly| {
            of.kind == self.kind
                && of.cause == self.cause
                && group_of(of.group, verdict) == self.group
        };
        verdict.anomalies.iter().find(same)?.partition
    }

    fn at_least_one(&self, quantity: Quantity) -> Expectation {
        let quantity = match &self.group {
            Some(group) => Quantity::OfGroup(group.clone(), Box::new(quantity)),
            None => quantity,
        };
        Expectation { quantity, bound: Bound::AtLeast(1) }
    }

    fn of_this_cause(&self) -> Expectation {
        self.at_least_one(Quantity::Cause(self.cause.name().to_owned()))
    }
}

/// There is nothing of the kind in this history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct NothingToShrink {
    /// What was looked for, and what there is.
    pub message: String,
}

/// The kinds of anomaly, the worst first.
const WORST_FIRST: [AnomalyKind; 7] = [
    AnomalyKind::Lost,
    AnomalyKind::Skipped,
    AnomalyKind::Phantom,
    AnomalyKind::Ghost,
    AnomalyKind::Duplicated,
    AnomalyKind::Reprocessed,
    AnomalyKind::Reordered,
];

impl Target {
    /// Finds what is wanted in a history, the worst first. `expect` is what the scenario expects of
    /// it.
    ///
    /// # Errors
    /// [`NothingToShrink`] if it is not there.
    pub(super) fn all(
        wanted: &Wanted,
        ran: &Result<&Outcome, &Defect>,
        expect: &[Expectation],
    ) -> Result<Vec<Target>, NothingToShrink> {
        let outcome = match (ran, wanted.what) {
            (Err(defect), What::Worst | What::Defect) => {
                return Ok(vec![Target::Defect { location: defect.location.clone() }]);
            }
            (Err(defect), _) => {
                let message = format!("this history ends in a defect of the simulator: {defect}");
                return Err(NothingToShrink { message });
            }
            (Ok(outcome), _) => *outcome,
        };
        let verdict = &outcome.verdict;
        let anomaly = |kinds: &[AnomalyKind]| anomaly(wanted, verdict, kinds).map(Target::Anomaly);
        let promises = || violation(verdict, false);
        // What a scenario does not expect, and `acklab run` holds against it all the same.
        let implied = || promises().into_iter().chain(unexplained(verdict)).chain(stuck(outcome));
        let found: Vec<Target> = match wanted.what {
            What::Worst if wanted.cause.is_some() || wanted.group.is_some() => {
                anomaly(&WORST_FIRST).into_iter().collect()
            }
            What::Worst => promises()
                .into_iter()
                .chain(stuck(outcome))
                .chain(unexplained(verdict))
                .chain(unmet(outcome, expect))
                .chain(anomaly(&WORST_FIRST))
                .chain(violation(verdict, true))
                .collect(),
            What::Anomaly(kind) => anomaly(&[kind]).into_iter().collect(),
            What::Violation => promises().into_iter().collect(),
            What::KnownViolation => violation(verdict, true).into_iter().collect(),
            What::Stuck => stuck(outcome).into_iter().collect(),
            What::Defect => Vec::new(),
            What::Expectation => unmet(outcome, expect).into_iter().chain(implied()).collect(),
        };
        match found.is_empty() {
            true => Err(NothingToShrink { message: nothing(wanted, verdict) }),
            false => Ok(found),
        }
    }

    /// Whether a history shows it.
    pub(super) fn shows(&self, ran: &Result<&Outcome, &Defect>) -> bool {
        let outcome = match (self, ran) {
            (Target::Defect { location }, Err(defect)) => return defect.location == *location,
            (Target::Defect { .. }, Ok(_)) | (_, Err(_)) => return false,
            (_, Ok(outcome)) => *outcome,
        };
        let verdict = &outcome.verdict;
        match self {
            Target::Defect { .. } => false,
            Target::Violation { invariant, known } => {
                let violations =
                    if *known { &verdict.known_violations } else { &verdict.violations };
                violations.iter().any(|violation| violation.invariant == *invariant)
            }
            Target::Stuck { because } => reasons(outcome).iter().any(|it| because.contains(it)),
            Target::Anomaly(anomalous) => anomalous.is_in(verdict),
            Target::Expectation { instead, because, .. } => {
                verdict.records.sent > 0
                    && instead.holds(&Judged(verdict))
                    && because.as_ref().is_none_or(|anomalous| anomalous.is_in(verdict))
            }
        }
    }

    /// Where it shows, if it does on a partition.
    pub(super) fn partition(&self, verdict: &Verdict) -> Option<TopicPartition> {
        match self {
            Target::Anomaly(anomalous) => anomalous.partition(verdict),
            Target::Expectation { because, .. } => because.as_ref()?.partition(verdict),
            Target::Defect { .. } | Target::Violation { .. } | Target::Stuck { .. } => None,
        }
    }

    /// What the small scenario expects, for it to show this. There is no word for a run that panics
    /// or does not come to rest.
    #[must_use]
    pub fn expectations(&self) -> Vec<Expectation> {
        match self {
            Target::Defect { .. } | Target::Stuck { .. } => Vec::new(),
            Target::Violation { known, .. } => {
                let counter = if *known { Counter::KnownViolations } else { Counter::Violations };
                let quantity = Quantity::Counter(counter);
                vec![Expectation { quantity, bound: Bound::AtLeast(1) }]
            }
            Target::Anomaly(anomalous) => {
                let kind = Quantity::Counter(counter_of(anomalous.kind));
                vec![anomalous.at_least_one(kind), anomalous.of_this_cause()]
            }
            Target::Expectation { instead, because, .. } => {
                let cause = because.iter().map(Anomalous::of_this_cause);
                std::iter::once(instead.clone()).chain(cause).collect()
            }
        }
    }

    /// In words, for a heading.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Target::Defect { location } => format!("a defect of the simulator at {location}"),
            Target::Violation { invariant, known: false } => format!("violated: {invariant}"),
            Target::Violation { invariant, known: true } => {
                format!("violated, as documented for this version: {invariant}")
            }
            Target::Stuck { because } => format!("does not come to rest: {}", because.join("; ")),
            Target::Anomaly(Anomalous { kind, cause, group }) => {
                let by = group.as_ref().map_or_else(String::new, |group| format!(" by {group}"));
                format!("{}{by}: {}", kind.name(), cause.sentence())
            }
            Target::Expectation { text, instead, because } => {
                let cause = because.as_ref().map(|of| format!(": {}", of.cause.sentence()));
                format!("not {text}, but {instead}{}", cause.unwrap_or_default())
            }
        }
    }
}

fn anomaly(wanted: &Wanted, verdict: &Verdict, kinds: &[AnomalyKind]) -> Option<Anomalous> {
    let fits = |of: &&CauseCount| {
        wanted.cause.is_none_or(|cause| cause == of.cause)
            && (wanted.group.is_none() || wanted.group == group_of(of.group, verdict))
    };
    kinds.iter().find_map(|kind| {
        let of = verdict.causes.iter().filter(|of| of.kind == *kind).find(fits)?;
        Some(Anomalous::of(of, verdict))
    })
}

fn unexplained(verdict: &Verdict) -> Option<Target> {
    let of = verdict.causes.iter().find(|of| of.cause == Cause::Unexplained)?;
    Some(Target::Anomaly(Anomalous::of(of, verdict)))
}

fn group_of(group: Option<GroupIndex>, verdict: &Verdict) -> Option<String> {
    group.map(|group| names::application(&verdict.header, group))
}

fn violation(verdict: &Verdict, known: bool) -> Option<Target> {
    let violations = if known { &verdict.known_violations } else { &verdict.violations };
    let first = violations.first()?;
    Some(Target::Violation { invariant: first.invariant, known })
}

fn stuck(outcome: &Outcome) -> Option<Target> {
    let because = reasons(outcome);
    (!because.is_empty()).then_some(Target::Stuck { because })
}

/// Why a run did not come to rest, without digits: how many records are missing, and which broker
/// it is, changes as the scenario shrinks.
fn reasons(outcome: &Outcome) -> Vec<String> {
    let because = outcome.stuck.iter().flat_map(|stuck| &stuck.because);
    let mut reasons: Vec<String> =
        because.map(|because| because.chars().filter(|c| !c.is_ascii_digit()).collect()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    reasons
}

/// The expectations of the scenario that do not hold. That there should be none of something that
/// has a name of its own is that thing.
fn unmet(outcome: &Outcome, expect: &[Expectation]) -> Vec<Target> {
    let counts = Judged(&outcome.verdict);
    let failed = expect.iter().filter(|expectation| !expectation.holds(&counts));
    failed.filter_map(|failed| unmet_one(outcome, failed)).collect()
}

fn unmet_one(outcome: &Outcome, failed: &Expectation) -> Option<Target> {
    let verdict = &outcome.verdict;
    let actual = failed.quantity.of(&Judged(verdict));
    let bound = opposite(failed.bound, actual)?;
    let because = match bound {
        Bound::AtLeast(_) => anomaly_of(&failed.quantity, verdict),
        _ => None,
    };
    if matches!(failed.bound, Bound::Exactly(0) | Bound::AtMost(0)) {
        let named = match &failed.quantity {
            Quantity::Counter(Counter::Violations) => violation(verdict, false),
            Quantity::Counter(Counter::KnownViolations) => violation(verdict, true),
            Quantity::Counter(Counter::Unexplained) => unexplained(verdict),
            _ => because.clone().map(Target::Anomaly),
        };
        if named.is_some() {
            return named;
        }
    }
    let instead = Expectation { quantity: failed.quantity.clone(), bound };
    Some(Target::Expectation { text: failed.to_string(), instead, because })
}

/// The most frequent of the anomalies that a number counts, if it counts any.
fn anomaly_of(quantity: &Quantity, verdict: &Verdict) -> Option<Anomalous> {
    let (group, quantity) = match quantity {
        Quantity::OfGroup(group, quantity) => (Some(group.clone()), &**quantity),
        quantity => (None, quantity),
    };
    match quantity {
        Quantity::Counter(counter) | Quantity::ShareOfAcked(counter) => {
            let wanted = Wanted { group, ..Wanted::default() };
            anomaly(&wanted, verdict, &[kind_of(*counter)?])
        }
        Quantity::Cause(name) => {
            let cause = Cause::ALL.iter().find(|cause| cause.name() == name).copied();
            let wanted = Wanted { cause: Some(cause?), group, ..Wanted::default() };
            anomaly(&wanted, verdict, &WORST_FIRST)
        }
        Quantity::CommitErrors(_) | Quantity::Exceptions(..) | Quantity::OfGroup(..) => None,
    }
}

/// What holds of a number outside of a bound, on the side on which it is.
fn opposite(bound: Bound, actual: u64) -> Option<Bound> {
    let (least, most) = match bound {
        Bound::Exactly(value) => (value, value),
        Bound::AtLeast(least) => (least, u64::MAX),
        Bound::AtMost(most) => (0, most),
        Bound::Between(least, most) => (least, most),
    };
    if actual > most {
        most.checked_add(1).map(Bound::AtLeast)
    } else if actual < least {
        least.checked_sub(1).map(Bound::AtMost)
    } else {
        None
    }
}

/// What was looked for, and what there is instead.
fn nothing(wanted: &Wanted, verdict: &Verdict) -> String {
    let of_group =
        wanted.group.as_ref().map_or_else(String::new, |group| format!(" in group {group}"));
    let of_cause =
        wanted.cause.map_or_else(String::new, |cause| format!(" with the cause {}", cause.name()));
    let looked_for = match wanted.what {
        What::Worst if wanted.cause.is_some() || wanted.group.is_some() => {
            format!("no record has an anomaly{of_group}{of_cause}")
        }
        What::Worst => "nothing went wrong".to_owned(),
        What::Anomaly(kind) => {
            let word = kind.name();
            let article =
                if kind == AnomalyKind::Phantom || kind == AnomalyKind::Ghost { "a " } else { "" };
            format!("no record was {article}{word}{of_group}{of_cause}")
        }
        What::Violation => "no promise was broken".to_owned(),
        What::KnownViolation => "no promise was broken as documented for the version".to_owned(),
        What::Stuck => "everything came to rest".to_owned(),
        What::Defect => "the simulator did not panic".to_owned(),
        What::Expectation => "every expectation of the scenario held".to_owned(),
    };
    let mut there: Vec<String> = Vec::new();
    for of in &verdict.causes {
        let by =
            group_of(of.group, verdict).map_or_else(String::new, |group| format!(" by {group}"));
        let count = names::grouped(of.count);
        there.push(format!("{count} {}{by} ({})", of.kind.name(), of.cause.name()));
    }
    match there.is_empty() {
        true => format!("{looked_for} in this history"),
        false => format!("{looked_for} in this history, but there are {}", there.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_outside_of_a_bound_stays_on_its_side() {
        let table = [
            (Bound::Exactly(3), 5, Some(Bound::AtLeast(4))),
            (Bound::Exactly(3), 0, Some(Bound::AtMost(2))),
            (Bound::AtMost(60), 61, Some(Bound::AtLeast(61))),
            (Bound::AtLeast(5), 4, Some(Bound::AtMost(4))),
            (Bound::Between(2, 4), 1, Some(Bound::AtMost(1))),
            (Bound::Between(2, 4), 9, Some(Bound::AtLeast(5))),
            (Bound::Between(2, 4), 3, None),
        ];
        for (bound, actual, expected) in table {
            assert_eq!(opposite(bound, actual), expected, "{bound:?} {actual}");
        }
    }

    #[test]
    fn an_anomaly_is_expected_with_its_cause() {
        let target = Target::Anomaly(Anomalous {
            kind: AnomalyKind::Skipped,
            cause: Cause::Unexplained,
            group: Some("billing".to_owned()),
        });
        assert_eq!(
            acklab_scenario::write_expectations(&target.expectations()),
            r#"[Group("billing", Skipped(AtLeast(1))), Group("billing", Cause("unexplained", AtLeast(1)))]"#
        );
    }
}
