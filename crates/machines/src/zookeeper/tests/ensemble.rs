//! Elections, crashes and cuts of servers.

use super::network::{Fault, Network, path};
use crate::zookeeper::ZooKeeperServer;
use crate::zookeeper::client::ZooKeeperLibrary;
use acklab_vocab::api::{ZooKeeperOperation, ZooKeeperReply};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{TraceEvent, ZooKeeperState};
use acklab_vocab::zookeeper::{CreateMode, ZnodeData, ZooKeeperError};

fn create(text: &str, mode: CreateMode) -> ZooKeeperOperation {
    ZooKeeperOperation::Create { path: path(text), data: ZnodeData::Empty, mode }
}

/// Who was elected, in which epoch, and when.
fn elections(network: &Network) -> Vec<(SimTime, u16, u32)> {
    let election = |(at, fact): &(SimTime, TraceEvent)| match fact {
        TraceEvent::ZooKeeperLeaderElected { server, epoch } => Some((*at, server.0, *epoch)),
        _ => None,
    };
    network.facts.iter().filter_map(election).collect()
}

fn serving(network: &Network, servers: usize) -> usize {
    let serves = |&index: &usize| network.server(index).is_some_and(ZooKeeperServer::is_serving);
    (0..servers).filter(serves).count()
}

#[test]
fn an_empty_ensemble_elects_the_highest_id() {
    for seed in 0..20 {
        for servers in [1, 3, 5] {
            let mut network = Network::new(servers, seed);
            network.run_until(3_000);
            assert_eq!(network.leaders(), [servers - 1], "{servers} servers, seed {seed}");
            assert_eq!(serving(&network, servers), servers);
            let [(at, _, epoch)] = elections(&network)[..] else { panic!("one election") };
            assert_eq!(epoch, 1);
            let waited = if servers == 1 { 0 } else { 200 };
            assert!(at >= SimTime::from_millis(waited), "{at}");
        }
    }
}

#[test]
fn the_death_of_the_leader_costs_neither_sessions_nor_znodes() {
    for fault in [Fault::Kill as fn(usize) -> Fault, Fault::PowerLoss] {
        let mut network = Network::new(3, 3);
        network.run_until(3_000);
        let client = network.add_client(ZooKeeperLibrary::Java, SimDuration::from_secs(6));
        network.run_until(3_500);
        network.ask(client, 1, create("/controller", CreateMode::Ephemeral));
        network.run_until(4_000);
        let session = network.client(client).session();
        network.fault(fault(2));
        network.run_until(6_500);
        assert_eq!(network.leaders(), [1], "the other with the newest transaction, by its id");
        network.run_until(25_000);
        assert_eq!(network.client(client).session(), session);
        assert_eq!(network.client(client).state(), ZooKeeperState::Connected);
        assert_eq!(network.endings(), []);
        network.fault(Fault::Restart(2));
        network.run_until(28_000);
        assert_eq!(network.leaders(), [1], "who comes back follows");
        assert_eq!(serving(&network, 3), 3);
        let tree = network.server(2).unwrap().tree();
        assert_eq!(tree, network.server(1).unwrap().tree());
        assert_eq!(tree.get(&path("/controller")).unwrap().stat.ephemeral_owner, session);
        assert_eq!(elections(&network).len(), 2);
    }
}

#[test]
fn a_leader_without_its_quorum_stops_serving_within_the_sync_limit() {
    let mut network = Network::new(3, 4);
    network.run_until(3_000);
    let client = network.add_client(ZooKeeperLibrary::Java, SimDuration::from_secs(30));
    while network.server_of(client) != 2 {
        network.fault(Fault::Cut(network.server_of(client), client));
        network.run_until(network.now.0 / 1_000_000 + 500);
        network.fault(Fault::Heal);
        network.run_until(network.now.0 / 1_000_000 + 11_000);
    }
    let cut_at = network.now;
    network.fault(Fault::Cut(2, 0));
    network.fault(Fault::Cut(2, 1));
    network.run_until(cut_at.0 / 1_000_000 + 100);
    network.ask(client, 1, create("/lost", CreateMode::Persistent));
    network.run_until(cut_at.0 / 1_000_000 + 9_000);
    assert_eq!(network.leaders(), [2], "five ticks have not passed");
    assert_eq!(network.reply(client, 1), None, "nothing commits");
    network.run_until(cut_at.0 / 1_000_000 + 14_000);
    assert_eq!(network.leaders(), [1]);
    assert_eq!(network.reply(client, 1), Some(Err(ZooKeeperError::ConnectionLoss)));
    network.run_until(cut_at.0 / 1_000_000 + 30_000);
    network.ask(client, 2, create("/kept", CreateMode::Persistent));
    network.run_until(cut_at.0 / 1_000_000 + 31_000);
    assert!(matches!(network.reply(client, 2), Some(Ok(ZooKeeperReply::Created(..)))));
    network.fault(Fault::Heal);
    network.run_until(cut_at.0 / 1_000_000 + 60_000);
    assert_eq!(serving(&network, 3), 3, "the old leader follows");
    let old = network.server(2).unwrap().tree();
    assert_eq!(old.get(&path("/lost")), None, "what it had logged alone is truncated");
    assert!(old.get(&path("/kept")).is_some());
    assert_eq!(
        network.disk(2).zookeeper_log.last_zxid(),
        network.disk(1).zookeeper_log.last_zxid()
    );
}

