//! Applications: what runs in a client's process around the library, as its users write it.
//!
//! A producer's application ([`producer`]) creates records; a consumer's ([`consumer`]) polls, works ([`work`]) and commits,
//! and may write what it has processed ([`copy`]). Each is a machine of its own: it is told what its libraries report and
//! which of its times have come, and asks for [`Action`]s, which the world carries out in order.
//!
//! Left out: what an application does besides, and threads of its own other than a pool of workers.

pub(crate) mod consumer;
pub(crate) mod copy;
pub(crate) mod producer;

#[cfg(test)]
mod tests;
mod transaction;
pub(crate) mod work;

use acklab_machines::consumer::ConsumerCall;
use acklab_machines::producer::ProducerCall;
use acklab_vocab::api::OffsetToCommit;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::TraceEvent;
use consumer::ConsumerApplication;
use producer::ProducerApplication;
use std::sync::Arc;

/// An application of either kind. It outlives its process: what it draws, and how far it has come in creating records, goes
/// on in the next life; everything else starts anew.
#[derive(Debug)]
pub(crate) enum Application {
    Producer(Box<ProducerApplication>),
    Consumer(Box<ConsumerApplication>),
}

impl Application {
    pub(crate) fn producer(&self) -> Option<&ProducerApplication> {
        if let Application::Producer(application) = self { Some(application) } else { None }
    }

    pub(crate) fn producer_mut(&mut self) -> Option<&mut ProducerApplication> {
        if let Application::Producer(application) = self { Some(application) } else { None }
    }

    pub(crate) fn consumer(&self) -> Option<&ConsumerApplication> {
        if let Application::Consumer(application) = self { Some(application) } else { None }
    }

    pub(crate) fn consumer_mut(&mut self) -> Option<&mut ConsumerApplication> {
        if let Application::Consumer(application) = self { Some(application) } else { None }
    }
}

/// A time of an application's own that has come. One that is out of date says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// A thread has done the records that it had taken up.
    Work {
        /// Which thread.
        thread: u16,
        /// Which of its chunks.
        token: u32,
    },
    /// The moment between two polls that return nothing at once is over.
    PollAgain {
        /// Which of these moments.
        token: u32,
    },
    /// The process runs again after a pause: the rest of the time is served.
    Resume,
    /// SIGTERM.
    ShutDown,
}

/// What becomes of a process whose application has ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Afterwards {
    /// Whoever had it end decides: a fault, or nobody.
    AsOrdered,
    /// Nobody starts it again.
    StaysDown,
    /// A supervisor starts it again after so long.
    StartsAgain(SimDuration),
}

/// What an application asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Calls the consumer.
    Consumer(ConsumerCall),
    /// Calls the producer.
    Producer(ProducerCall),
    /// `send()` of the copies with these sequence numbers, in order.
    Write(Vec<u32>),
    /// `sendOffsetsToTransaction()`, with the consumer's membership as it is then, or without.
    SendOffsets {
        /// What to commit.
        offsets: Arc<[OffsetToCommit]>,
        /// Whether the membership goes with them (KIP-447).
        passes_membership: bool,
    },
    /// States a fact.
    State(TraceEvent),
    /// Wakes the application.
    WakeAt(SimTime, Wake),
    /// A new consumer in the place of the one that was closed.
    BootConsumer,
    /// The process ends.
    Exit {
        /// In an orderly way.
        clean: bool,
        /// And then.
        afterwards: Afterwards,
    },
}
