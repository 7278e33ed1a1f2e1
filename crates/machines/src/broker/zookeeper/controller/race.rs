//! The race for `/controller`, and the end of an office.
//!
//! Mirrors `KafkaController.elect`, `maybeResign`, `triggerControllerMove` and
//! `onControllerResignation`; `KafkaZkClient.registerControllerAndIncrementControllerEpoch` from
//! 2.2 on, before that `ZookeeperLeaderElector` and `incrementControllerEpoch`: the znode is
//! created first, the epoch raised afterwards, and who fails at that deletes the znode, whosever it
//! is by then.
//!
//! That `/controller` names this broker means that this very session made it: a znode of an earlier
//! session is gone before the broker can register anew, and it stands for election only after that.

use super::ControllerTimer;
use super::rounds::Answer;
use super::steps::{Step, Then};
use crate::broker::{Broker, BrokerCx, BrokerTimer};
use acklab_vocab::api::{ZooKeeperOperation, ZooKeeperReply};
use acklab_vocab::ids::{BrokerId, ControllerEpoch, ControllerId};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::trace::TraceEvent;
use acklab_vocab::zookeeper::{CreateMode, ZnodeData, ZooKeeperError, paths};

/// The first epoch of a cluster.
const FIRST_EPOCH: ControllerEpoch = ControllerEpoch(1);

/// Whom `/controller` names, by a read.
fn named(answers: &[Answer]) -> Option<BrokerId> {
    match answers {
        [Ok(ZooKeeperReply::Data(ZnodeData::Controller { broker }, _))] => Some(*broker),
        _ => None,
    }
}

/// What `/controller_epoch` holds, and its version, by a read.
fn epoch_read(answer: &Answer) -> Option<(ControllerEpoch, u32)> {
    match answer {
        Ok(ZooKeeperReply::Data(ZnodeData::ControllerEpoch(epoch), stat)) => {
            Some((*epoch, stat.version))
        }
        _ => None,
    }
}

fn get(path: acklab_vocab::zookeeper::ZnodePath) -> ZooKeeperOperation {
    ZooKeeperOperation::GetData { path, watch: false }
}

fn create_epoch(epoch: ControllerEpoch) -> ZooKeeperOperation {
    ZooKeeperOperation::Create {
        path: paths::controller_epoch(),
        data: ZnodeData::ControllerEpoch(epoch),
        mode: CreateMode::Persistent,
    }
}

impl Broker {
    /// `registerZNodeChangeHandlerAndCheckExistence`
    pub(super) fn watch_controller(&mut self, cx: &mut BrokerCx<'_>) {
        let exists = ZooKeeperOperation::Exists { path: paths::controller(), watch: true };
        self.ask_zookeeper(cx, vec![exists], Then::Nothing);
    }

    pub(super) fn read_controller(&mut self, cx: &mut BrokerCx<'_>, then: Then) {
        self.ask_zookeeper(cx, vec![get(paths::controller())], then);
    }

    pub(super) fn on_controller_known_to_resign(
        &mut self,
        cx: &mut BrokerCx<'_>,
        answers: &[Answer],
    ) {
        let controller = named(answers);
        self.zookeeper_controller().active = controller;
        if self.is_controller() && controller != Some(self.shared.id) {
            self.resign_as_controller(cx);
        }
    }

    pub(super) fn on_controller_known_to_elect(
        &mut self,
        cx: &mut BrokerCx<'_>,
        answers: &[Answer],
    ) {
        self.zookeeper_controller().active = named(answers);
        if self.zookeeper_controller().active.is_some() {
            return;
        }
        if self.shared.has(ProtocolRule::FenceControllerWrites) {
            self.ask_zookeeper(cx, vec![get(paths::controller_epoch())], Then::EpochReadToRace);
        } else {
            let create = self.controller_znode();
            self.ask_zookeeper(cx, vec![create], Then::ControllerCreated);
        }
    }

    fn controller_znode(&self) -> ZooKeeperOperation {
        ZooKeeperOperation::Create {
            path: paths::controller(),
            data: ZnodeData::Controller { broker: self.shared.id },
            mode: CreateMode::Ephemeral,
        }
    }

    // ---- from 2.2 on: both znodes in one transaction --------------------------------------------