#[test]
fn a_follower_that_was_away_is_brought_up_to_date() {
    let mut network = Network::new(3, 5);
    network.run_until(3_000);
    let client = network.add_client(ZooKeeperLibrary::Kazoo, SimDuration::from_secs(6));
    network.run_until(4_000);
    let follower = (network.server_of(client) + 1) % 3;
    let follower = if follower == 2 { (follower + 1) % 3 } else { follower };
    network.fault(Fault::Kill(follower));
    for purpose in 0..20 {
        network.ask(client, purpose, create("/queue-", CreateMode::PersistentSequential));
    }
    network.run_until(5_000);
    network.fault(Fault::Restart(follower));
    network.run_until(9_000);
    assert_eq!(serving(&network, 3), 3);
    assert_eq!(network.server(follower).unwrap().tree(), network.server(2).unwrap().tree());
    let nineteenth = path("/queue-0000000019");
    assert!(network.server(follower).unwrap().tree().get(&nineteenth).is_some());
}

#[test]
fn a_client_is_not_served_by_a_server_that_is_behind_what_it_has_seen() {
    let mut network = Network::new(3, 6);
    network.run_until(3_000);
    let client = network.add_client(ZooKeeperLibrary::Java, SimDuration::from_secs(6));
    network.run_until(4_000);
    let behind = if network.server_of(client) == 0 { 1 } else { 0 };
    network.fault(Fault::Cut(behind, 1 - behind));
    network.fault(Fault::Cut(behind, 2));
    network.ask(client, 1, create("/seen", CreateMode::Persistent));
    network.run_until(4_200);
    assert!(matches!(network.reply(client, 1), Some(Ok(_))));
    let stale = network.server(behind).unwrap().tree();
    assert_eq!(stale.get(&path("/seen")), None);
    network.fault(Fault::Cut(client, 1 - behind));
    network.fault(Fault::Cut(client, 2));
    network.run_until(12_500);
    assert!(network.server(behind).unwrap().is_serving(), "it does not know yet that it is cut");
    assert_eq!(network.client(client).state(), ZooKeeperState::Disconnected);
    assert_eq!(network.states(client).len(), 2, "it was refused, not expired");
}

#[test]
fn a_server_that_was_alone_for_long_finds_the_next_one_at_once() {
    for (patient, late) in [(0, 1), (2, 0)] {
        let mut network = Network::new(3, 8);
        (0..3).filter(|&server| server != patient).for_each(|server| {
            network.fault(Fault::Kill(server));
        });
        network.run_until(300_000);
        assert_eq!(network.leaders(), []);
        network.fault(Fault::Restart(late));
        network.run_until(303_000);
        assert_eq!(network.leaders(), [patient.max(late)], "{patient} waits up to a minute");
    }
}

#[test]
fn power_lost_everywhere_costs_nothing_committed() {
    let mut network = Network::new(3, 7);
    network.run_until(3_000);
    let client = network.add_client(ZooKeeperLibrary::Java, SimDuration::from_secs(40));
    network.run_until(4_000);
    network.ask(client, 1, create("/durable", CreateMode::Persistent));
    network.run_until(4_100);
    assert!(matches!(network.reply(client, 1), Some(Ok(_))));
    (0..3).for_each(|server| network.fault(Fault::PowerLoss(server)));
    network.run_until(5_000);
    (0..3).for_each(|server| network.fault(Fault::Restart(server)));
    network.run_until(15_000);
    assert_eq!(serving(&network, 3), 3);
    for server in 0..3 {
        assert!(network.server(server).unwrap().tree().get(&path("/durable")).is_some());
    }
    assert_eq!(network.client(client).state(), ZooKeeperState::Connected);
    assert_eq!(network.endings(), [], "a new leader starts every session's clock anew");
}
