//! A host's disk: what survives its processes.
//!
//! A write lands in the page cache and is seen by every later read; a flush makes it durable. Killing a process keeps the
//! page cache. Losing power keeps only what was flushed, or written back by the operating system before. The runtime owns
//! the disk and decides which of the two has happened; a machine only reads and writes.
//!
//! Small files that Kafka replaces by write, fsync and rename (checkpoints, `meta.properties`, `quorum-state`) are durable
//! as soon as they are written; so are the epochs of a ZooKeeper server. Sources: Kafka's `CheckpointFile`, `CleanShutdownFileHandler`, `QuorumState`, `UnifiedLog`.
//! Simplified: one segment per log.

use acklab_vocab::api::ZooKeeperTransaction;
use acklab_vocab::ids::{
    BrokerEpoch, ControllerEpoch, ControllerId, LeaderEpoch, MetadataOffset, Offset, TopicPartition,
};
use acklab_vocab::metadata_log::MetadataEntry;
use acklab_vocab::record::RecordBatch;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::zookeeper::Zxid;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names a flush of one process until it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlushId(pub u64);

/// What to flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlushTarget {
    /// A partition's log.
    Log(LogId),
    /// The metadata log.
    MetadataLog,
    /// The transaction log of a ZooKeeper server.
    ZooKeeperLog,
}

/// A partition's log on one disk: an index that stays valid for the life of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub u32);

/// A disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    logs: Vec<LogFile>,
    index: BTreeMap<TopicPartition, LogId>,
    /// `replication-offset-checkpoint`: the high watermarks as last written.
    pub high_watermarks: BTreeMap<TopicPartition, Offset>,
    /// `.kafka_cleanshutdown`: present after an orderly shutdown, with the broker epoch (KIP-966). Removed at start.
    pub clean_shutdown: Option<BrokerEpoch>,
    /// The metadata log, of a voter or of a broker.
    pub metadata_log: MetadataLogFile,
    /// `quorum-state` of a voter.
    pub quorum_state: QuorumState,
    /// The transaction log of a ZooKeeper server.
    pub zookeeper_log: ZooKeeperLogFile,
    /// `acceptedEpoch` and `currentEpoch` of a ZooKeeper server.
    pub zookeeper_epochs: ZooKeeperEpochs,
}

/// What a server of the ensemble must not forget: durable as soon as it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZooKeeperEpochs {
    /// `acceptedEpoch`: the newest epoch that it has promised to follow.
    pub accepted: u32,
    /// `currentEpoch`: the newest epoch whose history it holds.
    pub current: u32,
}

/// The transaction log of one ZooKeeper server (`FileTxnLog`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZooKeeperLogFile {
    /// Ascending. Each with the number of the write.
    transactions: Vec<(usize, Arc<ZooKeeperTransaction>)>,
    /// How many have ever been written, those truncated since included.
    written: usize,
    flushed: usize,
}

impl ZooKeeperLogFile {
    /// Every transaction, ascending.
    pub fn transactions(&self) -> impl DoubleEndedIterator<Item = &Arc<ZooKeeperTransaction>> {
        self.transactions.iter().map(|(_, transaction)| transaction)
    }

    /// The transactions after `zxid`, ascending.
    pub fn after(&self, zxid: Zxid) -> impl Iterator<Item = &Arc<ZooKeeperTransaction>> {
        let from = self.transactions.partition_point(|(_, entry)| entry.zxid <= zxid);
        self.transactions[from..].iter().map(|(_, transaction)| transaction)
    }

    /// The newest transaction at or before `zxid`; zero if there is none.
    #[must_use]
    pub fn last_up_to(&self, zxid: Zxid) -> Zxid {
        let count = self.transactions.partition_point(|(_, entry)| entry.zxid <= zxid);
        self.transactions[..count].last().map_or(Zxid::default(), |(_, entry)| entry.zxid)
    }

    /// The newest transaction; zero if there is none.
    #[must_use]
    pub fn last_zxid(&self) -> Zxid {
        self.transactions.last().map_or(Zxid::default(), |(_, entry)| entry.zxid)
    }

    /// The newest transaction that is durable; zero if there is none.
    #[must_use]
    pub fn flushed_zxid(&self) -> Zxid {
        let last = self.transactions[..self.flushed].last();
        last.map_or(Zxid::default(), |(_, entry)| entry.zxid)
    }

    /// Appends a transaction, which must be newer than every other.
    pub fn append(&mut self, transaction: Arc<ZooKeeperTransaction>) {
        assert!(transaction.zxid > self.last_zxid(), "transactions ascend");
        self.transactions.push((self.written, transaction));
        self.written += 1;
    }

