//! A broker's life as the controller sees it: registration, heartbeats, fencing, controlled
//! shutdown.
//!
//! Mirrors `BrokerLifecycleManager` (KIP-631). Left out: offline log directories.

use super::controller_channel::ChannelPurpose;
use super::metadata_image::MetadataImage;
use super::{Broker, BrokerCx, BrokerTimer};
use acklab_vocab::api::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest,
    BrokerRegistrationResponse, Request,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerEpoch, BrokerId, Incarnation};
use acklab_vocab::time::SimDuration;

/// Where a broker is in its life (`BrokerState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerState {
    /// It registers and catches up with the metadata.
    Starting,
    /// It has caught up and asks to be unfenced.
    Recovery,
    /// It serves.
    Running,
    /// It serves, and has asked the controller to let it go.
    PendingControlledShutdown,
    /// It stops.
    ShuttingDown,
}

/// The lifecycle manager.
#[derive(Debug)]
pub(super) struct Lifecycle {
    state: BrokerState,
    incarnation: Incarnation,
    /// From the clean shutdown file; `None` after an unclean end.
    previous_broker_epoch: Option<BrokerEpoch>,
    /// It has been unfenced once: its listener is open.
    serving: bool,
    failed_attempts: u32,
    /// A registration or heartbeat is on its way.
    in_flight: bool,
    /// Another one is wanted as soon as the answer is there.
    again: bool,
    got_controlled_shutdown_response: bool,
    /// Flushes to wait for before the process ends.
    pub(super) flushes_left: usize,
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

impl Lifecycle {
    /// The beginning of a life.
    pub fn new(incarnation: Incarnation, previous_broker_epoch: Option<BrokerEpoch>) -> Self {
        Lifecycle {
            state: BrokerState::Starting,
            incarnation,
            previous_broker_epoch,
            serving: false,
            failed_attempts: 0,
            in_flight: false,
            again: false,
            got_controlled_shutdown_response: false,
            flushes_left: 0,
        }
    }

    /// Where it is in its life.
    pub fn state(&self) -> BrokerState {
        self.state
    }

    /// Its listener is open.
    pub fn is_serving(&self) -> bool {
        self.serving
    }

    /// It wants to stop, or stops.
    pub fn is_shutting_down(&self) -> bool {
        match self.state {
            BrokerState::PendingControlledShutdown | BrokerState::ShuttingDown => true,
            BrokerState::Starting | BrokerState::Recovery | BrokerState::Running => false,
        }
    }

    /// The image knows this life of the broker.
    pub fn incarnation_in(&self, image: &MetadataImage, own: BrokerId) -> bool {
        image.broker(own).is_some_and(|known| known.incarnation == self.incarnation)
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
        if self.lifecycle.in_flight {
            self.lifecycle.again = true;
            return;
        }
        self.lifecycle.in_flight = true;
        let request = match self.shared.broker_epoch {
            None => Request::BrokerRegistration(BrokerRegistrationRequest {
                broker: self.shared.id,
                incarnation: self.lifecycle.incarnation,
                node: cx.node(),
                previous_broker_epoch: self.lifecycle.previous_broker_epoch,
            }),
            Some(broker_epoch) => Request::BrokerHeartbeat(BrokerHeartbeatRequest {
                broker: self.shared.id,
                broker_epoch,
                current_metadata_offset: self.metadata_fetch.applied(),
                want_fence: self.lifecycle.state == BrokerState::Starting,
                want_shut_down: self.lifecycle.state == BrokerState::PendingControlledShutdown,
            }),
        };
        self.submit_to_controller(cx, ChannelPurpose::Heartbeat, request);
    }

    fn communicate_after(&mut self, cx: &mut BrokerCx<'_>, wait: SimDuration) {
        self.lifecycle.in_flight = false;
        if std::mem::take(&mut self.lifecycle.again) {
            self.communicate(cx);
        } else {
            cx.set_timer_after(BrokerTimer::Communication, wait);
        }
    }

    /// The registration or heartbeat was refused, or got no answer.
    pub(super) fn on_communication_failed(&mut self, cx: &mut BrokerCx<'_>) {
        let backoff = self.lifecycle.resend_backoff();
        self.lifecycle.failed_attempts += 1;
        self.communicate_after(cx, backoff);
    }

    pub(super) fn on_registration_response(
        &mut self,
        cx: &mut BrokerCx<'_>,
        response: &BrokerRegistrationResponse,
    ) {
        match response.error {
            ErrorCode::None => {
                self.lifecycle.failed_attempts = 0;
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
        self.lifecycle.failed_attempts = 0;
        let interval = self.shared.config.heartbeat_interval;
        match self.lifecycle.state {
            BrokerState::Starting => {
                if response.is_caught_up && self.metadata_fetch.is_published() {
                    // Ready at once: ask to be unfenced without delay.
                    self.lifecycle.state = BrokerState::Recovery;
                    self.lifecycle.again = true;
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
                let is_first = !self.lifecycle.got_controlled_shutdown_response;
                self.lifecycle.got_controlled_shutdown_response = true;
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

    /// SIGTERM (`BrokerLifecycleManager.beginControlledShutdown`).
    pub(super) fn begin_controlled_shut_down(&mut self, cx: &mut BrokerCx<'_>) {
        match self.lifecycle.state {
            BrokerState::Running if self.shared.config.controlled_shutdown => {
                self.lifecycle.state = BrokerState::PendingControlledShutdown;
                let timer = BrokerTimer::ControlledShutdownTimeout;
                cx.set_timer_after(timer, CONTROLLED_SHUTDOWN_TIMEOUT);
                cx.cancel_timer(BrokerTimer::Communication);
                self.communicate(cx);
            }
            BrokerState::Running | BrokerState::Starting | BrokerState::Recovery => {
                self.begin_shut_down(cx);
            }
            BrokerState::PendingControlledShutdown | BrokerState::ShuttingDown => {}
        }
    }

    /// Stops serving; flushes every log, then ends the process.
    pub(super) fn begin_shut_down(&mut self, cx: &mut BrokerCx<'_>) {
        self.lifecycle.state = BrokerState::ShuttingDown;
        self.flush_all_for_shut_down(cx);
    }
}
