//! How the controller knows of a broker in KRaft: registration, heartbeats, fencing, controlled
//! shutdown.
//!
//! Mirrors `BrokerLifecycleManager` (KIP-631). Left out: offline log directories.

use super::controller_channel::ChannelPurpose;
use super::lifecycle::BrokerState;
use super::{Broker, BrokerCx, BrokerTimer};
use acklab_vocab::api::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest,
    BrokerRegistrationResponse, Request,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::BrokerEpoch;
use acklab_vocab::time::SimDuration;

/// The lifecycle manager's talk with the controller.
#[derive(Debug)]
pub(super) struct Heartbeats {
    /// From the clean shutdown file; `None` after an unclean end.
    previous_broker_epoch: Option<BrokerEpoch>,
    failed_attempts: u32,
    /// A registration or heartbeat is on its way.
    in_flight: bool,
    /// Another one is wanted as soon as the answer is there.
    again: bool,
    got_controlled_shutdown_response: bool,
}

/// Between heartbeats of a broker that is catching up.
const STARTING_HEARTBEAT: SimDuration = SimDuration::from_millis(10);
/// Between the first two heartbeats of a controlled shutdown.
const SHUTDOWN_HEARTBEAT: SimDuration = SimDuration::from_millis(50);
/// How long a controlled shutdown may take (`BrokerServer.shutdown`).
const CONTROLLED_SHUTDOWN_TIMEOUT: SimDuration = SimDuration::from_secs(300);
/// First wait after a failed registration or heartbeat; doubled each time.
const RESEND_BACKOFF: SimDuration = SimDuration::from_millis(100);
/// Longest such wait: `broker.session.timeout.ms` at its default.
const RESEND_BACKOFF_MAX: SimDuration = SimDuration::from_millis(9_000);

impl Heartbeats {
    /// The beginning of a life.
    pub fn new(previous_broker_epoch: Option<BrokerEpoch>) -> Self {
        Heartbeats {
            previous_broker_epoch,
            failed_attempts: 0,
            in_flight: false,
            again: false,
            got_controlled_shutdown_response: false,
        }
    }

    /// The wait before attempt number `failed_attempts`: 100 ms, doubled up to the session timeout.
    fn resend_backoff(&self) -> SimDuration {
        let doubled = RESEND_BACKOFF * (1 << self.failed_attempts.min(10));
        doubled.min(RESEND_BACKOFF_MAX)
    }
}

impl Broker {
    pub(super) fn start_lifecycle(&mut self, cx: &mut BrokerCx<'_>) {
        let timeout = self.shared.config.initial_registration_timeout;
        cx.set_timer_after(BrokerTimer::RegistrationTimeout, timeout);
        self.communicate(cx);
    }

    /// Sends the registration or the next heartbeat.
    pub(super) fn communicate(&mut self, cx: &mut BrokerCx<'_>) {
        if self.membership.heartbeats().in_flight {
            self.membership.heartbeats().again = true;
            return;
        }
        self.membership.heartbeats().in_flight = true;
        let request = match self.shared.broker_epoch {
            None => Request::BrokerRegistration(BrokerRegistrationRequest {
                broker: self.shared.id,
                incarnation: self.lifecycle.incarnation,
                node: cx.node(),
                previous_broker_epoch: self.membership.heartbeats().previous_broker_epoch,
            }),
            Some(broker_epoch) => Request::BrokerHeartbeat(BrokerHeartbeatRequest {
                broker: self.shared.id,
                broker_epoch,
                current_metadata_offset: self.membership.metadata_fetch().applied(),
                want_fence: self.lifecycle.state == BrokerState::Starting,
                want_shut_down: self.lifecycle.state == BrokerState::PendingControlledShutdown,
            }),
        };
        self.submit_to_controller(cx, ChannelPurpose::Heartbeat, request);
    }

    fn communicate_after(&mut self, cx: &mut BrokerCx<'_>, wait: SimDuration) {
        self.membership.heartbeats().in_flight = false;
        if std::mem::take(&mut self.membership.heartbeats().again) {
            self.communicate(cx);
        } else {
            cx.set_timer_after(BrokerTimer::Communication, wait);
        }
    }

    /// The registration or heartbeat was refused, or got no answer.
    pub(super) fn on_communication_failed(&mut self, cx: &mut BrokerCx<'_>) {
        let backoff = self.membership.heartbeats().resend_backoff();
        self.membership.heartbeats().failed_attempts += 1;
        self.communicate_after(cx, backoff);
    }

    pub(super) fn on_registration_response(
        &mut self,
        cx: &mut BrokerCx<'_>,
        response: &BrokerRegistrationResponse,
    ) {
        match response.error {
            ErrorCode::None => {
                self.membership.heartbeats().failed_attempts = 0;
                self.shared.broker_epoch = Some(response.broker_epoch);
                cx.cancel_timer(BrokerTimer::RegistrationTimeout);
                self.communicate_after(cx, SimDuration::ZERO);
            }
            // An earlier life's session lasts: ask again each heartbeat interval.
            ErrorCode::DuplicateBrokerRegistration => {
                let interval = self.shared.config.heartbeat_interval;
                self.communicate_after(cx, interval);
            }
            _ => self.on_communication_failed(cx),
        }
    }

    pub(super) fn on_registration_timeout(&mut self, cx: &mut BrokerCx<'_>) {
        if self.shared.broker_epoch.is_none() {
            self.lifecycle.state = BrokerState::ShuttingDown;
            cx.exit(false);
        }
    }

    pub(super) fn on_heartbeat_response(
        &mut self,
        cx: &mut BrokerCx<'_>,
        response: &BrokerHeartbeatResponse,
    ) {
        if !response.error.is_none() {
            self.on_communication_failed(cx);
            return;
        }
        self.membership.heartbeats().failed_attempts = 0;
        let interval = self.shared.config.heartbeat_interval;
        match self.lifecycle.state {
            BrokerState::Starting => {
                if response.is_caught_up && self.membership.metadata_fetch().is_published() {
                    // Ready at once: ask to be unfenced without delay.
                    self.lifecycle.state = BrokerState::Recovery;
                    self.membership.heartbeats().again = true;
                }
                self.communicate_after(cx, STARTING_HEARTBEAT);
            }
            BrokerState::Recovery => {
                if !response.is_fenced {
                    self.lifecycle.state = BrokerState::Running;
                    self.lifecycle.serving = true;
                }
                self.communicate_after(cx, interval);
            }
            BrokerState::Running => self.communicate_after(cx, interval),
            BrokerState::PendingControlledShutdown => {
                let is_first = !self.membership.heartbeats().got_controlled_shutdown_response;
                self.membership.heartbeats().got_controlled_shutdown_response = true;
                if response.should_shut_down {
                    self.begin_shut_down(cx);
                } else {
                    self.communicate_after(
                        cx,
                        if is_first { SHUTDOWN_HEARTBEAT } else { interval },
                    );
                }
            }
            BrokerState::ShuttingDown => {}
        }
    }

    /// Tells the controller that the broker would like to stop.
    pub(super) fn announce_shut_down(&mut self, cx: &mut BrokerCx<'_>) {
        let timer = BrokerTimer::ControlledShutdownTimeout;
        cx.set_timer_after(timer, CONTROLLED_SHUTDOWN_TIMEOUT);
        cx.cancel_timer(BrokerTimer::Communication);
        self.communicate(cx);
    }
}
