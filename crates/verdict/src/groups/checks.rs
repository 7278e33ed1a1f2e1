//! The invariants of groups, each looked at when the fact is stated that could break it.

use acklab_vocab::api::OffsetToCommit;
use acklab_vocab::ids::{Generation, GroupId, MemberId, NodeId, TopicPartition};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{Stamped, TraceEvent};
use std::sync::Arc;

use super::Groups;
use super::journal::{replay, standing};
use crate::invariants::accepted_commit::{self, Standing};
use crate::invariants::fenced_commit::{self, Committer, LINGER};
use crate::invariants::{committed_bounded, committed_explained, one_owner};
use crate::world::World;

impl Groups {
    /// Members were given partitions.
    pub(super) fn check_assignment(
        &self,
        world: &mut World,
        stamped: &Stamped,
        id: GroupId,
        generation: Generation,
        assignment: &[(MemberId, Arc<[TopicPartition]>)],
        partial: bool,
    ) {
        let Some(group) = self.groups.get(usize::from(id.0)) else { return };
        let twice = if partial {
            let replaced = |member: &MemberId| assignment.iter().any(|(of, _)| of == member);
            let others = group.assignment.iter().filter(|(member, _)| !replaced(member));
            let all: Vec<_> = others.chain(assignment).cloned().collect();
            one_owner::check(generation, &all)
        } else {
            one_owner::check(generation, assignment)
        };
        if let Some((partition, text)) = twice
            && let Some(scene) = world.scene(stamped, partition)
        {
            world.breach(scene, &one_owner::INVARIANT, Some(text));
        }
    }

    /// A member says what it owns: no other member may own what is new. A process that is no member
    /// as the newest coordinator has it owns nothing, whatever it has learned late. A static member
    /// is kept through a rebalance that it does not join (KIP-345): until then it does not know
    /// what it has lost.
    pub(super) fn check_owners(
        &mut self,
        world: &mut World,
        stamped: &Stamped,
        application: usize,
    ) {
        let TraceEvent::PartitionsAssigned { generation: Some(learned), member, added, .. } =
            &stamped.event
        else {
            return;
        };
        let index = self.applications[application].group;
        let Some(group) = self.groups.get_mut(index) else { return };
        let is_member = |id: MemberId, node| group.members.contains(&(id, node));
        if !member.is_some_and(|id| is_member(id, stamped.node)) {
            return;
        }
        let is_behind =
            |generation: Generation| !group.is_next_generation && generation < group.generation;
        // Learned late: the newer generation's owners may have learned theirs already.
        if is_behind(*learned) {
            return;
        }
        let owns = |node: NodeId| {
            let known = self.members.get(usize::from(node.0))?;
            let was_absent = known.is_static && known.learned.is_some_and(is_behind);
            known.id.is_some_and(|id| is_member(id, node)).then_some((node, was_absent))
        };
        let mut contested = Vec::new();
        for id in added.iter() {
            let Some(partition) = world.index_of(*id) else { continue };
            let holders = self.applications.iter().filter(|of| of.group == index);
            let owners = holders.filter_map(|of| of.reading(partition)).flat_map(|of| &of.owners);
            let others = owners.copied().filter(|&owner| owner != stamped.node);
            let other = others.filter_map(owns).min_by_key(|&(_, was_absent)| was_absent);
            contested.extend(other.map(|other| (*id, partition, other)));
        }
        for (id, partition, (other, was_absent)) in contested {
            let track = &mut group.tracks[partition];
            if was_absent {
                track.had_absent_owner = true;
                continue;
            }
            track.had_two_owners = true;
            let Some(scene) = world.scene(stamped, id) else { continue };
            let text = format!("process {} owns it, and process {other} still does", stamped.node);
            world.breach(scene, &one_owner::AT_A_TIME, Some(text));
        }
    }

