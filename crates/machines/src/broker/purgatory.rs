//! Requests that wait: acks=all appends for their followers, fetches for data.
//!
//! Mirrors `DelayedOperationPurgatory` with `DelayedProduce` and `DelayedFetch`. What waits is
//! found through the partition that changed, never by looking at everything; each kind has one
//! timer, set for its earliest deadline or earlier. An answer to a connection that is gone goes
//! nowhere.

use super::fetch::answers_at_once;
use super::fetch_session::{FetchParameters, FetchWatcher, ParkedFetch};
use super::produce::ProduceOutcome;
use super::{Broker, BrokerCx, BrokerTimer};
use acklab_vocab::api::{Acks, Isolation};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{ConnectionId, CorrelationId};
use acklab_vocab::time::SimTime;
use smallvec::SmallVec;

/// A produce request in the purgatory (`DelayedProduce`).
#[derive(Debug)]
pub(super) struct ParkedProduce {
    /// Whom to answer.
    pub connection: ConnectionId,
    /// To be repeated in the response.
    pub correlation: CorrelationId,
    /// When it is answered with REQUEST_TIMED_OUT.
    pub deadline: SimTime,
    /// What became of each batch so far.
    pub outcomes: SmallVec<[ProduceOutcome; 1]>,
}

/// The produce requests that wait.
#[derive(Debug, Default)]
pub(super) struct ProducePurgatory {
    parked: Vec<Option<ParkedProduce>>,
    free: Vec<u32>,
    timer_at: Option<SimTime>,
}

impl ProducePurgatory {
    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.free.len() == self.parked.len()
    }

    fn insert(&mut self, produce: ParkedProduce) -> u32 {
        match self.free.pop() {
            Some(id) => {
                self.parked[id as usize] = Some(produce);
                id
            }
            None => {
                self.parked.push(Some(produce));
                self.parked.len() as u32 - 1
            }
        }
    }

    fn get_mut(&mut self, id: u32) -> &mut ParkedProduce {
        self.parked[id as usize].as_mut().expect("watched requests are parked")
    }

    fn remove(&mut self, id: u32) -> ParkedProduce {
        self.free.push(id);
        self.parked[id as usize].take().expect("watched requests are parked")
    }

    fn earliest_deadline(&self) -> Option<SimTime> {
        self.parked.iter().flatten().map(|produce| produce.deadline).min()
    }
}

impl Broker {
    /// Parks an acks=all request, of which some partition is pending.
    pub(super) fn park_produce(&mut self, cx: &mut BrokerCx<'_>, produce: ParkedProduce) {
        let deadline = produce.deadline;
        let pending: SmallVec<[usize; 1]> =
            produce.outcomes.iter().filter(|o| o.is_pending).filter_map(|o| o.slot).collect();
        let id = self.produce_purgatory.insert(produce);
        for slot in pending {
            let watchers = &mut self.replicas[slot].parked_produces;
            if watchers.last() != Some(&id) {
                watchers.push(id);
            }
        }
        if self.produce_purgatory.timer_at.is_none_or(|at| deadline < at) {
            self.produce_purgatory.timer_at = Some(deadline);
            cx.set_timer(BrokerTimer::ProducePurgatory, deadline);
        }
    }

    /// The partition's high watermark moved: appends may be done, consumers may read on.
    pub(super) fn complete_after_high_watermark(&mut self, cx: &mut BrokerCx<'_>, slot: usize) {
        self.complete_produces(cx, slot);
        self.complete_coordinator_appends(cx, slot);
        self.complete_fetches(cx, slot, false);
    }

    /// Another broker leads the partition now.
    pub(super) fn complete_after_stepping_down(&mut self, cx: &mut BrokerCx<'_>, slot: usize) {
        self.complete_produces(cx, slot);
        self.complete_coordinator_appends(cx, slot);
        self.complete_fetches(cx, slot, true);
    }

    /// The partition's log grew: followers may read on.
    pub(super) fn complete_after_append(&mut self, cx: &mut BrokerCx<'_>, slot: usize) {
        self.complete_fetches(cx, slot, true);
    }

    fn complete_produces(&mut self, cx: &mut BrokerCx<'_>, slot: usize) {
        if self.replicas[slot].parked_produces.is_empty() {
            return;
        }
        let mut watchers = std::mem::take(&mut self.replicas[slot].parked_produces);
        watchers.retain(|&id| {
            let partition = &self.replicas[slot];
            let shared = &self.shared;
            let produce = self.produce_purgatory.get_mut(id);
            let of_this = |o: &&mut ProduceOutcome| o.slot == Some(slot) && o.is_pending;
            for outcome in produce.outcomes.iter_mut().filter(of_this) {
                outcome.check(shared, partition);
            }
            let still_here = |o: &ProduceOutcome| o.slot == Some(slot) && o.is_pending;
            let waits_here = produce.outcomes.iter().any(still_here);
            if !produce.outcomes.iter().any(|outcome| outcome.is_pending) {
                let produce = self.produce_purgatory.remove(id);
                self.answer_produce(
                    cx,
                    produce.connection,
                    produce.correlation,
                    Acks::All,
                    &produce.outcomes,
                );
            }
            waits_here
        });
        assert!(self.replicas[slot].parked_produces.is_empty(), "an answer parks nothing");
        self.replicas[slot].parked_produces = watchers;
    }

