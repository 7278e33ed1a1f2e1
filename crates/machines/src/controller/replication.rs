//! Topics, and every change of a partition's leader or ISR (`ReplicationControlManager`).
//!
//! Each event looks only at the partitions that it can concern: those of one broker's ISR or ELR,
//! or those without a leader.

use super::active::ReplyTo;
use super::election::{Election, PartitionChange};
use super::state::{ClusterState, Partition};
use super::{Controller, ControllerCx};
use acklab_vocab::api::{
    AlterPartitionRequest, AlterPartitionResponse, PartitionAlter, PartitionAlterResponse, Response,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{
    BrokerEpoch, BrokerId, BrokerList, LeaderEpoch, PartitionEpoch, PartitionIndex, TopicId,
    TopicPartition,
};
use acklab_vocab::metadata_log::{MetadataRecord, PartitionState};
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};
use acklab_vocab::trace::PartitionChangeReason;

/// Whose state is about to change, while the registrations still show the old one
/// (`generateLeaderAndIsrUpdates`).
#[derive(Clone, Copy, Debug, Default)]
struct BrokerChange {
    /// Leaves every ISR and may not lead.
    remove: Option<BrokerId>,
    /// May lead, though it is still fenced.
    add: Option<BrokerId>,
    /// Leaves every ISR and ELR and may not lead.
    unclean_shutdown: Option<BrokerId>,
}

