//! The few facts that a person wants to see in order, each in a sentence. What one event did to
//! many partitions is one line, and the brokers' own topics are counted, not named.

mod consumers;
mod zookeeper;

use acklab_vocab::ids::{BrokerId, EventId, NodeId, TopicPartition};
use acklab_vocab::metadata_log::PartitionState;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{
    PartitionChangeReason, RunHeader, Stamped, TraceEvent, TruncationReason,
};
use serde::Serialize;
use std::sync::Arc;

use self::consumers::Consumers;
use self::zookeeper::Clients;
use crate::groups::Groups;
use crate::names;
use crate::verdict::ClusterCounts;
use crate::world::World;

/// One line of the timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TimelineEntry {
    /// When.
    pub at: SimTime,
    /// What happened.
    pub text: String,
    /// A remark to its right, such as `elected after 7.4 s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aside: Option<String>,
}

/// So many lines are kept; the rest are counted in the last one.
pub const LINES_KEPT: usize = 200;
/// So many partitions of one line are named.
const NAMED: usize = 3;

/// Gathers the timeline.
#[derive(Debug, Default)]
pub struct Timeline {
    entries: Vec<TimelineEntry>,
    dropped: u64,
    groups: Vec<Group>,
    event: EventId,
    faults: Vec<(u32, Arc<str>)>,
    consumers: Consumers,
    clients: Clients,
    /// What happened, counted.
    pub counts: ClusterCounts,
}

/// The same thing done to several partitions by one event.
#[derive(Debug)]
struct Group {
    at: SimTime,
    key: GroupKey,
    partitions: Vec<(TopicPartition, String)>,
    count: u64,
    /// Of these, partitions of internal topics.
    internal: u64,
    /// How long ago the longest of the outages that it ends began. They last until the new leader
    /// knows of its election.
    spell: SimDuration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GroupKey {
    Elected(BrokerId, PartitionChangeReason),
    Offline,
    IsrChanged { shrunk: bool },
    Truncated(NodeId, TruncationReason),
    TailLost(NodeId),
}

impl Timeline {
    /// Looks at a fact. `world` is as it was before.
    pub fn observe(&mut self, header: &RunHeader, world: &World, stamped: &Stamped) {
        self.consumers.learn(stamped);
        if stamped.at < SimTime::ZERO {
            return;
        }
        if stamped.cause != self.event {
            self.flush(header);
            self.event = stamped.cause;
        }
        match &stamped.event {
            TraceEvent::ProcessStarted { .. }
            | TraceEvent::ProcessKilled
            | TraceEvent::PowerLost
            | TraceEvent::ProcessExited { .. }
            | TraceEvent::ProcessPaused
            | TraceEvent::ProcessResumed { .. } => self.process(header, world, stamped),
            TraceEvent::PartitionChanged { state, reason } => {
                self.partition_changed(header, world, stamped.at, state, *reason);
            }
            TraceEvent::LogTruncated { .. } | TraceEvent::UnflushedTailLost { .. } => {
                self.cut(header, stamped);
            }
            TraceEvent::FaultBegan { .. }
            | TraceEvent::FaultEnded { .. }
            | TraceEvent::WorkloadEnded
            | TraceEvent::ControllerElected { .. }
            | TraceEvent::BrokerFenced { .. }
            | TraceEvent::BrokerUnfenced { .. }
            | TraceEvent::ReaderStopped { .. } => self.cluster(header, stamped),
            TraceEvent::ZooKeeperLeaderElected { .. }
            | TraceEvent::ZooKeeperSessionOpened { .. }
            | TraceEvent::ZooKeeperSessionEnded { .. }
            | TraceEvent::ZooKeeperStateChanged { .. }
            | TraceEvent::PartitionReleased { .. }
            | TraceEvent::BalanceAttempted { .. }
            | TraceEvent::ExceptionRaised { .. } => self.observe_zookeeper(header, world, stamped),
            _ => self.observe_consumers(header, stamped),
        }
    }

    /// The lines, in order.
    #[must_use]
    pub fn finish(
        mut self,
        header: &RunHeader,
        groups: &Groups,
        world: &World,
    ) -> (Vec<TimelineEntry>, ClusterCounts) {
        self.flush(header);
        self.finish_two_owners(groups, world, header);
        self.finish_consumers(groups, header);
        if self.dropped > 0 {
            let at = self.entries.last().map(|last| last.at).unwrap_or_default();
            let text = format!("… and {} more", names::counted(self.dropped, "line"));
            self.entries.push(TimelineEntry { at, text, aside: None });
        }
        (self.entries, self.counts)
    }

