//! A client alone with what a server tells it.

use super::*;
use crate::disk::Disk;
use crate::machine::{Effect, Outbox};
use crate::rng::NodeRng;
use acklab_vocab::api::{Frame, Listener};
use acklab_vocab::ids::NodeId;
use acklab_vocab::zookeeper::{WatchEventKind, ZnodeData, ZnodePath, ZnodeStat};

type Event = ZooKeeperClientEvent<u32>;

struct Bench {
    now: SimTime,
    rng: NodeRng,
    disk: Disk,
    outbox: Outbox<(), ()>,
    client: ZooKeeperClient<u32>,
}

const fn at(millis: i64) -> SimTime {
    SimTime::from_millis(millis)
}

fn ping() -> ZooKeeperRequest {
    ZooKeeperRequest::Ping
}

fn read(text: &str, watch: bool) -> ZooKeeperRequest {
    let path = ZnodePath::new(text);
    ZooKeeperRequest::Operation(ZooKeeperOperation::GetData { path, watch })
}

fn data() -> ZooKeeperReply {
    let stat = ZnodeStat {
        czxid: Zxid(1),
        mzxid: Zxid(1),
        version: 0,
        cversion: 0,
        ephemeral_owner: None,
    };
    ZooKeeperReply::Data(ZnodeData::Empty, stat)
}

impl Bench {
    fn new(library: ZooKeeperLibrary, servers: u16, timeout: u64) -> Bench {
        let endpoint = |node| Endpoint { node: NodeId(node), listener: Listener::ZooKeeper };
        let setup = ZooKeeperClientSetup {
            library,
            servers: (0..servers).map(endpoint).collect(),
            session_timeout: SimDuration::from_secs(timeout),
        };
        let mut bench = Bench {
            now: SimTime::ZERO,
            rng: NodeRng::for_test(1),
            disk: Disk::default(),
            outbox: Outbox::default(),
            client: ZooKeeperClient::new(setup),
        };
        bench.with(|client, cx| client.start(cx));
        bench
    }

    fn with(&mut self, action: impl FnOnce(&mut ZooKeeperClient<u32>, &mut Cx<'_, (), ()>)) {
        let Bench { now, rng, disk, outbox, client } = self;
        action(client, &mut Cx::new(*now, NodeId(9), rng, disk, outbox));
    }

    fn effects(&mut self) -> Vec<Effect<(), ()>> {
        std::mem::take(&mut self.outbox.effects)
    }

    /// What has been sent since the last time.
    fn sent(&mut self) -> Vec<ZooKeeperRequest> {
        let request = |effect| match effect {
            Effect::Send(_, Frame::Request(_, request)) => match *request {
                Request::ZooKeeper(request) => Some(request),
                other => panic!("{other:?}"),
            },
            _ => None,
        };
        self.effects().into_iter().filter_map(request).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.client.next_event()).collect()
    }

    fn connection(&self) -> ConnectionId {
        self.client.connection().expect("a connection")
    }

    /// The oldest request is answered.
    fn answer(&mut self, response: ZooKeeperResponse) {
        let (connection, correlation) = (self.connection(), self.client.in_flight[0].0);
        self.with(|client, cx| client.on_response(cx, connection, correlation, response));
    }

    fn done(&mut self, zxid: u64, reply: ZooKeeperReply) {
        self.answer(ZooKeeperResponse::Done { zxid: Zxid(zxid), result: Ok(reply) });
    }

    fn opens(&mut self) {
        let connection = self.connection();
        self.with(|client, cx| client.on_connected(cx, connection));
    }

    /// The connection opens, and the server agrees.
    fn connects(&mut self, session: u64, timeout: u64) {
        self.opens();
        let session = Some((SessionId(session), SimDuration::from_secs(timeout)));
        self.answer(ZooKeeperResponse::Connected { session });
    }

    fn closes(&mut self) {
        let connection = self.connection();
        self.with(|client, cx| client.on_closed(cx, connection));
    }

