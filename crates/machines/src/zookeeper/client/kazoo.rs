//! How kazoo's client paces itself: `ConnectionHandler.zk_loop`, `KazooRetry`, of 2.5.

use super::ZooKeeperClientSetup;
use super::java::shuffle;
use super::pace::{Stage, Turn};
use crate::rng::NodeRng;
use acklab_vocab::api::Endpoint;
use acklab_vocab::time::{SimDuration, SimTime};

/// `retry_delay`: the first wait after a round of all servers; every further one is twice as long.
const RETRY_DELAY: SimDuration = SimDuration::from_millis(100);
/// `retry_max_delay`
const RETRY_MAX_DELAY: SimDuration = SimDuration::from_secs(3_600);
/// `retry_jitter`, in hundredths of a second: up to so much longer.
const RETRY_JITTER: u64 = 80;
/// A ping comes up to so much sooner, in hundredths of a second.
const PING_JITTER: u64 = 40;

/// The routine's clocks, and its place in a round of the servers.
#[derive(Clone, Debug)]
pub(super) struct ConnectionRoutine {
    servers: Vec<Endpoint>,
    session_timeout: SimDuration,
    /// How many servers of this round have been tried; `None` before the first round.
    tried: Option<usize>,
    delay: SimDuration,
    read_timeout: SimDuration,
    opening_since: SimTime,
    /// When `select` returns without anything to read or send.
    select_until: SimTime,
    ping_outstanding: bool,
}

fn hundredths(count: u64) -> SimDuration {
    SimDuration::from_millis(10 * count)
}

impl ConnectionRoutine {
    pub(super) fn new(setup: &ZooKeeperClientSetup) -> Self {
        ConnectionRoutine {
            servers: setup.servers.clone(),
            session_timeout: setup.session_timeout,
            tried: None,
            delay: RETRY_DELAY,
            read_timeout: SimDuration::ZERO,
            opening_since: SimTime::ZERO,
            select_until: SimTime::NEVER,
            ping_outstanding: false,
        }
    }

    pub(super) fn next_server(&mut self, now: SimTime, rng: &mut NodeRng) -> (Endpoint, SimTime) {
        let mut at = now;
        match self.tried {
            Some(tried) if tried < self.servers.len() => {}
            tried => {
                if tried.is_some() {
                    at += self.delay + hundredths(rng.below(RETRY_JITTER + 1));
                    self.delay = (self.delay * 2).min(RETRY_MAX_DELAY);
                }
                shuffle(&mut self.servers, rng);
                self.tried = Some(0);
            }
        }
        let index = self.tried.unwrap_or_default();
        self.tried = Some(index + 1);
        (self.servers[index], at)
    }

    pub(super) fn opening(&mut self, now: SimTime) {
        self.opening_since = now;
    }

    pub(super) fn connected(&mut self, now: SimTime, timeout: SimDuration, rng: &mut NodeRng) {
        self.delay = RETRY_DELAY;
        self.read_timeout = timeout * 2 / 3;
        self.ping_outstanding = false;
        self.stirred(now, rng);
    }

    /// `select` has returned, and begins anew.
    pub(super) fn stirred(&mut self, now: SimTime, rng: &mut NodeRng) {
        if self.read_timeout > SimDuration::ZERO {
            let jitter = hundredths(rng.below(PING_JITTER + 1));
            let timeout = (self.read_timeout / 2).saturating_sub(jitter).max(jitter);
            self.select_until = now + timeout;
        }
    }

    pub(super) fn pinged(&mut self) {
        self.ping_outstanding = true;
    }

    pub(super) fn pong(&mut self) {
        self.ping_outstanding = false;
    }

    pub(super) fn turn(&mut self, now: SimTime, stage: Stage) -> Turn {
        if stage != Stage::Connected {
            let gives_up = self.opening_since + self.session_timeout;
            return if now >= gives_up { Turn::Lost } else { Turn::Wait(gives_up) };
        }
        if now < self.select_until {
            return Turn::Wait(self.select_until);
        }
        if self.ping_outstanding { Turn::Lost } else { Turn::Ping }
    }
}
