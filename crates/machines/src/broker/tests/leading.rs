//! The broker as a leader.

use super::rig::*;
use crate::broker::BrokerTimer;
use crate::machine::{Effect, Input};
use acklab_vocab::api::*;
use acklab_vocab::config::TopicConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::metadata_log::MetadataRecord;
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::trace::TraceEvent;

/// Broker 1 leads orders-0 in epoch 1 with the ISR given; followers have not fetched yet.
fn leader_with(min_isr: u16, isr: &[u16]) -> Rig {
    let topic = TopicConfig { min_insync_replicas: min_isr, ..topic() };
    let mut rig = Rig::running(config(), topic);
    rig.metadata(vec![partition(1, 1, 1, isr)]);
    rig.facts();
    rig
}

fn park_until(millis: i64) -> Effect<BrokerTimer, crate::broker::NoReport> {
    Effect::SetTimer(BrokerTimer::FetchPurgatory, at_ms(millis))
}

fn high_watermark(rig: &Rig) -> u64 {
    rig.broker.led_partitions().next().expect("it leads").3.0
}

#[test]
fn acks_0_gets_no_response_and_an_error_closes_the_connection() {
    let mut rig = leader_with(1, &[1, 2, 3]);
    assert_eq!(rig.produce(1, Acks::None, batch(0, 1)), [Effect::NoResponse(PRODUCER)]);
    rig.metadata(vec![partition(2, 2, 2, &[1, 2, 3])]);
    assert_eq!(rig.produce(2, Acks::None, batch(1, 1)), [Effect::Close(PRODUCER)]);
}

#[test]
fn acks_1_is_answered_from_the_page_cache_before_followers_hear_of_it() {
    let mut rig = leader_with(1, &[1, 2, 3]);
    assert_eq!(rig.fetch(2, 1, 1, 0), [park_until(500)]);
    assert_eq!(
        rig.produce(1, Acks::Leader, batch(0, 5)),
        [
            produced(1, ErrorCode::None, Some(0)),
            fetched(follower_connection(2), 1, vec![answer(0, &[stored(0, 5, 0, 1)])]),
        ]
    );
    rig.facts();
    rig.produce(2, Acks::Leader, batch(5, 1));
    assert_eq!(
        rig.facts(),
        [
            TraceEvent::Appended { partition: ORDERS, batch: stored(5, 1, 5, 1) },
            TraceEvent::ProduceAnswered {
                partition: ORDERS,
                acks: Acks::Leader,
                error: ErrorCode::None,
                base_offset: Some(Offset(5)),
                records: records(5, 1),
            },
        ]
    );
}

/// Section 1.3: a follower's high watermark is one fetch behind.
#[test]
fn the_high_watermark_travels_one_fetch_late() {
    let mut rig = leader_with(1, &[1, 2]);
    let to_follower = follower_connection(2);
    assert_eq!(rig.fetch(2, 1, 1, 0), [park_until(500)]);
    // Response 1 brings the record, with the old high watermark.
    assert_eq!(
        rig.produce(1, Acks::All, batch(0, 1)),
        [
            Effect::SetTimer(BrokerTimer::ProducePurgatory, at_ms(30_000)),
            fetched(to_follower, 1, vec![answer(0, &[stored(0, 1, 0, 1)])]),
        ]
    );
    // Fetch 2 tells the leader, which answers the producer, but not the follower: it has no news.
    rig.now = at_ms(2);
    assert_eq!(rig.fetch(2, 2, 1, 1), [produced(1, ErrorCode::None, Some(0))]);
    assert_eq!(high_watermark(&rig), 1);
    // The purgatory's timer is set for 500 ms, but fetch 2 may wait until 502 ms.
    rig.now = at_ms(500);
    assert_eq!(rig.call(Input::Timer(BrokerTimer::FetchPurgatory)), [park_until(502)]);
    rig.now = at_ms(502);
    assert_eq!(
        rig.call(Input::Timer(BrokerTimer::FetchPurgatory)),
        [fetched(to_follower, 2, vec![answer(1, &[])])]
    );
    // Fetch 3 finds nothing new at all: an answer without partitions, after its wait.
    assert_eq!(rig.fetch(2, 3, 1, 1), [park_until(1_002)]);
    rig.now = at_ms(1_002);
    assert_eq!(
        rig.call(Input::Timer(BrokerTimer::FetchPurgatory)),
        [fetched(to_follower, 3, vec![])]
    );
}

