//! LeaveGroup: a member of a classic group goes by itself.
//!
//! Mirrors `GroupCoordinator.handleLeaveGroup` and `GroupMetadataManager.classicGroupLeave`, for
//! one member at a time. Left out: removal of static members by their instance alone, which only
//! administrators ask for.

use super::Group;
use crate::broker::{Broker, BrokerCx, Requester};
use acklab_vocab::api::{LeaveGroupRequest, LeaveGroupResponse, Response};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::MemberId;
use acklab_vocab::trace::GroupState;

impl Broker {
    pub(super) fn on_leave_group(
        &mut self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        request: LeaveGroupRequest,
    ) {
        let answer = |error| Response::LeaveGroup(LeaveGroupResponse { error });
        let partition = match self.coordinated_group(request.group) {
            Ok(partition) => partition,
            Err(error) => {
                requester.answer(cx, answer(error));
                return;
            }
        };
        let leaving = match self.leaving_member(request) {
            Ok(leaving) => leaving,
            Err(error) => {
                requester.answer(cx, answer(error));
                return;
            }
        };
        let group = self.classic(cx, request.group);
        let store =
            group.and_then(|mut group| group.remove_leaving_member(leaving, request.reason));
        self.store_group(cx, request.group, store);
        self.answer_after_writes(cx, partition, requester, answer(ErrorCode::None));
    }

    fn leaving_member(&self, request: LeaveGroupRequest) -> Result<MemberId, ErrorCode> {
        let known = self.group_coordinator.groups.get(&request.group);
        let Some(Group::Classic(group)) = known.map(|known| &known.group) else {
            return Err(ErrorCode::UnknownMemberId);
        };
        if group.state == GroupState::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        if group.pending_join.contains_key(&request.member) {
            return Ok(request.member);
        }
        group.validate_member(Some(request.member), request.instance)
    }
}
