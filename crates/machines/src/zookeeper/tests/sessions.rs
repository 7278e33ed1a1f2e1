//! Sessions and watches, through pauses, cuts and moves to other servers.

use super::network::{Fault, Network, path};
use crate::zookeeper::client::ZooKeeperLibrary;
use acklab_vocab::api::{ZooKeeperOperation, ZooKeeperReply, ZooKeeperRequest};
use acklab_vocab::ids::BrokerId;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::ZooKeeperState;
use acklab_vocab::zookeeper::{CreateMode, WatchEvent, WatchEventKind, ZnodeData, ZooKeeperError};

const SIX_SECONDS: SimDuration = SimDuration::from_secs(6);

fn create(text: &str, mode: CreateMode) -> ZooKeeperOperation {
    ZooKeeperOperation::Create { path: path(text), data: ZnodeData::Empty, mode }
}

fn set(text: &str, broker: u16, version: Option<u32>) -> ZooKeeperOperation {
    let data = ZnodeData::Controller { broker: BrokerId(broker) };
    ZooKeeperOperation::SetData { path: path(text), data, version }
}

fn get(text: &str, watch: bool) -> ZooKeeperOperation {
    ZooKeeperOperation::GetData { path: path(text), watch }
}

fn told(kind: WatchEventKind, text: &str) -> WatchEvent {
    WatchEvent { kind, path: path(text) }
}

const fn millis(at: SimTime) -> i64 {
    at.0 / 1_000_000
}

/// An ensemble at work, and two clients with a session of 6 s, at 4 s.
fn two_clients(servers: usize, seed: u64, library: ZooKeeperLibrary) -> (Network, usize, usize) {
    let mut network = Network::new(servers, seed);
    network.run_until(3_000);
    let one = network.add_client(library, SIX_SECONDS);
    let other = network.add_client(library, SIX_SECONDS);
    network.run_until(4_000);
    for client in [one, other] {
        assert_eq!(network.client(client).state(), ZooKeeperState::Connected);
        assert_eq!(network.client(client).negotiated_timeout(), SIX_SECONDS);
    }
    (network, one, other)
}

#[test]
fn an_idle_client_keeps_its_session() {
    for library in [ZooKeeperLibrary::Java, ZooKeeperLibrary::Kazoo] {
        for servers in [1, 3] {
            let (mut network, one, other) = two_clients(servers, 1, library);
            network.run_until(120_000);
            assert_eq!(network.endings(), []);
            assert_eq!(network.states(one).len(), 1, "{library:?}: never disconnected");
            assert_eq!(network.states(other).len(), 1);
        }
    }
}

#[test]
fn a_paused_client_loses_its_session_between_its_timeout_and_a_tick_more() {
    for library in [ZooKeeperLibrary::Java, ZooKeeperLibrary::Kazoo] {
        for seed in 0..10 {
            let (mut network, one, other) = two_clients(3, seed, library);
            network.ask(one, 1, create("/owner", CreateMode::Ephemeral));
            network.run_until(4_100);
            network.ask(other, 2, get("/owner", true));
            network.run_until(10_000);
            network.fault(Fault::Pause(one));
            network.run_until(25_000);
            let [(ended, true)] = network.endings()[..] else { panic!("one has expired") };
            // The last ping is up to 3 s old; the leader hears of it up to a second later.
            let after = millis(ended) - 10_000;
            assert!(
                (6_000 - 3_000..=8_000 + 1_100).contains(&after),
                "{library:?} {seed}: {after}"
            );
            assert_eq!(network.watches(other), [told(WatchEventKind::NodeDeleted, "/owner")]);
            assert_eq!(network.client(one).state(), ZooKeeperState::Connected, "it does not know");
            network.fault(Fault::Resume(one));
            network.run_until(45_000);
            let states: Vec<_> = network.states(one).into_iter().map(|(_, state)| state).collect();
            let expired = [
                ZooKeeperState::Connected,
                ZooKeeperState::Disconnected,
                ZooKeeperState::Expired,
                ZooKeeperState::Connected,
            ];
            match library {
                ZooKeeperLibrary::Java => assert_eq!(states, expired[..3]),
                ZooKeeperLibrary::Kazoo => assert_eq!(states, expired, "it begins anew by itself"),
            }
            if library == ZooKeeperLibrary::Java {
                network.ask(one, 3, get("/owner", false));
                assert_eq!(network.reply(one, 3), Some(Err(ZooKeeperError::SessionExpired)));
                network.with_client(one, |client, cx| client.restart(cx));
                network.run_until(60_000);
                assert_eq!(network.client(one).state(), ZooKeeperState::Connected);
            }
        }
    }
}

