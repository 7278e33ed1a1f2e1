//! A KIP-848 group as its coordinator holds it: members, epochs, the target assignment, who owns
//! what.
//!
//! Mirrors `ConsumerGroup` and `ConsumerGroupMember` (`coordinator.group.modern.consumer`), and of
//! `GroupMetadataManager` the `replay` methods. Nothing here decides: [`heartbeat`] answers a
//! request with records, the coordinator appends them, and only [`ConsumerGroup::replay`] changes
//! the group, when they are written as when a new coordinator reads them.
//!
//! Left out: members of the classic protocol in a KIP-848 group and the conversion of groups that
//! have members (`group.consumer.migration.policy`, for rolling upgrades; here the coordinator
//! refuses them, see `request.rs`), and subscriptions by regular expression. Topics that no broker
//! knows yet are not in the assignment.

pub(in crate::broker) mod assignor;
mod current_assignment;
mod heartbeat;
mod request;
mod step;
#[cfg(test)]
mod tests;

pub(in crate::broker) use request::ConsumerGroupWrite;

use acklab_vocab::error::ErrorCode;
use acklab_vocab::group::{
    ConsumerGroupMember, ConsumerGroupRecord, CurrentAssignment, MemberState,
};
use acklab_vocab::ids::{Generation, GroupInstanceId, MemberId, NodeId, TopicPartition};
use acklab_vocab::trace::GroupState;
use assignor::PartitionCounts;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A member: what it says of itself, and where it is on its way to its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::broker) struct Member {
    /// What it says of itself.
    pub(in crate::broker) metadata: ConsumerGroupMember,
    /// What it owns, in which epoch.
    pub(in crate::broker) current: CurrentAssignment,
}

/// A KIP-848 group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::broker) struct ConsumerGroup {
    /// Rises when a member comes, goes or subscribes to something else, and when a topic changes.
    pub(in crate::broker) epoch: Generation,
    /// The group epoch for which the target assignment was computed.
    pub(in crate::broker) target_epoch: Generation,
    /// The members.
    pub(in crate::broker) members: BTreeMap<MemberId, Member>,
    target: BTreeMap<MemberId, Arc<[TopicPartition]>>,
    static_members: BTreeMap<GroupInstanceId, MemberId>,
    /// Who has a partition, or has not given it up.
    owners: BTreeMap<TopicPartition, MemberId>,
    /// How many partitions the subscribed topics had when the target was computed; `None` if nobody
    /// knows (the group was read from the log). Not in the log, as topics do not change while
    /// coordinators do.
    pub(in crate::broker) subscribed: Option<PartitionCounts>,
}

impl Member {
    /// A member before its first heartbeat is answered.
    fn new(node: NodeId) -> Self {
        Member {
            metadata: ConsumerGroupMember {
                instance: None,
                node,
                rebalance_timeout: acklab_vocab::time::SimDuration::ZERO,
                topics: SmallVec::new(),
                assignor: None,
            },
            current: CurrentAssignment {
                epoch: Generation(0),
                previous_epoch: Generation(0),
                state: MemberState::Stable,
                assigned: [].into(),
                pending_revocation: [].into(),
                away: false,
            },
        }
    }

    /// It was told to give up partitions and has not yet.
    pub(in crate::broker) fn is_revoking(&self) -> bool {
        self.current.state == MemberState::UnrevokedPartitions && !self.current.away
    }

    fn is_reconciled_to(&self, target_epoch: Generation) -> bool {
        let CurrentAssignment { state, epoch, away, .. } = self.current;
        state == MemberState::Stable && epoch == target_epoch && !away
    }
}

impl ConsumerGroup {
    /// The state as people know it.
    pub(in crate::broker) fn state(&self) -> GroupState {
        let reconciled = |member: &Member| member.is_reconciled_to(self.target_epoch);
        if self.members.is_empty() {
            GroupState::Empty
        } else if self.epoch > self.target_epoch {
            GroupState::Assigning
        } else if self.members.values().all(reconciled) {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        }
    }

    /// It has no members.
    pub(in crate::broker) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Nobody is on the way to another assignment.
    pub(in crate::broker) fn is_settled(&self) -> bool {
        matches!(self.state(), GroupState::Empty | GroupState::Stable)
    }

    /// What a member is to own.
    fn target_of(&self, member: MemberId) -> Arc<[TopicPartition]> {
        self.target.get(&member).map_or_else(|| [].into(), Arc::clone)
    }

