//! When a leader may advance its high watermark.
//!
//! Mirrors `Partition.maybeIncrementLeaderHW`, `Replica` and `Partition.effectiveMinIsr` (KIP-497,
//! KIP-966). Nothing is left out.

use acklab_vocab::config::TopicConfig;
use acklab_vocab::ids::{BrokerEpoch, BrokerId, Offset};
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};
use acklab_vocab::time::{SimDuration, SimTime};

/// Before every instant: the time of what never happened (Kafka's 0).
pub(super) const NEVER_BEFORE: SimTime = SimTime(i64::MIN);

/// What a leader knows of a follower (`Replica.ReplicaState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FollowerState {
    /// Who.
    pub broker: BrokerId,
    /// Where it last fetched from; `None` until it has fetched in this leadership.
    pub log_end_offset: Option<Offset>,
    /// When it last fetched.
    pub last_fetch: SimTime,
    /// The leader's log end at that fetch.
    pub leader_end_at_last_fetch: Option<Offset>,
    /// When it last had everything that the leader had.
    pub last_caught_up: SimTime,
    /// The incarnation that its fetches carry (KIP-903).
    pub broker_epoch: Option<BrokerEpoch>,
}

impl FollowerState {
    /// A follower of which nothing is known.
    pub fn unknown(broker: BrokerId) -> Self {
        FollowerState {
            broker,
            log_end_offset: None,
            last_fetch: NEVER_BEFORE,
            leader_end_at_last_fetch: None,
            last_caught_up: NEVER_BEFORE,
            broker_epoch: None,
        }
    }

    /// A new leader epoch begins (`Replica.resetReplicaState`). `was_leader`: the leader stays.
    pub fn reset(&mut self, now: SimTime, log_end: Offset, was_leader: bool, in_sync: bool) {
        let last = if in_sync { now } else { NEVER_BEFORE };
        self.last_caught_up = last;
        if was_leader {
            self.leader_end_at_last_fetch = Some(log_end);
            self.last_fetch = last;
        } else {
            *self = FollowerState { last_caught_up: last, ..Self::unknown(self.broker) };
        }
    }

    /// It fetches from `offset` while the leader's log ends at `leader_end`
    /// (`Replica.updateFetchState`). `previous_counts`: the rule `CaughtUpAtPreviousFetch`.
    pub fn record_fetch(
        &mut self,
        offset: Offset,
        now: SimTime,
        leader_end: Offset,
        epoch: BrokerEpoch,
        previous_counts: bool,
    ) {
        if offset >= leader_end {
            self.last_caught_up = self.last_caught_up.max(now);
        } else if previous_counts && Some(offset) >= self.leader_end_at_last_fetch {
            self.last_caught_up = self.last_caught_up.max(self.last_fetch);
        }
        self.log_end_offset = Some(offset);
        self.leader_end_at_last_fetch = self.leader_end_at_last_fetch.max(Some(leader_end));
        self.last_fetch = now;
        self.broker_epoch = Some(epoch);
    }

    /// It has fetched from the log end, which stood still, for the last time at `last`.
    pub fn record_quiet_fetches(&mut self, last: SimTime) {
        self.last_caught_up = self.last_caught_up.max(last);
        self.last_fetch = self.last_fetch.max(last);
    }

    /// Its log is as long as the leader's, or was not long ago (`Replica.isCaughtUp`).
    pub fn is_caught_up(&self, leader_end: Offset, now: SimTime, lag_max: SimDuration) -> bool {
        self.log_end_offset == Some(leader_end) || now.since(self.last_caught_up) <= lag_max
    }
}

/// A follower as the high watermark sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Its log end offset, if known.
    pub log_end_offset: Option<Offset>,
    /// It is in the committed ISR.
    pub in_isr: bool,
    /// It is in the committed ISR or in the proposed one.
    pub in_maximal_isr: bool,
    /// It is caught up by time, and may join the ISR.
    pub about_to_join: bool,
}

/// How many in-sync replicas an acks=all append needs (`Partition.effectiveMinIsr`).
pub(super) fn effective_min_isr(
    rules: ProtocolRules,
    topic: &TopicConfig,
    replicas: usize,
) -> usize {
    let wanted = usize::from(topic.min_insync_replicas);
    if rules.has(ProtocolRule::MinIsrCappedByReplicationFactor) {
        wanted.min(replicas)
    } else {
        wanted
    }
}

