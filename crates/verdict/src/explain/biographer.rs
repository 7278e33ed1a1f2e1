//! Watches a run with one record in mind.

use acklab_vocab::api::Acks;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{
    BrokerId, GroupIndex, LeaderEpoch, NodeId, Offset, ProducerId, RecordId, TopicPartition,
};
use acklab_vocab::metadata_log::PartitionState;
use acklab_vocab::record::{Record, RecordBatch};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{
    Observer, PartitionChangeReason, RetryReason, RunHeader, SendOutcome, Stamped, TraceEvent,
    TruncationReason,
};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::consumers::Watch;
use super::ending::ending;
use super::life::{Life, LifeLine};
use crate::sentences::{self, change_reason};
use crate::{Verdict, names};

/// So many steps are kept; the rest are counted.
const STEPS_KEPT: usize = 400;

/// Writes the life of one record.
#[derive(Debug)]
pub struct Biographer {
    pub(super) record: RecordId,
    /// The consumer application to tell of; all of them, if none is named.
    pub(super) group: Option<GroupIndex>,
    pub(super) header: Option<RunHeader>,
    pub(super) partition: Option<TopicPartition>,
    /// Where leaders have appended it, in order.
    pub(super) written: Vec<Offset>,
    /// The producer whose transaction it is in, while that is open.
    pub(super) open_for: Option<ProducerId>,
    /// By consumer application.
    pub(super) watches: Vec<Watch>,
    /// When consumers processed it, and which.
    pub(super) processings: Vec<(SimTime, NodeId)>,
    /// Which partitions each consumer owns, by its own account.
    pub(super) owned: BTreeMap<NodeId, Vec<TopicPartition>>,
    state: Option<PartitionState>,
    states: Vec<PartitionState>,
    copies: Vec<Copy>,
    high_watermarks: Vec<(NodeId, Offset)>,
    faults: Vec<(u32, Arc<str>)>,
    pub(super) is_created: bool,
    lines: Vec<LifeLine>,
    left_out: u64,
}

/// A copy in one broker's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Copy {
    node: NodeId,
    offset: Offset,
    epoch: LeaderEpoch,
}

impl Observer for Biographer {
    fn begin(&mut self, header: &RunHeader) {
        self.watches = vec![Watch::default(); header.groups.len()];
        self.header = Some(header.clone());
    }

    fn observe(&mut self, stamped: &Stamped) {
        if self.header.is_none() {
            return;
        }
        let _is_of_interest = self.producer_fact(stamped)
            || self.log_fact(stamped)
            || self.replication_fact(stamped)
            || self.consumer_fact(stamped)
            || self.world_fact(stamped);
    }
}

impl Biographer {
    /// Watches this record.
    #[must_use]
    pub fn new(record: RecordId) -> Self {
        Biographer {
            record,
            group: None,
            header: None,
            partition: None,
            written: Vec::new(),
            open_for: None,
            watches: Vec::new(),
            processings: Vec::new(),
            owned: BTreeMap::new(),
            state: None,
            states: Vec::new(),
            copies: Vec::new(),
            high_watermarks: Vec::new(),
            faults: Vec::new(),
            is_created: false,
            lines: Vec::new(),
            left_out: 0,
        }
    }

    /// Tells of this consumer application only.
    #[must_use]
    pub fn of_group(mut self, group: Option<GroupIndex>) -> Self {
        self.group = group;
        self
    }

    /// The steps of its life so far.
    #[must_use]
    pub fn lines(&self) -> &[LifeLine] {
        &self.lines
    }

    /// Its life, with the ending that the judge of the same run gives it.
    #[must_use]
    pub fn finish(self, verdict: &Verdict) -> Life {
        let ending = if self.is_created {
            ending(verdict, self.record, self.group, &self.processings)
        } else {
            vec!["No such record was created in this run.".to_owned()]
        };
        let record = names::record(&verdict.header, self.record);
        Life { record, lines: self.lines, left_out: self.left_out, ending }
    }

    // ---- the producer and the reader ------------------------------------------------------------

