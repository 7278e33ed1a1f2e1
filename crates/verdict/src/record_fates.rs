//! The fate of every single record, for whoever asks: to compare two histories record by record.
//!
//! A [`Verdict`](crate::Verdict) counts fates and keeps some anomalies. This is the whole of it, in
//! a byte per record and another one per consumer application, plus sixteen bytes per anomaly. It
//! is kept only by [`Judge::finish_with_fates`](crate::Judge::finish_with_fates).

use acklab_vocab::ids::{GroupIndex, ProducerIndex, RecordId};
use std::fmt;

use crate::cause::{Anomaly, AnomalyKind, Cause};
use crate::records::{Outcome, RecordState, RecordTable};

/// What became of one record in the log, and what its producer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogFate {
    /// As the producer sees it.
    pub outcome: Outcome,
    /// What the log of its partition at rest holds.
    pub copies: Copies,
    /// Its first copy stands behind a later record's.
    pub reordered: bool,
}

/// What the log at rest holds of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Copies {
    /// No copy.
    None,
    /// One copy.
    One,
    /// Two or more.
    Several,
    /// Nobody knows: its partition has no leader at rest.
    Undecided,
}

/// What became of one record with one consumer application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupFate {
    /// How far the application has come with it.
    pub progress: Progress,
    /// One copy was processed again.
    pub reprocessed: bool,
    /// It was processed, and is not in the log at rest.
    pub ghost: bool,
    /// Several copies were processed.
    pub processed_copies: bool,
}

/// How far an application has come with a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Progress {
    /// The log at rest of what it reads does not hold it.
    #[default]
    Absent,
    /// It has processed it.
    Processed,
    /// It has gone past it without processing it.
    Skipped,
    /// It has not come to it yet.
    Pending,
}

/// The fates of all records of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordFates {
    /// By producer, then by sequence; 0 for a record that was not created.
    log: Vec<Vec<u8>>,
    /// By consumer application, then as `log`.
    groups: Vec<Vec<Vec<u8>>>,
    /// Ascending.
    causes: Vec<(Suffering, Cause)>,
}

/// A record, what is wrong with it, and which consumer application has it, if one has.
type Suffering = (RecordId, AnomalyKind, Option<GroupIndex>);

/// The fate of one record with one application, while they are decided.
pub(crate) type Noted = (RecordId, GroupFate);

impl RecordFates {
    /// Gathers what has been decided. `decided` says of a record whether its partition has a leader
    /// at rest, `groups` has the records that each application met.
    pub(crate) fn gather(
        table: &RecordTable,
        decided: impl Fn(&RecordState) -> bool,
        groups: Vec<Vec<Noted>>,
        anomalies: &[Anomaly],
    ) -> RecordFates {
        let mut fates =
            RecordFates { groups: vec![Vec::new(); groups.len()], ..Default::default() };
        for (id, state) in table.iter() {
            *entry(&mut fates.log, id) = pack_log(log_fate(state, decided(state)));
        }
        for (packed, noted) in fates.groups.iter_mut().zip(groups) {
            for (id, fate) in noted {
                // Some records are noted in parts; only one of them says how far it has come.
                *entry(packed, id) |= pack_group(fate);
            }
        }
        fates.causes =
            anomalies.iter().map(|of| ((of.record, of.kind, of.group), of.cause)).collect();
        fates.causes.sort_unstable();
        fates
    }

    /// What became of a record in the log; `None` if it was not created.
    #[must_use]
    pub fn log(&self, record: RecordId) -> Option<LogFate> {
        unpack_log(byte(&self.log, record))
    }

    /// What became of a record with an application.
    #[must_use]
    pub fn group(&self, group: GroupIndex, record: RecordId) -> GroupFate {
        self.groups
            .get(usize::from(group.0))
            .map_or_else(GroupFate::default, |packed| unpack_group(byte(packed, record)))
    }

    /// Why a record suffers from an anomaly; `None` if it does not.
    #[must_use]
    pub fn cause(
        &self,
        record: RecordId,
        kind: AnomalyKind,
        group: Option<GroupIndex>,
    ) -> Option<Cause> {
        let key = (record, kind, group);
        let at = self.causes.binary_search_by_key(&key, |&(key, _)| key).ok()?;
        Some(self.causes[at].1)
    }

    /// How many consumer applications there are.
    #[must_use]
    pub fn applications(&self) -> usize {
        self.groups.len()
    }