    /// Faults, the controller, readers that stop.
    fn cluster(&mut self, header: &RunHeader, stamped: &Stamped) {
        let node = || names::speaker(header, stamped);
        let text = match &stamped.event {
            TraceEvent::FaultBegan { fault, description } => {
                self.faults.push((*fault, Arc::clone(description)));
                format!("fault: {description}")
            }
            TraceEvent::FaultEnded { fault } => {
                let known = self.faults.iter().find(|(number, _)| number == fault);
                let what = known.map_or("fault", |(_, description)| description);
                format!("over: {what}")
            }
            TraceEvent::WorkloadEnded => "the workload ends; temporary faults heal".to_owned(),
            TraceEvent::ControllerElected { controller, epoch } => {
                self.counts.controller_elections += 1;
                format!("controller {controller} elected (epoch {epoch})")
            }
            TraceEvent::BrokerFenced { broker } => {
                self.counts.fencings += 1;
                format!("{} fenced broker {broker}", node())
            }
            TraceEvent::BrokerUnfenced { broker } => {
                format!("{} unfenced broker {broker}", node())
            }
            TraceEvent::ReaderStopped { partition, error } => {
                format!("{} stopped on {}: {error}", node(), names::partition(header, *partition))
            }
            _ => return,
        };
        if self.is_said_again(header, stamped) {
            return;
        }
        let text = Self::controller_words(header, stamped).unwrap_or(text);
        self.line(stamped.at, text, None);
    }

    /// A log lost its tail.
    fn cut(&mut self, header: &RunHeader, stamped: &Stamped) {
        let (partition, key, end, before) = match &stamped.event {
            TraceEvent::LogTruncated { partition, to, log_end_offset, reason } => {
                (*partition, GroupKey::Truncated(stamped.node, *reason), *to, *log_end_offset)
            }
            TraceEvent::UnflushedTailLost { partition, from, log_end_offset } => {
                (*partition, GroupKey::TailLost(stamped.node), *from, *log_end_offset)
            }
            _ => return,
        };
        if end < before {
            if matches!(key, GroupKey::Truncated(..)) && !is_internal(header, partition) {
                self.counts.truncations += 1;
                self.counts.truncated_records += before.distance_from(end);
            }
            let detail = format!("from {} to {}", names::grouped(before.0), names::grouped(end.0));
            self.group(header, stamped.at, key, partition, detail, SimDuration::ZERO);
        }
    }

    /// A life begins, ends or stands still.
    fn process(&mut self, header: &RunHeader, world: &World, stamped: &Stamped) {
        let name = names::node(header, stamped.node);
        let ended = match &stamped.event {
            TraceEvent::ProcessStarted { incarnation } => {
                if incarnation.0 > 0 {
                    self.line(stamped.at, format!("{name} back"), None);
                }
                return;
            }
            TraceEvent::ProcessResumed { paused_for } => {
                let text = format!("{name} runs again after a pause of {paused_for}");
                self.line(stamped.at, text, None);
                return;
            }
            TraceEvent::ProcessKilled => "killed",
            TraceEvent::PowerLost => "lost power",
            TraceEvent::ProcessExited { clean: true } => "shut down",
            TraceEvent::ProcessExited { clean: false } => "exited with an error",
            TraceEvent::ProcessPaused => "paused",
            _ => return,
        };
        self.ended(header, world, stamped, ended);
    }

    fn ended(&mut self, header: &RunHeader, world: &World, stamped: &Stamped, how: &str) {
        let broker = world.broker_on(stamped.node);
        let states = world.partitions.iter().filter_map(|partition| partition.state.as_ref());
        let all = states.filter(|state| state.leader == Some(broker));
        let (internal, led): (Vec<_>, Vec<_>) =
            all.partition(|state| is_internal(header, state.partition));
        let mut text = format!("{} {how}", names::node(header, stamped.node));
        match led[..] {
            [] => {}
            [state] => {
                let name = names::partition(header, state.partition);
                let (epoch, isr) = (state.leader_epoch, names::brokers(&state.isr));
                text.push_str(&format!(" while leading {name} (epoch {epoch}, ISR {isr})"));
            }
            _ => text.push_str(&format!(" while leading {} partitions", led.len())),
        }
        if !internal.is_empty() {
            let how = if led.is_empty() { " while leading" } else { " and" };
            let many = names::counted(internal.len() as u64, "internal partition");
            text.push_str(&format!("{how} {many}"));
        }
        self.line(stamped.at, text, None);
    }

    fn partition_changed(
        &mut self,
        header: &RunHeader,
        world: &World,
        at: SimTime,
        state: &PartitionState,
        reason: PartitionChangeReason,
    ) {
        let known = world.index_of(state.partition).map(|index| &world.partitions[index]);
        let before = known.and_then(|known| known.state.as_ref());
        let leader_before = before.and_then(|before| before.leader);
        let key = match state.leader {
            Some(leader) if leader_before != Some(leader) => {
                let counts = !is_internal(header, state.partition);
                if reason != PartitionChangeReason::Created && counts {
                    self.counts.elections += 1;
                    let unclean = reason == PartitionChangeReason::UncleanElection;
                    self.counts.unclean_elections += u64::from(unclean);
                }
                GroupKey::Elected(leader, reason)
            }
            None if leader_before.is_some() => GroupKey::Offline,
            Some(_) | None => match before {
                Some(before) if before.isr != state.isr => {
                    GroupKey::IsrChanged { shrunk: state.isr.len() < before.isr.len() }
                }
                Some(_) | None => return,
            },
        };
        let since = known.and_then(|known| known.leaderless.since);
        let detail = match key {
            GroupKey::Elected(..) => format!("epoch {}", state.leader_epoch),
            GroupKey::Offline
            | GroupKey::IsrChanged { .. }
            | GroupKey::Truncated(..)
            | GroupKey::TailLost(_) => format!("ISR {}", names::brokers(&state.isr)),
        };
        let spell = since.map_or(SimDuration::ZERO, |since| at.since(since));
        self.group(header, at, key, state.partition, detail, spell);
    }

