//! Fetch, by followers and consumers.
//!
//! Mirrors `KafkaApis.handleFetchRequest`, `ReplicaManager.fetchMessages` and `readFromLog`,
//! `Partition.fetchRecords`. A fetch first reads, with the high watermark and log end as they were,
//! and only then tells the leader how far the follower is: the answer carries the high watermark of
//! before, so a follower learns it one fetch late. Left out: consumers that fetch from followers
//! (KIP-392), throttling.

use super::fetch_session::{FetchParameters, ParkedFetch, SessionPartition};
use super::partition::FollowerFetch;
use super::{Broker, BrokerCx};
use acklab_vocab::api::{
    EpochEndOffset, FetchRequest, FetchResponse, FetchingReplica, Isolation, PartitionFetch,
    PartitionFetchResponse, Response,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{ConnectionId, CorrelationId, Offset};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimDuration;
use smallvec::SmallVec;

/// What a fetch has read.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// What is new for the sender.
    answers: Vec<PartitionFetchResponse>,
    /// Where each answer's partition is in the session.
    indexes: SmallVec<[u32; 4]>,
    bytes: u64,
    /// An error, or a log that parts from the leader's: not worth waiting.
    is_urgent: bool,
}

/// So much is worth an answer.
pub(super) fn answers_at_once(bytes: u64, min_bytes: u32) -> bool {
    bytes >= u64::from(min_bytes)
}

/// One partition, read.
struct Read {
    answer: PartitionFetchResponse,
    slot: usize,
    leader_end: Offset,
}

impl Broker {
    pub(super) fn on_fetch(
        &mut self,
        cx: &mut BrokerCx<'_>,
        connection: ConnectionId,
        correlation: CorrelationId,
        request: FetchRequest,
    ) {
        self.fetch_sessions.notice_changes(&mut self.replicas);
        let (sessions, replicas) = (&mut self.fetch_sessions, &mut self.replicas);
        let session = sessions.open(cx.now(), connection, &request, replicas);
        if request.replica.is_some_and(|replica| self.has_been_replaced(replica)) {
            self.fetch_sessions.get_mut(session).activate_all(&mut self.replicas);
        }
        let parameters = FetchParameters::of(&request);
        let reads = self.read_from_log(cx, session, parameters, request.replica);
        let at_once = request.max_wait == SimDuration::ZERO
            || self.fetch_sessions.get(session).len() == 0
            || answers_at_once(reads.bytes, request.min_bytes)
            || reads.is_urgent;
        if at_once {
            self.answer_fetch(cx, session, correlation, reads);
        } else if request.replica.is_some() && self.has_grown_meanwhile(cx, session, parameters) {
            let reads = self.read_from_log(cx, session, parameters, None);
            self.answer_fetch(cx, session, correlation, reads);
        } else {
            let deadline = cx.now() + request.max_wait;
            self.park_fetch(cx, session, ParkedFetch { correlation, parameters, deadline });
        }
    }

    /// Whether there is more to read than when the fetch was read: what it told of the follower
    /// completed a coordinator's append, upon which the next one went into the log
    /// (`DelayedOperationPurgatory.tryCompleteElseWatch` looks before anything waits).
    fn has_grown_meanwhile(
        &mut self,
        cx: &mut BrokerCx<'_>,
        session: u32,
        parameters: FetchParameters,
    ) -> bool {
        self.fetch_sessions.notice_changes(&mut self.replicas);
        let fetches = self.fetch_sessions.get(session).active_fetches();
        let readable = fetches.map(|fetch| self.bytes_readable(cx, parameters.isolation, fetch));
        answers_at_once(readable.sum(), parameters.min_bytes)
    }

    /// A newer incarnation of the follower is registered: every partition has to say so.
    fn has_been_replaced(&self, replica: FetchingReplica) -> bool {
        let registered = self.shared.image.broker(replica.broker);
        registered.is_some_and(|known| known.broker_epoch > Some(replica.broker_epoch))
    }

    /// The connection is gone.
    pub(super) fn forget_fetch_session(&mut self, connection: ConnectionId) {
        self.fetch_sessions.close(connection, &mut self.replicas);
    }

