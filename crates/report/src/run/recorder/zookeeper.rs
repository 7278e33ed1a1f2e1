//! The ZooKeeper ensemble over time: who leads it, whose sessions live, whom it names the owner of
//! what.

use acklab_verdict::world::World;
use acklab_vocab::ids::{GroupId, TopicPartition};
use acklab_vocab::trace::{RunHeader, Stamped, TraceEvent};

use super::Recording;
use crate::run::state::NOTHING;
use crate::run::track::{Track, micros};

/// The ensemble over time.
#[derive(Debug, Default)]
pub struct EnsembleTracks {
    /// The process of the server that leads it, or [`NOTHING`].
    pub leader: Track,
    /// The process of the broker that is the controller, or [`NOTHING`].
    pub controller: Track,
    /// By process: how many sessions it has.
    pub sessions: Vec<Track>,
    /// By process: when sessions of it expired.
    pub expired: Vec<Vec<u64>>,
}

impl EnsembleTracks {
    pub(super) fn of(header: &RunHeader) -> Option<Self> {
        let tracks = EnsembleTracks {
            sessions: header.nodes.iter().map(|_| Track::default()).collect(),
            expired: header.nodes.iter().map(|_| Vec::new()).collect(),
            ..EnsembleTracks::default()
        };
        header.nodes.iter().any(|node| node.zookeeper.is_some()).then_some(tracks)
    }
}

impl Recording {
    /// Whether the fact was the ensemble's, or about the race for the controller.
    pub(super) fn observe_zookeeper(&mut self, world: &World, stamped: &Stamped) {
        let (Some(tracks), Some(known)) = (&mut self.ensemble, &world.ensemble) else { return };
        let (at, node) = (micros(stamped.at), i64::from(stamped.node.0));
        match &stamped.event {
            TraceEvent::ZooKeeperLeaderElected { .. } => tracks.leader.set(at, node),
            TraceEvent::ControllerElected { .. } => tracks.controller.set(at, node),
            TraceEvent::ControllerResigned { .. } if tracks.controller.last() == Some(node) => {
                tracks.controller.set(at, NOTHING);
            }
            TraceEvent::ZooKeeperSessionOpened { client, .. }
            | TraceEvent::ZooKeeperSessionEnded { client, .. } => {
                let live = known.sessions.values().filter(|of| of.client == *client).count();
                let index = usize::from(client.0);
                if let Some(track) = tracks.sessions.get_mut(index) {
                    track.set(at, live as i64);
                }
                let has_expired = matches!(
                    stamped.event,
                    TraceEvent::ZooKeeperSessionEnded { expired: true, .. }
                );
                if let Some(list) = tracks.expired.get_mut(index).filter(|_| has_expired) {
                    list.push(at);
                }
            }
            TraceEvent::PartitionClaimed { group, partition, .. }
            | TraceEvent::PartitionReleased { group, partition, .. } => {
                self.look_at_claims(world, (*group, *partition), at);
            }
            _ => {}
        }
    }

    fn look_at_claims(&mut self, world: &World, of: (GroupId, TopicPartition), at: u64) {
        let (group, partition) = of;
        let (Some(ensemble), Some(index)) = (&world.ensemble, world.index_of(partition)) else {
            return;
        };
        let mut owners: Vec<u16> = ensemble.owners(group, partition).map(|of| of.0).collect();
        owners.sort_unstable();
        let list = self.lists.place_of(owners);
        let tracks = self.groups.get_mut(usize::from(group.0));
        if let Some(track) = tracks.and_then(|tracks| tracks.claims.get_mut(index)) {
            track.set(at, list);
        }
    }
}
