//! One replica's log on a broker: offsets, high watermark, leader epochs, producer state.
//!
//! Mirrors `UnifiedLog` and `LocalLog`, with [`leader_epochs`] (`LeaderEpochFileCache`),
//! [`producer_state`], [`transactions`] and [`verification`] (`ProducerStateManager`). The batches
//! and the epoch entries are on the [`Disk`]; the high watermark, the producer state and the
//! transactions die with the process.
//!
//! Left out: several segment files per log. A filled segment matters because Kafka flushes it, so
//! its end is tracked; reads that stop at the end of a segment only cost another fetch. Left out as
//! well: retention, compaction, tiered storage, and rolling by age (`segment.ms`, 7 days).

pub mod leader_epochs;
pub mod producer_state;
pub mod transactions;
pub mod verification;

use crate::disk::{Disk, LogId};
use acklab_vocab::api::EpochEndOffset;
use acklab_vocab::config::TopicConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{LeaderEpoch, Offset, ProducerId, TopicPartition};
use acklab_vocab::record::{Payload, ProducerBatch, ProducerStamp, RecordBatch};
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};
use acklab_vocab::time::{SimDuration, SimTime};
use producer_state::ProducerStates;
use smallvec::SmallVec;
use std::sync::Arc;
use transactions::Transactions;
use verification::Verifications;

pub use verification::VerificationGuard;

/// One replica's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    id: LogId,
    partition: TopicPartition,
    rules: ProtocolRules,
    /// `max.message.bytes`
    max_message_bytes: u32,
    /// `segment.bytes`
    segment_bytes: u64,
    /// `flush.messages`
    flush_messages: u64,
    start_offset: Offset,
    end_offset: Offset,
    /// In `start_offset..=end_offset`.
    high_watermark: Offset,
    producers: ProducerStates,
    transactions: Transactions,
    verifications: Verifications,
    /// Bytes in the segment that is being written.
    active_segment_bytes: u64,
    /// Offset up to which a flush was done or asked for (`LocalLog.recoveryPoint`).
    recovery_point: Offset,
    /// A segment was filled since the last [`Log::take_flush_due`].
    segment_rolled: bool,
}

/// What became of a batch that a leader was asked to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Append {
    /// It is in the log, with its offsets.
    Appended(Arc<RecordBatch>),
    /// It had been in the log already; nothing was written.
    Duplicate {
        /// Offset of the first record of the copy in the log.
        base_offset: Offset,
        /// Offset after its last record: an acks=all answer waits for the high watermark to reach
        /// it.
        next_offset: Offset,
    },
}

/// What a coordinator appends (`AppendOrigin.COORDINATOR`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoordinatorBatch {
    /// What it says.
    pub payload: Payload,
    /// Producer id and epoch, of a marker and of offsets in a transaction; the sequence is not
    /// looked at.
    pub stamp: Option<ProducerStamp>,
    /// It belongs to a transaction, or is the marker of one.
    pub transactional: bool,
    /// Size on disk in bytes.
    pub size: u32,
    /// Proof that its transaction was verified.
    pub guard: Option<VerificationGuard>,
    /// A marker of `transaction.version` 2.
    pub version_2: bool,
}

impl Log {
    /// Opens the log of `partition`, or makes it: at start-up, or when a partition is assigned.
    ///
    /// The high watermark comes from the checkpoint, bounded by the log. Epochs that begin at or
    /// after the log's end are dropped, as those of a leader that wrote nothing (`LogLoader.load`).
    /// The producer state is rebuilt from the batches.
    #[must_use]
    pub fn open(
        disk: &mut Disk,
        partition: TopicPartition,
        rules: ProtocolRules,
        config: &TopicConfig,
        producer_id_expiration: SimDuration,
        now: SimTime,
    ) -> Log {
        let id = disk.open_log(partition);
        let checkpoint = disk.high_watermarks.get(&partition).copied().unwrap_or_default();
        let file = disk.log_mut(id);
        let (start_offset, end_offset) = (file.start_offset(), file.end_offset());
        leader_epochs::truncate_from_end(&mut file.leader_epochs, end_offset);
        leader_epochs::truncate_from_start(&mut file.leader_epochs, start_offset);
        let mut log = Log {
            id,
            partition,
            rules,
            max_message_bytes: config.max_message_bytes,
            segment_bytes: config.segment_bytes,
            flush_messages: config.flush_messages,
            start_offset,
            end_offset,
            high_watermark: start_offset,
            producers: ProducerStates::new(rules, producer_id_expiration),
            transactions: Transactions::default(),
            verifications: Verifications::default(),
            active_segment_bytes: 0,
            recovery_point: file.flushed_end_offset(),
            segment_rolled: false,
        };
        log.set_high_watermark(checkpoint);
        log.rebuild(disk, now);
        log
    }

