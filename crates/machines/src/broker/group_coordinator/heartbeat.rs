//! Heartbeat: a member of a classic group says that it lives, and learns of rebalances.
//!
//! Mirrors `GroupCoordinator.handleHeartbeat` and `GroupMetadataManager.classicGroupHeartbeat`.

use super::{Group, Operation};
use crate::broker::{Broker, BrokerCx, Requester};
use acklab_vocab::api::{HeartbeatRequest, HeartbeatResponse, Response};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::trace::GroupState;

impl Broker {
    pub(super) fn on_heartbeat(
        &mut self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        request: HeartbeatRequest,
    ) {
        let partition = match self.coordinated_group(request.group) {
            Ok(partition) => partition,
            Err(error) => {
                // While it loads, the coordinator cannot know: it answers blindly.
                let error = match error {
                    ErrorCode::CoordinatorLoadInProgress => ErrorCode::None,
                    error => error,
                };
                requester.answer(cx, Response::Heartbeat(HeartbeatResponse { error }));
                return;
            }
        };
        let known = self.group_coordinator.groups.get(&request.group);
        let error = match known.map(|known| &known.group) {
            Some(Group::Classic(_)) => {
                let group = self.classic(cx, request.group);
                group.map_or(ErrorCode::UnknownMemberId, |mut group| group.heartbeat(request))
            }
            Some(Group::Consumer(_)) | None => ErrorCode::UnknownMemberId,
        };
        let response = Response::Heartbeat(HeartbeatResponse { error });
        if error.is_none() || error == ErrorCode::RebalanceInProgress {
            self.answer_after_writes(cx, partition, requester, response);
        } else {
            // An exception in Kafka's event loop: nothing to wait for.
            requester.answer(cx, response);
        }
    }
}

impl Operation<'_, '_> {
    fn heartbeat(&mut self, request: HeartbeatRequest) -> ErrorCode {
        if self.group.state == GroupState::Dead {
            return ErrorCode::CoordinatorNotAvailable;
        }
        let member = match self.group.validate_member(Some(request.member), request.instance) {
            Ok(member) => member,
            Err(error) => return error,
        };
        if request.generation != self.group.generation {
            return ErrorCode::IllegalGeneration;
        }
        match self.group.state {
            GroupState::PreparingRebalance => {
                self.restart_session(member);
                ErrorCode::RebalanceInProgress
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.restart_session(member);
                ErrorCode::None
            }
            GroupState::Empty
            | GroupState::Dead
            | GroupState::Assigning
            | GroupState::Reconciling => ErrorCode::UnknownMemberId,
        }
    }
}
