//! One replica's log and what its broker believes, as its facts tell.
//!
//! A log is a list of [`AppendId`]s: batches that leaders wrote. Mirrors `UnifiedLog` and the
//! leader's part of `Partition`; leaves out segments, indexes and retention, which no fact speaks
//! of yet.

use acklab_vocab::ids::{BrokerId, BrokerList, LeaderEpoch, NodeId, Offset};
use acklab_vocab::time::SimTime;
use smallvec::SmallVec;

use super::{Append, AppendId};

/// One replica of a partition.
#[derive(Clone, Debug)]
pub struct Replica {
    /// On which process.
    pub node: NodeId,
    /// Of which broker.
    pub broker: BrokerId,
    /// Its batches, ascending by offset.
    pub log: Vec<AppendId>,
    /// Offset of the next record.
    pub log_end_offset: Offset,
    /// Exclusive.
    pub high_watermark: Offset,
    /// When the high watermark moved last, and where it had been before that instant.
    moved: Option<(SimTime, Offset)>,
    /// How many batches of `log` end at or below the high watermark.
    pub below_high_watermark: usize,
    /// Epochs of the batches with their first offsets, ascending: the leader epoch cache without
    /// empty epochs.
    pub epochs: EpochSpans,
    /// The newest epoch that it has ever heard of.
    pub epoch_heard: LeaderEpoch,
    /// What it is in this life.
    pub role: Role,
    /// It has lost an unflushed tail.
    pub has_lost_tail: bool,
}

/// Leader epochs with their first offsets, ascending in both.
pub type EpochSpans = SmallVec<[(LeaderEpoch, Offset); 4]>;

/// What a replica believes to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It has not heard yet.
    Unknown,
    /// It follows, or there is none to follow.
    Follower(LeaderEpoch),
    /// It leads.
    Leader(LeaderView),
}

/// What a leader knows of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderView {
    /// Its epoch.
    pub epoch: LeaderEpoch,
    /// Its log end offset when the epoch began.
    pub epoch_start: Offset,
    /// The ISR that the controller has committed.
    pub isr: BrokerList,
    /// The ISR that it has proposed and not heard of again.
    pub proposed: Option<BrokerList>,
    /// How far the others have fetched in this leadership.
    pub reported: SmallVec<[(BrokerId, Offset); 4]>,
}

impl LeaderView {
    /// How far a follower is, as it has told this leader.
    #[must_use]
    pub fn reported_by(&self, follower: BrokerId) -> Option<Offset> {
        self.reported.iter().find(|(broker, _)| *broker == follower).map(|&(_, end)| end)
    }

    /// A follower fetched from `end`.
    pub fn report(&mut self, follower: BrokerId, end: Offset) {
        match self.reported.iter_mut().find(|(broker, _)| *broker == follower) {
            Some((_, reported)) => *reported = end,
            None => self.reported.push((follower, end)),
        }
    }

    /// Whether `broker` is in the committed or in the proposed ISR.
    #[must_use]
    pub fn is_in_maximal_isr(&self, broker: BrokerId) -> bool {
        self.isr.contains(&broker)
            || self.proposed.as_ref().is_some_and(|proposed| proposed.contains(&broker))
    }

    /// Members of the maximal ISR: the committed ISR and a proposed newcomer.
    pub fn maximal_isr(&self) -> impl Iterator<Item = BrokerId> + '_ {
        let proposed = self.proposed.iter().flatten().filter(|broker| !self.isr.contains(broker));
        self.isr.iter().chain(proposed).copied()
    }
}

impl Replica {
    /// An empty replica.
    #[must_use]
    pub fn new(node: NodeId, broker: BrokerId) -> Self {
        Replica {
            node,
            broker,
            log: Vec::new(),
            log_end_offset: Offset(0),
            high_watermark: Offset(0),
            moved: None,
            below_high_watermark: 0,
            epochs: EpochSpans::new(),
            epoch_heard: LeaderEpoch(0),
            role: Role::Unknown,
            has_lost_tail: false,
        }
    }

