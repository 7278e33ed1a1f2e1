//! The facts that decide fates, as streams: what each kind says, of whom, whatever its time.
//!
//! A batch is taken apart: how records are batched depends on when answers come, and decides
//! nothing by itself. The brokers' own topics are left out; what they hold shows in groups.

use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{BrokerId, NodeId, Offset, RecordId, TopicPartition};
use acklab_vocab::record::RecordBatch;
use acklab_vocab::trace::{RunHeader, SendOutcome, Stamped, TraceEvent};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A kind of fact that decides fates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Faults that strike, and whom.
    Faults,
    /// Active controllers.
    Controllers,
    /// Brokers fenced and unfenced.
    Fencing,
    /// Leaders of partitions, with their epochs.
    Leaders,
    /// In-sync replica sets.
    InSyncReplicas,
    /// What leaders append: the records of each producer in each partition, in order.
    Appends,
    /// What producers report of their records, in order.
    Acks,
    /// What replicas cut from their logs, or lost with the power.
    Truncations,
    /// Rebalances of groups.
    Rebalances,
    /// What consumers own.
    Assignments,
    /// Committed offsets of groups.
    Commits,
    /// What applications process: the records of each partition, in order.
    Processing,
}

impl Stream {
    /// What it is a stream of: `appends`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Stream::Faults => "faults",
            Stream::Controllers => "controllers",
            Stream::Fencing => "fencing",
            Stream::Leaders => "leaders",
            Stream::InSyncReplicas => "ISR",
            Stream::Appends => "appends",
            Stream::Acks => "acks",
            Stream::Truncations => "truncations",
            Stream::Rebalances => "rebalances",
            Stream::Assignments => "assignments",
            Stream::Commits => "commits",
            Stream::Processing => "processing",
        }
    }
}

/// Whose stream it is: one of a kind for each.
pub(super) type Key = (Stream, u32, u32, u32);

/// What one fact of a stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A record.
    Record(RecordId),
    /// A record that failed.
    Failed(RecordId, ErrorCode),
    /// Two numbers, such as a broker and an epoch.
    Numbers(u64, u64),
    /// Some numbers.
    List(Vec<u64>),
    /// Words.
    Words(Arc<str>),
}

/// Where a record stands in its batch, for words about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InBatch {
    pub(super) record: RecordId,
    pub(super) offset: Option<Offset>,
}

/// Takes facts apart into the items of streams.
pub(super) struct Splitter {
    header: RunHeader,
    /// Leader and epoch, and the ISR, of each partition as they were last.
    known: BTreeMap<TopicPartition, (Value, Value)>,
    /// What the faults are that have struck.
    faults: BTreeMap<u32, Arc<str>>,
}

impl Splitter {
    pub(super) fn new(header: RunHeader) -> Self {
        Splitter { header, known: BTreeMap::new(), faults: BTreeMap::new() }
    }

    pub(super) fn header(&self) -> &RunHeader {
        &self.header
    }

    /// What a fault is that has struck.
    pub(super) fn fault(&self, number: u32) -> Option<&str> {
        self.faults.get(&number).map(|what| &**what)
    }

    /// The items that a fact adds to streams, handed to `add`.
    pub(super) fn split(
        &mut self,
        fact: &Stamped,
        mut add: impl FnMut(Key, Value, Option<InBatch>),
    ) {
        match &fact.event {
            TraceEvent::FaultBegan { fault, description } => {
                self.faults.insert(*fault, Arc::clone(description));
                add((Stream::Faults, 0, 0, 0), Value::Words(Arc::clone(description)), None);
            }
            TraceEvent::ControllerElected { controller, .. } => {
                let key = (Stream::Controllers, 0, 0, 0);
                add(key, Value::Numbers(u64::from(controller.0), 0), None);
            }
            TraceEvent::BrokerFenced { broker } => {
                add((Stream::Fencing, u32::from(broker.0), 0, 0), Value::Numbers(1, 0), None);
            }
            TraceEvent::BrokerUnfenced { broker } => {
                add((Stream::Fencing, u32::from(broker.0), 0, 0), Value::Numbers(0, 0), None);
            }
            TraceEvent::PartitionChanged { .. } => self.changed(fact, add),
            TraceEvent::Appended { partition, batch } => {
                self.appended(*partition, batch, add);
            }
            TraceEvent::RecordsCompleted { partition, outcome, records } => {
                let place = partition.map_or(u32::MAX, dense);
                for record in records.iter() {
                    let key = self.of_producer(Stream::Acks, record.id, place);
                    let value = match outcome {
                        SendOutcome::Acked(_) => Value::Record(record.id),
                        SendOutcome::Failed(error) => Value::Failed(record.id, *error),
                    };
                    add(key, value, Some(InBatch { record: record.id, offset: None }));
                }
            }
            TraceEvent::LogTruncated { partition, to, log_end_offset, .. }
                if to < log_end_offset =>
            {
                self.cut(fact.node, *partition, (*to, *log_end_offset), add);
            }
            TraceEvent::UnflushedTailLost { partition, from, log_end_offset } => {
                self.cut(fact.node, *partition, (*from, *log_end_offset), add);
            }
            _ => self.split_of_groups(fact, add),
        }
    }

