//! Any schedule of crashes, cuts and pauses, with clients that write all the while.

use super::network::{Fault, Network, Told, path};
use crate::zookeeper::ZooKeeperServer;
use crate::zookeeper::client::ZooKeeperLibrary;
use acklab_vocab::api::{
    ZooKeeperChange, ZooKeeperOperation, ZooKeeperReply, ZooKeeperRequest, ZooKeeperTransaction,
};
use acklab_vocab::ids::{
    ControllerEpoch, GroupId, NodeId, PartitionIndex, TopicId, TopicPartition,
};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{TraceEvent, ZooKeeperState};
use acklab_vocab::zookeeper::{CreateMode, ZnodeData, Zxid};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const SERVERS: usize = 3;
const CLIENTS: usize = 3;
const PARTITIONS: u16 = 2;

#[derive(Clone, Copy, Debug)]
enum Wish {
    /// A znode of its own, which tells by whom and when it was written.
    Append,
    Claim(u16),
    Release(u16),
    Watch,
    Both(u16),
}

fn any_fault() -> impl Strategy<Value = Fault> {
    (0..SERVERS, 0..SERVERS + CLIENTS, 0..11).prop_map(|(server, any, kind)| match kind {
        0 => Fault::Kill(server),
        1 => Fault::PowerLoss(server),
        2..=4 => Fault::Restart(server),
        5 => Fault::Isolate(any),
        6 => Fault::Cut(server, any),
        7 | 8 => Fault::Heal,
        9 => Fault::Pause(any),
        _ => Fault::Resume(any),
    })
}

fn any_wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        3 => Just(Wish::Append),
        2 => (0..PARTITIONS).prop_map(Wish::Claim),
        1 => (0..PARTITIONS).prop_map(Wish::Release),
        1 => Just(Wish::Watch),
        1 => (0..PARTITIONS).prop_map(Wish::Both),
    ]
}

fn request(client: usize, purpose: u32, wish: Wish) -> ZooKeeperRequest {
    let owner = |partition: u16| path(&format!("/owner-{partition}"));
    let append = ZooKeeperOperation::Create {
        path: path("/log-"),
        data: ZnodeData::ControllerEpoch(ControllerEpoch(purpose)),
        mode: CreateMode::PersistentSequential,
    };
    let claim = |partition: u16| ZooKeeperOperation::Create {
        path: owner(partition),
        data: ZnodeData::Owner {
            group: GroupId(0),
            partition: TopicPartition { topic: TopicId(0), partition: PartitionIndex(partition) },
            consumer: NodeId(client as u16),
        },
        mode: CreateMode::Ephemeral,
    };
    match wish {
        Wish::Append => ZooKeeperRequest::Operation(append),
        Wish::Claim(partition) => ZooKeeperRequest::Operation(claim(partition)),
        Wish::Release(partition) => {
            let path = owner(partition);
            ZooKeeperRequest::Operation(ZooKeeperOperation::Delete { path, version: None })
        }
        Wish::Watch => {
            let path = path("/");
            ZooKeeperRequest::Operation(ZooKeeperOperation::GetChildren { path, watch: true })
        }
        Wish::Both(partition) => ZooKeeperRequest::Multi(vec![append, claim(partition)]),
    }
}

/// The purposes whose znode a transaction has made.
fn appended(transaction: &ZooKeeperTransaction) -> Vec<u32> {
    let ZooKeeperChange::Write(operations) = &transaction.change else { return Vec::new() };
    let purpose = |operation: &ZooKeeperOperation| match operation {
        ZooKeeperOperation::Create { data: ZnodeData::ControllerEpoch(purpose), .. } => {
            Some(purpose.0)
        }
        _ => None,
    };
    operations.iter().filter_map(purpose).collect()
}