    /// Drops every transaction after `zxid`.
    pub fn truncate(&mut self, zxid: Zxid) {
        let count = self.transactions.partition_point(|(_, entry)| entry.zxid <= zxid);
        self.transactions.truncate(count);
        self.flushed = self.flushed.min(count);
    }

    fn mark_flushed(&mut self, written: usize) {
        let durable = self.transactions.partition_point(|&(write, _)| write < written);
        self.flushed = self.flushed.max(durable);
    }
}

/// `quorum-state`: what a voter must not forget (KIP-595).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuorumState {
    /// The newest epoch it has seen.
    pub epoch: ControllerEpoch,
    /// Whom it voted for in that epoch.
    pub voted_for: Option<ControllerId>,
    /// Who leads that epoch, if it knows.
    pub leader: Option<ControllerId>,
}

/// The metadata log of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataLogFile {
    entries: Vec<Arc<MetadataEntry>>,
    flushed: usize,
}

impl MetadataLogFile {
    /// All entries; the offset is the index.
    #[must_use]
    pub fn entries(&self) -> &[Arc<MetadataEntry>] {
        &self.entries
    }

    /// Offset after the last entry.
    #[must_use]
    pub fn end_offset(&self) -> MetadataOffset {
        MetadataOffset(self.entries.len() as u64)
    }

    /// Offset after the last entry that is durable.
    #[must_use]
    pub fn flushed_end_offset(&self) -> MetadataOffset {
        MetadataOffset(self.flushed as u64)
    }

    /// Appends an entry, whose offset must be the end offset.
    pub fn append(&mut self, entry: Arc<MetadataEntry>) {
        assert_eq!(entry.offset, self.end_offset(), "the metadata log has no gaps");
        self.entries.push(entry);
    }

    /// Drops every entry at or above `end`.
    pub fn truncate(&mut self, end: MetadataOffset) {
        self.entries.truncate(end.0 as usize);
        self.flushed = self.flushed.min(self.entries.len());
    }
}

/// The log of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    partition: TopicPartition,
    log_start_offset: Offset,
    /// Ascending by offset. Gaps are possible, overlaps are not.
    batches: Vec<Arc<RecordBatch>>,
    /// End of the log if it has no batch, or if the last batches were cut in their middle.
    end_offset: Offset,
    /// How many batches are durable by a flush.
    flushed: usize,
    /// When how many batches had been written, at most one entry per [`WRITE_TIME_GRAIN`].
    written: Vec<(SimTime, usize)>,
    /// `leader-epoch-checkpoint`: epoch and first offset, ascending in both; durable once written.
    pub leader_epochs: Vec<(LeaderEpoch, Offset)>,
}

/// How finely the page cache remembers when a batch was written.
const WRITE_TIME_GRAIN: SimDuration = SimDuration::from_millis(100);

impl LogFile {
    fn new(partition: TopicPartition) -> Self {
        LogFile {
            partition,
            log_start_offset: Offset(0),
            batches: Vec::new(),
            end_offset: Offset(0),
            flushed: 0,
            written: Vec::new(),
            leader_epochs: Vec::new(),
        }
    }

    /// Whose log it is.
    #[must_use]
    pub fn partition(&self) -> TopicPartition {
        self.partition
    }

    /// Every batch, ascending by offset.
    #[must_use]
    pub fn batches(&self) -> &[Arc<RecordBatch>] {
        &self.batches
    }

