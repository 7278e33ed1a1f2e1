//! What the faults in force do to a process, a request or a response.

use super::{Active, Change, Faults};
use crate::draws::{Purpose, Weather};
use crate::rollouts::Rolling;
use acklab_scenario::model::{DroppedResponse, Span};
use acklab_vocab::api::ApiKey;
use acklab_vocab::ids::NodeId;
use acklab_vocab::time::{SimDuration, SimTime};

impl Faults {
    /// How much longer a process's disk takes.
    pub(crate) fn disk_slowdown(&self, node: NodeId) -> Option<Span> {
        self.active.iter().find_map(|active| {
            if let Change::Slow(nodes, extra) = &active.change
                && nodes.contains(&node)
            {
                return Some(*extra);
            }
            None
        })
    }

    /// Whether a fault in force keeps a process from running.
    pub(crate) fn holds_down(&self, node: NodeId) -> bool {
        self.keeps_down(node) || self.keeps_paused(node) || self.rolls(node).is_some()
    }

    /// Whether a fault in force has ended a process and will start it again.
    pub(super) fn keeps_down(&self, node: NodeId) -> bool {
        let ends = |active: &Active| matches!(&active.change, Change::Down(nodes) if nodes.contains(&node));
        self.active.iter().any(ends)
    }

    /// Whether a fault in force lets a process stand still.
    pub(super) fn keeps_paused(&self, node: NodeId) -> bool {
        let pauses = |active: &Active| matches!(&active.change, Change::Paused(nodes) if nodes.contains(&node));
        self.active.iter().any(pauses)
    }

    /// Whether a fault in force keeps a process from running, or from reaching others.
    pub(crate) fn hinders(&self, node: NodeId) -> bool {
        let cut = self.active.iter().any(|active| {
            let Change::Cut(links) = &active.change else { return false };
            links.iter().any(|&(from, to)| from == node || to == node)
        });
        cut || self.holds_down(node)
    }

    /// The rolling restart that a fault is.
    pub(crate) fn rolling(&mut self, fault: u32) -> Option<&mut Rolling> {
        let active = self.active.iter_mut().find(|active| active.number == fault)?;
        if let Change::Rolling(rolling) = &mut active.change { Some(rolling) } else { None }
    }

    /// The rolling restart that restarts a process now.
    pub(crate) fn rolling_now(&mut self, node: NodeId) -> Option<&mut Rolling> {
        let fault = self.rolls(node)?;
        self.rolling(fault)
    }

    /// The number of the rolling restart that restarts a process now.
    pub(crate) fn rolls(&self, node: NodeId) -> Option<u32> {
        let active = self.active.iter().find(|active| {
            matches!(&active.change, Change::Rolling(rolling) if rolling.current == Some(node))
        })?;
        Some(active.number)
    }

    /// How long a request stalls on its way, if a fault wants it to. Counts it.
    pub(crate) fn stalls_request(
        &mut self,
        client: NodeId,
        server: NodeId,
        api: ApiKey,
    ) -> Option<SimDuration> {
        self.active.iter_mut().find_map(|active| {
            let Change::Stalls(stall) = &mut active.change else { return None };
            let concerned = stall.api == api
                && stall.left != Some(0)
                && stall.from.contains(&client)
                && stall.to.contains(&server);
            if !concerned {
                return None;
            }
            stall.left = stall.left.map(|left| left - 1);
            Some(stall.by)
        })
    }

    /// Whether a response is dropped, and how.
    pub(crate) fn drops_response(
        &mut self,
        server: NodeId,
        client: NodeId,
        api: ApiKey,
        now: SimTime,
    ) -> Option<DroppedResponse> {
        for active in &self.active {
            if let Change::Drops { apis, from, to, millionths, then } = &active.change
                && apis.contains(&api)
                && from.contains(&server)
                && to.contains(&client)
            {
                let entity = u64::from(server.0) << 16 | u64::from(client.0);
                let weather = self
                    .drop_weather
                    .entry((server, client))
                    .or_insert_with(|| Weather::new(self.seed, Purpose::DropResponse, entity));
                if (u64::from(weather.draw(now)) * 1_000_000) >> 32 < u64::from(*millionths) {
                    return Some(*then);
                }
            }
        }
        None
    }
}
