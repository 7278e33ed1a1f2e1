//! The queue of events (`ControllerEventManager`), and what puts something into it.

use super::ControllerTimer;
use super::requests::refuse_controlled_shutdown;
use super::steps::{Occasion, QueuedAlter, Step, Then};
use crate::broker::lifecycle::BrokerState;
use crate::broker::{Broker, BrokerCx, Requester};
use acklab_vocab::api::{AllocateProducerIdsRequest, ControlledShutdownRequest, Request};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{TopicId, TopicPartition};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::trace::ZooKeeperState;
use acklab_vocab::zookeeper::{WatchEvent, WatchEventKind, paths};

/// Something that the controller's thread is to deal with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ControllerEvent {
    /// The broker has started.
    Startup,
    /// `/controller` is gone, or the broker has a new session (`Reelect`,
    /// `RegisterBrokerAndReelect`).
    Reelect,
    /// `/controller` was made or written.
    ControllerChange,
    /// A child of `/brokers/ids` came or went.
    BrokerChange,
    /// A child of `/brokers/topics` came or went.
    TopicChange,
    /// The assignment of a topic was written.
    PartitionModifications(TopicId),
    /// A leader has announced ISRs that it has written.
    IsrChangeNotification,
    /// `/admin/preferred_replica_election` is there, or is to be watched again.
    PreferredElection,
    /// An operator wants leaders at any price (ElectLeaders).
    UncleanElection(Vec<TopicPartition>),
    /// The time to look for imbalance has come.
    AutoPreferredReplicaLeaderElection,
    /// A broker wants to shut down.
    ControlledShutdown(Requester, ControlledShutdownRequest),
    /// A leader wants another ISR.
    AlterPartition(QueuedAlter),
    /// A broker wants producer ids.
    AllocateProducerIds(Requester, AllocateProducerIdsRequest),
}

impl Broker {
    /// Begins an event. Those of watches that only a controller has are dropped if this one is none
    /// (`isActive`).
    pub(super) fn begin_event(&mut self, cx: &mut BrokerCx<'_>, event: ControllerEvent) {
        match event {
            ControllerEvent::Startup => self.do_first([Step::WatchController, Step::Elect]),
            ControllerEvent::Reelect => {
                self.do_first([Step::WatchController, Step::ResignIfReplaced, Step::Elect]);
            }
            ControllerEvent::ControllerChange => {
                self.do_first([Step::WatchController, Step::ResignIfReplaced]);
            }
            ControllerEvent::ControlledShutdown(requester, request) => {
                self.move_leaders_away(cx, requester, request);
            }
            ControllerEvent::AlterPartition(alter) => self.begin_alter_partition(cx, alter),
            ControllerEvent::AllocateProducerIds(requester, request) => {
                self.begin_allocate_producer_ids(cx, requester, request);
            }
            _ if !self.is_controller() => {}
            ControllerEvent::BrokerChange => {
                self.do_first([Step::ReadBrokers(Occasion::Change)]);
            }
            ControllerEvent::TopicChange => self.do_first([Step::ReadTopics(Occasion::Change)]),
            ControllerEvent::PartitionModifications(topic) => {
                self.read_topics(cx, Occasion::Change, vec![topic]);
            }
            ControllerEvent::IsrChangeNotification => {
                self.list_isr_changes(cx, Then::IsrChangesListed);
            }
            ControllerEvent::PreferredElection => {
                self.do_first([Step::ReadPreferredElection]);
            }
            ControllerEvent::UncleanElection(partitions) => self.elect_uncleanly(partitions),
            ControllerEvent::AutoPreferredReplicaLeaderElection => self.rebalance_leaders(),
        }
    }

    /// A watch has fired, whoever set it.
    pub(in crate::broker) fn on_controller_watch(
        &mut self,
        cx: &mut BrokerCx<'_>,
        event: &WatchEvent,
    ) {
        let controller = self.zookeeper_controller();
        if !controller.started {
            return;
        }
        let event = event_of(event);
        let only_in_office =
            !matches!(event, Some(ControllerEvent::ControllerChange | ControllerEvent::Reelect));
        if only_in_office && !controller.in_office {
            return;
        }
        if let Some(event) = event {
            self.put_controller_event(cx, event);
        }
    }

