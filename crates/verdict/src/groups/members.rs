//! What members, their processes and their applications say of themselves.

use acklab_vocab::api::LeaveReason;
use acklab_vocab::ids::{NodeId, Offset, TopicPartition};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{
    ApplicationReaction, PositionSource, RemovalReason, Stamped, TraceEvent,
};

use super::Groups;
use super::application::{Removed, exception};
use super::coordination::FailedCommit;
use super::reading::{Dropped, GivenUp, Jump, JumpKind, NO_TRANSACTION, Stretch};
use crate::world::World;

/// A pause that ended so shortly before a removal is still what caused it: the heartbeat was on
/// its way.
const PAUSE_ECHO: SimDuration = SimDuration::from_secs(1);

impl Groups {
    // ---- processes ------------------------------------------------------------------------------

    pub(super) fn observe_process(&mut self, stamped: &Stamped) {
        let (node, at) = (stamped.node, stamped.at);
        let Some(application) = self.application_on(node) else { return };
        let moment = self.moment(at);
        self.changed(application);
        let member = &mut self.members[usize::from(node.0)];
        match &stamped.event {
            TraceEvent::ProcessStarted { .. } => {
                member.is_dead = false;
                member.is_paused = false;
                let of = &mut self.applications[application];
                if !of.has_started {
                    of.has_started = true;
                    of.readings.iter_mut().for_each(|reading| reading.standstill.begin(at));
                    of.begin_unclaimed(at);
                }
            }
            TraceEvent::ProcessPaused => member.is_paused = true,
            TraceEvent::ProcessResumed { .. } => member.is_paused = false,
            TraceEvent::ProcessKilled
            | TraceEvent::PowerLost
            | TraceEvent::ProcessExited { .. } => {
                let clean = matches!(stamped.event, TraceEvent::ProcessExited { clean: true });
                member.is_dead = true;
                member.id = None;
                member.ends.push((moment, clean));
                let group = self.applications[application].group;
                if let Some(group) = self.groups.get_mut(group) {
                    group.rebalances.without(at, node);
                }
                self.disown(application, node, at);
                return self.note_two_owners(application, at);
            }
            _ => {}
        }
        self.update_standstill(application, node, at);
        self.note_two_owners(application, at);
    }

    /// A partition has been created.
    pub fn on_partition_created(&mut self, partition: usize, at: SimTime) {
        let readings = self.applications.iter_mut().flat_map(|of| of.readings.iter_mut());
        for reading in readings.filter(|reading| reading.partition == partition) {
            reading.standstill.created(at);
            reading.unclaimed.created(at);
        }
    }

    /// A process owns nothing any more.
    fn disown(&mut self, application: usize, node: NodeId, at: SimTime) {
        let members = &self.members;
        for reading in &mut self.applications[application].readings {
            if reading.owners.contains(&node) {
                reading.owners.retain(|owner| *owner != node);
                let works = reading.owners.iter().any(|of| members[usize::from(of.0)].works());
                if !works {
                    reading.standstill.begin(at);
                }
            }
        }
    }

    /// A process stands still, or runs again.
    fn update_standstill(&mut self, application: usize, node: NodeId, at: SimTime) {
        let members = &self.members;
        for reading in &mut self.applications[application].readings {
            if reading.owners.contains(&node) {
                let works = reading.owners.iter().any(|of| members[usize::from(of.0)].works());
                if works { reading.standstill.end(at) } else { reading.standstill.begin(at) }
            }
        }
    }

