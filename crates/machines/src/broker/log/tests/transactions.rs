//! Transactions in a log: the last stable offset, markers, verification, rebuilding.

use super::*;
use acklab_vocab::ids::CoordinatorEpoch;
use acklab_vocab::transaction::TransactionResult::{Abort, Commit};
use acklab_vocab::transaction::{TransactionMarker, TransactionResult};

fn transactional(id: u64, epoch: u16, sequence: u32, count: usize) -> ProducerBatch {
    ProducerBatch { transactional: true, ..stamped(id, epoch, sequence, count) }
}

/// A log of a version without verification, so that a test may write what it likes.
fn unverified() -> Replica {
    let rules = rules().with(ProtocolRule::VerifyTransactionalWrites, false);
    Replica::with(&config(), rules)
}

fn stamp(id: u64, epoch: u16) -> ProducerStamp {
    let (id, epoch) = (ProducerId(id), ProducerEpoch(epoch));
    ProducerStamp { id, epoch, base_sequence: BaseSequence(0) }
}

impl Replica {
    fn marker_of(
        &mut self,
        (id, epoch): (u64, u16),
        result: TransactionResult,
        coordinator: u32,
        version_2: bool,
    ) -> Result<u64, ErrorCode> {
        let coordinator_epoch = CoordinatorEpoch(coordinator);
        let batch = CoordinatorBatch {
            payload: Payload::Marker(TransactionMarker { result, coordinator_epoch }),
            stamp: Some(stamp(id, epoch)),
            transactional: true,
            size: 78,
            guard: None,
            version_2,
        };
        let appended =
            self.log.append_as_coordinator(&mut self.disk, NOW, LeaderEpoch(0), batch)?;
        Ok(appended.base_offset.0)
    }

    fn marker(&mut self, id: u64, epoch: u16, result: TransactionResult) -> u64 {
        self.marker_of((id, epoch), result, 0, false).expect("a marker in order")
    }

    fn commit_up_to(&mut self, high_watermark: u64) -> u64 {
        self.log.set_high_watermark(Offset(high_watermark));
        self.log.last_stable_offset().0
    }

    fn aborted(&self, from: u64, below: u64) -> Vec<(u64, u64)> {
        let found = self.log.aborted_in(Offset(from), Offset(below));
        found.iter().map(|&(id, first)| (id.0, first.0)).collect()
    }
}

#[test]
fn read_committed_stops_at_the_first_transaction_that_is_not_decided_everywhere() {
    let mut replica = unverified();
    replica.write(0, &[2]);
    replica.lead(0, &transactional(7, 0, 0, 3)).unwrap();
    replica.lead(0, &transactional(8, 0, 0, 1)).unwrap();
    assert_eq!(replica.commit_up_to(6), 2);
    assert_eq!(replica.marker(7, 0, Commit), 6);
    // Decided, but the marker is not replicated.
    assert_eq!(replica.commit_up_to(6), 2);
    assert_eq!(replica.commit_up_to(7), 5);
    assert_eq!(replica.marker(8, 0, Abort), 7);
    assert_eq!(replica.commit_up_to(8), 8);
    assert_eq!(replica.aborted(0, 8), [(8, 5)]);
    // Below the high watermark there is nothing to wait for.
    replica.lead(0, &transactional(7, 0, 3, 1)).unwrap();
    assert_eq!(replica.commit_up_to(8), 8);
    assert_eq!(replica.commit_up_to(9), 8);
}

