//! The accumulator alone: when a broker is ready, what a drain takes, and what memory allows.

use super::*;
use crate::producer::testing::{java, millis};
use acklab_vocab::api::{Endpoint, Listener, MetadataResponse, PartitionMetadata};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{
    BrokerList, LeaderEpoch, NodeId, PartitionIndex, ProducerEpoch, ProducerId, RecordId,
};

const TOPIC: TopicId = TopicId(0);
const P0: TopicPartition = TopicPartition::new(0, 0);
const P1: TopicPartition = TopicPartition::new(0, 1);
const P2: TopicPartition = TopicPartition::new(0, 2);
const BROKER: BrokerId = BrokerId(1);

fn record(size: u32) -> Record {
    Record { id: RecordId::default(), attempt: 0, size }
}

/// Three partitions, all led by broker 1.
fn accumulator(config: &JavaProducerConfig) -> RecordAccumulator {
    let endpoint = Endpoint { node: NodeId(1), listener: Listener::Broker };
    let mut metadata = Metadata::new(&config.client, &[(BROKER, endpoint)]);
    metadata.add_topic(TOPIC);
    let partitions = (0..3).map(|index| PartitionMetadata {
        partition: TopicPartition::new(0, index),
        error: ErrorCode::None,
        leader: Some(BROKER),
        leader_epoch: LeaderEpoch(1),
        replicas: BrokerList::new(),
    });
    let response =
        MetadataResponse { brokers: vec![(BROKER, NodeId(1))], partitions: partitions.collect() };
    metadata.update(&response, &[TOPIC], SimTime::ZERO, &mut NodeRng::for_test(1));
    let mut accumulator = RecordAccumulator::new(config);
    accumulator.now = SimTime::ZERO;
    accumulator.sync(&metadata);
    accumulator
}

fn append(accumulator: &mut RecordAccumulator, partition: TopicPartition, size: u32) -> Append {
    accumulator.append(partition, record(size), size + 61, false)
}

fn drain(accumulator: &mut RecordAccumulator) -> Vec<TopicPartition> {
    let drained = accumulator.drain(BROKER, None);
    drained.iter().map(|&id| accumulator.batches[id].partition).collect()
}

#[test]
fn a_partition_is_ready_when_full_or_old_or_pushed() {
    // (records appended, milliseconds waited, memory short or closing) → ready
    let cases = [
        (0, 10, true, false),
        (1, 0, false, false),
        (1, 9, false, false),
        (1, 10, false, true),
        (4, 0, false, true),
        (5, 0, false, true),
        (1, 0, true, true),
    ];
    for (records, waited, flushing, expected) in cases {
        let mut accumulator =
            accumulator(&JavaProducerConfig { linger: millis(10), batch_size: 461, ..java() });
        for _ in 0..records {
            append(&mut accumulator, P0, 100);
        }
        accumulator.now = SimTime::from_millis(waited);
        accumulator.flushing = flushing;
        let ready = !accumulator.ready_nodes().is_empty();
        assert_eq!(ready, expected, "{records} records, {waited} ms, {flushing}");
    }
}

#[test]
fn a_batch_takes_records_up_to_its_size_and_at_least_one() {
    // Sizes appended → batches (61 bytes of header each, at most 300).
    let cases: [(&[u32], &[u32]); 4] = [
        (&[100, 100], &[261]),
        (&[100, 139], &[300]),
        (&[100, 140], &[161, 201]),
        (&[1_000, 1, 1], &[1_061, 63]),
    ];
    for (sizes, expected) in cases {
        let mut accumulator = accumulator(&JavaProducerConfig { batch_size: 300, ..java() });
        for &size in sizes {
            assert_eq!(append(&mut accumulator, P0, size), Append::Appended);
        }
        let deque = accumulator.queue(P0).deque.clone();
        let batches: Vec<u32> = deque.iter().map(|&id| accumulator.batches[id].size).collect();
        assert_eq!(batches, expected, "{sizes:?}");
    }
}

#[test]
fn a_new_batch_takes_memory_for_batch_size_or_for_its_only_record() {
    let mut accumulator =
        accumulator(&JavaProducerConfig { batch_size: 300, buffer_memory: 700, ..java() });
    assert_eq!(append(&mut accumulator, P0, 10), Append::Appended);
    assert_eq!(accumulator.available_memory, 400);
    assert_eq!(append(&mut accumulator, P1, 400), Append::NoMemory);
    assert_eq!(append(&mut accumulator, P0, 10), Append::Appended, "there is a batch already");
    assert_eq!(append(&mut accumulator, P1, 339), Append::Appended);
    assert_eq!(accumulator.available_memory, 0);
    let drained = accumulator.drain(BROKER, None);
    accumulator.complete(drained[0]);
    assert_eq!(accumulator.available_memory, 300);
}

