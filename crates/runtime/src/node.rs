//! A process and its host: the machines in it, its disk, its timers, whether it runs.

use crate::application::Application;
use crate::draws;
use crate::world::Event;
use acklab_machines::broker::{Broker, BrokerCall, BrokerTimer};
use acklab_machines::consumer::{ConsumerCall, ConsumerReport, ConsumerTimer};
use acklab_machines::controller::{Controller, ControllerCall, ControllerTimer};
use acklab_machines::disk::Disk;
use acklab_machines::group_consumer::GroupConsumer;
use acklab_machines::machine::{Machine, Outbox};
use acklab_machines::producer::{Producer, ProducerCall, ProducerReport, ProducerTimer};
use acklab_machines::reader::{Reader, ReaderTimer};
use acklab_machines::rng::NodeRng;
use acklab_machines::zookeeper::{ZooKeeperServer, ZooKeeperTimer};
use acklab_vocab::api::Listener;
use acklab_vocab::ids::{ConnectionId, NodeId};
use acklab_vocab::time::SimTime;
use std::collections::{BTreeMap, VecDeque};

/// Whether a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It does not exist: not started yet, killed, or exited.
    Dead,
    /// It runs.
    Running,
    /// It stands still since then; what reaches it waits.
    Paused(SimTime),
}

/// A process and its host.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    /// The host has power.
    pub(crate) host_up: bool,
    pub(crate) life: Life,
    /// Number of the current life; events for an earlier one are dropped.
    pub(crate) incarnation: u32,
    /// It is to start again as soon as it has ended: the operator did not wait for its orderly end.
    pub(crate) restart_when_dead: bool,
    pub(crate) rng: NodeRng,
    pub(crate) disk: Disk,
    pub(crate) disk_rng: NodeRng,
    /// Its machines: one, or a broker and a controller.
    pub(crate) machines: Vec<Slot>,
    /// What reached it while it stood still.
    pub(crate) backlog: Vec<Event>,
    /// Until when each I/O thread of its server is busy.
    pub(crate) threads: Vec<SimTime>,
    /// The application that drives its producer or its consumer.
    pub(crate) application: Option<Application>,
    /// What the libraries have told the application and it has not yet taken up.
    pub(crate) reports: VecDeque<AnyReport>,
    /// The application is acting now: further reports wait until it has done so.
    pub(crate) application_acts: bool,
    /// It is to run: false for an instance that has not been scaled out to, or has been scaled in.
    pub(crate) wanted: bool,
    /// It has ended by itself and nobody starts it again: a reaction of its application.
    pub(crate) gave_up: bool,
}

impl Node {
    pub(crate) fn new(id: NodeId, seed: u64, threads: u16) -> Self {
        Node {
            id,
            host_up: true,
            life: Life::Dead,
            incarnation: 0,
            restart_when_dead: false,
            rng: draws::node_stream(seed, id, 0),
            disk: Disk::default(),
            disk_rng: draws::stream(seed, draws::Purpose::Disk, u64::from(id.0)),
            machines: Vec::new(),
            backlog: Vec::new(),
            threads: vec![SimTime(i64::MIN); usize::from(threads)],
            application: None,
            reports: VecDeque::new(),
            application_acts: false,
            wanted: true,
            gave_up: false,
        }
    }

    /// Which of its machines accepts connections to a listener now.
    pub(crate) fn accepts(&self, listener: Listener) -> Option<u8> {
        let role = self.role_of(listener)?;
        let listens = match &self.machines[usize::from(role)].machine {
            AnyMachine::Broker(broker, _) => broker.listens(),
            AnyMachine::Controller(controller, _) => controller.listens(),
            AnyMachine::ZooKeeper(server, _) => server.listens(),
            AnyMachine::Producer(..) | AnyMachine::Reader(..) | AnyMachine::Consumer(..) => false,
        };
        listens.then_some(role)
    }