#[test]
fn with_new_data_the_high_watermark_comes_with_the_response_after_the_next() {
    let mut rig = leader_with(1, &[1, 2]);
    let to_follower = follower_connection(2);
    rig.produce(1, Acks::Leader, batch(0, 1));
    let first = rig.fetch(2, 1, 1, 0);
    assert_eq!(first, [fetched(to_follower, 1, vec![answer(0, &[stored(0, 1, 0, 1)])])]);
    rig.produce(2, Acks::Leader, batch(1, 1));
    // This very fetch moves the high watermark to 1; its response still carries 0.
    let second = rig.fetch(2, 2, 1, 1);
    assert_eq!(second, [fetched(to_follower, 2, vec![answer(0, &[stored(1, 1, 1, 1)])])]);
    assert_eq!(high_watermark(&rig), 1);
}

#[test]
fn a_consumer_reads_below_the_high_watermark_and_waits_for_it() {
    let mut rig = leader_with(1, &[1, 2]);
    rig.produce(1, Acks::Leader, batch(0, 1));
    assert_eq!(rig.consume(1, 0), [park_until(500)]);
    assert_eq!(
        rig.fetch(2, 1, 1, 1),
        [fetched(CONSUMER, 1, vec![answer(1, &[stored(0, 1, 0, 1)])])]
    );
    assert_eq!(
        rig.consume(2, 5),
        [fetched(CONSUMER, 2, vec![failed(ErrorCode::OffsetOutOfRange, 1, None)])]
    );
}

#[test]
fn too_small_an_isr_refuses_acks_all_before_the_append() {
    let mut rig = leader_with(2, &[1]);
    assert_eq!(
        rig.produce(1, Acks::All, batch(0, 1)),
        [produced(1, ErrorCode::NotEnoughReplicas, None)]
    );
    assert_eq!(
        rig.facts(),
        [
            TraceEvent::AppendRefused {
                partition: ORDERS,
                error: ErrorCode::NotEnoughReplicas,
                records: records(0, 1),
            },
            TraceEvent::ProduceAnswered {
                partition: ORDERS,
                acks: Acks::All,
                error: ErrorCode::NotEnoughReplicas,
                base_offset: None,
                records: records(0, 1),
            },
        ]
    );
    // acks=1 does not ask, but nothing is committed (KIP-966).
    rig.produce(2, Acks::Leader, batch(0, 1));
    assert_eq!(high_watermark(&rig), 0);
}

#[test]
fn an_append_that_waits_too_long_times_out_and_stays_in_the_log() {
    let mut rig = leader_with(1, &[1, 2]);
    rig.produce(1, Acks::All, batch(0, 1));
    rig.now = at_ms(30_000);
    assert_eq!(
        rig.call(Input::Timer(BrokerTimer::ProducePurgatory)),
        [produced(1, ErrorCode::RequestTimedOut, Some(0))]
    );
    assert_eq!(rig.broker.led_partitions().next().map(|led| led.2), Some(Offset(1)));
}

