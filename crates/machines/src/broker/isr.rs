//! Who is in sync: shrinking and expanding the ISR.
//!
//! Mirrors `Partition.maybeShrinkIsr`, `maybeExpandIsr` and their response handling (KIP-497).
//! Shrinking is periodic, expanding happens on the follower's fetch. Left out: the criterion of 0.8
//! by number of records.

use super::high_watermark::FollowerState;
use super::partition::{LeaderState, Partition};
use super::{Broker, BrokerCx, BrokerTimer, Shared};
use acklab_vocab::api::PartitionAlterResponse;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerId, BrokerList, Offset};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::TraceEvent;

/// The ISR without the followers that lag, if any do (`Partition.getOutOfSyncReplicas`).
/// Empty-handed while a proposal is pending.
fn shrunk_isr(
    own: BrokerId,
    leader: &LeaderState,
    log_end: Offset,
    now: SimTime,
    lag_max: SimDuration,
) -> Option<BrokerList> {
    if leader.pending.is_some() {
        return None;
    }
    let stays = |broker: BrokerId| {
        let mut followers = leader.followers.iter();
        let state = followers.find(|follower| follower.broker == broker);
        broker == own || state.is_some_and(|state| state.is_caught_up(log_end, now, lag_max))
    };
    let isr: BrokerList = leader.isr.iter().copied().filter(|&broker| stays(broker)).collect();
    (isr.len() < leader.isr.len()).then_some(isr)
}

/// The ISR with `follower`, if it may join (`Partition.needsExpandIsr`).
fn expanded_isr(
    shared: &Shared,
    partition: &Partition,
    leader: &LeaderState,
    follower: &FollowerState,
) -> Option<BrokerList> {
    if leader.pending.is_some() || leader.isr.contains(&follower.broker) {
        return None;
    }
    let rules = shared.config.rules;
    if !shared.image.may_join_isr(rules, follower.broker, follower.broker_epoch) {
        return None;
    }
    let log_end = follower.log_end_offset?;
    let awaits_start = rules.has(ProtocolRule::IsrExpandAwaitsEpochStart);
    if log_end < partition.log.high_watermark() || (awaits_start && log_end < leader.epoch_start) {
        return None;
    }
    let mut isr = leader.isr.clone();
    let at = isr.iter().position(|&member| member > follower.broker).unwrap_or(isr.len());
    isr.insert(at, follower.broker);
    Some(isr)
}

/// What a leader does about an error that the controller returned for its proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterRefusal {
    /// Falls back to the committed ISR.
    Revert,
    /// Waits for new metadata, the proposal still pending.
    AwaitMetadata,
    /// Proposes the same again.
    Retry,
}

/// The error table of `Partition.handleAlterPartitionError`.
pub(super) fn after_refusal(error: ErrorCode) -> AfterRefusal {
    match error {
        ErrorCode::IneligibleReplica => AfterRefusal::Revert,
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::FencedLeaderEpoch
        | ErrorCode::InvalidUpdateVersion
        | ErrorCode::InvalidRequest
        | ErrorCode::NewLeaderElected => AfterRefusal::AwaitMetadata,
        _ => AfterRefusal::Retry,
    }
}

impl Broker {
    /// Looks for followers that lag, every half of `replica.lag.time.max.ms`.
    pub(super) fn on_isr_expiration(&mut self, cx: &mut BrokerCx<'_>) {
        let lag_max = self.shared.config.replica_lag_time_max;
        self.fetch_sessions.notice_changes(&mut self.replicas);
        cx.set_timer_after(BrokerTimer::IsrExpiration, lag_max / 2);
        for slot in 0..self.replicas.len() {
            let partition = &self.replicas[slot];
            let Some(leader) = partition.leader_state() else { continue };
            let log_end = partition.log.end_offset();
            if let Some(isr) = shrunk_isr(self.shared.id, leader, log_end, cx.now(), lag_max) {
                self.propose_isr(cx, slot, isr);
            }
        }
    }

    /// A follower has fetched: it may be in sync now.
    pub(super) fn maybe_expand_isr(
        &mut self,
        cx: &mut BrokerCx<'_>,
        slot: usize,
        follower: BrokerId,
    ) {
        let partition = &self.replicas[slot];
        let Some(leader) = partition.leader_state() else { return };
        if leader.isr.len() == partition.replicas.len() {
            return;
        }
        let mut followers = leader.followers.iter();
        let Some(state) = followers.find(|state| state.broker == follower) else { return };
        if let Some(isr) = expanded_isr(&self.shared, partition, leader, state) {
            self.propose_isr(cx, slot, isr);
        }
    }

