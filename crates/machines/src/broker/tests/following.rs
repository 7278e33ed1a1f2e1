//! The broker as a follower.

use super::rig::*;
use crate::broker::{BrokerTimer, NoReport};
use crate::machine::{Effect, Input};
use acklab_vocab::api::*;
use acklab_vocab::config::BrokerConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::*;
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::trace::{CloseReason, TraceEvent, TruncationReason};

const LEADER: Endpoint = Endpoint { node: NodeId(2), listener: Listener::Broker };

/// The broker's connection to its leader, and how many requests it has sent there.
struct Line {
    connection: ConnectionId,
    sent: u32,
}

/// Brings a new connection to broker 2 about; returns the first request on it.
fn open_line(rig: &mut Rig, effects: &[Effect<BrokerTimer, NoReport>]) -> (Line, Request) {
    let connect = effects.iter().find_map(|effect| match effect {
        Effect::Connect(connection, to) if *to == LEADER => Some(*connection),
        _ => None,
    });
    let connection = connect.expect("it connects to its leader");
    let effects = rig.call(Input::Connected(connection));
    (Line { connection, sent: 0 }, the_request(&effects))
}

fn the_request(effects: &[Effect<BrokerTimer, NoReport>]) -> Request {
    let request = effects.iter().find_map(|effect| match effect {
        Effect::Send(_, Frame::Request(_, request)) => Some(*request.clone()),
        _ => None,
    });
    request.expect("a request")
}

/// Broker 2 answers the request in flight.
fn reply(rig: &mut Rig, line: &mut Line, response: Response) -> Vec<Effect<BrokerTimer, NoReport>> {
    let correlation = CorrelationId(line.sent);
    line.sent += 1;
    let connection = line.connection;
    rig.call(Input::Response { connection, correlation, response: Box::new(response) })
}

fn fetch_reply(
    rig: &mut Rig,
    line: &mut Line,
    answer: PartitionFetchResponse,
) -> Vec<Effect<BrokerTimer, NoReport>> {
    reply(rig, line, Response::Fetch(FetchResponse { partitions: vec![answer] }))
}

/// Broker 1 follows broker 2 in epoch 1.
fn follower() -> (Rig, Line) {
    let mut rig = Rig::running(config(), topic());
    let effects = rig.metadata(vec![partition(2, 1, 1, &[1, 2, 3])]);
    let (line, first) = open_line(&mut rig, &effects);
    assert_eq!(first, fetch(1, 0, None));
    rig.facts();
    (rig, line)
}

/// Led in epoch 1 (offsets 0 and 1) and 2 (offsets 2 and 3), and has to follow broker 2 in epoch 3
/// now.
fn deposed(config: BrokerConfig) -> (Rig, Vec<Effect<BrokerTimer, NoReport>>) {
    let mut rig = Rig::running(config, topic());
    rig.metadata(vec![partition(1, 1, 1, &[1, 2])]);
    rig.produce(1, Acks::Leader, batch(0, 1));
    rig.produce(2, Acks::Leader, batch(1, 1));
    rig.metadata(vec![partition(1, 2, 2, &[1, 2])]);
    rig.produce(3, Acks::Leader, batch(2, 1));
    rig.produce(4, Acks::Leader, batch(3, 1));
    rig.facts();
    let effects = rig.metadata(vec![partition(2, 3, 3, &[1, 2])]);
    (rig, effects)
}

fn fetch(epoch: u32, offset: u64, last_fetched_epoch: Option<u32>) -> Request {
    Request::Fetch(FetchRequest {
        replica: Some(FetchingReplica { broker: BrokerId(1), broker_epoch: broker_epoch(1) }),
        max_wait: ms(500),
        min_bytes: 1,
        max_bytes: 10 << 20,
        isolation: Isolation::LogEnd,
        session: nothing_forgotten(),
        partitions: vec![PartitionFetch {
            partition: ORDERS,
            current_leader_epoch: Some(LeaderEpoch(epoch)),
            fetch_offset: Offset(offset),
            last_fetched_epoch: last_fetched_epoch.map(LeaderEpoch),
            max_bytes: 1 << 20,
        }],
    })
}

fn nothing_forgotten() -> FetchSessionUpdate {
    FetchSessionUpdate::Incremental { forgotten: Vec::new() }
}

