//! The broker's session with ZooKeeper, and the ephemeral znode by which it is alive.
//!
//! Mirrors `KafkaServer.startup`, `KafkaZkClient.registerBroker` with `CheckedEphemeral`,
//! `ZooKeeperClient` on expiry, and `KafkaController.RegisterBrokerAndReelect`; before 1.1
//! `KafkaHealthcheck` and `ZkUtils.registerBrokerInZk`. A session that has expired is followed by a
//! new one: the controller in this broker resigns first, then the broker registers, then it stands
//! for controller again. Its replicas go on as before: nobody tells them.

use super::{Broker, ZooKeeperPurpose};
use crate::broker::lifecycle::BrokerState;
use crate::broker::{BrokerCx, BrokerTimer};
use acklab_vocab::api::{ZooKeeperOperation, ZooKeeperReply};
use acklab_vocab::ids::BrokerEpoch;
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::trace::ZooKeeperState;
use acklab_vocab::zookeeper::{CreateMode, ZnodeData, ZooKeeperError, Zxid, paths};

/// Where the broker is with its znode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Registration {
    /// It has not been registered in this life.
    Never,
    /// It was, in a session that has expired.
    Lost,
    /// It is, as far as it knows.
    Done,
}

type Answer = Result<ZooKeeperReply, ZooKeeperError>;

impl Broker {
    /// The beginning of a life (`KafkaServer.startup`).
    pub(in crate::broker) fn start_zookeeper(&mut self, cx: &mut BrokerCx<'_>) {
        let own = self.shared.config.zookeeper.as_ref();
        let timeout = own.map(|config| config.connection_timeout);
        self.membership.zookeeper().client.start(cx);
        if let Some(timeout) = timeout {
            cx.set_timer_after(BrokerTimer::ZooKeeperConnection, timeout);
        }
        self.start_isr_change_propagation(cx);
        self.settle_zookeeper(cx);
    }

    /// The first connection took too long: the process ends.
    pub(in crate::broker) fn on_zookeeper_connection_timeout(&mut self, cx: &mut BrokerCx<'_>) {
        if self.membership.zookeeper().client.session().is_none() {
            self.halt(cx);
        }
    }

    /// The client stands otherwise than before.
    pub(super) fn on_zookeeper_state(&mut self, cx: &mut BrokerCx<'_>, state: ZooKeeperState) {
        if self.lifecycle.state() == BrokerState::ShuttingDown {
            return;
        }
        match state {
            ZooKeeperState::Connected => match self.membership.zookeeper().registration {
                Registration::Never => self.join_cluster(cx),
                Registration::Lost => self.rejoin_cluster(cx),
                Registration::Done => {}
            },
            ZooKeeperState::Disconnected => {
                self.on_controller_session(cx, ZooKeeperState::Disconnected);
            }
            ZooKeeperState::Expired => {
                let membership = self.membership.zookeeper();
                if membership.registration == Registration::Done {
                    membership.registration = Registration::Lost;
                }
                self.on_controller_session(cx, ZooKeeperState::Expired);
                self.membership.zookeeper().client.restart(cx);
            }
        }
    }

    fn join_cluster(&mut self, cx: &mut BrokerCx<'_>) {
        cx.cancel_timer(BrokerTimer::ZooKeeperConnection);
        for path in paths::top_level() {
            let mode = CreateMode::Persistent;
            let operation = ZooKeeperOperation::Create { path, data: ZnodeData::Empty, mode };
            self.zookeeper_operate(cx, operation, ZooKeeperPurpose::Folder);
        }
        if !self.shared.has(ProtocolRule::RegisterBeforeElection) {
            self.stand_for_controller(cx);
        }
        self.register_in_zookeeper(cx);
    }

    /// For the first time, or in a new session.
    fn stand_for_controller(&mut self, cx: &mut BrokerCx<'_>) {
        let membership = self.membership.zookeeper();
        if std::mem::replace(&mut membership.stands_for_controller, true) {
            self.on_controller_session(cx, ZooKeeperState::Connected);
        } else {
            self.start_zookeeper_controller(cx);
        }
    }

    fn rejoin_cluster(&mut self, cx: &mut BrokerCx<'_>) {
        if !self.shared.has(ProtocolRule::RegisterBeforeElection) {
            self.stand_for_controller(cx);
        }
        self.register_in_zookeeper(cx);
    }

