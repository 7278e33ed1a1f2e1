//! The rebalances of a group: why each began, and how long it took until every member had its
//! assignment.
//!
//! A classic rebalance ends when the last member of the new generation has learned what it owns; a
//! KIP-848 group's when the coordinator calls the group stable. One that the next overtakes never
//! ends. Mirrors `ClassicGroup`'s state machine and `ConsumerGroup`'s, as far as facts tell.

use acklab_vocab::ids::{Generation, NodeId};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::RebalanceReason;
use std::collections::BTreeMap;

/// So many rebalances are kept one by one; all are counted.
pub const REBALANCES_KEPT: usize = 1_000;

/// One rebalance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebalance {
    /// When it began.
    pub at: SimTime,
    /// Why.
    pub reason: RebalanceReason,
    /// On whose account.
    pub node: Option<NodeId>,
    /// The generation that it led to, if it led to one.
    pub generation: Option<Generation>,
    /// How many members that generation has.
    pub members: u16,
    /// How long it took; `None` where another overtook it, or the run ended.
    pub took: Option<SimDuration>,
}

/// All rebalances of a group after time zero.
#[derive(Clone, Debug, Default)]
pub struct Rebalances {
    /// The first ones.
    pub list: Vec<Rebalance>,
    /// How many there were.
    pub count: u64,
    /// How many for which reason.
    pub reasons: BTreeMap<RebalanceReason, u64>,
    /// The longest that ended.
    pub longest: SimDuration,
    open: Option<Open>,
}

#[derive(Clone, Debug)]
struct Open {
    rebalance: Rebalance,
    /// Members of the new generation that have not learned of it.
    waiting: Vec<NodeId>,
}

impl Rebalances {
    /// A rebalance began. The one under way, if there is one, is overtaken.
    pub fn begin(&mut self, at: SimTime, reason: RebalanceReason, node: Option<NodeId>) {
        self.close(None);
        if at < SimTime::ZERO {
            return;
        }
        self.count += 1;
        *self.reasons.entry(reason).or_default() += 1;
        let rebalance = Rebalance { at, reason, node, generation: None, members: 0, took: None };
        self.open = Some(Open { rebalance, waiting: Vec::new() });
    }

    /// All members have joined.
    pub fn joined(&mut self, at: SimTime, generation: Generation, members: Vec<NodeId>) {
        let Some(open) = &mut self.open else { return };
        open.rebalance.generation = Some(generation);
        open.rebalance.members = members.len() as u16;
        open.waiting = members;
        if open.waiting.is_empty() {
            self.close(Some(at));
        }
    }

    /// A member has learned what it owns in a generation.
    pub fn learned(&mut self, at: SimTime, generation: Generation, node: NodeId) {
        if self.open.as_ref().is_some_and(|open| open.rebalance.generation == Some(generation)) {
            self.without(at, node);
        }
    }

    /// A member is not to be waited for any more.
    pub fn without(&mut self, at: SimTime, node: NodeId) {
        let Some(open) = &mut self.open else { return };
        let before = open.waiting.len();
        open.waiting.retain(|waiting| *waiting != node);
        if before > 0 && open.waiting.is_empty() {
            self.close(Some(at));
        }
    }

    /// The coordinator calls a KIP-848 group stable.
    pub fn stable(&mut self, at: SimTime, generation: Generation, members: usize) {
        if let Some(open) = &mut self.open {
            open.rebalance.generation = Some(generation);
            open.rebalance.members = members as u16;
            self.close(Some(at));
        }
    }

    /// The run is over.
    pub fn finish(&mut self) {
        self.close(None);
    }

    fn close(&mut self, at: Option<SimTime>) {
        let Some(Open { mut rebalance, .. }) = self.open.take() else { return };
        rebalance.took = at.map(|at| at.since(rebalance.at));
        self.longest = self.longest.max(rebalance.took.unwrap_or_default());
        if self.list.len() < REBALANCES_KEPT {
            self.list.push(rebalance);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(i64) -> SimTime = SimTime::from_millis;

    #[test]
    fn a_rebalance_lasts_until_the_last_member_knows() {
        let mut rebalances = Rebalances::default();
        rebalances.begin(AT(10), RebalanceReason::MemberJoined, Some(NodeId(7)));
        rebalances.joined(AT(20), Generation(2), vec![NodeId(6), NodeId(7)]);
        rebalances.learned(AT(25), Generation(2), NodeId(7));
        rebalances.learned(AT(24), Generation(1), NodeId(6));
        rebalances.learned(AT(32), Generation(2), NodeId(6));
        assert_eq!(rebalances.list[0].took, Some(SimDuration::from_millis(22)));
        assert_eq!(rebalances.list[0].members, 2);
    }

    #[test]
    fn one_that_is_overtaken_never_ends() {
        let mut rebalances = Rebalances::default();
        rebalances.begin(AT(10), RebalanceReason::MemberJoined, None);
        rebalances.begin(AT(15), RebalanceReason::SessionExpired, None);
        rebalances.joined(AT(16), Generation(3), Vec::new());
        assert_eq!(rebalances.list[0].took, None);
        assert_eq!(rebalances.list[1].took, Some(SimDuration::from_millis(1)));
        assert_eq!(rebalances.count, 2);
    }

    #[test]
    fn a_rebalance_before_time_zero_does_not_count() {
        let mut rebalances = Rebalances::default();
        rebalances.begin(AT(-5), RebalanceReason::MemberJoined, None);
        rebalances.joined(AT(1), Generation(1), vec![NodeId(6)]);
        rebalances.finish();
        assert_eq!((rebalances.count, rebalances.list.len()), (0, 0));
    }
}
