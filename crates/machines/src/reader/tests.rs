//! One reader against brokers played by the test: what it sends, what it states.

use super::*;
use crate::client::testing::{batch, endpoint, fetched};
use crate::disk::Disk;
use crate::machine::{Effect, Outbox};
use crate::rng::NodeRng;
use acklab_vocab::api::{
    CurrentLeader, EpochEndOffset, FetchRequest, FetchResponse, FetchSessionUpdate, Frame,
    Isolation, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTimestamp, MetadataResponse,
    OffsetsForLeaderEpochRequest, OffsetsForLeaderEpochResponse, PartitionFetch,
    PartitionFetchResponse, PartitionListOffsetsResponse, PartitionMetadata, Request, Response,
};
use acklab_vocab::config::{AutoOffsetReset, ClientConfig};
use acklab_vocab::ids::{ConnectionId, CorrelationId, NodeId};
use acklab_vocab::record::RecordBatch;
use acklab_vocab::rules::ProtocolRules;
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{CloseReason, TraceEvent};
use acklab_vocab::version::KafkaVersion;
use smallvec::SmallVec;

mod random;

const P0: TopicPartition = TopicPartition::new(0, 0);
const P1: TopicPartition = TopicPartition::new(0, 1);

fn config(version: KafkaVersion) -> ConsumerConfig {
    let millis = SimDuration::from_millis;
    ConsumerConfig {
        client: ClientConfig {
            rules: ProtocolRules::of(version),
            request_timeout: millis(30_000),
            retry_backoff: millis(100),
            retry_backoff_max: millis(100),
            reconnect_backoff: millis(50),
            reconnect_backoff_max: millis(50),
            connection_setup_timeout: millis(10_000),
            connection_setup_timeout_max: millis(10_000),
            metadata_max_age: millis(300_000),
        },
        auto_offset_reset: AutoOffsetReset::Earliest,
        isolation: Isolation::HighWatermark,
        fetch_min_bytes: 1,
        fetch_max_wait: millis(500),
        fetch_max_bytes: 50 << 20,
        max_partition_fetch_bytes: 1 << 20,
        max_poll_records: 500,
        default_api_timeout: millis(60_000),
    }
}

/// A reader, its connections, and the brokers 1 and 2 as the test plays them.
struct World {
    reader: Reader,
    disk: Disk,
    rng: NodeRng,
    outbox: Outbox<ReaderTimer, ReaderReport>,
    now: SimTime,
    /// Every connection ever asked for, with its broker.
    connections: Vec<(ConnectionId, BrokerId)>,
    /// Requests without an answer, oldest first.
    waiting: Vec<(ConnectionId, CorrelationId, Request)>,
    /// Earliest timer that was set and not yet due.
    wake_at: Option<SimTime>,
    /// Leader and epoch of each partition, as metadata has it.
    leaders: Vec<(TopicPartition, Option<BrokerId>, LeaderEpoch)>,
}

impl World {
    fn new(config: ConsumerConfig, partitions: &[TopicPartition]) -> Self {
        let (mut disk, mut rng) = (Disk::default(), NodeRng::for_test(1));
        let mut outbox = Outbox::default();
        let now = SimTime::ZERO;
        let bootstrap = [1, 2].map(|broker| (BrokerId(broker), endpoint(broker)));
        let setup = ReaderSetup {
            config: Arc::new(config),
            bootstrap: bootstrap.to_vec(),
            partitions: partitions.to_vec(),
        };
        let mut cx = Cx::new(now, NodeId(9), &mut rng, &mut disk, &mut outbox);
        let reader = Reader::boot(&mut cx, setup);
        let leaders = partitions.iter().map(|&p| (p, Some(BrokerId(1)), LeaderEpoch(4)));
        let mut world = World {
            reader,
            disk,
            rng,
            outbox,
            now,
            connections: Vec::new(),
            waiting: Vec::new(),
            wake_at: None,
            leaders: leaders.collect(),
        };
        world.apply();
        world
    }

    /// A reader of a settled position: it has fetched nothing yet and waits for its first FETCH.
    fn reading_from(config: ConsumerConfig, partitions: &[TopicPartition], offset: u64) -> Self {
        let mut world = World::new(config, partitions);
        world.answer_metadata();
        for _ in 0..partitions.len() {
            if matches!(world.waiting.last(), Some((_, _, Request::ListOffsets(_)))) {
                world.answer_list_offsets(offset);
            }
        }
        world.facts();
        world
    }

