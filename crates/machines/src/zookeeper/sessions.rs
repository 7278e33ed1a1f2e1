//! When sessions expire: the leader's tracker (`SessionTrackerImpl`, `ExpiryQueue`).

use acklab_vocab::config::ZooKeeperConfig;
use acklab_vocab::ids::ZooKeeperServerId;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::zookeeper::{SessionId, ZooKeeperError};
use std::collections::BTreeMap;

/// The timeout that server and client agree on (`processConnectRequest`).
pub(super) fn negotiate(config: &ZooKeeperConfig, asked: SimDuration) -> SimDuration {
    asked.max(config.min_session_timeout).min(config.max_session_timeout)
}

/// The clock by which a server rounds: `System.nanoTime`, whose origin is anywhere within a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExpiryClock {
    tick: SimDuration,
    /// How far within a tick time zero lies.
    phase: SimDuration,
}

impl ExpiryClock {
    pub(super) const fn new(tick: SimDuration, phase: SimDuration) -> Self {
        ExpiryClock { tick, phase }
    }

    /// When a session expires that was heard from `now` (`roundToNextInterval`).
    pub(super) fn expires(&self, now: SimTime, timeout: SimDuration) -> SimTime {
        let (tick, phase) = (self.tick.0 as i64, self.phase.0 as i64);
        let reading = (now + timeout).0 + phase;
        SimTime((reading.div_euclid(tick) + 1) * tick - phase)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tracked {
    timeout: SimDuration,
    expires: SimTime,
    /// Its end has been proposed.
    closing: bool,
    /// The server whose client it is; `None` until it asks for something.
    owner: Option<ZooKeeperServerId>,
}

/// The sessions of the ensemble, as its leader keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SessionTracker {
    clock: ExpiryClock,
    sessions: BTreeMap<SessionId, Tracked>,
}

impl SessionTracker {
    /// A new leader starts the clock of every session anew.
    pub(super) fn new(
        clock: ExpiryClock,
        now: SimTime,
        sessions: impl Iterator<Item = (SessionId, SimDuration)>,
    ) -> Self {
        let mut tracker = SessionTracker { clock, sessions: BTreeMap::new() };
        sessions.for_each(|(session, timeout)| tracker.add(now, session, timeout, None));
        tracker
    }

    pub(super) fn add(
        &mut self,
        now: SimTime,
        session: SessionId,
        timeout: SimDuration,
        owner: Option<ZooKeeperServerId>,
    ) {
        let expires = self.clock.expires(now, timeout);
        self.sessions.insert(session, Tracked { timeout, expires, closing: false, owner });
    }

    /// The session was heard from. Returns whether it lives.
    pub(super) fn touch(&mut self, now: SimTime, session: SessionId) -> bool {
        match self.sessions.get_mut(&session) {
            Some(tracked) if !tracked.closing => {
                tracked.expires = self.clock.expires(now, tracked.timeout);
                true
            }
            _ => false,
        }
    }

    /// The session goes on at another server.
    pub(super) fn set_owner(&mut self, session: SessionId, owner: ZooKeeperServerId) {
        if let Some(tracked) = self.sessions.get_mut(&session) {
            tracked.owner = Some(owner);
        }
    }

    /// Whether a server may act for a session (`checkSession`).
    pub(super) fn check(
        &mut self,
        session: SessionId,
        server: ZooKeeperServerId,
    ) -> Result<(), ZooKeeperError> {
        match self.sessions.get_mut(&session) {
            None => Err(ZooKeeperError::SessionExpired),
            Some(tracked) if tracked.closing => Err(ZooKeeperError::SessionExpired),
            Some(tracked) => {
                let owner = *tracked.owner.get_or_insert(server);
                if owner == server { Ok(()) } else { Err(ZooKeeperError::SessionMoved) }
            }
        }
    }

    pub(super) fn set_closing(&mut self, session: SessionId) {
        if let Some(tracked) = self.sessions.get_mut(&session) {
            tracked.closing = true;
        }
    }

