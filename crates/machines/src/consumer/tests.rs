//! One consumer against brokers played by the test: what it sends, reports and states.

use super::testing::*;
use super::*;
use acklab_vocab::api::JoinGroupResponse;
use acklab_vocab::api::{
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, LeaveReason, OffsetCommitRequest,
    OffsetFetchRequest, Request, SyncGroupRequest,
};
use acklab_vocab::group::{Assignor, Subscription};
use acklab_vocab::ids::NodeId;
use acklab_vocab::trace::{PositionSource, TraceEvent};
use acklab_vocab::version::KafkaVersion;

mod close;
mod commits;
mod joining;
mod libraries;
mod liveness;
mod positions;
mod random;

// ---- expectations -------------------------------------------------------------------------------

fn join(member: Option<MemberId>, subscription: Subscription) -> Did {
    join_by(Assignor::Range, member, subscription)
}

fn join_by(assignor: Assignor, member: Option<MemberId>, subscription: Subscription) -> Did {
    Did::Send(Request::JoinGroup(JoinGroupRequest {
        group: GROUP,
        member,
        instance: None,
        session_timeout: secs(10),
        rebalance_timeout: secs(20),
        protocols: SmallVec::from_iter([(assignor, Arc::new(subscription))]),
        understands_member_id_required: true,
    }))
}

fn sync(generation: u32, assignments: Vec<(MemberId, Arc<[TopicPartition]>)>) -> Did {
    let (group, generation) = (GROUP, Generation(generation));
    let request = SyncGroupRequest { group, generation, member: ME, instance: None, assignments };
    Did::Send(Request::SyncGroup(request))
}

fn heartbeat(generation: u32) -> Did {
    let (group, generation) = (GROUP, Generation(generation));
    let request = HeartbeatRequest { group, generation, member: ME, instance: None };
    Did::Send(Request::Heartbeat(request))
}

fn leave(reason: LeaveReason) -> Did {
    let request = LeaveGroupRequest { group: GROUP, member: ME, instance: None, reason };
    Did::Send(Request::LeaveGroup(request))
}

fn commit(generation: u32, offsets: &[OffsetToCommit]) -> Did {
    Did::Send(Request::OffsetCommit(OffsetCommitRequest {
        group: GROUP,
        generation: Some(Generation(generation)),
        member: Some(ME),
        instance: None,
        offsets: offsets.into(),
        understands_member_epochs: false,
    }))
}

fn fetch_offsets(partitions: &[TopicPartition]) -> Did {
    Did::Send(Request::OffsetFetch(OffsetFetchRequest {
        group: GROUP,
        member: None,
        partitions: partitions.to_vec(),
        require_stable: true,
    }))
}

fn revoked(partitions: &[TopicPartition], lost: bool) -> Did {
    Did::Report(ConsumerReport::Revoked { partitions: partitions.into(), lost })
}

fn gave_up(partitions: &[TopicPartition], lost: bool) -> Did {
    Did::State(TraceEvent::PartitionsRevoked { partitions: partitions.into(), lost })
}

fn assigned(partitions: &[TopicPartition]) -> Did {
    Did::Report(ConsumerReport::Assigned { partitions: partitions.into() })
}

fn owns(generation: u32, owned: &[TopicPartition], added: &[TopicPartition]) -> Did {
    Did::State(TraceEvent::PartitionsAssigned {
        generation: Some(Generation(generation)),
        member: Some(ME),
        owned: owned.into(),
        added: added.into(),
    })
}

fn from_committed(partition: TopicPartition, from: Option<u64>, to: u64) -> Did {
    let (from, to, source) = (from.map(Offset), Offset(to), PositionSource::Committed);
    Did::State(TraceEvent::PositionFromCommitted { partition, from, to, source })
}

fn read(partition: TopicPartition, from: u64, to: u64, batch: &Arc<RecordBatch>) -> Did {
    let (from, to, batch) = (Offset(from), Offset(to), Arc::clone(batch));
    Did::State(TraceEvent::RecordsRead { partition, from, to, batch })
}

fn polled(pieces: &[(TopicPartition, u64, u64, &Arc<RecordBatch>)]) -> Did {
    let piece = |&(partition, from, to, batch): &(_, u64, u64, &Arc<RecordBatch>)| {
        let (from, to, batch) = (Offset(from), Offset(to), Arc::clone(batch));
        PolledRecords { partition, from, to, batch }
    };
    Did::Report(ConsumerReport::Polled(pieces.iter().map(piece).collect()))
}

fn sent(trigger: CommitTrigger, offsets: &[OffsetToCommit]) -> Did {
    Did::State(TraceEvent::CommitSent { trigger, offsets: offsets.into() })
}

fn completed(
    trigger: CommitTrigger,
    offsets: &[OffsetToCommit],
    failure: Option<CommitFailure>,
) -> Did {
    Did::State(TraceEvent::CommitCompleted { trigger, offsets: offsets.into(), failure })
}

fn committed(failure: Option<CommitFailure>) -> Did {
    Did::Report(ConsumerReport::Committed(failure))
}

fn callback(offsets: &[OffsetToCommit], failure: Option<CommitFailure>) -> Did {
    Did::Report(ConsumerReport::CommitCallback { offsets: offsets.into(), failure })
}

fn lost_membership(error: ErrorCode) -> Did {
    Did::State(TraceEvent::MembershipLost { error })
}
