//! Tables for the recognition of duplicates and the order of sequences.

use super::*;
use acklab_vocab::ids::{LeaderEpoch, RecordId};
use acklab_vocab::record::Record;
use acklab_vocab::version::KafkaVersion;

const MAX: u32 = i32::MAX as u32;
const EXPIRATION: SimDuration = SimDuration::from_secs(60);

fn stamp(id: u64, epoch: u16, sequence: u32) -> ProducerStamp {
    let base_sequence = BaseSequence(sequence);
    ProducerStamp { id: ProducerId(id), epoch: ProducerEpoch(epoch), base_sequence }
}

fn batch(base_offset: u64, count: usize, stamp: ProducerStamp) -> RecordBatch {
    let record = Record { id: RecordId::default(), attempt: 0, size: 100 };
    RecordBatch {
        base_offset: Offset(base_offset),
        leader_epoch: LeaderEpoch(0),
        size: 100 * count as u32,
        stamp: Some(stamp),
        max_timestamp: SimTime::ZERO,
        transactional: false,
        payload: Payload::Records(vec![record; count].into()),
    }
}

/// Producer 7 in epoch 1 has written `batches` batches of 10 records each, from sequence
/// `first_sequence` and offset 0 on.
fn written(retained: usize, first_sequence: u32, batches: u32) -> ProducerStates {
    let rules = ProtocolRules::of(KafkaVersion::new(4, 1, 0));
    let rules = rules.with(ProtocolRule::DeduplicateLastFiveBatches, retained == 5);
    let mut states = ProducerStates::new(rules, EXPIRATION);
    for number in 0..batches {
        let sequence = BaseSequence(first_sequence).plus(10 * number).0;
        states.update(&batch(u64::from(10 * number), 10, stamp(7, 1, sequence)));
    }
    states
}

/// What becomes of a batch of `count` records.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Append,
    Duplicate(BatchMetadata),
}

fn validate(
    states: &ProducerStates,
    stamp: &ProducerStamp,
    count: u32,
) -> Result<Verdict, ErrorCode> {
    match states.duplicate_of(stamp, count) {
        Some(copy) => Ok(Verdict::Duplicate(copy)),
        None => states.check(stamp, false, None).map(|()| Verdict::Append),
    }
}

fn duplicate_at(base_offset: u64, first_sequence: u32, last_sequence: u32) -> Verdict {
    Verdict::Duplicate(BatchMetadata {
        first_sequence: BaseSequence(first_sequence),
        last_sequence: BaseSequence(last_sequence),
        base_offset: Offset(base_offset),
        next_offset: Offset(base_offset + 10),
    })
}

#[test]
fn a_batch_is_next_in_order_a_duplicate_or_refused() {
    use ErrorCode::{InvalidProducerEpoch, OutOfOrderSequenceNumber};
    // Six batches: sequences 0..60; the first is forgotten.
    let states = written(5, 0, 6);
    let cases = [
        ("next", stamp(7, 1, 60), 10, Ok(Verdict::Append)),
        ("next, of any length", stamp(7, 1, 60), 3, Ok(Verdict::Append)),
        ("the last again", stamp(7, 1, 50), 10, Ok(duplicate_at(50, 50, 59))),
        ("the fifth last again", stamp(7, 1, 10), 10, Ok(duplicate_at(10, 10, 19))),
        ("the sixth last again", stamp(7, 1, 0), 10, Err(OutOfOrderSequenceNumber)),
        ("the last, but shorter", stamp(7, 1, 50), 9, Err(OutOfOrderSequenceNumber)),
        ("over the end of the last", stamp(7, 1, 55), 10, Err(OutOfOrderSequenceNumber)),
        ("a gap", stamp(7, 1, 61), 10, Err(OutOfOrderSequenceNumber)),
        ("an older epoch", stamp(7, 0, 60), 10, Err(InvalidProducerEpoch)),
        ("a duplicate of an older epoch", stamp(7, 0, 50), 10, Err(InvalidProducerEpoch)),
        ("a newer epoch", stamp(7, 2, 0), 10, Ok(Verdict::Append)),
        ("a newer epoch, not from 0", stamp(7, 2, 60), 10, Err(OutOfOrderSequenceNumber)),
        ("an unknown producer", stamp(8, 0, 0), 10, Ok(Verdict::Append)),
        ("an unknown producer, not from 0", stamp(8, 3, 40), 10, Ok(Verdict::Append)),
    ];
    for (what, stamp, count, expected) in cases {
        assert_eq!(validate(&states, &stamp, count), expected, "{what}");
    }
}

