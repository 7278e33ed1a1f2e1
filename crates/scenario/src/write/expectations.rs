//! Expectations as a scenario writes them: `Group("billing", Skipped(AtLeast(1)))`.

use crate::decode::{unscaled, write_duration};
use crate::expect::{Bound, CounterUnit, Expectation, Quantity};
use crate::write::layout::quoted;
use acklab_vocab::time::SimDuration;

/// Expectations as a RON list that is read back as the same ones.
#[must_use]
pub fn write_expectations(expectations: &[Expectation]) -> String {
    let written: Vec<String> = expectations.iter().map(write).collect();
    format!("[{}]", written.join(", "))
}

fn write(expectation: &Expectation) -> String {
    let Expectation { quantity, bound } = expectation;
    match quantity {
        Quantity::OfGroup(group, of_group) => {
            let inner = Expectation { quantity: Quantity::clone(of_group), bound: *bound };
            format!("Group({}, {})", quoted(group), write(&inner))
        }
        Quantity::Counter(counter) => {
            let bound = write_bound(*bound, |value| match counter.unit() {
                CounterUnit::Count => value.to_string(),
                CounterUnit::Microseconds => {
                    quoted(&write_duration(SimDuration::from_micros(value)))
                }
            });
            format!("{}({bound})", counter.name())
        }
        Quantity::Cause(cause) => {
            format!("Cause({}, {})", quoted(cause), write_bound(*bound, |n| n.to_string()))
        }
        Quantity::CommitErrors(error) => {
            format!("CommitErrors({}, {})", quoted(error), write_bound(*bound, |n| n.to_string()))
        }
        Quantity::Exceptions(name, reach) => {
            let bound = write_bound(*bound, |n| n.to_string());
            format!("{}({}, {bound})", reach.name(), quoted(name))
        }
        Quantity::ShareOfAcked(counter) => {
            let bound = write_bound(*bound, |millionths| unscaled(millionths, 6));
            format!("OfAcked({}, {bound})", counter.name())
        }
    }
}

fn write_bound(bound: Bound, show: impl Fn(u64) -> String) -> String {
    match bound {
        Bound::Exactly(value) => format!("Exactly({})", show(value)),
        Bound::AtLeast(value) => format!("AtLeast({})", show(value)),
        Bound::AtMost(value) => format!("AtMost({})", show(value)),
        Bound::Between(least, most) => format!("Between({}, {})", show(least), show(most)),
    }
}