    fn wake(&mut self, millis: i64) {
        self.now = at(millis);
        self.with(|client, cx| client.on_time(cx));
    }

    fn deadline(&self) -> i64 {
        self.client.deadline().0 / 1_000_000
    }
}

#[test]
fn java_pings_after_half_of_its_read_timeout_and_sooner_if_it_wakes_up() {
    let mut bench = Bench::new(ZooKeeperLibrary::Java, 3, 6);
    bench.connects(1, 6);
    assert_eq!(bench.client.negotiated_timeout(), SimDuration::from_secs(6));
    bench.sent();
    assert_eq!(bench.deadline(), 2_000);
    bench.wake(1_999);
    assert_eq!(bench.sent(), []);
    bench.wake(2_000);
    assert_eq!(bench.sent(), [ping()]);
    bench.now = at(2_003);
    bench.done(5, ZooKeeperReply::Ok);
    assert_eq!(bench.deadline(), 4_000);
    bench.now = at(3_500);
    bench.with(|client, cx| client.submit(cx, read("/a", true), 1));
    assert_eq!(bench.sent(), [read("/a", true)], "anything sent is a sign of life");
    bench.now = at(3_505);
    bench.done(5, data());
    assert_eq!(bench.deadline(), 5_500);
    bench.now = at(4_600);
    let event = WatchEvent { kind: WatchEventKind::NodeDataChanged, path: ZnodePath::new("/a") };
    let connection = bench.connection();
    let response = ZooKeeperResponse::Watch(event.clone());
    bench.with(|client, cx| client.on_response(cx, connection, WATCH_CORRELATION, response));
    assert_eq!(bench.sent(), [ping()], "it has been silent for more than a second");
    assert_eq!(bench.events().last(), Some(&Event::Watch(event)));
}

#[test]
fn java_wakes_up_a_second_early_once_it_has_been_silent_for_one() {
    let mut bench = Bench::new(ZooKeeperLibrary::Java, 1, 18);
    bench.connects(1, 18);
    assert_eq!(bench.deadline(), 6_000);
    bench.now = at(100);
    bench.with(|client, cx| client.submit(cx, read("/a", false), 1));
    bench.now = at(3_100);
    bench.done(5, data());
    assert_eq!(bench.deadline(), 5_100, "6 s after the request, less a second");
}

#[test]
fn java_gives_a_connection_up_that_is_silent_for_two_thirds_of_the_timeout() {
    let mut bench = Bench::new(ZooKeeperLibrary::Java, 3, 6);
    bench.connects(1, 6);
    bench.with(|client, cx| client.submit(cx, read("/a", false), 1));
    bench.with(|client, cx| client.submit(cx, read("/b", false), 2));
    bench.events();
    while bench.client.state() == ZooKeeperState::Connected {
        bench.wake(bench.deadline());
    }
    assert_eq!(bench.now, at(4_000));
    let lost = Err(ZooKeeperError::ConnectionLoss);
    let expected = [
        Event::Reply(1, lost.clone()),
        Event::Reply(2, lost),
        Event::State(ZooKeeperState::Disconnected),
    ];
    assert_eq!(bench.events(), expected);
    assert!((4_000..5_000).contains(&bench.deadline()), "up to a second before the next server");
    assert_eq!(bench.client.session(), Some(SessionId(1)));
}

#[test]
fn java_asks_each_server_for_its_share_of_the_timeout_and_pauses_after_a_round() {
    let mut bench = Bench::new(ZooKeeperLibrary::Java, 3, 6);
    let mut asked = Vec::new();
    let mut begun = Vec::new();
    while asked.len() < 6 {
        for effect in bench.effects() {
            if let Effect::Connect(_, endpoint) = effect {
                asked.push(endpoint.node.0);
                begun.push(bench.now.0 / 1_000_000);
            }
        }
        bench.wake(bench.deadline());
    }
    assert_eq!(asked[..3], asked[3..], "in the same order again");
    // Nothing has ever been connected, so there is no jitter yet.
    assert_eq!(begun, [0, 2_000, 4_000, 7_000, 9_000, 11_000]);
}

