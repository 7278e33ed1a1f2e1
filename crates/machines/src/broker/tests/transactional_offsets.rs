//! Offsets committed in a transaction: pending at the group's coordinator until the marker comes.

use super::rig::*;
use super::transaction_bench::*;
use acklab_vocab::api::*;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};
use acklab_vocab::trace::TraceEvent;
use acklab_vocab::transaction::TransactionResult::{self, Abort, Commit};
use std::sync::Arc;

fn to_commit(offset: u64) -> Arc<[OffsetToCommit]> {
    let offset = Offset(offset);
    Arc::new([OffsetToCommit { partition: ORDERS, offset, leader_epoch: None }])
}

fn commit_request(
    producer: (u64, u16),
    offset: u64,
    member: Option<(u64, u32)>,
    transaction_support: TransactionSupport,
) -> TxnOffsetCommitRequest {
    TxnOffsetCommitRequest {
        transactional_id: COPIER,
        group: READERS,
        producer_id: ProducerId(producer.0),
        producer_epoch: ProducerEpoch(producer.1),
        generation: member.map(|(_, generation)| Generation(generation)),
        member: member.map(|(member, _)| MemberId(member)),
        instance: None,
        offsets: to_commit(offset),
        transaction_support,
    }
}

impl Bench {
    fn commit_offset_with(&mut self, request: TxnOffsetCommitRequest) -> ErrorCode {
        let told = self.ask(TO_COORDINATOR, Request::TxnOffsetCommit(request));
        match &told[..] {
            [(_, Response::TxnOffsetCommit(answer))] => answer.partitions[0].1,
            other => panic!("{other:?}"),
        }
    }

    fn commit_offset(&mut self, producer: (u64, u16), offset: u64) -> ErrorCode {
        let support = TransactionSupport::DefaultError;
        self.commit_offset_with(commit_request(producer, offset, None, support))
    }

    fn add_offsets(&mut self, producer: (u64, u16)) -> ErrorCode {
        let request = AddOffsetsToTxnRequest {
            transactional_id: COPIER,
            producer_id: ProducerId(producer.0),
            producer_epoch: ProducerEpoch(producer.1),
            group: READERS,
        };
        let told = self.ask(TO_COORDINATOR, Request::AddOffsetsToTxn(request));
        match &told[..] {
            [(_, Response::AddOffsetsToTxn(answer))] => answer.error,
            other => panic!("{other:?}"),
        }
    }

    /// The group's offset of orders-0, if it is stable where that is asked for.
    fn fetch_offset(&mut self, require_stable: bool) -> Result<Option<u64>, ErrorCode> {
        let request = OffsetFetchRequest {
            group: READERS,
            member: None,
            partitions: vec![ORDERS],
            require_stable,
        };
        let told = self.ask(ANOTHER, Request::OffsetFetch(request));
        match &told[..] {
            [(_, Response::OffsetFetch(answer))] => match answer.partitions[0] {
                (_, ErrorCode::None, committed) => Ok(committed.map(|it| it.offset.0)),
                (_, error, _) => Err(error),
            },
            other => panic!("{other:?}"),
        }
    }

    fn offsets_committed(&mut self) -> Vec<u64> {
        let committed = |fact| match fact {
            TraceEvent::OffsetsCommitted { offsets, .. } => {
                Some(offsets.iter().map(|it| it.offset.0).collect::<Vec<u64>>())
            }
            _ => None,
        };
        self.rig.facts().into_iter().filter_map(committed).flatten().collect()
    }
}

fn ended(rules: ProtocolRules, result: TransactionResult) -> Bench {
    let mut bench = Bench::new(rules);
    let producer = bench.init().unwrap();
    assert_eq!(bench.add_offsets(producer), ErrorCode::None);
    assert_eq!(bench.commit_offset(producer, 7), ErrorCode::None);
    assert_eq!(bench.fetch_offset(false), Ok(None));
    assert_eq!(bench.fetch_offset(true), Err(ErrorCode::UnstableOffsetCommit));
    assert_eq!(bench.offsets_committed(), []);
    assert_eq!(bench.end(producer, result), ErrorCode::None);
    assert_eq!(bench.markers(OFFSETS), [(1, 0, 1, result)]);
    bench
}