    fn input(&mut self, input: Input<ReaderTimer, ReaderCall>) {
        let (rng, disk, outbox) = (&mut self.rng, &mut self.disk, &mut self.outbox);
        let mut cx = Cx::new(self.now, NodeId(9), rng, disk, outbox);
        self.reader.handle(&mut cx, input);
        self.apply();
    }

    /// Applies effects; connections open at once.
    fn apply(&mut self) {
        let mut opened = Vec::new();
        for effect in std::mem::take(&mut self.outbox.effects) {
            match effect {
                Effect::Connect(connection, to) => {
                    self.connections.push((connection, BrokerId(to.node.0)));
                    opened.push(connection);
                }
                Effect::Send(connection, Frame::Request(correlation, request)) => {
                    self.waiting.push((connection, correlation, *request));
                }
                Effect::SetTimer(ReaderTimer::Wake, at) => self.wake_at = Some(at),
                Effect::Close(connection) => self.waiting.retain(|entry| entry.0 != connection),
                other => panic!("{other:?}"),
            }
        }
        for connection in opened {
            self.input(Input::Connected(connection));
        }
    }

    /// Time passes until the reader's timer is due.
    fn wake(&mut self) {
        self.now = self.now.max(self.wake_at.take().expect("a timer is set"));
        self.input(Input::Timer(ReaderTimer::Wake));
    }

    /// What waits for an answer, with the broker that was asked.
    fn waiting(&self) -> Vec<(u16, Request)> {
        let waiting = self.waiting.iter().map(|(connection, _, request)| {
            let asked = self.connections.iter().find(|entry| entry.0 == *connection);
            (asked.expect("a known connection").1.0, request.clone())
        });
        waiting.collect()
    }

    fn answer(&mut self, is_it: fn(&Request) -> bool, response: Response) {
        let place = self.waiting.iter().position(|(_, _, request)| is_it(request));
        let (connection, correlation, _) = self.waiting.remove(place.expect("was asked"));
        let response = Box::new(response);
        self.input(Input::Response { connection, correlation, response });
    }

    fn answer_metadata(&mut self) {
        let partitions = self.leaders.iter().map(|&(partition, leader, leader_epoch)| {
            let error =
                if leader.is_some() { ErrorCode::None } else { ErrorCode::LeaderNotAvailable };
            let replicas = SmallVec::from_slice(&[BrokerId(1), BrokerId(2)]);
            PartitionMetadata { partition, error, leader, leader_epoch, replicas }
        });
        let response = MetadataResponse {
            brokers: [1, 2].map(|id| (BrokerId(id), NodeId(id))).to_vec(),
            partitions: partitions.collect(),
        };
        self.answer(|request| matches!(request, Request::Metadata(_)), response.into_response());
    }

    /// Answers a ListOffsets, for all its partitions alike.
    fn answer_list_offsets(&mut self, offset: u64) {
        self.answer_list_offsets_with(ErrorCode::None, offset);
    }

    fn answer_list_offsets_with(&mut self, error: ErrorCode, offset: u64) {
        let asked = self.waiting.iter().find_map(|(_, _, request)| match request {
            Request::ListOffsets(list) => Some(list.partitions.clone()),
            _ => None,
        });
        let partitions = asked.expect("was asked").into_iter().map(|(partition, ..)| {
            let (offset, leader_epoch) = (Offset(offset), LeaderEpoch(4));
            PartitionListOffsetsResponse { partition, error, offset, leader_epoch }
        });
        let response = ListOffsetsResponse { partitions: partitions.collect() };
        self.answer(|request| matches!(request, Request::ListOffsets(_)), response.into_response());
    }

    fn answer_fetch(&mut self, partitions: Vec<PartitionFetchResponse>) {
        let response = FetchResponse { partitions };
        self.answer(|request| matches!(request, Request::Fetch(_)), response.into_response());
    }

    fn answer_epoch(&mut self, error: ErrorCode, end: Option<(u32, u64)>) {
        let end = end.map(|(epoch, offset)| EpochEndOffset {
            leader_epoch: LeaderEpoch(epoch),
            end_offset: Offset(offset),
        });
        let response = OffsetsForLeaderEpochResponse { partitions: vec![(P0, error, end)] };
        let is_it = |request: &Request| matches!(request, Request::OffsetsForLeaderEpoch(_));
        self.answer(is_it, response.into_response());
    }

