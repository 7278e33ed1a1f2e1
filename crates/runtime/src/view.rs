//! The whole cluster at one instant, for `acklab replay`.

use crate::application::Application;
use crate::node::{AnyMachine, Life};
use crate::world::World;
use acklab_machines::broker::BrokerView;
use acklab_machines::consumer::ConsumerView;
use acklab_machines::controller::ControllerView;
use acklab_machines::producer::ProducerView;
use acklab_machines::reader::ReaderView;
use acklab_machines::zookeeper::ZooKeeperServer;
use acklab_vocab::api::PeerState;
use acklab_vocab::ids::{GroupIndex, NodeId};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::Observer;
use acklab_vocab::zookeeper::{SessionId, ZnodeData, ZnodePath};

/// The cluster at one instant.
#[derive(Clone, Debug)]
pub struct ClusterView {
    /// When.
    pub at: SimTime,
    /// Every process, in the order of [`NodeId`].
    pub processes: Vec<ProcessView>,
    /// The faults in force, in words.
    pub faults: Vec<String>,
}

/// A process at one instant.
#[derive(Clone, Debug)]
pub struct ProcessView {
    /// Its name.
    pub name: String,
    /// Whether it runs.
    pub state: ProcessState,
    /// Its machines.
    pub machines: Vec<MachineView>,
    /// Of which consumer application it is an instance, and which.
    pub member: Option<(GroupIndex, u16)>,
    /// What its application is doing, if it is a consumer's.
    pub application: Option<ApplicationView>,
}

/// A consumer's application at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApplicationView {
    /// What it is doing, in words: `processing`, `inside poll()`.
    pub activity: &'static str,
    /// Records that `poll()` has returned to it and that it has not processed, workers' queues included.
    pub in_hand: u64,
}

/// Whether a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessState {
    /// It runs.
    Running,
    /// It has stood still since then.
    PausedSince(SimTime),
    /// It is not there.
    Dead,
    /// Its host has no power.
    NoPower,
}

/// A machine at one instant.
#[derive(Clone, Debug)]
pub enum MachineView {
    /// A broker.
    Broker(BrokerView),
    /// A controller.
    Controller(ControllerView),
    /// A server of the ZooKeeper ensemble.
    ZooKeeper(ZooKeeperView),
    /// A producer.
    Producer(ProducerView),
    /// A reader.
    Reader(ReaderView),
    /// A member of a group, or a consumer that assigns itself its partitions.
    Consumer(ConsumerView),
}

/// A server of the ZooKeeper ensemble at one instant.
#[derive(Clone, Debug)]
pub struct ZooKeeperView {
    /// What it is doing.
    pub state: PeerState,
    /// It serves clients.
    pub serves: bool,
    /// The epoch in which it leads or follows.
    pub epoch: u32,
    /// How many clients are connected to it.
    pub clients: usize,
    /// The sessions that it knows of: who, and the timeout agreed on.
    pub sessions: Vec<(SessionId, NodeId, SimDuration)>,
    /// The znodes that hold something, by path, with their version and the session that they live by, if any.
    pub znodes: Vec<(ZnodePath, ZnodeData, u32, Option<SessionId>)>,
}

impl ZooKeeperView {
    fn of(server: &ZooKeeperServer) -> Self {
        let sessions = server.tree().sessions();
        let znodes = server.tree().iter().filter(|(_, znode)| znode.data != ZnodeData::Empty);
        ZooKeeperView {
            state: server.state(),
            serves: server.is_serving(),
            epoch: server.epoch(),
            clients: server.client_count(),
            sessions: sessions.map(|(id, own)| (id, own.client, own.timeout)).collect(),
            znodes: znodes
                .map(|(path, znode)| {
                    let stat = znode.stat;
                    (path.clone(), znode.data.clone(), stat.version, stat.ephemeral_owner)
                })
                .collect(),
        }
    }
}

impl<O: Observer> World<O> {
    /// The cluster as it is now.
    pub(crate) fn cluster_view(&self) -> ClusterView {
        let processes = self.nodes.iter().map(|node| {
            let state = match (node.life, node.host_up) {
                (_, false) => ProcessState::NoPower,
                (Life::Dead, true) => ProcessState::Dead,
                (Life::Running, true) => ProcessState::Running,
                (Life::Paused(since), true) => ProcessState::PausedSince(since),
            };
            let machines = node.machines.iter().map(|slot| match &slot.machine {
                AnyMachine::Broker(broker, _) => MachineView::Broker(broker.view(&node.disk)),
                AnyMachine::Controller(controller, _) => MachineView::Controller(controller.view()),
                AnyMachine::ZooKeeper(server, _) => {
                    MachineView::ZooKeeper(ZooKeeperView::of(server))
                }
                AnyMachine::Producer(producer, _) => MachineView::Producer(producer.view()),
                AnyMachine::Reader(reader, _) => MachineView::Reader(reader.view()),
                AnyMachine::Consumer(consumer, _) => MachineView::Consumer(consumer.view()),
            });
            let running = node.application.as_ref().filter(|_| node.life != Life::Dead);
            ProcessView {
                name: self.header.nodes[usize::from(node.id.0)].name.clone(),
                state,
                machines: machines.collect(),
                member: self.header.nodes[usize::from(node.id.0)].member,
                application: running.and_then(Application::consumer).map(|application| {
                    ApplicationView {
                        activity: application.activity(),
                        in_hand: application.in_hand(),
                    }
                }),
            }
        });
        ClusterView { at: self.now, processes: processes.collect(), faults: self.faults_in_force() }
    }
}