    /// Which of its machines serves a listener.
    pub(crate) fn role_of(&self, listener: Listener) -> Option<u8> {
        let serves = |slot: &Slot| {
            matches!(
                (&slot.machine, listener),
                (AnyMachine::Broker(..), Listener::Broker)
                    | (AnyMachine::Controller(..), Listener::Controller)
                    | (AnyMachine::ZooKeeper(..), Listener::ZooKeeper | Listener::ZooKeeperPeer)
            )
        };
        self.machines.iter().position(serves).map(|index| index as u8)
    }

    pub(crate) fn is_client(&self) -> bool {
        let client = |slot: &Slot| {
            matches!(
                slot.machine,
                AnyMachine::Producer(..) | AnyMachine::Reader(..) | AnyMachine::Consumer(..)
            )
        };
        self.machines.iter().any(client)
    }

    pub(crate) fn broker(&self) -> Option<&Broker> {
        self.machines.iter().find_map(|slot| slot.machine.broker())
    }

    pub(crate) fn controller(&self) -> Option<&Controller> {
        self.machines.iter().find_map(|slot| slot.machine.controller())
    }

    pub(crate) fn zookeeper(&self) -> Option<&ZooKeeperServer> {
        self.machines.iter().find_map(|slot| slot.machine.zookeeper())
    }

    pub(crate) fn producer(&self) -> Option<&Producer> {
        self.machines.iter().find_map(|slot| slot.machine.producer())
    }

    pub(crate) fn reader(&self) -> Option<&Reader> {
        self.machines.iter().find_map(|slot| slot.machine.reader())
    }

    pub(crate) fn consumer(&self) -> Option<&GroupConsumer> {
        self.machines.iter().find_map(|slot| slot.machine.consumer())
    }

    /// Which of its machines is of a kind.
    pub(crate) fn role(&self, is_it: impl Fn(&AnyMachine) -> bool) -> Option<u8> {
        self.machines.iter().position(|slot| is_it(&slot.machine)).map(|index| index as u8)
    }
}

/// A machine with what belongs to it alone.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) machine: AnyMachine,
    /// Its connections: index into the world's, by [`ConnectionId`].
    pub(crate) connections: Vec<u32>,
    pub(crate) timers: Timers,
}

impl Slot {
    pub(crate) fn new(machine: AnyMachine) -> Self {
        Slot { machine, connections: Vec::new(), timers: Timers::default() }
    }

    /// Binds the next id of this machine to a connection of the world.
    pub(crate) fn bind(&mut self, connection: u32) -> ConnectionId {
        let next = self.machine.next_connection();
        let id = ConnectionId(*next);
        *next += 1;
        self.bind_as(id, connection);
        id
    }

    /// Binds an id that the machine has taken to a connection of the world.
    pub(crate) fn bind_as(&mut self, id: ConnectionId, connection: u32) {
        let index = id.0 as usize;
        if self.connections.len() <= index {
            self.connections.resize(index + 1, u32::MAX);
        }
        self.connections[index] = connection;
    }
}

/// A machine of any kind.
#[derive(Debug)]
pub(crate) enum AnyMachine {
    Broker(Box<Broker>, Outbox<BrokerTimer, acklab_machines::broker::NoReport>),
    Controller(Box<Controller>, Outbox<ControllerTimer, acklab_machines::controller::NoReport>),
    ZooKeeper(Box<ZooKeeperServer>, Outbox<ZooKeeperTimer, acklab_machines::zookeeper::NoReport>),
    Producer(Box<Producer>, Outbox<ProducerTimer, ProducerReport>),
    Reader(Box<Reader>, Outbox<ReaderTimer, acklab_machines::reader::ReaderReport>),
    Consumer(Box<GroupConsumer>, Outbox<ConsumerTimer, ConsumerReport>),
}

macro_rules! kind {
    ($name:ident, $variant:ident) => {
        pub(crate) fn $name(&self) -> Option<&$variant> {
            if let AnyMachine::$variant(machine, _) = self { Some(machine) } else { None }
        }
    };
}

impl AnyMachine {
    kind!(broker, Broker);
    kind!(controller, Controller);
    kind!(producer, Producer);
    kind!(reader, Reader);

    pub(crate) fn consumer(&self) -> Option<&GroupConsumer> {
        if let AnyMachine::Consumer(consumer, _) = self { Some(consumer) } else { None }
    }

