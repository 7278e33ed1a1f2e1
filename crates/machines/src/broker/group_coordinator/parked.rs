//! JoinGroup and SyncGroup requests that wait for other members.
//!
//! Mirrors `awaitingJoinFuture` and `awaitingSyncFuture` of `ClassicGroupMember`, and what
//! `GroupCoordinatorService.joinGroup` and `syncGroup` do about a future that is not done: to the
//! event loop each request is a write, be it of nothing, that has to be committed with what was
//! written before it. If that fails or takes longer than `offsets.commit.timeout.ms`, the request is
//! answered with an error, while the group takes it for one that waits.

use super::Group;
use super::sync::store_error;
use super::write::GroupWrite;
use crate::broker::{Broker, BrokerCx, Requester};
use acklab_vocab::api::Response;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{GroupId, TopicPartition};
use acklab_vocab::rules::ProtocolRule;

/// A request that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parked {
    requester: Requester,
    /// Told of an error; it goes on waiting for the group's sake.
    is_answered: bool,
}

impl From<Requester> for Parked {
    fn from(requester: Requester) -> Self {
        Parked { requester, is_answered: false }
    }
}

impl Parked {
    /// Answers, unless that was done before.
    pub fn answer(&mut self, cx: &mut BrokerCx<'_>, response: Response) {
        if !self.is_answered {
            self.is_answered = true;
            self.requester.answer(cx, response);
        }
    }

    /// It is `requester`'s, and has not been answered.
    pub fn waits_for(&self, requester: Requester) -> bool {
        *self == Parked::from(requester)
    }
}

impl Broker {
    /// The request of `requester`, if it waits for other members, is answered with an error unless
    /// what has been written so far is committed in time.
    pub(super) fn fail_parked_with_writes(
        &mut self,
        cx: &mut BrokerCx<'_>,
        (group, partition): (GroupId, TopicPartition),
        requester: Requester,
    ) {
        let known = self.group_coordinator.groups.get(&group).map(|known| &known.group);
        let Some(Group::Classic(classic)) = known else { return };
        if self.shared.has(ProtocolRule::EventLoopGroupCoordinator) && classic.has_parked(requester)
        {
            self.after_writes(cx, partition, GroupWrite::Parked(group, requester));
        }
    }

    /// A write with, or before, a request that waits has failed.
    pub(super) fn fail_parked(
        &mut self,
        cx: &mut BrokerCx<'_>,
        group: GroupId,
        requester: Requester,
        error: ErrorCode,
    ) {
        let error = store_error(self.shared.config.rules, error);
        if let Some(operation) = self.classic(cx, group) {
            operation.group.fail_parked(operation.cx, requester, error);
        }
    }
}
