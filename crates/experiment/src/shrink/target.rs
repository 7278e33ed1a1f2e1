//! What has to remain when a scenario is shrunk: one thing that went wrong, and why.

use crate::counts::Judged;
use crate::defect::Defect;
use crate::outcome::Outcome;
use acklab_scenario::{Bound, Counter, Expectation, Quantity};
use acklab_verdict::{AnomalyKind, Cause, CauseCount, Verdict, names};
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
    Anomaly {
        /// Which.
        kind: AnomalyKind,
        /// Why.
        cause: Cause,
        /// The consumer application that has it, if one has.
        group: Option<String>,
    },
    /// An expectation does not hold.
    Expectation {
        /// The expectation, in words.
        text: String,
        /// What holds instead.
        instead: Expectation,
    },
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
    /// Finds what is wanted in a history. `expect` is what the scenario expects of it.
    ///
    /// # Errors
    /// [`NothingToShrink`] if it is not there.
    pub fn choose(
        wanted: &Wanted,
        ran: &Result<Outcome, Defect>,
        expect: &[Expectation],
    ) -> Result<Target, NothingToShrink> {
        let outcome = match (ran, wanted.what) {
            (Err(defect), What::Worst | What::Defect) => {
                return Ok(Target::Defect { location: defect.location.clone() });
            }
            (Err(defect), _) => {
                let message = format!("this history ends in a defect of the simulator: {defect}");
                return Err(NothingToShrink { message });
            }
            (Ok(outcome), _) => outcome,
        };
        let anomaly = |kinds: &[AnomalyKind]| anomaly(wanted, &outcome.verdict, kinds);
        let found = match wanted.what {
            What::Worst if wanted.cause.is_some() || wanted.group.is_some() => {
                anomaly(&WORST_FIRST)
            }
            What::Worst => violation(&outcome.verdict, false)
                .or_else(|| stuck(outcome))
                .or_else(|| unexplained(&outcome.verdict))
                .or_else(|| unmet(outcome, expect))
                .or_else(|| anomaly(&WORST_FIRST))
                .or_else(|| violation(&outcome.verdict, true)),
            What::Anomaly(kind) => anomaly(&[kind]),
            What::Violation => violation(&outcome.verdict, false),
            What::KnownViolation => violation(&outcome.verdict, true),
            What::Stuck => stuck(outcome),
            What::Defect => None,
            What::Expectation => unmet(outcome, expect),
        };
        found.ok_or_else(|| NothingToShrink { message: nothing(wanted, &outcome.verdict) })
    }

    /// Whether a history shows it.
    #[must_use]
    pub fn shows(&self, ran: &Result<Outcome, Defect>) -> bool {
        let outcome = match (self, ran) {
            (Target::Defect { location }, Err(defect)) => return defect.location == *location,
            (Target::Defect { .. }, Ok(_)) | (_, Err(_)) => return false,
            (_, Ok(outcome)) => outcome,
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
            Target::Anomaly { kind, cause, group } => verdict.causes.iter().any(|of| {
                of.kind == *kind && of.cause == *cause && group_of(of, verdict) == *group
            }),
            Target::Expectation { instead, .. } => {
                verdict.records.sent > 0 && instead.holds(&Judged(verdict))
            }
        }
    }

    /// What the small scenario expects, for it to show this.
    #[must_use]
    pub fn expectations(&self) -> Vec<Expectation> {
        let at_least_one = |quantity: Quantity| Expectation { quantity, bound: Bound::AtLeast(1) };
        match self {
            Target::Defect { .. } | Target::Stuck { .. } => Vec::new(),
            Target::Violation { known, .. } => {
                let counter = if *known { Counter::KnownViolations } else { Counter::Violations };
                vec![at_least_one(Quantity::Counter(counter))]
            }
            Target::Anomaly { kind, cause, group } => {
                let of_group = |quantity: Quantity| match group {
                    Some(group) => Quantity::OfGroup(group.clone(), Box::new(quantity)),
                    None => quantity,
                };
                let kind = Quantity::Counter(counter_of(*kind));
                let cause = Quantity::Cause(cause.name().to_owned());
                [kind, cause].map(|quantity| at_least_one(of_group(quantity))).to_vec()
            }
            Target::Expectation { instead, .. } => vec![instead.clone()],
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
            Target::Anomaly { kind, cause, group } => {
                let by = group.as_ref().map_or_else(String::new, |group| format!(" by {group}"));
                format!("{}{by}: {}", kind.name(), cause.sentence())
            }
            Target::Expectation { text, instead } => format!("not {text}, but {instead}"),
        }
    }
}

