//! ISRs that leaders propose (AlterPartition, 2.7 on): which are accepted, and what is answered.
//!
//! Mirrors `KafkaController.processAlterPartition`. Up to 3.2 a proposal for an older state is
//! found out by the znode's version alone, and offline replicas may enter an ISR; from 3.3 on
//! (KIP-841) the controller's own picture decides first. Left out: recovery states of leaders
//! (KIP-704). Members of an ISR are compared by id alone, as in every release with ZooKeeper.

use super::context::ControllerContext;
use acklab_vocab::api::{
    AlterPartitionRequest, AlterPartitionResponse, KnownController, PartitionAlter,
    PartitionAlterResponse,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerId, BrokerList, LeaderEpoch, PartitionEpoch, TopicPartition};
use acklab_vocab::metadata_log::PartitionState;
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};

/// What the controller thinks of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proposal {
    /// Refused.
    Refused(ErrorCode),
    /// That is the ISR already: nothing is written.
    AlreadySo(PartitionState),
    /// To be written, if the znode has the version that the proposal is based on.
    Accepted(PartitionState),
}

/// Why a whole request is refused.
pub(super) fn refuse_request(
    context: &ControllerContext,
    request: &AlterPartitionRequest,
) -> Option<ErrorCode> {
    match context.brokers.get(&request.broker) {
        Some(known) if known.epoch == request.broker_epoch => None,
        _ => Some(ErrorCode::StaleBrokerEpoch),
    }
}

/// Judges the proposal of one partition by `leader`.
pub(super) fn judge(
    context: &ControllerContext,
    leader: BrokerId,
    alter: &PartitionAlter,
    rules: ProtocolRules,
) -> Proposal {
    let Some(known) = context.leadership.get(&alter.partition) else {
        return Proposal::Refused(ErrorCode::UnknownTopicOrPartition);
    };
    let current = &known.state;
    let mut isr: BrokerList = alter.new_isr.iter().map(|(member, _)| *member).collect();
    isr.sort_unstable();
    let checks_first = rules.has(ProtocolRule::IsrExpandChecksFencing);
    let ahead = alter.partition_epoch > current.partition_epoch
        || alter.leader_epoch > current.leader_epoch;
    if checks_first && ahead {
        return Proposal::Refused(ErrorCode::NotController);
    }
    if alter.leader_epoch < current.leader_epoch {
        return Proposal::Refused(ErrorCode::FencedLeaderEpoch);
    }
    let same = current.leader == Some(leader)
        && current.leader_epoch == alter.leader_epoch
        && current.isr == isr;
    if same {
        return Proposal::AlreadySo(current.clone());
    }
    if checks_first && alter.partition_epoch < current.partition_epoch {
        return Proposal::Refused(ErrorCode::InvalidUpdateVersion);
    }
    if checks_first && isr.iter().any(|member| !context.is_live(*member)) {
        return Proposal::Refused(ErrorCode::IneligibleReplica);
    }
    Proposal::Accepted(PartitionState {
        leader: Some(leader),
        leader_epoch: alter.leader_epoch,
        partition_epoch: alter.partition_epoch,
        isr,
        ..current.clone()
    })
}

/// The answer for a partition.
pub(super) fn partition_answer(
    partition: TopicPartition,
    result: Result<&PartitionState, ErrorCode>,
) -> PartitionAlterResponse {
    match result {
        Ok(state) => PartitionAlterResponse {
            partition,
            error: ErrorCode::None,
            leader: state.leader,
            leader_epoch: state.leader_epoch,
            isr: state.isr.clone(),
            partition_epoch: state.partition_epoch,
        },
        Err(error) => PartitionAlterResponse {
            partition,
            error,
            leader: None,
            leader_epoch: LeaderEpoch(0),
            isr: BrokerList::new(),
            partition_epoch: PartitionEpoch(0),
        },
    }
}

/// The answer to a request that is refused as a whole.
pub(super) fn refusal(error: ErrorCode, controller: KnownController) -> AlterPartitionResponse {
    AlterPartitionResponse { error, partitions: Vec::new(), controller }
}

#[cfg(test)]
mod tests;