    pub(super) fn on_epoch_read_to_race(&mut self, cx: &mut BrokerCx<'_>, answers: &[Answer]) {
        match answers {
            [Err(ZooKeeperError::NoNode)] => {
                let create = create_epoch(ControllerEpoch(0));
                self.ask_zookeeper(cx, vec![create], Then::EpochCreatedToRace);
            }
            [answer] => match epoch_read(answer) {
                Some((epoch, version)) => self.race_for_controller(cx, epoch, version),
                None => self.do_first([Step::GiveUpOffice]),
            },
            _ => {}
        }
    }

    pub(super) fn on_epoch_created_to_race(&mut self, cx: &mut BrokerCx<'_>, answers: &[Answer]) {
        match answers {
            [Ok(_)] => self.race_for_controller(cx, ControllerEpoch(0), 0),
            [Err(ZooKeeperError::NodeExists)] => {
                self.ask_zookeeper(cx, vec![get(paths::controller_epoch())], Then::EpochReadToRace);
            }
            _ => self.do_first([Step::GiveUpOffice]),
        }
    }

    fn race_for_controller(&mut self, cx: &mut BrokerCx<'_>, epoch: ControllerEpoch, version: u32) {
        let next = ControllerEpoch(epoch.0 + 1);
        let create = self.controller_znode();
        let raise = ZooKeeperOperation::SetData {
            path: paths::controller_epoch(),
            data: ZnodeData::ControllerEpoch(next),
            version: Some(version),
        };
        self.ask_zookeeper_together(cx, vec![create, raise], Then::Raced(next));
    }

    pub(super) fn on_raced(
        &mut self,
        cx: &mut BrokerCx<'_>,
        epoch: ControllerEpoch,
        answers: &[Answer],
    ) {
        let lost = |error: &ZooKeeperError| {
            matches!(error, ZooKeeperError::NodeExists | ZooKeeperError::BadVersion)
        };
        match answers {
            [Ok(ZooKeeperReply::Multi(replies))] => {
                let version = match replies.last() {
                    Some(ZooKeeperReply::Stat(stat)) => stat.version,
                    _ => return self.do_first([Step::GiveUpOffice]),
                };
                self.take_office(cx, epoch, version);
            }
            [Ok(ZooKeeperReply::MultiFailed { error, .. }) | Err(error)] if lost(error) => {
                let reads = vec![get(paths::controller()), get(paths::controller_epoch())];
                self.ask_zookeeper(cx, reads, Then::RaceChecked(epoch));
            }
            _ => self.do_first([Step::GiveUpOffice]),
        }
    }

    /// A race that was won although the answer was lost looks like one that was lost
    /// (`checkControllerAndEpoch`).
    pub(super) fn on_race_checked(
        &mut self,
        cx: &mut BrokerCx<'_>,
        epoch: ControllerEpoch,
        answers: &[Answer],
    ) {
        let [controller, stored] = answers else { return };
        let mine = named(std::slice::from_ref(controller)) == Some(self.shared.id);
        match epoch_read(stored) {
            Some((there, version)) if mine && there == epoch => {
                self.take_office(cx, epoch, version);
            }
            _ => self.on_controller_moved(cx),
        }
    }

    // ---- before 2.2: first the one, then the other ----------------------------------------------

    pub(super) fn on_controller_created(&mut self, cx: &mut BrokerCx<'_>, answers: &[Answer]) {
        match answers {
            [Ok(_)] => self.raise_epoch(cx),
            [Err(ZooKeeperError::NodeExists)] => {
                self.read_controller(cx, Then::ControllerKnownAfterRace);
            }
            _ => self.do_first([Step::GiveUpOffice]),
        }
    }

    pub(super) fn on_controller_known_after_race(
        &mut self,
        cx: &mut BrokerCx<'_>,
        answers: &[Answer],
    ) {
        let controller = named(answers);
        if controller == Some(self.shared.id) {
            return self.raise_epoch(cx);
        }
        self.zookeeper_controller().active = controller;
    }

    fn raise_epoch(&mut self, cx: &mut BrokerCx<'_>) {
        self.zookeeper_controller().active = Some(self.shared.id);
        self.ask_zookeeper(cx, vec![get(paths::controller_epoch())], Then::EpochReadByWinner);
    }

