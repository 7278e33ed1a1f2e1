//! What becomes of a partition when its ISR, its brokers or its leader must change:
//! `PartitionChangeBuilder`, with the election rules of semantics 2.1 and 1.9.
//!
//! Pure: from the state before, a wish and the set of brokers that may lead to the state after.
//! Left out: reassignment and log directories, which no scenario can ask for; without them those
//! steps of the builder change nothing.

use acklab_vocab::ids::{BrokerId, BrokerList};
use acklab_vocab::ids::{LeaderEpoch, PartitionEpoch};
use acklab_vocab::metadata_log::PartitionState;
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};

/// Which leader is wanted (`PartitionChangeBuilder.Election`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Election {
    /// The current leader if it may stay, else any in-sync replica.
    Online,
    /// The first replica of the assignment if it is in sync, else as before.
    Preferred,
    /// As [`Election::Online`], and any live replica before none.
    Unclean,
}

/// Who won an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elected {
    /// The leader, if there is one.
    pub leader: Option<BrokerId>,
    /// It may lack committed records.
    pub unclean: bool,
}

/// What an election looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidates<'a> {
    /// Replicas in assignment order.
    pub replicas: &'a [BrokerId],
    /// The ISR as it will be.
    pub isr: &'a [BrokerId],
    /// The eligible leader replicas as they will be.
    pub eligible: &'a [BrokerId],
    /// Who leads now.
    pub leader: Option<BrokerId>,
    /// Who led last, while there is no leader, and neither ISR nor ELR has a member (KIP-966);
    /// needs the ELR rule.
    pub last_known_leader: Option<BrokerId>,
}

/// Elects a leader (`PartitionChangeBuilder.electLeader`): the current leader if it is valid, else
/// the first valid replica in assignment order, else the last known leader, else, if `election` is
/// unclean, the first live one.
///
/// Valid is who may lead and is in the ISR, or in the ELR while the ISR is empty.
#[must_use]
pub fn elect_leader(
    candidates: &Candidates<'_>,
    election: Election,
    may_lead: impl Fn(BrokerId) -> bool,
) -> Elected {
    let Candidates { replicas, isr, eligible, leader, last_known_leader } = *candidates;
    let in_sync =
        |broker: BrokerId| isr.contains(&broker) || (isr.is_empty() && eligible.contains(&broker));
    let is_valid = |broker: &BrokerId| in_sync(*broker) && may_lead(*broker);
    let clean = |leader| Elected { leader: Some(leader), unclean: false };

    if election == Election::Preferred
        && let Some(&preferred) = replicas.first().filter(|preferred| is_valid(preferred))
    {
        return clean(preferred);
    }
    if let Some(current) = leader.filter(|current| is_valid(current)) {
        return clean(current);
    }
    if let Some(&online) = replicas.iter().find(|replica| is_valid(replica)) {
        return clean(online);
    }
    if isr.is_empty()
        && eligible.is_empty()
        && let Some(last) = last_known_leader.filter(|&last| may_lead(last))
    {
        return Elected { leader: Some(last), unclean: true };
    }
    if election == Election::Unclean
        && let Some(&live) = replicas.iter().find(|&&replica| may_lead(replica))
    {
        return Elected { leader: Some(live), unclean: true };
    }
    Elected { leader: None, unclean: false }
}

/// A change that is wanted of one partition.
#[derive(Clone, Debug)]
pub struct PartitionChange<'a> {
    /// The state before.
    pub partition: &'a PartitionState,
    /// See [`Candidates::last_known_leader`].
    pub last_known_leader: Option<BrokerId>,
    /// The ISR that is wanted, ascending.
    pub target_isr: BrokerList,
    /// A broker that has lost its page cache or may have: it leaves the ELR too.
    pub unclean_shutdown: Option<BrokerId>,
    /// How to elect.
    pub election: Election,
    /// The leader has reported an ISR of its own (AlterPartition): it is no longer recovering.
    pub recovered: bool,
    /// `min.insync.replicas`, at most the number of replicas.
    pub min_isr: usize,
    /// Rules of the controller.
    pub rules: ProtocolRules,
}

impl PartitionChange<'_> {
    /// The state after the change (`PartitionChangeBuilder.build`), `None` if nothing changes.
    #[must_use]
    pub fn build(self, may_lead: impl Fn(BrokerId) -> bool) -> Option<PartitionState> {
        let elr_enabled = self.rules.has(ProtocolRule::EligibleLeaderReplicas);
        let before = self.partition;
        let mut eligible = self.target_eligible(elr_enabled);
        let elected = elect_leader(
            &Candidates {
                replicas: &before.replicas,
                isr: &self.target_isr,
                eligible: &eligible,
                leader: before.leader,
                last_known_leader: self.last_known_leader.filter(|_| elr_enabled),
            },
            self.election,
            may_lead,
        );

        let mut after = before.clone();
        let mut target_isr = self.target_isr;
        let leader_changes = elected.leader != before.leader;
        let mut forced_isr = false;
        if let Some(leader) = elected.leader.filter(|_| leader_changes) {
            if eligible.contains(&leader) {
                target_isr = BrokerList::from_slice(&[leader]);
                eligible.retain(|replica| *replica != leader);
            } else if elected.unclean {
                target_isr = BrokerList::from_slice(&[leader]);
                forced_isr = true;
                after.recovering = true;
            }
        }
        after.leader = elected.leader;
        if forced_isr || !elr_enabled {
            eligible.clear();
        }
        after.eligible = eligible;
        // Without ELR the ISR keeps its last member: only that one may lead again.
        if !target_isr.is_empty() || elr_enabled {
            after.isr = target_isr;
        }
        if self.recovered && !forced_isr {
            after.recovering = false;
        }
        if after == *before {
            return None;
        }
        let shrinks = before.isr.iter().any(|replica| !after.isr.contains(replica));
        let shrink_bumps = self.rules.has(ProtocolRule::IsrShrinkBumpsLeaderEpoch) && shrinks;
        if leader_changes || shrink_bumps {
            after.leader_epoch = LeaderEpoch(before.leader_epoch.0 + 1);
        }
        after.partition_epoch = PartitionEpoch(before.partition_epoch.0 + 1);
        Some(after)
    }

    /// The ELR before the election (`maybePopulateTargetElr`): empty from min ISR up, else
    /// everybody who was in ISR or ELR and is not in the new ISR, without unclean shutdowns.
    /// Ascending.
    fn target_eligible(&self, elr_enabled: bool) -> BrokerList {
        if !elr_enabled {
            return self.partition.eligible.clone();
        }
        if self.target_isr.len() >= self.min_isr {
            return BrokerList::new();
        }
        let mut eligible: BrokerList = self.partition.eligible.clone();
        eligible.extend(self.partition.isr.iter().copied());
        eligible.retain(|replica| {
            !self.target_isr.contains(replica) && Some(*replica) != self.unclean_shutdown
        });
        eligible.sort_unstable();
        eligible.dedup();
        eligible
    }
}

#[cfg(test)]
mod tests;