#[test]
fn offsets_count_when_the_transaction_is_committed() {
    for rules in [rules_of(3, 9), rules_of(4, 1)] {
        let mut bench = ended(rules, Commit);
        assert_eq!(bench.offsets_committed(), [7]);
        assert_eq!(bench.fetch_offset(true), Ok(Some(7)));
        let mut bench = ended(rules, Abort);
        assert_eq!(bench.offsets_committed(), []);
        assert_eq!(bench.fetch_offset(true), Ok(None));
    }
}

#[test]
fn the_answer_says_that_the_offsets_are_a_transactions() {
    let mut bench = Bench::new(rules_of(3, 9));
    let producer = bench.init().unwrap();
    bench.add_offsets(producer);
    bench.rig.facts();
    bench.commit_offset(producer, 7);
    let answered = TraceEvent::CommitAnswered {
        group: READERS,
        member: None,
        from: NodeId(7),
        generation: None,
        error: ErrorCode::None,
        offsets: to_commit(7),
        transactional: true,
    };
    assert!(bench.rig.facts().contains(&answered));
}

/// KIP-447: a member that is none any more cannot commit. Before, its transaction could.
#[test]
fn the_offsets_of_a_zombie_are_refused_since_2_5() {
    let outcome = |rules: ProtocolRules| {
        let mut bench = Bench::new(rules);
        let producer = bench.init().unwrap();
        bench.add_offsets(producer);
        let support = TransactionSupport::DefaultError;
        bench.commit_offset_with(commit_request(producer, 7, Some((3, 4)), support))
    };
    assert_eq!(outcome(rules_of(4, 1)), ErrorCode::IllegalGeneration);
    assert_eq!(outcome(rules_of(3, 9)), ErrorCode::UnknownMemberId);
    let unfenced = rules_of(3, 9).with(ProtocolRule::FenceTransactionalOffsets, false);
    assert_eq!(outcome(unfenced), ErrorCode::None);
}

#[test]
fn offsets_outside_of_a_transaction_are_refused() {
    let mut bench = Bench::new(rules_of(3, 9));
    let producer = bench.init().unwrap();
    assert_eq!(bench.commit_offset(producer, 7), ErrorCode::InvalidTxnState);
    let support = TransactionSupport::GenericError;
    let request = commit_request(producer, 7, None, support);
    assert_eq!(bench.commit_offset_with(request), ErrorCode::TransactionAbortable);
    assert_eq!(bench.fetch_offset(true), Ok(None));
}

/// The coordinator of the transaction cannot be reached: the producer is to try again.
#[test]
fn offsets_that_could_not_be_verified_come_again() {
    let mut bench = Bench::new(rules_of(3, 9));
    let producer = bench.init().unwrap();
    bench.add_offsets(producer);
    bench.hold = vec![ApiKey::AddPartitionsToTxn];
    let support = TransactionSupport::DefaultError;
    let request = commit_request(producer, 7, None, support);
    assert_eq!(bench.ask(TO_COORDINATOR, Request::TxnOffsetCommit(request)), []);
    let told = bench.lose_held();
    let partitions = smallvec::smallvec![(ORDERS, ErrorCode::CoordinatorLoadInProgress)];
    let response = Response::TxnOffsetCommit(OffsetCommitResponse { partitions });
    assert_eq!(told, [(TO_COORDINATOR, response)]);
}

#[test]
fn version_2_adds_the_offsets_partition_by_the_commit() {
    let mut bench = Bench::new(rules_of(4, 1));
    let producer = bench.init().unwrap();
    let support = TransactionSupport::AddPartition;
    let request = commit_request(producer, 7, None, support);
    assert_eq!(bench.commit_offset_with(request), ErrorCode::None);
    let next = bench.end_with(producer, Commit, true).unwrap().unwrap();
    assert_eq!(bench.markers(OFFSETS), [(1, 1, 1, Commit)]);
    assert_eq!(bench.fetch_offset(true), Ok(Some(7)));
    // The zombie's epoch is over in this partition, too.
    let request = commit_request(producer, 3, None, support);
    assert_eq!(bench.commit_offset_with(request), ErrorCode::InvalidProducerEpoch);
    let request = commit_request(next, 9, None, support);
    assert_eq!(bench.commit_offset_with(request), ErrorCode::None);
}

#[test]
fn who_does_not_coordinate_the_group_says_so() {
    let mut bench = Bench::new(rules_of(3, 9));
    let producer = bench.init().unwrap();
    bench.add_offsets(producer);
    bench.metadata(vec![led_by(OFFSETS, 2, 2, &[1, 2])]);
    assert_eq!(bench.commit_offset(producer, 7), ErrorCode::NotCoordinator);
}