    fn propose_isr(&mut self, cx: &mut BrokerCx<'_>, slot: usize, isr: BrokerList) {
        let partition = &mut self.replicas[slot];
        // A proposal that metadata has overtaken may still be on its way (OPERATION_NOT_ATTEMPTED).
        let Some(proposal) = self.alter_partition.submit(slot, partition, &isr) else { return };
        partition.set_pending_isr(cx, proposal, isr);
        self.send_alter_partition(cx);
    }

    /// The controller has answered a proposal (`Partition.submitAlterPartition`).
    pub(super) fn on_isr_answer(
        &mut self,
        cx: &mut BrokerCx<'_>,
        slot: usize,
        proposal: u64,
        answer: &PartitionAlterResponse,
    ) {
        let partition = &mut self.replicas[slot];
        let Some(pending) = partition.pending_isr().filter(|p| p.proposal == proposal) else {
            return;
        };
        let proposed = pending.isr.clone();
        if !answer.error.is_none() {
            self.on_isr_refused(cx, slot, proposed, answer.error);
            return;
        }
        if answer.leader_epoch != partition.leader_epoch
            || answer.partition_epoch < partition.partition_epoch
        {
            return;
        }
        self.fetch_sessions.activate(slot, &mut self.replicas);
        let partition = &mut self.replicas[slot];
        partition.partition_epoch = answer.partition_epoch;
        partition.commit_isr(cx, &answer.isr, false);
        if partition.maybe_increment_high_watermark(cx, &self.shared) {
            self.complete_after_high_watermark(cx, slot);
        }
    }

    fn on_isr_refused(
        &mut self,
        cx: &mut BrokerCx<'_>,
        slot: usize,
        proposed: BrokerList,
        error: ErrorCode,
    ) {
        let partition = &mut self.replicas[slot];
        let id = partition.id;
        cx.trace(|| TraceEvent::IsrProposalRefused { partition: id, error });
        match after_refusal(error) {
            AfterRefusal::Revert => partition.clear_pending_isr(),
            AfterRefusal::AwaitMetadata => {}
            AfterRefusal::Retry => {
                partition.clear_pending_isr();
                self.propose_isr(cx, slot, proposed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAG_MAX: SimDuration = SimDuration::from_secs(30);

    fn follower(broker: u16, log_end: u64, last_caught_up_secs: i64) -> FollowerState {
        FollowerState {
            log_end_offset: Some(Offset(log_end)),
            last_caught_up: SimTime::from_millis(last_caught_up_secs * 1_000),
            ..FollowerState::unknown(BrokerId(broker))
        }
    }

    fn brokers(ids: &[u16]) -> BrokerList {
        ids.iter().map(|&id| BrokerId(id)).collect()
    }

    #[track_caller]
    fn check_shrink(followers: Vec<FollowerState>, at_secs: i64, expected: Option<&[u16]>) {
        let leader = LeaderState {
            epoch_start: Offset(0),
            isr: brokers(&[1, 2, 3]),
            pending: None,
            followers,
        };
        let now = SimTime::from_millis(at_secs * 1_000);
        let isr = shrunk_isr(BrokerId(1), &leader, Offset(10), now, LAG_MAX);
        assert_eq!(isr, expected.map(brokers));
    }

    #[test]
    fn a_follower_leaves_when_it_was_not_caught_up_for_too_long() {
        check_shrink(vec![follower(2, 9, 0), follower(3, 10, 0)], 30, None);
        check_shrink(vec![follower(2, 9, 0), follower(3, 10, 0)], 31, Some(&[1, 3]));
        check_shrink(vec![follower(2, 9, 0), follower(3, 3, 0)], 31, Some(&[1]));
        check_shrink(vec![follower(2, 10, 0)], 31, Some(&[1, 2]));
    }

    #[test]
    fn refusals_are_sorted_as_kafka_sorts_them() {
        assert_eq!(after_refusal(ErrorCode::IneligibleReplica), AfterRefusal::Revert);
        for error in [
            ErrorCode::FencedLeaderEpoch,
            ErrorCode::InvalidUpdateVersion,
            ErrorCode::UnknownTopicOrPartition,
            ErrorCode::InvalidRequest,
            ErrorCode::NewLeaderElected,
        ] {
            assert_eq!(after_refusal(error), AfterRefusal::AwaitMetadata, "{error}");
        }
        assert_eq!(after_refusal(ErrorCode::NotController), AfterRefusal::Retry);
    }
}