fn end(leader_epoch: u32, end_offset: u64) -> EpochEndOffset {
    EpochEndOffset { leader_epoch: LeaderEpoch(leader_epoch), end_offset: Offset(end_offset) }
}

fn truncated(to: u64, from: u64, reason: TruncationReason) -> TraceEvent {
    let (to, log_end_offset) = (Offset(to), Offset(from));
    TraceEvent::LogTruncated { partition: ORDERS, to, log_end_offset, reason }
}

fn retry_at(millis: i64) -> Effect<BrokerTimer, NoReport> {
    Effect::SetTimer(BrokerTimer::Fetcher(0), at_ms(millis))
}

#[test]
fn what_is_fetched_is_appended_and_the_next_fetch_follows_at_once() {
    let (mut rig, mut line) = follower();
    let effects = fetch_reply(&mut rig, &mut line, answer(0, &[stored(0, 2, 0, 1)]));
    assert_eq!(the_request(&effects), fetch(1, 2, Some(1)));
    // The leader's high watermark may be ahead of this log.
    let effects = fetch_reply(&mut rig, &mut line, answer(5, &[stored(2, 1, 2, 1)]));
    assert_eq!(the_request(&effects), fetch(1, 3, Some(1)));
    fetch_reply(&mut rig, &mut line, answer(1, &[]));
    let advanced = TraceEvent::HighWatermarkAdvanced {
        partition: ORDERS,
        leader_epoch: LeaderEpoch(1),
        high_watermark: Offset(3),
        leader: false,
    };
    let lowered = TraceEvent::HighWatermarkLowered { partition: ORDERS, high_watermark: Offset(1) };
    assert_eq!(
        rig.facts(),
        [
            TraceEvent::Replicated { partition: ORDERS, batch: stored(0, 2, 0, 1) },
            TraceEvent::Replicated { partition: ORDERS, batch: stored(2, 1, 2, 1) },
            advanced,
            lowered,
        ]
    );
}

#[test]
fn an_error_of_a_partition_delays_it_for_a_second() {
    let (mut rig, mut line) = follower();
    rig.now = at_ms(10);
    let unknown = failed(ErrorCode::UnknownTopicOrPartition, 0, None);
    assert_eq!(fetch_reply(&mut rig, &mut line, unknown), [retry_at(1_010)]);
    rig.now = at_ms(1_010);
    let effects = rig.call(Input::Timer(BrokerTimer::Fetcher(0)));
    // The leader's session still has it.
    let Request::Fetch(again) = the_request(&effects) else { panic!("a fetch") };
    assert_eq!((again.partitions, again.session), (Vec::new(), nothing_forgotten()));
}

#[test]
fn a_lost_connection_delays_everything_for_a_second() {
    let (mut rig, line) = follower();
    rig.now = at_ms(10);
    let effects = rig.call(Input::Closed(line.connection, CloseReason::Reset));
    assert_eq!(effects, [retry_at(1_010)]);
    rig.now = at_ms(1_010);
    let effects = rig.call(Input::Timer(BrokerTimer::Fetcher(0)));
    assert!(matches!(effects[0], Effect::Connect(_, LEADER)));
}

#[test]
fn a_silent_leader_costs_the_connection_after_replica_socket_timeout() {
    let (mut rig, line) = follower();
    rig.now = at_ms(30_000);
    let effects = rig.call(Input::Timer(BrokerTimer::Fetcher(0)));
    assert_eq!(effects, [Effect::Close(line.connection), retry_at(31_000)]);
}

#[test]
fn fenced_in_its_own_epoch_it_waits_for_new_metadata() {
    let (mut rig, mut line) = follower();
    let fenced = failed(ErrorCode::FencedLeaderEpoch, 0, Some((2, 2)));
    assert_eq!(fetch_reply(&mut rig, &mut line, fenced), []);
    let effects = rig.metadata(vec![partition(2, 2, 2, &[1, 2, 3])]);
    assert_eq!(the_request(&effects), fetch(2, 0, None));
}

#[test]
fn a_response_for_another_epoch_is_not_used() {
    let (mut rig, mut line) = follower();
    assert_eq!(rig.metadata(vec![partition(2, 2, 2, &[1, 2, 3])]), []);
    let effects = fetch_reply(&mut rig, &mut line, answer(1, &[stored(0, 1, 0, 1)]));
    assert_eq!(the_request(&effects), fetch(2, 0, None));
    assert!(!rig.facts().iter().any(|fact| matches!(fact, TraceEvent::Replicated { .. })));
}

