//! A thread that works on records: how long each takes, and how many are done at any instant.
//!
//! A thread takes records up in chunks of at most a millisecond, so that a run has an event per chunk, not per record; a
//! record that takes longer is a chunk by itself. What a pause or the end of the process cuts short is known to the record:
//! the one in hand is not done, and after a pause the rest of its time is still to be served.

use crate::draws;
use acklab_machines::consumer::PolledRecords;
use acklab_machines::rng::NodeRng;
use acklab_scenario::model::{PoisonEffect, Processing, Span};
use acklab_vocab::ids::{Offset, RecordId};
use acklab_vocab::time::{SimDuration, SimTime};
use std::collections::VecDeque;

/// Records are taken up in chunks of at most this much work.
const CHUNK: SimDuration = SimDuration::from_millis(1);

/// What is special about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    /// The application does not digest it.
    Poison(PoisonEffect),
    /// A fault waits for it: the chunk ends with it, so that the fault strikes right after it.
    Watched,
}

/// How fast an application works.
#[derive(Debug)]
pub(crate) struct Pace {
    processing: Processing,
    /// Ascending; poison before watched.
    special: Vec<(RecordId, Special)>,
    rng: NodeRng,
}

impl Pace {
    pub(crate) fn new(processing: Processing, watched: &[RecordId], rng: NodeRng) -> Self {
        let poison = processing.poison.iter();
        let mut special: Vec<(RecordId, Special)> =
            poison.map(|poison| (poison.record, Special::Poison(poison.effect))).collect();
        special.extend(watched.iter().map(|&record| (record, Special::Watched)));
        special.sort_by_key(|&(record, _)| record);
        Pace { processing, special, rng }
    }

    /// What has not been drawn yet comes from another stream.
    pub(crate) fn draw_from(&mut self, rng: NodeRng) {
        self.rng = rng;
    }

    fn special(&self, record: RecordId) -> Option<Special> {
        if self.special.is_empty() {
            return None;
        }
        let at = self.special.partition_point(|&(other, _)| other < record);
        self.special.get(at).filter(|&&(other, _)| other == record).map(|&(_, special)| special)
    }

    /// How long a record takes that is taken up at an instant.
    fn takes(&mut self, special: Option<Special>, at: SimTime) -> SimDuration {
        if let Some(Special::Poison(PoisonEffect::Takes(takes))) = special {
            return takes;
        }
        let span = match self.processing.slow {
            Some((from, until, slow))
                if at >= SimTime::ZERO + from && at < SimTime::ZERO + until =>
            {
                slow
            }
            Some(_) | None => self.processing.per_record,
        };
        match span {
            Span::Exactly(takes) => takes,
            drawn => draws::next_span(drawn, &mut self.rng),
        }
    }
}

/// What a thread does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It has nothing to do.
    Idle,
    /// It works until then.
    Until(SimTime),
    /// Its next record crashes the process, which starts again after so long.
    Crash(SimDuration),
}

/// A thread of an application.
#[derive(Debug, Default)]
pub(crate) struct Thread {
    queue: VecDeque<PolledRecords>,
    /// How long the first records of the queue take, as far as that is known: drawn, or left over from before a pause.
    known: VecDeque<SimDuration>,
    /// When the chunk in hand was begun.
    began: Option<SimTime>,
    /// When each record of the chunk in hand is done, from its beginning.
    ends: Vec<SimDuration>,
    /// Which chunk is in hand.
    token: u32,
}

impl Thread {
    pub(crate) fn push(&mut self, records: PolledRecords) {
        self.queue.push_back(records);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn is_working(&self) -> bool {
        self.began.is_some()
    }

    pub(crate) fn token(&self) -> u32 {
        self.token
    }

    /// How many records it has not done.
    pub(crate) fn in_hand(&self) -> u64 {
        self.queue.iter().map(|records| records.to.distance_from(records.from)).sum()
    }

    /// Takes up the next chunk, or the next record alone.
    pub(crate) fn begin(&mut self, now: SimTime, pace: &mut Pace, one_by_one: bool) -> Begun {
        assert!(self.began.is_none(), "a thread does one chunk at a time");
        self.ends.clear();
        let mut total = SimDuration::ZERO;
        let mut taken = 0;
        'chunk: for records in &self.queue {
            let first = records.batch.base_offset;
            let bounds = (records.from.distance_from(first), records.to.distance_from(first));
            let all = records.batch.records();
            for record in &all[bounds.0 as usize..bounds.1 as usize] {
                let special = pace.special(record.id);
                if let Some(Special::Poison(PoisonEffect::Crashes(after))) = special {
                    if taken == 0 {
                        return Begun::Crash(after);
                    }
                    break 'chunk;
                }
                let takes = match self.known.get(taken) {
                    Some(&takes) => takes,
                    None => {
                        let takes = pace.takes(special, now + total);
                        self.known.push_back(takes);
                        takes
                    }
                };
                if taken > 0 && total + takes > CHUNK {
                    break 'chunk;
                }
                total += takes;
                self.ends.push(total);
                taken += 1;
                if one_by_one || special.is_some() || total >= CHUNK {
                    break 'chunk;
                }
            }
        }
        if taken == 0 {
            return Begun::Idle;
        }
        self.began = Some(now);
        self.token += 1;
        Begun::Until(now + total)
    }

    /// The chunk in hand is done. Returns its records.
    pub(crate) fn finish(&mut self) -> Vec<PolledRecords> {
        self.began = None;
        self.take(self.ends.len())
    }

    /// The work stops in the middle. Returns the records that are done; of the one in hand, the rest of its time is left.
    pub(crate) fn interrupt(&mut self, now: SimTime) -> Vec<PolledRecords> {
        let Some(began) = self.began.take() else { return Vec::new() };
        self.token += 1;
        let served = now.since(began);
        // The last one is done when its event is handled, not before.
        let done = self.ends.partition_point(|&end| end <= served).min(self.ends.len() - 1);
        let before = if done == 0 { SimDuration::ZERO } else { self.ends[done - 1] };
        let records = self.take(done);
        if let Some(in_hand) = self.known.front_mut() {
            *in_hand = in_hand.saturating_sub(served.saturating_sub(before));
        }
        records
    }

    /// Drops everything that is not done. Returns it, runs of one partition together.
    pub(crate) fn drop_queue(&mut self) -> Vec<PolledRecords> {
        self.known.clear();
        self.began = None;
        self.ends.clear();
        let mut dropped: Vec<PolledRecords> = Vec::new();
        for records in self.queue.drain(..) {
            match dropped.last_mut() {
                Some(last) if last.partition == records.partition && last.to == records.from => {
                    last.to = records.to;
                }
                Some(_) | None => dropped.push(records),
            }
        }
        dropped
    }

    fn take(&mut self, count: usize) -> Vec<PolledRecords> {
        self.known.drain(..count);
        self.ends.clear();
        let mut left = count as u64;
        let mut taken = Vec::new();
        while left > 0 {
            let Some(first) = self.queue.front_mut() else { break };
            let length = first.to.distance_from(first.from);
            if length <= left {
                left -= length;
                taken.extend(self.queue.pop_front());
            } else {
                let until = Offset(first.from.0 + left);
                taken.push(PolledRecords { to: until, ..first.clone() });
                first.from = until;
                left = 0;
            }
        }
        taken
    }
}
