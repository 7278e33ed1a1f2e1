//! The broker in ZooKeeper mode (to 3.9): a session, an ephemeral znode that says that it lives,
//! and a controller among the brokers that tells it what to lead and to follow.
//!
//! Mirrors `KafkaServer` (`KafkaHealthcheck` before 1.1), `KafkaZkClient` with `ZooKeeperClient`
//! (`ZkUtils` with `ZkClient` before 1.1), `ReplicaManager.becomeLeaderOrFollower`,
//! `ZkMetadataCache` and, as far as the leader writes the ISR to ZooKeeper, `Partition.updateIsr`.
//! One session per broker, which its controller shares. Left out: dynamic configuration, log
//! directories that fail, ZOOKEEPER-2985 and the way around it (KAFKA-7165), and topics'
//! configurations, which every broker knows.

mod admin;
mod control;
mod controlled_shutdown;
pub(super) mod controller;
mod isr_changes;
mod isr_write;
mod producer_id_blocks;
mod session;
mod threads;

pub use controller::ControllerTimer;

use super::{Broker, BrokerCx, BrokerTimer, ZooKeeperModeView};
use crate::zookeeper::client::{
    ZooKeeperClient, ZooKeeperClientEvent, ZooKeeperClientSetup, ZooKeeperLibrary,
};
use acklab_vocab::api::{Endpoint, Response, ZooKeeperOperation, ZooKeeperReply, ZooKeeperRequest};
use acklab_vocab::config::BrokerConfig;
use acklab_vocab::ids::{BrokerId, ConnectionId, ControllerEpoch, CorrelationId, ProducerId};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimTime;
use acklab_vocab::zookeeper::ZooKeeperError;
use controlled_shutdown::ControlledShutdown;
use controller::{ControllerPurpose, ZooKeeperController};
use isr_changes::IsrChanges;
use isr_write::IsrWrites;
use session::Registration;
use threads::RequestThreads;

/// What a request to ZooKeeper was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::broker) enum ZooKeeperPurpose {
    /// The controller's.
    Controller(ControllerPurpose),
    /// A folder that has to be there.
    Folder,
    /// To make the broker's own znode.
    Register,
    /// Whose the broker's znode is, which was there already.
    RegistrationOwner,
    /// To write the ISR of the partition in a slot.
    IsrWrite(usize),
    /// Whether what is written there is what was to be written.
    IsrCheck(usize),
    /// To announce ISRs that were written.
    IsrChanges,
    /// Which producer ids are free.
    ProducerIdBlock,
    /// To take a block of them, which begins here.
    TakeProducerIdBlock(ProducerId),
    /// Who the controller is, for a controlled shutdown.
    FindController,
    /// Where it listens.
    FindControllerNode,
    /// What an operator wants: nobody looks at the answer.
    Admin,
}

/// A request to ZooKeeper that has not been answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Submitted {
    purpose: ZooKeeperPurpose,
    /// To be asked again in the next session (without the rule `RequestsEndWithSession`).
    again: Option<ZooKeeperRequest>,
}

/// What a broker has by ZooKeeper.
#[derive(Debug)]
pub(super) struct ZooKeeperMembership {
    client: ZooKeeperClient<Submitted>,
    /// For when the client's timer is set.
    timer_at: SimTime,
    registration: Registration,
    /// The controller in this broker stands for election.
    stands_for_controller: bool,
    /// The newest epoch of a controller whose request was obeyed
    /// (`ReplicaManager.controllerEpoch`).
    controller_epoch: ControllerEpoch,
    /// Who sent the last UpdateMetadata.
    pub(super) known_controller: Option<BrokerId>,
    /// High watermarks are written down once there has been a LeaderAndIsr request.
    checkpoints_high_watermarks: bool,
    isr_writes: IsrWrites,
    isr_changes: IsrChanges,
    /// The threads that handle requests.
    pub(super) threads: RequestThreads,
    controlled_shutdown: ControlledShutdown,
    pub(in crate::broker) controller: ZooKeeperController,
}