#[test]
fn without_the_rule_only_the_last_batch_is_recognised() {
    let states = written(1, 0, 3);
    let last = Ok(duplicate_at(20, 20, 29));
    assert_eq!(validate(&states, &stamp(7, 1, 20), 10), last);
    let refused = Err(ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(validate(&states, &stamp(7, 1, 10), 10), refused);
}

#[test]
fn sequences_wrap_from_the_largest_java_int_to_0() {
    // The last of two batches ends exactly at the largest sequence.
    let states = written(5, MAX - 19, 2);
    assert_eq!(validate(&states, &stamp(7, 1, 0), 10), Ok(Verdict::Append));
    let refused = Err(ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(validate(&states, &stamp(7, 1, 1), 10), refused);
    // The last of two batches wraps in its middle.
    let states = written(5, MAX - 14, 2);
    assert_eq!(validate(&states, &stamp(7, 1, 5), 10), Ok(Verdict::Append));
    let again = Ok(duplicate_at(10, MAX - 4, 4));
    assert_eq!(validate(&states, &stamp(7, 1, MAX - 4), 10), again);
}

#[test]
fn a_new_epoch_forgets_the_batches_of_the_old() {
    let mut states = written(5, 0, 2);
    states.update(&batch(20, 10, stamp(7, 2, 0)));
    assert_eq!(validate(&states, &stamp(7, 2, 0), 10), Ok(duplicate_at(20, 0, 9)));
    assert_eq!(validate(&states, &stamp(7, 2, 10), 10), Ok(Verdict::Append));
    assert_eq!(validate(&states, &stamp(7, 1, 10), 10), Err(ErrorCode::InvalidProducerEpoch));
}

#[test]
fn replication_takes_what_the_leader_took() {
    let mut states = written(5, 0, 1);
    // A gap, and then an older epoch: a follower does not judge.
    states.update(&batch(10, 10, stamp(7, 1, 500)));
    assert_eq!(validate(&states, &stamp(7, 1, 510), 10), Ok(Verdict::Append));
    states.update(&batch(20, 10, stamp(7, 0, 90)));
    assert_eq!(validate(&states, &stamp(7, 0, 100), 10), Ok(Verdict::Append));
}

#[test]
fn a_batch_without_a_stamp_leaves_no_trace() {
    let mut states = written(5, 0, 1);
    let before = states.clone();
    states.update(&RecordBatch { stamp: None, ..batch(10, 10, stamp(9, 0, 0)) });
    assert_eq!(states, before);
}

#[test]
fn an_idle_producer_is_forgotten_by_the_time_of_its_records() {
    let mut states = written(5, 0, 1);
    let late =
        RecordBatch { max_timestamp: SimTime::from_millis(1), ..batch(10, 10, stamp(8, 0, 0)) };
    states.update(&late);
    states.expire(SimTime::from_millis(59_999));
    assert_eq!(validate(&states, &stamp(7, 1, 0), 10), Ok(duplicate_at(0, 0, 9)));
    states.expire(SimTime::from_millis(60_000));
    // Producer 7 is unknown now: the duplicate is not recognised. Producer 8 is still known.
    assert_eq!(validate(&states, &stamp(7, 1, 0), 10), Ok(Verdict::Append));
    assert_eq!(validate(&states, &stamp(8, 0, 0), 10), Ok(duplicate_at(10, 0, 9)));
}
