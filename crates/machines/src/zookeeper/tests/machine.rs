//! One server alone with what the others tell it: what it asks for, effect by effect.

use super::network::{config, path};
use crate::disk::{Disk, FlushId, FlushTarget};
use crate::machine::{Cx, Effect, Input, Machine, Outbox};
use crate::rng::NodeRng;
use crate::zookeeper::{NoReport, ZooKeeperServer, ZooKeeperServerSetup, ZooKeeperTimer};
use acklab_vocab::api::*;
use acklab_vocab::ids::*;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::TraceEvent;
use acklab_vocab::zookeeper::{CreateMode, SessionId, ZnodeData, Zxid};
use std::sync::Arc;

type Effects = Vec<Effect<ZooKeeperTimer, NoReport>>;

/// Server 2 of three.
struct Bench {
    now: SimTime,
    rng: NodeRng,
    disk: Disk,
    outbox: Outbox<ZooKeeperTimer, NoReport>,
    server: ZooKeeperServer,
}

/// The connection that a server has opened to this one.
const fn from(server: u16) -> ConnectionId {
    ConnectionId(1_000 + server as u32)
}

impl Bench {
    fn new(disk: Disk) -> (Bench, Effects) {
        let (mut rng, mut disk, mut outbox) = (NodeRng::for_test(1), disk, Outbox::default());
        let setup = ZooKeeperServerSetup {
            id: ZooKeeperServerId(2),
            config: Arc::new(config()),
            ensemble: (1..=3).map(|id| (ZooKeeperServerId(id), NodeId(id))).collect(),
        };
        let now = SimTime::ZERO;
        let mut cx = Cx::new(now, NodeId(2), &mut rng, &mut disk, &mut outbox);
        let server = ZooKeeperServer::boot(&mut cx, setup);
        let effects = std::mem::take(&mut outbox.effects);
        (Bench { now, rng, disk, outbox, server }, effects)
    }

    fn input(&mut self, input: Input<ZooKeeperTimer, crate::zookeeper::NoCall>) -> Effects {
        let Bench { now, rng, disk, outbox, server } = self;
        server.handle(&mut Cx::new(*now, NodeId(2), rng, disk, outbox), input);
        std::mem::take(&mut outbox.effects)
    }

    fn hears(&mut self, server: u16, link: u64, packet: PeerPacket) -> Effects {
        let message = ZooKeeperPeerMessage { from: ZooKeeperServerId(server), link, packet };
        self.input(Input::Request {
            connection: from(server),
            correlation: CorrelationId(0),
            from: NodeId(server),
            request: Box::new(Request::ZooKeeperPeer(message)),
        })
    }

    /// Another server votes, for one with the same newest transaction as this.
    fn votes(&mut self, server: u16, leader: u16, state: PeerState) -> Effects {
        let packet = PeerPacket::Notification {
            leader: ZooKeeperServerId(leader),
            zxid: self.disk.zookeeper_log.last_zxid(),
            round: 1,
            peer_epoch: 0,
            state,
        };
        self.hears(server, 0, packet)
    }

    fn time(&mut self, millis: i64, timer: ZooKeeperTimer) -> Effects {
        self.now = SimTime::from_millis(millis);
        self.input(Input::Timer(timer))
    }

    fn flushed(&mut self, effects: &Effects) -> Effects {
        let flush = effects.iter().find_map(|effect| match effect {
            Effect::Flush(id, FlushTarget::ZooKeeperLog) => Some(*id),
            _ => None,
        });
        let id: FlushId = flush.expect("a flush");
        let extent = self.disk.extent(FlushTarget::ZooKeeperLog);
        self.disk.mark_flushed(FlushTarget::ZooKeeperLog, extent);
        self.input(Input::Flushed(id))
    }

    fn serves(&self) -> bool {
        self.server.is_serving()
    }
}

/// The packets among the effects, with their links.
fn packets(effects: &Effects) -> Vec<(u64, PeerPacket)> {
    let packet = |effect: &Effect<_, _>| match effect {
        Effect::Send(_, Frame::Request(_, request)) => match &**request {
            Request::ZooKeeperPeer(message) => Some((message.link, message.packet.clone())),
            other => panic!("{other:?}"),
        },
        _ => None,
    };
    effects.iter().filter_map(packet).collect()
}

fn transaction(zxid: Zxid, name: &str) -> Arc<ZooKeeperTransaction> {
    let create = ZooKeeperOperation::Create {
        path: path(name),
        data: ZnodeData::Empty,
        mode: CreateMode::Persistent,
    };
    let origin = (ZooKeeperServerId(3), 1);
    let change = ZooKeeperChange::Write(vec![create]);
    Arc::new(ZooKeeperTransaction { zxid, session: SessionId(1), origin, change })
}

