//! OffsetFetch: where a group is.
//!
//! Mirrors `GroupCoordinator.handleFetchOffsets` and `GroupMetadataManager.getOffsets`;
//! `GroupCoordinatorService.fetchOffsets` and `OffsetMetadataManager.fetchOffsets`. The event-loop
//! coordinator answers who asks for stable offsets with what is written, when that is committed
//! (a linearizable read), and everybody else at once with what is committed.

use super::Group;
use crate::broker::{Broker, BrokerCx, Requester};
use acklab_vocab::api::{OffsetFetchRequest, OffsetFetchResponse, Response};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::group::CommittedOffset;
use acklab_vocab::ids::TopicPartition;
use acklab_vocab::rules::ProtocolRule;

impl Broker {
    pub(super) fn on_offset_fetch(
        &mut self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        request: &OffsetFetchRequest,
    ) {
        let judged = self.coordinated_group(request.group).and_then(|partition| {
            match self.group_coordinator.groups.get(&request.group).map(|known| &known.group) {
                Some(Group::Consumer(group)) => group.validate_fetch(request.member)?,
                Some(Group::Classic(_)) | None => {}
            }
            Ok(partition)
        });
        let partition = match judged {
            Ok(partition) => partition,
            Err(error) => {
                let response = OffsetFetchResponse { error, partitions: Vec::new() };
                requester.answer(cx, Response::OffsetFetch(response));
                return;
            }
        };
        let is_event_loop = self.shared.has(ProtocolRule::EventLoopGroupCoordinator);
        let is_linearizable = request.require_stable && is_event_loop;
        let response = Response::OffsetFetch(self.fetch_offsets(request, is_linearizable));
        if is_linearizable {
            self.answer_after_writes(cx, partition, requester, response);
        } else {
            requester.answer(cx, response);
        }
    }

    fn fetch_offsets(&self, request: &OffsetFetchRequest, as_written: bool) -> OffsetFetchResponse {
        let known = self.group_coordinator.groups.get(&request.group);
        let fetch = |&partition: &TopicPartition| {
            let Some(offsets) = known.map(|known| &known.offsets) else {
                return (partition, ErrorCode::None, None);
            };
            if request.require_stable && offsets.is_unstable(partition) {
                return (partition, ErrorCode::UnstableOffsetCommit, None);
            }
            let committed: Option<CommittedOffset> = match as_written {
                true => offsets.latest(partition),
                false => offsets.visible(partition),
            };
            (partition, ErrorCode::None, committed)
        };
        let partitions = request.partitions.iter().map(fetch).collect();
        OffsetFetchResponse { error: ErrorCode::None, partitions }
    }
}
