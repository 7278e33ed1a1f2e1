//! What the judge knows of every single record: forty bytes in one flat array per producer name.
//!
//! Everything else about a record (which requests, which copies, which elections) is kept per
//! batch, in [`history`](crate::history) and [`world`](crate::world), and looked up for the few
//! records that need a cause. Mirrors no Kafka class: it is what a perfect observer at the
//! application would write down.

use acklab_vocab::ids::{Offset, ProducerIndex, RecordId};
use acklab_vocab::record::Record;
use acklab_vocab::time::SimTime;

use crate::world::AppendId;

/// Whether and how far a record has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordState {
    /// When the application handed it over.
    pub created: SimTime,
    /// When the first success was reported; before that, the last error.
    pub completed: SimTime,
    /// Offset of its first copy in the log at rest. Valid if `copies` is not 0; written at the end.
    pub first_copy: Offset,
    /// Its last append by a leader, or [`AppendId::NONE`].
    pub append: AppendId,
    /// Dense index of the partition that it went to, or [`NO_PARTITION`].
    pub partition: u32,
    /// How many copies the log at rest holds; written at the end, saturating.
    pub copies: u16,
    /// How many attempts of the application wait for their outcome, saturating.
    pub open: u8,
    flags: u8,
}

/// [`RecordState::partition`] of a record that never got one.
pub const NO_PARTITION: u32 = u32::MAX;

const CREATED: u8 = 1;
const ACKED: u8 = 2;
const FAILED: u8 = 4;
const REORDERED: u8 = 8;
const RESENT: u8 = 16;
const ABORTED: u8 = 32;

const ABSENT: RecordState = RecordState {
    created: SimTime::ZERO,
    completed: SimTime::ZERO,
    first_copy: Offset(0),
    append: AppendId::NONE,
    partition: NO_PARTITION,
    copies: 0,
    open: 0,
    flags: 0,
};

/// As the producer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Some attempt was reported a success.
    Acked,
    /// Every attempt was reported an error.
    Failed,
    /// Some attempt was never told, and none was a success.
    Unknown,
    /// No attempt was a success, and the transaction of one was aborted.
    Aborted,
}

impl RecordState {
    /// As the producer sees it.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        if self.is_acked() {
            Outcome::Acked
        } else if self.flags & ABORTED != 0 && self.open == 0 {
            Outcome::Aborted
        } else if self.flags & FAILED != 0 && self.open == 0 {
            Outcome::Failed
        } else {
            Outcome::Unknown
        }
    }

    /// Some attempt was reported a success.
    #[must_use]
    pub fn is_acked(&self) -> bool {
        self.flags & ACKED != 0
    }

    /// The application has sent it more than once.
    #[must_use]
    pub fn is_resent(&self) -> bool {
        self.flags & RESENT != 0
    }

    /// Its first copy stands behind a later record's.
    #[must_use]
    pub fn is_reordered(&self) -> bool {
        self.flags & REORDERED != 0
    }

    /// Its first copy stands behind a later record's.
    pub fn mark_reordered(&mut self) {
        self.flags |= REORDERED;
    }

    fn is_created(&self) -> bool {
        self.flags & CREATED != 0
    }
}

/// All records of a run.
#[derive(Debug, Default)]
pub struct RecordTable {
    producers: Vec<Vec<RecordState>>,
}

impl RecordTable {
    /// An empty table for so many producer names.
    #[must_use]
    pub fn new(producers: usize) -> Self {
        RecordTable { producers: vec![Vec::new(); producers] }
    }

    /// A producer has created none yet.
    #[must_use]
    pub fn has_none_of(&self, producer: ProducerIndex) -> bool {
        self.producers.get(producer.0 as usize).is_none_or(Vec::is_empty)
    }

    /// The application handed over the records `first`, `first + stride`, … of a producer.
    pub fn create(&mut self, at: SimTime, first: RecordId, stride: u32, count: u32) {
        if count == 0 {
            return;
        }
        let last = first.sequence as usize + (count as usize - 1) * stride as usize;
        let records = self.producer_mut(first.producer.0 as usize);
        if records.len() <= last {
            records.resize(last + 1, ABSENT);
        }
        for state in records[first.sequence as usize..]
            .iter_mut()
            .step_by(stride.max(1) as usize)
            .take(count as usize)
        {
            state.created = at;
            state.open = 1;
            state.flags |= CREATED;
        }
    }

    /// The state of a record. A record that nobody created, as a foreign trace may hold, is created
    /// at time zero.
    pub fn get_mut(&mut self, id: RecordId) -> &mut RecordState {
        let records = self.producer_mut(id.producer.0 as usize);
        let index = id.sequence as usize;
        if records.len() <= index {
            records.resize(index + 1, ABSENT);
        }
        let state = &mut records[index];
        if !state.is_created() {
            state.open = 1;
            state.flags |= CREATED;
        }
        state
    }