    pub(super) fn remove(&mut self, session: SessionId) {
        self.sessions.remove(&session);
    }

    /// The sessions that have expired and are not yet being closed, ascending.
    pub(super) fn expired(&self, now: SimTime) -> Vec<SessionId> {
        let is_due = |(_, tracked): &(_, &Tracked)| !tracked.closing && tracked.expires <= now;
        self.sessions.iter().filter(is_due).map(|(&session, _)| session).collect()
    }

    /// When the next expires.
    pub(super) fn next_expiry(&self) -> SimTime {
        let open = self.sessions.values().filter(|tracked| !tracked.closing);
        open.map(|tracked| tracked.expires).min().unwrap_or(SimTime::NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> SimDuration {
        SimDuration::from_secs(count)
    }

    #[test]
    fn a_session_expires_on_the_tick_after_its_timeout() {
        // Tick, phase, now in milliseconds, timeout in seconds, expiry in milliseconds.
        let table = [
            (3_000, 0, 0, 6, 9_000),
            (3_000, 0, 1, 6, 9_000),
            (3_000, 0, 2_999, 6, 9_000),
            (3_000, 0, 3_000, 6, 12_000),
            (2_000, 0, 500, 6, 8_000),
            (2_000, 0, 500, 18, 20_000),
            (2_000, 500, 500, 6, 7_500),
            (2_000, 500, 1_500, 6, 9_500),
            (2_000, 0, -1_500, 4, 4_000),
            (2_000, 0, -10_500, 4, -6_000),
        ];
        for (tick, phase, now, timeout, expiry) in table {
            let tick = SimDuration::from_millis(tick);
            let clock = ExpiryClock::new(tick, SimDuration::from_millis(phase));
            let expires = clock.expires(SimTime::from_millis(now), seconds(timeout));
            assert_eq!(expires, SimTime::from_millis(expiry), "{tick} {phase} {now} {timeout}");
        }
    }

    #[test]
    fn a_timeout_is_clamped_between_two_and_twenty_ticks() {
        let config = ZooKeeperConfig {
            tick_time: seconds(2),
            init_limit: 10,
            sync_limit: 5,
            min_session_timeout: seconds(4),
            max_session_timeout: seconds(40),
        };
        for (asked, agreed) in [(1, 4), (4, 4), (6, 6), (40, 40), (60, 40)] {
            assert_eq!(negotiate(&config, seconds(asked)), seconds(agreed));
        }
    }

    #[test]
    fn a_session_belongs_to_the_server_that_acts_for_it() {
        let clock = ExpiryClock::new(seconds(2), SimDuration::ZERO);
        let (session, now) = (SessionId(7), SimTime::ZERO);
        let mut tracker = SessionTracker::new(clock, now, [(session, seconds(6))].into_iter());
        let (first, second) = (ZooKeeperServerId(1), ZooKeeperServerId(2));
        assert_eq!(tracker.check(session, first), Ok(()));
        assert_eq!(tracker.check(session, second), Err(ZooKeeperError::SessionMoved));
        tracker.set_owner(session, second);
        assert_eq!(tracker.check(session, second), Ok(()));
        assert_eq!(tracker.next_expiry(), SimTime::from_millis(8_000));
        assert!(tracker.touch(SimTime::from_millis(2_000), session));
        assert_eq!(tracker.next_expiry(), SimTime::from_millis(10_000));
        assert_eq!(tracker.expired(SimTime::from_millis(9_999)), []);
        assert_eq!(tracker.expired(SimTime::from_millis(10_000)), [session]);
        tracker.set_closing(session);
        assert_eq!(tracker.next_expiry(), SimTime::NEVER);
        assert!(!tracker.touch(SimTime::from_millis(10_000), session));
        assert_eq!(tracker.check(session, second), Err(ZooKeeperError::SessionExpired));
    }
}