/// A follower of server 3 that has been asked to say what it has promised; and its link.
fn follower(disk: Disk) -> (Bench, u64) {
    let (mut bench, effects) = Bench::new(disk);
    let connect = |id, node| {
        let endpoint = Endpoint { node: NodeId(node), listener: Listener::ZooKeeperPeer };
        Effect::Connect(ConnectionId(id), endpoint)
    };
    assert_eq!(effects[0], connect(0, 1));
    assert_eq!(effects[2], connect(1, 3));
    bench.input(Input::Connected(ConnectionId(0)));
    bench.input(Input::Connected(ConnectionId(1)));
    let told = bench.votes(3, 3, PeerState::Looking);
    let votes: Vec<_> = packets(&told)
        .into_iter()
        .map(|(_, packet)| match packet {
            PeerPacket::Notification { leader, .. } => leader.0,
            other => panic!("{other:?}"),
        })
        .collect();
    // Its last vote, since the connection is new; then to everybody that it votes for the better.
    assert_eq!(votes, [2, 3, 3]);
    assert!(told.contains(&Effect::SetTimer(ZooKeeperTimer::Election, SimTime::from_millis(200))));
    let effects = bench.time(200, ZooKeeperTimer::Election);
    let [(link, PeerPacket::FollowerInfo { accepted_epoch: 0, .. })] = packets(&effects)[..] else {
        panic!("{effects:?}")
    };
    (bench, link)
}

#[test]
fn a_follower_acknowledges_what_is_durable_and_nothing_else() {
    let (mut bench, link) = follower(Disk::default());
    let effects = bench.hears(3, link, PeerPacket::LeaderInfo { epoch: 1 });
    let promise = PeerPacket::AckEpoch { last_zxid: Zxid::default(), current_epoch: Some(0) };
    assert_eq!(packets(&effects), [(link, promise)]);
    assert_eq!(bench.disk.zookeeper_epochs.accepted, 1);

    let history = vec![transaction(Zxid::new(0, 1), "/old")];
    let truncate_to = Zxid::default();
    let sync = PeerPacket::Synchronize { truncate_to, transactions: history, epoch: 1 };
    let effects = bench.hears(3, link, sync);
    assert_eq!(packets(&effects), [], "the history is not durable");
    assert_eq!(bench.disk.zookeeper_epochs.current, 0);
    let effects = bench.flushed(&effects);
    assert_eq!(packets(&effects), [(link, PeerPacket::AckNewLeader { epoch: 1 })]);
    assert_eq!(bench.disk.zookeeper_epochs.current, 1);
    assert!(!bench.serves());
    bench.hears(3, link, PeerPacket::UpToDate { committed: Zxid::new(0, 1) });
    assert!(bench.serves());
    assert!(bench.server.tree().get(&path("/old")).is_some());

    let (first, second) = (Zxid::new(1, 1), Zxid::new(1, 2));
    let proposed = bench.hears(3, link, PeerPacket::Proposal(transaction(first, "/new")));
    assert_eq!(packets(&proposed), []);
    let more = bench.hears(3, link, PeerPacket::Proposal(transaction(second, "/newer")));
    assert!(!more.iter().any(|effect| matches!(effect, Effect::Flush(..))), "one flush at a time");
    let effects = bench.flushed(&proposed);
    assert_eq!(packets(&effects), [(link, PeerPacket::Ack(second))]);
    assert_eq!(bench.server.tree().get(&path("/new")), None, "logged is not committed");
    bench.hears(3, link, PeerPacket::Commit(first));
    assert!(bench.server.tree().get(&path("/new")).is_some());
    assert_eq!(bench.server.tree().get(&path("/newer")), None);
}

