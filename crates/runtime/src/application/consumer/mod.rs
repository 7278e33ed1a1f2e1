//! The application behind a consumer: poll, work, commit, as its users write it ([`CommitStyle`]).
//!
//! It has one thread that polls, and with [`CommitStyle::HandedToWorkers`] a pool beside it. A thread that is inside a call
//! of a library does nothing else; one that works does not poll. Common to all styles:
//!
//! - Explicit commits follow a `poll()` that returned something; an application that also writes waits for its producer's
//!   callbacks before (`flush()`), so that it is at least once. With auto-commit nobody waits.
//! - `RebalanceInProgressException` and `TimeoutException` of `commitSync()` are logged and the next `poll()` follows, as
//!   Kafka's documentation asks; everything else has failed for good, and [`GroupSpec::on_commit_failure`] decides. What
//!   `commitAsync()` reports, or a commit inside the rebalance listener or before `close()`, is only logged.
//! - [`CommitStyle::BeforeProcessing`]: if the commit fails, its exception leaves the loop's body: the batch is not
//!   processed (unless the application ignores failures).
//! - Records that workers have in hand when their partition is revoked are finished; in an orderly end they are finished
//!   before `close()`.
//! - An orderly end (SIGTERM) ends the loop after the batch in hand; `poll()` is not woken up, it returns by its timeout.
//! - A transaction is aborted when a call fails so that it must be; after a fatal failure the process ends, and a new one
//!   begins a second later.

mod commits;
mod life;
mod transactions;

use super::copy::{Copier, offsets_after};
use super::work::{Begun, Pace, Thread};
use super::{Action, Afterwards, Wake};
use acklab_machines::consumer::{ConsumerCall, ConsumerReport, PolledRecords};
use acklab_machines::producer::{ProducerReport, TransactionCall, TransactionCallKind};
use acklab_machines::rng::NodeRng;
use acklab_scenario::model::GroupSpec;
use acklab_vocab::api::OffsetToCommit;
use acklab_vocab::ids::{Offset, TopicPartition};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{ApplicationReaction, CommitStyle};
pub(crate) use commits::is_for_good;
use life::facts_of;
use std::sync::Arc;

/// Between two polls of which the first returned nothing at once: a loop that does nothing else takes this long.
const BREATH: SimDuration = SimDuration::from_millis(1);

/// What the thread that polls is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Doing {
    /// Nothing: the process has not begun, or ends.
    Nothing,
    /// A moment between two polls.
    Breathing,
    /// Inside `poll()`, called then.
    Polling(SimTime),
    /// Inside `poll()`, called then, in the rebalance listener, inside `commitSync()`.
    CommittingInListener(SimTime),
    /// It works on the batch.
    Working,
    /// It waits for the callbacks of what it has written, and then commits.
    Flushing(Commit),
    /// Inside `commitSync()`.
    Committing(Commit),
    /// Inside a call of the transactional API.
    InTransactionCall(TransactionCallKind),
    /// It waits for the workers to finish.
    Draining,
    /// Inside the producer's `close()`.
    ClosingProducer,
    /// Inside the consumer's `close()`.
    ClosingConsumer,
}

/// What a commit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Commit {
    /// The batch that has been processed.
    Batch,
    /// The same, without waiting.
    BatchAsync,
    /// The record that has been processed.
    Record,
    /// The batch that is to be processed.
    Beforehand,
    /// Everything, before `close()`.
    Close,
}

/// One instance of a consumer's application.
#[derive(Debug)]
pub(crate) struct ConsumerApplication {
    spec: GroupSpec,
    pace: Pace,
    copier: Option<Copier>,
    doing: Doing,
    /// The thread that polls, or the workers.
    threads: Vec<Thread>,
    /// The batch in hand, if it is to be processed only after a call.
    batch: Vec<PolledRecords>,
    /// What stands for the last chunk of records, or for the batch in a transaction.
    offsets: Arc<[OffsetToCommit]>,
    /// Copies of records that were done when a pause cut their chunk short.
    owed: Vec<u32>,
    /// Up to where `poll()` has returned records, by partition, ascending.
    delivered: Vec<(TopicPartition, Offset)>,
    /// Asynchronous commits whose callbacks have not come.
    callbacks_open: u32,
    /// When a callback last committed again, and how often at that instant.
    retried: (SimTime, u32),
    /// The transaction that is open is to be aborted.
    aborts: bool,
    /// It has been asked to end.
    ending: bool,
    token: u32,
}