impl ZooKeeperMembership {
    /// Without a session. `servers`: where ZooKeeper is.
    ///
    /// # Panics
    /// If the version has no ZooKeeper mode.
    pub(super) fn new(config: &BrokerConfig, servers: Vec<Endpoint>) -> Self {
        let own = config.zookeeper.as_ref().expect("a version with a ZooKeeper mode");
        let setup = ZooKeeperClientSetup {
            library: ZooKeeperLibrary::Java,
            servers,
            session_timeout: own.session_timeout,
        };
        ZooKeeperMembership {
            client: ZooKeeperClient::new(setup),
            timer_at: SimTime::NEVER,
            registration: Registration::Never,
            stands_for_controller: false,
            controller_epoch: ControllerEpoch(0),
            known_controller: None,
            checkpoints_high_watermarks: false,
            isr_writes: IsrWrites::default(),
            isr_changes: IsrChanges::default(),
            threads: RequestThreads::new(own.io_threads),
            controlled_shutdown: ControlledShutdown::new(own.controlled_shutdown_max_retries),
            controller: ZooKeeperController::default(),
        }
    }

    /// The broker is registered, no lock is held, and no request waits for one.
    pub(super) fn is_settled(&self) -> bool {
        self.registration == Registration::Done
            && self.isr_writes.are_idle()
            && self.threads.are_idle()
            && self.controller.is_settled()
    }

    /// Whether a connection is the client's.
    pub(super) fn owns(&self, connection: ConnectionId) -> bool {
        self.client.owns(connection)
    }
}

impl Broker {
    /// It is the controller, as far as it knows. Always false in KRaft.
    #[must_use]
    pub fn is_controller(&self) -> bool {
        let own = self.membership.by_zookeeper();
        own.is_some_and(|membership| membership.controller.is_active())
    }

    /// The epoch in which it is the controller, as far as it knows.
    #[must_use]
    pub fn acting_controller_epoch(&self) -> Option<ControllerEpoch> {
        let own = self.membership.by_zookeeper()?;
        own.controller.epoch()
    }

    pub(super) fn zookeeper_view(&self) -> Option<ZooKeeperModeView> {
        let own = self.membership.by_zookeeper()?;
        Some(ZooKeeperModeView {
            state: own.client.state(),
            session: own.client.session(),
            is_controller: own.controller.is_active(),
            controller: own.known_controller,
            controller_epoch: own.controller_epoch,
            locked_partitions: own.isr_writes.len(),
            waiting_requests: own.threads.waiting(),
            queued_requests: own.threads.queued(),
        })
    }

    /// Asks ZooKeeper. ConnectionLoss is no answer: the request is repeated once there is a
    /// connection (`KafkaZkClient.retryRequestUntilConnected`), so that a create may find its own
    /// znode there, and a conditional write its own data.
    pub(in crate::broker) fn zookeeper_submit(
        &mut self,
        cx: &mut BrokerCx<'_>,
        request: ZooKeeperRequest,
        purpose: ZooKeeperPurpose,
    ) {
        let outlives_session = !self.shared.has(ProtocolRule::RequestsEndWithSession)
            && !matches!(purpose, ZooKeeperPurpose::Register | ZooKeeperPurpose::RegistrationOwner);
        let again = outlives_session.then(|| request.clone());
        let client = &mut self.membership.zookeeper().client;
        client.submit_until_connected(cx, request, Submitted { purpose, again });
    }

    fn zookeeper_operate(
        &mut self,
        cx: &mut BrokerCx<'_>,
        operation: ZooKeeperOperation,
        purpose: ZooKeeperPurpose,
    ) {
        self.zookeeper_submit(cx, ZooKeeperRequest::Operation(operation), purpose);
    }