    /// A coordinator removed a member.
    pub(super) fn removed(&mut self, world: &World, stamped: &Stamped) {
        let TraceEvent::MemberRemoved { group: id, member, member_node, reason } = &stamped.event
        else {
            return;
        };
        let (at, node) = (stamped.at, *member_node);
        let moment = self.moment(at);
        let speaks = self.speaks_for(*id, stamped.node);
        if let Some(group) = self.group_at(*id, stamped) {
            group.remove(at, *member);
            if !group.has(node) {
                group.rebalances.without(at, node);
            }
        }
        let Some(application) = self.application_on(node) else { return };
        let is_silent = matches!(
            reason,
            RemovalReason::SessionExpired
                | RemovalReason::RebalanceTimeout
                | RemovalReason::SyncTimeout
                | RemovalReason::Left(LeaveReason::PollTimeout)
        );
        if is_silent && speaks && at >= SimTime::ZERO {
            self.applications[application].evictions += 1;
        }
        let paused = world.processes.get(usize::from(node.0)).is_some_and(|process| {
            let echo = |&(_, until): &(SimTime, SimTime)| until + PAUSE_ECHO >= at;
            process.paused_since.is_some() || process.pauses.last().is_some_and(echo)
        });
        let known = &mut self.members[usize::from(node.0)];
        known.removals.push(Removed { moment, member: *member, reason: *reason, paused });
        if speaks && known.id.is_none_or(|id| id == *member) {
            known.id = None;
            self.disown(application, node, at);
        }
    }

    // ---- members --------------------------------------------------------------------------------

    pub(super) fn observe_member(&mut self, world: &mut World, stamped: &Stamped) {
        let (node, at) = (stamped.node, stamped.at);
        let Some(application) = self.application_on(node) else { return };
        match &stamped.event {
            TraceEvent::PartitionsAssigned { generation, owned, .. } => {
                self.check_owners(world, stamped, application);
                self.own(world, stamped, application, owned);
                self.note_two_owners(application, at);
                self.members[usize::from(node.0)].learned = *generation;
                let group = self.applications[application].group;
                if let (Some(generation), Some(group)) = (generation, self.groups.get_mut(group)) {
                    group.rebalances.learned(at, *generation, node);
                }
            }
            TraceEvent::PartitionsRevoked { partitions, lost } => {
                let moment = self.moment(at);
                let members = &self.members;
                let of = &mut self.applications[application];
                for partition in partitions.iter().filter_map(|id| world.index_of(*id)) {
                    let Some(reading) = of.reading_mut(partition) else { continue };
                    reading.given_up.push(GivenUp { moment, node, lost: *lost });
                    reading.owners.retain(|owner| *owner != node);
                    if !reading.owners.iter().any(|of| members[usize::from(of.0)].works()) {
                        reading.standstill.begin(at);
                    }
                }
                self.note_two_owners(application, at);
            }
            TraceEvent::LeftGroup { reason } => {
                let moment = self.moment(at);
                self.members[usize::from(node.0)].left.push((moment, *reason));
            }
            TraceEvent::MembershipLost { error } => {
                let moment = self.moment(at);
                self.members[usize::from(node.0)].lost.push((moment, *error));
            }
            TraceEvent::PositionFromCommitted { partition, from, to, source } => {
                let kind = match source {
                    PositionSource::Committed => JumpKind::Committed,
                    PositionSource::SoughtToCommitted => JumpKind::Sought,
                };
                self.jumped(world, stamped, *partition, *from, *to, kind);
            }
            TraceEvent::PositionReset { partition, from, to, truncated } => {
                let kind = match from {
                    _ if *truncated => JumpKind::Truncated,
                    Some(from) if is_beyond(world, *partition, *from) => JumpKind::OutOfRange,
                    Some(_) | None => JumpKind::Reset,
                };
                self.jumped(world, stamped, *partition, *from, *to, kind);
                let counts = kind != JumpKind::Truncated && at >= SimTime::ZERO;
                self.applications[application].resets += u64::from(counts);
            }
            TraceEvent::CommitCompleted { offsets, failure: Some(failure), .. } => {
                let moment = self.moment(at);
                let failure = *failure;
                let of = &mut self.applications[application];
                let count = of.failures.entry(exception(failure)).or_default();
                *count += u64::from(at >= SimTime::ZERO);
                let group = of.group;
                let Some(group) = self.groups.get_mut(group) else { return };
                for of in offsets.iter() {
                    let Some(partition) = world.index_of(of.partition) else { continue };
                    let failed = FailedCommit { moment, node, offset: of.offset, failure };
                    group.tracks[partition].failed.push(failed);
                }
            }
            TraceEvent::CommitSent { offsets, .. } => {
                let group = self.applications[application].group;
                if let Some(group) = self.groups.get_mut(group) {
                    group.ask(world, node, offsets);
                }
                return;
            }
            TraceEvent::CommitCompleted { failure: None, .. } => return,
            _ => return,
        }
        self.changed(application);
    }