    fn producer_fact(&mut self, stamped: &Stamped) -> bool {
        match &stamped.event {
            TraceEvent::RecordsCreated { producer, first, stride, count } => {
                let distance = self.record.sequence.checked_sub(*first);
                let is_mine = *producer == self.record.producer
                    && distance.is_some_and(|distance| {
                        let stride = (*stride).max(1);
                        distance % stride == 0 && distance / stride < *count
                    });
                if is_mine {
                    self.is_created = true;
                    self.say(stamped, "handed to the producer by the application".to_owned());
                    self.state_active_faults(stamped);
                }
            }
            TraceEvent::RecordsResent { records } if self.is_in(records) => {
                self.say(stamped, "sent again by the application".to_owned());
            }
            TraceEvent::BatchSent { partition, broker, retry, records } if self.is_in(records) => {
                self.enter(stamped, *partition);
                let name = self.name_of(*partition);
                let batch = names::counted(records.len() as u64, "record");
                let again = if *retry == 0 { String::new() } else { format!(", retry {retry}") };
                self.say(
                    stamped,
                    format!("sent to broker {broker} for {name}, in a batch of {batch}{again}"),
                );
            }
            TraceEvent::BatchRetried { reason, records, .. } if self.is_in(records) => {
                let why = match reason {
                    RetryReason::Error(error) => format!("the broker answered {error}"),
                    RetryReason::Disconnected => "the connection was lost".to_owned(),
                    RetryReason::RequestTimeout => "no answer within request.timeout.ms".to_owned(),
                };
                self.say(stamped, format!("{why}; the batch will be sent again"));
            }
            TraceEvent::RecordsCompleted { outcome, records, .. } if self.is_in(records) => {
                let told = match outcome {
                    SendOutcome::Acked(_) => {
                        "acked: the application is told of a success".to_owned()
                    }
                    SendOutcome::Failed(error) => {
                        format!("failed: the application is told {error}")
                    }
                };
                self.say(stamped, told);
            }
            TraceEvent::RecordsRead { from, to, batch, .. } => {
                let offset = self.offset_in(batch).filter(|offset| (*from..*to).contains(offset));
                let is_reader = || {
                    let header = self.header.as_ref()?;
                    header.nodes.get(usize::from(stamped.node.0))?.member.is_none().then_some(())
                };
                if let Some(offset) = offset {
                    if is_reader().is_some() {
                        self.say(stamped, format!("read at offset {offset}"));
                    } else if self.application_on(stamped.node).is_some() {
                        self.say(stamped, format!("poll() returns it, at offset {offset}"));
                    }
                }
            }
            _ => return false,
        }
        true
    }

    // ---- the brokers' logs ----------------------------------------------------------------------

    fn log_fact(&mut self, stamped: &Stamped) -> bool {
        match &stamped.event {
            TraceEvent::Appended { partition, batch } => {
                self.marked(stamped, *partition, batch);
                if let Some(offset) = self.offset_in(batch) {
                    self.written.push(offset);
                    self.open_for = batch.stamp.filter(|_| batch.transactional).map(|of| of.id);
                }
                self.copied(stamped, *partition, batch, "appended by the leader");
            }
            TraceEvent::Replicated { partition, batch } => {
                self.copied(stamped, *partition, batch, "copied by the follower");
            }
            TraceEvent::AppendRefused { error, records, .. } if self.is_in(records) => {
                self.say(stamped, format!("refused: {error}"));
            }
            TraceEvent::Deduplicated { base_offset, records, .. } if self.is_in(records) => {
                let text = format!("recognised as the batch at {base_offset}; not appended again");
                self.say(stamped, text);
            }
            TraceEvent::ProduceAnswered { acks, error, records, .. } if self.is_in(records) => {
                let text = match (acks, error) {
                    (Acks::None, ErrorCode::None) => "acks=0: no answer".to_owned(),
                    (_, ErrorCode::None) => format!("answers success (acks={})", acks.name()),
                    (_, error) => format!("answers {error}"),
                };
                self.say(stamped, text);
            }
            TraceEvent::LogTruncated { partition, to, log_end_offset, reason } => {
                let by = match reason {
                    TruncationReason::LeaderEpoch => "where its log and the leader's part",
                    TruncationReason::HighWatermark => "its own high watermark",
                    TruncationReason::LeaderLogEnd => "its leader's log end",
                    TruncationReason::LeaderLogStart => "its leader's log start",
                };
                let text =
                    format!("truncates from {log_end_offset} to {to}, {by}: its copy is gone");
                self.dropped(stamped, *partition, *to, text);
            }
            TraceEvent::UnflushedTailLost { partition, from, log_end_offset } => {
                let text =
                    format!("lost the unflushed tail {from} to {log_end_offset}: its copy is gone");
                self.dropped(stamped, *partition, *from, text);
            }
            _ => return false,
        }
        true
    }

    fn copied(
        &mut self,
        stamped: &Stamped,
        partition: TopicPartition,
        batch: &RecordBatch,
        how: &str,
    ) {
        let Some(offset) = self.offset_in(batch) else { return };
        self.enter(stamped, partition);
        let epoch = batch.leader_epoch;
        self.copies.push(Copy { node: stamped.node, offset, epoch });
        let name = self.name_of(partition);
        self.say_held(stamped, format!("{how} at {name}@{offset} (epoch {epoch})"));
    }