#[test]
fn a_pause_shorter_than_the_timeout_costs_nothing() {
    for library in [ZooKeeperLibrary::Java, ZooKeeperLibrary::Kazoo] {
        let (mut network, one, _) = two_clients(3, 2, library);
        network.run_until(10_000);
        network.fault(Fault::Pause(one));
        network.run_until(12_500);
        network.fault(Fault::Resume(one));
        network.run_until(60_000);
        assert_eq!(network.endings(), []);
        assert_eq!(network.states(one).len(), 1, "{library:?}: not even disconnected");
    }
}

#[test]
fn a_client_cut_from_its_server_goes_on_with_its_session_at_another() {
    for library in [ZooKeeperLibrary::Java, ZooKeeperLibrary::Kazoo] {
        for seed in 0..5 {
            let mut network = Network::new(3, seed);
            network.run_until(3_000);
            let client = network.add_client(library, SimDuration::from_secs(18));
            network.run_until(4_000);
            network.ask(client, 1, create("/owner", CreateMode::Ephemeral));
            network.run_until(5_000);
            let session = network.client(client).session();
            let first = network.server_of(client);
            network.fault(Fault::Cut(first, client));
            network.run_until(40_000);
            assert_ne!(network.server_of(client), first);
            assert_eq!(network.client(client).session(), session, "{library:?} {seed}");
            assert_eq!(network.endings(), []);
            let states: Vec<_> = network.states(client);
            assert_eq!(states.len(), 3, "{states:?}");
            // Java: two thirds of the timeout; kazoo: up to two waits of a third.
            let noticed = millis(states[1].0) - 5_000;
            assert!((9_000..=18_000).contains(&noticed), "{library:?} {seed}: {noticed}");
        }
    }
}

#[test]
fn closing_a_session_deletes_its_znodes_at_once() {
    let (mut network, one, other) = two_clients(3, 3, ZooKeeperLibrary::Java);
    network.ask(one, 1, create("/owner", CreateMode::Ephemeral));
    network.run_until(4_100);
    network.ask(other, 2, get("/owner", true));
    network.run_until(4_200);
    network.with_client(one, |client, cx| client.close(cx));
    network.run_until(4_300);
    let [(ended, false)] = network.endings()[..] else { panic!("it was closed") };
    assert!(millis(ended) < 4_250, "{ended}");
    assert_eq!(network.watches(other), [told(WatchEventKind::NodeDeleted, "/owner")]);
    network.run_until(30_000);
    assert_eq!(network.endings().len(), 1);
    assert_eq!(network.states(one).len(), 1, "a close is no loss");
}