    /// Its file on the disk.
    #[must_use]
    pub fn id(&self) -> LogId {
        self.id
    }

    /// Whose log it is.
    #[must_use]
    pub fn partition(&self) -> TopicPartition {
        self.partition
    }

    /// Log end offset (LEO): offset of the next record.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        self.end_offset
    }

    /// First offset that is still there.
    #[must_use]
    pub fn start_offset(&self) -> Offset {
        self.start_offset
    }

    /// First offset that is not known to be committed, in `start_offset..=end_offset`. Consumers
    /// read below it.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Sets the high watermark, bounded by the log's start and end, and returns it
    /// (`UnifiedLog.updateHighWatermark`). Whether it may fall is the caller's to know: a leader's
    /// may not, a follower's may.
    pub fn set_high_watermark(&mut self, to: Offset) -> Offset {
        self.high_watermark = to.clamp(self.start_offset, self.end_offset);
        self.transactions.on_high_watermark(self.high_watermark);
        self.high_watermark
    }

    /// First offset that is not decided: of an open transaction, or of one whose marker is not
    /// known to be replicated; the high watermark if that is lower
    /// (`UnifiedLog.lastStableOffset`). `read_committed` reads below it.
    #[must_use]
    pub fn last_stable_offset(&self) -> Offset {
        match self.transactions.first_unstable_offset() {
            Some(unstable) => unstable.max(self.start_offset).min(self.high_watermark),
            None => self.high_watermark,
        }
    }

    /// Its transactions.
    #[must_use]
    pub fn transactions(&self) -> &Transactions {
        &self.transactions
    }

    /// Begins to verify that a producer's transaction includes this partition, unless it has
    /// written to it already (`UnifiedLog.maybeStartTransactionVerification`, KIP-890).
    /// `version_2`: the producer follows `transaction.version` 2.
    pub fn begin_verification(
        &mut self,
        now: SimTime,
        stamp: &ProducerStamp,
        version_2: bool,
    ) -> Option<VerificationGuard> {
        if self.producers.has_ongoing_transaction(stamp.id, stamp.epoch) {
            return None;
        }
        Some(self.verifications.begin(now, stamp, version_2))
    }

    /// Appends a producer's batch as the leader of `leader_epoch`, or recognises it.
    ///
    /// The order is that of `UnifiedLog.append`: size, then duplicate, verification, producer
    /// epoch, sequence. `guard`: that of the verification that let the batch in, if there was one.
    ///
    /// # Errors
    /// Nothing is written.
    /// - MESSAGE_TOO_LARGE: the batch is larger than `max.message.bytes`.
    /// - RECORD_LIST_TOO_LARGE: it is larger than `segment.bytes`.
    /// - INVALID_TXN_STATE: it belongs to a transaction that is not known to be open here.
    /// - INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE_NUMBER: see [`ProducerStates::check`].
    pub fn append_as_leader(
        &mut self,
        disk: &mut Disk,
        now: SimTime,
        leader_epoch: LeaderEpoch,
        batch: &ProducerBatch,
        guard: Option<VerificationGuard>,
    ) -> Result<Append, ErrorCode> {
        assert!(!batch.records.is_empty(), "a batch has a record");
        if batch.size > self.max_message_bytes {
            return Err(ErrorCode::MessageTooLarge);
        }
        if u64::from(batch.size) > self.segment_bytes {
            return Err(ErrorCode::RecordListTooLarge);
        }
        if let Some(stamp) = &batch.stamp {
            if let Some(copy) = self.producers.duplicate_of(stamp, batch.records.len() as u32) {
                let (base_offset, next_offset) = (copy.base_offset, copy.next_offset);
                return Ok(Append::Duplicate { base_offset, next_offset });
            }
            if batch.transactional {
                self.check_verified(stamp, guard)?;
            }
            let under_way = self.verifications.get(stamp.id);
            self.producers.check(stamp, batch.transactional, under_way)?;
        }
        let appended = Arc::new(RecordBatch {
            base_offset: self.end_offset,
            leader_epoch,
            size: batch.size,
            stamp: batch.stamp,
            max_timestamp: batch.max_timestamp,
            transactional: batch.transactional,
            payload: Payload::Records(Arc::clone(&batch.records)),
        });
        self.append(disk, now, Arc::clone(&appended));
        Ok(Append::Appended(appended))
    }

    /// Appends what a coordinator writes, as the leader of `leader_epoch`. A coordinator's appends
    /// have no sequences and are never recognised as duplicates.
    ///
    /// # Errors
    /// Nothing is written.
    /// - MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE: as for a producer's batch.
    /// - INVALID_TXN_STATE: offsets for a transaction that is not known to be open here.
    /// - INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED: see
    ///   [`ProducerStates::check_marker`].
    pub fn append_as_coordinator(
        &mut self,
        disk: &mut Disk,
        now: SimTime,
        leader_epoch: LeaderEpoch,
        batch: CoordinatorBatch,
    ) -> Result<Arc<RecordBatch>, ErrorCode> {
        assert!(batch.payload.count() > 0, "a batch has a record");
        if batch.size > self.max_message_bytes {
            return Err(ErrorCode::MessageTooLarge);
        }
        if u64::from(batch.size) > self.segment_bytes {
            return Err(ErrorCode::RecordListTooLarge);
        }
        if let Some(stamp) = &batch.stamp {
            if let Payload::Marker(marker) = &batch.payload {
                let strict = batch.version_2 && self.rules.has(ProtocolRule::StrictMarkerEpochs);
                self.producers.check_marker(stamp, marker, strict)?;
            } else {
                if batch.transactional {
                    self.check_verified(stamp, batch.guard)?;
                }
                self.producers.check_epoch(stamp)?;
            }
        }
        let appended = Arc::new(RecordBatch {
            base_offset: self.end_offset,
            leader_epoch,
            size: batch.size,
            stamp: batch.stamp,
            max_timestamp: now,
            transactional: batch.transactional,
            payload: batch.payload,
        });
        self.append(disk, now, Arc::clone(&appended));
        Ok(appended)
    }

    /// `UnifiedLog.batchMissingRequiredVerification`
    fn check_verified(
        &self,
        stamp: &ProducerStamp,
        guard: Option<VerificationGuard>,
    ) -> Result<(), ErrorCode> {
        let verified = !self.rules.has(ProtocolRule::VerifyTransactionalWrites)
            || self.producers.has_ongoing_transaction(stamp.id, stamp.epoch)
            || self.verifications.allows(stamp.id, guard);
        if verified { Ok(()) } else { Err(ErrorCode::InvalidTxnState) }
    }

    /// Appends a batch that a follower fetched, and returns it as it is in the log. Epochs and
    /// producer state follow it without question: the leader has judged it.
    ///
    /// A leader hands over whole batches, the first containing the fetch offset. Where the logs
    /// have parted unnoticed, it may begin below this log's end; then only its records from there
    /// on are taken, as with the message format before 0.11, in which every record stood alone.
    /// Since 0.11 Kafka marks such a partition failed (`UnexpectedAppendOffsetException`).
    pub fn append_as_follower(
        &mut self,
        disk: &mut Disk,
        now: SimTime,
        batch: Arc<RecordBatch>,
    ) -> Arc<RecordBatch> {
        assert!(batch.next_offset() > self.end_offset, "a fetched batch has something new");
        let batch = if batch.base_offset < self.end_offset {
            Arc::new(records_from(&batch, self.end_offset))
        } else {
            batch
        };
        self.append(disk, now, Arc::clone(&batch));
        batch
    }

    /// Batches from the one that contains `from` on, as long as they end at or below `below` and
    /// fit `max_bytes` together; the first is returned whatever its size if `min_one_batch`.
    #[must_use]
    pub fn read(
        &self,
        disk: &Disk,
        from: Offset,
        below: Offset,
        max_bytes: u32,
        min_one_batch: bool,
    ) -> SmallVec<[Arc<RecordBatch>; 2]> {
        let mut read = SmallVec::new();
        if from >= below || from >= self.end_offset {
            return read;
        }
        let file = disk.log(self.id);
        let batches = file.batches();
        // Nearly every fetch asks for the last batch.
        let position = match batches.last() {
            Some(last) if last.base_offset <= from => batches.len() - 1,
            Some(_) => file.position(from),
            None => 0,
        };
        let mut bytes = 0_u64;
        for batch in &batches[position..] {
            bytes += u64::from(batch.size);
            let fits = bytes <= u64::from(max_bytes) || (min_one_batch && read.is_empty());
            if batch.next_offset() > below || !fits {
                break;
            }
            read.push(Arc::clone(batch));
        }
        read
    }

    /// Cuts the log so that it ends at `to`, and returns where it ended before if anything was cut
    /// (`UnifiedLog.truncateTo`). A batch that contains `to` goes as a whole.
    ///
    /// Even where nothing is cut, an epoch that begins at the log's end is dropped: this broker may
    /// have been a leader that wrote nothing before another was elected (KAFKA-10706).
    pub fn truncate_to(&mut self, disk: &mut Disk, to: Offset, now: SimTime) -> Option<Offset> {
        let old_end = self.end_offset;
        let file = disk.log_mut(self.id);
        if to >= old_end {
            leader_epochs::truncate_from_end(&mut file.leader_epochs, old_end);
            return None;
        }
        if to < self.start_offset {
            self.truncate_fully_and_start_at(disk, to, now);
            return Some(old_end);
        }
        file.truncate(to);
        leader_epochs::truncate_from_end(&mut file.leader_epochs, to);
        self.end_offset = to;
        self.recovery_point = self.recovery_point.min(to);
        self.set_high_watermark(self.high_watermark);
        self.rebuild(disk, now);
        Some(old_end)
    }

    /// Drops everything; the log is empty and starts at `start`, and so does the high watermark
    /// (`truncateFullyAndStartAt`).
    pub fn truncate_fully_and_start_at(&mut self, disk: &mut Disk, start: Offset, now: SimTime) {
        disk.log_mut(self.id).restart_at(start);
        self.start_offset = start;
        self.end_offset = start;
        self.recovery_point = start;
        self.set_high_watermark(start);
        self.rebuild(disk, now);
    }

    /// A leader's epoch begins at `start`, its log end, before it has written anything
    /// (`maybeAssignEpochStartOffset`; see [`leader_epochs::assign`]).
    pub fn assign_epoch_start(&mut self, disk: &mut Disk, epoch: LeaderEpoch, start: Offset) {
        leader_epochs::assign(&mut disk.log_mut(self.id).leader_epochs, epoch, start);
    }

    /// The newest epoch in the log, or of a leader that has yet to write.
    #[must_use]
    pub fn latest_epoch(&self, disk: &Disk) -> Option<LeaderEpoch> {
        disk.log(self.id).leader_epochs.last().map(|&(epoch, _)| epoch)
    }

    /// The largest epoch that is not above `epoch` and where it ends; `None` if `epoch` is newer
    /// than all. See [`leader_epochs::end_offset_for`], and
    /// [`leader_epochs::end_offset_without_epoch`] for the time before the rule
    /// `EpochInOffsetsForLeaderEpoch`.
    #[must_use]
    pub fn end_offset_for(&self, disk: &Disk, epoch: LeaderEpoch) -> Option<EpochEndOffset> {
        let entries = &disk.log(self.id).leader_epochs;
        if self.rules.has(ProtocolRule::EpochInOffsetsForLeaderEpoch) {
            leader_epochs::end_offset_for(entries, self.end_offset, epoch)
        } else {
            leader_epochs::end_offset_without_epoch(entries, self.end_offset, epoch)
        }
    }

    /// Offset of the first batch whose newest record was created at or after `at`.
    ///
    /// Kafka finds the first such record within that batch; records carry no time of their own
    /// here, so the whole batch counts.
    #[must_use]
    pub fn offset_for_timestamp(&self, disk: &Disk, at: SimTime) -> Option<Offset> {
        let late_enough = |batch: &&Arc<RecordBatch>| batch.max_timestamp >= at;
        disk.log(self.id).batches().iter().find(late_enough).map(|batch| batch.base_offset)
    }

    /// Whether the caller is to flush this log now: `flush.messages` records were written since the
    /// last flush, or a segment was filled. Asking clears it.
    ///
    /// Kafka flushes a filled segment without the batch that began the next one; here the flush
    /// takes that batch along.
    pub fn take_flush_due(&mut self) -> bool {
        let unflushed = self.end_offset.distance_from(self.recovery_point);
        if !self.segment_rolled && unflushed < self.flush_messages {
            return false;
        }
        self.segment_rolled = false;
        self.recovery_point = self.end_offset;
        true
    }

    /// Forgets producers that have been idle for `producer.id.expiration.ms`. Kafka looks every
    /// `producer.id.expiration.check.interval.ms`, 10 minutes.
    pub fn expire_producers(&mut self, now: SimTime) {
        self.producers.expire(now);
        self.verifications.expire(now, self.producers.expiration());
    }

    /// Aborted transactions with something in `from..below`: producer and first offset, ascending
    /// by offset.
    #[must_use]
    pub fn aborted_in(&self, from: Offset, below: Offset) -> SmallVec<[(ProducerId, Offset); 1]> {
        self.transactions.aborted_in(from, below)
    }

    /// Writes a batch that has its place, and lets epochs, producer state and segment follow it.
    fn append(&mut self, disk: &mut Disk, now: SimTime, batch: Arc<RecordBatch>) {
        assert!(batch.base_offset >= self.end_offset);
        self.end_offset = batch.next_offset();
        self.segment_rolled |= self.fill_segment(batch.size);
        self.note_producer(&batch);
        let file = disk.log_mut(self.id);
        leader_epochs::assign(&mut file.leader_epochs, batch.leader_epoch, batch.base_offset);
        file.append(now, batch);
    }

    fn note_producer(&mut self, batch: &RecordBatch) {
        let step = self.producers.update(batch);
        self.transactions.step(step);
        if batch.transactional
            && let Some(stamp) = &batch.stamp
        {
            let is_marker = matches!(batch.payload, Payload::Marker(_));
            self.verifications.end(stamp, is_marker);
        }
    }

    /// Accounts for a batch of `size` bytes; true if it began a new segment
    /// (`LogSegment.shouldRoll`).
    fn fill_segment(&mut self, size: u32) -> bool {
        let filled = self.active_segment_bytes + u64::from(size);
        let rolls = filled > self.segment_bytes && self.active_segment_bytes > 0;
        self.active_segment_bytes = if rolls { u64::from(size) } else { filled };
        rolls
    }

    /// Derives the producer state, the transactions and the fill of the last segment from the
    /// batches.
    fn rebuild(&mut self, disk: &Disk, now: SimTime) {
        self.producers.clear();
        self.transactions.clear();
        self.active_segment_bytes = 0;
        for batch in disk.log(self.id).batches() {
            self.note_producer(batch);
            self.fill_segment(batch.size);
        }
        self.producers.expire(now);
        self.transactions.on_high_watermark(self.high_watermark);
    }
}