    fn dropped(&mut self, stamped: &Stamped, partition: TopicPartition, end: Offset, text: String) {
        let before = self.copies.len();
        if self.partition == Some(partition) {
            self.copies.retain(|copy| copy.node != stamped.node || copy.offset < end);
        }
        if self.copies.len() < before {
            self.say_held(stamped, text);
        }
    }

    // ---- replication, elections -----------------------------------------------------------------

    fn replication_fact(&mut self, stamped: &Stamped) -> bool {
        match &stamped.event {
            TraceEvent::FollowerFetched { partition, follower, log_end_offset, .. } => {
                let passed = self.high_mark(*partition, stamped.node, *follower, *log_end_offset);
                if passed {
                    let text = format!("learns that broker {follower} has it");
                    self.say(stamped, text);
                }
            }
            TraceEvent::HighWatermarkAdvanced { partition, high_watermark, leader, .. } => {
                self.watermark_passed(stamped, *partition, *high_watermark, *leader);
            }
            TraceEvent::PartitionChanged { state, reason } => self.changed(stamped, state, *reason),
            TraceEvent::BecameLeader { partition, leader_epoch, .. } => {
                if self.is_created && self.partition == Some(*partition) {
                    let has = self.copies.iter().any(|copy| copy.node == stamped.node);
                    let has = if has { "with" } else { "without" };
                    let name = self.name_of(*partition);
                    let text =
                        format!("becomes leader of {name} (epoch {leader_epoch}) {has} the record");
                    self.say(stamped, text);
                }
            }
            _ => return false,
        }
        true
    }

    /// Whether a leader has just learned that a follower is past the record.
    fn high_mark(
        &mut self,
        partition: TopicPartition,
        leader: NodeId,
        follower: BrokerId,
        end: Offset,
    ) -> bool {
        let held = self.copies.iter().find(|copy| copy.node == leader).copied();
        let Some(copy) = held.filter(|_| self.partition == Some(partition)) else { return false };
        // Followers' reports share the list of high watermarks, under numbers that no process has.
        let key = NodeId(u16::MAX - follower.0);
        self.passes(key, end, copy.offset)
    }

    fn watermark_passed(
        &mut self,
        stamped: &Stamped,
        partition: TopicPartition,
        high_watermark: Offset,
        leader: bool,
    ) {
        let held = self.copies.iter().find(|copy| copy.node == stamped.node).copied();
        let Some(copy) = held.filter(|_| self.partition == Some(partition)) else { return };
        if self.passes(stamped.node, high_watermark, copy.offset) {
            let whose = if leader { "the leader's" } else { "a follower's" };
            let means = if leader { ": committed, readers may see it" } else { "" };
            let text = format!("{whose} high watermark passes it ({high_watermark}){means}");
            self.say(stamped, text);
        }
    }

    /// Moves a mark to `to`; whether it has just passed `offset`.
    fn passes(&mut self, key: NodeId, to: Offset, offset: Offset) -> bool {
        let mark = self.high_watermarks.iter().position(|(node, _)| *node == key);
        let index = mark.unwrap_or_else(|| {
            self.high_watermarks.push((key, Offset(0)));
            self.high_watermarks.len() - 1
        });
        let (_, mark) = &mut self.high_watermarks[index];
        let passes = *mark <= offset && offset < to;
        *mark = to;
        passes
    }

    fn changed(
        &mut self,
        stamped: &Stamped,
        state: &PartitionState,
        reason: PartitionChangeReason,
    ) {
        if self.partition != Some(state.partition) {
            if self.partition.is_none() {
                self.states.retain(|known| known.partition != state.partition);
                self.states.push(state.clone());
            }
            return;
        }
        let before = self.state.replace(state.clone());
        let name = self.name_of(state.partition);
        let (epoch, isr) = (state.leader_epoch, names::brokers(&state.isr));
        let is_same = before.is_some_and(|before| before.leader == state.leader);
        let why = change_reason(reason);
        let text = match state.leader {
            Some(_) if is_same => format!("the ISR of {name} is now {isr} ({why})"),
            Some(leader) => {
                format!("broker {leader} is elected for {name}, epoch {epoch}, ISR {isr} ({why})")
            }
            None => format!("{name} has no leader, ISR {isr} ({why})"),
        };
        self.say(stamped, text);
    }

    // ---- the world ------------------------------------------------------------------------------

    fn world_fact(&mut self, stamped: &Stamped) -> bool {
        let text = match &stamped.event {
            TraceEvent::FaultBegan { fault, description } => {
                self.faults.push((*fault, Arc::clone(description)));
                format!("fault: {description}")
            }
            TraceEvent::FaultEnded { fault } => {
                let known = self.faults.iter().position(|(number, _)| number == fault);
                let ended = known.map(|index| self.faults.remove(index));
                ended.map_or_else(|| "a fault ends".to_owned(), |(_, what)| format!("over: {what}"))
            }
            TraceEvent::BrokerFenced { broker } => format!("fences broker {broker}"),
            TraceEvent::ProcessStarted { incarnation } if incarnation.0 == 0 => return false,
            event => match sentences::process(event) {
                Some(text) => text,
                None => return false,
            },
        };
        if self.is_created && self.is_witness(stamped) {
            self.say(stamped, text);
        }
        true
    }

