//! Partitions and replicas change state: leaders are elected, ISRs shrink, new partitions begin,
//! and the brokers are told.
//!
//! Mirrors `ZkPartitionStateMachine` and `ZkReplicaStateMachine`. A state is read, changed and
//! written on condition of its version; where a leader has written meanwhile, it starts over. From
//! 1.1 on all partitions together, before that one after the other. The topic's
//! `unclean.leader.election.enable` costs no round trip here. Left out: the states of replicas,
//! which without deletion of topics follow from which brokers are there.

use super::context::Stage;
use super::election::{self, Elected};
use super::request_batch::{RequestBatch, Sender};
use super::rounds::Answer;
use super::steps::{Ballot, Removal, Scope, Step, Then};
use crate::broker::{Broker, BrokerCx};
use acklab_vocab::api::{ZooKeeperOperation, ZooKeeperReply};
use acklab_vocab::ids::{BrokerId, PartitionEpoch, TopicPartition};
use acklab_vocab::metadata_log::PartitionState;
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::trace::PartitionChangeReason;
use acklab_vocab::zookeeper::{CreateMode, ZnodeData, ZnodeStat, ZooKeeperError, paths};

/// A state as it was read: nobody's newer than this controller's.
enum StateRead {
    Found(PartitionState),
    /// Written by a newer controller, or not there.
    Unusable,
}

impl Broker {
    // ---- telling the brokers --------------------------------------------------------------------

    /// `sendUpdateMetadataRequest`
    pub(super) fn send_update_metadata(
        &mut self,
        cx: &mut BrokerCx<'_>,
        to: Option<Vec<BrokerId>>,
        scope: Scope,
    ) {
        let mut batch = RequestBatch::default();
        let context = &self.zookeeper_controller().context;
        let partitions = match scope {
            Scope::Brokers => Vec::new(),
            Scope::Everything => context.partitions_with_leaders(),
            Scope::Partitions(partitions) => partitions,
        };
        batch.add_metadata(context, to.unwrap_or_else(|| context.registered()), partitions);
        self.queue_control_batch(cx, batch);
    }

    /// `sendRequestsToBrokers`
    pub(super) fn send_control_batch(&mut self, cx: &mut BrokerCx<'_>) {
        let batch = std::mem::take(&mut self.zookeeper_controller().batch);
        self.queue_control_batch(cx, batch);
    }

    fn queue_control_batch(&mut self, cx: &mut BrokerCx<'_>, batch: RequestBatch) {
        let with_broker_epoch = self.shared.has(ProtocolRule::FenceByBrokerEpoch);
        let sender = Sender { controller: self.shared.id, with_broker_epoch };
        for (to, request) in batch.requests(&self.zookeeper_controller().context, sender) {
            self.queue_control(cx, to, request);
        }
    }

    // ---- elections ------------------------------------------------------------------------------

    /// In groups that are read and written together.
    pub(super) fn in_groups(&self, partitions: Vec<TopicPartition>) -> Vec<Vec<TopicPartition>> {
        if partitions.is_empty() {
            Vec::new()
        } else if self.shared.has(ProtocolRule::ControllerWritesInBatches) {
            vec![partitions]
        } else {
            partitions.into_iter().map(|partition| vec![partition]).collect()
        }
    }

    /// `triggerOnlinePartitionStateChange`
    pub(super) fn trigger_online(&mut self, reason: PartitionChangeReason) {
        let (new, offline) = self.partitions_to_bring_online();
        let strategy = election::Strategy::Offline { allow_unclean: false };
        let mut steps: Vec<_> =
            self.in_groups(new).into_iter().map(Step::CreatePartitions).collect();
        steps.extend(self.election_steps(offline, strategy, reason));
        if !steps.is_empty() {
            steps.push(Step::SendBatch);
            self.do_first(steps);
        }
    }