/// The high watermark that a leader may advance to, if that is further than `current`.
///
/// `frozen`: the committed ISR is under min ISR. Source: `Partition.maybeIncrementLeaderHW`.
pub(super) fn next_high_watermark(
    rules: ProtocolRules,
    current: Offset,
    log_end: Offset,
    frozen: bool,
    followers: impl Iterator<Item = Progress>,
) -> Option<Offset> {
    if frozen && rules.has(ProtocolRule::HighWatermarkFrozenUnderMinIsr) {
        return None;
    }
    let mut next = log_end;
    for follower in followers {
        let in_sync = if rules.has(ProtocolRule::HighWatermarkAwaitsMaximalIsr) {
            follower.in_maximal_isr
        } else {
            follower.in_isr
        };
        let about_to_join =
            follower.about_to_join && rules.has(ProtocolRule::HighWatermarkAwaitsCaughtUp);
        if in_sync || about_to_join {
            next = next.min(follower.log_end_offset?);
        }
    }
    (next > current).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use acklab_vocab::version::KafkaVersion;

    fn latest() -> ProtocolRules {
        ProtocolRules::of(KafkaVersion::new(3, 9, 0))
    }

    fn in_isr(end: u64) -> Progress {
        Progress {
            log_end_offset: Some(Offset(end)),
            in_isr: true,
            in_maximal_isr: true,
            about_to_join: true,
        }
    }

    fn outside(end: u64) -> Progress {
        Progress { in_isr: false, in_maximal_isr: false, about_to_join: false, ..in_isr(end) }
    }

    fn unknown() -> Progress {
        Progress { log_end_offset: None, ..in_isr(0) }
    }

    #[track_caller]
    fn check(rules: ProtocolRules, frozen: bool, followers: &[Progress], expected: Option<u64>) {
        let next =
            next_high_watermark(rules, Offset(3), Offset(10), frozen, followers.iter().copied());
        assert_eq!(next, expected.map(Offset), "{followers:?}");
    }

    #[test]
    fn the_high_watermark_is_the_least_log_end_of_those_awaited() {
        check(latest(), false, &[], Some(10));
        check(latest(), false, &[in_isr(10), in_isr(7)], Some(7));
        check(latest(), false, &[in_isr(10), in_isr(3)], None);
        check(latest(), false, &[in_isr(2)], None);
        check(latest(), false, &[in_isr(10), unknown()], None);
        check(latest(), false, &[in_isr(8), outside(1)], Some(8));
    }

    #[test]
    fn rules_decide_who_is_awaited() {
        let pending = Progress { in_maximal_isr: true, ..outside(5) };
        let committed_only = latest().with(ProtocolRule::HighWatermarkAwaitsMaximalIsr, false);
        check(latest(), false, &[pending], Some(5));
        check(committed_only, false, &[pending], Some(10));
        let joining = Progress { about_to_join: true, ..outside(4) };
        let impatient = latest().with(ProtocolRule::HighWatermarkAwaitsCaughtUp, false);
        check(latest(), false, &[joining], Some(4));
        check(impatient, false, &[joining], Some(10));
    }

    #[test]
    fn under_min_isr_it_stands_still_since_3_7() {
        let before = latest().with(ProtocolRule::HighWatermarkFrozenUnderMinIsr, false);
        check(latest(), true, &[in_isr(10)], None);
        check(before, true, &[in_isr(10)], Some(10));
    }

    #[test]
    fn min_isr_counts_as_at_most_the_replicas_since_3_7() {
        let topic = TopicConfig {
            min_insync_replicas: 3,
            unclean_leader_election: false,
            max_message_bytes: 1_048_588,
            segment_bytes: 1 << 30,
            flush_messages: u64::MAX,
            flush_interval: SimDuration::MAX,
        };
        let before = latest().with(ProtocolRule::MinIsrCappedByReplicationFactor, false);
        assert_eq!(effective_min_isr(latest(), &topic, 2), 2);
        assert_eq!(effective_min_isr(latest(), &topic, 5), 3);
        assert_eq!(effective_min_isr(before, &topic, 2), 3);
    }

    #[test]
    fn a_follower_is_caught_up_by_its_log_end_or_for_a_while_after() {
        let lag = SimDuration::from_secs(30);
        let at = |secs: i64| SimTime::from_millis(secs * 1_000);
        let mut follower = FollowerState::unknown(BrokerId(2));
        follower.reset(at(0), Offset(5), false, false);
        assert!(!follower.is_caught_up(Offset(5), at(0), lag));
        // Short of the log end at its first fetch: nothing is known of the fetch before.
        follower.record_fetch(Offset(4), at(1), Offset(5), BrokerEpoch(1), true);
        assert!(!follower.is_caught_up(Offset(5), at(1), lag));
        // It reaches what was the end at the fetch before: it was caught up then.
        follower.record_fetch(Offset(5), at(2), Offset(9), BrokerEpoch(1), true);
        assert_eq!(follower.last_caught_up, at(1));
        follower.record_fetch(Offset(9), at(3), Offset(9), BrokerEpoch(1), true);
        assert_eq!(follower.last_caught_up, at(3));
        // Equal log ends need no fetches.
        assert!(follower.is_caught_up(Offset(9), at(1_000), lag));
        assert!(follower.is_caught_up(Offset(10), at(33), lag));
        assert!(!follower.is_caught_up(Offset(10), at(34), lag));
    }

    #[test]
    fn before_0_10_2_only_the_very_end_counts() {
        let at = |secs: i64| SimTime::from_millis(secs * 1_000);
        let mut follower = FollowerState::unknown(BrokerId(2));
        follower.record_fetch(Offset(5), at(1), Offset(5), BrokerEpoch(1), false);
        follower.record_fetch(Offset(6), at(2), Offset(9), BrokerEpoch(1), false);
        follower.record_fetch(Offset(9), at(3), Offset(12), BrokerEpoch(1), false);
        assert_eq!(follower.last_caught_up, at(1));
        follower.record_fetch(Offset(12), at(4), Offset(12), BrokerEpoch(1), false);
        assert_eq!(follower.last_caught_up, at(4));
    }
}