/// The log itself is all that a follower and a restarted broker need.
#[test]
fn a_follower_and_a_restart_know_the_same_transactions() {
    let mut leader = unverified();
    for (id, sequence) in [(7, 0), (8, 0), (7, 2)] {
        leader.lead(0, &transactional(id, 0, sequence, 2)).unwrap();
    }
    leader.marker(8, 0, Abort);
    leader.lead(0, &transactional(8, 0, 2, 2)).unwrap();
    let mut follower = unverified();
    for batch in leader.content().0.to_vec() {
        follower.follow(&batch);
    }
    follower.commit_up_to(9);
    leader.commit_up_to(9);
    assert_eq!(follower.log.transactions(), leader.log.transactions());
    assert_eq!(follower.log.last_stable_offset(), Offset(0));
    let before = leader.log.transactions().clone();
    leader.disk.high_watermarks.insert(ORDERS, Offset(9));
    leader.reopen();
    assert_eq!(leader.log.transactions(), &before);
    // Cut before the marker: producer 8's first transaction is open again.
    leader.truncate(6);
    let open = [(Offset(0), ProducerId(7)), (Offset(2), ProducerId(8))];
    assert_eq!(leader.log.transactions().ongoing(), open);
    assert_eq!(leader.aborted(0, 9), []);
    leader.log.truncate_fully_and_start_at(&mut leader.disk, Offset(40), NOW);
    assert_eq!(leader.log.last_stable_offset(), Offset(40));
}