    pub(super) fn election_steps(
        &self,
        partitions: Vec<TopicPartition>,
        strategy: election::Strategy,
        reason: PartitionChangeReason,
    ) -> Vec<Step> {
        let ballot = |partitions| Ballot { partitions, strategy, reason, attempted: None };
        self.in_groups(partitions).into_iter().map(ballot).map(Step::ElectLeaders).collect()
    }

    pub(super) fn read_for_ballot(&mut self, cx: &mut BrokerCx<'_>, ballot: Ballot) {
        let partitions = ballot.partitions.clone();
        self.read_states(cx, &partitions, Then::BallotRead(ballot));
    }

    fn usable(&mut self, answer: Answer) -> StateRead {
        let epoch = self.zookeeper_controller().context.epoch;
        match answer {
            Ok(ZooKeeperReply::Data(
                ZnodeData::Partition { mut state, controller_epoch, .. },
                stat,
            )) if controller_epoch <= epoch => {
                state.partition_epoch = PartitionEpoch(stat.version);
                StateRead::Found(state)
            }
            _ => StateRead::Unusable,
        }
    }

    pub(super) fn on_ballot_read(
        &mut self,
        cx: &mut BrokerCx<'_>,
        ballot: Ballot,
        answers: Vec<Answer>,
    ) {
        let mut elected = Vec::new();
        for answer in answers {
            let StateRead::Found(before) = self.usable(answer) else { continue };
            let unclean = self.shared.topic(before.partition).unclean_leader_election;
            let context = &self.zookeeper_controller().context;
            let outcome = election::elect(context, &before, ballot.strategy, unclean);
            if let (Some(attempted), Some(outcome)) = (&ballot.attempted, &outcome)
                && is_written(&before, attempted)
            {
                let done = Elected { state: before, ..outcome.clone() };
                self.take_over_election(done);
                continue;
            }
            elected.extend(outcome);
        }
        let writes = elected
            .iter()
            .map(|it| {
                let unclean = PartitionChangeReason::UncleanElection;
                self.write_of(&it.state, if it.unclean { unclean } else { ballot.reason })
            })
            .collect();
        self.write_as_controller(cx, writes, Then::Elected(ballot, elected));
    }

    /// The conditional write of a state; its version is the one before.
    pub(super) fn write_of(
        &mut self,
        state: &PartitionState,
        reason: PartitionChangeReason,
    ) -> ZooKeeperOperation {
        ZooKeeperOperation::SetData {
            path: paths::partition_state(state.partition),
            data: ZnodeData::Partition {
                state: state.clone(),
                controller_epoch: self.zookeeper_controller().context.epoch,
                reason,
            },
            version: Some(state.partition_epoch.0),
        }
    }

    pub(super) fn on_elected(
        &mut self,
        ballot: Ballot,
        elected: Vec<Elected>,
        answers: Vec<Answer>,
    ) {
        let mut again = Vec::new();
        let mut attempted = None;
        for (mut outcome, answer) in elected.into_iter().zip(answers) {
            match answer {
                Ok(ZooKeeperReply::Stat(stat)) => {
                    outcome.state.partition_epoch = version(&stat);
                    self.take_over_election(outcome);
                }
                Err(ZooKeeperError::BadVersion) => {
                    again.push(outcome.state.partition);
                    attempted = Some(outcome.state);
                }
                _ => {}
            }
        }
        if !again.is_empty() {
            let attempted = attempted.filter(|_| self.checks_lost_writes());
            self.do_first([Step::ElectLeaders(Ballot { partitions: again, attempted, ..ballot })]);
        }
    }

    /// Before 1.1 a write that is refused is compared with what is there: it may have been done
    /// before its answer was lost (`ReplicationUtils.checkLeaderAndIsrZkData`).
    fn checks_lost_writes(&self) -> bool {
        !self.shared.has(ProtocolRule::ControllerWritesInBatches)
    }