    /// Its last batch.
    #[must_use]
    pub fn last(&self) -> AppendId {
        self.log.last().copied().unwrap_or(AppendId::NONE)
    }

    /// The epoch that it leads in, if it believes to lead.
    #[must_use]
    pub fn leads_in(&self) -> Option<LeaderEpoch> {
        self.leader_view().map(|view| view.epoch)
    }

    /// What it knows as a leader.
    #[must_use]
    pub fn leader_view(&self) -> Option<&LeaderView> {
        match &self.role {
            Role::Leader(view) => Some(view),
            Role::Unknown | Role::Follower(_) => None,
        }
    }

    /// What it knows as a leader.
    pub fn leader_view_mut(&mut self) -> Option<&mut LeaderView> {
        match &mut self.role {
            Role::Leader(view) => Some(view),
            Role::Unknown | Role::Follower(_) => None,
        }
    }

    /// The high watermark moves.
    pub fn note_high_watermark(&mut self, at: SimTime) {
        self.moved = Some((at, self.high_watermark_before(at)));
    }

    /// The high watermark as it was before an instant, which is now.
    #[must_use]
    pub fn high_watermark_before(&self, at: SimTime) -> Offset {
        let moved = self.moved.filter(|&(moved_at, _)| moved_at == at);
        moved.map_or(self.high_watermark, |(_, was)| was)
    }

    /// Adds a batch at its end.
    pub fn push(&mut self, id: AppendId, append: &Append) {
        let epoch = append.batch.leader_epoch;
        if self.epochs.last().is_none_or(|&(last, _)| last != epoch) {
            self.epochs.push((epoch, append.batch.base_offset));
        }
        self.log.push(id);
        self.log_end_offset = append.batch.next_offset();
    }

    /// Cuts the log to end at `end`; returns the batches that are gone.
    pub fn cut(&mut self, end: Offset, appends: &[Append]) -> Vec<AppendId> {
        let keep = self.position(end, appends);
        let gone = self.log.split_off(keep);
        self.log_end_offset = end;
        self.high_watermark = self.high_watermark.min(end);
        self.below_high_watermark = self.below_high_watermark.min(keep);
        while self.epochs.last().is_some_and(|&(_, start)| start >= end) {
            self.epochs.pop();
        }
        gone
    }

    /// Index of the first batch whose last record is at or above `offset`; the number of batches if
    /// there is none.
    #[must_use]
    pub fn position(&self, offset: Offset, appends: &[Append]) -> usize {
        if offset >= self.log_end_offset {
            return self.log.len();
        }
        self.log.partition_point(|id| appends[id.index()].batch.next_offset() <= offset)
    }

    /// The batch that holds `offset`.
    #[must_use]
    pub fn batch_at(&self, offset: Offset, appends: &[Append]) -> Option<AppendId> {
        let id = *self.log.get(self.position(offset, appends))?;
        (appends[id.index()].batch.base_offset <= offset).then_some(id)
    }

    /// The batch that ends at `end`, if one does. Quick near the end of the log, where it is asked
    /// for.
    #[must_use]
    pub fn batch_ending_at(&self, end: Offset, appends: &[Append]) -> Option<AppendId> {
        let ends = |id: &AppendId| appends[id.index()].batch.next_offset();
        let near = self.log.iter().rev().take(8).find(|id| ends(id) <= end);
        match near {
            Some(id) => (ends(id) == end).then_some(*id),
            None => {
                let index = self.log.partition_point(|id| ends(id) < end);
                self.log.get(index).copied().filter(|id| ends(id) == end)
            }
        }
    }
}

/// Whether a log with these epochs and this end holds the batch of `epoch` at `offset`.
#[must_use]
pub fn holds(epochs: &EpochSpans, end: Offset, epoch: LeaderEpoch, offset: Offset) -> bool {
    let span = epochs.iter().rev().find(|&&(_, start)| start <= offset);
    offset < end && span.is_some_and(|&(of, _)| of == epoch)
}