#[test]
fn a_server_refuses_a_client_that_has_seen_more_or_that_comes_too_early() {
    let connect = |last_zxid_seen| {
        let timeout = SimDuration::from_secs(6);
        let session = Some(SessionId(5));
        let client = NodeId(50);
        let request = ZooKeeperRequest::Connect { session, timeout, last_zxid_seen, client };
        Input::Request {
            connection: ConnectionId(5_000),
            correlation: CorrelationId(0),
            from: client,
            request: Box::new(Request::ZooKeeper(request)),
        }
    };
    let refused = [Effect::Close(ConnectionId(5_000))];
    let (mut bench, link) = follower(Disk::default());
    assert_eq!(bench.input(connect(Zxid::default())), refused, "it does not serve");
    bench.hears(3, link, PeerPacket::LeaderInfo { epoch: 1 });
    let transactions = vec![transaction(Zxid::new(0, 1), "/old")];
    let truncate_to = Zxid::default();
    let sync = PeerPacket::Synchronize { truncate_to, transactions, epoch: 1 };
    let effects = bench.hears(3, link, sync);
    bench.flushed(&effects);
    bench.hears(3, link, PeerPacket::UpToDate { committed: Zxid::new(0, 1) });
    assert_eq!(bench.input(connect(Zxid::new(0, 2))), refused, "it is behind");
    let effects = bench.input(connect(Zxid::new(0, 1)));
    let [(_, PeerPacket::Forward { session, request, .. })] = &packets(&effects)[..] else {
        panic!("{effects:?}")
    };
    let timeout = SimDuration::from_secs(6);
    assert_eq!((*session, request), (SessionId(5), &ForwardedRequest::Revalidate { timeout }));
}

#[test]
fn a_follower_ignores_a_link_that_is_over_and_answers_pings_with_its_sessions() {
    let (mut bench, link) = follower(Disk::default());
    for packet in [PeerPacket::LeaderInfo { epoch: 9 }, PeerPacket::Ping] {
        assert_eq!(bench.hears(3, link - 1, packet.clone()), [], "of another link");
        assert_eq!(bench.hears(1, link, packet), [], "of a server that it does not follow");
    }
    let effects = bench.hears(3, link, PeerPacket::Ping);
    assert_eq!(packets(&effects), [(link, PeerPacket::Pong { touched: Vec::new() })]);
}

#[test]
fn an_epoch_that_was_promised_before_does_not_count_again() {
    let (mut bench, link) = follower(Disk::default());
    bench.disk.zookeeper_epochs.accepted = 4;
    let effects = bench.hears(3, link, PeerPacket::LeaderInfo { epoch: 4 });
    let promise = PeerPacket::AckEpoch { last_zxid: Zxid::default(), current_epoch: None };
    assert_eq!(packets(&effects), [(link, promise)]);
    bench.disk.zookeeper_epochs.accepted = 5;
    bench.hears(3, link, PeerPacket::LeaderInfo { epoch: 4 });
    assert_eq!(bench.server.state(), PeerState::Looking, "an older epoch is not followed");
}

#[test]
fn a_follower_whose_leader_does_not_listen_yet_tries_again_a_second_later() {
    let (mut bench, first) = follower(Disk::default());
    for attempt in 1_u64..5 {
        let reason = acklab_vocab::trace::CloseReason::Refused;
        let channel = ConnectionId(if attempt == 1 { 1 } else { attempt as u32 });
        let effects = bench.input(Input::Closed(channel, reason));
        let at = bench.now + SimDuration::from_secs(1);
        let retry = Effect::SetTimer(ZooKeeperTimer::LearnerRetry, at);
        assert!(effects.contains(&retry), "attempt {attempt}: {effects:?}");
        bench.now = at;
        let effects = bench.input(Input::Timer(ZooKeeperTimer::LearnerRetry));
        let Some(Effect::Connect(opened, _)) = effects.first() else { panic!("{effects:?}") };
        assert_eq!(*opened, ConnectionId(attempt as u32 + 1));
        let effects = bench.input(Input::Connected(*opened));
        assert_eq!(packets(&effects)[0].0, first + attempt, "a link of its own");
    }
    let reason = acklab_vocab::trace::CloseReason::Refused;
    bench.input(Input::Closed(ConnectionId(5), reason));
    assert_eq!(bench.server.state(), PeerState::Looking, "five tries are enough");
}

/// A leader whose follower 1 has registered; the effects of that.
fn leader(disk: Disk) -> (Bench, Effects) {
    let (mut bench, _) = Bench::new(disk);
    bench.input(Input::Connected(ConnectionId(0)));
    bench.votes(1, 2, PeerState::Looking);
    let effects = bench.time(200, ZooKeeperTimer::Election);
    assert_eq!(packets(&effects), [], "nobody has registered");
    assert_eq!(bench.server.state(), PeerState::Leading);
    let last_zxid = Zxid::default();
    let info = PeerPacket::FollowerInfo { accepted_epoch: 6, last_zxid };
    let effects = bench.hears(1, 70, info);
    (bench, effects)
}

