//! Where a follower cuts its log.
//!
//! Mirrors `AbstractFetcherThread.getOffsetTruncationState` (KIP-101, KIP-279) and
//! `Partition.truncateTo`. Nothing is left out.

use super::{Broker, BrokerCx};
use acklab_vocab::api::EpochEndOffset;
use acklab_vocab::ids::{Offset, TopicPartition};
use acklab_vocab::trace::{TraceEvent, TruncationReason};

/// A step of truncation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TruncationPoint {
    /// Where to cut; never above the log's end.
    pub to: Offset,
    /// The logs agree below. Otherwise the leader has to be asked again, with the epoch that is the
    /// newest then.
    pub is_final: bool,
}

/// Where to cut, given the leader's epoch and its end, and the follower's own largest epoch not
/// above that one.
pub(super) fn truncation_point(
    leader: EpochEndOffset,
    own: Option<EpochEndOffset>,
    own_log_end: Offset,
) -> TruncationPoint {
    match own {
        Some(own) if own.leader_epoch != leader.leader_epoch => {
            TruncationPoint { to: own.end_offset.min(own_log_end), is_final: false }
        }
        Some(own) => TruncationPoint {
            to: own.end_offset.min(leader.end_offset).min(own_log_end),
            is_final: true,
        },
        None => TruncationPoint { to: leader.end_offset.min(own_log_end), is_final: true },
    }
}

impl Broker {
    /// Cuts a follower's log, below its high watermark if need be, and says so.
    pub(super) fn truncate_replica(
        &mut self,
        cx: &mut BrokerCx<'_>,
        slot: usize,
        to: Offset,
        reason: TruncationReason,
    ) {
        let now = cx.now();
        let partition = &mut self.replicas[slot];
        let high_watermark = partition.log.high_watermark();
        let old_end = partition.log.truncate_to(cx.disk(), to, now);
        self.state_truncation(cx, slot, old_end, high_watermark, reason);
    }

    /// Drops a follower's whole log; it starts anew at `start`.
    pub(super) fn restart_replica_at(&mut self, cx: &mut BrokerCx<'_>, slot: usize, start: Offset) {
        let now = cx.now();
        let partition = &mut self.replicas[slot];
        let high_watermark = partition.log.high_watermark();
        let old_end = partition.log.end_offset();
        partition.log.truncate_fully_and_start_at(cx.disk(), start, now);
        let reason = TruncationReason::LeaderLogStart;
        self.state_truncation(cx, slot, Some(old_end), high_watermark, reason);
    }

    fn state_truncation(
        &self,
        cx: &mut BrokerCx<'_>,
        slot: usize,
        old_end: Option<Offset>,
        high_watermark: Offset,
        reason: TruncationReason,
    ) {
        let partition = &self.replicas[slot];
        let (id, to): (TopicPartition, Offset) = (partition.id, partition.log.end_offset());
        if let Some(log_end_offset) = old_end {
            cx.trace(|| TraceEvent::LogTruncated { partition: id, to, log_end_offset, reason });
        }
        partition.state_high_watermark(cx, high_watermark, partition.log.high_watermark());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use acklab_vocab::ids::LeaderEpoch;

    fn end(epoch: u32, offset: u64) -> EpochEndOffset {
        EpochEndOffset { leader_epoch: LeaderEpoch(epoch), end_offset: Offset(offset) }
    }

    #[track_caller]
    fn check(
        leader: EpochEndOffset,
        own: Option<EpochEndOffset>,
        log_end: u64,
        expected: (u64, bool),
    ) {
        let point = truncation_point(leader, own, Offset(log_end));
        assert_eq!((point.to.0, point.is_final), expected);
    }

    #[test]
    fn the_logs_part_at_the_lower_end_of_the_newest_common_epoch() {
        check(end(3, 7), Some(end(3, 9)), 9, (7, true));
        check(end(3, 12), Some(end(3, 9)), 9, (9, true));
        check(end(2, 7), Some(end(2, 5)), 9, (5, true));
    }

    #[test]
    fn an_epoch_that_only_the_leader_knows_needs_another_question() {
        check(end(4, 7), Some(end(2, 5)), 9, (5, false));
        check(end(4, 7), Some(end(2, 9)), 8, (8, false));
    }

    #[test]
    fn without_epochs_of_its_own_it_cuts_to_the_leaders_end() {
        check(end(4, 7), None, 9, (7, true));
        check(end(4, 12), None, 9, (9, true));
    }
}