impl ConsumerApplication {
    pub(crate) fn new(spec: GroupSpec, pace: Pace, copier: Option<Copier>) -> Self {
        let pool = match spec.commit {
            CommitStyle::HandedToWorkers => usize::from(spec.workers.max(1)),
            _ => 1,
        };
        ConsumerApplication {
            spec,
            pace,
            copier,
            doing: Doing::Nothing,
            threads: std::iter::repeat_with(Thread::default).take(pool).collect(),
            batch: Vec::new(),
            offsets: Arc::new([]),
            owed: Vec::new(),
            delivered: Vec::new(),
            callbacks_open: 0,
            retried: (SimTime(i64::MIN), 0),
            aborts: false,
            ending: false,
            token: 0,
        }
    }

    /// What has not been drawn yet comes from other streams.
    pub(crate) fn draw_from(&mut self, processing: NodeRng, abort: NodeRng) {
        self.pace.draw_from(processing);
        if let Some(copier) = &mut self.copier {
            copier.draw_from(abort);
        }
    }

    /// Its process has begun.
    pub(crate) fn start(&mut self, now: SimTime, out: &mut Vec<Action>) {
        self.forget();
        if self.copier.as_ref().is_some_and(|copier| copier.transactions.is_some()) {
            self.call(TransactionCall::Init, out);
        } else {
            self.poll(now, out);
        }
    }

    fn forget(&mut self) {
        self.doing = Doing::Nothing;
        for thread in &mut self.threads {
            thread.drop_queue();
        }
        if let Some(copier) = &mut self.copier {
            copier.outstanding = 0;
        }
        self.batch.clear();
        self.owed.clear();
        self.delivered.clear();
        self.callbacks_open = 0;
        self.aborts = false;
        self.ending = false;
    }

    /// SIGTERM.
    fn shut_down(&mut self, now: SimTime, out: &mut Vec<Action>) {
        self.ending = true;
        if self.doing == Doing::Breathing {
            self.go_on(now, out);
        }
    }

    pub(crate) fn on_consumer(
        &mut self,
        report: ConsumerReport,
        now: SimTime,
        out: &mut Vec<Action>,
    ) {
        match report {
            ConsumerReport::Polled(records) => self.on_polled(records, now, out),
            ConsumerReport::Committed(failure) => self.on_committed(failure, now, out),
            ConsumerReport::CommitCallback { offsets, failure } => {
                self.on_commit_callback(offsets, failure, now, out);
            }
            ConsumerReport::Revoked { partitions, lost } => {
                self.on_revoked(&partitions, lost, out);
            }
            ConsumerReport::Assigned { .. } => {
                out.push(Action::Consumer(ConsumerCall::ListenerReturned));
            }
            ConsumerReport::Failed(error) => {
                self.fail(None, error, ApplicationReaction::Stopped, out);
            }
            ConsumerReport::Raised(_) => self.on_raised(now, out),
            ConsumerReport::Closed if self.ending => {
                self.doing = Doing::Nothing;
                out.push(Action::Exit { clean: true, afterwards: Afterwards::AsOrdered });
            }
            ConsumerReport::Closed => {
                self.delivered.clear();
                self.callbacks_open = 0;
                out.push(Action::BootConsumer);
                self.poll(now, out);
            }
        }
    }

    pub(crate) fn on_producer(
        &mut self,
        report: &ProducerReport,
        now: SimTime,
        out: &mut Vec<Action>,
    ) {
        match report {
            ProducerReport::Completed { records, .. } => {
                let Some(copier) = &mut self.copier else { return };
                copier.outstanding = copier.outstanding.saturating_sub(records.len() as u64);
                if let (0, Doing::Flushing(commit)) = (copier.outstanding, &self.doing) {
                    let commit = *commit;
                    self.commit(commit, now, out);
                }
            }
            ProducerReport::TransactionCallReturned { call, failure } => {
                self.on_transaction_call(*call, *failure, now, out);
            }
            ProducerReport::Closed => self.close_consumer(out),
        }
    }

    pub(crate) fn on_wake(&mut self, wake: Wake, now: SimTime, out: &mut Vec<Action>) {
        match wake {
            Wake::Work { thread, token } => {
                let thread = usize::from(thread);
                if self.threads[thread].is_working() && self.threads[thread].token() == token {
                    self.chunk_done(thread, now, out);
                }
            }
            Wake::PollAgain { token } => {
                if self.doing == Doing::Breathing && self.token == token {
                    self.go_on(now, out);
                }
            }
            Wake::Resume => self.resume(now, out),
            Wake::ShutDown => self.shut_down(now, out),
        }
    }

