//! Which brokers are alive: the soft state behind fencing, unfencing and controlled shutdown
//! (`BrokerHeartbeatManager`, in 4.0 with `BrokerHeartbeatTracker`).
//!
//! Kept by the active controller alone and never written to the log: a new active controller starts
//! every session anew. Until 3.9 a timer stands at the exact end of the session that ends first,
//! and only unfenced brokers have one. From 4.0 (rule `FenceBrokersInSweeps`) a sweep every eighth
//! of the session looks for one ended session, and comes back 10 ms later if it found one; a fenced
//! broker that sends heartbeats has a session too.

use super::state::BrokerRegistration;
use super::timers::LazyTimer;
use super::{ControllerCx, ControllerTimer};
use acklab_vocab::api::BrokerHeartbeatRequest;
use acklab_vocab::config::ControllerConfig;
use acklab_vocab::ids::{BrokerId, MetadataOffset};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::{SimDuration, SimTime};
use std::collections::BTreeMap;

/// How soon a sweep that found something comes back (`PeriodicTask.immediatePeriodNs`).
const SWEEP_AGAIN: SimDuration = SimDuration::from_millis(10);

/// What the controller remembers of a broker's heartbeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    fenced: bool,
    /// Its last sign of life; `None` once its session has ended, or if it never gave one.
    last_contact: Option<SimTime>,
    /// Up to where it has applied the metadata log, exclusive.
    metadata_offset: MetadataOffset,
    /// It is in controlled shutdown, which is complete when every active broker has applied the
    /// entry at this offset.
    controlled_shutdown_at: Option<MetadataOffset>,
}

/// What a broker is, or becomes by a heartbeat (`BrokerControlState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BrokerControlState {
    /// It may not serve.
    Fenced,
    /// It serves.
    Unfenced,
    /// Its leaderships are being moved.
    ControlledShutdown,
    /// It may stop.
    ShutdownNow,
}

impl BrokerControlState {
    pub(super) const fn is_fenced(self) -> bool {
        matches!(self, BrokerControlState::Fenced | BrokerControlState::ShutdownNow)
    }
}

/// The sessions of all registered brokers.
#[derive(Clone, Debug)]
pub(super) struct Heartbeats {
    sessions: BTreeMap<BrokerId, Session>,
    session_timeout: SimDuration,
    in_sweeps: bool,
    timer: LazyTimer,
}

impl Heartbeats {
    /// The sessions of a new active controller: every broker has just been heard of.
    pub(super) fn activate(
        cx: &mut ControllerCx<'_>,
        config: &ControllerConfig,
        brokers: &BTreeMap<BrokerId, BrokerRegistration>,
    ) -> Self {
        let in_sweeps = config.rules.has(ProtocolRule::FenceBrokersInSweeps);
        let now = cx.now();
        let session = |(&id, broker): (&BrokerId, &BrokerRegistration)| {
            let session = Session {
                fenced: broker.fenced,
                last_contact: (!broker.fenced).then_some(now),
                metadata_offset: MetadataOffset(0),
                controlled_shutdown_at: None,
            };
            (id, session)
        };
        let mut heartbeats = Heartbeats {
            sessions: brokers.iter().map(session).collect(),
            session_timeout: config.broker_session_timeout,
            in_sweeps,
            timer: LazyTimer::new(ControllerTimer::FenceStaleBrokers),
        };
        heartbeats.schedule(cx, false);
        heartbeats
    }

    pub(super) fn last_contact(&self, broker: BrokerId) -> Option<SimTime> {
        self.sessions.get(&broker)?.last_contact
    }

    /// Whether another life of the broker must be refused.
    pub(super) fn has_valid_session(&self, now: SimTime, broker: BrokerId) -> bool {
        self.sessions.get(&broker).is_some_and(|session| {
            (self.in_sweeps || !session.fenced) && !self.is_stale(now, session)
        })
    }

