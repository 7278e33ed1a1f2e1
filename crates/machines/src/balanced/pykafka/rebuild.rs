//! `_setup_internal_consumer()`: if the share has changed, the inner consumer is stopped and another one made, which begins
//! from the committed offsets, also of what the old one had read.
//!
//! Mirrors the constructor, `start()`, `fetch_offsets()`, `reset_offsets()` and `stop()` of `SimpleConsumer`. What is
//! raised here leaves the consumer with an inner one that has stopped: it holds its znodes and reads nothing.

use super::{Inner, Pykafka, policy};
use crate::balanced::BalancedCx;
use crate::balanced::commit::Commit;
use crate::balanced::shared::Shared;
use crate::balanced::threads::{Progress, RETURNED, Resume, Thread, Wait, raised};
use acklab_vocab::api::{OffsetFetchRequest, OffsetFetchResponse, Request, Response};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::TopicPartition;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{ClientException, CommitTrigger, PositionSource};
use std::task::Poll;

/// A thread inside `_setup_internal_consumer()`.
#[derive(Debug)]
pub(super) struct Rebuild {
    partitions: Vec<TopicPartition>,
    attempt: u32,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    New,
    /// `stop()` of the old one.
    Stopping(Commit),
    FetchingOffsets,
    Sleeping(SimTime),
    /// `reset_offsets()`: the leaders are asked.
    Resetting(SimTime),
    /// Which commits the outcome.
    CommittingReset(Commit),
}

impl Rebuild {
    pub const fn new(partitions: Vec<TopicPartition>) -> Self {
        Rebuild { partitions, attempt: 0, stage: Stage::New }
    }

    pub fn wait(&self) -> Wait {
        match &self.stage {
            Stage::New | Stage::FetchingOffsets => Wait::Answer,
            Stage::Stopping(commit) | Stage::CommittingReset(commit) => commit.wait(),
            Stage::Sleeping(until) => Wait::Until(*until),
            Stage::Resetting(until) => Wait::Positions(*until),
        }
    }

    pub fn resume(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
        thread: Thread,
        resume: Resume,
    ) -> Progress {
        match &mut self.stage {
            Stage::New => self.begin(cx, pykafka, shared, thread),
            Stage::Stopping(commit) => {
                let progress = commit.resume(cx, shared, thread, resume);
                self.after_stop(cx, pykafka, shared, thread, progress)
            }
            Stage::FetchingOffsets => self.on_offsets(cx, pykafka, shared, resume),
            Stage::Sleeping(_) => self.fetch_offsets(cx, shared, thread),
            Stage::Resetting(_) if !shared.kafka.fetching.has_all_positions() => {
                shared.stop_fetching(cx);
                raised(ClientException::KafkaException)
            }
            Stage::Resetting(_) => self.commit_reset(cx, pykafka, shared, thread),
            Stage::CommittingReset(commit) => {
                let progress = commit.resume(cx, shared, thread, resume);
                self.after_commit(cx, pykafka, shared, progress)
            }
        }
    }

    fn begin(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
        thread: Thread,
    ) -> Progress {
        let before = pykafka.inner.as_ref().map_or(&[][..], |inner| &inner.partitions);
        if before == self.partitions {
            pykafka.is_inner_running = pykafka.inner.as_ref().is_some_and(|it| it.is_running);
            return RETURNED;
        }
        let Some(inner) = &mut pykafka.inner else {
            return self.fetch_offsets_or_begin(cx, pykafka, shared, thread);
        };
        inner.is_running = false;
        if shared.setup.config.auto_commit.is_none() {
            return self.after_stop(cx, pykafka, shared, thread, RETURNED);
        }
        let offsets = shared.kafka.fetching.all_consumed();
        let policy = policy(&shared.setup.config, pykafka.member);
        let mut commit = Commit::new(policy, CommitTrigger::AutoRevocation, offsets);
        let progress = commit.resume(cx, shared, thread, Resume::Go);
        self.stage = Stage::Stopping(commit);
        self.after_stop(cx, pykafka, shared, thread, progress)
    }