    // ---- the loop --------------------------------------------------------------------------------------------------

    /// The next turn of the loop, or its end.
    fn go_on(&mut self, now: SimTime, out: &mut Vec<Action>) {
        if self.ending {
            self.begin_close(out);
        } else {
            self.poll(now, out);
        }
    }

    fn poll(&mut self, now: SimTime, out: &mut Vec<Action>) {
        self.doing = Doing::Polling(now);
        out.push(Action::Consumer(ConsumerCall::Poll { timeout: self.spec.poll_timeout }));
    }

    fn on_polled(&mut self, records: Vec<PolledRecords>, now: SimTime, out: &mut Vec<Action>) {
        let Doing::Polling(since) = self.doing else { return };
        if records.is_empty() {
            if since == now && !self.ending {
                self.breathe(now, out);
            } else {
                self.go_on(now, out);
            }
            return;
        }
        for polled in &records {
            note(&mut self.delivered, polled.partition, polled.to);
        }
        match self.spec.commit {
            CommitStyle::HandedToWorkers => self.hand_over(records, now, out),
            CommitStyle::BeforeProcessing => {
                self.batch = records;
                self.commit(Commit::Beforehand, now, out);
            }
            CommitStyle::InTransaction => {
                self.offsets = offsets_after(&records);
                self.batch = records;
                self.aborts = self.copier.as_mut().is_some_and(Copier::draws_abort);
                self.call(TransactionCall::Begin, out);
            }
            CommitStyle::Auto
            | CommitStyle::SyncPerBatch
            | CommitStyle::SyncPerRecord
            | CommitStyle::Async
            | CommitStyle::AsyncRetried
            | CommitStyle::AsyncThenSync
            | CommitStyle::Never => self.process(records, now, out),
        }
    }

    /// A moment before the next turn of the loop.
    fn breathe(&mut self, now: SimTime, out: &mut Vec<Action>) {
        self.token += 1;
        self.doing = Doing::Breathing;
        out.push(Action::WakeAt(now + BREATH, Wake::PollAgain { token: self.token }));
    }

    fn process(&mut self, records: Vec<PolledRecords>, now: SimTime, out: &mut Vec<Action>) {
        self.doing = Doing::Working;
        for polled in records {
            self.threads[0].push(polled);
        }
        self.work(0, now, out);
    }

    /// Each partition has its worker, so that its records stay in order; the queues have no limit.
    fn hand_over(&mut self, records: Vec<PolledRecords>, now: SimTime, out: &mut Vec<Action>) {
        let workers = self.threads.len();
        for polled in records {
            let partition = polled.partition;
            let worker =
                (usize::from(partition.topic.0) + usize::from(partition.partition.0)) % workers;
            self.threads[worker].push(polled);
        }
        self.doing = Doing::Nothing;
        for worker in 0..workers {
            if !self.threads[worker].is_working() {
                self.work(worker, now, out);
            }
        }
        if !self.has_ended(out) {
            self.go_on(now, out);
        }
    }

    fn has_ended(&self, out: &[Action]) -> bool {
        matches!(out.last(), Some(Action::Exit { .. }))
    }

    /// A thread takes up what it does next.
    fn work(&mut self, thread: usize, now: SimTime, out: &mut Vec<Action>) {
        let one_by_one = self.spec.commit == CommitStyle::SyncPerRecord;
        match self.threads[thread].begin(now, &mut self.pace, one_by_one) {
            Begun::Idle => self.thread_is_idle(now, out),
            Begun::Crash(after) => {
                self.doing = Doing::Nothing;
                let afterwards = Afterwards::StartsAgain(after);
                out.push(Action::Exit { clean: false, afterwards });
            }
            Begun::Until(at) if at > now => {
                self.hold_interpreter(true, out);
                let token = self.threads[thread].token();
                out.push(Action::WakeAt(at, Wake::Work { thread: thread as u16, token }));
            }
            Begun::Until(_) => self.chunk_done(thread, now, out),
        }
    }

    fn chunk_done(&mut self, thread: usize, now: SimTime, out: &mut Vec<Action>) {
        let done = self.threads[thread].finish();
        self.hold_interpreter(false, out);
        self.state_processed(&done, out);
        let mut copies = std::mem::take(&mut self.owed);
        if let Some(copier) = &mut self.copier {
            copies.extend(copier.copies_of(&done));
            copier.outstanding += copies.len() as u64;
        }
        if !copies.is_empty() {
            out.push(Action::Write(copies));
        }
        if self.spec.commit == CommitStyle::SyncPerRecord {
            self.offsets = offsets_after(&done);
            self.flush(Commit::Record, now, out);
        } else {
            self.work(thread, now, out);
        }
    }