#[test]
fn a_parted_log_is_cut_epoch_by_epoch_until_it_agrees() {
    let (mut rig, effects) = deposed(config());
    rig.facts();
    let (mut line, first) = open_line(&mut rig, &effects);
    assert_eq!(first, fetch(3, 4, Some(2)));
    // The leader's epoch 1 went on to offset 5; here it ends at 2.
    let parted = |leader| PartitionFetchResponse { diverging_epoch: leader, ..answer(0, &[]) };
    let effects = fetch_reply(&mut rig, &mut line, parted(Some(end(1, 5))));
    assert_eq!(the_request(&effects), fetch(3, 2, Some(1)));
    let effects = fetch_reply(&mut rig, &mut line, parted(Some(end(1, 1))));
    assert_eq!(the_request(&effects), fetch(3, 1, Some(1)));
    fetch_reply(&mut rig, &mut line, answer(0, &[stored(9, 1, 1, 3)]));
    assert_eq!(
        rig.facts(),
        [
            truncated(2, 4, TruncationReason::LeaderEpoch),
            truncated(1, 2, TruncationReason::LeaderEpoch),
            TraceEvent::Replicated { partition: ORDERS, batch: stored(9, 1, 1, 3) },
        ]
    );
}

#[test]
fn before_2_7_it_asks_where_the_logs_part_before_it_fetches() {
    let (mut rig, effects) = deposed(without(ProtocolRule::TruncateOnFetch));
    rig.facts();
    let (mut line, first) = open_line(&mut rig, &effects);
    let question = |epoch| {
        Request::OffsetsForLeaderEpoch(OffsetsForLeaderEpochRequest {
            replica: Some(BrokerId(1)),
            partitions: vec![(ORDERS, Some(LeaderEpoch(3)), LeaderEpoch(epoch))],
        })
    };
    let told = |end| {
        let partitions = vec![(ORDERS, ErrorCode::None, Some(end))];
        Response::OffsetsForLeaderEpoch(OffsetsForLeaderEpochResponse { partitions })
    };
    assert_eq!(first, question(2));
    let effects = reply(&mut rig, &mut line, told(end(1, 1)));
    assert_eq!(the_request(&effects), fetch(3, 1, None));
    assert_eq!(rig.facts(), [truncated(1, 4, TruncationReason::LeaderEpoch)]);
}

#[test]
fn before_0_11_it_cuts_to_its_own_high_watermark() {
    let (mut rig, _) = deposed(without(ProtocolRule::TruncateByLeaderEpoch));
    assert!(rig.facts().contains(&truncated(0, 4, TruncationReason::HighWatermark)));
}

#[test]
fn a_log_longer_than_its_leaders_is_cut_to_the_leaders_end() {
    let (mut rig, effects) = deposed(config());
    rig.facts();
    let (mut line, _) = open_line(&mut rig, &effects);
    let out_of_range = failed(ErrorCode::OffsetOutOfRange, 0, None);
    let effects = fetch_reply(&mut rig, &mut line, out_of_range);
    let epoch = Some(LeaderEpoch(3));
    assert_eq!(
        the_request(&effects),
        Request::ListOffsets(ListOffsetsRequest {
            isolation: Isolation::LogEnd,
            partitions: vec![
                (ORDERS, epoch, ListOffsetsTimestamp::Latest),
                (ORDERS, epoch, ListOffsetsTimestamp::Earliest),
            ],
        })
    );
    let told = |offset| PartitionListOffsetsResponse {
        partition: ORDERS,
        error: ErrorCode::None,
        offset: Offset(offset),
        leader_epoch: LeaderEpoch(3),
    };
    let response = ListOffsetsResponse { partitions: vec![told(3), told(0)] };
    let effects = reply(&mut rig, &mut line, Response::ListOffsets(response));
    assert_eq!(the_request(&effects), fetch(3, 3, Some(2)));
    assert_eq!(rig.facts(), [truncated(3, 4, TruncationReason::LeaderLogEnd)]);
}

#[test]
fn becoming_leader_ends_the_fetches() {
    let (mut rig, line) = follower();
    let effects = rig.metadata(vec![partition(1, 2, 2, &[1, 2, 3])]);
    assert_eq!(
        effects,
        [Effect::CancelTimer(BrokerTimer::Fetcher(0)), Effect::Close(line.connection),]
    );
}
