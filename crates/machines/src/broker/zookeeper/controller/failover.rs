//! Taking office: everything is read before anything is done, one round trip after the other. That
//! is where the time of a failover goes.
//!
//! Mirrors `onControllerFailover` and `initializeControllerContext`. Left out: features, delegation
//! tokens, log directories; reassignment and deletion of topics, but for the round trips that
//! looking for them takes; before 0.10 UpdateMetadata came last.

use super::context::Stage;
use super::rounds::Answer;
use super::steps::{Occasion, Scope, Step, Then};
use crate::broker::{Broker, BrokerCx};
use acklab_vocab::api::{ZooKeeperOperation, ZooKeeperReply};
use acklab_vocab::ids::TopicPartition;
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::trace::{PartitionChangeReason, TraceEvent};
use acklab_vocab::zookeeper::{ZnodeData, paths};

/// The steps, in order.
pub(super) fn program() -> Vec<Step> {
    let exists = |path, watch| Step::Touch(ZooKeeperOperation::Exists { path, watch });
    let deletions = ZooKeeperOperation::GetChildren { path: paths::delete_topics(), watch: false };
    vec![
        exists(paths::preferred_replica_election(), true),
        exists(paths::reassign_partitions(), false),
        Step::ClearIsrChanges,
        Step::ReadBrokers(Occasion::TakingOffice),
        Step::ReadTopics(Occasion::TakingOffice),
        Step::ReadAllStates,
        Step::Touch(deletions),
        Step::StartStateMachines,
        exists(paths::reassign_partitions(), false),
        Step::Serve,
    ]
}

impl Broker {
    pub(super) fn read_all_states(&mut self, cx: &mut BrokerCx<'_>) {
        let partitions: Vec<_> =
            self.zookeeper_controller().context.assignments.keys().copied().collect();
        self.read_states(cx, &partitions, Then::AllStatesRead);
    }

    /// `getTopicPartitionStates`
    pub(super) fn read_states(
        &mut self,
        cx: &mut BrokerCx<'_>,
        partitions: &[TopicPartition],
        then: Then,
    ) {
        let read = |partition: &TopicPartition| ZooKeeperOperation::GetData {
            path: paths::partition_state(*partition),
            watch: false,
        };
        self.ask_zookeeper(cx, partitions.iter().map(read).collect(), then);
    }

    pub(super) fn on_all_states_read(&mut self, cx: &mut BrokerCx<'_>, answers: Vec<Answer>) {
        self.learn_states(answers);
        for (broker, node) in self.zookeeper_controller().context.nodes() {
            self.add_control_channel(broker, node);
        }
        for broker in self.zookeeper_controller().context.missed() {
            cx.trace(|| TraceEvent::BrokerFenced { broker });
        }
    }

    /// Takes over the states that were read (`updateLeaderAndIsrCache`).
    pub(super) fn learn_states(&mut self, answers: Vec<Answer>) {
        let context = &mut self.zookeeper_controller().context;
        for answer in answers {
            if let Ok(ZooKeeperReply::Data(
                ZnodeData::Partition { mut state, controller_epoch, .. },
                stat,
            )) = answer
            {
                state.partition_epoch = acklab_vocab::ids::PartitionEpoch(stat.version);
                context.learn(state, controller_epoch);
            }
        }
    }

    /// `ReplicaStateMachine.startup`, then `PartitionStateMachine.startup`.
    pub(super) fn start_state_machines(&mut self) {
        let shrinks = self.shared.has(ProtocolRule::NewControllerShrinksIsr);
        let context = &mut self.zookeeper_controller().context;
        context.initialize_stages();
        let live = context.registered();
        let mut dead: Vec<_> = context.assignments.values().flatten().copied().collect();
        dead.retain(|broker| !context.is_registered(*broker));
        dead.sort_unstable();
        dead.dedup();
        let reason = PartitionChangeReason::BrokerFenced;
        let mut steps = vec![
            Step::SendMetadata { to: None, partitions: Scope::Brokers },
            Step::BringReplicasOnline(live),
            Step::SendBatch,
        ];
        if shrinks && !dead.is_empty() {
            steps.push(Step::TakeReplicasOffline(dead, reason));
        }
        steps.push(Step::TriggerOnline(reason));
        self.do_first(steps);
    }

    /// The partitions that never had a leader, and those without one.
    pub(super) fn partitions_to_bring_online(
        &mut self,
    ) -> (Vec<TopicPartition>, Vec<TopicPartition>) {
        let context = &self.zookeeper_controller().context;
        (context.partitions_at(Stage::New), context.partitions_at(Stage::Offline))
    }
}