    /// The records that exist here or in `other`, ascending.
    pub fn records_of_both<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = RecordId> + 'a {
        let producers = self.log.len().max(other.log.len());
        (0..producers).flat_map(move |producer| {
            let lengths = [self, other].map(|fates| fates.log.get(producer).map_or(0, Vec::len));
            let ids =
                (0..lengths[0].max(lengths[1])).map(move |sequence| record_id(producer, sequence));
            ids.filter(|&id| byte(&self.log, id) | byte(&other.log, id) != 0)
        })
    }
}

impl fmt::Display for LogFate {
    /// In the words of a verdict: `stored`, `lost`, `failed, yet stored`, `stored, reordered`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match (self.copies, self.outcome) {
            (Copies::Undecided, Outcome::Acked) => "acked, undecided",
            (Copies::Undecided, Outcome::Failed) => "failed, undecided",
            (Copies::Undecided, Outcome::Unknown) => "never told, undecided",
            (Copies::Undecided, Outcome::Aborted) => "aborted, undecided",
            (Copies::None, Outcome::Acked) => "lost",
            (Copies::None, Outcome::Failed) => "failed",
            (Copies::None, Outcome::Unknown) => "never told, not stored",
            (Copies::None, Outcome::Aborted) => "aborted",
            (Copies::One, Outcome::Acked) => "stored",
            (Copies::One, Outcome::Failed) => "failed, yet stored",
            (Copies::One, Outcome::Unknown) => "never told, stored",
            (Copies::One, Outcome::Aborted) => "aborted, yet stored",
            (Copies::Several, Outcome::Acked) => "duplicated",
            (Copies::Several, Outcome::Failed) => "failed, yet duplicated",
            (Copies::Several, Outcome::Unknown) => "never told, duplicated",
            (Copies::Several, Outcome::Aborted) => "aborted, yet duplicated",
        };
        f.write_str(text)?;
        if self.reordered { f.write_str(", reordered") } else { Ok(()) }
    }
}

impl fmt::Display for GroupFate {
    /// In the words of a verdict: `processed`, `reprocessed`, `skipped`, `pending`, `ghost`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let progress = match self.progress {
            Progress::Absent if self.ghost => "ghost",
            Progress::Absent => "not in the log",
            Progress::Processed if self.reprocessed => "reprocessed",
            Progress::Processed => "processed",
            Progress::Skipped => "skipped",
            Progress::Pending => "pending",
        };
        f.write_str(progress)?;
        if self.processed_copies { f.write_str(", several copies") } else { Ok(()) }
    }
}

fn log_fate(state: &RecordState, decided: bool) -> LogFate {
    let copies = match state.copies {
        _ if !decided => Copies::Undecided,
        0 => Copies::None,
        1 => Copies::One,
        _ => Copies::Several,
    };
    LogFate { outcome: state.outcome(), copies, reordered: decided && state.is_reordered() }
}

fn record_id(producer: usize, sequence: usize) -> RecordId {
    RecordId { producer: ProducerIndex(producer as u16), sequence: sequence as u32 }
}

fn byte(packed: &[Vec<u8>], id: RecordId) -> u8 {
    let of_producer = packed.get(usize::from(id.producer.0));
    of_producer.and_then(|of| of.get(id.sequence as usize)).copied().unwrap_or(0)
}

fn entry(packed: &mut Vec<Vec<u8>>, id: RecordId) -> &mut u8 {
    let (producer, sequence) = (usize::from(id.producer.0), id.sequence as usize);
    if packed.len() <= producer {
        packed.resize(producer + 1, Vec::new());
    }
    let of_producer = &mut packed[producer];
    if of_producer.len() <= sequence {
        of_producer.resize(sequence + 1, 0);
    }
    &mut of_producer[sequence]
}

/// The record exists.
const CREATED: u8 = 1;
/// See [`LogFate::reordered`].
const REORDERED: u8 = 1 << 5;

const OUTCOMES: [Outcome; 4] =
    [Outcome::Acked, Outcome::Failed, Outcome::Unknown, Outcome::Aborted];
const COPIES: [Copies; 4] = [Copies::None, Copies::One, Copies::Several, Copies::Undecided];

fn pack_log(fate: LogFate) -> u8 {
    let outcome = OUTCOMES.iter().position(|of| *of == fate.outcome).unwrap_or_default() as u8;
    let copies = COPIES.iter().position(|of| *of == fate.copies).unwrap_or_default() as u8;
    let reordered = if fate.reordered { REORDERED } else { 0 };
    CREATED | outcome << 1 | copies << 3 | reordered
}

fn unpack_log(byte: u8) -> Option<LogFate> {
    (byte & CREATED != 0).then(|| LogFate {
        outcome: OUTCOMES[usize::from(byte >> 1 & 3)],
        copies: COPIES[usize::from(byte >> 3 & 3)],
        reordered: byte & REORDERED != 0,
    })
}