    pub(crate) fn zookeeper(&self) -> Option<&ZooKeeperServer> {
        if let AnyMachine::ZooKeeper(server, _) = self { Some(server) } else { None }
    }

    fn next_connection(&mut self) -> &mut u32 {
        match self {
            AnyMachine::Broker(_, outbox) => &mut outbox.next_connection,
            AnyMachine::Controller(_, outbox) => &mut outbox.next_connection,
            AnyMachine::ZooKeeper(_, outbox) => &mut outbox.next_connection,
            AnyMachine::Producer(_, outbox) => &mut outbox.next_connection,
            AnyMachine::Reader(_, outbox) => &mut outbox.next_connection,
            AnyMachine::Consumer(_, outbox) => &mut outbox.next_connection,
        }
    }
}

/// A timer of a machine of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AnyTimer {
    Broker(BrokerTimer),
    Controller(ControllerTimer),
    ZooKeeper(ZooKeeperTimer),
    Producer(ProducerTimer),
    Reader(ReaderTimer),
    Consumer(ConsumerTimer),
}

macro_rules! any_timer {
    ($($timer:ident => $variant:ident),*) => {$(
        impl From<$timer> for AnyTimer {
            fn from(timer: $timer) -> Self {
                AnyTimer::$variant(timer)
            }
        }
    )*};
}

any_timer!(
    BrokerTimer => Broker,
    ControllerTimer => Controller,
    ZooKeeperTimer => ZooKeeper,
    ProducerTimer => Producer,
    ReaderTimer => Reader,
    ConsumerTimer => Consumer
);

/// A call of an application or operator to a machine of any kind.
#[derive(Clone, Debug)]
pub(crate) enum AnyCall {
    Broker(BrokerCall),
    Controller(ControllerCall),
    Producer(ProducerCall),
    Consumer(ConsumerCall),
}

/// What a library tells its application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AnyReport {
    Producer(ProducerReport),
    Consumer(ConsumerReport),
}

/// The timers of one machine. A timer has at most one deadline and, as a rule, one event in the queue: a deadline that moves
/// back leaves the event where it is, and the event looks again when it is due.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    armed: BTreeMap<AnyTimer, Armed>,
    next_generation: u32,
}

#[derive(Clone, Copy, Debug)]
struct Armed {
    /// When it is due; `None` once cancelled.
    deadline: Option<SimTime>,
    /// When its event in the queue is due.
    queued: SimTime,
    /// Which event in the queue is its.
    generation: u32,
}

/// What to do about a timer's event that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The timer is due.
    Now,
    /// Its deadline has moved: look again then.
    Later(SimTime),
    /// It was cancelled, or another event stands for it.
    Never,
}

impl Timers {
    /// Sets a deadline. Returns the generation for a new event in the queue, if one is needed.
    pub(crate) fn set(&mut self, timer: AnyTimer, at: SimTime) -> Option<u32> {
        if let Some(armed) = self.armed.get_mut(&timer)
            && armed.queued <= at
        {
            armed.deadline = Some(at);
            return None;
        }
        let generation = self.next_generation;
        self.next_generation += 1;
        self.armed.insert(timer, Armed { deadline: Some(at), queued: at, generation });
        Some(generation)
    }

    pub(crate) fn cancel_all(&mut self) {
        for armed in self.armed.values_mut() {
            armed.deadline = None;
        }
    }

    pub(crate) fn cancel(&mut self, timer: AnyTimer) {
        if let Some(armed) = self.armed.get_mut(&timer) {
            armed.deadline = None;
        }
    }

    /// What a timer's event means that has come up at `now`.
    pub(crate) fn due(&mut self, timer: AnyTimer, generation: u32, now: SimTime) -> Due {
        let Some(armed) = self.armed.get_mut(&timer) else { return Due::Never };
        if armed.generation != generation {
            return Due::Never;
        }
        match armed.deadline {
            Some(deadline) if deadline > now => {
                armed.queued = deadline;
                Due::Later(deadline)
            }
            Some(_) => {
                self.armed.remove(&timer);
                Due::Now
            }
            None => {
                self.armed.remove(&timer);
                Due::Never
            }
        }
    }
}