#[test]
fn java_fails_what_waits_with_the_attempt_and_keeps_what_is_to_be_asked_again() {
    let mut bench = Bench::new(ZooKeeperLibrary::Java, 3, 6);
    bench.with(|client, cx| client.submit(cx, read("/a", false), 1));
    bench.with(|client, cx| client.submit_until_connected(cx, read("/b", false), 2));
    bench.closes();
    assert_eq!(bench.events(), [Event::Reply(1, Err(ZooKeeperError::ConnectionLoss))]);
    bench.wake(bench.deadline());
    bench.effects();
    bench.connects(1, 6);
    assert_eq!(bench.sent()[1..], [read("/b", false)]);
    bench.closes();
    assert_eq!(bench.events().len(), 2, "connected, disconnected, and no answer");
    while bench.client.connection().is_none() {
        bench.wake(bench.deadline());
    }
    bench.effects();
    bench.connects(1, 6);
    assert_eq!(bench.sent()[1..], [read("/b", false)], "again");
    bench.done(7, data());
    assert_eq!(bench.events()[1..], [Event::Reply(2, Ok(data()))]);
}

#[test]
fn java_sets_its_watches_again_before_anything_else() {
    let mut bench = Bench::new(ZooKeeperLibrary::Java, 3, 6);
    bench.connects(1, 6);
    bench.with(|client, cx| client.submit(cx, read("/a", true), 1));
    bench.with(|client, cx| client.submit(cx, read("/b", true), 2));
    bench.done(7, data());
    let result = Err(ZooKeeperError::NoNode);
    bench.answer(ZooKeeperResponse::Done { zxid: Zxid(8), result });
    bench.closes();
    while bench.client.connection().is_none() {
        bench.wake(bench.deadline());
    }
    bench.with(|client, cx| client.submit(cx, read("/c", false), 3));
    bench.effects();
    bench.connects(1, 6);
    let connect = ZooKeeperRequest::Connect {
        session: Some(SessionId(1)),
        timeout: SimDuration::from_secs(6),
        last_zxid_seen: Zxid(8),
        client: NodeId(9),
    };
    let again = ZooKeeperRequest::SetWatches {
        relative_zxid: Zxid(8),
        data: vec![ZnodePath::new("/a")],
        exist: Vec::new(),
        child: Vec::new(),
    };
    assert_eq!(bench.sent(), [connect, again, read("/c", false)]);
}

#[test]
fn an_expired_session_ends_javas_client_and_begins_kazoos_anew() {
    for library in [ZooKeeperLibrary::Java, ZooKeeperLibrary::Kazoo] {
        let mut bench = Bench::new(library, 3, 6);
        bench.connects(1, 6);
        bench.closes();
        while bench.client.connection().is_none() {
            bench.wake(bench.deadline());
        }
        bench.opens();
        bench.events();
        bench.answer(ZooKeeperResponse::Connected { session: None });
        assert_eq!(bench.events(), [Event::State(ZooKeeperState::Expired)]);
        assert_eq!(bench.client.session(), None);
        bench.with(|client, cx| client.submit(cx, read("/a", false), 1));
        let expired = Err(ZooKeeperError::SessionExpired);
        assert_eq!(bench.events(), [Event::Reply(1, expired)]);
        if library == ZooKeeperLibrary::Java {
            assert_eq!(bench.client.deadline(), SimTime::NEVER);
            bench.with(|client, cx| client.restart(cx));
        }
        while bench.client.connection().is_none() {
            bench.wake(bench.deadline());
        }
        bench.effects();
        bench.opens();
        let connect = ZooKeeperRequest::Connect {
            session: None,
            timeout: SimDuration::from_secs(6),
            last_zxid_seen: Zxid(0),
            client: NodeId(9),
        };
        assert_eq!(bench.sent(), [connect]);
    }
}