impl Controller {
    /// The change of one partition with what its topic and the rules say.
    pub(super) fn partition_change<'a>(
        &self,
        partition: &'a Partition,
        election: Election,
    ) -> PartitionChange<'a> {
        let Partition { state, last_known_leader } = partition;
        let min_isr = self.topic_config(state.partition.topic, |topic| topic.min_insync_replicas);
        PartitionChange {
            partition: state,
            last_known_leader: *last_known_leader,
            target_isr: state.isr.clone(),
            unclean_shutdown: None,
            election,
            recovered: false,
            min_isr: usize::from(min_isr.unwrap_or(1)).min(state.replicas.len()),
            rules: self.config.rules,
        }
    }

    pub(super) fn allows_unclean_election(&self, topic: TopicId) -> bool {
        self.topic_config(topic, |topic| topic.unclean_leader_election).unwrap_or(false)
    }

    fn topic_config<T>(
        &self,
        topic: TopicId,
        read: impl Fn(&acklab_vocab::config::TopicConfig) -> T,
    ) -> Option<T> {
        self.topics.get(usize::from(topic.0)).map(read)
    }

    fn topic_election(&self, topic: TopicId) -> Election {
        if self.allows_unclean_election(topic) { Election::Unclean } else { Election::Online }
    }

    fn leader_and_isr_updates(
        &self,
        change: BrokerChange,
        partitions: impl Iterator<Item = TopicPartition>,
        records: &mut Vec<MetadataRecord>,
    ) {
        let BrokerChange { remove, add, unclean_shutdown } = change;
        let leaves = |broker: BrokerId| remove == Some(broker) || unclean_shutdown == Some(broker);
        let may_lead = |broker: BrokerId| {
            !leaves(broker) && (add == Some(broker) || self.cluster.is_active(broker))
        };
        for id in partitions {
            let partition = self.cluster.partition(id).expect("an index names partitions that are");
            let mut wanted = self.partition_change(partition, self.topic_election(id.topic));
            wanted.target_isr.retain(|replica| !leaves(*replica));
            wanted.unclean_shutdown = unclean_shutdown;
            records.extend(wanted.build(may_lead).map(MetadataRecord::PartitionChange));
        }
    }

    /// `handleBrokerFenced`. A broker that is fenced already leaves no trace in the log.
    pub(super) fn records_for_fenced(&self, broker: BrokerId, records: &mut Vec<MetadataRecord>) {
        let change = BrokerChange { remove: Some(broker), ..BrokerChange::default() };
        self.leader_and_isr_updates(change, self.cluster.in_isr(broker), records);
        if self.cluster.broker(broker).is_some_and(|registration| !registration.fenced) {
            records.extend(self.registration_change(broker, true, None));
        }
    }

    /// `handleBrokerUnfenced`: partitions without a leader may have one now.
    pub(super) fn records_for_unfenced(&self, broker: BrokerId, records: &mut Vec<MetadataRecord>) {
        records.extend(self.registration_change(broker, false, None));
        let change = BrokerChange { add: Some(broker), ..BrokerChange::default() };
        self.leader_and_isr_updates(change, self.cluster.leaderless().iter().copied(), records);
    }

    /// `handleBrokerInControlledShutdown`
    pub(super) fn records_for_controlled_shutdown(
        &self,
        broker: BrokerId,
        records: &mut Vec<MetadataRecord>,
    ) {
        let is_new =
            |registration: &super::BrokerRegistration| !registration.in_controlled_shutdown;
        if self.cluster.broker(broker).is_some_and(is_new) {
            records.extend(self.registration_change(broker, false, Some(true)));
        }
        let change = BrokerChange { remove: Some(broker), ..BrokerChange::default() };
        self.leader_and_isr_updates(change, self.cluster.in_isr(broker), records);
    }

    /// `handleBrokerShutdown`: what a new life of a broker ends of the last one. With ELR, a life
    /// that did not end cleanly may have lost records, and its replicas are eligible no more.
    pub(super) fn records_for_shutdown(
        &self,
        broker: BrokerId,
        was_clean: bool,
        records: &mut Vec<MetadataRecord>,
    ) {
        if was_clean || !self.config.rules.has(ProtocolRule::EligibleLeaderReplicas) {
            let change = BrokerChange { remove: Some(broker), ..BrokerChange::default() };
            self.leader_and_isr_updates(change, self.cluster.in_isr(broker), records);
        } else {
            let change = BrokerChange { unclean_shutdown: Some(broker), ..BrokerChange::default() };
            self.leader_and_isr_updates(change, self.cluster.in_isr(broker), records);
            self.leader_and_isr_updates(change, self.cluster.eligible(broker), records);
        }
    }

    fn registration_change(
        &self,
        broker: BrokerId,
        fenced: bool,
        in_controlled_shutdown: Option<bool>,
    ) -> Option<MetadataRecord> {
        self.cluster.broker(broker).map(|known| MetadataRecord::BrokerRegistrationChange {
            broker,
            broker_epoch: known.broker_epoch,
            fenced,
            in_controlled_shutdown: in_controlled_shutdown.unwrap_or(known.in_controlled_shutdown),
        })
    }

    /// Creates a topic with the replicas given. Those on active brokers form the first ISR, in
    /// which the first leads.
    pub(super) fn create_topic(
        &mut self,
        cx: &mut ControllerCx<'_>,
        topic: TopicId,
        assignments: &[BrokerList],
    ) {
        if self.cluster.has_topic(topic) {
            return;
        }
        let Some(partitions) = self.new_partitions(topic, assignments) else { return };
        let mut records = vec![MetadataRecord::Topic { topic }];
        records.extend(partitions);
        self.write(cx, records, PartitionChangeReason::Created, None);
    }

    /// Adds the partitions that a topic does not have.
    pub(super) fn create_partitions(
        &mut self,
        cx: &mut ControllerCx<'_>,
        topic: TopicId,
        assignments: &[BrokerList],
    ) {
        if !self.cluster.has_topic(topic) {
            return;
        }
        match self.new_partitions(topic, assignments) {
            Some(records) if !records.is_empty() => {
                self.write(cx, records, PartitionChangeReason::Created, None);
            }
            Some(_) | None => {}
        }
    }

    /// Those of the partitions that do not exist; `None` if one of them has no active replica.
    fn new_partitions(
        &self,
        topic: TopicId,
        assignments: &[BrokerList],
    ) -> Option<Vec<MetadataRecord>> {
        let named = assignments.iter().enumerate().map(|(index, replicas)| {
            (TopicPartition { topic, partition: PartitionIndex(index as u16) }, replicas)
        });
        let missing = named.filter(|&(name, _)| self.cluster.partition(name).is_none());
        let created = missing.map(|(partition, replicas)| {
            let is_active = |broker: &BrokerId| self.cluster.is_active(*broker);
            let mut isr: BrokerList = replicas.iter().copied().filter(is_active).collect();
            let leader = *isr.first()?;
            isr.sort_unstable();
            Some(MetadataRecord::Partition(PartitionState {
                partition,
                replicas: replicas.clone(),
                isr,
                eligible: BrokerList::new(),
                leader: Some(leader),
                leader_epoch: LeaderEpoch(0),
                partition_epoch: PartitionEpoch(0),
                recovering: false,
            }))
        });
        created.collect()
    }

    pub(super) fn on_alter_partition(
        &mut self,
        cx: &mut ControllerCx<'_>,
        reply_to: ReplyTo,
        request: &AlterPartitionRequest,
    ) {
        let controller = self.quorum.known_controller();
        let error = self.check_broker_epoch(request.broker, request.broker_epoch);
        let mut response = AlterPartitionResponse { error, partitions: Vec::new(), controller };
        if !error.is_none() {
            return cx.respond(reply_to.0, reply_to.1, Response::AlterPartition(response));
        }
        let mut records = Vec::new();
        for wanted in &request.partitions {
            let before = self.cluster.partition(wanted.partition);
            let before_state = before.map(|partition| &partition.state);
            let rules = self.config.rules;
            let error = validate_alter_partition(
                rules,
                &self.cluster,
                before_state,
                request.broker,
                wanted,
            );
            let answer = match before.filter(|_| error.is_none()) {
                None => refusal(wanted.partition, error),
                Some(before) => {
                    let election = self.topic_election(wanted.partition.topic);
                    let mut change = self.partition_change(before, election);
                    change.target_isr = wanted.new_isr.iter().map(|(broker, _)| *broker).collect();
                    change.target_isr.sort_unstable();
                    change.recovered = true;
                    let after = change.build(|broker| self.cluster.is_active(broker));
                    records.extend(after.clone().map(MetadataRecord::PartitionChange));
                    let after = after.unwrap_or_else(|| before.state.clone());
                    if after.leader == before.state.leader {
                        accepted(after)
                    } else {
                        refusal(wanted.partition, ErrorCode::NewLeaderElected)
                    }
                }
            };
            response.partitions.push(answer);
        }
        let answer = (reply_to, Response::AlterPartition(response));
        self.write(cx, records, PartitionChangeReason::AlterPartition, Some(answer));
    }
}

