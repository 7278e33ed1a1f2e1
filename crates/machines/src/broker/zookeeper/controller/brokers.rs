//! Brokers come and go.
//!
//! Mirrors `processBrokerChange`, `onBrokerStartup` and `onBrokerFailure`. Left out: brokers that
//! change where they listen.

use super::context::{BrokerChanges, LiveBroker, Stage};
use super::rounds::Answer;
use super::steps::{BrokerStep, Occasion, Scope, Step, Then};
use crate::broker::{Broker, BrokerCx};
use acklab_vocab::api::{ZooKeeperOperation, ZooKeeperReply};
use acklab_vocab::ids::{BrokerEpoch, BrokerId};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::trace::{PartitionChangeReason, TraceEvent};
use acklab_vocab::zookeeper::{ZnodeData, paths};
use std::collections::BTreeMap;

impl Broker {
    /// `getAllBrokerAndEpochsInCluster`: the list, with a watch, then each.
    pub(super) fn list_brokers(&mut self, cx: &mut BrokerCx<'_>, occasion: Occasion) {
        let list = ZooKeeperOperation::GetChildren { path: paths::broker_ids(), watch: true };
        self.ask_zookeeper(cx, vec![list], Then::BrokersListed(occasion));
    }

    pub(super) fn on_brokers_listed(
        &mut self,
        cx: &mut BrokerCx<'_>,
        occasion: Occasion,
        answers: Vec<Answer>,
    ) {
        let mut brokers: Vec<_> =
            children(&answers).iter().filter_map(|name| paths::broker_named(name)).collect();
        brokers.sort_unstable();
        let read = |broker: BrokerId| ZooKeeperOperation::GetData {
            path: paths::broker(broker),
            watch: false,
        };
        let reads = brokers.into_iter().map(read).collect();
        self.ask_zookeeper(cx, reads, Then::BrokersRead(occasion));
    }

    pub(super) fn on_brokers_read(
        &mut self,
        cx: &mut BrokerCx<'_>,
        occasion: Occasion,
        answers: Vec<Answer>,
    ) {
        let mut now = BTreeMap::new();
        for answer in answers {
            if let Ok(ZooKeeperReply::Data(ZnodeData::Broker { broker, node, incarnation }, stat)) =
                answer
            {
                let epoch = BrokerEpoch::from(stat.czxid);
                now.insert(broker, LiveBroker { node, incarnation, epoch });
            }
        }
        match occasion {
            Occasion::TakingOffice => {
                let everybody: Vec<_> = now.keys().copied().collect();
                state_registrations(cx, &now, &everybody);
                let context = &mut self.zookeeper_controller().context;
                context.brokers = now;
                context.shutting_down.clear();
                let touch = |broker| Step::Touch(look_at_broker(broker));
                self.do_first(everybody.into_iter().map(touch));
            }
            Occasion::Change => self.on_broker_change(cx, now),
        }
    }

    fn on_broker_change(&mut self, cx: &mut BrokerCx<'_>, now: BTreeMap<BrokerId, LiveBroker>) {
        let by_epoch = self.shared.has(ProtocolRule::FenceByBrokerEpoch);
        let context = &mut self.zookeeper_controller().context;
        let changes = BrokerChanges::between(&context.brokers, &now, by_epoch);
        for id in &changes.new {
            self.add_control_channel(*id, now[id].node);
        }
        for id in &changes.bounced {
            self.remove_control_channel(cx, *id);
            self.add_control_channel(*id, now[id].node);
        }
        for id in &changes.dead {
            self.remove_control_channel(cx, *id);
        }
        let context = &mut self.zookeeper_controller().context;
        if by_epoch {
            let new = changes.new.iter().map(|id| (*id, now[id]));
            context.brokers.extend(new);
        } else {
            context.brokers = now.clone();
        }
        state_registrations(cx, &now, &changes.new);
        let mut steps = Vec::new();
        if !changes.new.is_empty() {
            steps.push(Step::HandleBrokers(BrokerStep::Started(changes.new)));
        }
        if !changes.bounced.is_empty() {
            let reason = PartitionChangeReason::BrokerRegistered;
            steps.push(Step::HandleBrokers(BrokerStep::Failed(changes.bounced.clone(), reason)));
            let lives = changes.bounced.iter().map(|id| (*id, now[id])).collect();
            steps.push(Step::HandleBrokers(BrokerStep::CameBack(lives)));
        }
        if !changes.dead.is_empty() {
            let reason = PartitionChangeReason::BrokerFenced;
            steps.push(Step::HandleBrokers(BrokerStep::Failed(changes.dead, reason)));
        }
        self.do_first(steps);
    }