    /// Facts of groups and their applications.
    fn split_of_groups(&self, fact: &Stamped, mut add: impl FnMut(Key, Value, Option<InBatch>)) {
        match &fact.event {
            TraceEvent::RebalanceStarted { group, reason, .. } => {
                let words = acklab_verdict::names::rebalance_reason(*reason);
                add(
                    (Stream::Rebalances, u32::from(group.0), 0, 0),
                    Value::Words(words.into()),
                    None,
                );
            }
            TraceEvent::PartitionsAssigned { owned, .. } => {
                let Some((group, instance)) = self.member(fact.node) else { return };
                let list = owned.iter().map(|&partition| u64::from(dense(partition))).collect();
                add((Stream::Assignments, group, instance, 0), Value::List(list), None);
            }
            TraceEvent::OffsetsCommitted { group, from: Some(_), offsets } => {
                for commit in offsets.iter() {
                    let place = dense(commit.partition);
                    let key = (Stream::Commits, u32::from(group.0), place, 0);
                    add(key, Value::Numbers(commit.offset.0, 0), None);
                }
            }
            TraceEvent::RecordsProcessed { partition, from, to, batch } => {
                let Some((group, _)) = self.member(fact.node) else { return };
                let key = (Stream::Processing, group, dense(*partition), 0);
                for (record, offset) in offsets_in(batch) {
                    if *from <= offset && offset < *to {
                        let place = InBatch { record, offset: Some(offset) };
                        add(key, Value::Record(record), Some(place));
                    }
                }
            }
            _ => {}
        }
    }

    fn changed(&mut self, fact: &Stamped, mut add: impl FnMut(Key, Value, Option<InBatch>)) {
        let TraceEvent::PartitionChanged { state, .. } = &fact.event else { return };
        if self.is_internal(state.partition) {
            return;
        }
        let none = u64::from(u16::MAX) + 1;
        let leader = state.leader.map_or(none, |BrokerId(leader)| u64::from(leader));
        let leads = Value::Numbers(leader, u64::from(state.leader_epoch.0));
        let mut members: Vec<u64> = state.isr.iter().map(|broker| u64::from(broker.0)).collect();
        members.sort_unstable();
        let isr = Value::List(members);
        let place = dense(state.partition);
        let before = self.known.insert(state.partition, (leads.clone(), isr.clone()));
        if before.as_ref().is_none_or(|(before, _)| *before != leads) {
            add((Stream::Leaders, place, 0, 0), leads, None);
        }
        if before.as_ref().is_none_or(|(_, before)| *before != isr) {
            add((Stream::InSyncReplicas, place, 0, 0), isr, None);
        }
    }

    fn appended(
        &self,
        partition: TopicPartition,
        batch: &RecordBatch,
        mut add: impl FnMut(Key, Value, Option<InBatch>),
    ) {
        for (record, offset) in offsets_in(batch) {
            let key = self.of_producer(Stream::Appends, record, dense(partition));
            let place = InBatch { record, offset: Some(offset) };
            add(key, Value::Record(record), Some(place));
        }
    }

    fn cut(
        &self,
        node: NodeId,
        partition: TopicPartition,
        (to, from): (Offset, Offset),
        mut add: impl FnMut(Key, Value, Option<InBatch>),
    ) {
        if !self.is_internal(partition) {
            let key = (Stream::Truncations, u32::from(node.0), dense(partition), 0);
            add(key, Value::Numbers(from.0, to.0), None);
        }
    }

    /// The stream of one producer's instance in one place.
    fn of_producer(&self, stream: Stream, record: RecordId, place: u32) -> Key {
        let producer = self.header.producers.get(usize::from(record.producer.0));
        let count = producer.map_or(1, |producer| u32::from(producer.count.max(1)));
        (stream, u32::from(record.producer.0), record.sequence % count, place)
    }

    fn member(&self, node: NodeId) -> Option<(u32, u32)> {
        let (group, instance) = self.header.nodes.get(usize::from(node.0))?.member?;
        Some((u32::from(group.0), u32::from(instance)))
    }

    fn is_internal(&self, partition: TopicPartition) -> bool {
        self.header.topics.get(usize::from(partition.topic.0)).is_some_and(|topic| topic.internal)
    }
}

fn dense(partition: TopicPartition) -> u32 {
    u32::from(partition.topic.0) << 16 | u32::from(partition.partition.0)
}

fn offsets_in(batch: &RecordBatch) -> impl Iterator<Item = (RecordId, Offset)> {
    let base = batch.base_offset;
    batch.records().iter().enumerate().map(move |(at, record)| (record.id, base.plus(at as u64)))
}
