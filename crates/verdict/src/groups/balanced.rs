//! Consumers that share partitions out among themselves by ZooKeeper: who owns what by its znodes,
//! who by his own account, which sessions expired, how attempts to take a share ended.
//!
//! Mirrors `ZookeeperConsumerConnector` and pykafka's `BalancedConsumer` from outside. There is no
//! coordinator and no generation, so two consumers may work on one partition: one that ZooKeeper
//! names, and one that has not learned, or does not mind, that it is named no more. Of a consumer
//! that commits both to ZooKeeper and to Kafka, the last commit counts, wherever it went.

use acklab_vocab::ids::{GroupId, TopicPartition};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{BalanceOutcome, Stamped, TraceEvent};

use super::Groups;
use super::application::Application;
use super::coordination::{Claim, ClaimChange};
use crate::invariants::committed_bounded;
use crate::world::World;

impl Application {
    /// Its first process has started: from now on its partitions should have owners.
    pub(super) fn begin_unclaimed(&mut self, at: SimTime) {
        if self.balance.is_some() {
            self.readings.iter_mut().for_each(|reading| reading.unclaimed.begin(at));
        }
    }
}

impl Groups {
    pub(super) fn observe_balance(&mut self, world: &World, stamped: &Stamped) {
        let (at, counts) = (stamped.at, stamped.at >= SimTime::ZERO);
        match &stamped.event {
            TraceEvent::ZooKeeperSessionEnded { client, expired: true, .. } => {
                let Some(application) = self.application_on(*client) else { return };
                self.changed(application);
                let of = &mut self.applications[application];
                of.evictions += u64::from(counts);
                if let Some(balance) = &mut of.balance {
                    balance.sessions_expired += u64::from(counts);
                }
            }
            TraceEvent::PartitionClaimed { group, partition, consumer } => {
                let moment = self.moment(at);
                let claim = Claim { moment, node: *consumer, change: ClaimChange::Claimed };
                self.claimed(world, *group, *partition, claim);
            }
            TraceEvent::PartitionReleased { group, partition, consumer, expired } => {
                let moment = self.moment(at);
                let change = if *expired { ClaimChange::Expired } else { ClaimChange::Released };
                let claim = Claim { moment, node: *consumer, change };
                self.claimed(world, *group, *partition, claim);
            }
            TraceEvent::BalanceAttempted { attempt, outcome } => {
                let moment = self.moment(at);
                let Some(application) = self.application_on(stamped.node) else { return };
                self.changed(application);
                let member = &mut self.members[usize::from(stamped.node.0)];
                member.attempts.push((moment, *attempt, *outcome));
                let balance = self.applications[application].balance.as_mut();
                if let Some(balance) = balance.filter(|_| counts) {
                    balance.rebalances += u64::from(*attempt == 0);
                    *balance.attempts.entry(outcome_name(*outcome)).or_default() += 1;
                }
            }
            _ => {}
        }
    }

    /// Another owner, or none, by ZooKeeper.
    fn claimed(&mut self, world: &World, id: GroupId, partition: TopicPartition, claim: Claim) {
        let Some(index) = world.index_of(partition) else { return };
        let Some(group) = self.groups.get_mut(usize::from(id.0)) else { return };
        group.changes += 1;
        group.tracks[index].claims.push(claim);
        let owners = world.ensemble.iter().flat_map(|of| of.owners(id, partition)).count();
        let at = claim.moment.at;
        let mine = |of: &&mut Application| of.group == usize::from(id.0) && of.balance.is_some();
        for application in self.applications.iter_mut().filter(mine) {
            let has_started = application.has_started;
            let Some(reading) = application.reading_mut(index) else { continue };
            match owners {
                0 if has_started => reading.unclaimed.begin(at),
                0 => {}
                _ => reading.unclaimed.end(at),
            }
        }
    }

    /// Owners have changed, or whether they can work: notes where several can.
    pub(super) fn note_two_owners(&mut self, application: usize, at: SimTime) {
        let members = &self.members;
        let of = &mut self.applications[application];
        if of.balance.is_none() {
            return;
        }
        for reading in &mut of.readings {
            let owners = reading.owners.iter().copied();
            let working = owners.filter(|owner| members[usize::from(owner.0)].works()).collect();
            reading.note_working(at, working);
        }
    }

    /// Offsets were written to znodes: nothing fences that.
    pub(super) fn offsets_in_znodes(&mut self, world: &mut World, stamped: &Stamped) {
        let TraceEvent::OffsetsCommitted { group: id, from, offsets } = &stamped.event else {
            return;
        };
        let moment = self.moment(stamped.at);
        if let Some(application) = from.and_then(|node| self.application_on(node)) {
            let counts = stamped.at >= SimTime::ZERO;
            self.applications[application].commits += u64::from(counts);
        }
        let Some(group) = self.groups.get_mut(usize::from(id.0)) else { return };
        group.changes += 1;
        for of in offsets.iter() {
            let Some(scene) = world.scene(stamped, of.partition) else { continue };
            group.tracks[scene.partition].commit(moment, *from, Some(of.offset));
            let reached = world.partitions[scene.partition].reached;
            let text = committed_bounded::check(of.offset, reached);
            world.breach(scene, &committed_bounded::INVARIANT, text);
        }
    }
}

/// How an attempt ended, as in JSON.
#[must_use]
pub const fn outcome_name(outcome: BalanceOutcome) -> &'static str {
    match outcome {
        BalanceOutcome::Done => "done",
        BalanceOutcome::Owned(_) => "owned_by_another",
        BalanceOutcome::ZooKeeperFailed(_) => "zookeeper_failed",
        BalanceOutcome::BrokerFailed(_) => "broker_failed",
    }
}