/// `NONE`, or why a proposal is refused, in Kafka's order (`validateAlterPartitionData`).
fn validate_alter_partition(
    rules: ProtocolRules,
    cluster: &ClusterState,
    partition: Option<&PartitionState>,
    sender: BrokerId,
    wanted: &PartitionAlter,
) -> ErrorCode {
    let Some(partition) = partition else { return ErrorCode::UnknownTopicOrPartition };
    // A leader that knows more than this controller has heard it from a newer one.
    if wanted.leader_epoch > partition.leader_epoch
        || wanted.partition_epoch > partition.partition_epoch
    {
        return ErrorCode::NotController;
    }
    if wanted.leader_epoch < partition.leader_epoch {
        return ErrorCode::FencedLeaderEpoch;
    }
    if partition.leader != Some(sender) {
        return ErrorCode::InvalidRequest;
    }
    if wanted.partition_epoch < partition.partition_epoch {
        return ErrorCode::InvalidUpdateVersion;
    }
    if !is_valid_isr(&partition.replicas, wanted) {
        return ErrorCode::InvalidRequest;
    }
    if !wanted.new_isr.iter().any(|(broker, _)| *broker == sender) {
        return ErrorCode::InvalidRequest;
    }
    let checks_fencing = rules.has(ProtocolRule::IsrExpandChecksFencing);
    let checks_epoch = rules.has(ProtocolRule::IsrExpandChecksBrokerEpoch);
    let is_ineligible = |&(broker, epoch): &(BrokerId, Option<BrokerEpoch>)| {
        let Some(registration) = cluster.broker(broker) else { return checks_fencing };
        (checks_fencing && !registration.is_active())
            || (checks_epoch && epoch.is_some_and(|epoch| epoch != registration.broker_epoch))
    };
    if wanted.new_isr.iter().any(is_ineligible) {
        return ErrorCode::IneligibleReplica;
    }
    ErrorCode::None
}

/// Not empty, no member twice, nobody but replicas (`Replicas.validateIsr`).
fn is_valid_isr(replicas: &[BrokerId], wanted: &PartitionAlter) -> bool {
    let mut isr: BrokerList = wanted.new_isr.iter().map(|(broker, _)| *broker).collect();
    isr.sort_unstable();
    !isr.is_empty()
        && isr.windows(2).all(|pair| pair[0] != pair[1])
        && isr.iter().all(|broker| replicas.contains(broker))
}

fn accepted(state: PartitionState) -> PartitionAlterResponse {
    PartitionAlterResponse {
        partition: state.partition,
        error: ErrorCode::None,
        leader: state.leader,
        leader_epoch: state.leader_epoch,
        isr: state.isr,
        partition_epoch: state.partition_epoch,
    }
}

fn refusal(partition: TopicPartition, error: ErrorCode) -> PartitionAlterResponse {
    PartitionAlterResponse {
        partition,
        error,
        leader: None,
        leader_epoch: LeaderEpoch(0),
        isr: BrokerList::new(),
        partition_epoch: PartitionEpoch(0),
    }
}

#[cfg(test)]
mod tests;