    /// Another life of brokers is taken into account, after the one before has been dealt with.
    pub(super) fn on_brokers_came_back(
        &mut self,
        cx: &mut BrokerCx<'_>,
        lives: Vec<(BrokerId, LiveBroker)>,
    ) {
        let brokers: Vec<_> = lives.iter().map(|(id, _)| *id).collect();
        let lives: BTreeMap<_, _> = lives.into_iter().collect();
        state_registrations(cx, &lives, &brokers);
        self.zookeeper_controller().context.brokers.extend(lives);
        self.do_first([Step::HandleBrokers(BrokerStep::Started(brokers))]);
    }

    /// `onBrokerStartup`
    pub(super) fn on_brokers_started(&mut self, brokers: &[BrokerId]) {
        let mut others = self.zookeeper_controller().context.registered();
        others.retain(|id| !brokers.contains(id));
        let mut steps = vec![
            Step::SendMetadata { to: Some(others), partitions: Scope::Brokers },
            Step::SendMetadata { to: Some(brokers.to_vec()), partitions: Scope::Everything },
            Step::BringReplicasOnline(brokers.to_vec()),
            Step::SendBatch,
            Step::TriggerOnline(PartitionChangeReason::BrokerUnfenced),
        ];
        steps.extend(brokers.iter().map(|broker| Step::Touch(look_at_broker(*broker))));
        self.do_first(steps);
    }

    /// `onBrokerFailure`, `onReplicasBecomeOffline`: new leaders first, one ISR without the dead
    /// after the other then.
    pub(super) fn on_brokers_failed(
        &mut self,
        cx: &mut BrokerCx<'_>,
        brokers: Vec<BrokerId>,
        reason: PartitionChangeReason,
    ) {
        let dead = reason == PartitionChangeReason::BrokerFenced;
        for broker in brokers.iter().copied().filter(|_| dead) {
            cx.trace(|| TraceEvent::BrokerFenced { broker });
        }
        let context = &mut self.zookeeper_controller().context;
        for broker in &brokers {
            context.brokers.remove(broker);
            context.shutting_down.remove(broker);
        }
        let leaderless = context.partitions_with_offline_leader();
        for partition in &leaderless {
            context.stages.insert(*partition, Stage::Offline);
        }
        let mut steps =
            vec![Step::TriggerOnline(reason), Step::TakeReplicasOffline(brokers, reason)];
        if leaderless.is_empty() {
            steps.push(Step::SendMetadata { to: None, partitions: Scope::Brokers });
        }
        self.do_first(steps);
    }
}

/// The names of a folder's children; none if it does not exist.
pub(super) fn children(answers: &[Answer]) -> &[std::sync::Arc<str>] {
    match answers {
        [Ok(ZooKeeperReply::Children(names, _))] => names,
        _ => &[],
    }
}

/// Kafka watches a broker's own znode for its endpoints, which never change here.
fn look_at_broker(broker: BrokerId) -> ZooKeeperOperation {
    ZooKeeperOperation::Exists { path: paths::broker(broker), watch: false }
}

/// States that the controller takes these brokers into account, the first registered first; what
/// another controller has said of the same registration is not said again.
fn state_registrations(
    cx: &mut BrokerCx<'_>,
    lives: &BTreeMap<BrokerId, LiveBroker>,
    brokers: &[BrokerId],
) {
    let mut stated: Vec<_> = brokers.iter().map(|id| (lives[id].epoch, *id)).collect();
    stated.sort_unstable();
    for (broker_epoch, broker) in stated {
        let incarnation = lives[&broker].incarnation;
        let registered = TraceEvent::BrokerRegistered { broker, broker_epoch, incarnation };
        let facts = [registered, TraceEvent::BrokerUnfenced { broker }];
        cx.trace_committed(broker_epoch.0, facts);
    }
}