    /// The partition moves to broker 2 in epoch 5; broker 1 refuses the fetch; metadata is renewed.
    fn move_leader(&mut self) {
        self.leaders[0] = (P0, Some(BrokerId(2)), LeaderEpoch(5));
        self.answer_fetch(vec![refused(P0, ErrorCode::NotLeaderOrFollower)]);
        self.wake();
        self.answer_metadata();
    }

    fn facts(&mut self) -> Vec<TraceEvent> {
        std::mem::take(&mut self.outbox.facts).into_iter().map(|(_, fact)| fact).collect()
    }

    fn position(&self, partition: TopicPartition) -> Option<u64> {
        let mut positions = self.reader.positions();
        positions.find(|entry| entry.0 == partition).unwrap().1.map(|offset| offset.0)
    }
}

trait IntoResponse {
    fn into_response(self) -> Response;
}

macro_rules! into_response {
    ($($api:ident($response:ty))*) => {
        $(impl IntoResponse for $response {
            fn into_response(self) -> Response {
                Response::$api(self)
            }
        })*
    };
}

into_response! {
    Metadata(MetadataResponse)
    ListOffsets(ListOffsetsResponse)
    Fetch(FetchResponse)
    OffsetsForLeaderEpoch(OffsetsForLeaderEpochResponse)
}

fn refused(partition: TopicPartition, error: ErrorCode) -> PartitionFetchResponse {
    PartitionFetchResponse { error, ..fetched(partition, &[]) }
}

fn fetch(broker: u16, epoch: u32, partitions: &[(TopicPartition, u64)]) -> (u16, Request) {
    let partitions = partitions.iter().map(|&(partition, offset)| PartitionFetch {
        partition,
        current_leader_epoch: Some(LeaderEpoch(epoch)),
        fetch_offset: Offset(offset),
        last_fetched_epoch: None,
        max_bytes: 1 << 20,
    });
    let request = FetchRequest {
        replica: None,
        max_wait: SimDuration::from_millis(500),
        min_bytes: 1,
        max_bytes: 50 << 20,
        isolation: Isolation::HighWatermark,
        session: FetchSessionUpdate::Full,
        partitions: partitions.collect(),
    };
    (broker, Request::Fetch(request))
}

fn list_offsets(broker: u16, timestamp: ListOffsetsTimestamp) -> (u16, Request) {
    let partitions = vec![(P0, Some(LeaderEpoch(4)), timestamp)];
    let request = ListOffsetsRequest { isolation: Isolation::HighWatermark, partitions };
    (broker, Request::ListOffsets(request))
}

fn epoch_offsets(broker: u16, current: u32, asked: u32) -> (u16, Request) {
    let partitions = vec![(P0, Some(LeaderEpoch(current)), LeaderEpoch(asked))];
    let request = OffsetsForLeaderEpochRequest { replica: None, partitions };
    (broker, Request::OffsetsForLeaderEpoch(request))
}

fn read(partition: TopicPartition, from: u64, batch: &Arc<RecordBatch>) -> TraceEvent {
    let to = batch.next_offset();
    TraceEvent::RecordsRead { partition, from: Offset(from), to, batch: Arc::clone(batch) }
}

fn reset(from: Option<u64>, to: u64, truncated: bool) -> TraceEvent {
    let (from, to) = (from.map(Offset), Offset(to));
    TraceEvent::PositionReset { partition: P0, from, to, truncated }
}

fn stopped() -> TraceEvent {
    TraceEvent::ReaderStopped { partition: P0, error: ErrorCode::OffsetOutOfRange }
}

const MODERN: KafkaVersion = KafkaVersion::new(3, 9, 0);

fn without_policy() -> ConsumerConfig {
    ConsumerConfig { auto_offset_reset: AutoOffsetReset::None, ..config(MODERN) }
}

