//! The network client alone: a caller that tags its requests with numbers.

use super::testing::endpoint;
use super::*;
use crate::disk::Disk;
use crate::machine::{Effect, Outbox};
use crate::rng::NodeRng;
use acklab_vocab::api::{Frame, MetadataResponse, PartitionMetadata};
use acklab_vocab::ids::{BrokerList, LeaderEpoch, NodeId};
use acklab_vocab::rules::ProtocolRules;
use acklab_vocab::version::KafkaVersion;

const TOPIC: TopicId = TopicId(0);

fn config(version: KafkaVersion) -> ClientConfig {
    let millis = SimDuration::from_millis;
    ClientConfig {
        rules: ProtocolRules::of(version),
        request_timeout: millis(30_000),
        retry_backoff: millis(100),
        retry_backoff_max: millis(100),
        reconnect_backoff: millis(50),
        reconnect_backoff_max: millis(50),
        connection_setup_timeout: millis(10_000),
        connection_setup_timeout_max: millis(10_000),
        metadata_max_age: millis(300_000),
    }
}

struct Bench {
    client: NetworkClient<u32>,
    now: SimTime,
    rng: NodeRng,
    disk: Disk,
    outbox: Outbox<(), ()>,
}

impl Bench {
    fn new(brokers: std::ops::RangeInclusive<u16>) -> Self {
        Bench::of_version(brokers, KafkaVersion::new(3, 9, 0))
    }

    fn of_version(brokers: std::ops::RangeInclusive<u16>, version: KafkaVersion) -> Self {
        let bootstrap: Vec<_> =
            brokers.map(|broker| (BrokerId(broker), endpoint(broker))).collect();
        Bench {
            client: NetworkClient::new(&config(version), &bootstrap, 2),
            now: SimTime::ZERO,
            rng: NodeRng::for_test(1),
            disk: Disk::default(),
            outbox: Outbox::default(),
        }
    }

