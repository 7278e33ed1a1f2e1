//! The numbers of two histories beside each other.

use crate::counts::Judged;
use crate::outcome::Outcome;
use acklab_scenario::{Counter, Quantity};
use std::collections::BTreeSet;

/// One number of both histories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// What it is; its unit is its [counter's](Counter::unit).
    pub quantity: Quantity,
    /// On the first side.
    pub first: u64,
    /// On the second.
    pub second: u64,
}

/// Every number that differs, and those that matter most.
pub(super) fn numbers(first: &Outcome, second: &Outcome) -> Vec<Number> {
    let sides = [Judged(&first.verdict), Judged(&second.verdict)];
    let groups: BTreeSet<&String> =
        [first, second].into_iter().flat_map(|side| side.verdict.groups.keys()).collect();
    let totals = Counter::ALL.iter().map(|&counter| (Quantity::Counter(counter), is_key(counter)));
    // A single application has the totals.
    let by_group = groups.iter().filter(|_| groups.len() > 1).flat_map(|group| {
        let counters = Counter::ALL.iter().filter(|counter| counter.is_of_groups());
        counters.map(|&counter| {
            let own = Quantity::Counter(counter);
            (Quantity::OfGroup((*group).clone(), Box::new(own)), false)
        })
    });
    let rows = totals.chain(by_group).filter_map(|(quantity, is_key)| {
        let [first, second] = sides.map(|side| quantity.of(&side));
        let is_shown = first != second || (is_key && first > 0);
        is_shown.then_some(Number { quantity, first, second })
    });
    rows.collect()
}

/// Worth showing even where both sides have the same: how many records there were, what went wrong
/// with them, and how long they took.
fn is_key(counter: Counter) -> bool {
    matches!(
        counter,
        Counter::Sent
            | Counter::Acked
            | Counter::Failed
            | Counter::Unknown
            | Counter::Stored
            | Counter::Lost
            | Counter::Duplicated
            | Counter::Reordered
            | Counter::Phantom
            | Counter::Undecided
            | Counter::Violations
            | Counter::KnownViolations
            | Counter::Unexplained
            | Counter::ProduceP50
            | Counter::ProduceP99
            | Counter::Processed
            | Counter::Reprocessed
            | Counter::Skipped
            | Counter::Ghost
    )
}