    fn after_stop(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
        thread: Thread,
        progress: Progress,
    ) -> Progress {
        if progress.is_ready() {
            shared.stop_fetching(cx);
        }
        match progress {
            Poll::Ready(Ok(())) => self.fetch_offsets_or_begin(cx, pykafka, shared, thread),
            other => other,
        }
    }

    // ---- the new one ----------------------------------------------------------------------------

    fn fetch_offsets_or_begin(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
        thread: Thread,
    ) -> Progress {
        match self.partitions.is_empty() {
            true => self.begin_to_read(cx, pykafka, shared),
            false => self.fetch_offsets(cx, shared, thread),
        }
    }

    fn fetch_offsets(
        &mut self,
        cx: &mut BalancedCx<'_>,
        shared: &mut Shared,
        thread: Thread,
    ) -> Progress {
        let request = Request::OffsetFetch(OffsetFetchRequest {
            group: shared.group(),
            member: None,
            partitions: self.partitions.clone(),
            require_stable: false,
        });
        shared.kafka.ask(cx.now(), thread, request, None);
        self.stage = Stage::FetchingOffsets;
        Poll::Pending
    }

    fn on_offsets(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
        resume: Resume,
    ) -> Progress {
        let answer = match resume.kafka() {
            Ok(response) => match *response {
                Response::OffsetFetch(answer) => answer,
                other => unreachable!("answered an OffsetFetch with {other:?}"),
            },
            // `SocketDisconnectedError` is not caught here.
            Err(_) => return raised(ClientException::KafkaException),
        };
        let error = error_of(&answer);
        if !error.is_none() {
            if matches!(error, ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable) {
                shared.kafka.forget_coordinator(cx);
            }
            let wait = shared.setup.config.offsets_channel_backoff * u64::from(self.attempt);
            self.attempt += 1;
            if self.attempt >= shared.setup.config.offsets_commit_max_retries {
                return raised(ClientException::KafkaException);
            }
            self.stage = Stage::Sleeping(cx.now() + wait);
            return Poll::Pending;
        }
        shared.start_fetching(cx, &self.partitions);
        for &(partition, _, committed) in &answer.partitions {
            if let Some(committed) = committed {
                shared.learn_committed(partition, committed.offset);
            }
            let kafka = &mut shared.kafka;
            let source = PositionSource::Committed;
            kafka.fetching.initialize(cx, &mut kafka.client, partition, committed, source);
        }
        if answer.partitions.iter().all(|entry| entry.2.is_some()) {
            return self.begin_to_read(cx, pykafka, shared);
        }
        let tries = u64::from(shared.setup.config.offsets_commit_max_retries);
        let waits = tries * tries.saturating_sub(1) / 2;
        let until = cx.now() + shared.setup.config.offsets_channel_backoff * waits.max(1);
        self.stage = Stage::Resetting(until);
        Poll::Pending
    }

    fn commit_reset(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
        thread: Thread,
    ) -> Progress {
        let mut commit = pykafka.commit_of_everything(shared, CommitTrigger::AutoInterval);
        let progress = commit.resume(cx, shared, thread, Resume::Go);
        self.stage = Stage::CommittingReset(commit);
        self.after_commit(cx, pykafka, shared, progress)
    }

    fn after_commit(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &mut Shared,
        progress: Progress,
    ) -> Progress {
        match progress {
            Poll::Ready(Ok(())) => self.begin_to_read(cx, pykafka, shared),
            Poll::Ready(Err(_)) => {
                shared.stop_fetching(cx);
                progress
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn begin_to_read(
        &mut self,
        cx: &mut BalancedCx<'_>,
        pykafka: &mut Pykafka,
        shared: &Shared,
    ) -> Progress {
        let interval = shared.setup.config.auto_commit;
        pykafka.inner = Some(Inner {
            partitions: std::mem::take(&mut self.partitions),
            is_running: true,
            exception: None,
            next_auto_commit: interval.map_or(SimTime::NEVER, |interval| cx.now() + interval),
        });
        pykafka.is_inner_running = true;
        RETURNED
    }
}

/// The first error of an answer.
fn error_of(answer: &OffsetFetchResponse) -> ErrorCode {
    let errors = answer.partitions.iter().map(|entry| entry.1);
    let mut errors = std::iter::once(answer.error).chain(errors);
    errors.find(|error| !error.is_none()).unwrap_or_default()
}