    /// The state of the session has changed; the broker's own part has been done.
    pub(in crate::broker) fn on_controller_session(
        &mut self,
        cx: &mut BrokerCx<'_>,
        state: ZooKeeperState,
    ) {
        let controller = self.zookeeper_controller();
        match state {
            ZooKeeperState::Disconnected => {}
            ZooKeeperState::Expired => {
                controller.expired = true;
                let leaves = self.lifecycle.state() == BrokerState::ShuttingDown;
                if leaves || self.shared.has(ProtocolRule::RequestsEndWithSession) {
                    self.expire_controller(cx);
                }
            }
            ZooKeeperState::Connected => {
                let new_session = std::mem::take(&mut controller.expired);
                if new_session && controller.started {
                    controller.events.push_back(ControllerEvent::Reelect);
                }
                self.run_controller(cx);
            }
        }
    }

    /// `Expire`: what is queued is dropped, and the office is over before there can be a new
    /// session. Before 1.1 the controller only learns of it when it is its turn in the queue.
    fn expire_controller(&mut self, cx: &mut BrokerCx<'_>) {
        let controller = self.zookeeper_controller();
        let dropped = std::mem::take(&mut controller.events);
        controller.steps.clear();
        controller.round = None;
        self.answer_failure(cx, None);
        for event in dropped {
            if let ControllerEvent::ControlledShutdown(requester, _) = event {
                refuse_controlled_shutdown(cx, requester, ErrorCode::StaleControllerEpoch);
            }
        }
        self.zookeeper_controller().active = None;
        self.resign_as_controller(cx);
    }

    /// A timer of the controller is due.
    pub(in crate::broker) fn on_controller_timer(
        &mut self,
        cx: &mut BrokerCx<'_>,
        timer: ControllerTimer,
    ) {
        match timer {
            ControllerTimer::Channel(broker) => self.on_control_channel_timer(cx, broker),
            ControllerTimer::Rebalance => {
                self.put_controller_event(cx, ControllerEvent::AutoPreferredReplicaLeaderElection);
            }
        }
    }

    /// AlterPartition, ControlledShutdown or AllocateProducerIds has reached this broker.
    pub(in crate::broker) fn on_controller_request(
        &mut self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        request: Request,
    ) {
        let event = match request {
            Request::AlterPartition(request) => {
                ControllerEvent::AlterPartition(QueuedAlter { requester, request })
            }
            Request::ControlledShutdown(request) => {
                ControllerEvent::ControlledShutdown(requester, request)
            }
            Request::AllocateProducerIds(request) => {
                ControllerEvent::AllocateProducerIds(requester, request)
            }
            other => unreachable!("no request to a controller: {:?}", other.api()),
        };
        self.put_controller_event(cx, event);
    }

    /// An operator wants leaders at any price for some partitions (ElectLeaders, KIP-460). Nothing
    /// happens unless this broker is the controller.
    pub(in crate::broker) fn on_controller_election(
        &mut self,
        cx: &mut BrokerCx<'_>,
        partitions: Vec<TopicPartition>,
    ) {
        self.put_controller_event(cx, ControllerEvent::UncleanElection(partitions));
    }

    /// The broker may stand for controller (`KafkaController.startup`).
    pub(in crate::broker) fn start_zookeeper_controller(&mut self, cx: &mut BrokerCx<'_>) {
        self.zookeeper_controller().started = true;
        self.put_controller_event(cx, ControllerEvent::Startup);
    }
}

/// What a watch's event means to a controller.
fn event_of(event: &WatchEvent) -> Option<ControllerEvent> {
    let path = &event.path;
    let is_topic = path.parent() == Some(paths::topics());
    match event.kind {
        WatchEventKind::NodeDeleted if *path == paths::controller() => {
            Some(ControllerEvent::Reelect)
        }
        WatchEventKind::NodeCreated | WatchEventKind::NodeDataChanged
            if *path == paths::controller() =>
        {
            Some(ControllerEvent::ControllerChange)
        }
        WatchEventKind::NodeChildrenChanged if *path == paths::broker_ids() => {
            Some(ControllerEvent::BrokerChange)
        }
        WatchEventKind::NodeChildrenChanged if *path == paths::topics() => {
            Some(ControllerEvent::TopicChange)
        }
        WatchEventKind::NodeChildrenChanged if *path == paths::isr_changes() => {
            Some(ControllerEvent::IsrChangeNotification)
        }
        WatchEventKind::NodeDataChanged if is_topic => {
            paths::topic_named(path.name()).map(ControllerEvent::PartitionModifications)
        }
        WatchEventKind::NodeCreated if *path == paths::preferred_replica_election() => {
            Some(ControllerEvent::PreferredElection)
        }
        _ => None,
    }
}