#[test]
fn a_leader_serves_when_a_quorum_has_its_history() {
    let mut disk = Disk::default();
    disk.zookeeper_log.append(transaction(Zxid::new(0, 1), "/old"));
    let (mut bench, effects) = leader(disk);
    assert_eq!(packets(&effects), [(70, PeerPacket::LeaderInfo { epoch: 7 })]);
    assert_eq!(bench.disk.zookeeper_epochs.accepted, 7);
    let promise =
        |current_epoch| PeerPacket::AckEpoch { last_zxid: Zxid::default(), current_epoch };
    assert_eq!(bench.hears(1, 69, promise(Some(0))), [], "of another link");
    let promised = bench.hears(1, 70, promise(Some(0)));
    let sync = PeerPacket::Synchronize {
        truncate_to: Zxid::default(),
        transactions: vec![transaction(Zxid::new(0, 1), "/old")],
        epoch: 7,
    };
    assert_eq!(packets(&promised), [(70, sync)]);
    assert_eq!(bench.disk.zookeeper_epochs.current, 7);
    bench.hears(1, 70, PeerPacket::AckNewLeader { epoch: 7 });
    assert!(!bench.serves(), "its own history is not durable");
    assert_eq!(bench.outbox.facts, []);
    let effects = bench.flushed(&promised);
    let up_to_date = PeerPacket::UpToDate { committed: Zxid::new(0, 1) };
    assert_eq!(packets(&effects), [(70, up_to_date)]);
    assert!(bench.server.is_leader());
    let server = ZooKeeperServerId(2);
    let elected = TraceEvent::ZooKeeperLeaderElected { server, epoch: 7 };
    assert_eq!(bench.outbox.facts.first().map(|(_, fact)| fact), Some(&elected));
}

#[test]
fn a_leader_alone_with_its_history_does_not_serve() {
    let (mut bench, _) = leader(Disk::default());
    let last_zxid = Zxid::default();
    let promise = PeerPacket::AckEpoch { last_zxid, current_epoch: Some(0) };
    bench.hears(1, 70, promise);
    assert!(!bench.serves(), "its follower has not said that it has the history");
    bench.hears(1, 70, PeerPacket::AckNewLeader { epoch: 6 });
    assert!(!bench.serves(), "of another epoch");
    bench.time(20_200, ZooKeeperTimer::InitLimit);
    assert_eq!(bench.server.state(), PeerState::Looking);
}

#[test]
fn a_promise_that_does_not_count_makes_no_quorum() {
    let (mut bench, _) = leader(Disk::default());
    let last_zxid = Zxid::default();
    let promise = PeerPacket::AckEpoch { last_zxid, current_epoch: None };
    assert_eq!(packets(&bench.hears(1, 70, promise)), []);
    assert_eq!(bench.disk.zookeeper_epochs.current, 0);
}

#[test]
fn a_leader_does_not_lead_who_is_ahead_of_it() {
    let (mut bench, _) = leader(Disk::default());
    let last_zxid = Zxid::new(0, 5);
    let promise = PeerPacket::AckEpoch { last_zxid, current_epoch: Some(0) };
    let effects = bench.hears(1, 70, promise);
    assert!(effects.contains(&Effect::Close(from(1))), "{effects:?}");
    assert_eq!(bench.disk.zookeeper_epochs.current, 0);
}

#[test]
fn a_write_commits_when_two_of_three_have_it_on_disk() {
    let (mut bench, _) = leader(Disk::default());
    let last_zxid = Zxid::default();
    bench.hears(1, 70, PeerPacket::AckEpoch { last_zxid, current_epoch: Some(0) });
    bench.hears(1, 70, PeerPacket::AckNewLeader { epoch: 7 });
    assert!(bench.server.is_leader());
    let (session, timeout) = (SessionId(9), SimDuration::from_secs(6));
    let request = ForwardedRequest::CreateSession { timeout, client: NodeId(50) };
    let effects = bench.hears(1, 70, PeerPacket::Forward { session, number: 5, request });
    let zxid = Zxid::new(7, 1);
    let [(70, PeerPacket::Proposal(proposed))] = &packets(&effects)[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((proposed.zxid, proposed.origin), (zxid, (ZooKeeperServerId(1), 5)));
    assert_eq!(packets(&bench.hears(1, 70, PeerPacket::Ack(zxid))), [], "the leader has not");
    assert!(!bench.server.tree().has_session(session));
    let effects = bench.flushed(&effects);
    assert_eq!(packets(&effects), [(70, PeerPacket::Commit(zxid))]);
    assert!(bench.server.tree().has_session(session));
    let opened = TraceEvent::ZooKeeperSessionOpened { session, client: NodeId(50), timeout };
    assert_eq!(bench.outbox.facts.last().map(|(_, fact)| fact), Some(&opened));
}