#[test]
fn stepping_down_answers_whoever_waits() {
    let mut rig = leader_with(1, &[1, 2]);
    rig.produce(1, Acks::All, batch(0, 1));
    rig.fetch(3, 1, 1, 1);
    let effects = rig.metadata(vec![partition(2, 2, 2, &[1, 2])]);
    let leader_2 = Endpoint { node: NodeId(2), listener: Listener::Broker };
    assert_eq!(
        effects[..2],
        [
            produced_naming(1, ErrorCode::NotLeaderOrFollower, Some(0), Some((2, 2))),
            fetched(
                follower_connection(3),
                1,
                vec![failed(ErrorCode::FencedLeaderEpoch, 0, Some((2, 2)))]
            ),
        ]
    );
    assert!(matches!(effects[2], Effect::Connect(_, to) if to == leader_2));
    assert!(rig.facts().contains(&TraceEvent::BecameFollower {
        partition: ORDERS,
        leader_epoch: LeaderEpoch(2),
        leader: Some(BrokerId(2)),
    }));
}

#[test]
fn under_min_isr_the_high_watermark_stands_still_until_the_isr_grows() {
    let mut rig = leader_with(2, &[1, 2]);
    rig.produce(1, Acks::All, batch(0, 1));
    rig.metadata(vec![partition(1, 1, 2, &[1])]);
    assert_eq!(high_watermark(&rig), 0);
    // Broker 3 has it all and asks to join; the proposal alone changes nothing.
    rig.fetch(3, 1, 1, 1);
    assert_eq!(high_watermark(&rig), 0);
    let effects = rig.alter(committed(&[1, 3], 3));
    assert_eq!(effects, [produced(1, ErrorCode::None, Some(0))]);
    assert_eq!(high_watermark(&rig), 1);
}

#[test]
fn before_3_7_it_advances_and_the_answer_is_not_enough_replicas_after_append() {
    let topic = TopicConfig { min_insync_replicas: 2, ..topic() };
    let mut rig = Rig::running(without(ProtocolRule::HighWatermarkFrozenUnderMinIsr), topic);
    rig.metadata(vec![partition(1, 1, 1, &[1, 2])]);
    rig.produce(1, Acks::All, batch(0, 1));
    // Long after anyone was caught up.
    rig.now = at_ms(60_000);
    let effects = rig.metadata(vec![partition(1, 1, 2, &[1])]);
    assert_eq!(effects, [produced(1, ErrorCode::NotEnoughReplicasAfterAppend, Some(0))]);
}

fn committed(isr: &[u16], partition_epoch: u32) -> PartitionAlterResponse {
    PartitionAlterResponse {
        partition: ORDERS,
        error: ErrorCode::None,
        leader: Some(BrokerId(1)),
        leader_epoch: LeaderEpoch(1),
        isr: brokers(isr),
        partition_epoch: PartitionEpoch(partition_epoch),
    }
}

#[test]
fn a_member_to_come_holds_the_high_watermark_before_the_controller_agrees() {
    let mut rig = leader_with(1, &[1, 2]);
    rig.now = at_ms(60_000);
    rig.fetch(3, 1, 1, 0);
    let (_, _, request) = rig.alter_partition.clone().expect("a proposal");
    assert_eq!(
        request.partitions,
        [PartitionAlter {
            partition: ORDERS,
            leader_epoch: LeaderEpoch(1),
            partition_epoch: PartitionEpoch(1),
            new_isr: vec![
                (BrokerId(1), None),
                (BrokerId(2), None),
                (BrokerId(3), Some(broker_epoch(3)))
            ],
        }]
    );
    rig.produce(1, Acks::Leader, batch(0, 1));
    rig.fetch(2, 1, 1, 1);
    assert_eq!(high_watermark(&rig), 0);
    rig.facts();
    // Refused for good: broker 3 is still caught up by time, so it is waited for all the same ...
    rig.alter(PartitionAlterResponse {
        error: ErrorCode::IneligibleReplica,
        ..committed(&[1, 2], 1)
    });
    let error = ErrorCode::IneligibleReplica;
    assert_eq!(rig.facts(), [TraceEvent::IsrProposalRefused { partition: ORDERS, error }]);
    // ... until it has lagged for replica.lag.time.max.ms.
    rig.now = at_ms(91_000);
    rig.produce(2, Acks::Leader, batch(1, 1));
    assert_eq!(high_watermark(&rig), 1);
}