    fn take_over_election(&mut self, elected: Elected) {
        let controller = self.zookeeper_controller();
        let context = &mut controller.context;
        let partition = elected.state.partition;
        context.learn(elected.state.clone(), context.epoch);
        context.stages.insert(partition, Stage::Online);
        controller.batch.add_leader_and_isr(
            &controller.context,
            &elected.recipients,
            &elected.state,
            false,
        );
    }

    // ---- new partitions -------------------------------------------------------------------------

    /// `initializeLeaderAndIsrForPartitions`: the folders of the topics first, then of the
    /// partitions, then the states.
    pub(super) fn initialize_partitions(
        &mut self,
        cx: &mut BrokerCx<'_>,
        partitions: &[TopicPartition],
    ) {
        let context = &self.zookeeper_controller().context;
        let first = |partition: &TopicPartition| election::initial_state(context, *partition);
        let states: Vec<_> = partitions.iter().filter_map(first).collect();
        let mut topics: Vec<_> = states.iter().map(|state| state.partition.topic).collect();
        topics.dedup();
        let folder = |path| ZooKeeperOperation::Create {
            path,
            data: ZnodeData::Empty,
            mode: CreateMode::Persistent,
        };
        let of_topics = topics.into_iter().map(|topic| folder(paths::partitions(topic))).collect();
        let own = states.iter().map(|state| folder(paths::partition(state.partition))).collect();
        self.ask_for_folders(cx, of_topics, Then::FoldersMade(own, states));
    }

    /// Folders that exist already are fine.
    pub(super) fn ask_for_folders(
        &mut self,
        cx: &mut BrokerCx<'_>,
        folders: Vec<ZooKeeperOperation>,
        then: Then,
    ) {
        self.write_as_controller(cx, folders, then);
    }

    pub(super) fn write_first_states(
        &mut self,
        cx: &mut BrokerCx<'_>,
        states: Vec<PartitionState>,
    ) {
        let controller_epoch = self.zookeeper_controller().context.epoch;
        let create = |state: &PartitionState| ZooKeeperOperation::Create {
            path: paths::partition_state(state.partition),
            data: ZnodeData::Partition {
                state: state.clone(),
                controller_epoch,
                reason: PartitionChangeReason::Created,
            },
            mode: CreateMode::Persistent,
        };
        let creates = states.iter().map(create).collect();
        self.write_as_controller(cx, creates, Then::Created(states));
    }

    pub(super) fn on_created(&mut self, states: Vec<PartitionState>, answers: Vec<Answer>) {
        let controller = self.zookeeper_controller();
        for (state, answer) in states.into_iter().zip(answers) {
            if answer.is_ok() {
                let context = &mut controller.context;
                context.learn(state.clone(), context.epoch);
                context.stages.insert(state.partition, Stage::Online);
                controller.batch.add_leader_and_isr(&controller.context, &state.isr, &state, true);
            }
        }
    }

    // ---- replicas -------------------------------------------------------------------------------

    /// `handleStateChanges(…, OnlineReplica)`: every partition of a broker that has a leader.
    pub(super) fn bring_replicas_online(&mut self, brokers: &[BrokerId]) {
        let controller = self.zookeeper_controller();
        for broker in brokers {
            for partition in controller.context.partitions_on(*broker) {
                if let Some(known) = controller.context.leadership.get(&partition) {
                    let state = known.state.clone();
                    controller.batch.add_leader_and_isr(
                        &controller.context,
                        &[*broker],
                        &state,
                        false,
                    );
                }
            }
        }
    }

    /// `handleStateChanges(…, OfflineReplica)` for all replicas of some brokers.
    pub(super) fn take_replicas_offline(
        &mut self,
        brokers: &[BrokerId],
        reason: PartitionChangeReason,
    ) {
        let mut steps = Vec::new();
        for broker in brokers {
            let partitions = self.zookeeper_controller().context.partitions_on(*broker);
            steps.extend(self.offline_steps(*broker, partitions, reason));
        }
        steps.push(Step::SendBatch);
        self.do_first(steps);
    }

