//! Consumer groups as their facts tell: who owned what, who processed which offsets, what was
//! committed, refused and lost.
//!
//! A fold beside the [`World`]: [`Groups::observe`] is its table of contents. What a
//! fact means for the invariants of groups is in `checks`; fates and causes are
//! decided at the end, in [`fates`]. Costs a few words per chunk of processing and per commit.

pub mod application;
mod balanced;
mod checks;
pub mod coordination;
pub mod coordinators;
pub mod fates;
pub mod journal;
pub mod lag;
mod members;
pub mod reading;
pub mod rebalances;
pub mod standstill;
pub mod summary;

#[cfg(test)]
mod balanced_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod transaction_tests;

use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{GroupId, LeaderEpoch, NodeId, TopicPartition};
use acklab_vocab::record::Payload;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{CommitStyle, GroupState, RunHeader, Stamped, TraceEvent};
use std::sync::Arc;

use self::application::{Application, Member};
use self::coordination::Group;
use self::coordinators::{Coordinators, Logged};
use self::journal::Journal;
use self::lag::Sampler;
use self::reading::Moment;
use crate::transactions::Transactions;
use crate::world::World;

/// The groups of a run.
#[derive(Debug, Default)]
pub struct Groups {
    /// By [`GroupIndex`](acklab_vocab::ids::GroupIndex).
    pub applications: Vec<Application>,
    /// By [`GroupId`].
    pub groups: Vec<Group>,
    /// By [`NodeId`]; most are no members of anything.
    pub members: Vec<Member>,
    /// The transactions of all applications, those of plain producers included.
    pub transactions: Transactions,
    coordinators: Coordinators,
    journal: Journal,
    sampler: Sampler,
    number: u32,
}

impl Groups {
    /// The groups of a run, before its first fact.
    #[must_use]
    pub fn new(header: &RunHeader, world: &World) -> Self {
        let members = header.nodes.iter().map(|node| Member {
            application: node.member.map(|(index, _)| usize::from(index.0)),
            ..Member::default()
        });
        let partitions = world.partitions.len();
        Groups {
            applications: header.groups.iter().map(|of| Application::new(of, world)).collect(),
            groups: header.group_ids.iter().map(|_| Group::new(partitions)).collect(),
            members: members.collect(),
            ..Groups::default()
        }
    }

    /// Looks at a fact. `world` has seen it already.
    pub fn observe(&mut self, header: &RunHeader, world: &mut World, stamped: &Stamped) {
        if self.applications.is_empty() {
            return;
        }
        if self.sampler.is_due(stamped.at) {
            self.sample(header, world, stamped.at);
        }
        match &stamped.event {
            TraceEvent::ProcessStarted { .. }
            | TraceEvent::ProcessKilled
            | TraceEvent::PowerLost
            | TraceEvent::ProcessExited { .. }
            | TraceEvent::ProcessPaused
            | TraceEvent::ProcessResumed { .. } => self.observe_process(stamped),
            TraceEvent::Appended { partition, batch } => {
                if matches!(batch.payload, Payload::Records(_) | Payload::Transaction(_)) {
                    return;
                }
                let Some(home) = world.index_of(*partition) else { return };
                if self.coordinators.is_zombie(home, stamped.node) {
                    return;
                }
                self.journal.appended(world, &mut self.groups, stamped.at, home, batch);
            }
            TraceEvent::CoordinatorLoaded { partition, leader_epoch } => {
                self.coordinator_loaded(world, stamped, *partition, *leader_epoch);
            }
            TraceEvent::GroupStateChanged { .. }
            | TraceEvent::RebalanceStarted { .. }
            | TraceEvent::MemberJoined { .. }
            | TraceEvent::MemberRemoved { .. }
            | TraceEvent::GenerationStarted { .. }
            | TraceEvent::Assigned { .. } => self.observe_membership(world, stamped),
            TraceEvent::CommitAnswered { .. }
            | TraceEvent::OffsetsCommitted { .. }
            | TraceEvent::OffsetsRemoved { .. } => self.observe_offsets(world, stamped),
            TraceEvent::PartitionsAssigned { .. }
            | TraceEvent::PartitionsRevoked { .. }
            | TraceEvent::LeftGroup { .. }
            | TraceEvent::MembershipLost { .. }
            | TraceEvent::PositionFromCommitted { .. }
            | TraceEvent::PositionReset { .. }
            | TraceEvent::CommitSent { .. }
            | TraceEvent::CommitCompleted { .. } => self.observe_member(world, stamped),
            TraceEvent::RecordsProcessed { .. }
            | TraceEvent::ApplicationFailed { .. }
            | TraceEvent::HandedOverRecordsDropped { .. } => self.observe_work(world, stamped),
            TraceEvent::ZooKeeperSessionEnded { .. }
            | TraceEvent::PartitionClaimed { .. }
            | TraceEvent::PartitionReleased { .. }
            | TraceEvent::BalanceAttempted { .. } => self.observe_balance(world, stamped),
            _ => {}
        }
    }

