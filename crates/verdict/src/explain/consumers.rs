//! What consumer groups and transactions have to do with one record: who was given it, who processed
//! it, which commits went past it and back, who owned its partition and lost it.
//!
//! A group is of interest until it has processed the record and its committed offset is past it;
//! and again when that offset goes back.

use acklab_vocab::api::{LeaveReason, OffsetToCommit};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{GroupId, GroupIndex, NodeId, Offset, TopicPartition};
use acklab_vocab::record::{Payload, RecordBatch};
use acklab_vocab::trace::{
    ApplicationReaction, CommitTrigger, PositionSource, RemovalReason, Stamped, TraceEvent,
};
use acklab_vocab::transaction::TransactionResult;

use super::Biographer;
use crate::groups::application::exception;
use crate::names;

/// What one consumer application has had to do with the record so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    /// How often it processed the record.
    processed: u32,
    /// The process that processed it last, until a transaction of it ends.
    in_transaction_of: Option<NodeId>,
    /// Its group's committed offset is past the record.
    is_past: bool,
    /// The refusal that was told last, so that the same one is not told again.
    refusal: Option<(NodeId, ErrorCode)>,
    /// The process whose commit past the record was told last.
    sender: Option<NodeId>,
}

impl Biographer {
    /// Whether the fact was one of consumers or transactions.
    pub(super) fn consumer_fact(&mut self, stamped: &Stamped) -> bool {
        self.zookeeper_fact(stamped)
            || self.delivery_fact(stamped)
            || self.commit_fact(stamped)
            || self.membership_fact(stamped)
            || self.transaction_fact(stamped)
    }

    // ---- delivery and processing ----------------------------------------------------------------

    fn delivery_fact(&mut self, stamped: &Stamped) -> bool {
        match &stamped.event {
            TraceEvent::RecordsProcessed { from, to, batch, .. } => {
                let offset = self.offset_in(batch).filter(|offset| (*from..*to).contains(offset));
                if let (Some(offset), Some(watch)) = (offset, self.watch_of(stamped.node)) {
                    watch.processed += 1;
                    watch.in_transaction_of = Some(stamped.node);
                    let again = match watch.processed {
                        1 => String::new(),
                        2 => " again".to_owned(),
                        times => format!(" for the {times}th time"),
                    };
                    self.processings.push((stamped.at, stamped.node));
                    self.say(stamped, format!("PROCESSED{again} at offset {offset}"));
                }
            }
            TraceEvent::HandedOverRecordsDropped { partition, from, to } => {
                let covers = |offset: &Offset| (*from..*to).contains(offset);
                if self.is_here(*partition)
                    && self.written.iter().any(covers)
                    && self.watch_of(stamped.node).is_some()
                {
                    self.say(stamped, "drops it before a worker has come to it".to_owned());
                }
            }
            TraceEvent::PositionFromCommitted { partition, to, source, .. } => {
                if self.is_open_at(stamped.node, *partition) {
                    let why = match source {
                        PositionSource::Committed => "the committed offset",
                        PositionSource::SoughtToCommitted => "back to the committed offset",
                    };
                    let name = self.name_of(*partition);
                    let text = format!("reads {name} from {to}, {why}{}", self.relation(*to));
                    self.say(stamped, text);
                }
            }
            TraceEvent::PositionReset { partition, to, truncated, .. } => {
                if self.is_open_at(stamped.node, *partition) {
                    let why = match truncated {
                        true => "where the leader's log parts from what it had read",
                        false => "by auto.offset.reset",
                    };
                    let name = self.name_of(*partition);
                    let text = format!("reads {name} from {to}, {why}{}", self.relation(*to));
                    self.say(stamped, text);
                }
            }
            _ => return false,
        }
        true
    }

