//! When a follower cuts its log, by version.

use super::super::rig::{Effects, ORDERS, records, topic};
use super::rig::*;
use crate::broker::BrokerState;
use crate::machine::{Effect, Input};
use acklab_vocab::api::*;
use acklab_vocab::config::TopicConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::record::{Payload, RecordBatch};
use acklab_vocab::trace::{TraceEvent, TruncationReason};
use std::sync::Arc;

/// A follower of broker 2 in epoch 1 that has fetched three records, and knows of one that it is
/// committed. Returns the connection of its fetcher.
fn following(version: &str, topic: TopicConfig) -> (Rig, ConnectionId) {
    let mut rig = Rig::running(version, &[], topic);
    let effects = rig.leader_and_isr(EPOCH, vec![state(2, 1, 0, &[1, 2, 3])]);
    let connection = connected_to(&effects, 2);
    rig.call(Input::Connected(connection));
    let batches = [Arc::new(RecordBatch {
        base_offset: Offset(0),
        leader_epoch: LeaderEpoch(1),
        size: 361,
        stamp: None,
        max_timestamp: rig.now,
        transactional: false,
        payload: Payload::Records(records(0, 3)),
    })];
    let fetched =
        PartitionFetchResponse { partition: ORDERS, ..super::super::rig::answer(1, &batches) };
    answer(&mut rig, connection, 0, Response::Fetch(FetchResponse { partitions: vec![fetched] }));
    rig.facts();
    (rig, connection)
}

fn connected_to(effects: &Effects, broker: u16) -> ConnectionId {
    let find = |effect: &Effect<_, _>| match effect {
        Effect::Connect(connection, to) if to.node == NodeId(broker) => Some(*connection),
        _ => None,
    };
    effects.iter().find_map(find).unwrap_or_else(|| panic!("{effects:?}"))
}

fn answer(rig: &mut Rig, from: ConnectionId, correlation: u32, response: Response) -> Effects {
    let correlation = CorrelationId(correlation);
    rig.call(Input::Response { connection: from, correlation, response: Box::new(response) })
}

fn truncations(rig: &mut Rig) -> Vec<(u64, TruncationReason)> {
    let cut = |fact| match fact {
        TraceEvent::LogTruncated { to, reason, .. } => Some((to.0, reason)),
        _ => None,
    };
    rig.facts().into_iter().filter_map(cut).collect()
}

#[test]
fn before_0_11_another_leader_means_to_cut_to_the_high_watermark() {
    let (mut rig, _) = following("0.10.2", topic());
    rig.leader_and_isr(EPOCH, vec![state(2, 2, 1, &[1, 2])]);
    assert!(truncations(&mut rig).is_empty(), "the leader is the same");
    rig.leader_and_isr(EPOCH, vec![state(3, 3, 2, &[1, 3])]);
    assert_eq!(truncations(&mut rig), [(1, TruncationReason::HighWatermark)]);
}

/// Which request a fetcher that has just connected begins with.
fn first_question(version: &str) -> ApiKey {
    let (mut rig, _) = following(version, topic());
    let effects = rig.leader_and_isr(EPOCH, vec![state(3, 2, 1, &[1, 3])]);
    assert!(truncations(&mut rig).is_empty(), "{version}");
    let connection = connected_to(&effects, 3);
    match &rig.call(Input::Connected(connection))[..] {
        [Effect::Send(to, Frame::Request(_, request))] if *to == connection => request.api(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn since_0_11_the_leader_is_asked_where_the_logs_part() {
    assert_eq!(first_question("0.11"), ApiKey::OffsetsForLeaderEpoch);
    assert_eq!(first_question("2.6"), ApiKey::OffsetsForLeaderEpoch);
    assert_eq!(first_question("2.7"), ApiKey::Fetch);
}

#[test]
fn a_new_epoch_of_the_same_leader_is_met_by_truncation_since_2_1() {
    let asks = |version: &str, epoch: u32| {
        let (mut rig, connection) = following(version, topic());
        rig.leader_and_isr(EPOCH, vec![state(2, epoch, 1, &[1, 2])]);
        // The fetch in flight ends; then comes what is due.
        let nothing = Response::Fetch(FetchResponse { partitions: vec![] });
        match answer(&mut rig, connection, 1, nothing).first() {
            Some(Effect::Send(_, Frame::Request(_, request))) => request.api(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(asks("2.0", 2), ApiKey::Fetch);
    assert_eq!(asks("2.1", 2), ApiKey::OffsetsForLeaderEpoch);
    assert_eq!(asks("1.1", 3), ApiKey::Fetch);
    assert_eq!(asks("2.0.1", 3), ApiKey::OffsetsForLeaderEpoch);
}

/// The leader's log ends at `end` when the follower, at 3, is out of its range.
fn out_of_range(version: &str, end: u64, unclean: bool) -> (Rig, Effects) {
    let topic = TopicConfig { unclean_leader_election: unclean, ..topic() };
    let (mut rig, connection) = following(version, topic);
    let refused = super::super::rig::failed(ErrorCode::OffsetOutOfRange, 0, None);
    let refused = Response::Fetch(FetchResponse { partitions: vec![refused] });
    answer(&mut rig, connection, 1, refused);
    let told = |offset| PartitionListOffsetsResponse {
        partition: ORDERS,
        error: ErrorCode::None,
        offset: Offset(offset),
        leader_epoch: LeaderEpoch(1),
    };
    let offsets = ListOffsetsResponse { partitions: vec![told(end), told(0)] };
    let effects = answer(&mut rig, connection, 2, Response::ListOffsets(offsets));
    (rig, effects)
}

#[test]
fn before_2_1_a_broker_ends_rather_than_give_up_what_its_leader_does_not_have() {
    let (rig, effects) = out_of_range("2.0", 2, false);
    assert_eq!(effects.first(), Some(&Effect::Exit { clean: false }));
    assert_eq!(rig.broker.view(&rig.disk).state, BrokerState::ShuttingDown);
    for (version, unclean) in [("2.0", true), ("2.1", false)] {
        let (mut rig, _) = out_of_range(version, 2, unclean);
        assert_eq!(truncations(&mut rig), [(2, TruncationReason::LeaderLogEnd)], "{version}");
    }
}

#[test]
fn in_0_8_a_leader_that_has_overtaken_meanwhile_costs_the_whole_log() {
    let (mut rig, _) = out_of_range("0.8.2", 5, true);
    assert_eq!(truncations(&mut rig), [(0, TruncationReason::LeaderLogStart)]);
    let (mut rig, _) = out_of_range("0.9", 5, true);
    assert!(truncations(&mut rig).is_empty());
}