    /// At a millisecond, does something and says what came of it.
    fn at(
        &mut self,
        millis: i64,
        act: impl FnOnce(&mut NetworkClient<u32>, &mut Cx<'_, (), ()>),
    ) -> Vec<String> {
        self.now = SimTime::from_millis(millis);
        let (rng, disk, outbox) = (&mut self.rng, &mut self.disk, &mut self.outbox);
        let mut cx = Cx::new(self.now, NodeId(9), rng, disk, outbox);
        act(&mut self.client, &mut cx);
        let effects = std::mem::take(&mut self.outbox.effects);
        effects.iter().map(line).collect()
    }

    fn metadata(&mut self, correlation: u32, leaders: &[(u16, u32)]) {
        let partitions = (0..).zip(leaders).map(|(index, &(leader, epoch))| PartitionMetadata {
            partition: TopicPartition::new(0, index),
            error: ErrorCode::None,
            leader: Some(BrokerId(leader)),
            leader_epoch: LeaderEpoch(epoch),
            replicas: BrokerList::new(),
        });
        let response = Response::Metadata(MetadataResponse {
            brokers: (1..=3).map(|broker| (BrokerId(broker), NodeId(broker))).collect(),
            partitions: partitions.collect(),
        });
        let (connection, correlation) = (ConnectionId(0), CorrelationId(correlation));
        let millis = self.now.0 / 1_000_000;
        self.at(millis, |client, cx| {
            client.on_response(cx, connection, correlation, Box::new(response));
        });
    }

    fn completions(&mut self) -> Vec<(u32, Option<Loss>)> {
        let next = || self.client.next_completion();
        std::iter::from_fn(next).map(|done| (done.purpose, done.result.err())).collect()
    }

    /// Connected to broker 1 alone, with metadata of one partition led by it.
    fn ready() -> Self {
        let mut bench = Bench::new(1..=1);
        bench.client.add_topic(TOPIC);
        assert_eq!(bench.at(0, |client, cx| client.poll(cx)), ["c0 connect 1"]);
        let asked = bench.at(1, |client, cx| {
            client.on_connected(ConnectionId(0));
            client.poll(cx);
        });
        assert_eq!(asked, ["c0 Metadata #0"]);
        bench.metadata(0, &[(1, 5)]);
        bench
    }
}

fn line(effect: &Effect<(), ()>) -> String {
    match effect {
        Effect::Connect(connection, to) => format!("c{connection} connect {}", to.node),
        Effect::Send(connection, Frame::Request(correlation, request)) => {
            format!("c{connection} {} #{correlation}", request.api().name())
        }
        Effect::Close(connection) => format!("c{connection} close"),
        other => panic!("a client does not do this: {other:?}"),
    }
}

fn any_request() -> Request {
    Request::Metadata(MetadataRequest { topics: SmallVec::new() })
}

#[test]
fn a_connection_takes_requests_up_to_the_limit_and_while_the_socket_takes_them() {
    let mut bench = Bench::ready();
    let sent = bench.at(10, |client, cx| {
        assert!(client.ready(cx, BrokerId(1)));
        client.send(cx, BrokerId(1), any_request(), 1);
        client.on_write_blocked(ConnectionId(0), true);
        assert!(!client.ready(cx, BrokerId(1)));
        client.on_write_blocked(ConnectionId(0), false);
        client.send(cx, BrokerId(1), any_request(), 2);
        assert!(!client.ready(cx, BrokerId(1)));
    });
    assert_eq!(sent, ["c0 Metadata #1", "c0 Metadata #2"]);
    assert_eq!(bench.client.in_flight_count(), 2);
}

#[test]
fn requests_without_an_answer_follow_each_other_at_the_pace_of_writing() {
    let mut bench = Bench::ready();
    bench.at(10, |client, cx| {
        client.send_without_response(cx, BrokerId(1), any_request());
        assert!(!client.ready(cx, BrokerId(1)));
        assert_eq!(client.deadline(), cx.now() + super::WRITE_TIME);
    });
    bench.at(11, |client, cx| assert!(client.ready(cx, BrokerId(1))));
}

#[test]
fn one_late_answer_gives_back_everything_on_the_connection_oldest_first() {
    for (version, expected) in
        [(KafkaVersion::new(3, 9, 0), [1, 2]), (KafkaVersion::new(1, 1, 0), [2, 1])]
    {
        let mut bench = Bench::ready();
        bench.client.config.rules = ProtocolRules::of(version);
        bench.at(10, |client, cx| client.send(cx, BrokerId(1), any_request(), 1));
        bench.at(20_000, |client, cx| client.send(cx, BrokerId(1), any_request(), 2));
        bench.at(30_009, |client, cx| client.wake(cx));
        assert_eq!(bench.completions(), []);
        assert_eq!(bench.client.deadline(), SimTime::from_millis(30_010));
        assert_eq!(bench.at(30_010, |client, cx| client.wake(cx)), ["c0 close"]);
        let lost = expected.map(|purpose| (purpose, Some(Loss::RequestTimeout)));
        assert_eq!(bench.completions(), lost);
    }
}

#[test]
fn a_lost_connection_wants_metadata_and_waits_before_it_connects_again() {
    let mut bench = Bench::ready();
    bench.client.metadata.rebootstrap();
    bench.at(500, |client, cx| client.poll(cx));
    bench.at(600, |client, cx| client.on_closed(cx, ConnectionId(0)));
    assert_eq!(bench.at(649, |client, cx| assert!(!client.ready(cx, BrokerId(1)))), [""; 0]);
    assert!(bench.client.deadline() <= SimTime::from_millis(650));
    let connects = bench.at(650, |client, cx| assert!(!client.ready(cx, BrokerId(1))));
    assert_eq!(connects, ["c1 connect 1"]);
    // The refresh that was in flight failed: the next one keeps the pace.
    assert_eq!(bench.client.metadata().next_update(), SimTime::from_millis(700));
}

#[test]
fn an_attempt_to_connect_is_given_up() {
    let mut bench = Bench::new(1..=1);
    bench.at(0, |client, cx| client.poll(cx));
    assert_eq!(bench.client.deadline(), SimTime::from_millis(10_000));
    assert_eq!(bench.at(10_000, |client, cx| client.wake(cx)), ["c0 close"]);
    assert_eq!(bench.at(10_050, |client, cx| client.poll(cx)), [""; 0]);
    assert_eq!(bench.at(10_100, |client, cx| client.poll(cx)), ["c1 connect 1"]);
}

#[test]
fn metadata_older_than_the_known_leader_epoch_is_dropped() {
    let mut bench = Bench::ready();
    let leader = |bench: &Bench| {
        bench.client.metadata().partition(TopicPartition::new(0, 0)).and_then(|it| it.leader)
    };
    bench.client.request_update();
    assert_eq!(bench.at(101, |client, cx| client.poll(cx)), ["c0 Metadata #1"]);
    bench.metadata(1, &[(2, 4)]);
    assert_eq!(leader(&bench), Some(BrokerId(1)));
    bench.client.request_update();
    bench.at(201, |client, cx| client.poll(cx));
    bench.metadata(2, &[(2, 6)]);
    assert_eq!(leader(&bench), Some(BrokerId(2)));
    let newer = CurrentLeader { leader: BrokerId(3), leader_epoch: LeaderEpoch(7) };
    assert!(bench.client.update_leadership(TopicPartition::new(0, 0), newer));
    assert!(!bench.client.update_leadership(TopicPartition::new(0, 0), newer));
    assert_eq!(leader(&bench), Some(BrokerId(3)));
}

#[test]
fn due_metadata_goes_before_other_requests() {
    let mut bench = Bench::ready();
    bench.client.request_update();
    bench.at(50, |client, cx| assert!(client.ready(cx, BrokerId(1))));
    bench.at(101, |client, cx| assert!(!client.ready(cx, BrokerId(1))));
    assert_eq!(bench.at(101, |client, cx| client.poll(cx)), ["c0 Metadata #1"]);
    bench.at(101, |client, cx| assert!(client.ready(cx, BrokerId(1))));
}

#[test]
fn metadata_comes_from_the_broker_with_the_fewest_requests() {
    let mut bench = Bench::ready();
    bench.at(5, |client, cx| assert!(!client.ready(cx, BrokerId(2))));
    bench.at(6, |client, cx| {
        client.on_connected(ConnectionId(1));
        client.send(cx, BrokerId(1), any_request(), 1);
    });
    for _ in 0..20 {
        bench.at(10, |client, cx| assert_eq!(client.least_loaded(cx), Some(BrokerId(2))));
    }
}

#[test]
fn since_4_0_a_client_that_reaches_nobody_starts_over_from_its_bootstrap_list() {
    for (version, starts_over) in
        [(KafkaVersion::new(3, 9, 0), false), (KafkaVersion::new(4, 0, 0), true)]
    {
        let mut bench = Bench::ready();
        bench.client.config.rules = ProtocolRules::of(version);
        // Everybody that the newest answer named is gone.
        bench.client.metadata = {
            let mut metadata = bench.client.metadata.clone();
            let mut rng = NodeRng::for_test(1);
            let only = MetadataResponse {
                brokers: vec![(BrokerId(2), NodeId(2))],
                partitions: Vec::new(),
            };
            metadata.update(&only, &[TOPIC], SimTime::from_millis(300), &mut rng);
            metadata
        };
        bench.at(400, |client, cx| client.poll(cx));
        bench.at(401, |client, cx| client.on_closed(cx, ConnectionId(1)));
        bench.at(501, |client, cx| client.poll(cx));
        bench.at(502, |client, cx| client.on_closed(cx, ConnectionId(2)));
        // Broker 2 backs off; broker 1, of the bootstrap list, is connected.
        let asked = bench.at(602, |client, cx| {
            client.nodes[1].last_connect_attempt = Some(SimTime::from_millis(600));
            client.poll(cx);
        });
        assert_eq!(asked.len(), usize::from(starts_over), "{version}: {asked:?}");
    }
}