#[test]
fn a_watch_fires_once_and_before_any_answer_that_shows_it() {
    let (mut network, one, other) = two_clients(3, 4, ZooKeeperLibrary::Java);
    network.ask(one, 1, create("/topic", CreateMode::Persistent));
    network.run_until(4_100);
    network.ask(other, 2, get("/topic", true));
    network.run_until(4_200);
    network.ask(one, 3, set("/topic", 1, None));
    network.ask(one, 4, set("/topic", 2, Some(1)));
    for purpose in 100..140 {
        network.ask(other, purpose, get("/topic", false));
        network.run_until(4_200 + i64::from(purpose) - 99);
    }
    network.run_until(5_000);
    assert_eq!(network.watches(other), [told(WatchEventKind::NodeDataChanged, "/topic")]);
    let mine = network.told.iter().filter(|(_, of, _)| *of == other).map(|(_, _, event)| event);
    let mut has_fired = false;
    for event in mine {
        match event {
            super::network::Told::Watch(_) => has_fired = true,
            super::network::Told::Reply(100.., Ok(ZooKeeperReply::Data(_, stat))) => {
                assert!(stat.version == 0 || has_fired, "an answer shows what no watch has told");
            }
            _ => {}
        }
    }
}

#[test]
fn watches_survive_a_reconnection_and_tell_what_was_missed_once() {
    for seed in 0..5 {
        let mut network = Network::new(3, seed);
        network.run_until(3_000);
        let long = SimDuration::from_secs(30);
        let watcher = network.add_client(ZooKeeperLibrary::Java, long);
        let writer = network.add_client(ZooKeeperLibrary::Java, long);
        network.run_until(4_000);
        for (purpose, text) in [(1, "/changed"), (2, "/same"), (3, "/deleted"), (4, "/parent")] {
            network.ask(writer, purpose, create(text, CreateMode::Persistent));
        }
        network.run_until(4_200);
        for (purpose, text) in [(1, "/changed"), (2, "/same"), (3, "/deleted")] {
            network.ask(watcher, purpose, get(text, true));
        }
        let children = ZooKeeperOperation::GetChildren { path: path("/parent"), watch: true };
        network.ask(watcher, 4, children);
        let exists = ZooKeeperOperation::Exists { path: path("/new"), watch: true };
        network.ask(watcher, 5, exists);
        network.run_until(4_400);
        network.fault(Fault::Isolate(watcher));
        network.fault(Fault::Kill(network.server_of(watcher)));
        network.run_until(12_000);
        network.ask(writer, 11, set("/changed", 1, None));
        network.ask(writer, 12, set("/changed", 2, None));
        let delete = ZooKeeperOperation::Delete { path: path("/deleted"), version: None };
        network.ask(writer, 13, delete);
        network.ask(writer, 14, create("/parent/child", CreateMode::Persistent));
        network.ask(writer, 15, create("/new", CreateMode::Persistent));
        network.run_until(13_000);
        assert_eq!(network.watches(watcher), []);
        network.fault(Fault::Heal);
        network.run_until(30_000);
        let mut fired = network.watches(watcher);
        fired.sort_by_key(|event| (event.path.clone(), event.kind));
        let expected = [
            told(WatchEventKind::NodeDataChanged, "/changed"),
            told(WatchEventKind::NodeDeleted, "/deleted"),
            told(WatchEventKind::NodeCreated, "/new"),
            told(WatchEventKind::NodeChildrenChanged, "/parent"),
        ];
        assert_eq!(fired, expected, "seed {seed}");
        network.ask(writer, 21, set("/changed", 3, None));
        network.ask(writer, 22, set("/same", 3, None));
        network.run_until(50_000);
        assert_eq!(network.watches(watcher).len(), 5, "only the one that had not fired");
    }
}

#[test]
fn kazoo_forgets_its_watches_and_refuses_while_suspended() {
    let (mut network, one, other) = two_clients(1, 5, ZooKeeperLibrary::Kazoo);
    network.ask(one, 1, create("/topic", CreateMode::Persistent));
    network.run_until(4_100);
    network.ask(other, 2, get("/topic", true));
    network.run_until(4_200);
    network.fault(Fault::Cut(0, other));
    network.run_until(8_900);
    assert_eq!(network.client(other).state(), ZooKeeperState::Disconnected);
    network.ask(other, 3, get("/topic", false));
    assert_eq!(network.reply(other, 3), Some(Err(ZooKeeperError::SessionExpired)), "of 2.5");
    let again = ZooKeeperRequest::Operation(get("/topic", false));
    network.with_client(other, |client, cx| client.submit_until_connected(cx, again, 4));
    network.fault(Fault::Heal);
    network.run_until(10_500);
    assert_eq!(network.client(other).state(), ZooKeeperState::Connected);
    assert!(matches!(network.reply(other, 4), Some(Ok(_))));
    network.ask(one, 5, set("/topic", 1, None));
    network.run_until(12_000);
    assert_eq!(network.watches(other), []);
}

