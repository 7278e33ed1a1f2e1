//! Hand-made facts of a consumer group: `billing`, whose members are the processes 6 and 7, and its
//! coordinator, broker 1.

use acklab_vocab::api::OffsetToCommit;
use acklab_vocab::config::{ConsumerLibrary, GroupLibrary};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::group::{
    CommittedOffset, GroupMetadata, GroupMetadataRecord, MemberMetadata, OffsetRecord,
};
use acklab_vocab::ids::{
    Generation, GroupId, GroupIndex, GroupInstanceId, LeaderEpoch, MemberId, NodeId, Offset,
    ProducerEpoch, ProducerId, TopicId, TopicPartition, TransactionalId,
};
use acklab_vocab::record::{Payload, ProducerStamp, RecordBatch};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{
    CommitFailure, CommitStyle, CommitTrigger, GroupHeader, GroupState, NodeHeader, PositionSource,
    RebalanceReason, RemovalReason, TopicHeader, TraceEvent,
};
use acklab_vocab::transaction::{TransactionMarker, TransactionResult, TransactionState};
use std::ops::Range;
use std::sync::Arc;

use super::{PARTITION, Trace};
use acklab_vocab::ids::{BaseSequence, CoordinatorEpoch};

/// The partition of `__consumer_offsets`.
pub const OFFSETS: TopicPartition = TopicPartition::new(1, 0);
const BILLING: GroupId = GroupId(0);

/// The process of a member.
pub fn member(number: u16) -> NodeId {
    NodeId(6 + number)
}

fn id(number: u16) -> MemberId {
    MemberId(u64::from(number) + 0xa)
}

fn offset(to: u64) -> Arc<[OffsetToCommit]> {
    Arc::new([OffsetToCommit { partition: PARTITION, offset: Offset(to), leader_epoch: None }])
}

impl Trace {
    // ---- how the trace is set up ----------------------------------------------------------------

    /// Adds the application `billing` with two members.
    pub fn consumers(mut self, commit: CommitStyle) -> Self {
        self.header.topics.push(TopicHeader {
            name: "__consumer_offsets".to_owned(),
            partitions: 1,
            replication_factor: 1,
            min_insync_replicas: 1,
            unclean_leader_election: false,
            internal: true,
        });
        self.header.group_ids = vec!["billing".to_owned()];
        self.application("billing", commit);
        self.fact(
            self.coordinator,
            TraceEvent::BecameLeader {
                partition: OFFSETS,
                leader_epoch: LeaderEpoch(0),
                log_end_offset: Offset(0),
                high_watermark: Offset(0),
            },
        );
        self.at(0);
        self
    }

    /// Adds an application of the same group, with two processes.
    pub fn application(&mut self, name: &str, commit: CommitStyle) -> &mut Self {
        let index = GroupIndex(self.header.groups.len() as u16);
        for instance in 0..2 {
            self.header.nodes.push(NodeHeader {
                name: format!("{name}-{instance}"),
                broker: None,
                controller: None,
                zookeeper: None,
                producer: None,
                reader: None,
                member: Some((index, instance)),
            });
        }
        self.header.groups.push(GroupHeader {
            name: name.to_owned(),
            group: BILLING,
            instances: 2,
            topics: vec![TopicId(0)],
            assigns_itself: false,
            read_committed: false,
            commit,
            library: GroupLibrary::Member(ConsumerLibrary::Java),
            output: None,
        });
        self
    }

    // ---- the coordinator ------------------------------------------------------------------------

    /// A rebalance on account of a member.
    pub fn rebalance(&mut self, reason: RebalanceReason, on_account_of: u16) -> &mut Self {
        let event = TraceEvent::RebalanceStarted {
            group: BILLING,
            generation: Generation(0),
            reason,
            member: Some(id(on_account_of)),
        };
        self.fact(self.coordinator, event)
    }

