//! Groups and consumer applications over time.

use acklab_verdict::groups::Groups;
use acklab_verdict::groups::application::{Application, exception};
use acklab_verdict::world::World;
use acklab_vocab::ids::{Generation, GroupId, GroupIndex, NodeId, TopicPartition};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{CommitFailure, GroupState, Stamped, TraceEvent};

use super::{ApplicationTracks, ReadingTracks, Recording, Refused, or_nothing};
use crate::run::state::NOTHING;
use crate::run::track::{Track, micros};

/// States of a group with Kafka's names, as the values of a [`Track`].
pub const STATES: [(GroupState, &str); 7] = [
    (GroupState::Empty, "Empty"),
    (GroupState::PreparingRebalance, "PreparingRebalance"),
    (GroupState::CompletingRebalance, "CompletingRebalance"),
    (GroupState::Stable, "Stable"),
    (GroupState::Dead, "Dead"),
    (GroupState::Assigning, "Assigning"),
    (GroupState::Reconciling, "Reconciling"),
];

impl ApplicationTracks {
    pub(super) fn new(application: &Application) -> Self {
        let readings = application.readings.iter().map(|reading| ReadingTracks {
            partition: reading.partition,
            owners: Track::default(),
            position: Track::default(),
            standstill: Track::default(),
        });
        ApplicationTracks { readings: readings.collect(), ..ApplicationTracks::default() }
    }
}

impl Recording {
    pub(super) fn observe_groups(&mut self, world: &World, groups: &Groups, stamped: &Stamped) {
        let at = micros(stamped.at);
        match &stamped.event {
            TraceEvent::RecordsRead { partition, .. }
            | TraceEvent::PositionFromCommitted { partition, .. }
            | TraceEvent::PositionReset { partition, .. } => {
                self.look_at_position(world, groups, stamped, *partition);
            }
            TraceEvent::RecordsProcessed { partition, from, to, .. } => {
                self.look_at_position(world, groups, stamped, *partition);
                if let Some(application) = self.application_on(stamped.node) {
                    application.processed.push((at, to.distance_from(*from)));
                }
            }
            TraceEvent::PartitionsAssigned { .. }
            | TraceEvent::PartitionsRevoked { .. }
            | TraceEvent::ApplicationFailed { .. } => self.look_at_owners(groups, at),
            TraceEvent::GroupStateChanged { group, generation, .. }
            | TraceEvent::GenerationStarted { group, generation, .. } => {
                self.look_at_group(groups, *group, at);
                self.generation(groups, stamped, *group, *generation);
            }
            TraceEvent::RebalanceStarted { group, .. }
            | TraceEvent::MemberJoined { group, .. }
            | TraceEvent::Assigned { group, .. } => self.look_at_group(groups, *group, at),
            TraceEvent::MemberRemoved { group, .. } => {
                self.look_at_group(groups, *group, at);
                self.look_at_owners(groups, at);
            }
            TraceEvent::CommitAnswered { group, .. } => {
                self.look_at_group(groups, *group, at);
                self.answered(stamped);
            }
            TraceEvent::CommitCompleted { .. } => self.completed(stamped),
            TraceEvent::OffsetsCommitted { group, from, offsets } => {
                self.look_at_group(groups, *group, at);
                let known = offsets.iter().filter_map(|of| world.index_of(of.partition));
                let all = 0..world.partitions.len();
                match from {
                    Some(_) => {
                        known.for_each(|index| self.look_at_offset(groups, *group, index, at))
                    }
                    None => all.for_each(|index| self.look_at_offset(groups, *group, index, at)),
                }
            }
            TraceEvent::OffsetsRemoved { group, partitions } => {
                self.look_at_group(groups, *group, at);
                for index in partitions.iter().filter_map(|id| world.index_of(*id)) {
                    self.look_at_offset(groups, *group, index, at);
                }
            }
            TraceEvent::CoordinatorLoaded { .. } => {
                for group in 0..self.groups.len() {
                    self.look_at_group(groups, GroupId(group as u16), at);
                }
            }
            _ => {}
        }
    }

    fn application_of(&self, node: NodeId) -> Option<GroupIndex> {
        let node = self.header.as_ref()?.nodes.get(usize::from(node.0))?;
        node.member.map(|(application, _)| application)
    }

    fn application_on(&mut self, node: NodeId) -> Option<&mut ApplicationTracks> {
        let application = self.application_of(node)?;
        self.applications.get_mut(usize::from(application.0))
    }