    /// Makes the broker's ephemeral znode.
    pub(in crate::broker) fn register_in_zookeeper(&mut self, cx: &mut BrokerCx<'_>) {
        let broker = self.shared.id;
        let incarnation = self.lifecycle.incarnation;
        let data = ZnodeData::Broker { broker, node: cx.node(), incarnation };
        let (path, mode) = (paths::broker(broker), CreateMode::Ephemeral);
        let operation = ZooKeeperOperation::Create { path, data, mode };
        self.zookeeper_operate(cx, operation, ZooKeeperPurpose::Register);
    }

    pub(super) fn on_register_reply(&mut self, cx: &mut BrokerCx<'_>, result: &Answer) {
        match result {
            Ok(ZooKeeperReply::Created(_, stat)) => self.on_registered(cx, stat.czxid),
            Err(ZooKeeperError::NodeExists) => {
                let path = paths::broker(self.shared.id);
                let operation = ZooKeeperOperation::GetData { path, watch: false };
                self.zookeeper_operate(cx, operation, ZooKeeperPurpose::RegistrationOwner);
            }
            Err(ZooKeeperError::SessionExpired) => self.on_registration_expired(cx),
            other => unreachable!("not an answer to a create: {other:?}"),
        }
    }

    /// There was a znode. It may be this session's own: the connection was lost before the answer.
    pub(super) fn on_registration_owner(&mut self, cx: &mut BrokerCx<'_>, result: &Answer) {
        let session = self.membership.zookeeper().client.session();
        match result {
            Ok(ZooKeeperReply::Data(_, stat)) if stat.ephemeral_owner == session => {
                self.on_registered(cx, stat.czxid);
            }
            Ok(ZooKeeperReply::Data(..)) => self.on_registered_by_another(cx),
            Err(ZooKeeperError::NoNode) => self.register_in_zookeeper(cx),
            Err(ZooKeeperError::SessionExpired) => self.on_registration_expired(cx),
            other => unreachable!("not an answer to a read: {other:?}"),
        }
    }

    /// The session has expired in the middle of it. The next one begins with the registration,
    /// unless the broker was only starting: then that fails.
    fn on_registration_expired(&mut self, cx: &mut BrokerCx<'_>) {
        let is_starting = self.membership.zookeeper().registration == Registration::Never;
        if is_starting && self.shared.has(ProtocolRule::RequestsEndWithSession) {
            self.halt(cx);
        }
    }

    /// The znode of an earlier life, whose session has not expired yet.
    fn on_registered_by_another(&mut self, cx: &mut BrokerCx<'_>) {
        if !self.shared.has(ProtocolRule::EarlierRegistrationIsFatal) {
            let own = self.shared.config.zookeeper.as_ref();
            if let Some(timeout) = own.map(|config| config.session_timeout) {
                cx.set_timer_after(BrokerTimer::ZooKeeperRegistration, timeout);
            }
        } else if self.membership.zookeeper().registration == Registration::Never {
            self.halt(cx);
        }
        // A broker that is running only logs that it could not register again.
    }

    fn on_registered(&mut self, cx: &mut BrokerCx<'_>, czxid: Zxid) {
        self.shared.broker_epoch = Some(BrokerEpoch::from(czxid));
        let membership = self.membership.zookeeper();
        let before = std::mem::replace(&mut membership.registration, Registration::Done);
        let stands_now = self.shared.has(ProtocolRule::RegisterBeforeElection);
        if before == Registration::Never {
            self.lifecycle.serving = true;
            if self.lifecycle.state == BrokerState::Starting {
                self.lifecycle.state = BrokerState::Running;
            }
        }
        if stands_now && before != Registration::Done {
            self.stand_for_controller(cx);
        }
        if !self.shared.has(ProtocolRule::AllocateProducerIdsByController) {
            self.replenish_producer_ids(cx);
        }
    }

    /// The logs are flushed: the session ends, and the znode with it; then the process.
    pub(in crate::broker) fn leave_cluster(&mut self, cx: &mut BrokerCx<'_>) {
        self.on_controller_session(cx, ZooKeeperState::Expired);
        self.membership.zookeeper().client.close(cx);
        self.settle_zookeeper(cx);
    }

    /// The session has ended by this broker's wish, or nobody answered.
    pub(super) fn on_session_closed(&mut self, cx: &mut BrokerCx<'_>) {
        if self.lifecycle.state() == BrokerState::ShuttingDown {
            cx.exit(true);
        }
    }
}