    /// Takes some replicas of a broker offline; the batch is still to be sent.
    pub(super) fn offline_steps(
        &mut self,
        replica: BrokerId,
        mut partitions: Vec<TopicPartition>,
        reason: PartitionChangeReason,
    ) -> Vec<Step> {
        let controller = self.zookeeper_controller();
        for partition in &partitions {
            controller.batch.add_stop_replica(replica, *partition);
        }
        let registered = controller.context.registered();
        partitions.retain(|partition| {
            let known = controller.context.leadership.contains_key(partition);
            if !known {
                controller.batch.add_metadata(&controller.context, registered.clone(), []);
            }
            known
        });
        let removal = |partitions| Removal { replica, partitions, reason, attempted: None };
        self.in_groups(partitions).into_iter().map(removal).map(Step::RemoveFromIsr).collect()
    }

    pub(super) fn read_for_removal(&mut self, cx: &mut BrokerCx<'_>, removal: Removal) {
        let partitions = removal.partitions.clone();
        self.read_states(cx, &partitions, Then::RemovalRead(removal));
    }

    pub(super) fn on_removal_read(
        &mut self,
        cx: &mut BrokerCx<'_>,
        removal: Removal,
        answers: Vec<Answer>,
    ) {
        let always_keeps_last = self.shared.has(ProtocolRule::ControllerWritesInBatches);
        let mut shrunk = Vec::new();
        for answer in answers {
            let StateRead::Found(before) = self.usable(answer) else { continue };
            let written = removal.attempted.as_ref().is_some_and(|it| is_written(&before, it));
            let keep_last =
                always_keeps_last || !self.shared.topic(before.partition).unclean_leader_election;
            let context = &self.zookeeper_controller().context;
            match election::remove_from_isr(context, &before, removal.replica, keep_last) {
                Some(after) if !written => shrunk.push(after),
                _ => self.take_over_removal(removal.replica, before),
            }
        }
        let writes = shrunk.iter().map(|state| self.write_of(state, removal.reason)).collect();
        self.write_as_controller(cx, writes, Then::Removed(removal, shrunk));
    }

    pub(super) fn on_removed(
        &mut self,
        removal: Removal,
        shrunk: Vec<PartitionState>,
        answers: Vec<Answer>,
    ) {
        let mut again = Vec::new();
        let mut attempted = None;
        for (mut state, answer) in shrunk.into_iter().zip(answers) {
            match answer {
                Ok(ZooKeeperReply::Stat(stat)) => {
                    state.partition_epoch = version(&stat);
                    self.take_over_removal(removal.replica, state);
                }
                Err(ZooKeeperError::BadVersion) => {
                    again.push(state.partition);
                    attempted = Some(state);
                }
                _ => {}
            }
        }
        if !again.is_empty() {
            let attempted = attempted.filter(|_| self.checks_lost_writes());
            let removal = Removal { partitions: again, attempted, ..removal };
            self.do_first([Step::RemoveFromIsr(removal)]);
        }
    }

    /// The other replicas are told, whether the ISR has changed or not.
    fn take_over_removal(&mut self, removed: BrokerId, state: PartitionState) {
        let controller = self.zookeeper_controller();
        controller.context.learn(state.clone(), controller.context.epoch);
        let mut others = controller.context.replicas(state.partition).to_vec();
        others.retain(|replica| *replica != removed);
        controller.batch.add_leader_and_isr(&controller.context, &others, &state, false);
    }
}

fn version(stat: &ZnodeStat) -> PartitionEpoch {
    PartitionEpoch(stat.version)
}

/// Whether a stored state is what a write attempted.
fn is_written(stored: &PartitionState, attempted: &PartitionState) -> bool {
    stored.leader == attempted.leader
        && stored.leader_epoch == attempted.leader_epoch
        && stored.isr == attempted.isr
}