    /// Whether the session has ended. At the very instant of its end it is still valid.
    fn is_stale(&self, now: SimTime, session: &Session) -> bool {
        session.last_contact.is_none_or(|contact| contact + self.session_timeout < now)
    }

    /// A broker has registered. In sweeps its session begins with its first heartbeat.
    pub(super) fn register(&mut self, cx: &mut ControllerCx<'_>, broker: BrokerId) {
        let session = Session {
            fenced: true,
            last_contact: (!self.in_sweeps).then_some(cx.now()),
            metadata_offset: MetadataOffset(0),
            controlled_shutdown_at: None,
        };
        self.sessions.insert(broker, session);
    }

    /// A life of a broker has given a sign of life.
    pub(super) fn touch(
        &mut self,
        cx: &mut ControllerCx<'_>,
        request: &BrokerHeartbeatRequest,
        next: BrokerControlState,
    ) {
        let now = cx.now();
        let Some(session) = self.sessions.get_mut(&request.broker) else { return };
        session.last_contact = Some(now);
        session.metadata_offset = request.current_metadata_offset;
        session.fenced = next.is_fenced();
        if session.fenced {
            session.controlled_shutdown_at = None;
        }
        if next == BrokerControlState::ShutdownNow {
            // It has said goodbye: its next life need not wait for the end of the session.
            session.last_contact = None;
        }
        if !self.in_sweeps {
            self.schedule(cx, false);
        }
    }

    /// A broker in controlled shutdown: the entry at `offset` has moved the last of its
    /// leaderships.
    pub(super) fn in_controlled_shutdown(&mut self, broker: BrokerId, offset: MetadataOffset) {
        if let Some(session) = self.sessions.get_mut(&broker) {
            session.controlled_shutdown_at.get_or_insert(offset);
        }
    }

    /// What a broker is before and after its heartbeat (`calculateNextBrokerState`).
    pub(super) fn next_state(
        &self,
        request: &BrokerHeartbeatRequest,
        registered_at: MetadataOffset,
        leads_any: bool,
    ) -> (BrokerControlState, BrokerControlState) {
        let session = self.sessions.get(&request.broker).expect("registered brokers have one");
        let current = match session {
            Session { controlled_shutdown_at: Some(_), .. } => {
                BrokerControlState::ControlledShutdown
            }
            Session { fenced: true, .. } => BrokerControlState::Fenced,
            Session { fenced: false, .. } => BrokerControlState::Unfenced,
        };
        let others_have_applied = session
            .controlled_shutdown_at
            .is_some_and(|offset| self.lowest_active_offset().is_none_or(|end| offset < end));
        let wish = HeartbeatWish {
            want_fence: request.want_fence,
            want_shut_down: request.want_shut_down,
            is_caught_up: request.current_metadata_offset > registered_at,
            leads_any,
            others_have_applied,
        };
        (current, next_broker_state(current, wish))
    }

    /// How far the slowest active broker has applied the metadata log, exclusive.
    fn lowest_active_offset(&self) -> Option<MetadataOffset> {
        let is_active =
            |session: &&Session| !session.fenced && session.controlled_shutdown_at.is_none();
        self.sessions.values().filter(is_active).map(|session| session.metadata_offset).min()
    }

    /// The timer fired: one broker whose session has ended, if there is one; its session is over
    /// then.
    pub(super) fn find_one_stale_broker(&mut self, cx: &mut ControllerCx<'_>) -> Option<BrokerId> {
        if !self.timer.fired(cx) {
            return None;
        }
        let now = cx.now();
        let found = self
            .sessions
            .iter()
            .filter(|(_, session)| session.last_contact.is_some() && self.is_stale(now, session))
            .filter(|(_, session)| self.in_sweeps || !session.fenced)
            .min_by_key(|(id, session)| (session.last_contact, **id))
            .map(|(id, _)| *id);
        if let Some(session) = found.and_then(|id| self.sessions.get_mut(&id)) {
            session.last_contact = None;
            session.fenced = true;
            session.controlled_shutdown_at = None;
        }
        self.schedule(cx, found.is_some());
        found
    }

