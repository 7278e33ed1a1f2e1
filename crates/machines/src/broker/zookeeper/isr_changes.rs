//! Between 0.9 and 2.6: a leader that has written an ISR tells the controller, by a znode.
//!
//! Mirrors `ReplicaManager.recordIsrChange` and `maybePropagateIsrChanges`: changes are announced
//! together, when there has been none for five seconds, or no announcement for a minute. Until then
//! the controller, and the brokers that it tells, know the old ISR.

use super::ZooKeeperPurpose;
use crate::broker::{Broker, BrokerCx, BrokerTimer};
use acklab_vocab::api::{ZooKeeperOperation, ZooKeeperReply};
use acklab_vocab::ids::TopicPartition;
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::zookeeper::{CreateMode, ZnodeData, ZooKeeperError, paths};
use std::collections::BTreeSet;

/// How often a broker looks whether there is something to announce.
const INTERVAL: SimDuration = SimDuration::from_millis(2_500);
/// `IsrChangePropagationBlackOut`: changes are announced when there has been none for so long,
const BLACK_OUT: SimDuration = SimDuration::from_millis(5_000);
/// `IsrChangePropagationInterval`: or when nothing has been announced for so long.
const LONGEST: SimDuration = SimDuration::from_millis(60_000);

/// What has yet to be announced.
#[derive(Debug, Default)]
pub(super) struct IsrChanges {
    changed: BTreeSet<TopicPartition>,
    /// On their way.
    announcing: Vec<TopicPartition>,
    last_change: SimTime,
    last_announcement: SimTime,
}

impl IsrChanges {
    fn are_due(&self, now: SimTime) -> bool {
        !self.changed.is_empty()
            && self.announcing.is_empty()
            && (self.last_change + BLACK_OUT < now || self.last_announcement + LONGEST < now)
    }
}

impl Broker {
    pub(super) fn start_isr_change_propagation(&mut self, cx: &mut BrokerCx<'_>) {
        if self.writes_isr_to_zookeeper() && self.shared.has(ProtocolRule::AnnounceIsrChange) {
            self.membership.zookeeper().isr_changes.last_announcement = cx.now();
            cx.set_timer_after(BrokerTimer::IsrChangePropagation, INTERVAL);
        }
    }

    /// The ISR of a partition has been written.
    pub(super) fn record_isr_change(&mut self, cx: &mut BrokerCx<'_>, partition: TopicPartition) {
        if self.shared.has(ProtocolRule::AnnounceIsrChange) {
            let changes = &mut self.membership.zookeeper().isr_changes;
            changes.changed.insert(partition);
            changes.last_change = cx.now();
        }
    }

    pub(in crate::broker) fn on_isr_change_propagation(&mut self, cx: &mut BrokerCx<'_>) {
        cx.set_timer_after(BrokerTimer::IsrChangePropagation, INTERVAL);
        let changes = &mut self.membership.zookeeper().isr_changes;
        if !changes.are_due(cx.now()) {
            return;
        }
        changes.announcing = std::mem::take(&mut changes.changed).into_iter().collect();
        let operation = ZooKeeperOperation::Create {
            path: paths::isr_change_prefix(),
            data: ZnodeData::IsrChange(changes.announcing.clone().into()),
            mode: CreateMode::PersistentSequential,
        };
        self.zookeeper_operate(cx, operation, ZooKeeperPurpose::IsrChanges);
    }

    pub(super) fn on_isr_changes_announced(
        &mut self,
        cx: &mut BrokerCx<'_>,
        result: &Result<ZooKeeperReply, ZooKeeperError>,
    ) {
        let changes = &mut self.membership.zookeeper().isr_changes;
        let announced = std::mem::take(&mut changes.announcing);
        match result {
            Ok(_) => changes.last_announcement = cx.now(),
            Err(_) => changes.changed.extend(announced),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(last_change: i64, last_announcement: i64, now: i64, expected: bool) {
        let at = |secs: i64| SimTime::from_millis(secs * 1_000);
        let changes = IsrChanges {
            changed: BTreeSet::from([TopicPartition::new(0, 0)]),
            announcing: Vec::new(),
            last_change: at(last_change),
            last_announcement: at(last_announcement),
        };
        assert_eq!(changes.are_due(at(now)), expected);
        assert!(!IsrChanges { changed: BTreeSet::new(), ..changes }.are_due(at(now)));
    }

    #[test]
    fn changes_are_announced_after_a_pause_or_a_minute() {
        check(100, 90, 104, false);
        check(100, 90, 105, false);
        check(100, 90, 106, true);
        check(100, 39, 100, true);
        check(100, 40, 100, false);
    }
}