    /// The state of a record that exists.
    #[must_use]
    pub fn get(&self, id: RecordId) -> Option<&RecordState> {
        let state = self.producers.get(id.producer.0 as usize)?.get(id.sequence as usize)?;
        state.is_created().then_some(state)
    }

    /// The application sends records again.
    pub fn resend(&mut self, records: &[Record]) {
        for record in records {
            let state = self.get_mut(record.id);
            state.open = state.open.saturating_add(1);
            state.flags |= RESENT;
        }
    }

    /// A leader appended a batch with these records.
    pub fn appended(&mut self, records: &[Record], partition: u32, append: AppendId) {
        for record in records {
            let state = self.get_mut(record.id);
            state.append = append;
            state.partition = partition;
        }
    }

    /// A success was reported. Calls `first(created)` for each record whose first success it is.
    pub fn acked(
        &mut self,
        at: SimTime,
        records: &[Record],
        partition: u32,
        mut first: impl FnMut(SimTime),
    ) {
        for record in records {
            let state = self.get_mut(record.id);
            state.open = state.open.saturating_sub(1);
            if !state.is_acked() {
                state.flags |= ACKED;
                state.completed = at;
                first(state.created);
            }
            if partition != NO_PARTITION {
                state.partition = partition;
            }
        }
    }

    /// An error was reported.
    pub fn failed(&mut self, at: SimTime, records: &[Record], partition: u32) {
        for record in records {
            let state = self.get_mut(record.id);
            state.open = state.open.saturating_sub(1);
            state.flags |= FAILED;
            if !state.is_acked() {
                state.completed = at;
            }
            if partition != NO_PARTITION {
                state.partition = partition;
            }
        }
    }

    /// The transaction of these records was aborted; `failed` if an error had been reported for them
    /// before.
    pub fn aborted(&mut self, at: SimTime, records: &[Record], failed: bool) {
        for record in records {
            let state = self.get_mut(record.id);
            state.open = state.open.saturating_sub(u8::from(!failed));
            state.flags |= ABORTED;
            if !state.is_acked() {
                state.completed = at;
            }
        }
    }

    /// Every record that was created, ascending by id.
    pub fn iter(&self) -> impl Iterator<Item = (RecordId, &RecordState)> {
        self.producers.iter().enumerate().flat_map(|(producer, records)| {
            let created = records.iter().enumerate().filter(|(_, state)| state.is_created());
            created.map(move |(sequence, state)| (record_id(producer, sequence), state))
        })
    }

    fn producer_mut(&mut self, index: usize) -> &mut Vec<RecordState> {
        if self.producers.len() <= index {
            self.producers.resize(index + 1, Vec::new());
        }
        &mut self.producers[index]
    }
}

fn record_id(producer: usize, sequence: usize) -> RecordId {
    RecordId {
        producer: acklab_vocab::ids::ProducerIndex(producer as u16),
        sequence: sequence as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sequence: u32) -> Record {
        Record { id: record_id(0, sequence as usize), attempt: 0, size: 10 }
    }

    #[test]
    fn a_record_costs_forty_bytes() {
        assert_eq!(size_of::<RecordState>(), 40);
    }

    #[test]
    fn instances_of_a_name_create_every_other_sequence() {
        let mut table = RecordTable::new(1);
        table.create(SimTime(5), record(1).id, 3, 3);
        let created: Vec<u32> = table.iter().map(|(id, _)| id.sequence).collect();
        assert_eq!(created, [1, 4, 7]);
    }

    #[test]
    fn a_record_has_failed_only_when_every_attempt_was_reported_an_error() {
        let mut table = RecordTable::new(1);
        table.create(SimTime(0), record(0).id, 1, 1);
        let outcome = |table: &RecordTable| table.get(record(0).id).unwrap().outcome();
        assert_eq!(outcome(&table), Outcome::Unknown);
        table.failed(SimTime(1), &[record(0)], 0);
        assert_eq!(outcome(&table), Outcome::Failed);
        table.resend(&[record(0)]);
        assert_eq!(outcome(&table), Outcome::Unknown);
        table.acked(SimTime(2), &[record(0)], 0, |_| {});
        assert_eq!(outcome(&table), Outcome::Acked);
    }

    #[test]
    fn a_record_of_an_aborted_transaction_is_aborted_whatever_its_send_reported() {
        let mut table = RecordTable::new(1);
        table.create(SimTime(0), record(0).id, 1, 2);
        table.aborted(SimTime(1), &[record(0)], false);
        table.failed(SimTime(1), &[record(1)], 0);
        table.aborted(SimTime(2), &[record(1)], true);
        let outcome = |sequence| table.get(record(sequence).id).unwrap().outcome();
        assert_eq!([outcome(0), outcome(1)], [Outcome::Aborted, Outcome::Aborted]);
    }
}