#[test]
fn a_reader_asks_for_metadata_then_a_position_then_records() {
    let mut world = World::new(config(MODERN), &[P0]);
    assert!(matches!(world.waiting()[..], [(_, Request::Metadata(_))]));
    world.answer_metadata();
    assert_eq!(world.waiting(), [list_offsets(1, ListOffsetsTimestamp::Earliest)]);
    assert_eq!(world.position(P0), None);
    world.answer_list_offsets(7);
    assert_eq!(world.waiting(), [fetch(1, 4, &[(P0, 7)])]);
    assert_eq!(world.facts(), [reset(None, 7, false)]);
    assert_eq!(world.position(P0), Some(7));
}

#[test]
fn records_are_returned_from_the_position_on() {
    let mut world = World::reading_from(config(MODERN), &[P0], 7);
    // The broker returns the whole batch that contains offset 7.
    let batches = [batch(5, 4, 3), batch(9, 2, 4)];
    world.answer_fetch(vec![fetched(P0, &batches)]);
    assert_eq!(world.facts(), [read(P0, 7, &batches[0]), read(P0, 9, &batches[1])]);
    assert_eq!(world.waiting(), [fetch(1, 4, &[(P0, 11)])]);
    assert_eq!(world.reader.view().partitions[0].high_watermark, Some(Offset(11)));
    // Nothing new: the partition is absent, and is fetched again.
    world.answer_fetch(vec![]);
    assert_eq!(world.facts(), []);
    assert_eq!(world.waiting(), [fetch(1, 4, &[(P0, 11)])]);
}

#[test]
fn a_position_is_reset_by_the_policy() {
    let old = AutoOffsetReset::ByDuration(SimDuration::from_secs(60));
    let cases = [
        (AutoOffsetReset::Latest, ListOffsetsTimestamp::Latest),
        (old, ListOffsetsTimestamp::At(SimTime::from_millis(-60_000))),
    ];
    for (auto_offset_reset, expected) in cases {
        let config = ConsumerConfig { auto_offset_reset, ..config(MODERN) };
        let mut world = World::new(config, &[P0]);
        world.answer_metadata();
        assert_eq!(world.waiting(), [list_offsets(1, expected)]);
    }
    let mut world = World::new(without_policy(), &[P0]);
    assert_eq!(world.facts(), [stopped()]);
    assert_eq!(world.reader.stopped().count(), 1);
}

#[test]
fn a_refused_position_lookup_is_repeated_after_the_backoff_and_metadata() {
    let mut world = World::new(config(MODERN), &[P0]);
    world.answer_metadata();
    world.answer_list_offsets_with(ErrorCode::OffsetNotAvailable, 0);
    assert_eq!(world.waiting(), []);
    world.wake();
    assert_eq!(world.now, SimTime::from_millis(100));
    let lookup = list_offsets(1, ListOffsetsTimestamp::Earliest);
    let waiting = world.waiting();
    assert!(waiting.contains(&lookup), "{waiting:?}");
    assert!(waiting.iter().any(|(_, request)| matches!(request, Request::Metadata(_))));
}

#[test]
fn a_refused_fetch_waits_for_metadata_and_the_position_is_validated() {
    let mut world = World::reading_from(config(MODERN), &[P0], 0);
    world.answer_fetch(vec![fetched(P0, &[batch(0, 10, 4)])]);
    world.facts();
    world.move_leader();
    assert_eq!(world.waiting(), [epoch_offsets(2, 5, 4)]);
    world.answer_epoch(ErrorCode::None, Some((4, 10)));
    assert_eq!(world.facts(), []);
    assert_eq!(world.waiting(), [fetch(2, 5, &[(P0, 10)])]);
}

#[test]
fn a_truncated_position_goes_back_to_where_the_logs_part() {
    let mut world = World::reading_from(config(MODERN), &[P0], 0);
    world.answer_fetch(vec![fetched(P0, &[batch(0, 10, 4)])]);
    world.facts();
    world.move_leader();
    world.answer_epoch(ErrorCode::None, Some((4, 6)));
    assert_eq!(world.facts(), [reset(Some(10), 6, true)]);
    assert_eq!(world.waiting(), [fetch(2, 5, &[(P0, 6)])]);
}

#[test]
fn an_unknown_epoch_resets_by_the_policy() {
    let mut world = World::reading_from(config(MODERN), &[P0], 0);
    world.answer_fetch(vec![fetched(P0, &[batch(0, 10, 4)])]);
    world.facts();
    world.move_leader();
    world.answer_epoch(ErrorCode::None, None);
    assert_eq!(world.position(P0), None);
    world.answer_list_offsets(2);
    assert_eq!(world.facts(), [reset(Some(10), 2, false)]);
    assert_eq!(world.waiting(), [fetch(2, 5, &[(P0, 2)])]);
}