    fn moment(&mut self, at: SimTime) -> Moment {
        self.number += 1;
        Moment { number: self.number, at }
    }

    fn application_on(&self, node: NodeId) -> Option<usize> {
        self.members.get(usize::from(node.0)).and_then(|member| member.application)
    }

    /// Something has happened to an application's group.
    fn changed(&mut self, application: usize) {
        let group = self.applications[application].group;
        if let Some(group) = self.groups.get_mut(group) {
            group.changes += 1;
        }
    }

    // ---- the coordinator ------------------------------------------------------------------------

    /// A coordinator has read its partition, and may take it over from another.
    fn coordinator_loaded(
        &mut self,
        world: &World,
        stamped: &Stamped,
        partition: TopicPartition,
        epoch: LeaderEpoch,
    ) {
        let (node, at) = (stamped.node, stamped.at);
        let Some(home) = world.index_of(partition) else { return };
        if !self.coordinators.loaded(home, node, epoch) {
            return;
        }
        let Some(replica) = world.partitions[home].replica(node) else { return };
        self.journal.reload(world, replica, home);
        for (index, group) in self.groups.iter_mut().enumerate() {
            if group.home != Some(home) {
                continue;
            }
            let logged = Logged::read(world, replica, GroupId(index as u16), at);
            for &(id, node) in group.taken_over(at, logged) {
                let known = self.members.get_mut(usize::from(node.0));
                if let Some(known) = known.filter(|known| !known.is_dead) {
                    known.id = Some(id);
                }
            }
        }
    }

    /// Whether a broker's facts about a group are more than its own view: no other has taken the
    /// group over.
    fn speaks_for(&self, id: GroupId, node: NodeId) -> bool {
        let home = self.groups.get(usize::from(id.0)).and_then(|group| group.home);
        home.is_none_or(|home| !self.coordinators.is_zombie(home, node))
    }

    fn observe_membership(&mut self, world: &mut World, stamped: &Stamped) {
        let at = stamped.at;
        match &stamped.event {
            TraceEvent::GroupStateChanged { group: id, state, generation } => {
                let Some(group) = self.group_at(*id, stamped) else { return };
                group.state = Some(*state);
                let is_next = matches!(state, GroupState::Assigning | GroupState::Reconciling);
                group.is_next_generation |= is_next;
                if *state == GroupState::Empty || *state == GroupState::Dead {
                    group.filled_since = None;
                }
                if *state == GroupState::Stable && group.is_next_generation {
                    let members = group.members.len();
                    group.rebalances.stable(at, *generation, members);
                }
            }
            TraceEvent::RebalanceStarted { group: id, generation, reason, member } => {
                let Some(group) = self.group_at(*id, stamped) else { return };
                let known = group.members.iter().find(|(of, _)| Some(*of) == *member);
                let node = known.map(|&(_, node)| node);
                group.rebalances.begin(at, *reason, node);
                if group.is_next_generation {
                    group.generations += u64::from(at >= SimTime::ZERO);
                    group.generation = *generation;
                }
            }
            TraceEvent::MemberJoined { group: id, member, member_node, instance } => {
                let Some(group) = self.group_at(*id, stamped) else { return };
                group.add(at, *member, *member_node);
                if let Some(known) = self.members.get_mut(usize::from(member_node.0)) {
                    known.id = Some(*member);
                    known.is_static = instance.is_some();
                }
            }
            TraceEvent::MemberRemoved { .. } => self.removed(world, stamped),
            TraceEvent::GenerationStarted { group: id, generation, members, .. } => {
                let Some(group) = self.group_at(*id, stamped) else { return };
                group.begin_generation(at, *generation, members);
                let nodes = members.iter().map(|&(_, node)| node).collect();
                group.rebalances.joined(at, *generation, nodes);
                for &(member, node) in members.iter() {
                    if let Some(known) = self.members.get_mut(usize::from(node.0)) {
                        known.id = Some(member);
                    }
                }
            }
            TraceEvent::Assigned { group: id, assignment, partial, generation } => {
                if !self.speaks_for(*id, stamped.node) {
                    return;
                }
                self.check_assignment(world, stamped, *id, *generation, assignment, *partial);
                let Some(group) = self.group_at(*id, stamped) else { return };
                group.is_next_generation |= *partial;
                if *partial {
                    for (member, partitions) in assignment.iter() {
                        group.assignment.retain(|(of, _)| of != member);
                        group.assignment.push((*member, Arc::clone(partitions)));
                    }
                } else {
                    group.assignment = assignment.to_vec();
                }
            }
            _ => {}
        }
    }

