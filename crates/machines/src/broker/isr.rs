//! Who is in sync: shrinking and expanding the ISR.
//!
//! Mirrors `Partition.maybeShrinkIsr`, `maybeExpandIsr`, `getOutOfSyncReplicas`, and the handling
//! of responses (KIP-497). Shrinking is periodic, expanding happens on the follower's fetch. Before
//! 2.7 the leader writes the new ISR to ZooKeeper itself (`zookeeper::isr_write`). Nothing is left
//! out.

use super::high_watermark::FollowerState;
use super::partition::{LeaderState, Partition};
use super::{Broker, BrokerCx, BrokerTimer, Shared};
use acklab_vocab::api::PartitionAlterResponse;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerId, BrokerList, Offset};
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::TraceEvent;

/// When a follower lags.
#[derive(Clone, Copy, Debug)]
struct LagLimits {
    rules: ProtocolRules,
    /// `replica.lag.time.max.ms`
    time: SimDuration,
    /// `replica.lag.max.messages`, where the version has it.
    messages: Option<u64>,
}

impl LagLimits {
    fn of(shared: &Shared) -> Self {
        let config = &shared.config;
        let messages = config.zookeeper.as_ref().and_then(|own| own.replica_lag_max_messages);
        LagLimits { rules: config.rules, time: config.replica_lag_time_max, messages }
    }

    /// Whether a follower in the ISR is to leave it (`Partition.isFollowerOutOfSync`).
    fn are_exceeded(self, follower: &FollowerState, log_end: Offset, now: SimTime) -> bool {
        if self.rules.has(ProtocolRule::IsrShrinksByMessages) {
            // Its clock starts with the leadership, too.
            let last_fetch = follower.last_fetch.max(follower.last_caught_up);
            let limit = self.messages.unwrap_or(u64::MAX);
            let is_behind = |own: Offset| log_end.distance_from(own) > limit;
            now.since(last_fetch) > self.time || follower.log_end_offset.is_some_and(is_behind)
        } else if self.rules.has(ProtocolRule::EqualLogIsCaughtUp) {
            !follower.is_caught_up(log_end, now, self.time)
        } else {
            now.since(follower.last_caught_up) > self.time
        }
    }
}

/// The ISR without the followers that lag, if any do (`Partition.getOutOfSyncReplicas`).
/// Empty-handed while a proposal is pending.
fn shrunk_isr(
    own: BrokerId,
    leader: &LeaderState,
    log_end: Offset,
    now: SimTime,
    limits: LagLimits,
) -> Option<BrokerList> {
    if leader.pending.is_some() {
        return None;
    }
    let stays = |broker: BrokerId| {
        let mut followers = leader.followers.iter();
        let state = followers.find(|follower| follower.broker == broker);
        broker == own || state.is_some_and(|state| !limits.are_exceeded(state, log_end, now))
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
        self.fetch_sessions.notice_changes(&mut self.replicas);
        if self.writes_isr_to_zookeeper() {
            self.begin_isr_shrinking(cx);
            return;
        }
        let lag_max = self.shared.config.replica_lag_time_max;
        cx.set_timer_after(BrokerTimer::IsrExpiration, lag_max / 2);
        for slot in 0..self.replicas.len() {
            if let Some(isr) = self.isr_without_laggards(slot, cx.now()) {
                self.propose_isr(cx, slot, isr);
            }
        }
    }

    /// The ISR of a partition that this broker leads, without the followers that lag, if any do.
    pub(super) fn isr_without_laggards(&mut self, slot: usize, now: SimTime) -> Option<BrokerList> {
        if !self.shared.has(ProtocolRule::EqualLogIsCaughtUp) {
            // Followers with the whole log are judged by their last fetch, too, quiet as it was.
            self.fetch_sessions.activate(slot, &mut self.replicas);
        }
        let partition = &self.replicas[slot];
        let (leader, log_end) = (partition.leader_state()?, partition.log.end_offset());
        shrunk_isr(self.shared.id, leader, log_end, now, LagLimits::of(&self.shared))
    }

    /// The leader changes its ISR in ZooKeeper by itself (before 2.7).
    pub(super) fn writes_isr_to_zookeeper(&self) -> bool {
        self.membership.is_by_zookeeper()
            && !self.shared.has(ProtocolRule::AlterIsrThroughController)
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
        if self.writes_isr_to_zookeeper() {
            self.write_isr(cx, slot, isr);
            return;
        }
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
    use acklab_vocab::version::KafkaVersion;

    const LAG_MAX: SimDuration = SimDuration::from_secs(30);

    fn limits(major: u8, minor: u8) -> LagLimits {
        let rules = ProtocolRules::of(KafkaVersion::new(major, minor, 2));
        let by_messages = rules.has(ProtocolRule::IsrShrinksByMessages);
        LagLimits { rules, time: LAG_MAX, messages: by_messages.then_some(4) }
    }

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
        let isr = shrunk_isr(BrokerId(1), &leader, Offset(10), now, limits(3, 9));
        assert_eq!(isr, expected.map(brokers));
    }

    #[test]
    fn a_follower_leaves_when_it_was_not_caught_up_for_too_long() {
        check_shrink(vec![follower(2, 9, 0), follower(3, 10, 0)], 30, None);
        check_shrink(vec![follower(2, 9, 0), follower(3, 10, 0)], 31, Some(&[1, 3]));
        check_shrink(vec![follower(2, 9, 0), follower(3, 3, 0)], 31, Some(&[1]));
        check_shrink(vec![follower(2, 10, 0)], 31, Some(&[1, 2]));
    }

    #[track_caller]
    fn check_lag(of: (u8, u8), log_end: u64, fetched: i64, caught_up: i64, expected: bool) {
        let mut state = follower(2, log_end, caught_up);
        state.last_fetch = SimTime::from_millis(fetched * 1_000);
        let now = SimTime::from_millis(31_000);
        let exceeded = limits(of.0, of.1).are_exceeded(&state, Offset(10), now);
        assert_eq!(exceeded, expected, "{of:?} {state:?}");
    }

    #[test]
    fn what_counts_as_lag_depends_on_the_version() {
        // Silent for 31 s, with a log as long as the leader's.
        check_lag((0, 9), 10, 0, 0, true);
        check_lag((2, 0), 10, 0, 0, true);
        check_lag((2, 1), 10, 0, 0, false);
        // It fetches, and has not reached the end for 31 s.
        check_lag((2, 0), 9, 30, 0, true);
        check_lag((2, 1), 9, 30, 0, true);
        // 0.8 does not mind, as long as few messages are missing.
        check_lag((0, 8), 6, 30, 0, false);
        check_lag((0, 8), 5, 30, 30, true);
        check_lag((0, 8), 10, 0, 0, true);
        check_lag((0, 8), 10, 1, 0, false);
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
