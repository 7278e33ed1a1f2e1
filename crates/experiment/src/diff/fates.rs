//! Records whose fate differs between two histories, by what it was and what it became.

use acklab_verdict::cause::{AnomalyKind, Cause};
use acklab_verdict::{RecordFates, names};
use acklab_vocab::ids::{GroupIndex, RecordId};
use acklab_vocab::trace::RunHeader;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Records that went from one fate to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// In the log, or with an application.
    pub axis: Axis,
    /// What became of them on the first side.
    pub first: Fate,
    /// On the second.
    pub second: Fate,
    /// How many.
    pub count: u64,
    /// The first few of them.
    pub examples: Vec<RecordId>,
}

/// Where a fate is met.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Axis {
    /// In the log.
    Log,
    /// With this consumer application.
    Application(String),
}

/// A fate, and why it is one that somebody suffers from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fate {
    /// In the words of a verdict: `stored`, `lost`, `reprocessed`; `not created` for a record that
    /// a history does not have.
    pub words: String,
    /// The cause of each anomaly that it has.
    pub causes: Vec<(AnomalyKind, Cause)>,
}

/// So many records of a change are named.
const EXAMPLES: usize = 3;

/// Compares the fates of all records: the changes, and how many records have one.
pub(super) fn changes(
    first: &RecordFates,
    second: &RecordFates,
    header: &RunHeader,
) -> (Vec<Change>, u64) {
    let mut found: BTreeMap<(Axis, Fate, Fate), (u64, Vec<RecordId>)> = BTreeMap::new();
    let applications = first.applications().max(second.applications());
    let axes: Vec<(Axis, Option<GroupIndex>)> = std::iter::once((Axis::Log, None))
        .chain((0..applications).map(|index| {
            let index = GroupIndex(index as u16);
            (Axis::Application(names::application(header, index)), Some(index))
        }))
        .collect();
    let mut changed = 0;
    for record in first.records_of_both(second) {
        let mut is_changed = false;
        for (axis, group) in &axes {
            let of_both = [first, second].map(|fates| Packed::of(fates, record, *group));
            // Most records have the same fate: words are made only for the others.
            if of_both[0] != of_both[1] {
                is_changed = true;
                let [one, other] = of_both.map(Packed::in_words);
                let entry = found.entry((axis.clone(), one, other)).or_default();
                entry.0 += 1;
                if entry.1.len() < EXAMPLES {
                    entry.1.push(record);
                }
            }
        }
        changed += u64::from(is_changed);
    }
    let change = |((axis, first, second), (count, examples))| Change {
        axis,
        first,
        second,
        count,
        examples,
    };
    let mut changes: Vec<Change> = found.into_iter().map(change).collect();
    let harmless =
        |change: &Change| change.first.causes.is_empty() && change.second.causes.is_empty();
    changes.sort_by_key(|change| (change.axis.clone(), harmless(change), Reverse(change.count)));
    (changes, changed)
}

/// A fate without its words.
#[derive(PartialEq, Eq)]
struct Packed {
    fate: Option<Either>,
    causes: Vec<(AnomalyKind, Cause)>,
}

#[derive(PartialEq, Eq)]
enum Either {
    Log(acklab_verdict::LogFate),
    Group(acklab_verdict::GroupFate),
}

impl Packed {
    fn of(fates: &RecordFates, record: RecordId, group: Option<GroupIndex>) -> Packed {
        let log = fates.log(record);
        let fate = match group {
            None => log.map(Either::Log),
            Some(group) => log.map(|_| Either::Group(fates.group(group, record))),
        };
        let kinds = AnomalyKind::ALL.iter().filter(|kind| kind.is_of_groups() == group.is_some());
        let cause = |&kind: &AnomalyKind| Some((kind, fates.cause(record, kind, group)?));
        Packed { fate, causes: kinds.filter_map(cause).collect() }
    }

    fn in_words(self) -> Fate {
        let words = match self.fate {
            None => "not created".to_owned(),
            Some(Either::Log(fate)) => fate.to_string(),
            Some(Either::Group(fate)) => fate.to_string(),
        };
        Fate { words, causes: self.causes }
    }
}
