//! Whether in-sync replicas agree at the end of a run.
//!
//! Only followers that the leader at rest has counted up to their log's end are looked at: others
//! may still have to truncate. What differs then differs for ever (KIP-101, KIP-279).

use acklab_vocab::ids::NodeId;
use acklab_vocab::time::SimTime;

use super::facts::Scene;
use super::{Partition, Replica, World};
use crate::invariants::{Place, log_matching};

/// An in-sync replica that differs from its leader.
struct Divergence {
    partition: usize,
    node: NodeId,
    /// How many offsets hold other records.
    offsets: u64,
    text: String,
}

impl World {
    /// Takes note of in-sync replicas that hold other records than their leader, and counts them.
    pub(crate) fn check_replicas_at_rest(&mut self, at: SimTime) {
        let mut found = Vec::new();
        for (index, partition) in self.partitions.iter().enumerate() {
            let Some(leader) = self.log_at_rest(partition) else { continue };
            for follower in partition.replicas.iter().filter(|of| of.node != leader.node) {
                if self.is_counted(partition, leader, follower) {
                    found.extend(self.divergence(index, leader, follower));
                }
            }
        }
        for Divergence { partition, node, offsets, text } in found {
            self.diverged += offsets;
            let scene =
                Scene { place: Place { at, node }, partition, broker: self.broker_on(node) };
            self.breach(scene, &log_matching::INVARIANT, Some(text));
        }
    }

    /// The leader takes a replica to be in sync up to the end of its log.
    fn is_counted(&self, partition: &Partition, leader: &Replica, follower: &Replica) -> bool {
        let in_sync = partition.state.as_ref().is_none_or(|of| of.isr.contains(&follower.broker));
        let reported = leader.leader_view().and_then(|view| view.reported_by(follower.broker));
        in_sync && !self.is_down(follower.node) && reported == Some(follower.log_end_offset)
    }

    fn divergence(&self, index: usize, leader: &Replica, follower: &Replica) -> Option<Divergence> {
        let pairs = leader.log.iter().zip(&follower.log);
        let differing = pairs.filter(|(mine, theirs)| mine != theirs);
        let batches = differing.map(|(_, theirs)| &self.appends[theirs.index()].batch);
        let mut offsets = 0;
        let mut first = None;
        for batch in batches {
            first.get_or_insert(batch.base_offset);
            offsets += batch.next_offset().distance_from(batch.base_offset);
        }
        let (from, end) = (first?, leader.log_end_offset.min(follower.log_end_offset));
        let (broker, led_by) = (follower.broker, leader.broker);
        let text = format!(
            "at rest broker {broker} is in sync and has other records than its leader, broker \
             {led_by}, between {from} and {end}"
        );
        Some(Divergence { partition: index, node: follower.node, offsets, text })
    }
}