    /// Who owns what, and whether they can work on it.
    pub(super) fn look_at_owners(&mut self, groups: &Groups, at: u64) {
        for (tracks, known) in self.applications.iter_mut().zip(&groups.applications) {
            if known.has_started {
                tracks.started.get_or_insert(at);
            }
            for (tracks, reading) in tracks.readings.iter_mut().zip(&known.readings) {
                let mut owners: Vec<u16> = reading.owners.iter().map(|owner| owner.0).collect();
                owners.sort_unstable();
                tracks.owners.set(at, self.lists.place_of(owners));
                tracks.standstill.set(at, i64::from(reading.standstill.since.is_some()));
                tracks.position.set(at, or_nothing(reading.position));
            }
        }
    }

    fn look_at_position(
        &mut self,
        world: &World,
        groups: &Groups,
        stamped: &Stamped,
        partition: TopicPartition,
    ) {
        let Some(application) = self.application_of(stamped.node) else { return };
        let (index, Some(partition)) = (usize::from(application.0), world.index_of(partition))
        else {
            return;
        };
        let known = groups.applications.get(index).and_then(|of| of.reading(partition));
        let (Some(known), Some(tracks)) = (known, self.applications.get_mut(index)) else { return };
        let tracks = tracks.readings.iter_mut().find(|of| of.partition == partition);
        if let Some(tracks) = tracks {
            tracks.position.set(micros(stamped.at), or_nothing(known.position));
        }
    }

    fn look_at_group(&mut self, groups: &Groups, id: GroupId, at: u64) {
        let index = usize::from(id.0);
        let (Some(known), Some(tracks)) = (groups.groups.get(index), self.groups.get_mut(index))
        else {
            return;
        };
        let state = STATES.iter().position(|(state, _)| Some(*state) == known.state);
        tracks.state.set(at, state.map_or(NOTHING, |state| state as i64));
        tracks.members.set(at, known.members.len() as i64);
        let coordinator = known.coordinator.map_or(NOTHING, |node| i64::from(node.0));
        tracks.coordinator.set(at, coordinator);
    }

    /// A coordinator says in which generation a group is; one that was deposed is not believed.
    fn generation(
        &mut self,
        groups: &Groups,
        stamped: &Stamped,
        id: GroupId,
        generation: Generation,
    ) {
        let index = usize::from(id.0);
        let coordinator = groups.groups.get(index).and_then(|group| group.coordinator);
        if let Some(tracks) =
            self.groups.get_mut(index).filter(|_| coordinator == Some(stamped.node))
        {
            tracks.generation.set(micros(stamped.at), i64::from(generation.0));
        }
    }

    fn look_at_offset(&mut self, groups: &Groups, id: GroupId, partition: usize, at: u64) {
        let index = usize::from(id.0);
        let known = groups.groups.get(index).and_then(|group| group.tracks.get(partition));
        let tracks =
            self.groups.get_mut(index).and_then(|group| group.committed.get_mut(partition));
        if let (Some(known), Some(track)) = (known, tracks) {
            track.set(at, or_nothing(known.current));
        }
    }

    /// The coordinator answered a commit.
    fn answered(&mut self, stamped: &Stamped) {
        let TraceEvent::CommitAnswered { from, error, .. } = &stamped.event else { return };
        if stamped.at < SimTime::ZERO {
            return;
        }
        let (at_us, node) = (micros(stamped.at), *from);
        let Some(application) = self.application_on(node) else { return };
        if error.is_none() {
            application.commits.push(at_us);
        } else {
            *application.unreported.entry(node).or_default() += 1;
            let error = error.name().to_owned();
            application.refused.push(Refused { at_us, node, error });
        }
    }

    /// A commit is over for its consumer. A failure is shown where the coordinator has not refused
    /// it: then that is shown already.
    fn completed(&mut self, stamped: &Stamped) {
        let TraceEvent::CommitCompleted { failure, .. } = &stamped.event else { return };
        let (at_us, node) = (micros(stamped.at), stamped.node);
        let Some(application) = self.application_on(node) else { return };
        let unreported = application.unreported.entry(node).or_default();
        match failure {
            None => *unreported = 0,
            Some(_) if *unreported > 0 => *unreported -= 1,
            Some(failure) if stamped.at >= SimTime::ZERO => {
                let error = in_words(*failure);
                application.refused.push(Refused { at_us, node, error });
            }
            Some(_) => {}
        }
    }
}

/// `TimeoutException`, `RetriableCommitFailedException (COORDINATOR_NOT_AVAILABLE)`
fn in_words(failure: CommitFailure) -> String {
    let name = exception(failure);
    match failure {
        CommitFailure::CommitFailed(Some(error))
        | CommitFailure::Retriable(error)
        | CommitFailure::Other(error) => format!("{name} ({})", error.name()),
        CommitFailure::CommitFailed(None)
        | CommitFailure::RebalanceInProgress
        | CommitFailure::Timeout
        | CommitFailure::FencedInstance => name.to_owned(),
    }
}
