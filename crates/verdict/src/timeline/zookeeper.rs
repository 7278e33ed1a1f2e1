//! What happens to the ensemble, to sessions and to those who share partitions out by ZooKeeper,
//! each in a line.

use acklab_vocab::ids::{BrokerId, ControllerId, NodeId, TopicPartition};
use acklab_vocab::trace::{BalanceOutcome, RunHeader, Stamped, TraceEvent, ZooKeeperState};

use super::Timeline;
use super::consumers::FoldKey;
use crate::groups::Groups;
use crate::groups::reading::Double;
use crate::names;
use crate::sentences::zookeeper::{attempted, state_sentence};
use crate::world::World;

/// So many spells with two owners have a line of their own.
const DOUBLES_SHOWN: usize = 24;
/// So many partitions of one line are named.
const NAMED: usize = 4;

/// What is known of clients of ZooKeeper, for the words of the timeline.
#[derive(Debug, Default)]
pub(super) struct Clients {
    /// Whose session expired, and who has not come back since.
    expired: Vec<NodeId>,
    /// Brokers that a controller has taken for dead.
    dead: Vec<BrokerId>,
    /// What was taken from whom, by the event that is being looked at.
    taken: Vec<(NodeId, TopicPartition)>,
}

impl Timeline {
    /// `world` is as it was before.
    pub(super) fn observe_zookeeper(
        &mut self,
        header: &RunHeader,
        world: &World,
        stamped: &Stamped,
    ) {
        let (at, node) = (stamped.at, names::node(header, stamped.node));
        match &stamped.event {
            TraceEvent::ZooKeeperLeaderElected { epoch, .. } => {
                self.line(at, format!("{node} leads the ensemble (epoch {epoch})"), None);
            }
            TraceEvent::PartitionReleased { partition, consumer, expired: true, .. } => {
                self.clients.taken.push((*consumer, *partition));
            }
            TraceEvent::ZooKeeperSessionEnded { client, expired: true, session } => {
                let timeout = world.ensemble.as_ref().and_then(|of| of.sessions.get(session));
                let timeout = timeout.map(|of| format!(" ({})", of.timeout)).unwrap_or_default();
                let name = names::node(header, *client);
                let taken = std::mem::take(&mut self.clients.taken);
                let taken = taken.into_iter().filter(|(of, _)| of == client);
                let owned = owned(header, taken.map(|(_, partition)| partition).collect());
                self.line(at, format!("the ZooKeeper session of {name} expired{timeout}"), owned);
                self.clients.expired.push(*client);
            }
            TraceEvent::ZooKeeperSessionOpened { client, .. } => {
                let before = self.clients.expired.len();
                self.clients.expired.retain(|of| of != client);
                if self.clients.expired.len() < before {
                    let name = names::node(header, *client);
                    self.line(at, format!("{name} has a new ZooKeeper session"), None);
                }
            }
            TraceEvent::ZooKeeperStateChanged { state } if *state != ZooKeeperState::Connected => {
                let text = format!("{node} {}", state_sentence(*state));
                self.fold(FoldKey::ZooKeeper(stamped.node, *state), at, text);
            }
            TraceEvent::BalanceAttempted { attempt, outcome }
                if *outcome != BalanceOutcome::Done =>
            {
                let text = format!("{node} {}", attempted(header, *attempt, *outcome));
                self.fold(FoldKey::Balance(stamped.node), at, text);
            }
            TraceEvent::ExceptionRaised { exception, reached_application: true } => {
                let text = format!("{node} raises {}", exception.name());
                self.fold(FoldKey::Raised(stamped.node, *exception), at, text);
            }
            _ => {}
        }
    }

    /// Says when partitions had two owners at once.
    pub(super) fn finish_two_owners(&mut self, groups: &Groups, world: &World, header: &RunHeader) {
        let readings = groups.applications.iter().flat_map(|of| &of.readings);
        let all = readings.flat_map(|reading| {
            let partition = world.partitions[reading.partition].id;
            reading.doubles.iter().map(move |double| (partition, double))
        });
        let mut all: Vec<(TopicPartition, &Double)> = all.collect();
        all.sort_by_key(|(partition, double)| (double.since, *partition));
        for (partition, double) in all.iter().take(DOUBLES_SHOWN) {
            let who = double.owners.iter().map(|&owner| names::node(header, owner));
            let who = who.collect::<Vec<_>>().join(" and ");
            let name = names::partition(header, *partition);
            let aside = double.until.map(|until| names::seconds(until.since(double.since)));
            self.line(double.since, format!("{name} has two owners: {who}"), aside);
        }
        if let Some((_, next)) = all.get(DOUBLES_SHOWN) {
            let more = names::counted((all.len() - DOUBLES_SHOWN) as u64, "time");
            let text = format!("partitions with two owners: {more} more from here on");
            self.line(next.since, text, None);
        }
    }

    /// With ZooKeeper, a new controller counts on every broker that it finds: worth a line only where
    /// one had been taken for dead.
    pub(super) fn is_said_again(&mut self, header: &RunHeader, stamped: &Stamped) -> bool {
        match stamped.event {
            TraceEvent::BrokerFenced { broker } => {
                self.clients.dead.push(broker);
                false
            }
            TraceEvent::BrokerUnfenced { broker } if names::has_zookeeper(header) => {
                let before = self.clients.dead.len();
                self.clients.dead.retain(|dead| *dead != broker);
                self.clients.dead.len() == before
            }
            _ => false,
        }
    }

    /// Who is the controller, and whom it takes for dead, where brokers are controllers.
    pub(super) fn controller_words(header: &RunHeader, stamped: &Stamped) -> Option<String> {
        if !names::has_zookeeper(header) {
            return None;
        }
        let node = names::node(header, stamped.node);
        Some(match &stamped.event {
            TraceEvent::ControllerElected { controller: ControllerId(_), epoch } => {
                format!("{node} is the controller (epoch {epoch})")
            }
            TraceEvent::BrokerFenced { broker: BrokerId(id) } => {
                format!("{node}, the controller, takes broker {id} for dead")
            }
            TraceEvent::BrokerUnfenced { broker: BrokerId(id) } => {
                format!("{node}, the controller, counts on broker {id}")
            }
            _ => return None,
        })
    }
}

/// `it owned orders-0, orders-1`
fn owned(header: &RunHeader, mut partitions: Vec<TopicPartition>) -> Option<String> {
    partitions.sort_unstable();
    partitions.dedup();
    let named = partitions.iter().take(NAMED).map(|&id| names::partition(header, id));
    let named = named.collect::<Vec<_>>().join(", ");
    match partitions.len().checked_sub(NAMED) {
        _ if partitions.is_empty() => None,
        None | Some(0) => Some(format!("it owned {named}")),
        Some(more) => Some(format!("it owned {named} and {more} more")),
    }
}