fn anomaly(wanted: &Wanted, verdict: &Verdict, kinds: &[AnomalyKind]) -> Option<Target> {
    let fits = |of: &&CauseCount| {
        wanted.cause.is_none_or(|cause| cause == of.cause)
            && (wanted.group.is_none() || wanted.group == group_of(of, verdict))
    };
    kinds.iter().find_map(|kind| {
        let of = verdict.causes.iter().filter(|of| of.kind == *kind).find(fits)?;
        Some(target_of(of, verdict))
    })
}

fn unexplained(verdict: &Verdict) -> Option<Target> {
    let of = verdict.causes.iter().find(|of| of.cause == Cause::Unexplained)?;
    Some(target_of(of, verdict))
}

fn target_of(of: &CauseCount, verdict: &Verdict) -> Target {
    Target::Anomaly { kind: of.kind, cause: of.cause, group: group_of(of, verdict) }
}

fn group_of(of: &CauseCount, verdict: &Verdict) -> Option<String> {
    of.group.map(|group| names::application(&verdict.header, group))
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

/// The first expectation of the scenario that does not hold. That there should be none of some
/// anomaly is that anomaly, with its cause.
fn unmet(outcome: &Outcome, expect: &[Expectation]) -> Option<Target> {
    let counts = Judged(&outcome.verdict);
    let failed = expect.iter().find(|expectation| !expectation.holds(&counts))?;
    let none = matches!(failed.bound, Bound::Exactly(0) | Bound::AtMost(0));
    let (group, quantity) = match &failed.quantity {
        Quantity::OfGroup(group, quantity) => (Some(group), &**quantity),
        quantity => (None, quantity),
    };
    if none && let Quantity::Counter(counter) = quantity {
        let wanted = Wanted { group: group.cloned(), ..Wanted::default() };
        let kind = WORST_FIRST.iter().find(|kind| counter_of(**kind) == *counter);
        if let Some(found) = kind.and_then(|kind| anomaly(&wanted, &outcome.verdict, &[*kind])) {
            return Some(found);
        }
    }
    let actual = failed.quantity.of(&counts);
    let bound = opposite(failed.bound, actual)?;
    let instead = Expectation { quantity: failed.quantity.clone(), bound };
    Some(Target::Expectation { text: failed.to_string(), instead })
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

const fn counter_of(kind: AnomalyKind) -> Counter {
    match kind {
        AnomalyKind::Lost => Counter::Lost,
        AnomalyKind::Phantom => Counter::Phantom,
        AnomalyKind::Duplicated => Counter::Duplicated,
        AnomalyKind::Reordered => Counter::Reordered,
        AnomalyKind::Reprocessed => Counter::Reprocessed,
        AnomalyKind::Skipped => Counter::Skipped,
        AnomalyKind::Ghost => Counter::Ghost,
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
        let by = group_of(of, verdict).map_or_else(String::new, |group| format!(" by {group}"));
        there.push(format!("{} {}{by} ({})", of.count, of.kind.name(), of.cause.name()));
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
        let target = Target::Anomaly {
            kind: AnomalyKind::Skipped,
            cause: Cause::Unexplained,
            group: Some("billing".to_owned()),
        };
        assert_eq!(
            acklab_scenario::write_expectations(&target.expectations()),
            r#"[Group("billing", Skipped(AtLeast(1))), Group("billing", Cause("unexplained", AtLeast(1)))]"#
        );
    }
}