    /// A generation of these members begins; the first owns the partition.
    pub fn generation(&mut self, generation: u32, members: &[u16]) -> &mut Self {
        let generation = Generation(generation);
        let all: Arc<[_]> = members.iter().map(|of| (id(*of), member(*of))).collect();
        let event = TraceEvent::GenerationStarted {
            group: BILLING,
            generation,
            protocol: None,
            leader: None,
            members: all,
        };
        self.fact(self.coordinator, event);
        let owned = |place: usize| -> Arc<[TopicPartition]> {
            if place == 0 { Arc::new([PARTITION]) } else { Arc::new([]) }
        };
        let assignment = members.iter().enumerate().map(|(place, of)| (id(*of), owned(place)));
        let assignment = assignment.collect();
        let event = TraceEvent::Assigned { group: BILLING, generation, assignment, partial: false };
        self.fact(self.coordinator, event);
        let state = GroupState::Stable;
        self.fact(
            self.coordinator,
            TraceEvent::GroupStateChanged { group: BILLING, state, generation },
        )
    }

    /// The coordinator removes a member.
    pub fn remove(&mut self, of: u16, reason: RemovalReason) -> &mut Self {
        let (group, member_node) = (BILLING, member(of));
        self.fact(
            self.coordinator,
            TraceEvent::MemberRemoved { group, member: id(of), member_node, reason },
        )
    }

    /// A member's commit is appended, becomes visible, and is answered.
    pub fn commit(&mut self, of: u16, generation: u32, to: u64) -> &mut Self {
        self.append_offset(to, None).commit_visible(of, to);
        self.commit_answer(of, generation, to, ErrorCode::None)
    }

    /// An offset is appended to the coordinator's log, in a transaction of a producer id or not.
    pub fn append_offset(&mut self, to: u64, producer: Option<u64>) -> &mut Self {
        let committed_at = self.now;
        let committed =
            Some(CommittedOffset { offset: Offset(to), leader_epoch: None, committed_at });
        let record = OffsetRecord { group: BILLING, partition: PARTITION, committed };
        self.append_internal(Payload::Offsets(Arc::new([record])), producer)
    }

    fn append_internal(&mut self, payload: Payload, producer: Option<u64>) -> &mut Self {
        let (leader_epoch, log) = self.offsets.entry(self.coordinator).or_default();
        let batch = Arc::new(RecordBatch {
            base_offset: log.last().map_or(Offset(0), |last| last.next_offset()),
            leader_epoch: *leader_epoch,
            size: 100,
            stamp: producer.map(stamp),
            transactional: producer.is_some(),
            max_timestamp: self.now,
            payload,
        });
        log.push(Arc::clone(&batch));
        self.fact(self.coordinator, TraceEvent::Appended { partition: OFFSETS, batch })
    }

    /// The generation of these members is stored.
    pub fn store_generation(&mut self, generation: u32, members: &[u16]) -> &mut Self {
        let member_of = |(place, of): (usize, &u16)| MemberMetadata {
            member: id(*of),
            instance: None,
            node: member(*of),
            session_timeout: SimDuration::from_secs(10),
            rebalance_timeout: SimDuration::from_secs(10),
            subscription: Arc::default(),
            assignment: if place == 0 { Arc::new([PARTITION]) } else { Arc::new([]) },
        };
        let value = Some(GroupMetadata {
            generation: Generation(generation),
            protocol: None,
            leader: None,
            members: members.iter().enumerate().map(member_of).collect(),
            at: self.now,
        });
        let record = GroupMetadataRecord { group: BILLING, value };
        self.append_internal(Payload::Group(Arc::new(record)), None)
    }

    /// A broker takes the coordinators' log over, with so many batches of the one before it, and
    /// states the facts of coordinators from now on.
    pub fn load(&mut self, broker: u16, epoch: u32, batches: usize) -> &mut Self {
        let node = NodeId(broker - 1);
        let (_, log) = self.offsets.entry(self.coordinator).or_default();
        let copied = log[..batches].to_vec();
        let (known, log) = self.offsets.entry(node).or_default();
        let missing = copied[log.len().min(batches)..].to_vec();
        let (leader_epoch, partition) = (LeaderEpoch(epoch), OFFSETS);
        *known = leader_epoch;
        log.extend(missing.iter().cloned());
        let end = log.last().map_or(Offset(0), |last| last.next_offset());
        for batch in missing {
            self.fact(node, TraceEvent::Replicated { partition, batch });
        }
        let high_watermark = Offset(0);
        let event = TraceEvent::BecameLeader {
            partition,
            leader_epoch,
            log_end_offset: end,
            high_watermark,
        };
        self.coordinator = node;
        self.fact(node, event).fact(node, TraceEvent::CoordinatorLoaded { partition, leader_epoch })
    }

