//! When a library pings, gives up and tries again: one interface to both.

use super::java::SendThread;
use super::kazoo::ConnectionRoutine;
use super::{ZooKeeperClientSetup, ZooKeeperLibrary};
use crate::machine::Cx;
use acklab_vocab::api::Endpoint;
use acklab_vocab::time::{SimDuration, SimTime};

/// What a library's thread does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Wait(SimTime),
    Ping,
    /// It gives the connection up.
    Lost,
}

/// What a thread waits for on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Opening,
    Handshake,
    Connected,
}

#[derive(Clone, Debug)]
pub(super) enum Pace {
    Java(SendThread),
    Kazoo(ConnectionRoutine),
}

impl Pace {
    pub(super) fn new(setup: &ZooKeeperClientSetup) -> Pace {
        match setup.library {
            ZooKeeperLibrary::Java => Pace::Java(SendThread::new(setup)),
            ZooKeeperLibrary::Kazoo => Pace::Kazoo(ConnectionRoutine::new(setup)),
        }
    }

    /// Which server is tried next, and when.
    pub(super) fn next_server<T, R>(&mut self, cx: &mut Cx<'_, T, R>) -> (Endpoint, SimTime) {
        let now = cx.now();
        match self {
            Pace::Java(thread) => thread.next_server(now, cx.rng()),
            Pace::Kazoo(routine) => routine.next_server(now, cx.rng()),
        }
    }

    pub(super) fn opening<T, R>(&mut self, cx: &mut Cx<'_, T, R>) {
        match self {
            Pace::Java(thread) => thread.opening(cx.now()),
            Pace::Kazoo(routine) => routine.opening(cx.now()),
        }
    }

    pub(super) fn opened<T, R>(&mut self, cx: &mut Cx<'_, T, R>) {
        match self {
            Pace::Java(thread) => thread.opened(cx.now()),
            Pace::Kazoo(routine) => routine.opening(cx.now()),
        }
    }

    pub(super) fn connected<T, R>(&mut self, cx: &mut Cx<'_, T, R>, timeout: SimDuration) {
        let now = cx.now();
        match self {
            Pace::Java(thread) => thread.connected(now, timeout),
            Pace::Kazoo(routine) => routine.connected(now, timeout, cx.rng()),
        }
    }

    pub(super) fn heard<T, R>(&mut self, cx: &mut Cx<'_, T, R>) {
        let now = cx.now();
        match self {
            Pace::Java(thread) => thread.heard(now),
            Pace::Kazoo(routine) => routine.stirred(now, cx.rng()),
        }
    }

    pub(super) fn sent<T, R>(&mut self, cx: &mut Cx<'_, T, R>) {
        let now = cx.now();
        match self {
            Pace::Java(thread) => thread.sent(now),
            Pace::Kazoo(routine) => routine.stirred(now, cx.rng()),
        }
    }

    pub(super) fn pinged(&mut self) {
        match self {
            Pace::Java(_) => {}
            Pace::Kazoo(routine) => routine.pinged(),
        }
    }

    pub(super) fn pong(&mut self) {
        match self {
            Pace::Java(_) => {}
            Pace::Kazoo(routine) => routine.pong(),
        }
    }

    pub(super) fn turn<T, R>(&mut self, cx: &mut Cx<'_, T, R>, stage: Stage) -> Turn {
        match self {
            Pace::Java(thread) => thread.turn(cx.now(), stage),
            Pace::Kazoo(routine) => routine.turn(cx.now(), stage),
        }
    }
}