    /// Offset of the next record.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        self.end_offset
    }

    /// First offset that is still there.
    #[must_use]
    pub fn start_offset(&self) -> Offset {
        self.log_start_offset
    }

    /// Offset after the last batch that is durable by a flush: Kafka's recovery point.
    #[must_use]
    pub fn flushed_end_offset(&self) -> Offset {
        match self.flushed {
            0 => self.log_start_offset,
            count => self.batches[count - 1].next_offset(),
        }
    }

    /// Index of the first batch whose last record is at or above `offset`; the number of batches if there is none.
    #[must_use]
    pub fn position(&self, offset: Offset) -> usize {
        self.batches.partition_point(|batch| batch.next_offset() <= offset)
    }

    /// Appends a batch, which must not begin before the end of the log.
    pub fn append(&mut self, now: SimTime, batch: Arc<RecordBatch>) {
        assert!(batch.base_offset >= self.end_offset, "a log only grows at its end");
        self.end_offset = batch.next_offset();
        self.batches.push(batch);
        match self.written.last_mut() {
            Some((at, count)) if now.since(*at) < WRITE_TIME_GRAIN => *count = self.batches.len(),
            _ => self.written.push((now, self.batches.len())),
        }
    }

    /// Cuts the log: every batch that has a record at or above `end` is dropped, and the log ends at `end`
    /// (`LocalLog.truncateTo`). `end` must not be above the end of the log.
    pub fn truncate(&mut self, end: Offset) {
        assert!(end <= self.end_offset, "truncation cannot lengthen a log");
        let keep = self.position(end);
        self.batches.truncate(keep);
        self.end_offset = end;
        self.log_start_offset = self.log_start_offset.min(end);
        self.forget_writes_beyond(keep);
    }

    /// Drops everything and starts anew at `start` (`truncateFullyAndStartAt`).
    pub fn restart_at(&mut self, start: Offset) {
        self.batches.clear();
        self.leader_epochs.clear();
        self.log_start_offset = start;
        self.end_offset = start;
        self.forget_writes_beyond(0);
    }

    fn forget_writes_beyond(&mut self, count: usize) {
        self.flushed = self.flushed.min(count);
        let within = self.written.partition_point(|&(_, written)| written < count);
        self.written.truncate(within + 1);
        if let Some((_, written)) = self.written.last_mut() {
            *written = count.min(*written);
        }
    }

    /// Power is lost: keeps what was flushed, and what had been written before `written_back_until`. Returns the new end
    /// and the old one if anything was lost.
    fn lose_power(&mut self, written_back_until: SimTime) -> Option<(Offset, Offset)> {
        let old_end = self.end_offset;
        let is_written_back =
            |&(at, _): &(SimTime, usize)| at + WRITE_TIME_GRAIN <= written_back_until;
        let written_back = self.written.iter().rev().find(|entry| is_written_back(entry));
        let durable = written_back.map_or(0, |&(_, count)| count).max(self.flushed);
        if durable >= self.batches.len() {
            return None;
        }
        let new_end = self.batches[durable].base_offset;
        self.truncate(new_end);
        self.leader_epochs.retain(|&(_, start)| start < new_end);
        Some((new_end, old_end))
    }
}

impl Disk {
    /// The log of a partition, made if there is none.
    pub fn open_log(&mut self, partition: TopicPartition) -> LogId {
        if let Some(&id) = self.index.get(&partition) {
            return id;
        }
        let id = LogId(self.logs.len() as u32);
        self.logs.push(LogFile::new(partition));
        self.index.insert(partition, id);
        id
    }

    /// Every log on this disk, by partition.
    pub fn logs(&self) -> impl Iterator<Item = (TopicPartition, LogId)> + '_ {
        self.index.iter().map(|(&partition, &id)| (partition, id))
    }

    /// A log.
    #[must_use]
    pub fn log(&self, id: LogId) -> &LogFile {
        &self.logs[id.0 as usize]
    }

    /// A log, to write to.
    pub fn log_mut(&mut self, id: LogId) -> &mut LogFile {
        &mut self.logs[id.0 as usize]
    }

    /// How much of a flush's target is written now: what [`Disk::mark_flushed`] makes durable when the flush is done.
    #[must_use]
    pub fn extent(&self, target: FlushTarget) -> FlushExtent {
        match target {
            FlushTarget::Log(id) => FlushExtent(self.log(id).batches.len()),
            FlushTarget::MetadataLog => FlushExtent(self.metadata_log.entries.len()),
            FlushTarget::ZooKeeperLog => FlushExtent(self.zookeeper_log.written),
        }
    }

    /// A flush is done.
    pub fn mark_flushed(&mut self, target: FlushTarget, extent: FlushExtent) {
        match target {
            FlushTarget::Log(id) => {
                let log = self.log_mut(id);
                log.flushed = log.flushed.max(extent.0.min(log.batches.len()));
            }
            FlushTarget::MetadataLog => {
                let log = &mut self.metadata_log;
                log.flushed = log.flushed.max(extent.0.min(log.entries.len()));
            }
            FlushTarget::ZooKeeperLog => self.zookeeper_log.mark_flushed(extent.0),
        }
    }

    /// Power is lost. Keeps what was flushed and what the operating system had written back, that is, what was written
    /// before `written_back_until`. Returns, for each log that was cut, its new and its old end.
    pub fn lose_power(
        &mut self,
        written_back_until: SimTime,
    ) -> Vec<(TopicPartition, Offset, Offset)> {
        let flushed = self.metadata_log.flushed;
        self.metadata_log.entries.truncate(flushed);
        self.zookeeper_log.transactions.truncate(self.zookeeper_log.flushed);
        let mut lost = Vec::new();
        for (&partition, id) in &self.index {
            let log = &mut self.logs[id.0 as usize];
            if let Some((new_end, old_end)) = log.lose_power(written_back_until) {
                lost.push((partition, new_end, old_end));
            }
        }
        lost
    }
}

/// How much was written when a flush began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushExtent(usize);