    /// Work that keeps Python's interpreter lock begins or ends.
    fn hold_interpreter(&self, holds: bool, out: &mut Vec<Action>) {
        if self.spec.processing.holds_interpreter_lock {
            out.push(Action::Consumer(ConsumerCall::HoldsInterpreter(holds)));
        }
    }

    fn state_processed(&self, done: &[PolledRecords], out: &mut Vec<Action>) {
        out.extend(facts_of(done).map(Action::State));
    }

    fn thread_is_idle(&mut self, now: SimTime, out: &mut Vec<Action>) {
        match (self.spec.commit, &self.doing) {
            (CommitStyle::HandedToWorkers, Doing::Draining) => {
                if self.threads.iter().all(Thread::is_idle) {
                    self.close_libraries(out);
                }
            }
            (CommitStyle::HandedToWorkers, _) => {}
            (CommitStyle::Auto | CommitStyle::Never | CommitStyle::BeforeProcessing, _) => {
                self.go_on(now, out);
            }
            (CommitStyle::SyncPerBatch, _) => self.flush(Commit::Batch, now, out),
            (CommitStyle::SyncPerRecord, _) => self.go_on(now, out),
            (CommitStyle::Async | CommitStyle::AsyncRetried | CommitStyle::AsyncThenSync, _) => {
                self.flush(Commit::BatchAsync, now, out);
            }
            (CommitStyle::InTransaction, _) if self.aborts => {
                self.call(TransactionCall::Abort, out);
            }
            (CommitStyle::InTransaction, _) => self.send_offsets(out),
        }
    }

    // ---- what others may know --------------------------------------------------------------------------------------

    pub(crate) fn spec(&self) -> &GroupSpec {
        &self.spec
    }

    /// It waits for records and for nothing else.
    pub(crate) fn is_at_rest(&self) -> bool {
        let waits = matches!(self.doing, Doing::Polling(_) | Doing::Breathing);
        let written = self.copier.as_ref().is_none_or(|copier| copier.outstanding == 0);
        waits && written && self.callbacks_open == 0 && self.threads.iter().all(Thread::is_idle)
    }

    /// Up to where `poll()` has returned records of a partition, since it was assigned.
    pub(crate) fn delivered(&self, partition: TopicPartition) -> Option<Offset> {
        let at = self.delivered.binary_search_by_key(&partition, |&(other, _)| other).ok()?;
        Some(self.delivered[at].1)
    }

    /// Records returned by `poll()` and not processed.
    pub(crate) fn in_hand(&self) -> u64 {
        let waiting = self.batch.iter().map(|polled| polled.to.distance_from(polled.from));
        waiting.sum::<u64>() + self.threads.iter().map(Thread::in_hand).sum::<u64>()
    }

    /// What it is doing, in words.
    pub(crate) fn activity(&self) -> &'static str {
        match self.doing {
            Doing::Nothing => "ends",
            Doing::Breathing => "between two polls",
            Doing::Polling(_) => "inside poll()",
            Doing::CommittingInListener(_) => "inside commitSync() of its rebalance listener",
            Doing::Working => "processing",
            Doing::Flushing(_) => "inside flush()",
            Doing::Committing(_) => "inside commitSync()",
            Doing::InTransactionCall(TransactionCallKind::Init) => "inside initTransactions()",
            Doing::InTransactionCall(TransactionCallKind::Begin) => "inside beginTransaction()",
            Doing::InTransactionCall(TransactionCallKind::SendOffsets) => {
                "inside sendOffsetsToTransaction()"
            }
            Doing::InTransactionCall(TransactionCallKind::Commit) => "inside commitTransaction()",
            Doing::InTransactionCall(TransactionCallKind::Abort) => "inside abortTransaction()",
            Doing::Draining => "waiting for its workers",
            Doing::ClosingProducer => "inside close() of its producer",
            Doing::ClosingConsumer => "inside close()",
        }
    }
}

fn note(offsets: &mut Vec<(TopicPartition, Offset)>, partition: TopicPartition, offset: Offset) {
    match offsets.binary_search_by_key(&partition, |&(other, _)| other) {
        Ok(at) => offsets[at].1 = offset,
        Err(at) => offsets.insert(at, (partition, offset)),
    }
}