/// What `batch` holds from offset `from` on, as a batch of its own.
fn records_from(batch: &RecordBatch, from: Offset) -> RecordBatch {
    assert!(batch.base_offset < from && from < batch.next_offset());
    let skipped = from.distance_from(batch.base_offset) as u32;
    let (payload, skipped_bytes) = match &batch.payload {
        Payload::Records(records) => {
            let (before, rest) = records.split_at(skipped as usize);
            (Payload::Records(rest.into()), before.iter().map(|record| record.size).sum())
        }
        Payload::Offsets(offsets) => (Payload::Offsets(offsets[skipped as usize..].into()), 0),
        Payload::ConsumerGroup(records) => {
            (Payload::ConsumerGroup(records[skipped as usize..].into()), 0)
        }
        Payload::Group(_) | Payload::Transaction(_) | Payload::Marker(_) => {
            unreachable!("a batch of one record has no middle")
        }
    };
    let later = |stamp: ProducerStamp| ProducerStamp {
        base_sequence: stamp.base_sequence.plus(skipped),
        ..stamp
    };
    RecordBatch {
        base_offset: from,
        leader_epoch: batch.leader_epoch,
        size: batch.size.saturating_sub(skipped_bytes),
        stamp: batch.stamp.map(later),
        transactional: batch.transactional,
        max_timestamp: batch.max_timestamp,
        payload,
    }
}

#[cfg(test)]
mod tests;