#[test]
fn a_failed_validation_is_repeated() {
    let mut world = World::reading_from(config(MODERN), &[P0], 0);
    world.answer_fetch(vec![fetched(P0, &[batch(0, 10, 4)])]);
    world.move_leader();
    world.answer_epoch(ErrorCode::UnknownLeaderEpoch, None);
    assert_eq!(world.waiting(), []);
    let refused_at = world.now;
    while world.waiting().iter().all(|(_, r)| matches!(r, Request::Metadata(_))) {
        world.wake();
    }
    assert_eq!(world.now.since(refused_at), SimDuration::from_millis(100));
    assert!(world.waiting().contains(&epoch_offsets(2, 5, 4)));
}

#[test]
fn before_kip_320_a_position_moves_to_the_new_leader_unchecked() {
    let mut world = World::reading_from(config(KafkaVersion::new(2, 2, 0)), &[P0], 0);
    world.answer_fetch(vec![fetched(P0, &[batch(0, 10, 4)])]);
    world.move_leader();
    assert_eq!(world.waiting(), [fetch(2, 5, &[(P0, 10)])]);
}

#[test]
fn a_leader_named_in_the_refusal_is_followed_without_metadata() {
    let mut world = World::reading_from(config(MODERN), &[P0], 0);
    world.answer_fetch(vec![fetched(P0, &[batch(0, 10, 4)])]);
    let named = CurrentLeader { leader: BrokerId(2), leader_epoch: LeaderEpoch(5) };
    let refusal = refused(P0, ErrorCode::FencedLeaderEpoch);
    world.answer_fetch(vec![PartitionFetchResponse { current_leader: Some(named), ..refusal }]);
    assert_eq!(world.waiting(), [epoch_offsets(2, 5, 4)]);
}

#[test]
fn an_epoch_that_the_broker_has_yet_to_hear_of_is_fetched_again_at_once() {
    let mut world = World::reading_from(config(MODERN), &[P0], 3);
    world.answer_fetch(vec![refused(P0, ErrorCode::UnknownLeaderEpoch)]);
    assert_eq!(world.waiting(), [fetch(1, 4, &[(P0, 3)])]);
}

#[test]
fn a_position_out_of_range_is_reset_or_stops_the_reader() {
    let mut world = World::reading_from(config(MODERN), &[P0], 30);
    world.answer_fetch(vec![refused(P0, ErrorCode::OffsetOutOfRange)]);
    assert_eq!(world.waiting(), [list_offsets(1, ListOffsetsTimestamp::Earliest)]);
    world.answer_list_offsets(20);
    assert_eq!(world.facts(), [reset(Some(30), 20, false)]);
    assert_eq!(world.waiting(), [fetch(1, 4, &[(P0, 20)])]);

    let mut world = World::reading_from(config(MODERN), &[P0], 30);
    world.reader.fetching.config_for_test(without_policy());
    world.answer_fetch(vec![refused(P0, ErrorCode::OffsetOutOfRange)]);
    assert_eq!(world.facts(), [stopped()]);
    assert_eq!(world.waiting(), []);
}

#[test]
fn a_late_answer_of_the_old_leader_is_dropped() {
    let mut world = World::new(config(MODERN), &[P0, P1]);
    world.leaders[1].1 = Some(BrokerId(2));
    world.answer_metadata();
    world.answer_list_offsets(0);
    world.answer_list_offsets(0);
    world.answer_fetch(vec![fetched(P0, &[batch(0, 10, 4)])]);
    world.facts();
    // Broker 1 holds its next fetch while broker 2's refusal brings metadata: both have moved.
    assert_eq!(world.waiting(), [fetch(2, 4, &[(P1, 0)]), fetch(1, 4, &[(P0, 10)])]);
    world.leaders =
        vec![(P0, Some(BrokerId(2)), LeaderEpoch(5)), (P1, Some(BrokerId(1)), LeaderEpoch(5))];
    world.answer_fetch(vec![refused(P1, ErrorCode::NotLeaderOrFollower)]);
    world.wake();
    world.answer_metadata();
    world.answer_epoch(ErrorCode::None, Some((4, 6)));
    assert_eq!(world.facts(), [reset(Some(10), 6, true)]);
    assert_eq!(world.waiting(), [fetch(1, 4, &[(P0, 10)]), fetch(2, 5, &[(P0, 6)])]);
    world.answer_fetch(vec![fetched(P0, &[batch(10, 5, 4)])]);
    assert_eq!(world.facts(), []);
    assert_eq!(world.position(P0), Some(6));
}