#[test]
fn a_laggard_is_proposed_to_leave_and_the_proposal_is_repeated_after_50_ms() {
    let mut rig = leader_with(1, &[1, 2, 3]);
    rig.produce(1, Acks::Leader, batch(0, 1));
    rig.fetch(3, 1, 1, 1);
    rig.now = at_ms(45_000);
    rig.facts();
    rig.call(Input::Timer(BrokerTimer::IsrExpiration));
    assert_eq!(
        rig.facts(),
        [TraceEvent::IsrProposed {
            partition: ORDERS,
            leader_epoch: LeaderEpoch(1),
            isr: brokers(&[1, 2, 3]),
            proposed: brokers(&[1, 3]),
        }]
    );
    // While it is pending the old member still counts.
    assert_eq!(high_watermark(&rig), 0);
    assert_eq!(
        rig.alter_refused_as_a_whole(ErrorCode::StaleBrokerEpoch),
        [Effect::SetTimer(BrokerTimer::AlterPartitionRetry, at_ms(45_050))]
    );
    rig.now = at_ms(45_050);
    rig.call(Input::Timer(BrokerTimer::AlterPartitionRetry));
    rig.alter(committed(&[1, 3], 2));
    assert_eq!(
        rig.facts(),
        [
            TraceEvent::IsrCommitted {
                partition: ORDERS,
                leader_epoch: LeaderEpoch(1),
                isr: brokers(&[1, 3]),
            },
            TraceEvent::HighWatermarkAdvanced {
                partition: ORDERS,
                leader_epoch: LeaderEpoch(1),
                high_watermark: Offset(1),
                leader: true,
            },
        ]
    );
}

#[test]
fn joining_awaits_the_start_of_the_epoch_and_the_registered_incarnation() {
    let mut rig = leader_with(1, &[1]);
    rig.produce(1, Acks::Leader, batch(0, 3));
    rig.metadata(vec![partition(1, 2, 2, &[1, 2])]);
    rig.fetch(3, 1, 2, 2);
    assert!(rig.alter_partition.is_none());
    rig.fetch(3, 2, 2, 3);
    assert!(rig.alter_partition.is_some());

    let mut rig = leader_with(1, &[1]);
    let newer = BrokerEpoch(99);
    let node = NodeId(3);
    let incarnation = Incarnation(1);
    let broker = BrokerId(3);
    rig.metadata(vec![MetadataRecord::RegisterBroker {
        broker,
        incarnation,
        broker_epoch: newer,
        node,
    }]);
    assert_eq!(
        rig.fetch(3, 1, 1, 0),
        [fetched(
            follower_connection(3),
            1,
            vec![PartitionFetchResponse {
                current_leader: Some(CurrentLeader {
                    leader: BrokerId(1),
                    leader_epoch: LeaderEpoch(1),
                }),
                ..failed(ErrorCode::NotLeaderOrFollower, 0, None)
            }]
        )]
    );
}

#[test]
fn fetches_of_another_epoch_are_fenced_unless_the_rule_is_off() {
    let mut rig = leader_with(1, &[1, 2]);
    rig.metadata(vec![partition(1, 3, 3, &[1, 2])]);
    let to_follower = follower_connection(2);
    let fenced = failed(ErrorCode::FencedLeaderEpoch, 0, Some((1, 3)));
    assert_eq!(rig.fetch(2, 1, 2, 0), [fetched(to_follower, 1, vec![fenced])]);
    let unknown = failed(ErrorCode::UnknownLeaderEpoch, 0, None);
    assert_eq!(rig.fetch(2, 2, 4, 0), [fetched(to_follower, 2, vec![unknown])]);

    let mut rig = Rig::running(without(ProtocolRule::FenceByLeaderEpoch), topic());
    rig.metadata(vec![partition(1, 3, 3, &[1, 2])]);
    assert_eq!(rig.fetch(2, 1, 2, 0), [park_until(500)]);
}