#[test]
fn a_request_is_answered_connection_loss_and_may_have_been_done() {
    let (mut network, one, _) = two_clients(3, 6, ZooKeeperLibrary::Java);
    let server = network.server_of(one);
    let request = ZooKeeperRequest::Operation(create("/once", CreateMode::Persistent));
    network.ask(one, 1, create("/lost", CreateMode::Persistent));
    network.with_client(one, |client, cx| client.submit_until_connected(cx, request, 2));
    network.run_until(4_001);
    // The requests have arrived; the answers have not.
    network.fault(Fault::Cut(server, one));
    network.run_until(20_000);
    assert_eq!(network.reply(one, 1), Some(Err(ZooKeeperError::ConnectionLoss)));
    let done = network.server(server).unwrap().tree().get(&path("/once")).is_some();
    let expected = if done { Err(ZooKeeperError::NodeExists) } else { Ok(()) };
    assert_eq!(network.reply(one, 2).unwrap().map(|_| ()), expected);
    assert!(done, "this seed shows the interesting case");
    assert_eq!(network.endings(), []);
}

#[test]
fn a_multi_does_everything_or_nothing() {
    let (mut network, one, other) = two_clients(3, 7, ZooKeeperLibrary::Java);
    let multi = |operations: Vec<ZooKeeperOperation>| ZooKeeperRequest::Multi(operations);
    let make = multi(vec![
        create("/controller", CreateMode::Ephemeral),
        create("/controller_epoch", CreateMode::Persistent),
        set("/controller_epoch", 1, Some(0)),
    ]);
    network.with_client(one, |client, cx| client.submit(cx, make, 1));
    network.run_until(4_100);
    let Some(Ok(ZooKeeperReply::Multi(replies))) = network.reply(one, 1) else { panic!() };
    assert!(matches!(
        replies[..],
        [ZooKeeperReply::Created(..), ZooKeeperReply::Created(..), ZooKeeperReply::Stat(_)]
    ));
    let race = multi(vec![
        set("/controller_epoch", 2, Some(1)),
        create("/controller", CreateMode::Ephemeral),
    ]);
    network.with_client(other, |client, cx| client.submit(cx, race, 2));
    network.run_until(4_200);
    let failed = ZooKeeperReply::MultiFailed { operation: 1, error: ZooKeeperError::NodeExists };
    assert_eq!(network.reply(other, 2), Some(Ok(failed)));
    let check = ZooKeeperOperation::Check { path: path("/controller_epoch"), version: 1 };
    let fenced = multi(vec![check.clone(), create("/first", CreateMode::Persistent)]);
    network.with_client(other, |client, cx| client.submit(cx, fenced, 3));
    network.run_until(4_300);
    network.ask(one, 4, set("/controller_epoch", 2, Some(1)));
    network.run_until(4_400);
    assert!(matches!(network.reply(other, 3), Some(Ok(ZooKeeperReply::Multi(_)))));
    let fenced = multi(vec![check, create("/second", CreateMode::Persistent)]);
    network.with_client(other, |client, cx| client.submit(cx, fenced, 5));
    network.run_until(4_500);
    let failed = ZooKeeperReply::MultiFailed { operation: 0, error: ZooKeeperError::BadVersion };
    assert_eq!(network.reply(other, 5), Some(Ok(failed)));
    assert_eq!(network.server(0).unwrap().tree().get(&path("/second")), None);
}