#[test]
fn a_drain_takes_one_batch_of_each_partition_and_begins_elsewhere_each_time() {
    let mut accumulator = accumulator(&JavaProducerConfig { batch_size: 300, ..java() });
    for partition in [P0, P1, P2] {
        for _ in 0..8 {
            append(&mut accumulator, partition, 200);
        }
    }
    assert_eq!(drain(&mut accumulator), [P0, P1, P2]);
    // Kafka keeps the last partition looked at: the next turn begins there.
    assert_eq!(drain(&mut accumulator), [P2, P0, P1]);
    assert_eq!(drain(&mut accumulator), [P1, P2, P0]);
    accumulator.set_muted(P2, true);
    assert_eq!(drain(&mut accumulator), [P0, P1]);
}

#[test]
fn a_request_is_filled_up_to_its_limit_and_the_rest_comes_first_next_time() {
    let config = JavaProducerConfig { batch_size: 300, max_request_size: 600, ..java() };
    let mut accumulator = accumulator(&config);
    for partition in [P0, P1, P2] {
        append(&mut accumulator, partition, 200);
        append(&mut accumulator, partition, 200);
    }
    assert_eq!(drain(&mut accumulator), [P0, P1]);
    assert_eq!(drain(&mut accumulator), [P2, P0]);
    assert_eq!(drain(&mut accumulator), [P1, P2]);
    assert!(accumulator.ready_nodes().is_empty());
}

#[test]
fn a_partition_that_must_wait_for_its_sequences_ends_the_turn_for_those_behind_it() {
    let mut accumulator = accumulator(&JavaProducerConfig { batch_size: 300, ..java() });
    let mut manager = TransactionManager::new(true, None);
    manager.assign_id(ProducerId(7), ProducerEpoch(0));
    let mut rng = NodeRng::for_test(1);
    for _ in 0..2 {
        append(&mut accumulator, P1, 200);
    }
    let first = accumulator.drain(BROKER, Some(&mut manager))[0];
    let second = accumulator.drain(BROKER, Some(&mut manager))[0];
    // Both come back; the first is sent again, the second must wait for its answer.
    accumulator.reenqueue(second, true, &mut rng);
    accumulator.reenqueue(first, true, &mut rng);
    accumulator.now = SimTime::from_millis(1_000);
    append(&mut accumulator, P0, 200);
    append(&mut accumulator, P2, 200);
    let drained = accumulator.drain(BROKER, Some(&mut manager));
    assert_eq!(drained.len(), 3);
    append(&mut accumulator, P2, 200);
    append(&mut accumulator, P0, 200);
    let drained = accumulator.drain(BROKER, Some(&mut manager));
    let partitions: Vec<_> = drained.iter().map(|&id| accumulator.batches[id].partition).collect();
    assert_eq!(partitions, [P0]);
    assert!(accumulator.drain(BROKER, Some(&mut manager)).is_empty());
}

#[test]
fn retried_batches_go_to_the_head_or_to_their_place_by_sequence() {
    for idempotent in [false, true] {
        let mut accumulator = accumulator(&JavaProducerConfig { batch_size: 300, ..java() });
        let mut manager = TransactionManager::new(true, None);
        manager.assign_id(ProducerId(7), ProducerEpoch(0));
        let mut rng = NodeRng::for_test(1);
        for _ in 0..3 {
            append(&mut accumulator, P0, 200);
        }
        let ids: Vec<BatchId> = (0..3)
            .map(|_| accumulator.drain(BROKER, idempotent.then_some(&mut manager))[0])
            .collect();
        for &id in &ids {
            accumulator.reenqueue(id, idempotent, &mut rng);
        }
        let deque: Vec<BatchId> = accumulator.queue(P0).deque.iter().copied().collect();
        let reversed = [ids[2], ids[1], ids[0]];
        assert_eq!(deque, if idempotent { &ids[..] } else { &reversed[..] });
    }
}

#[test]
fn the_built_in_partitioner_defers_its_switch_until_the_batch_is_complete() {
    let mut accumulator = accumulator(&JavaProducerConfig { batch_size: 1_000, ..java() });
    let mut rng = NodeRng::for_test(4);
    let stuck = |accumulator: &mut RecordAccumulator| match accumulator.topic(TOPIC).partitioner {
        TopicPartitioner::BuiltIn { current: Some(sticky), .. } => sticky.partition,
        ref other => panic!("{other:?}"),
    };
    accumulator.append_sticky(TOPIC, record(500), 561, &mut rng);
    let first = stuck(&mut accumulator);
    // 1,061 bytes would not fit: a second batch opens; the switch waits until that one is complete,
    // or for twice the size.
    accumulator.append_sticky(TOPIC, record(500), 561, &mut rng);
    assert_eq!(stuck(&mut accumulator), first);
    let in_first = |accumulator: &mut RecordAccumulator, partition: PartitionIndex| {
        accumulator.queue(TopicPartition { topic: TOPIC, partition }).deque.len()
    };
    assert_eq!(in_first(&mut accumulator, first), 2);
}
