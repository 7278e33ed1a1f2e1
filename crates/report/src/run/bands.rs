//! Spans of time that go through all panels: faults, spells without a working leader, rebalances,
//! standstills. Spans of one kind that touch are one band.

use acklab_verdict::{Verdict, names};
use acklab_vocab::ids::TopicPartition;
use std::collections::BTreeMap;

use super::limits::{Limits, clipped};
use super::model::{Axis, Band, BandKind, Listed};
use super::recorder::{ApplicationTracks, Recording};
use super::track::micros;

/// So many bands of one kind are shown, the longest.
const SHOWN_OF_A_KIND: usize = 40;
/// So many partitions of one band are named.
const NAMED: usize = 2;
/// So many letters of the description of a fault are shown.
pub const LABEL: usize = 200;

/// All bands, by start.
#[must_use]
pub fn bands(
    recording: &Recording,
    verdict: &Verdict,
    axis: &Axis,
    limits: Limits,
) -> Listed<Band> {
    let kinds = [
        faults(recording, axis),
        leaderless(recording, verdict, axis),
        rebalances(verdict, axis),
        standstills(recording, verdict, axis),
    ];
    let mut all = Listed::default();
    for mut bands in kinds {
        bands.sort_by_key(|band| (std::cmp::Reverse(band.to_us - band.from_us), band.from_us));
        let mut shown = Listed::first(bands, limits.of(SHOWN_OF_A_KIND));
        all.shown.append(&mut shown.shown);
        all.left_out += shown.left_out;
    }
    all.shown.sort_by_key(|band| (band.from_us, band.kind, band.to_us));
    all
}

fn faults(recording: &Recording, axis: &Axis) -> Vec<Band> {
    let bands = recording.faults.iter().map(|fault| Band {
        kind: BandKind::Fault,
        from_us: fault.from_us,
        to_us: fault.to_us.unwrap_or(axis.end_us),
        is_open: fault.to_us.is_none(),
        label: clipped(&fault.description, LABEL),
    });
    bands.collect()
}

/// A stretch of time and whom it concerns.
type Stretch<T> = (u64, u64, T);

/// Stretches that overlap or touch as one, with everybody whom it concerns.
fn united<T: Ord + Clone>(mut stretches: Vec<Stretch<T>>) -> Vec<Stretch<Vec<T>>> {
    stretches.sort_unstable();
    let mut united: Vec<Stretch<Vec<T>>> = Vec::new();
    for (from, to, of) in stretches {
        match united.last_mut().filter(|(_, until, _)| from <= *until) {
            Some((_, until, all)) => {
                *until = (*until).max(to);
                all.push(of);
            }
            None => united.push((from, to, vec![of])),
        }
    }
    for (_, _, all) in &mut united {
        all.sort_unstable();
        all.dedup();
    }
    united
}

fn leaderless(recording: &Recording, verdict: &Verdict, axis: &Axis) -> Vec<Band> {
    let in_use = recording.partitions.iter().filter(|of| {
        let topic = verdict.header.topics.get(usize::from(of.id.topic.0));
        topic.is_none_or(|topic| !topic.internal) || of.holds_something()
    });
    let all = in_use.flat_map(|partition| {
        let spells = partition.leaderless.spells(axis.end_us);
        spells.into_iter().map(|(from, to)| (from, to, partition.id))
    });
    let bands = united(all.collect()).into_iter().map(|(from_us, to_us, partitions)| {
        let is_internal = |of: &&TopicPartition| {
            let topic = verdict.header.topics.get(usize::from(of.topic.0));
            topic.is_some_and(|topic| topic.internal)
        };
        let (internal, own): (Vec<&TopicPartition>, Vec<&TopicPartition>) =
            partitions.iter().partition(is_internal);
        let mut which: Vec<String> = match own.len() {
            0..=NAMED => own.iter().map(|id| verdict.partition_name(**id)).collect(),
            many => vec![names::counted(many as u64, "partition")],
        };
        if !internal.is_empty() {
            which.push(names::counted(internal.len() as u64, "internal partition"));
        }
        let which = listed(&which);
        Band {
            kind: BandKind::Leaderless,
            from_us,
            to_us,
            is_open: to_us >= axis.end_us,
            label: format!("{which} without a working leader"),
        }
    });
    bands.collect()
}

/// One rebalance that overtakes another goes on with it.
fn rebalances(verdict: &Verdict, axis: &Axis) -> Vec<Band> {
    let mut by_group: BTreeMap<&str, Vec<Stretch<()>>> = BTreeMap::new();
    for group in verdict.groups.values() {
        let list = &group.rebalances;
        let starts = list.iter().skip(1).map(|next| Some(micros(next.at)));
        let stretches = list.iter().zip(starts.chain([None])).map(|(rebalance, next)| {
            let from = micros(rebalance.at);
            let to = rebalance.took.map(|took| micros(rebalance.at + took));
            (from, to.or(next).unwrap_or(axis.end_us).max(from), ())
        });
        // Applications that share a `group.id` have the same rebalances.
        by_group.insert(&group.group_id, stretches.collect());
    }
    let bands = by_group.into_iter().flat_map(|(group, stretches)| {
        united(stretches).into_iter().map(move |(from_us, to_us, _)| Band {
            kind: BandKind::Rebalance,
            from_us,
            to_us,
            is_open: to_us >= axis.end_us,
            label: format!("{group} rebalances"),
        })
    });
    bands.collect()
}

/// Stretches in which an application could not work on some partition, and which partitions.
fn standstills_of(application: &ApplicationTracks, axis: &Axis) -> Vec<(u64, u64, Vec<usize>)> {
    let all = application.readings.iter().flat_map(|reading| {
        let spells = reading.standstill.spells(axis.end_us);
        spells.into_iter().map(|(from, to)| (from, to, reading.partition))
    });
    united(all.collect())
}

fn standstills(recording: &Recording, verdict: &Verdict, axis: &Axis) -> Vec<Band> {
    let applications = recording.applications.iter().zip(&verdict.header.groups);
    let bands = applications.flat_map(|(application, header)| {
        standstills_of(application, axis).into_iter().map(|(from_us, to_us, partitions)| {
            let ids = partitions.iter().filter_map(|&index| recording.partitions.get(index));
            let named = ids.map(|of| verdict.partition_name(of.id));
            let which = several(named, "partition");
            Band {
                kind: BandKind::Standstill,
                from_us,
                to_us,
                is_open: to_us >= axis.end_us,
                label: format!("{}: nobody can work on {which}", header.name),
            }
        })
    });
    bands.collect()
}

/// `orders-0`, `orders-0 and orders-1`, `6 partitions`
fn several(names: impl Iterator<Item = String>, what: &str) -> String {
    let names: Vec<String> = names.collect();
    match names.len() {
        0..=NAMED => listed(&names),
        many => names::counted(many as u64, what),
    }
}

/// `a`, `a and b`, `a, b and c`
fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_that_touch_are_one() {
        let all = vec![(5, 9, 'b'), (0, 5, 'a'), (12, 14, 'a'), (6, 7, 'a')];
        assert_eq!(united(all), [(0, 9, vec!['a', 'b']), (12, 14, vec!['a'])]);
    }

    #[test]
    fn few_are_named_and_many_counted() {
        let say =
            |count: usize| several((0..count).map(|index| format!("orders-{index}")), "partition");
        assert_eq!(
            [0, 1, 2, 3].map(say),
            ["", "orders-0", "orders-0 and orders-1", "3 partitions"]
        );
    }
}