    pub(super) fn on_epoch_read_by_winner(&mut self, cx: &mut BrokerCx<'_>, answers: &[Answer]) {
        match answers {
            [Err(ZooKeeperError::NoNode)] => {
                self.ask_zookeeper(cx, vec![create_epoch(FIRST_EPOCH)], Then::EpochCreatedByWinner);
            }
            [answer] => match epoch_read(answer) {
                Some((epoch, version)) => {
                    let next = ControllerEpoch(epoch.0 + 1);
                    let raise = ZooKeeperOperation::SetData {
                        path: paths::controller_epoch(),
                        data: ZnodeData::ControllerEpoch(next),
                        version: Some(version),
                    };
                    self.ask_zookeeper(cx, vec![raise], Then::EpochRaised(next));
                }
                None => self.do_first([Step::GiveUpOffice]),
            },
            _ => {}
        }
    }

    pub(super) fn on_epoch_raised(
        &mut self,
        cx: &mut BrokerCx<'_>,
        epoch: ControllerEpoch,
        answers: &[Answer],
    ) {
        match answers {
            [Ok(ZooKeeperReply::Stat(stat))] => self.take_office(cx, epoch, stat.version),
            _ => self.do_first([Step::GiveUpOffice]),
        }
    }

    pub(super) fn on_epoch_created_by_winner(&mut self, cx: &mut BrokerCx<'_>, answers: &[Answer]) {
        match answers {
            [Ok(_)] => self.take_office(cx, FIRST_EPOCH, 0),
            _ => self.do_first([Step::GiveUpOffice]),
        }
    }

    // ---- in office, and out of it ---------------------------------------------------------------

    fn take_office(&mut self, cx: &mut BrokerCx<'_>, epoch: ControllerEpoch, version: u32) {
        let controller = ControllerId(self.shared.id.0);
        cx.trace(|| TraceEvent::ControllerElected { controller, epoch });
        let id = self.shared.id;
        let state = self.zookeeper_controller();
        state.active = Some(id);
        state.in_office = true;
        state.context.epoch = epoch;
        state.context.epoch_version = version;
        self.do_first(super::failover::program());
    }

    /// Gives up an office that could not be taken, so that another may win it.
    pub(super) fn give_up_office(&mut self, cx: &mut BrokerCx<'_>) {
        if self.shared.has(ProtocolRule::FenceControllerWrites) {
            self.read_controller(cx, Then::ControllerKnownToGiveUp);
        } else {
            self.zookeeper_controller().active = None;
            self.resign_as_controller(cx);
            let delete = ZooKeeperOperation::Delete { path: paths::controller(), version: None };
            self.ask_zookeeper(cx, vec![delete], Then::Nothing);
        }
    }

    pub(super) fn on_controller_known_to_give_up(
        &mut self,
        cx: &mut BrokerCx<'_>,
        answers: &[Answer],
    ) {
        let controller = named(answers);
        self.zookeeper_controller().active = controller;
        if controller == Some(self.shared.id) {
            let epoch_version = self.zookeeper_controller().context.epoch_version;
            self.zookeeper_controller().active = None;
            self.resign_as_controller(cx);
            // The office is given up by the epoch that it was won with.
            self.zookeeper_controller().context.epoch_version = epoch_version;
            let delete = ZooKeeperOperation::Delete { path: paths::controller(), version: None };
            self.write_as_controller(cx, vec![delete], Then::Nothing);
        }
    }

    /// `onControllerResignation`: the channels close, everything known is forgotten.
    pub(super) fn resign_as_controller(&mut self, cx: &mut BrokerCx<'_>) {
        let state = self.zookeeper_controller();
        let epoch = state.context.epoch;
        if std::mem::take(&mut state.in_office) {
            cx.trace(|| TraceEvent::ControllerResigned { epoch });
        }
        let state = self.zookeeper_controller();
        state.context = Default::default();
        state.batch = Default::default();
        let brokers: Vec<_> = state.channels.keys().copied().collect();
        for broker in brokers {
            self.remove_control_channel(cx, broker);
        }
        cx.cancel_timer(BrokerTimer::ZooKeeperController(ControllerTimer::Rebalance));
    }
}
