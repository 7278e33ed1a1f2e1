//! The deadlines of groups, behind one timer of the broker.
//!
//! Mirrors the timers of `GroupCoordinator`'s purgatories and of `CoordinatorTimer`. Moving a
//! deadline away costs nothing: the timer comes, finds nothing due, and is set anew.

use crate::broker::{BrokerCx, BrokerTimer};
use acklab_vocab::ids::{GroupId, MemberId, TopicPartition};
use acklab_vocab::time::SimTime;
use std::collections::BTreeMap;

/// What comes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deadline {
    /// A member, or a pending one, must have been heard of (`DelayedHeartbeat`).
    Session(GroupId, MemberId),
    /// A rebalance completes, whoever has joined (`DelayedJoin`, `InitialDelayedJoin`).
    Join(GroupId),
    /// Everybody must have asked for an assignment (`DelayedSync`).
    Sync(GroupId),
    /// A member of a KIP-848 group must have given up partitions (`consumerGroupRebalanceTimeout`).
    Revocation(GroupId, MemberId),
    /// A batch has lingered long enough.
    Linger(TopicPartition),
}

impl Deadline {
    /// Whose it is.
    fn group(self) -> Option<GroupId> {
        match self {
            Deadline::Session(group, _)
            | Deadline::Join(group)
            | Deadline::Sync(group)
            | Deadline::Revocation(group, _) => Some(group),
            Deadline::Linger(_) => None,
        }
    }
}

/// Every deadline that is set.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    at: BTreeMap<Deadline, SimTime>,
    /// When the timer comes, if it is set; not after the earliest deadline.
    armed: Option<SimTime>,
}

impl Deadlines {
    /// Sets a deadline, or moves it.
    pub fn set(&mut self, cx: &mut BrokerCx<'_>, deadline: Deadline, at: SimTime) {
        self.at.insert(deadline, at);
        if self.armed.is_none_or(|armed| at < armed) {
            self.armed = Some(at);
            cx.set_timer(BrokerTimer::GroupCoordinator, at);
        }
    }

    /// Forgets a deadline.
    pub fn cancel(&mut self, deadline: Deadline) {
        self.at.remove(&deadline);
    }

    /// Forgets every deadline of a group.
    pub fn cancel_group(&mut self, group: GroupId) {
        self.at.retain(|deadline, _| deadline.group() != Some(group));
    }

    /// The timer has come: what is due, the earliest first.
    pub fn take_due(&mut self, now: SimTime) -> Vec<Deadline> {
        self.armed = None;
        let due = self.at.iter().filter(|&(_, &at)| at <= now);
        let mut due: Vec<(SimTime, Deadline)> =
            due.map(|(&deadline, &at)| (at, deadline)).collect();
        due.sort_unstable();
        due.into_iter().map(|(_, deadline)| deadline).collect()
    }

    /// Removes a deadline, unless it has been moved or cancelled. Returns whether it was due.
    pub fn remove_if_due(&mut self, deadline: Deadline, now: SimTime) -> bool {
        let is_due = self.at.get(&deadline).is_some_and(|&at| at <= now);
        if is_due {
            self.at.remove(&deadline);
        }
        is_due
    }

    /// Sets the timer for the earliest deadline, if any is left.
    pub fn arm(&mut self, cx: &mut BrokerCx<'_>) {
        let Some(&earliest) = self.at.values().min() else { return };
        if self.armed.is_none_or(|armed| earliest < armed) {
            self.armed = Some(earliest);
            cx.set_timer(BrokerTimer::GroupCoordinator, earliest);
        }
    }
}