#[test]
fn a_fetch_from_a_parted_log_is_told_where() {
    let mut rig = leader_with(1, &[1, 2]);
    rig.produce(1, Acks::Leader, batch(0, 2));
    rig.metadata(vec![partition(1, 3, 2, &[1, 2])]);
    rig.produce(2, Acks::Leader, batch(2, 1));
    let end = |epoch, offset| {
        let (leader_epoch, end_offset) = (LeaderEpoch(epoch), Offset(offset));
        Some(EpochEndOffset { leader_epoch, end_offset })
    };
    let told = |diverging_epoch| PartitionFetchResponse { diverging_epoch, ..answer(0, &[]) };
    let to_follower = follower_connection(2);
    // It has epoch 2, which this leader never saw: epoch 1 ends at 2.
    assert_eq!(
        rig.fetch_with(2, 1, 3, 4, Some(2)),
        [fetched(to_follower, 1, vec![told(end(1, 2))])]
    );
    assert_eq!(
        rig.fetch_with(2, 2, 3, 3, Some(1)),
        [fetched(to_follower, 2, vec![told(end(1, 2))])]
    );
    assert_eq!(
        rig.fetch_with(2, 3, 3, 2, Some(1)),
        [fetched(to_follower, 3, vec![answer(0, &[stored(2, 1, 2, 3)])])]
    );
}

#[test]
fn a_new_leader_keeps_its_high_watermark_and_says_so_to_who_asks_for_latest() {
    let mut rig = leader_with(1, &[1, 2]);
    rig.produce(1, Acks::Leader, batch(0, 2));
    rig.facts();
    rig.metadata(vec![partition(1, 2, 2, &[1, 2])]);
    assert_eq!(
        rig.facts(),
        [
            TraceEvent::BecameLeader {
                partition: ORDERS,
                leader_epoch: LeaderEpoch(2),
                log_end_offset: Offset(2),
                high_watermark: Offset(0),
            },
            TraceEvent::IsrCommitted {
                partition: ORDERS,
                leader_epoch: LeaderEpoch(2),
                isr: brokers(&[1, 2]),
            },
        ]
    );
    let latest = |rig: &mut Rig, isolation| {
        let partitions = vec![(ORDERS, None, ListOffsetsTimestamp::Latest)];
        let request = Request::ListOffsets(ListOffsetsRequest { isolation, partitions });
        rig.request(CONSUMER, 1, request)
    };
    let told = |error, offset, epoch| {
        let (offset, leader_epoch) = (Offset(offset), LeaderEpoch(epoch));
        let answer =
            PartitionListOffsetsResponse { partition: ORDERS, error, offset, leader_epoch };
        let response = ListOffsetsResponse { partitions: vec![answer] };
        [respond(CONSUMER, 1, Response::ListOffsets(response))]
    };
    let not_available = told(ErrorCode::OffsetNotAvailable, 0, 0);
    assert_eq!(latest(&mut rig, Isolation::HighWatermark), not_available);
    assert_eq!(latest(&mut rig, Isolation::LogEnd), told(ErrorCode::None, 2, 2));
    rig.fetch(2, 1, 2, 2);
    assert_eq!(latest(&mut rig, Isolation::HighWatermark), told(ErrorCode::None, 2, 2));
}

#[test]
fn flush_messages_holds_the_answer_back_until_the_disk_has_it() {
    let topic = TopicConfig { flush_messages: 1, ..topic() };
    let mut rig = Rig::running(config(), topic);
    rig.metadata(vec![partition(1, 1, 1, &[1])]);
    let effects = rig.produce(1, Acks::Leader, batch(0, 1));
    let [Effect::Flush(flush, _)] = effects[..] else { panic!("{effects:?}") };
    assert_eq!(high_watermark(&rig), 0);
    assert_eq!(rig.call(Input::Flushed(flush)), [produced(1, ErrorCode::None, Some(0))]);
    assert_eq!(high_watermark(&rig), 1);
}