const PROGRESSES: [Progress; 4] =
    [Progress::Absent, Progress::Processed, Progress::Skipped, Progress::Pending];

fn pack_group(fate: GroupFate) -> u8 {
    let progress = PROGRESSES.iter().position(|of| *of == fate.progress).unwrap_or_default() as u8;
    let flag = |set: bool, bit: u8| u8::from(set) << bit;
    progress | flag(fate.reprocessed, 2) | flag(fate.ghost, 3) | flag(fate.processed_copies, 4)
}

fn unpack_group(byte: u8) -> GroupFate {
    GroupFate {
        progress: PROGRESSES[usize::from(byte & 3)],
        reprocessed: byte & 1 << 2 != 0,
        ghost: byte & 1 << 3 != 0,
        processed_copies: byte & 1 << 4 != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::trace;
    use crate::{Judge, Verdict};
    use acklab_vocab::api::Acks;
    use acklab_vocab::trace::{
        CommitStyle, PartitionChangeReason, RebalanceReason, RemovalReason, TruncationReason,
    };

    fn record(sequence: u32) -> RecordId {
        record_id(0, sequence as usize)
    }

    fn judged(trace: &crate::testing::Trace) -> (Verdict, RecordFates) {
        let mut judge = Judge::new();
        trace.play(&mut judge);
        judge.finish_with_fates()
    }

    #[test]
    fn every_record_has_the_fate_that_is_counted() {
        let mut trace = trace("3.9", Acks::Leader);
        trace.create(6).append(1, 0..4).replicate(1, 2).high_watermark(1, 4).ack(0..4);
        trace.append(1, 4..5).ack(4..5).kill(1);
        trace.elect(2, &[2, 3], PartitionChangeReason::BrokerFenced).lead(2).follow(3);
        trace.start(1).follow(1).truncate(1, 4, TruncationReason::LeaderEpoch);
        let (verdict, fates) = judged(&trace);
        let words = |sequence| fates.log(record(sequence)).map(|fate| fate.to_string());
        assert_eq!(words(3).as_deref(), Some("stored"));
        assert_eq!(words(4).as_deref(), Some("lost"));
        assert_eq!(words(5).as_deref(), Some("never told, not stored"));
        assert_eq!(words(6), None);
        assert_eq!(verdict.records.lost, 1);
        let cause = fates.cause(record(4), AnomalyKind::Lost, None);
        assert_eq!(cause, Some(verdict.anomalies[0].cause));
        assert_eq!(fates.cause(record(3), AnomalyKind::Lost, None), None);
        assert_eq!(fates.records_of_both(&RecordFates::default()).count(), 6);
    }

    #[test]
    fn every_application_has_a_fate_for_every_record() {
        let mut trace = trace("3.9", Acks::All).consumers(CommitStyle::Auto);
        trace.create(6).append(1, 0..6).high_watermark(1, 6).answer(1, 0, 0..6).ack(0..6);
        trace.generation(1, &[0, 1]).own(0, 1, 0).process(0, 0..2).commit(0, 1, 2);
        trace.process(0, 2..5).at(50_000).remove(0, RemovalReason::SessionExpired);
        trace.rebalance(RebalanceReason::SessionExpired, 0).generation(2, &[1]).own(1, 2, 2);
        trace.process(1, 2..5).commit(1, 2, 5);
        let (verdict, fates) = judged(&trace);
        let billing = GroupIndex(0);
        let words = |sequence| fates.group(billing, record(sequence)).to_string();
        assert_eq!([1, 2, 5].map(words), ["processed", "reprocessed", "pending"]);
        let counts = &verdict.groups["billing"].counts;
        assert_eq!((counts.processed, counts.reprocessed, counts.pending), (5, 3, 1));
        assert!(fates.cause(record(2), AnomalyKind::Reprocessed, Some(billing)).is_some());
        assert_eq!(fates.cause(record(1), AnomalyKind::Reprocessed, Some(billing)), None);
    }

    #[test]
    fn fates_survive_their_packing() {
        for outcome in OUTCOMES {
            for copies in COPIES {
                for reordered in [false, true] {
                    let fate = LogFate { outcome, copies, reordered };
                    assert_eq!(unpack_log(pack_log(fate)), Some(fate));
                }
            }
        }
        assert_eq!(unpack_log(0), None);
        for progress in PROGRESSES {
            for bits in 0..8_u8 {
                let is = |bit: u8| bits & 1 << bit != 0;
                let (reprocessed, ghost, processed_copies) = (is(0), is(1), is(2));
                let fate = GroupFate { progress, reprocessed, ghost, processed_copies };
                assert_eq!(unpack_group(pack_group(fate)), fate);
            }
        }
    }
}