    fn group(
        &mut self,
        header: &RunHeader,
        at: SimTime,
        key: GroupKey,
        partition: TopicPartition,
        detail: String,
        spell: SimDuration,
    ) {
        let open = self.groups.iter().position(|group| group.key == key);
        let index = open.unwrap_or_else(|| {
            let (partitions, spell) = (Vec::new(), SimDuration::ZERO);
            self.groups.push(Group { at, key, partitions, count: 0, internal: 0, spell });
            self.groups.len() - 1
        });
        let group = &mut self.groups[index];
        group.count += 1;
        if is_internal(header, partition) {
            group.internal += 1;
            return;
        }
        group.spell = group.spell.max(spell);
        if group.partitions.len() < NAMED {
            group.partitions.push((partition, detail));
        }
    }

    fn flush(&mut self, header: &RunHeader) {
        for group in std::mem::take(&mut self.groups) {
            if group.is_of_no_interest() {
                continue;
            }
            let (text, aside) = group.describe(header);
            self.line(group.at, text, aside);
        }
        if let Some((at, text)) = self.consumers.take_removal() {
            self.line(at, text, None);
        }
    }

    /// Adds a line. Returns its index, unless there are too many.
    fn line(&mut self, at: SimTime, text: String, aside: Option<String>) -> Option<usize> {
        if self.entries.len() < LINES_KEPT {
            self.entries.push(TimelineEntry { at, text, aside });
            Some(self.entries.len() - 1)
        } else {
            self.dropped += 1;
            None
        }
    }
}

/// Whether a partition belongs to the brokers' own topics.
fn is_internal(header: &RunHeader, partition: TopicPartition) -> bool {
    header.topics.get(usize::from(partition.topic.0)).is_some_and(|topic| topic.internal)
}

impl Group {
    /// The brokers' own topics are worth a line when leaders change or tails are lost.
    fn is_of_no_interest(&self) -> bool {
        let is_only_internal = self.internal == self.count;
        is_only_internal
            && matches!(self.key, GroupKey::IsrChanged { .. } | GroupKey::Truncated(..))
    }

    fn describe(&self, header: &RunHeader) -> (String, Option<String>) {
        let named = self.partitions.iter().map(|(partition, detail)| match self.key {
            GroupKey::Truncated(..) | GroupKey::TailLost(_) => {
                format!("{} {detail}", names::partition(header, *partition))
            }
            GroupKey::Elected(..) | GroupKey::Offline | GroupKey::IsrChanged { .. } => {
                format!("{} ({detail})", names::partition(header, *partition))
            }
        });
        let mut which = named.collect::<Vec<_>>().join(", ");
        let more = self.count - self.internal - self.partitions.len() as u64;
        if more > 0 {
            which.push_str(&format!(" and {} more", names::grouped(more)));
        }
        if self.internal > 0 {
            let and = if which.is_empty() { "" } else { " and " };
            let many = names::counted(self.internal, "internal partition");
            which.push_str(&format!("{and}{many}"));
        }
        let text = match self.key {
            GroupKey::Elected(leader, PartitionChangeReason::UncleanElection) => {
                format!("unclean election: broker {leader} leads {which}")
            }
            GroupKey::Elected(leader, PartitionChangeReason::PreferredElection) => {
                format!("preferred election: broker {leader} leads {which}")
            }
            GroupKey::Elected(leader, _) => format!("broker {leader} leads {which}"),
            GroupKey::Offline => format!("no leader for {which}"),
            GroupKey::IsrChanged { shrunk: true } => format!("ISR shrank: {which}"),
            GroupKey::IsrChanged { shrunk: false } => format!("ISR grew: {which}"),
            GroupKey::Truncated(node, reason) => {
                let by = match reason {
                    TruncationReason::LeaderEpoch => "",
                    TruncationReason::HighWatermark => " to its high watermark",
                    TruncationReason::LeaderLogEnd => " to its leader's log end",
                    TruncationReason::LeaderLogStart => " entirely",
                };
                format!("{} truncated {which}{by}", names::node(header, node))
            }
            GroupKey::TailLost(node) => {
                format!("{} lost an unflushed tail: {which}", names::node(header, node))
            }
        };
        let spell = (self.spell > SimDuration::ZERO)
            .then(|| format!("elected after {}", names::seconds(self.spell)));
        (text, spell)
    }
}