    pub(super) fn on_zookeeper_connected(
        &mut self,
        cx: &mut BrokerCx<'_>,
        connection: ConnectionId,
    ) {
        self.membership.zookeeper().client.on_connected(cx, connection);
    }

    pub(super) fn on_zookeeper_response(
        &mut self,
        cx: &mut BrokerCx<'_>,
        connection: ConnectionId,
        correlation: CorrelationId,
        response: Response,
    ) {
        let Response::ZooKeeper(response) = response else {
            unreachable!("no answer of ZooKeeper: {:?}", response.api())
        };
        let client = &mut self.membership.zookeeper().client;
        client.on_response(cx, connection, correlation, response);
    }

    pub(super) fn on_zookeeper_closed(&mut self, cx: &mut BrokerCx<'_>, connection: ConnectionId) {
        self.membership.zookeeper().client.on_closed(cx, connection);
    }

    pub(super) fn on_zookeeper_time(&mut self, cx: &mut BrokerCx<'_>) {
        let membership = self.membership.zookeeper();
        membership.timer_at = SimTime::NEVER;
        membership.client.on_time(cx);
    }

    /// At the end of every input: what the client has to tell, then its timer.
    pub(super) fn settle_zookeeper(&mut self, cx: &mut BrokerCx<'_>) {
        while !self.lifecycle.halted {
            let Some(event) = self.membership.zookeeper().client.next_event() else { break };
            match event {
                ZooKeeperClientEvent::State(state) => self.on_zookeeper_state(cx, state),
                ZooKeeperClientEvent::Reply(submitted, result) => {
                    self.on_zookeeper_reply(cx, submitted, result);
                }
                ZooKeeperClientEvent::Watch(event) => self.on_controller_watch(cx, &event),
                ZooKeeperClientEvent::Closed => self.on_session_closed(cx),
            }
        }
        let membership = self.membership.zookeeper();
        let deadline = membership.client.deadline();
        if membership.timer_at != deadline {
            membership.timer_at = deadline;
            if deadline == SimTime::NEVER {
                cx.cancel_timer(BrokerTimer::ZooKeeperClient);
            } else {
                cx.set_timer(BrokerTimer::ZooKeeperClient, deadline);
            }
        }
    }

    fn on_zookeeper_reply(
        &mut self,
        cx: &mut BrokerCx<'_>,
        submitted: Submitted,
        result: Result<ZooKeeperReply, ZooKeeperError>,
    ) {
        let Submitted { purpose, again } = submitted;
        if result == Err(ZooKeeperError::SessionExpired)
            && let Some(request) = again
        {
            self.zookeeper_submit(cx, request, purpose);
            return;
        }
        match purpose {
            ZooKeeperPurpose::Controller(purpose) => self.on_controller_reply(cx, purpose, result),
            ZooKeeperPurpose::Register => self.on_register_reply(cx, &result),
            ZooKeeperPurpose::RegistrationOwner => self.on_registration_owner(cx, &result),
            ZooKeeperPurpose::IsrWrite(slot) => self.on_isr_write_reply(cx, slot, &result),
            ZooKeeperPurpose::IsrCheck(slot) => self.on_isr_check_reply(cx, slot, &result),
            ZooKeeperPurpose::IsrChanges => self.on_isr_changes_announced(cx, &result),
            ZooKeeperPurpose::ProducerIdBlock => self.on_producer_id_block_read(cx, &result),
            ZooKeeperPurpose::TakeProducerIdBlock(first) => {
                self.on_producer_id_block_taken(cx, first, &result);
            }
            ZooKeeperPurpose::FindController => self.on_controller_found(cx, &result),
            ZooKeeperPurpose::FindControllerNode => self.on_controller_node_found(cx, &result),
            // NodeExists is as good; without a session, the next one begins anew.
            ZooKeeperPurpose::Folder | ZooKeeperPurpose::Admin => {}
        }
    }
}