/// All faults are over: the ensemble comes to rest, and nothing is missing or there twice.
fn check_end(network: &mut Network, clients: &[usize]) {
    for node in 0..SERVERS + CLIENTS {
        network.fault(Fault::Resume(node));
    }
    network.fault(Fault::Heal);
    (0..SERVERS).for_each(|server| network.fault(Fault::Restart(server)));
    // The longest wait is that of an election that has doubled its patience to a minute.
    network.run_until(200_000);
    for &client in clients {
        if network.client(client).state() == ZooKeeperState::Expired {
            network.with_client(client, |client, cx| client.restart(cx));
        }
    }
    network.run_until(260_000);
    assert_eq!(network.leaders().len(), 1, "one leader");
    let trees: Vec<_> =
        (0..SERVERS).map(|server| network.server(server).map(ZooKeeperServer::tree)).collect();
    assert!((0..SERVERS).all(|server| network.server(server).unwrap().is_serving()));
    assert!(trees.windows(2).all(|pair| pair[0] == pair[1]), "the trees agree");
    for &client in clients {
        assert_eq!(network.client(client).state(), ZooKeeperState::Connected, "{client}");
    }
    check_history(network);
    check_facts(network);
}

fn check_history(network: &Network) {
    let mut before = Zxid::default();
    let mut times: BTreeMap<u32, usize> = BTreeMap::new();
    for transaction in &network.history {
        let zxid = transaction.zxid;
        let follows = zxid.0 == before.0 + 1 || zxid == Zxid::new(zxid.epoch(), 1);
        assert!(zxid > before && follows, "{before} is followed by {zxid}");
        before = zxid;
        appended(transaction)
            .into_iter()
            .for_each(|purpose| *times.entry(purpose).or_default() += 1);
    }
    for (_, _, told) in &network.told {
        if let Told::Reply(purpose, Ok(ZooKeeperReply::Multi(_))) = told {
            assert_eq!(times.get(purpose), Some(&1), "{purpose} was acknowledged");
        }
        if let Told::Reply(_, Ok(ZooKeeperReply::Created(path, stat))) = told {
            let created = network.history.iter().find(|entry| entry.zxid == stat.czxid);
            let created = created.unwrap_or_else(|| panic!("{path} was acknowledged and is lost"));
            assert!(format!("{:?}", created.change).contains(path.as_str()));
        }
    }
    assert!(times.values().all(|&count| count == 1), "a request is done at most once");
}

fn check_facts(network: &Network) {
    let (mut live, mut ever) = (BTreeSet::new(), BTreeSet::new());
    let mut owners: BTreeMap<TopicPartition, NodeId> = BTreeMap::new();
    for (_, fact) in &network.facts {
        match fact {
            TraceEvent::ZooKeeperSessionOpened { session, .. } => {
                assert!(ever.insert(*session), "{session} is opened once");
                live.insert(*session);
            }
            TraceEvent::ZooKeeperSessionEnded { session, .. } => {
                assert!(live.remove(session), "{session} ends once");
            }
            TraceEvent::PartitionClaimed { partition, consumer, .. } => {
                assert_eq!(owners.insert(*partition, *consumer), None, "one owner at a time");
            }
            TraceEvent::PartitionReleased { partition, consumer, .. } => {
                assert_eq!(owners.remove(partition), Some(*consumer), "its owner's znode");
            }
            _ => {}
        }
    }
    let tree = network.server(0).unwrap().tree();
    let open: BTreeSet<_> = tree.sessions().map(|(session, _)| session).collect();
    assert_eq!(open, live, "what the tree holds has been stated");
    let owned = tree.iter().filter(|(_, node)| matches!(node.data, ZnodeData::Owner { .. }));
    assert_eq!(owned.count(), owners.len());
}

fn run(seed: u64, faults: Vec<(i64, Fault)>, wishes: Vec<(i64, usize, Wish)>) {
    let mut network = Network::new(SERVERS, seed);
    let timeout = SimDuration::from_secs(6);
    let libraries = [ZooKeeperLibrary::Java, ZooKeeperLibrary::Java, ZooKeeperLibrary::Kazoo];
    let clients = libraries.map(|library| network.add_client(library, timeout));
    for (at, fault) in faults {
        network.fault_at(SimTime::from_millis(at), fault);
    }
    for (purpose, (at, client, wish)) in wishes.into_iter().enumerate() {
        let (client, purpose) = (clients[client], purpose as u32);
        network.ask_at(SimTime::from_millis(at), client, purpose, request(client, purpose, wish));
    }
    network.run_until(61_000);
    check_end(&mut network, &clients);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_fault_costs_what_was_committed(
        seed in 0_u64..1_000,
        faults in prop::collection::vec((0_i64..60_000, any_fault()), 0..24),
        wishes in prop::collection::vec((500_i64..60_000, 0..CLIENTS, any_wish()), 0..80),
    ) {
        run(seed, faults, wishes);
    }
}