    /// The group that a coordinator speaks of, unless another has taken it over.
    fn group_at(&mut self, id: GroupId, stamped: &Stamped) -> Option<&mut Group> {
        if !self.speaks_for(id, stamped.node) {
            return None;
        }
        let group = self.groups.get_mut(usize::from(id.0))?;
        group.changes += 1;
        let is_other = group.coordinator.is_some_and(|known| known != stamped.node);
        if is_other && stamped.at >= SimTime::ZERO {
            group.coordinator_moves += 1;
        }
        group.coordinator = Some(stamped.node);
        Some(group)
    }

    fn observe_offsets(&mut self, world: &mut World, stamped: &Stamped) {
        match &stamped.event {
            TraceEvent::CommitAnswered {
                group: id,
                from,
                error,
                member,
                transactional,
                offsets,
                ..
            } => {
                let speaks = self.speaks_for(*id, stamped.node);
                if error.is_none() && speaks {
                    self.check_commit(world, stamped);
                } else if error.is_none() {
                    self.check_late_commit(world, stamped);
                }
                let counts = stamped.at >= SimTime::ZERO;
                if let Some(index) = self.application_on(*from) {
                    let application = &mut self.applications[index];
                    application.has_unfenced_offsets |= *transactional && member.is_none();
                    if error.is_none() {
                        application.commits += u64::from(counts);
                    } else {
                        *application.refused.entry(*error).or_default() += u64::from(counts);
                    }
                }
                let group = match speaks {
                    true => self.group_at(*id, stamped),
                    false => self.groups.get_mut(usize::from(id.0)),
                };
                let Some(group) = group else { return };
                group.ask(world, *from, offsets);
                if *error != ErrorCode::None && counts {
                    match group.refused.iter_mut().find(|(of, _)| of == error) {
                        Some((_, count)) => *count += 1,
                        None => group.refused.push((*error, 1)),
                    }
                }
            }
            TraceEvent::OffsetsCommitted { .. } if world.is_zookeeper_server(stamped.node) => {
                self.offsets_in_znodes(world, stamped);
            }
            TraceEvent::OffsetsCommitted { group, from, offsets } => {
                if from.is_none() || self.speaks_for(*group, stamped.node) {
                    self.check_offsets(world, stamped, *group, *from, offsets);
                }
                let moment = self.moment(stamped.at);
                let Some(group) = self.group_at(*group, stamped) else { return };
                if from.is_none() {
                    let is_gone = |partition: usize| {
                        let id = world.partitions[partition].id;
                        offsets.iter().all(|of| of.partition != id)
                    };
                    for (partition, track) in group.tracks.iter_mut().enumerate() {
                        if track.current.is_some() && is_gone(partition) {
                            track.commit(moment, None, None);
                        }
                    }
                }
                for of in offsets.iter() {
                    let Some(partition) = world.index_of(of.partition) else { continue };
                    let track = &mut group.tracks[partition];
                    if from.is_some() || track.current != Some(of.offset) {
                        track.commit(moment, *from, Some(of.offset));
                    }
                }
            }
            TraceEvent::OffsetsRemoved { group, partitions } => {
                let moment = self.moment(stamped.at);
                let Some(group) = self.group_at(*group, stamped) else { return };
                group.has_expired = true;
                for partition in partitions.iter().filter_map(|id| world.index_of(*id)) {
                    group.tracks[partition].becomes_visible(None);
                    group.tracks[partition].commit(moment, None, None);
                }
            }
            _ => {}
        }
    }

    // ---- samples --------------------------------------------------------------------------------

    fn sample(&mut self, header: &RunHeader, world: &World, at: SimTime) {
        for (application, of) in self.applications.iter_mut().zip(&header.groups) {
            if !application.has_started {
                continue;
            }
            let group = self.groups.get(application.group);
            let by_position = of.commit == CommitStyle::Never;
            let mut lag = 0;
            for reading in &application.readings {
                let end = world.partitions[reading.partition].reached;
                let committed = group.and_then(|group| group.tracks[reading.partition].current);
                let place = if by_position { reading.position } else { committed };
                lag += end.distance_from(place.unwrap_or_default());
                let behind = end.distance_from(reading.position.unwrap_or_default());
                application.behind = application.behind.max(behind);
            }
            application.lag.sample(at, lag);
        }
    }

    /// The run is over.
    pub fn finish(&mut self, header: &RunHeader, world: &World, at: SimTime) {
        self.sample(header, world, at);
        for application in &mut self.applications {
            for reading in &mut application.readings {
                reading.standstill.end(at);
                reading.unclaimed.end(at);
                reading.doubled.end(at);
            }
        }
        self.groups.iter_mut().for_each(|group| group.rebalances.finish());
    }
}