    /// Faults concern everybody; a process concerns the record if it holds a replica of its
    /// partition or produced it.
    pub(super) fn is_witness(&self, stamped: &Stamped) -> bool {
        let header = self.header.as_ref().expect("the run has begun");
        let node = header.nodes.get(stamped.node.0 as usize);
        let is_about_all =
            matches!(stamped.event, TraceEvent::FaultBegan { .. } | TraceEvent::FaultEnded { .. });
        let named = match &stamped.event {
            TraceEvent::BrokerFenced { broker } => Some(*broker),
            _ => node.and_then(|node| node.broker),
        };
        let holds = named.is_some_and(|broker| self.is_held_by(broker));
        let produced = node.and_then(|node| node.producer);
        let is_mine = produced.is_some_and(|(producer, _)| producer == self.record.producer);
        let consumes = self.owns(stamped.node) && self.is_open(stamped.node);
        is_about_all || holds || is_mine || consumes
    }

    /// A broker has a replica of the record's partition, as far as that is known.
    pub(super) fn is_held_by(&self, broker: BrokerId) -> bool {
        let replicas = self.state.as_ref().map(|state| &state.replicas);
        replicas.is_none_or(|of| of.contains(&broker))
    }

    // ---- helpers --------------------------------------------------------------------------------

    /// The record is born into these.
    fn state_active_faults(&mut self, stamped: &Stamped) {
        for (_, description) in self.faults.clone() {
            self.line(stamped.at, String::new(), format!("meanwhile: {description}"), None);
        }
    }

    /// The record has got its partition: says who leads it.
    fn enter(&mut self, stamped: &Stamped, partition: TopicPartition) {
        if self.partition == Some(partition) {
            return;
        }
        self.partition = Some(partition);
        self.state = self.states.iter().find(|state| state.partition == partition).cloned();
        let Some(state) = &self.state else { return };
        let (epoch, isr) = (state.leader_epoch, names::brokers(&state.isr));
        let name = self.name_of(partition);
        let text = match state.leader {
            Some(leader) => format!("{name} is led by broker {leader}, epoch {epoch}, ISR {isr}"),
            None => format!("{name} has no leader, ISR {isr}"),
        };
        self.line(stamped.at, String::new(), text, None);
        let owners = self.owned.keys().copied();
        let owners = owners.filter(|owner| self.owns(*owner) && self.is_open(*owner));
        for owner in owners.collect::<Vec<NodeId>>() {
            let text = format!("{} owns {}", self.name_of_node(owner), self.name_of(partition));
            self.line(stamped.at, String::new(), text, None);
        }
    }

    fn is_in(&self, records: &[Record]) -> bool {
        records.iter().any(|record| record.id == self.record)
    }

    pub(super) fn offset_in(&self, batch: &RecordBatch) -> Option<Offset> {
        let index = batch.records().iter().position(|record| record.id == self.record)?;
        Some(batch.base_offset.plus(index as u64))
    }

    pub(super) fn name_of(&self, partition: TopicPartition) -> String {
        names::partition(self.header.as_ref().expect("the run has begun"), partition)
    }

    fn holders(&self) -> String {
        let header = self.header.as_ref().expect("the run has begun");
        let broker =
            |copy: &Copy| header.nodes.get(copy.node.0 as usize).and_then(|node| node.broker);
        let mut holders: Vec<BrokerId> = self.copies.iter().filter_map(broker).collect();
        holders.sort_unstable();
        holders.dedup();
        let ids: Vec<String> = holders.iter().map(BrokerId::to_string).collect();
        if ids.is_empty() { "on no broker".to_owned() } else { format!("on {}", ids.join(" ")) }
    }

    pub(super) fn say(&mut self, stamped: &Stamped, text: String) {
        let place = names::speaker(self.header.as_ref().expect("the run has begun"), stamped);
        self.line(stamped.at, place, text, None);
    }

    fn say_held(&mut self, stamped: &Stamped, text: String) {
        let place = names::speaker(self.header.as_ref().expect("the run has begun"), stamped);
        let holders = Some(self.holders());
        self.line(stamped.at, place, text, holders);
    }

    fn line(&mut self, at: SimTime, place: String, text: String, holders: Option<String>) {
        if self.lines.len() < STEPS_KEPT {
            self.lines.push(LifeLine { at, place, text, holders });
        } else {
            self.left_out += 1;
        }
    }
}