#[test]
fn what_arrived_during_a_pause_is_read_before_the_clock() {
    for arrives in [true, false] {
        let mut bench = Bench::new(ZooKeeperLibrary::Java, 3, 6);
        bench.connects(1, 6);
        bench.wake(2_000);
        assert_eq!(bench.sent().last(), Some(&ping()));
        bench.wake(7_000);
        assert_eq!(bench.client.state(), ZooKeeperState::Connected, "it looks at its socket first");
        assert_eq!(bench.deadline(), 7_000);
        if arrives {
            bench.done(1, ZooKeeperReply::Ok);
            assert_eq!(bench.sent(), [ping()]);
        }
        bench.wake(7_000);
        let alive = bench.client.state() == ZooKeeperState::Connected;
        assert_eq!(alive, arrives);
    }
}

#[test]
fn kazoo_pings_a_little_before_a_third_of_the_timeout_and_drops_at_the_next() {
    let mut pings = Vec::new();
    for seed in 0..50 {
        let mut bench = Bench::new(ZooKeeperLibrary::Kazoo, 3, 6);
        bench.rng = NodeRng::for_test(seed);
        bench.connects(1, 6);
        bench.sent();
        let first = bench.deadline();
        pings.push(first);
        bench.wake(first);
        assert_eq!(bench.sent(), [ping()]);
        let second = bench.deadline();
        assert!((1_600..=2_000).contains(&(second - first)), "{first} {second}");
        bench.wake(second);
        assert_eq!(bench.client.state(), ZooKeeperState::Disconnected);
        assert_eq!(bench.effects().len(), 2, "closed; the next server at once");
    }
    assert!(pings.iter().all(|at| (1_600..=2_000).contains(at)), "{pings:?}");
    assert!(pings.iter().any(|&at| at < 1_700) && pings.iter().any(|&at| at > 1_900));
}

#[test]
fn kazoo_tries_a_round_of_servers_without_a_pause_and_then_waits_longer_each_time() {
    let mut bench = Bench::new(ZooKeeperLibrary::Kazoo, 3, 6);
    let mut waits = Vec::new();
    for _ in 0..4 {
        for _ in 0..3 {
            bench.closes();
        }
        waits.push(bench.deadline() - bench.now.0 / 1_000_000);
        bench.wake(bench.deadline());
    }
    for (wait, least) in waits.iter().zip([100, 200, 400, 800]) {
        assert!((least..=least + 800).contains(wait), "{waits:?}");
    }
}

#[test]
fn closing_waits_for_the_server_or_for_nothing() {
    let mut bench = Bench::new(ZooKeeperLibrary::Java, 3, 6);
    bench.connects(1, 6);
    bench.sent();
    bench.events();
    bench.with(|client, cx| client.submit(cx, read("/a", false), 1));
    bench.with(ZooKeeperClient::close);
    assert_eq!(bench.sent(), [read("/a", false), ZooKeeperRequest::CloseSession]);
    bench.done(3, data());
    bench.done(4, ZooKeeperReply::Ok);
    assert_eq!(bench.events(), [Event::Reply(1, Ok(data())), Event::Closed]);
    assert_eq!(bench.client.deadline(), SimTime::NEVER);
    bench.with(|client, cx| client.submit(cx, read("/b", false), 2));
    let lost = Err(ZooKeeperError::ConnectionLoss);
    assert_eq!(bench.events(), [Event::Reply(2, lost)]);

    let mut bench = Bench::new(ZooKeeperLibrary::Java, 1, 6);
    bench.connects(1, 6);
    bench.closes();
    bench.events();
    bench.with(ZooKeeperClient::close);
    assert_eq!(bench.events(), [Event::Closed], "there is nobody to tell");
}