    /// The member that has an instance id.
    fn static_member(&self, instance: GroupInstanceId) -> Option<(MemberId, &Member)> {
        let member = *self.static_members.get(&instance)?;
        Some((member, self.members.get(&member)?))
    }

    /// Whether a commit may be accepted (`ConsumerGroup.validateOffsetCommit`). `member` and
    /// `epoch`: as the request has them; `None` of a consumer that is no member.
    ///
    /// # Errors
    /// - UNKNOWN_MEMBER_ID: no such member, or none was said while the group has members.
    /// - STALE_MEMBER_EPOCH: the member is in another epoch.
    pub(in crate::broker) fn validate_commit(
        &self,
        member: Option<MemberId>,
        epoch: Option<Generation>,
    ) -> Result<(), ErrorCode> {
        if epoch.is_none() && self.members.is_empty() {
            return Ok(());
        }
        self.validate_epoch(member, epoch)
    }

    /// Whether offsets may be fetched (`ConsumerGroup.validateOffsetFetch`). Kafka checks what is
    /// committed of the group; here it is what is written, which differs only for a heartbeat of
    /// the same member that is not answered yet.
    ///
    /// # Errors
    /// - UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH: as for a commit.
    pub(in crate::broker) fn validate_fetch(
        &self,
        member: Option<(MemberId, Generation)>,
    ) -> Result<(), ErrorCode> {
        match member {
            None => Ok(()),
            Some((member, epoch)) => self.validate_epoch(Some(member), Some(epoch)),
        }
    }

    fn validate_epoch(
        &self,
        member: Option<MemberId>,
        epoch: Option<Generation>,
    ) -> Result<(), ErrorCode> {
        let known = member.and_then(|member| self.members.get(&member));
        let Some(member) = known else { return Err(ErrorCode::UnknownMemberId) };
        match epoch {
            Some(epoch) if epoch == member.current.epoch && !member.current.away => Ok(()),
            Some(_) | None => Err(ErrorCode::StaleMemberEpoch),
        }
    }

    /// Applies a record of this group (`GroupMetadataManager.replay`). Returns whether the group is
    /// still there.
    pub(in crate::broker) fn replay(&mut self, record: &ConsumerGroupRecord) -> bool {
        match record {
            ConsumerGroupRecord::Epoch(_, Some(epoch)) => self.epoch = *epoch,
            ConsumerGroupRecord::Epoch(_, None) => return false,
            ConsumerGroupRecord::TargetEpoch(_, epoch) => {
                self.target_epoch = epoch.unwrap_or_default();
            }
            ConsumerGroupRecord::Target(_, member, Some(target)) => {
                self.target.insert(*member, Arc::clone(target));
            }
            ConsumerGroupRecord::Target(_, member, None) => {
                self.target.remove(member);
            }
            ConsumerGroupRecord::Member(_, member, Some(metadata)) => {
                if let Some(instance) = metadata.instance {
                    self.static_members.insert(instance, *member);
                }
                let known = self.members.entry(*member);
                known.or_insert_with(|| Member::new(metadata.node)).metadata = metadata.clone();
            }
            ConsumerGroupRecord::Member(_, member, None) => self.remove_member(*member),
            ConsumerGroupRecord::Current(_, member, current) => {
                self.set_current(*member, current.as_ref());
            }
        }
        true
    }

    fn remove_member(&mut self, member: MemberId) {
        self.set_current(member, None);
        let removed = self.members.remove(&member);
        if let Some(instance) = removed.and_then(|removed| removed.metadata.instance)
            && self.static_members.get(&instance) == Some(&member)
        {
            self.static_members.remove(&instance);
        }
    }

    fn set_current(&mut self, id: MemberId, current: Option<&CurrentAssignment>) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let CurrentAssignment { assigned, pending_revocation, .. } = &member.current;
        for partition in assigned.iter().chain(pending_revocation.iter()) {
            if self.owners.get(partition) == Some(&id) {
                self.owners.remove(partition);
            }
        }
        member.current = match current {
            Some(current) => current.clone(),
            None => Member::new(member.metadata.node).current,
        };
        let CurrentAssignment { assigned, pending_revocation, .. } = &member.current;
        let owned = assigned.iter().chain(pending_revocation.iter());
        self.owners.extend(owned.map(|&partition| (partition, id)));
    }
}