    /// Answers produce requests that have waited too long (`DelayedProduce.onExpiration`).
    pub(super) fn expire_produces(&mut self, cx: &mut BrokerCx<'_>) {
        self.produce_purgatory.timer_at = None;
        let now = cx.now();
        let parked = self.produce_purgatory.parked.iter().enumerate();
        let mut due: Vec<(SimTime, u32)> = parked
            .filter_map(|(id, produce)| Some((produce.as_ref()?.deadline, id as u32)))
            .filter(|&(deadline, _)| deadline <= now)
            .collect();
        due.sort_unstable();
        for (_, id) in due {
            let mut produce = self.produce_purgatory.remove(id);
            for outcome in produce.outcomes.iter_mut().filter(|outcome| outcome.is_pending) {
                outcome.error = ErrorCode::RequestTimedOut;
                outcome.is_pending = false;
                if let Some(slot) = outcome.slot {
                    self.replicas[slot].parked_produces.retain(|&waiting| waiting != id);
                }
            }
            self.answer_produce(
                cx,
                produce.connection,
                produce.correlation,
                Acks::All,
                &produce.outcomes,
            );
        }
        if let Some(deadline) = self.produce_purgatory.earliest_deadline() {
            self.produce_purgatory.timer_at = Some(deadline);
            cx.set_timer(BrokerTimer::ProducePurgatory, deadline);
        }
    }

    /// Parks a fetch for which there is not enough to say.
    pub(super) fn park_fetch(&mut self, cx: &mut BrokerCx<'_>, session: u32, fetch: ParkedFetch) {
        let deadline = fetch.deadline;
        self.fetch_sessions.get_mut(session).parked = Some(fetch);
        if self.fetch_sessions.timer_at.is_none_or(|at| deadline < at) {
            self.fetch_sessions.timer_at = Some(deadline);
            cx.set_timer(BrokerTimer::FetchPurgatory, deadline);
        }
    }

    /// Looks at the fetches that wait for a partition. `log_end_moved`: followers wait for that.
    fn complete_fetches(&mut self, cx: &mut BrokerCx<'_>, slot: usize, log_end_moved: bool) {
        self.fetch_sessions.notice_changes(&mut self.replicas);
        for at in 0..self.replicas[slot].fetch_watchers.len() {
            let watcher = self.replicas[slot].fetch_watchers[at];
            let Some(parked) = &self.fetch_sessions.get(watcher.session).parked else { continue };
            if parked.parameters.isolation == Isolation::LogEnd && !log_end_moved {
                continue;
            }
            if self.is_fetch_due(cx, watcher, parked.parameters) {
                self.answer_parked_fetch(cx, watcher.session);
            }
        }
    }

    /// Whether a change of its partition at `index` lets a fetch be answered
    /// (`DelayedFetch.tryComplete`).
    fn is_fetch_due(
        &self,
        cx: &mut BrokerCx<'_>,
        watcher: FetchWatcher,
        parameters: FetchParameters,
    ) -> bool {
        let session = self.fetch_sessions.get(watcher.session);
        let Some(changed) = session.get(watcher.index).map(|known| &known.fetch) else {
            return false;
        };
        if self.led(changed.partition, changed.current_leader_epoch).is_err() {
            return true;
        }
        let isolation = parameters.isolation;
        if parameters.min_bytes <= 1 {
            return self.bytes_readable(cx, isolation, changed) > 0;
        }
        let fetches = session.active_fetches();
        let readable = fetches.map(|fetch| self.bytes_readable(cx, isolation, fetch));
        answers_at_once(readable.sum(), parameters.min_bytes)
    }

    fn answer_parked_fetch(&mut self, cx: &mut BrokerCx<'_>, session: u32) {
        if let Some(parked) = self.fetch_sessions.get_mut(session).parked.take() {
            let reads = self.read_from_log(cx, session, parked.parameters, None);
            self.answer_fetch(cx, session, parked.correlation, reads);
        }
    }

    /// Answers fetches that have waited for `max_wait`, with whatever there is.
    pub(super) fn expire_fetches(&mut self, cx: &mut BrokerCx<'_>) {
        self.fetch_sessions.timer_at = None;
        let now = cx.now();
        let mut due: Vec<(SimTime, u32)> = self
            .fetch_sessions
            .parked()
            .filter(|(_, parked)| parked.deadline <= now)
            .map(|(session, parked)| (parked.deadline, session))
            .collect();
        due.sort_unstable();
        for (_, session) in due {
            self.answer_parked_fetch(cx, session);
        }
        let next = self.fetch_sessions.parked().map(|(_, parked)| parked.deadline).min();
        if let Some(deadline) = next {
            self.fetch_sessions.timer_at = Some(deadline);
            cx.set_timer(BrokerTimer::FetchPurgatory, deadline);
        }
    }
}