    /// Reads every active partition of a fetch. `follower`: whose state to update, on the first
    /// reading only.
    pub(super) fn read_from_log(
        &mut self,
        cx: &mut BrokerCx<'_>,
        session: u32,
        parameters: FetchParameters,
        follower: Option<FetchingReplica>,
    ) -> Reads {
        self.fetch_sessions.notice_changes(&mut self.replicas);
        let mut reads = Reads::default();
        let mut bytes_left = parameters.max_bytes;
        let active = SmallVec::<[u32; 16]>::from(self.fetch_sessions.get_mut(session).active());
        for index in active {
            let opened = self.fetch_sessions.get_mut(session);
            opened.watch(session, index, &mut self.replicas);
            let Some(fetch) = opened.get(index).map(|known| known.fetch) else { continue };
            let first = reads.bytes == 0;
            let answer = self.fetch_records(cx, parameters, &fetch, bytes_left, first, follower);
            let answer = answer.unwrap_or_else(|error| self.fetch_error(&fetch, error));
            let bytes: u32 = answer.batches.iter().map(|batch| batch.size).sum();
            bytes_left = bytes_left.saturating_sub(bytes);
            reads.bytes += u64::from(bytes);
            reads.is_urgent |= !answer.error.is_none() || answer.diverging_epoch.is_some();
            let known = self.fetch_sessions.get(session).get(index);
            if known.is_some_and(|known| known.is_news(&answer)) {
                reads.answers.push(answer);
                reads.indexes.push(index);
            } else if known.is_some_and(|known| self.is_quiet(known, parameters)) {
                self.fetch_sessions.get_mut(session).deactivate(index);
            }
        }
        self.fetch_sessions.get_mut(session).drop_quiet_ones();
        debug_assert!(self.quiet_ones_are_quiet(session, parameters), "a change was overlooked");
        reads
    }

    /// Whether fetches need not look at a partition, as far as this one sees, which found nothing
    /// new.
    fn is_quiet(&self, known: &SessionPartition, parameters: FetchParameters) -> bool {
        let fetch = &known.fetch;
        let Ok(slot) = self.led(fetch.partition, fetch.current_leader_epoch) else { return false };
        let partition = &self.replicas[slot];
        let log = &partition.log;
        let below = match parameters.isolation {
            Isolation::LogEnd => log.end_offset(),
            Isolation::HighWatermark => log.high_watermark(),
            Isolation::LastStable => log.last_stable_offset(),
        };
        known.was_told(log.high_watermark(), log.start_offset())
            && fetch.fetch_offset >= below
            && fetch.fetch_offset <= log.end_offset()
            && parameters.replica.is_none_or(|from| partition.learns_nothing_from(from.broker))
    }

    /// Whether those that are not looked at would be found quiet, if they were: looked at now and
    /// then.
    #[cfg(debug_assertions)]
    fn quiet_ones_are_quiet(&self, session: u32, parameters: FetchParameters) -> bool {
        let session = self.fetch_sessions.get(session);
        let mut quiet = session.quiet().filter(|_| session.walks.is_multiple_of(16));
        quiet.all(|(known, slot)| {
            let changed = slot.is_some_and(|slot| self.replicas[slot].change_noted);
            changed || self.is_quiet(known, parameters)
        })
    }

    #[cfg(not(debug_assertions))]
    const fn quiet_ones_are_quiet(&self, _: u32, _: FetchParameters) -> bool {
        true
    }

    /// Reads one partition, then learns from it how far the follower is (`Partition.fetchRecords`).
    fn fetch_records(
        &mut self,
        cx: &mut BrokerCx<'_>,
        parameters: FetchParameters,
        fetch: &PartitionFetch,
        bytes_left: u32,
        min_one_batch: bool,
        follower: Option<FetchingReplica>,
    ) -> Result<PartitionFetchResponse, ErrorCode> {
        let Read { answer, slot, leader_end } =
            self.read_records(cx, parameters, fetch, bytes_left, min_one_batch)?;
        if let Some(replica) = follower
            && answer.diverging_epoch.is_none()
        {
            let fetch = FollowerFetch {
                follower: replica.broker,
                broker_epoch: replica.broker_epoch,
                offset: fetch.fetch_offset,
                leader_end,
            };
            self.update_follower(cx, slot, fetch)?;
        }
        Ok(answer)
    }