    /// Where a position stands to the record.
    fn relation(&self, position: Offset) -> &'static str {
        match self.written.last() {
            Some(offset) if position > *offset => ": behind the record",
            Some(_) => ": the record is to come",
            None => "",
        }
    }

    // ---- commits --------------------------------------------------------------------------------

    fn commit_fact(&mut self, stamped: &Stamped) -> bool {
        match &stamped.event {
            TraceEvent::CommitSent { trigger, offsets } => {
                let Some(offset) = self.past(offsets) else { return true };
                let Some(watch) = self.watch_of(stamped.node) else { return true };
                if watch.is_past || watch.sender.replace(stamped.node) == Some(stamped.node) {
                    return true;
                }
                let how = match trigger {
                    CommitTrigger::AutoInterval => "auto-commit",
                    CommitTrigger::AutoRevocation => "auto-commit before a rebalance",
                    CommitTrigger::AutoClose => "auto-commit in close()",
                    CommitTrigger::Sync => "commitSync()",
                    CommitTrigger::Async => "commitAsync()",
                    CommitTrigger::AsyncRetry => "commitAsync() once more",
                    CommitTrigger::SyncRevocation => "commitSync() before giving up",
                    CommitTrigger::SyncClose => "commitSync() before close()",
                    CommitTrigger::Transaction => "sendOffsetsToTransaction()",
                };
                self.say(stamped, format!("{how}: commits {offset}, past the record"));
            }
            TraceEvent::CommitAnswered { from, error, offsets, .. } if !error.is_none() => {
                let Some(offset) = self.past(offsets) else { return true };
                let Some(watch) = self.watch_of(*from) else { return true };
                watch.sender = None;
                if watch.refusal.replace((*from, *error)) == Some((*from, *error)) {
                    return true;
                }
                let member = self.name_of_node(*from);
                self.say(stamped, format!("refuses {member}'s commit of {offset}: {error}"));
            }
            TraceEvent::CommitCompleted { offsets, failure: Some(failure), .. } => {
                let Some(offset) = self.past(offsets) else { return true };
                let Some(watch) = self.watch_of(stamped.node) else { return true };
                watch.sender = None;
                let what = exception(*failure);
                self.say(stamped, format!("its commit of {offset} fails: {what}"));
            }
            TraceEvent::OffsetsCommitted { group, from, offsets } => {
                let here = offsets.iter().find(|of| self.is_here(of.partition));
                let offset = here.map(|of| of.offset);
                if offset.is_some() || from.is_none() {
                    self.committed(stamped, *group, offset, *from);
                }
            }
            TraceEvent::OffsetsRemoved { group, partitions } => {
                if partitions.iter().any(|id| self.is_here(*id)) {
                    self.committed(stamped, *group, None, None);
                }
            }
            _ => return false,
        }
        true
    }

    /// A group's committed offset is another one.
    fn committed(
        &mut self,
        stamped: &Stamped,
        group: GroupId,
        offset: Option<Offset>,
        from: Option<NodeId>,
    ) {
        let Some(&written) = self.written.last() else { return };
        let is_past = offset.is_some_and(|offset| offset > written);
        let header = self.header.as_ref().expect("the run has begun");
        let sharing = header.groups.iter().enumerate().filter(|(_, of)| of.group == group);
        let sharing: Vec<usize> = sharing.map(|(index, _)| index).collect();
        let mut has_changed = false;
        for index in sharing {
            if !self.is_chosen(index) {
                continue;
            }
            let Some(watch) = self.watches.get_mut(index) else { continue };
            has_changed |= watch.is_past != is_past;
            watch.is_past = is_past;
            watch.sender = None;
            watch.refusal = None;
        }
        if !has_changed {
            return;
        }
        let by = from.map_or_else(String::new, |node| format!(", by {}", self.name_of_node(node)));
        let name = names::group(self.header.as_ref().expect("the run has begun"), group);
        let text = match (offset, is_past) {
            (Some(offset), true) => format!("{name}'s committed offset passes it: {offset}{by}"),
            (Some(offset), false) => {
                format!("{name}'s committed offset goes BACK before it: {offset}{by}")
            }
            (None, _) => format!("{name} has no committed offset any more"),
        };
        self.say(stamped, text);
    }

    /// The offset of a commit, if it goes past the record.
    fn past(&self, offsets: &[OffsetToCommit]) -> Option<Offset> {
        let written = *self.written.last()?;
        let here = offsets.iter().find(|of| self.is_here(of.partition))?;
        (here.offset > written).then_some(here.offset)
    }

    // ---- membership -----------------------------------------------------------------------------

    fn membership_fact(&mut self, stamped: &Stamped) -> bool {
        let node = stamped.node;
        let text = match &stamped.event {
            TraceEvent::PartitionsAssigned { generation, added, owned, .. } => {
                self.owned.insert(node, owned.to_vec());
                let Some(partition) = added.iter().find(|id| self.is_here(**id)) else {
                    return true;
                };
                let name = self.name_of(*partition);
                match generation {
                    Some(generation) => format!("owns {name} (generation {generation})"),
                    None if self.is_balanced(node) => format!("begins to read {name}"),
                    None => format!("has assigned itself {name}"),
                }
            }
            TraceEvent::PartitionsRevoked { partitions, lost } => {
                let owned = self.owned.entry(node).or_default();
                owned.retain(|id| !partitions.contains(id));
                let Some(partition) = partitions.iter().find(|id| self.is_here(**id)) else {
                    return true;
                };
                let name = self.name_of(*partition);
                match lost {
                    true => format!("has lost {name}: it is no member any more"),
                    false if self.is_balanced(node) => format!("no longer reads {name}"),
                    false => format!("gives {name} up"),
                }
            }
            TraceEvent::LeftGroup { reason } => {
                let why = match reason {
                    LeaveReason::Closed => "close()",
                    LeaveReason::Unsubscribed => "unsubscribe()",
                    LeaveReason::PollTimeout => "no poll() for max.poll.interval.ms",
                };
                format!("leaves its group: {why}")
            }
            TraceEvent::MembershipLost { error } => format!("is no member any more: {error}"),
            TraceEvent::ApplicationFailed { failure, error, reaction } => {
                let why = failure.map_or_else(|| error.to_string(), |of| exception(of).to_owned());
                match reaction {
                    ApplicationReaction::Stopped => format!("stops after {why}"),
                    ApplicationReaction::Resubscribed => format!("subscribes anew after {why}"),
                    ApplicationReaction::Ignored => format!("goes on after {why}"),
                }
            }
            _ => return self.group_fact(stamped),
        };
        if self.is_open(node) {
            self.say(stamped, text);
        }
        true
    }

    /// What the coordinator does to the group.
    fn group_fact(&mut self, stamped: &Stamped) -> bool {
        match &stamped.event {
            TraceEvent::RebalanceStarted { group, reason, .. } => {
                if self.is_open_group(*group) {
                    let header = self.header.as_ref().expect("the run has begun");
                    let name = names::group(header, *group);
                    let why = names::rebalance_reason(*reason).replace('_', " ");
                    self.say(stamped, format!("{name} rebalances: {why}"));
                }
            }
            TraceEvent::MemberRemoved { group, member_node, reason, .. } => {
                if self.is_open_group(*group) && self.owns(*member_node) {
                    let why = match reason {
                        RemovalReason::Left(_) => "it left",
                        RemovalReason::SessionExpired => "silent for its session",
                        RemovalReason::RebalanceTimeout => "it did not join in time",
                        RemovalReason::SyncTimeout => "it did not ask for its assignment in time",
                        RemovalReason::Replaced => "another process took its place",
                        RemovalReason::PendingExpired => "it never joined",
                        RemovalReason::GroupFull => "the group is full",
                    };
                    let member = self.name_of_node(*member_node);
                    self.say(stamped, format!("removes {member} from the group: {why}"));
                }
            }
            _ => return false,
        }
        true
    }

    /// Whether a process owns the record's partition, by its own account.
    pub(super) fn owns(&self, node: NodeId) -> bool {
        let owned = self.owned.get(&node);
        self.partition.is_some_and(|id| owned.is_some_and(|owned| owned.contains(&id)))
    }

    // ---- transactions ---------------------------------------------------------------------------

    fn transaction_fact(&mut self, stamped: &Stamped) -> bool {
        let text = match &stamped.event {
            TraceEvent::TransactionBegun { .. } => {
                if let Some(watch) = self.watch_of(stamped.node) {
                    watch.in_transaction_of.take_if(|node| *node == stamped.node);
                }
                "begins a transaction".to_owned()
            }
            TraceEvent::TransactionEnded { result, error, .. } => {
                let what = match result {
                    TransactionResult::Commit => "committed",
                    TransactionResult::Abort => "aborted",
                };
                match error {
                    ErrorCode::None => format!("its transaction is {what}"),
                    error => format!("does not know whether its transaction is {what}: {error}"),
                }
            }
            _ => return false,
        };
        let undone = match self.ends_processing(stamped) {
            Some(TransactionResult::Abort) => ", and the processing of the record with it",
            Some(TransactionResult::Commit) => "",
            None if self.is_created && self.writes_it(stamped.node) => "",
            None => return true,
        };
        self.say(stamped, format!("{text}{undone}"));
        true
    }

    /// How the transaction ended in which a process processed the record, if it just did.
    fn ends_processing(&mut self, stamped: &Stamped) -> Option<TransactionResult> {
        let TraceEvent::TransactionEnded { result, error: ErrorCode::None, .. } = stamped.event
        else {
            return None;
        };
        let watch = self.watch_of(stamped.node)?;
        (watch.in_transaction_of == Some(stamped.node)).then(|| {
            watch.in_transaction_of = None;
            result
        })
    }

    /// A marker in the record's partition behind it, by its own producer.
    pub(super) fn marked(
        &mut self,
        stamped: &Stamped,
        partition: TopicPartition,
        batch: &RecordBatch,
    ) {
        let Payload::Marker(marker) = &batch.payload else { return };
        let Some(stamp) = batch.stamp.filter(|stamp| self.open_for == Some(stamp.id)) else {
            return;
        };
        if !self.is_here(partition) {
            return;
        }
        self.open_for = None;
        let what = match marker.result {
            TransactionResult::Commit => "commits",
            TransactionResult::Abort => "ABORTS",
        };
        let text = format!(
            "a marker at {} {what} the transaction of producer id {}",
            batch.base_offset, stamp.id
        );
        self.say(stamped, text);
    }

    // ---- helpers --------------------------------------------------------------------------------

    /// What is noted of the application on a process, if it is one that the reader asks about.
    fn watch_of(&mut self, node: NodeId) -> Option<&mut Watch> {
        let index = self.application_on(node)?;
        self.watches.get_mut(index)
    }

    /// The application on a process, if it is one that the reader asks about.
    pub(super) fn application_on(&self, node: NodeId) -> Option<usize> {
        let node = self.header.as_ref()?.nodes.get(usize::from(node.0))?;
        let index = usize::from(node.member?.0.0);
        self.is_chosen(index).then_some(index)
    }

    fn is_chosen(&self, index: usize) -> bool {
        self.group.is_none_or(|GroupIndex(chosen)| usize::from(chosen) == index)
    }

    pub(super) fn is_here(&self, partition: TopicPartition) -> bool {
        self.partition == Some(partition)
    }

    /// Whether the application on a process still has to do with the record.
    pub(super) fn is_open(&self, node: NodeId) -> bool {
        let watch = self.application_on(node).and_then(|index| self.watches.get(index));
        self.is_created && watch.is_some_and(|watch| !watch.is_past || watch.processed == 0)
    }

    fn is_open_at(&self, node: NodeId, partition: TopicPartition) -> bool {
        self.is_here(partition) && self.is_open(node)
    }

    pub(super) fn is_open_group(&self, group: GroupId) -> bool {
        let Some(header) = &self.header else { return false };
        let all = header.groups.iter().enumerate().zip(&self.watches);
        let mut mine = all.filter(|((index, of), _)| of.group == group && self.is_chosen(*index));
        self.is_created
            && !self.written.is_empty()
            && mine.any(|(_, watch)| !watch.is_past || watch.processed == 0)
    }

    /// Whether a process writes the record: its producer, or the application whose output it is.
    pub(super) fn writes_it(&self, node: NodeId) -> bool {
        let Some(header) = &self.header else { return false };
        let Some(node) = header.nodes.get(usize::from(node.0)) else { return false };
        let output = node.member.and_then(|(index, _)| header.groups.get(usize::from(index.0)));
        let output = output.and_then(|group| group.output);
        node.producer.is_some_and(|(producer, _)| producer == self.record.producer)
            || output == Some(self.record.producer)
    }

    pub(super) fn name_of_node(&self, node: NodeId) -> String {
        names::node(self.header.as_ref().expect("the run has begun"), node)
    }
}