    /// The facts of coordinators are this broker's from now on, whatever it leads.
    pub fn spoken_by(&mut self, broker: u16) -> &mut Self {
        self.coordinator = NodeId(broker - 1);
        self
    }

    /// A static member joins.
    pub fn join_static(&mut self, of: u16) -> &mut Self {
        let (group, member_node) = (BILLING, member(of));
        let instance = Some(GroupInstanceId(of));
        let event = TraceEvent::MemberJoined { group, member: id(of), instance, member_node };
        self.fact(self.coordinator, event)
    }

    /// A member's offset becomes the committed one.
    pub fn commit_visible(&mut self, of: u16, to: u64) -> &mut Self {
        let (group, from) = (BILLING, Some(member(of)));
        let event = TraceEvent::OffsetsCommitted { group, from, offsets: offset(to) };
        self.fact(self.coordinator, event)
    }

    /// So many records of the coordinators' log are replicated.
    pub fn high_watermark_of_offsets(&mut self, to: u64) -> &mut Self {
        let event = TraceEvent::HighWatermarkAdvanced {
            partition: OFFSETS,
            leader_epoch: LeaderEpoch(0),
            high_watermark: Offset(to),
            leader: true,
        };
        self.fact(self.coordinator, event)
    }

    /// A coordinator has read its log.
    pub fn loaded(&mut self, to: Option<u64>) -> &mut Self {
        let offsets = to.map_or_else(|| Arc::new([]) as Arc<[_]>, offset);
        let event = TraceEvent::OffsetsCommitted { group: BILLING, from: None, offsets };
        self.fact(self.coordinator, event)
    }

    /// The coordinator answers a commit.
    pub fn commit_answer(
        &mut self,
        of: u16,
        generation: u32,
        to: u64,
        error: ErrorCode,
    ) -> &mut Self {
        let event = TraceEvent::CommitAnswered {
            group: BILLING,
            member: Some(id(of)),
            from: member(of),
            generation: Some(Generation(generation)),
            error,
            offsets: offset(to),
            transactional: false,
        };
        self.fact(self.coordinator, event)
    }

    // ---- members --------------------------------------------------------------------------------

    /// A member owns the partition from now on, and begins at an offset.
    pub fn own(&mut self, of: u16, generation: u32, at: u64) -> &mut Self {
        let owned: Arc<[TopicPartition]> = Arc::new([PARTITION]);
        let event = TraceEvent::PartitionsAssigned {
            generation: Some(Generation(generation)),
            member: Some(id(of)),
            added: Arc::clone(&owned),
            owned,
        };
        self.fact(member(of), event).seek(of, at, PositionSource::Committed)
    }

    /// A member's position is put at the committed offset.
    pub fn seek(&mut self, of: u16, to: u64, source: PositionSource) -> &mut Self {
        let (partition, to) = (PARTITION, Offset(to));
        let event = TraceEvent::PositionFromCommitted { partition, from: None, to, source };
        self.fact(member(of), event)
    }

    /// A member's position is put somewhere by its reset policy.
    pub fn reset(&mut self, of: u16, from: Option<u64>, to: u64) -> &mut Self {
        let (from, to) = (from.map(Offset), Offset(to));
        let event = TraceEvent::PositionReset { partition: PARTITION, from, to, truncated: false };
        self.fact(member(of), event)
    }

    /// A member gives the partition up.
    pub fn give_up(&mut self, of: u16, lost: bool) -> &mut Self {
        let partitions = Arc::new([PARTITION]);
        self.fact(member(of), TraceEvent::PartitionsRevoked { partitions, lost })
    }

    /// A member's application learns that its commit failed.
    pub fn commit_fails(&mut self, of: u16, to: u64, failure: CommitFailure) -> &mut Self {
        let (trigger, failure) = (CommitTrigger::Sync, Some(failure));
        let event = TraceEvent::CommitCompleted { trigger, offsets: offset(to), failure };
        self.fact(member(of), event)
    }

    /// A member processes offsets, batch by batch, as broker 1 has them.
    pub fn process(&mut self, of: u16, range: Range<u64>) -> &mut Self {
        self.work(of, range, 1)
    }

