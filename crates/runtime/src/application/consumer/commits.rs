//! How an application commits, and what it does when a commit fails.

use super::{Commit, ConsumerApplication, Doing};
use crate::application::{Action, Afterwards};
use acklab_machines::consumer::ConsumerCall;
use acklab_vocab::api::OffsetToCommit;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::TopicPartition;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{
    ApplicationReaction, CommitFailure, CommitStyle, CommitTrigger, TraceEvent,
};
use std::sync::Arc;

/// A callback that commits again at once is not called more often than this at one instant.
const MOST_RETRIES_AT_ONCE: u32 = 100;

/// How long a supervisor waits before it starts a process again that an exception has ended.
const RESTART_AFTER_EXCEPTION: SimDuration = SimDuration::from_secs(1);

impl ConsumerApplication {
    /// Commits as soon as everything written has been answered.
    pub(super) fn flush(&mut self, commit: Commit, now: SimTime, out: &mut Vec<Action>) {
        if self.copier.as_ref().is_some_and(|copier| copier.outstanding > 0) {
            self.doing = Doing::Flushing(commit);
        } else {
            self.commit(commit, now, out);
        }
    }

    pub(super) fn commit(&mut self, commit: Commit, now: SimTime, out: &mut Vec<Action>) {
        let (offsets, trigger) = match commit {
            Commit::Batch | Commit::Beforehand => (None, CommitTrigger::Sync),
            Commit::Record => (Some(Arc::clone(&self.offsets)), CommitTrigger::Sync),
            Commit::Close => (None, CommitTrigger::SyncClose),
            Commit::BatchAsync => {
                self.callbacks_open += 1;
                let trigger = CommitTrigger::Async;
                out.push(Action::Consumer(ConsumerCall::CommitAsync { offsets: None, trigger }));
                self.go_on(now, out);
                return;
            }
        };
        self.doing = Doing::Committing(commit);
        out.push(Action::Consumer(ConsumerCall::CommitSync { offsets, trigger }));
    }

    pub(super) fn on_committed(
        &mut self,
        failure: Option<CommitFailure>,
        now: SimTime,
        out: &mut Vec<Action>,
    ) {
        let commit = match self.doing {
            Doing::CommittingInListener(since) => {
                self.doing = Doing::Polling(since);
                out.push(Action::Consumer(ConsumerCall::ListenerReturned));
                return;
            }
            Doing::Committing(commit) => commit,
            _ => return,
        };
        let reaction = self.spec.on_commit_failure;
        if let Some(failure) = failure
            && commit != Commit::Close
            && is_for_good(failure)
            && reaction != ApplicationReaction::Ignored
        {
            self.fail(Some(failure), ErrorCode::None, reaction, out);
            return;
        }
        match commit {
            Commit::Batch | Commit::BatchAsync => self.go_on(now, out),
            Commit::Record => {
                self.doing = Doing::Working;
                self.work(0, now, out);
            }
            Commit::Beforehand => {
                let batch = std::mem::take(&mut self.batch);
                if failure.is_none() || reaction == ApplicationReaction::Ignored {
                    self.process(batch, now, out);
                } else {
                    self.go_on(now, out);
                }
            }
            Commit::Close => self.close_libraries(out),
        }
    }

    pub(super) fn on_commit_callback(
        &mut self,
        offsets: Arc<[OffsetToCommit]>,
        failure: Option<CommitFailure>,
        now: SimTime,
        out: &mut Vec<Action>,
    ) {
        self.callbacks_open = self.callbacks_open.saturating_sub(1);
        let retries = self.spec.commit == CommitStyle::AsyncRetried
            && matches!(failure, Some(CommitFailure::Retriable(_)))
            && matches!(self.doing, Doing::Polling(_));
        let so_far = if self.retried.0 == now { self.retried.1 } else { 0 };
        if retries && so_far < MOST_RETRIES_AT_ONCE {
            self.retried = (now, so_far + 1);
            self.callbacks_open += 1;
            let trigger = CommitTrigger::AsyncRetry;
            let offsets = Some(offsets);
            out.push(Action::Consumer(ConsumerCall::CommitAsync { offsets, trigger }));
        }
    }

    pub(super) fn on_revoked(
        &mut self,
        partitions: &[TopicPartition],
        lost: bool,
        out: &mut Vec<Action>,
    ) {
        self.delivered.retain(|(partition, _)| partitions.binary_search(partition).is_err());
        match self.doing {
            Doing::Polling(since) if self.spec.commit == CommitStyle::AsyncThenSync && !lost => {
                self.doing = Doing::CommittingInListener(since);
                let trigger = CommitTrigger::SyncRevocation;
                out.push(Action::Consumer(ConsumerCall::CommitSync { offsets: None, trigger }));
            }
            _ => out.push(Action::Consumer(ConsumerCall::ListenerReturned)),
        }
    }

    /// An error that the application does not go on with.
    /// A call has thrown an exception of the ZooKeeper era. Uncaught, it ends the process, and a supervisor starts it again;
    /// or the application makes a new consumer, or goes on as if nothing had been.
    pub(super) fn on_raised(&mut self, now: SimTime, out: &mut Vec<Action>) {
        let reaction = self.spec.on_commit_failure;
        let error = ErrorCode::UnknownServerError;
        match reaction {
            ApplicationReaction::Stopped => {
                let failed = TraceEvent::ApplicationFailed { failure: None, error, reaction };
                out.push(Action::State(failed));
                self.doing = Doing::Nothing;
                let afterwards = match self.ending {
                    true => Afterwards::AsOrdered,
                    false => Afterwards::StartsAgain(RESTART_AFTER_EXCEPTION),
                };
                out.push(Action::Exit { clean: false, afterwards });
            }
            ApplicationReaction::Resubscribed => self.fail(None, error, reaction, out),
            ApplicationReaction::Ignored => {
                let failed = TraceEvent::ApplicationFailed { failure: None, error, reaction };
                out.push(Action::State(failed));
                self.breathe(now, out);
            }
        }
    }

    pub(super) fn fail(
        &mut self,
        failure: Option<CommitFailure>,
        error: ErrorCode,
        reaction: ApplicationReaction,
        out: &mut Vec<Action>,
    ) {
        out.push(Action::State(TraceEvent::ApplicationFailed { failure, error, reaction }));
        match reaction {
            ApplicationReaction::Stopped | ApplicationReaction::Ignored => {
                self.doing = Doing::Nothing;
                let afterwards = Afterwards::StaysDown;
                out.push(Action::Exit { clean: false, afterwards });
            }
            ApplicationReaction::Resubscribed => {
                self.threads[0].drop_queue();
                self.batch.clear();
                self.close_consumer(out);
            }
        }
    }
}

/// Whether a failure is one after which the same commit cannot succeed any more.
pub(crate) fn is_for_good(failure: CommitFailure) -> bool {
    match failure {
        CommitFailure::CommitFailed(_)
        | CommitFailure::FencedInstance
        | CommitFailure::Other(_) => true,
        CommitFailure::RebalanceInProgress
        | CommitFailure::Retriable(_)
        | CommitFailure::Timeout => false,
    }
}
