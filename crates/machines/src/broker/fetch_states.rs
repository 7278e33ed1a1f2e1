//! The partitions of a fetcher: what each needs next, and what the leader's session knows of it.
//!
//! Mirrors `PartitionStates`, `PartitionFetchState` and `FetchSessionHandler` (KIP-227). A fetch
//! names only what is new to the leader's session, so a round looks only at the partitions that
//! were *touched* since the last one: answered, delayed, taken on. What waits stays touched until
//! it is asked about. Left out: a partition that is given back before the next fetch is not first
//! forgotten, as Kafka would, where nothing else is fetched meanwhile.

use super::metadata_image::PartitionIndexMap;
use acklab_vocab::api::PartitionFetch;
use acklab_vocab::ids::{LeaderEpoch, Offset, TopicPartition};
use acklab_vocab::time::SimTime;

/// A partition of a fetcher (`PartitionFetchState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FetchState {
    /// Which.
    pub partition: TopicPartition,
    /// Where it is among the replicas.
    pub slot: usize,
    /// The epoch in which it follows.
    pub leader_epoch: LeaderEpoch,
    /// What to fetch next: the log end.
    pub fetch_offset: Offset,
    /// Epoch of the last record before that.
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// What to do next.
    pub phase: Phase,
    /// Not before this instant.
    pub delayed_until: SimTime,
    /// What the last request asked for; of a fetch, what the leader's session has.
    pub asked: Option<(Offset, LeaderEpoch)>,
    /// What the leader's session has, if it has the partition.
    pub in_session: Option<PartitionFetch>,
    /// It is among those to look at in the next round.
    pub is_touched: bool,
}

/// What a partition needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// To ask where the logs part (OffsetsForLeaderEpoch).
    Truncating,
    /// Records.
    Fetching,
    /// To know where the leader's log begins and ends (ListOffsets).
    OutOfRange,
    /// New metadata: the leader has a newer epoch.
    Failed,
}

impl FetchState {
    /// Whether it can be asked about now, in `phase`.
    pub fn is_ready(&self, phase: Phase, now: SimTime) -> bool {
        self.phase == phase && self.delayed_until <= now
    }

    /// Nothing is asked before `until`.
    pub fn delay(&mut self, until: SimTime) {
        self.delayed_until = until;
    }

    /// FENCED_LEADER_EPOCH for the epoch that it is in: only new metadata helps. For an older one:
    /// try again.
    pub fn on_fenced(&mut self, until: SimTime) {
        if self.asked.is_some_and(|(_, epoch)| epoch == self.leader_epoch) {
            self.phase = Phase::Failed;
        } else {
            self.delay(until);
        }
    }
}

/// The partitions of a fetcher.
#[derive(Debug, Default)]
pub(super) struct FetchStates {
    /// In the order in which they were taken on.
    all: Vec<FetchState>,
    /// Where in `all` a partition is; out of date for one that was given up.
    places: PartitionIndexMap,
    /// Places of those to look at in the next round; each once.
    touched: Vec<usize>,
    /// Partitions that the leader's session still has, and that were given up.
    forgotten: Vec<TopicPartition>,
    /// How many the leader's session has.
    in_session: usize,
}

impl FetchStates {
    /// Takes a partition on.
    pub fn add(&mut self, mut state: FetchState) {
        let partition = state.partition;
        let place = self.all.len();
        self.places.set(partition, place as u32);
        if let Some(known) = self.forgotten.iter().position(|&it| it == partition) {
            // What the session has of it is as good as forgotten, but its place is kept.
            self.forgotten.remove(known);
            state.in_session = Some(PartitionFetch { partition, ..NOWHERE });
            self.in_session += 1;
        }
        state.is_touched = false;
        self.all.push(state);
        self.touch(place);
    }

    /// Gives a partition up.
    pub fn remove(&mut self, partition: TopicPartition) -> Option<FetchState> {
        let at = self.place(partition)?;
        let state = self.all.remove(at);
        if state.in_session.is_some() {
            self.in_session -= 1;
            self.forgotten.push(partition);
        }
        self.touched.retain(|&place| place != at);
        for place in self.touched.iter_mut().filter(|place| **place > at) {
            *place -= 1;
        }
        for place in at..self.all.len() {
            self.places.set(self.all[place].partition, place as u32);
        }
        Some(state)
    }

