//! The orderly end of an application, and what a pause or the end of its process does to the records in hand.

use super::{Commit, ConsumerApplication, Doing};
use crate::application::Action;
use crate::application::work::Thread;
use acklab_machines::consumer::{ConsumerCall, PolledRecords};
use acklab_machines::producer::ProducerCall;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{CommitStyle, CommitTrigger, TraceEvent};
use std::sync::Arc;

impl ConsumerApplication {
    pub(super) fn begin_close(&mut self, out: &mut Vec<Action>) {
        if !self.threads.iter().all(Thread::is_idle) {
            self.doing = Doing::Draining;
        } else if self.spec.commit == CommitStyle::AsyncThenSync {
            self.doing = Doing::Committing(Commit::Close);
            let trigger = CommitTrigger::SyncClose;
            out.push(Action::Consumer(ConsumerCall::CommitSync { offsets: None, trigger }));
        } else {
            self.close_libraries(out);
        }
    }

    /// Closes the producer, if there is one, and then the consumer.
    pub(super) fn close_libraries(&mut self, out: &mut Vec<Action>) {
        if self.copier.is_some() {
            self.doing = Doing::ClosingProducer;
            out.push(Action::Producer(ProducerCall::Close));
        } else {
            self.close_consumer(out);
        }
    }

    pub(super) fn close_consumer(&mut self, out: &mut Vec<Action>) {
        self.doing = Doing::ClosingConsumer;
        out.push(Action::Consumer(ConsumerCall::Close));
    }

    /// The process stands still. Returns the facts about what is done by now.
    pub(crate) fn pause(&mut self, now: SimTime) -> Vec<TraceEvent> {
        let mut facts = Vec::new();
        for thread in &mut self.threads {
            let done = thread.interrupt(now);
            if let Some(copier) = &self.copier {
                self.owed.extend(copier.copies_of(&done));
            }
            facts.extend(facts_of(&done));
        }
        facts
    }

    /// The process runs again: the rest of the time is served.
    pub(super) fn resume(&mut self, now: SimTime, out: &mut Vec<Action>) {
        if self.doing == Doing::Nothing {
            return;
        }
        let polls_and_works = self.spec.commit == CommitStyle::HandedToWorkers;
        if !polls_and_works && self.doing != Doing::Working {
            return;
        }
        for thread in 0..self.threads.len() {
            if !self.threads[thread].is_working()
                && (!polls_and_works || !self.threads[thread].is_idle())
                && !self.has_ended(out)
            {
                self.work(thread, now, out);
            }
        }
    }

    /// The process ends. Returns the facts about what is done by now, and about what was handed over and never will be.
    pub(crate) fn end(&mut self, now: SimTime) -> Vec<TraceEvent> {
        let mut facts = self.pause(now);
        if self.spec.commit == CommitStyle::HandedToWorkers {
            for thread in &mut self.threads {
                facts.extend(thread.drop_queue().into_iter().map(|dropped| {
                    let PolledRecords { partition, from, to, .. } = dropped;
                    TraceEvent::HandedOverRecordsDropped { partition, from, to }
                }));
            }
        }
        self.forget();
        facts
    }
}

/// What is stated of records that have been processed.
pub(super) fn facts_of(done: &[PolledRecords]) -> impl Iterator<Item = TraceEvent> + '_ {
    done.iter().map(|PolledRecords { partition, from, to, batch }| TraceEvent::RecordsProcessed {
        partition: *partition,
        from: *from,
        to: *to,
        batch: Arc::clone(batch),
    })
}