#[test]
fn a_marker_is_judged_by_the_producers_epoch_then_the_coordinators() {
    let mut replica = unverified();
    replica.lead(0, &transactional(7, 3, 0, 1)).unwrap();
    let old = Err(ErrorCode::InvalidProducerEpoch);
    assert_eq!(replica.marker_of((7, 2), Abort, 9, false), old);
    assert_eq!(replica.marker_of((7, 3), Abort, 9, false), Ok(1));
    let deposed = Err(ErrorCode::TransactionCoordinatorFenced);
    assert_eq!(replica.marker_of((7, 3), Abort, 8, false), deposed);
    assert_eq!(replica.marker_of((7, 3), Abort, 9, false), Ok(2));
    // Nobody else is concerned, and who has written nothing needs no epoch.
    assert_eq!(replica.marker_of((8, 0), Commit, 1, false), Ok(3));
    // A marker fences what comes later in an older epoch, and a new epoch begins at 0.
    assert_eq!(replica.marker_of((7, 4), Abort, 9, false), Ok(4));
    assert_eq!(replica.lead(0, &transactional(7, 3, 1, 1)), Err(ErrorCode::InvalidProducerEpoch));
    let gap = Err(ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(replica.lead(0, &transactional(7, 4, 1, 1)), gap);
    assert!(replica.lead(0, &transactional(7, 4, 0, 1)).is_ok());
}

/// KIP-1228, KAFKA-19999: before 4.2 a marker that comes late, or again, ends the next transaction, which has
/// the epoch that the marker brought.
#[test]
fn a_late_marker_of_version_2_ends_the_next_transaction_unless_its_epoch_must_be_higher() {
    let next_transaction_is_open_after_a_late_marker = |strict: bool| {
        let rules = rules()
            .with(ProtocolRule::VerifyTransactionalWrites, false)
            .with(ProtocolRule::StrictMarkerEpochs, strict);
        let mut replica = Replica::with(&config(), rules);
        replica.lead(0, &transactional(7, 3, 0, 1)).unwrap();
        assert_eq!(replica.marker_of((7, 4), Commit, 0, true), Ok(1));
        // The same marker again, while nothing is open: harmless.
        assert_eq!(replica.marker_of((7, 4), Commit, 0, true), Ok(2));
        replica.lead(0, &transactional(7, 4, 0, 1)).unwrap();
        let late = replica.marker_of((7, 4), Commit, 0, true);
        assert_eq!(late.is_err(), strict);
        !replica.log.transactions().ongoing().is_empty()
    };
    assert!(!next_transaction_is_open_after_a_late_marker(false));
    assert!(next_transaction_is_open_after_a_late_marker(true));
}

#[test]
fn a_marker_keeps_the_memory_of_its_epochs_batches() {
    let mut replica = unverified();
    replica.lead(0, &transactional(7, 0, 0, 2)).unwrap();
    replica.marker(7, 0, Commit);
    let (base_offset, next_offset) = (Offset(0), Offset(2));
    let copy = Ok(Append::Duplicate { base_offset, next_offset });
    assert_eq!(replica.lead(0, &transactional(7, 0, 0, 2)), copy);
    assert!(replica.log.transactions().ongoing().is_empty());
}

#[test]
fn within_a_transaction_everything_belongs_to_it() {
    let mut replica = unverified();
    replica.lead(0, &transactional(7, 0, 0, 1)).unwrap();
    assert_eq!(replica.lead(0, &stamped(7, 0, 1, 1)), Err(ErrorCode::InvalidTxnState));
}

#[test]
fn a_producer_with_an_open_transaction_does_not_expire() {
    let mut replica = unverified();
    replica.lead(0, &transactional(7, 0, 0, 1)).unwrap();
    replica.log.expire_producers(SimTime::from_millis(3_600_000));
    assert_eq!(
        replica.lead(0, &transactional(7, 0, 5, 1)),
        Err(ErrorCode::OutOfOrderSequenceNumber)
    );
    replica.marker(7, 0, Commit);
    replica.log.expire_producers(SimTime::from_millis(3_600_000));
    assert!(replica.lead(0, &transactional(7, 0, 5, 1)).is_ok());
}

/// KIP-890: a guard lets the first batch in, the open transaction the others.
#[test]
fn a_transactions_first_write_needs_a_verification_that_is_still_valid() {
    let mut replica = Replica::new();
    let refused = Err(ErrorCode::InvalidTxnState);
    let lead = |replica: &mut Replica, sequence: u32, guard| {
        let batch = transactional(7, 0, sequence, 1);
        let Replica { log, disk } = replica;
        log.append_as_leader(disk, NOW, LeaderEpoch(0), &batch, guard).map(|_| ())
    };
    assert_eq!(lead(&mut replica, 0, None), refused);
    let guard = replica.log.begin_verification(NOW, &stamp(7, 0), false);
    assert_eq!(lead(&mut replica, 0, guard), Ok(()));
    assert_eq!(replica.log.begin_verification(NOW, &stamp(7, 0), false), None);
    assert_eq!(lead(&mut replica, 1, None), Ok(()));
    replica.marker(7, 0, Abort);
    // The guard was for the first transaction.
    assert_eq!(lead(&mut replica, 2, guard), refused);
    // A marker between the question and the append makes the answer void.
    let guard = replica.log.begin_verification(NOW, &stamp(7, 0), false);
    replica.marker(7, 0, Abort);
    assert_eq!(lead(&mut replica, 2, guard), refused);
}

/// KAFKA-14402, KAFKA-18575: nothing overtakes a batch that is being verified.
#[test]
fn a_later_sequence_waits_for_the_one_that_is_verified() {
    let mut replica = Replica::new();
    let first = replica.log.begin_verification(NOW, &stamp(7, 0), false);
    let Replica { log, disk } = &mut replica;
    let later = log.append_as_leader(disk, NOW, LeaderEpoch(0), &transactional(7, 0, 4, 1), first);
    assert_eq!(later, Err(ErrorCode::OutOfOrderSequenceNumber));
}

#[test]
fn an_unknown_producer_of_version_2_begins_at_0_since_4_1() {
    let began_in_the_middle = |zero: bool| {
        let rules = rules().with(ProtocolRule::UnknownProducerStartsAtZero, zero);
        let mut replica = Replica::with(&config(), rules);
        let middle = ProducerStamp { base_sequence: BaseSequence(4), ..stamp(7, 0) };
        let guard = replica.log.begin_verification(NOW, &middle, true);
        let Replica { log, disk } = &mut replica;
        let batch = transactional(7, 0, 4, 1);
        log.append_as_leader(disk, NOW, LeaderEpoch(0), &batch, guard).is_ok()
    };
    assert!(began_in_the_middle(false));
    assert!(!began_in_the_middle(true));
}