    fn read_records(
        &self,
        cx: &mut BrokerCx<'_>,
        parameters: FetchParameters,
        fetch: &PartitionFetch,
        bytes_left: u32,
        min_one_batch: bool,
    ) -> Result<Read, ErrorCode> {
        let slot = self.led(fetch.partition, fetch.current_leader_epoch)?;
        let partition = &self.replicas[slot];
        if parameters.replica.is_some_and(|from| !partition.replicas.contains(&from.broker)) {
            return Err(match fetch.current_leader_epoch {
                Some(_) => ErrorCode::UnknownLeaderEpoch,
                None => ErrorCode::NotLeaderOrFollower,
            });
        }
        let log = &partition.log;
        let (leader_end, high_watermark) = (log.end_offset(), log.high_watermark());
        let mut answer = PartitionFetchResponse {
            partition: fetch.partition,
            error: ErrorCode::None,
            high_watermark,
            last_stable_offset: log.last_stable_offset(),
            log_start_offset: log.start_offset(),
            diverging_epoch: None,
            current_leader: None,
            batches: SmallVec::new(),
            aborted: SmallVec::new(),
        };
        if let Some(epoch) = fetch.last_fetched_epoch {
            let own = log.end_offset_for(cx.disk(), epoch).ok_or(ErrorCode::OffsetOutOfRange)?;
            if fetch.fetch_offset < log.start_offset() {
                return Err(ErrorCode::OffsetOutOfRange);
            }
            if own.leader_epoch < epoch || own.end_offset < fetch.fetch_offset {
                let EpochEndOffset { leader_epoch, end_offset } = own;
                answer.diverging_epoch = Some(EpochEndOffset { leader_epoch, end_offset });
                return Ok(Read { answer, slot, leader_end });
            }
        }
        if fetch.fetch_offset < log.start_offset() || fetch.fetch_offset > leader_end {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        let below = match parameters.isolation {
            Isolation::LogEnd => leader_end,
            Isolation::HighWatermark => high_watermark,
            Isolation::LastStable => answer.last_stable_offset,
        };
        if fetch.fetch_offset < below {
            let max_bytes = fetch.max_bytes.min(bytes_left);
            let disk = cx.disk();
            answer.batches = log.read(disk, fetch.fetch_offset, below, max_bytes, min_one_batch);
        }
        if parameters.isolation == Isolation::LastStable
            && let Some(last) = answer.batches.last()
        {
            answer.aborted = log.aborted_in(fetch.fetch_offset, last.next_offset());
        }
        Ok(Read { answer, slot, leader_end })
    }

    /// The follower is at `fetch.offset`: it may join the ISR, and the high watermark may move
    /// (`Partition.updateFollowerFetchState`).
    fn update_follower(
        &mut self,
        cx: &mut BrokerCx<'_>,
        slot: usize,
        fetch: FollowerFetch,
    ) -> Result<(), ErrorCode> {
        let partition = self.replicas.quietly(slot);
        let changed = partition.record_follower_fetch(cx, &self.shared, fetch)?;
        self.maybe_expand_isr(cx, slot, fetch.follower);
        if self.is_locked(slot) {
            // The ISR is being written: the rest follows when that is done.
            return Ok(());
        }
        let partition = self.replicas.quietly(slot);
        if changed && partition.maybe_increment_high_watermark(cx, &self.shared) {
            self.replicas.note_change(slot);
            self.complete_after_high_watermark(cx, slot);
        }
        Ok(())
    }

    fn fetch_error(&self, fetch: &PartitionFetch, error: ErrorCode) -> PartitionFetchResponse {
        let log = self.hosted(fetch.partition).ok().map(|slot| &self.replicas[slot].log);
        let is_stale =
            matches!(error, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
        let names_leader = is_stale && self.shared.has(ProtocolRule::LeaderInErrorResponse);
        PartitionFetchResponse {
            partition: fetch.partition,
            error,
            high_watermark: log.map_or(Offset(0), |log| log.high_watermark()),
            last_stable_offset: log.map_or(Offset(0), |log| log.last_stable_offset()),
            log_start_offset: log.map_or(Offset(0), |log| log.start_offset()),
            diverging_epoch: None,
            current_leader: if names_leader { self.current_leader(fetch.partition) } else { None },
            batches: SmallVec::new(),
            aborted: SmallVec::new(),
        }
    }

    /// How much of a partition could be read now, up to what the fetch takes.
    pub(super) fn bytes_readable(
        &self,
        cx: &mut BrokerCx<'_>,
        isolation: Isolation,
        fetch: &PartitionFetch,
    ) -> u64 {
        let Ok(slot) = self.led(fetch.partition, fetch.current_leader_epoch) else { return 0 };
        let log = &self.replicas[slot].log;
        let below = match isolation {
            Isolation::LogEnd => log.end_offset(),
            Isolation::HighWatermark => log.high_watermark(),
            Isolation::LastStable => log.last_stable_offset(),
        };
        if fetch.fetch_offset >= below {
            return 0;
        }
        let file = cx.disk().log(log.id());
        let batches = file.batches()[file.position(fetch.fetch_offset)..].iter();
        let readable = batches.take_while(|batch| batch.next_offset() <= below);
        let bytes: u64 = readable.map(|batch| u64::from(batch.size)).sum();
        bytes.min(u64::from(fetch.max_bytes))
    }

    /// Answers a fetch, and remembers what it was told.
    pub(super) fn answer_fetch(
        &mut self,
        cx: &mut BrokerCx<'_>,
        session: u32,
        correlation: CorrelationId,
        reads: Reads,
    ) {
        let session = self.fetch_sessions.get_mut(session);
        for (index, answer) in reads.indexes.iter().zip(&reads.answers) {
            session.tell(*index, answer);
        }
        let response = Response::Fetch(FetchResponse { partitions: reads.answers });
        cx.respond(session.connection, correlation, response);
    }
}