#[test]
fn a_lost_connection_is_opened_again_after_the_backoff() {
    let mut world = World::reading_from(config(MODERN), &[P0], 3);
    let (connection, ..) = world.waiting.remove(0);
    world.input(Input::Closed(connection, CloseReason::Reset));
    assert!(!world.waiting().contains(&fetch(1, 4, &[(P0, 3)])));
    while !world.waiting().contains(&fetch(1, 4, &[(P0, 3)])) {
        world.wake();
        assert!(world.now <= SimTime::from_millis(200), "{:?}", world.waiting());
    }
    assert!(world.now >= SimTime::from_millis(40));
}

#[test]
fn a_fetch_without_an_answer_closes_the_connection_and_is_repeated() {
    let mut world = World::reading_from(config(MODERN), &[P0], 3);
    let opened = world.connections.len();
    while world.now < SimTime::from_millis(30_000) {
        world.wake();
    }
    while !world.waiting().contains(&fetch(1, 4, &[(P0, 3)])) {
        world.wake();
        assert!(world.now <= SimTime::from_millis(30_500), "{:?}", world.waiting());
    }
    assert!(world.connections.len() > opened);
}

#[test]
fn a_partition_without_a_leader_is_asked_about_until_it_has_one() {
    let mut world = World::new(config(MODERN), &[P0]);
    world.leaders[0].1 = None;
    for _ in 0..5 {
        world.answer_metadata();
        assert_eq!(world.waiting(), []);
        world.wake();
    }
    world.leaders[0].1 = Some(BrokerId(2));
    world.answer_metadata();
    assert_eq!(world.waiting(), [list_offsets(2, ListOffsetsTimestamp::Earliest)]);
}

#[test]
fn one_answer_with_more_records_than_a_poll_returns() {
    let batches = |partition: TopicPartition| fetched(partition, &[batch(0, 300, 4)]);
    // Before 4.0: the partitions whose records the first two polls returned are fetched while the
    // third is buffered; it has to wait for their long poll.
    let p2 = TopicPartition::new(0, 2);
    let mut world = World::reading_from(config(MODERN), &[P0, P1, p2], 0);
    world.answer_fetch([P0, P1, p2].map(batches).to_vec());
    assert_eq!(world.facts().len(), 3);
    assert_eq!(world.waiting(), [fetch(1, 4, &[(P0, 300), (P1, 300)])]);
    world.answer_fetch(vec![]);
    assert_eq!(world.waiting(), [fetch(1, 4, &[(P0, 300), (P1, 300), (p2, 300)])]);

    let mut world = World::reading_from(config(KafkaVersion::new(4, 0, 0)), &[P0, P1, p2], 0);
    world.answer_fetch([P0, P1, p2].map(batches).to_vec());
    assert_eq!(world.waiting(), [fetch(1, 4, &[(P0, 300), (P1, 300), (p2, 300)])]);
}

#[test]
fn a_partition_that_returned_records_moves_to_the_end() {
    let mut world = World::reading_from(config(MODERN), &[P0, P1], 0);
    assert_eq!(world.waiting(), [fetch(1, 4, &[(P0, 0), (P1, 0)])]);
    world.answer_fetch(vec![fetched(P0, &[batch(0, 10, 4)])]);
    assert_eq!(world.waiting(), [fetch(1, 4, &[(P1, 0), (P0, 10)])]);
}

#[test]
fn the_same_inputs_give_the_same_effects() {
    let run = || {
        let mut world = World::reading_from(config(MODERN), &[P0], 0);
        world.answer_fetch(vec![fetched(P0, &[batch(0, 10, 4)])]);
        world.move_leader();
        world.answer_epoch(ErrorCode::None, Some((4, 6)));
        (world.waiting.clone(), world.facts(), world.connections.clone(), world.wake_at)
    };
    assert_eq!(run(), run());
}