    /// Where a partition is.
    fn place(&self, partition: TopicPartition) -> Option<usize> {
        let place = self.places.get(partition)? as usize;
        self.all.get(place).filter(|state| state.partition == partition).map(|_| place)
    }

    /// A partition is to be looked at in the next round.
    fn touch(&mut self, place: usize) {
        if !std::mem::replace(&mut self.all[place].is_touched, true) {
            self.touched.push(place);
        }
    }

    /// The connection is gone, and the leader's session with it.
    pub fn forget_session(&mut self) {
        self.forgotten.clear();
        self.in_session = 0;
        for place in 0..self.all.len() {
            self.all[place].in_session = None;
            self.touch(place);
        }
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Every partition waits.
    pub fn delay_all(&mut self, until: SimTime) {
        for state in &mut self.all {
            state.delay(until);
        }
    }

    /// The state of a partition, as far as an answer may change it, if the fetcher still has it; it
    /// goes back with [`FetchStates::put_back`].
    pub fn lend(&mut self, partition: TopicPartition) -> Option<(usize, FetchState)> {
        let place = self.place(partition)?;
        self.touch(place);
        Some((place, self.all[place]))
    }

    /// The answer has been dealt with.
    pub fn put_back(&mut self, place: usize, state: FetchState) {
        self.all[place] = state;
    }

    /// Those to look at in the next round.
    pub fn touched(&self) -> impl Iterator<Item = &FetchState> + '_ {
        self.touched.iter().map(|&place| &self.all[place])
    }

    /// Which phase is next in turn: questions come before fetches.
    pub fn next_phase(&self, now: SimTime) -> Option<Phase> {
        let is_ready = |phase: Phase| self.touched().any(|state| state.is_ready(phase, now));
        if is_ready(Phase::Truncating) {
            Some(Phase::Truncating)
        } else if is_ready(Phase::OutOfRange) {
            Some(Phase::OutOfRange)
        } else {
            let known = self.touched().filter(|state| state.in_session.is_some()).count();
            let fetches = self.in_session > known || is_ready(Phase::Fetching);
            fetches.then_some(Phase::Fetching)
        }
    }

    /// Marks what a question asks about: the partitions that are ready and in `phase`.
    pub fn ask(&mut self, now: SimTime, phase: Phase) -> impl Iterator<Item = &FetchState> + '_ {
        self.touched.sort_unstable();
        for &place in &self.touched {
            let state = &mut self.all[place];
            if state.is_ready(phase, now) {
                state.asked = Some((state.fetch_offset, state.leader_epoch));
            }
        }
        self.touched().filter(move |state| state.is_ready(phase, now))
    }

    /// What the leader's session is to learn: what it is to forget, and what is new
    /// (`FetchSessionHandler.Builder.build`).
    pub fn session_update(
        &mut self,
        now: SimTime,
        fetch: impl Fn(&FetchState) -> PartitionFetch,
    ) -> (Vec<TopicPartition>, Vec<PartitionFetch>) {
        let mut forgotten = std::mem::take(&mut self.forgotten);
        let mut named = Vec::new();
        self.touched.sort_unstable();
        let FetchStates { all, touched, in_session, .. } = self;
        touched.retain(|&place| {
            let state = &mut all[place];
            let waits = !state.is_ready(Phase::Fetching, now);
            if waits {
                state.asked = None;
                if state.in_session.take().is_some() {
                    *in_session -= 1;
                    forgotten.push(state.partition);
                }
            } else {
                let wanted = fetch(state);
                state.asked = Some((state.fetch_offset, state.leader_epoch));
                *in_session += usize::from(state.in_session.is_none());
                if state.in_session.replace(wanted) != Some(wanted) {
                    named.push(wanted);
                }
            }
            state.is_touched = waits && state.phase != Phase::Failed;
            state.is_touched
        });
        (forgotten, named)
    }
}

/// What no fetch asks for.
const NOWHERE: PartitionFetch = PartitionFetch {
    partition: TopicPartition::new(0, 0),
    current_leader_epoch: None,
    fetch_offset: Offset(u64::MAX),
    last_fetched_epoch: None,
    max_bytes: 0,
};