    /// Sets the next look at the sessions.
    fn schedule(&mut self, cx: &mut ControllerCx<'_>, found_one: bool) {
        let now = cx.now();
        if self.in_sweeps {
            let period = self.session_timeout / 8;
            let delay = if found_one { SWEEP_AGAIN } else { period };
            return self.timer.set(cx, now + delay);
        }
        let unfenced = self.sessions.values().filter(|session| !session.fenced);
        match unfenced.filter_map(|session| session.last_contact).min() {
            // One nanosecond later the session is no longer valid.
            Some(contact) => {
                let due = contact + self.session_timeout + SimDuration::from_nanos(1);
                self.timer.set(cx, due.max(now));
            }
            None => self.timer.clear(),
        }
    }
}

/// What a heartbeat says and what the controller knows with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HeartbeatWish {
    want_fence: bool,
    want_shut_down: bool,
    /// The broker has applied its own registration.
    is_caught_up: bool,
    /// It leads some partition.
    leads_any: bool,
    /// Every active broker has applied the end of its leaderships.
    others_have_applied: bool,
}

fn next_broker_state(current: BrokerControlState, wish: HeartbeatWish) -> BrokerControlState {
    use BrokerControlState::{ControlledShutdown, Fenced, ShutdownNow, Unfenced};
    match current {
        Fenced if wish.want_shut_down => ShutdownNow,
        Fenced if !wish.want_fence && wish.is_caught_up => Unfenced,
        Fenced => Fenced,
        Unfenced if wish.want_fence && wish.want_shut_down => ShutdownNow,
        Unfenced if wish.want_fence => Fenced,
        Unfenced if wish.want_shut_down && wish.leads_any => ControlledShutdown,
        Unfenced if wish.want_shut_down => ShutdownNow,
        Unfenced => Unfenced,
        ControlledShutdown if wish.leads_any || !wish.others_have_applied => ControlledShutdown,
        ControlledShutdown | ShutdownNow => ShutdownNow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use BrokerControlState::{ControlledShutdown, Fenced, ShutdownNow, Unfenced};

    #[test]
    fn a_heartbeat_moves_a_broker_between_its_states() {
        let yes = |bits: [u8; 5]| {
            let [want_fence, want_shut_down, is_caught_up, leads_any, others_have_applied] =
                bits.map(|bit| bit == 1);
            HeartbeatWish {
                want_fence,
                want_shut_down,
                is_caught_up,
                leads_any,
                others_have_applied,
            }
        };
        // want_fence, want_shut_down, is_caught_up, leads_any, others_have_applied
        let cases = [
            (Fenced, [1, 0, 1, 0, 0], Fenced),
            (Fenced, [0, 0, 0, 0, 0], Fenced),
            (Fenced, [0, 0, 1, 0, 0], Unfenced),
            (Fenced, [0, 1, 1, 0, 0], ShutdownNow),
            (Unfenced, [0, 0, 1, 1, 0], Unfenced),
            (Unfenced, [1, 0, 1, 1, 0], Fenced),
            (Unfenced, [1, 1, 1, 1, 0], ShutdownNow),
            (Unfenced, [0, 1, 1, 0, 0], ShutdownNow),
            (Unfenced, [0, 1, 1, 1, 0], ControlledShutdown),
            (ControlledShutdown, [0, 1, 1, 1, 1], ControlledShutdown),
            (ControlledShutdown, [0, 1, 1, 0, 0], ControlledShutdown),
            (ControlledShutdown, [0, 1, 1, 0, 1], ShutdownNow),
        ];
        for (current, wish, expected) in cases {
            assert_eq!(next_broker_state(current, yes(wish)), expected, "{current:?} {wish:?}");
        }
    }
}
