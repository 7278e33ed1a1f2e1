//! How Java's client paces itself: `ClientCnxn.SendThread`, `StaticHostProvider`.

use super::ZooKeeperClientSetup;
use super::pace::{Stage, Turn};
use crate::rng::NodeRng;
use acklab_vocab::api::Endpoint;
use acklab_vocab::time::{SimDuration, SimTime};

/// `hostProvider.next(1000)`: the wait after every server was tried.
const SPIN_DELAY: SimDuration = SimDuration::from_secs(1);
/// `SendThread` sleeps up to this long before every attempt but the first, in milliseconds.
const RECONNECT_JITTER_MILLIS: u64 = 1_000;
/// A ping that is due within this time is sent at once, if the thread wakes up and has sent nothing
/// for as long.
const EARLY_PING: SimDuration = SimDuration::from_secs(1);
/// `MAX_SEND_PING_INTERVAL`
const MAX_PING_INTERVAL: SimDuration = SimDuration::from_secs(10);

/// The thread's clocks, and its place in the list of servers.
#[derive(Clone, Debug)]
pub(super) struct SendThread {
    servers: Vec<Endpoint>,
    shuffled: bool,
    /// `currentIndex`; `None` before the first attempt.
    current: Option<usize>,
    /// `lastIndex`: where it was connected last.
    last: usize,
    /// `isFirstConnect`
    first: bool,
    read_timeout: SimDuration,
    connect_timeout: SimDuration,
    last_sent: SimTime,
    last_heard: SimTime,
}

/// What Java's integer arithmetic in milliseconds makes of a share of the session timeout.
fn share(timeout: SimDuration, numerator: u64, denominator: u64) -> SimDuration {
    SimDuration::from_millis(timeout.as_millis() * numerator / denominator)
}

impl SendThread {
    pub(super) fn new(setup: &ZooKeeperClientSetup) -> Self {
        SendThread {
            servers: setup.servers.clone(),
            shuffled: false,
            current: None,
            last: 0,
            first: true,
            read_timeout: share(setup.session_timeout, 2, 3),
            connect_timeout: share(setup.session_timeout, 1, setup.servers.len() as u64),
            last_sent: SimTime::ZERO,
            last_heard: SimTime::ZERO,
        }
    }

    pub(super) fn next_server(&mut self, now: SimTime, rng: &mut NodeRng) -> (Endpoint, SimTime) {
        if !self.shuffled {
            self.shuffled = true;
            shuffle(&mut self.servers, rng);
        }
        let mut at = now;
        let next = match self.current {
            None => 0,
            Some(current) => {
                let next = (current + 1) % self.servers.len();
                if next == self.last {
                    at += SPIN_DELAY;
                }
                next
            }
        };
        self.current = Some(next);
        if !self.first {
            at += SimDuration::from_millis(rng.below(RECONNECT_JITTER_MILLIS));
        }
        (self.servers[next], at)
    }

    pub(super) fn opening(&mut self, now: SimTime) {
        self.last_sent = now;
        self.last_heard = now;
    }

    pub(super) fn opened(&mut self, now: SimTime) {
        self.opening(now);
        self.first = false;
    }

    pub(super) fn connected(&mut self, now: SimTime, timeout: SimDuration) {
        self.read_timeout = share(timeout, 2, 3);
        self.connect_timeout = share(timeout, 1, self.servers.len() as u64);
        self.last = self.current.unwrap_or_default();
        self.last_heard = now;
    }

    pub(super) fn heard(&mut self, now: SimTime) {
        self.last_heard = now;
    }

    pub(super) fn sent(&mut self, now: SimTime) {
        self.last_sent = now;
    }

    pub(super) fn turn(&self, now: SimTime, stage: Stage) -> Turn {
        let idle_heard = now.since(self.last_heard);
        let patience = match stage {
            Stage::Opening | Stage::Handshake => self.connect_timeout,
            Stage::Connected => self.read_timeout,
        };
        if idle_heard >= patience {
            return Turn::Lost;
        }
        let gives_up = self.last_heard + patience;
        if stage != Stage::Connected {
            return Turn::Wait(gives_up);
        }
        let idle_sent = now.since(self.last_sent);
        let early = if idle_sent > EARLY_PING { EARLY_PING } else { SimDuration::ZERO };
        let to_next_ping = (self.read_timeout / 2).saturating_sub(idle_sent).saturating_sub(early);
        if to_next_ping == SimDuration::ZERO || idle_sent > MAX_PING_INTERVAL {
            return Turn::Ping;
        }
        Turn::Wait(gives_up.min(now + to_next_ping))
    }
}

/// `Collections.shuffle`, `random.shuffle`.
pub(super) fn shuffle(servers: &mut [Endpoint], rng: &mut NodeRng) {
    for index in (1..servers.len()).rev() {
        servers.swap(index, rng.below(index as u64 + 1) as usize);
    }
}
