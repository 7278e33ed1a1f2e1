//! Registration, heartbeats and fencing of brokers (`ClusterControlManager.registerBroker`,
//! `ReplicationControlManager.processBrokerHeartbeat`, `maybeFenceOneStaleBroker`).
//!
//! A broker starts fenced, is unfenced when it has applied its own registration, and is fenced when
//! its session ends. A new life is refused while the session of the old one is valid, which is why
//! a quick restart is not a quick recovery.

use super::active::ReplyTo;
use super::heartbeats::BrokerControlState;
use super::{Controller, ControllerCx};
use acklab_vocab::api::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest,
    BrokerRegistrationResponse, Response,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerEpoch, BrokerId};
use acklab_vocab::metadata_log::MetadataRecord;
use acklab_vocab::trace::PartitionChangeReason;

impl Controller {
    pub(super) fn on_registration(
        &mut self,
        cx: &mut ControllerCx<'_>,
        reply_to: ReplyTo,
        request: &BrokerRegistrationRequest,
    ) {
        let answer = |controller: &Controller, error, broker_epoch| {
            Response::BrokerRegistration(BrokerRegistrationResponse {
                error,
                broker_epoch,
                controller: controller.quorum.known_controller(),
            })
        };
        let refuse = |controller: &Controller, cx: &mut ControllerCx<'_>, error| {
            cx.respond(reply_to.0, reply_to.1, answer(controller, error, BrokerEpoch(0)));
        };
        let BrokerRegistrationRequest { broker, incarnation, node, previous_broker_epoch } =
            *request;
        let existing = self.cluster.broker(broker).copied();
        let is_same_life = existing.is_some_and(|existing| existing.incarnation == incarnation);
        let Some(active) = &mut self.active else {
            return refuse(self, cx, ErrorCode::NotController);
        };
        if !is_same_life && active.heartbeats.has_valid_session(cx.now(), broker) {
            return refuse(self, cx, ErrorCode::DuplicateBrokerRegistration);
        }
        let mut records = Vec::new();
        let broker_epoch = match existing {
            // The answer to an earlier request was lost: the registration stands.
            Some(existing) if is_same_life => existing.broker_epoch,
            Some(_) | None => {
                let broker_epoch = BrokerEpoch(active.next_offset().0);
                active.heartbeats.register(cx, broker);
                let was_clean = existing.map(|existing| existing.broker_epoch);
                let was_clean = was_clean.is_some() && was_clean == previous_broker_epoch;
                self.records_for_shutdown(broker, was_clean, &mut records);
                let registration =
                    MetadataRecord::RegisterBroker { broker, incarnation, broker_epoch, node };
                records.push(registration);
                broker_epoch
            }
        };
        let answer = answer(self, ErrorCode::None, broker_epoch);
        let reason = PartitionChangeReason::BrokerRegistered;
        self.write(cx, records, reason, Some((reply_to, answer)));
    }

    /// `NONE`, or why a request of this life of a broker is refused
    /// (`ClusterControlManager.checkBrokerEpoch`).
    pub(super) fn check_broker_epoch(
        &self,
        broker: BrokerId,
        broker_epoch: BrokerEpoch,
    ) -> ErrorCode {
        if !self.is_active() {
            return ErrorCode::NotController;
        }
        match self.cluster.broker(broker) {
            Some(registration) if registration.broker_epoch == broker_epoch => ErrorCode::None,
            Some(_) | None => ErrorCode::StaleBrokerEpoch,
        }
    }

    pub(super) fn on_heartbeat(
        &mut self,
        cx: &mut ControllerCx<'_>,
        reply_to: ReplyTo,
        request: &BrokerHeartbeatRequest,
    ) {
        let broker = request.broker;
        let controller = self.quorum.known_controller();
        let error = self.check_broker_epoch(broker, request.broker_epoch);
        let registration = self.cluster.broker(broker).filter(|_| error.is_none()).copied();
        let (Some(registration), Some(active)) = (registration, &mut self.active) else {
            let refusal = BrokerHeartbeatResponse {
                error,
                is_caught_up: false,
                is_fenced: true,
                should_shut_down: false,
                controller,
            };
            return cx.respond(reply_to.0, reply_to.1, Response::BrokerHeartbeat(refusal));
        };
        let leads_any = self.cluster.leads_any(broker);
        let (current, next) =
            active.heartbeats.next_state(request, registration.registered_at, leads_any);
        active.heartbeats.touch(cx, request, next);
        let (records, reason) = self.records_for_heartbeat(broker, current, next);
        let response = BrokerHeartbeatResponse {
            error: ErrorCode::None,
            is_caught_up: request.current_metadata_offset > registration.registered_at,
            is_fenced: next.is_fenced(),
            should_shut_down: next == BrokerControlState::ShutdownNow,
            controller,
        };
        let answer = (reply_to, Response::BrokerHeartbeat(response));
        let last_offset = self.write(cx, records, reason, Some(answer));
        if let Some(active) = &mut self.active
            && next == BrokerControlState::ControlledShutdown
        {
            active.heartbeats.in_controlled_shutdown(broker, last_offset);
        }
    }

    fn records_for_heartbeat(
        &self,
        broker: BrokerId,
        current: BrokerControlState,
        next: BrokerControlState,
    ) -> (Vec<MetadataRecord>, PartitionChangeReason) {
        let mut records = Vec::new();
        let reason = match next {
            _ if current == next => PartitionChangeReason::AlterPartition,
            BrokerControlState::Fenced => {
                self.records_for_fenced(broker, &mut records);
                PartitionChangeReason::BrokerFenced
            }
            BrokerControlState::ShutdownNow => {
                self.records_for_fenced(broker, &mut records);
                PartitionChangeReason::ControlledShutdown
            }
            BrokerControlState::Unfenced => {
                self.records_for_unfenced(broker, &mut records);
                PartitionChangeReason::BrokerUnfenced
            }
            BrokerControlState::ControlledShutdown => {
                self.records_for_controlled_shutdown(broker, &mut records);
                PartitionChangeReason::ControlledShutdown
            }
        };
        (records, reason)
    }

    /// Fences one broker whose session has ended; the next one has its own turn, so that each
    /// decision sees the last.
    pub(super) fn fence_stale_broker(&mut self, cx: &mut ControllerCx<'_>) {
        let Some(active) = &mut self.active else { return };
        let Some(broker) = active.heartbeats.find_one_stale_broker(cx) else { return };
        let mut records = Vec::new();
        self.records_for_fenced(broker, &mut records);
        self.write(cx, records, PartitionChangeReason::BrokerFenced, None);
    }
}