    /// A process owns exactly these partitions now.
    fn own(
        &mut self,
        world: &World,
        stamped: &Stamped,
        application: usize,
        owned: &[TopicPartition],
    ) {
        let (node, at) = (stamped.node, stamped.at);
        let works = self.members[usize::from(node.0)].works();
        let members = &self.members;
        for reading in &mut self.applications[application].readings {
            let is_mine = owned.contains(&world.partitions[reading.partition].id);
            let was_mine = reading.owners.contains(&node);
            if is_mine && !was_mine {
                reading.owners.push(node);
                if works {
                    reading.standstill.end(at);
                }
            } else if was_mine && !is_mine {
                reading.owners.retain(|owner| *owner != node);
                if !reading.owners.iter().any(|of| members[usize::from(of.0)].works()) {
                    reading.standstill.begin(at);
                }
            }
        }
    }

    fn jumped(
        &mut self,
        world: &World,
        stamped: &Stamped,
        partition: TopicPartition,
        from: Option<Offset>,
        to: Offset,
        kind: JumpKind,
    ) {
        let moment = self.moment(stamped.at);
        let Some(application) = self.application_on(stamped.node) else { return };
        let Some(partition) = world.index_of(partition) else { return };
        let Some(reading) = self.applications[application].reading_mut(partition) else { return };
        reading.jumped(Jump { moment, node: stamped.node, from, to, kind });
    }

    // ---- the application ------------------------------------------------------------------------

    pub(super) fn observe_work(&mut self, world: &World, stamped: &Stamped) {
        let (node, at) = (stamped.node, stamped.at);
        let Some(application) = self.application_on(node) else { return };
        let moment = self.moment(at);
        match &stamped.event {
            TraceEvent::RecordsProcessed { partition, from, to, batch } => {
                let changes = self.groups.get(self.applications[application].group);
                let changes = changes.map_or(0, |group| group.changes);
                let transaction = self.transactions.open_on(node).unwrap_or(NO_TRANSACTION);
                let (from, to, epoch) = (*from, *to, batch.leader_epoch);
                let stretch = Stretch { from, to, epoch, node, moment, transaction };
                let Some(partition) = world.index_of(*partition) else { return };
                let of = &mut self.applications[application];
                of.worked = Some(at);
                of.began.get_or_insert(at);
                let Some(reading) = of.reading_mut(partition) else { return };
                reading.processed(stretch, changes);
                return;
            }
            TraceEvent::ApplicationFailed { failure, reaction, .. } => {
                let member = &mut self.members[usize::from(node.0)];
                member.failures.push((moment, *failure, *reaction));
                if *reaction != ApplicationReaction::Ignored {
                    self.disown(application, node, at);
                    self.note_two_owners(application, at);
                }
            }
            TraceEvent::HandedOverRecordsDropped { partition, from, to } => {
                let Some(partition) = world.index_of(*partition) else { return };
                let of = &mut self.applications[application];
                let Some(reading) = of.reading_mut(partition) else { return };
                reading.dropped.push(Dropped { moment, node, from: *from, to: *to });
            }
            _ => {}
        }
        self.changed(application);
    }

    /// Records were returned to an application. Returns the offset from which on they are new to
    /// it.
    pub fn delivered(
        &mut self,
        at: SimTime,
        node: NodeId,
        partition: usize,
        from: Offset,
        end: Offset,
    ) -> Option<Offset> {
        let application = self.application_on(node)?;
        let of = &mut self.applications[application];
        of.began.get_or_insert(at);
        let reading = of.reading_mut(partition)?;
        let known = reading.delivered.max(from);
        reading.delivered = reading.delivered.max(end);
        reading.position = Some(end);
        Some(known)
    }
}

/// Whether an offset is beyond the end of the log of a partition's leader.
fn is_beyond(world: &World, partition: TopicPartition, offset: Offset) -> bool {
    let partition = world.index_of(partition).map(|index| &world.partitions[index]);
    let leader = partition.and_then(|of| of.replica_of(of.leader_at_rest()?));
    leader.is_some_and(|leader| offset > leader.log_end_offset)
}