    /// A coordinator accepted a commit.
    pub(super) fn check_commit(&self, world: &mut World, stamped: &Stamped) {
        let TraceEvent::CommitAnswered {
            group: id,
            member,
            generation,
            offsets,
            transactional,
            ..
        } = &stamped.event
        else {
            return;
        };
        let Some(group) = self.groups.get(usize::from(id.0)) else { return };
        // Offsets in a transaction are in the log, but not on the list before its marker: their
        // fencing is looked at by the time of the answer, which can only be later.
        let Some(first) = offsets.first() else { return };
        let Some(partition) = world.index_of(first.partition) else { return };
        let Some(scene) = world.scene(stamped, first.partition) else { return };
        let text = committed_bounded::check(first.offset, world.partitions[partition].reached);
        world.breach(scene, &committed_bounded::INVARIANT, text);
        if *transactional {
            return;
        }
        let Some(appended) = group.tracks[partition].appended_at(first.offset) else { return };
        let committer = match (member, generation) {
            (Some(member), Some(generation)) => {
                let ended = group.ended_at(*member, *generation);
                Committer::Member(*member, *generation, ended)
            }
            // A coordinator whose log has lost the group does not know of its members.
            (None, None) if group.home.is_some_and(|home| was_at_risk(world, home)) => return,
            (None, None) => Committer::NoMember(group.filled_since),
            (Some(_), None) | (None, Some(_)) => return,
        };
        let linger = match world.rules.has(ProtocolRule::EventLoopGroupCoordinator) {
            true => LINGER,
            false => SimDuration::ZERO,
        };
        let text = fenced_commit::check(committer, appended, linger);
        world.breach(scene, &fenced_commit::INVARIANT, text);
    }

    /// A coordinator that another has replaced accepted a commit.
    pub(super) fn check_late_commit(&self, world: &mut World, stamped: &Stamped) {
        let TraceEvent::CommitAnswered { group: id, offsets, .. } = &stamped.event else { return };
        let Some(first) = offsets.first() else { return };
        let Some(home) = self.groups.get(usize::from(id.0)).and_then(|group| group.home) else {
            return;
        };
        let successor = self.coordinators.current(home);
        let replica = |node: NodeId| world.partitions[home].replica(node);
        let Some((own, other)) = replica(stamped.node).zip(successor.and_then(replica)) else {
            return;
        };
        let standing = Standing {
            is_committed: standing(world, own, *id, first) == Some(true),
            is_known: standing(world, other, *id, first).is_some(),
        };
        let awaits_replication = world.rules.has(ProtocolRule::EventLoopGroupCoordinator);
        let text = accepted_commit::check(first.offset, standing, awaits_replication);
        if let Some(scene) = world.scene(stamped, world.partitions[home].id) {
            world.breach(scene, &accepted_commit::INVARIANT, text);
        }
    }

    /// Offsets became the committed ones.
    pub(super) fn check_offsets(
        &mut self,
        world: &mut World,
        stamped: &Stamped,
        id: GroupId,
        from: Option<NodeId>,
        offsets: &[OffsetToCommit],
    ) {
        if from.is_none() {
            return self.check_loaded(world, stamped, id, offsets);
        }
        let Some(group) = self.groups.get_mut(usize::from(id.0)) else { return };
        for of in offsets {
            let Some(scene) = world.scene(stamped, of.partition) else { continue };
            let is_in_log = group.tracks[scene.partition].becomes_visible(Some(of.offset));
            let text = committed_explained::check(of.offset, is_in_log);
            world.breach(scene, &committed_explained::INVARIANT, text);
        }
    }

    /// A coordinator has read its log.
    fn check_loaded(
        &self,
        world: &mut World,
        stamped: &Stamped,
        id: GroupId,
        offsets: &[OffsetToCommit],
    ) {
        let Some(group) = self.groups.get(usize::from(id.0)) else { return };
        let Some(home) = group.home else { return };
        let Some(replica) = world.partitions[home].replica(stamped.node) else { return };
        let possible = replay(world, replica, id, stamped.at);
        for partition in 0..world.partitions.len() {
            let place = world.partitions[partition].id;
            let stated = offsets.iter().find(|of| of.partition == place).map(|of| of.offset);
            let values = possible.get(&partition).map_or(&[][..], Vec::as_slice);
            let text = committed_explained::check_loaded(stated, values);
            if text.is_some()
                && let Some(scene) = world.scene(stamped, place)
            {
                world.breach(scene, &committed_explained::LOADED, text);
            }
        }
    }
}

/// Whether a partition may have lost what was committed.
fn was_at_risk(world: &World, partition: usize) -> bool {
    let partition = &world.partitions[partition];
    partition.has_lost_tail || partition.had_unclean_election
}
