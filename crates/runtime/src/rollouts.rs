//! What operators do to the instances of an application: restart them one after the other, start more, end some.

use crate::faults::Change;
use crate::node::Life;
use crate::world::{Body, DriverOrder, World, WorldEvent};
use acklab_scenario::model::Span;
use acklab_vocab::ids::{GroupIndex, NodeId};
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::Observer;
use std::collections::VecDeque;

/// A rolling restart under way.
#[derive(Clone, Debug)]
pub(crate) struct Rolling {
    /// The instances that are still to be restarted, in order.
    left: VecDeque<NodeId>,
    /// The instance that has been told to end, or has ended and has not started again.
    pub(crate) current: Option<NodeId>,
    /// The current one has ended.
    ended: bool,
    /// From the end of a process to its next start.
    down: SimDuration,
    /// From a start to the next instance's end.
    between: SimDuration,
}

/// The one duration that a span stands for in a fixed fault.
pub(crate) fn exactly(span: Span) -> SimDuration {
    crate::draws::span(span, 1 << 31)
}

impl<O: Observer> World<O> {
    /// Every process of an application, by instance.
    pub(crate) fn instances(&self, group: GroupIndex) -> impl Iterator<Item = NodeId> + '_ {
        let of_group = self
            .header
            .nodes
            .iter()
            .enumerate()
            .filter(move |(_, header)| header.member.is_some_and(|(other, _)| other == group));
        of_group.map(|(index, _)| NodeId(index as u16))
    }

    /// Begins to restart the instances that run. The first is told to end at once.
    pub(crate) fn begin_rolling_restart(
        &mut self,
        fault: u32,
        group: GroupIndex,
        down: Span,
        between: Span,
    ) -> Change {
        let runs = |node: &NodeId| self.nodes[usize::from(node.0)].life != Life::Dead;
        let left = self.instances(group).filter(runs).collect();
        let now = self.now;
        self.push(now, Body::World(WorldEvent::RollingRestart { fault }));
        let (down, between) = (exactly(down), exactly(between));
        Change::Rolling(Rolling { left, current: None, ended: false, down, between })
    }

    /// A rolling restart goes on to the next instance that runs, or is over.
    pub(crate) fn roll_on(&mut self, fault: u32) {
        loop {
            let Some(rolling) = self.faults.rolling(fault) else { return };
            let Some(node) = rolling.left.pop_front() else {
                self.fault_ends(fault);
                return;
            };
            if self.nodes[usize::from(node.0)].life != Life::Dead {
                if let Some(rolling) = self.faults.rolling(fault) {
                    rolling.current = Some(node);
                    rolling.ended = false;
                }
                self.shut_down(node);
                return;
            }
        }
    }

    /// A process has ended: a rolling restart may have waited for that.
    pub(crate) fn process_has_ended(&mut self, node: NodeId) {
        let Some(rolling) = self.faults.rolling_now(node).filter(|rolling| !rolling.ended) else {
            return;
        };
        rolling.ended = true;
        let at = self.now + rolling.down;
        let incarnation = self.nodes[usize::from(node.0)].incarnation;
        self.push(at, Body::Start { node, incarnation });
        self.order(DriverOrder::Start(node));
    }

    /// A process has started: a rolling restart may go on.
    pub(crate) fn process_has_started(&mut self, node: NodeId) {
        let Some(fault) = self.faults.rolls(node) else { return };
        let Some(rolling) = self.faults.rolling(fault) else { return };
        rolling.current = None;
        let wait = if rolling.left.is_empty() { SimDuration::ZERO } else { rolling.between };
        let at = self.now + wait;
        self.push(at, Body::World(WorldEvent::RollingRestart { fault }));
    }

    /// A rolling restart ends before it is through: whoever is being restarted still is.
    pub(crate) fn stop_rolling(&mut self, rolling: &Rolling) {
        if let Some(node) = rolling.current {
            self.restart(node);
        }
    }

    /// So many instances run from now on. Those that start do so one `stagger` after the other.
    pub(crate) fn scale(&mut self, group: GroupIndex, members: u16) {
        let stagger = self.scenario.groups[usize::from(group.0)].stagger;
        let instances: Vec<NodeId> = self.instances(group).collect();
        let mut started = 0;
        for (instance, node) in instances.into_iter().enumerate() {
            let host = &mut self.nodes[usize::from(node.0)];
            let runs_already = host.wanted && !host.gave_up;
            host.wanted = instance < usize::from(members);
            if !host.wanted && runs_already {
                self.shut_down(node);
            } else if host.wanted && !runs_already {
                if host.life == Life::Dead && !self.faults.holds_down(node) {
                    let incarnation = host.incarnation;
                    let at = self.now + stagger * started;
                    started += 1;
                    self.push(at, Body::Start { node, incarnation });
                    self.order(DriverOrder::Start(node));
                } else {
                    self.restart(node);
                }
            }
        }
    }
}
