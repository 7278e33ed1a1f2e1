//! The threads of a library, which block: what each waits for, and what ends the wait.
//!
//! The libraries mirrored here are written with blocking calls in several threads. Each thread is a routine: a value that
//! says where the thread stands, is resumed when its wait is over, and runs until it must wait again.

use super::BalancedCx;
use super::shared::Shared;
use crate::client::Loss;
use acklab_vocab::api::{Response, ZooKeeperReply};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{ClientException, TraceEvent};
use acklab_vocab::zookeeper::ZooKeeperError;
use std::collections::VecDeque;
use std::task::Poll;

/// A thread of the consumer's process. Each waits for one answer at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Thread {
    /// The application's, inside the library.
    Main,
    /// The one in which the ZooKeeper library calls back.
    Events,
    /// `watcher_executor` of the high-level consumer.
    Watcher,
    /// The one that commits by itself.
    AutoCommit,
    /// One that kazoo starts after a reconnection.
    Spawned(u32),
}

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// The answer of ZooKeeper or of a broker.
    Answer,
    /// That instant.
    Until(SimTime),
    /// The consumer's lock.
    Lock,
    /// The lock of a watch.
    WatchLock(usize),
    /// A session in ZooKeeper, until then at the latest.
    Session(SimTime),
    /// The leaders of all partitions.
    Metadata,
    /// A position for every partition, until then at the latest.
    Positions(SimTime),
    /// Something that its owner looks for at every turn, until then at the latest.
    Turn(SimTime),
    /// The end of the session that is being closed.
    Closed,
}

impl Wait {
    /// When it is over whatever happens.
    pub const fn deadline(self) -> SimTime {
        match self {
            Wait::Until(at) | Wait::Session(at) | Wait::Positions(at) | Wait::Turn(at) => at,
            Wait::Answer | Wait::Lock | Wait::WatchLock(_) | Wait::Metadata | Wait::Closed => {
                SimTime::NEVER
            }
        }
    }
}

/// What ends a wait.
#[derive(Debug)]
pub(super) enum Resume {
    /// It is over, or there was none.
    Go,
    /// ZooKeeper has answered, or not.
    ZooKeeper(Result<ZooKeeperReply, ZooKeeperError>),
    /// A broker has answered, or not.
    Kafka(Result<Box<Response>, Loss>),
}

impl Resume {
    /// What ZooKeeper has said.
    pub fn zookeeper(self) -> Result<ZooKeeperReply, ZooKeeperError> {
        match self {
            Resume::ZooKeeper(result) => result,
            other => unreachable!("a thread that waits for ZooKeeper got {other:?}"),
        }
    }

    /// What the broker has said.
    pub fn kafka(self) -> Result<Box<Response>, Loss> {
        match self {
            Resume::Kafka(result) => result,
            other => unreachable!("a thread that waits for a broker got {other:?}"),
        }
    }
}

/// How far a routine has come: it waits, or it has returned or raised.
pub(super) type Progress = Poll<Result<(), ClientException>>;

/// It has returned.
pub(super) const RETURNED: Progress = Poll::Ready(Ok(()));

/// It has raised.
pub(super) const fn raised(exception: ClientException) -> Progress {
    Poll::Ready(Err(exception))
}

/// What kazoo raises.
pub(super) const fn exception_of(error: ZooKeeperError) -> ClientException {
    match error {
        ZooKeeperError::SessionExpired | ZooKeeperError::SessionMoved => {
            ClientException::SessionExpiredError
        }
        ZooKeeperError::ConnectionLoss => ClientException::ConnectionLoss,
        ZooKeeperError::NoNode
        | ZooKeeperError::NodeExists
        | ZooKeeperError::BadVersion
        | ZooKeeperError::NotEmpty
        | ZooKeeperError::NoChildrenForEphemerals
        | ZooKeeperError::RuntimeInconsistency => ClientException::KafkaException,
    }
}

/// An exception was raised.
pub(super) fn state_exception(
    cx: &mut BalancedCx<'_>,
    exception: ClientException,
    reached_application: bool,
) {
    cx.trace(|| TraceEvent::ExceptionRaised { exception, reached_application });
}

/// A lock, fair: who waits longest gets it next.
#[derive(Debug, Default)]
pub(super) struct Lock {
    holder: Option<Thread>,
    waiting: VecDeque<Thread>,
}

impl Lock {
    /// Asks for it.
    pub fn ask(&mut self, thread: Thread) {
        match self.holder {
            None => self.holder = Some(thread),
            Some(_) => self.waiting.push_back(thread),
        }
    }

    /// Whether `thread` has it.
    pub fn is_held_by(&self, thread: Thread) -> bool {
        self.holder == Some(thread)
    }

    /// Gives it to the next.
    pub fn release(&mut self, thread: Thread) {
        assert_eq!(self.holder, Some(thread), "only who holds a lock releases it");
        self.holder = self.waiting.pop_front();
    }
}

/// Whether a wait that concerns nobody's locks is over.
pub(super) fn is_over(wait: Wait, shared: &Shared, now: SimTime) -> bool {
    match wait {
        Wait::Answer | Wait::Lock | Wait::WatchLock(_) => false,
        Wait::Until(at) => at <= now,
        Wait::Session(at) => shared.is_connected() || at <= now,
        Wait::Metadata => shared.led_partitions().is_some(),
        Wait::Positions(at) => shared.kafka.fetching.has_all_positions() || at <= now,
        Wait::Turn(_) => true,
        Wait::Closed => shared.is_closed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_goes_to_who_has_waited_longest() {
        let mut lock = Lock::default();
        lock.ask(Thread::Main);
        lock.ask(Thread::Spawned(1));
        lock.ask(Thread::Events);
        assert!(lock.is_held_by(Thread::Main));
        lock.release(Thread::Main);
        assert!(lock.is_held_by(Thread::Spawned(1)));
        lock.ask(Thread::Main);
        lock.release(Thread::Spawned(1));
        assert!(lock.is_held_by(Thread::Events));
        lock.release(Thread::Events);
        assert!(lock.is_held_by(Thread::Main));
    }
}