    /// The same, of the batches that another broker has.
    pub fn work(&mut self, of: u16, range: Range<u64>, broker: u16) -> &mut Self {
        for batch in self.log(broker).clone() {
            let from = batch.base_offset.max(Offset(range.start));
            let to = batch.next_offset().min(Offset(range.end));
            if from < to {
                let partition = PARTITION;
                let read = Arc::clone(&batch);
                let read = TraceEvent::RecordsRead { partition, from, to, batch: read };
                self.fact(member(of), read);
                let event = TraceEvent::RecordsProcessed { partition, from, to, batch };
                self.fact(member(of), event);
            }
        }
        self
    }

    // ---- transactions ---------------------------------------------------------------------------

    /// A process begins a transaction.
    pub fn begin(&mut self, node: NodeId) -> &mut Self {
        let transactional_id = TransactionalId(0);
        self.fact(node, TraceEvent::TransactionBegun { transactional_id })
    }

    /// Its coordinator decides, and its application is told.
    pub fn end(&mut self, node: NodeId, result: TransactionResult) -> &mut Self {
        self.decide(result).told(node, result)
    }

    /// The coordinator decides.
    pub fn decide(&mut self, result: TransactionResult) -> &mut Self {
        let state = match result {
            TransactionResult::Commit => TransactionState::PrepareCommit,
            TransactionResult::Abort => TransactionState::PrepareAbort,
        };
        let event = TraceEvent::TransactionStateChanged {
            transactional_id: TransactionalId(0),
            producer_id: ProducerId(9),
            producer_epoch: ProducerEpoch(0),
            state,
            by_coordinator: false,
        };
        self.fact(self.coordinator, event)
    }

    /// The application is told.
    pub fn told(&mut self, node: NodeId, result: TransactionResult) -> &mut Self {
        let (transactional_id, error) = (TransactionalId(0), ErrorCode::None);
        self.fact(node, TraceEvent::TransactionEnded { transactional_id, result, error })
    }

    /// A leader appends records in a transaction of producer id 9.
    pub fn append_transactional(&mut self, broker: u16, records: Range<u32>) -> &mut Self {
        let base_offset = self.end_of(broker);
        let payload = Payload::Records(self.records(records));
        self.append_of_nine(broker, base_offset, (stamp(9), payload))
    }

    /// A leader appends the marker that ends it, under `transaction.version` 2 in the next epoch.
    pub fn marker(&mut self, broker: u16, result: TransactionResult) -> &mut Self {
        let version_2 = self.header.rules.has(ProtocolRule::TransactionsVersion2);
        self.marker_in(ProducerEpoch(version_2.into()), broker, result)
    }

    /// A leader appends a marker of the epoch that the transaction is in: that of the one before it.
    pub fn late_marker(&mut self, broker: u16, result: TransactionResult) -> &mut Self {
        self.marker_in(ProducerEpoch(0), broker, result)
    }

    fn marker_in(
        &mut self,
        epoch: ProducerEpoch,
        broker: u16,
        result: TransactionResult,
    ) -> &mut Self {
        let base_offset = self.end_of(broker);
        let marker = TransactionMarker { result, coordinator_epoch: CoordinatorEpoch(0) };
        let stamp = ProducerStamp { epoch, ..stamp(9) };
        self.append_of_nine(broker, base_offset, (stamp, Payload::Marker(marker)))
    }

    /// A marker in the coordinator's log.
    pub fn offsets_marker(&mut self, producer: u64, result: TransactionResult) -> &mut Self {
        let marker = TransactionMarker { result, coordinator_epoch: CoordinatorEpoch(0) };
        self.append_internal(Payload::Marker(marker), Some(producer))
    }

    fn append_of_nine(
        &mut self,
        broker: u16,
        base_offset: Offset,
        (stamp, payload): (ProducerStamp, Payload),
    ) -> &mut Self {
        let batch = Arc::new(RecordBatch {
            base_offset,
            leader_epoch: self.state().leader_epoch,
            size: 500,
            stamp: Some(stamp),
            transactional: true,
            max_timestamp: self.now,
            payload,
        });
        self.append_batch(broker, batch)
    }
}

fn stamp(producer: u64) -> ProducerStamp {
    ProducerStamp {
        id: ProducerId(producer),
        epoch: ProducerEpoch(0),
        base_sequence: BaseSequence(0),
    }
}
