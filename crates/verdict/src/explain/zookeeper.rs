//! What ZooKeeper has to do with one record: whose sessions expired, who was named the owner of its
//! partition, which broker won the race for the controller.
//!
//! Facts about a consumer are told while its application still has to do with the record, facts about
//! a broker if it holds a replica of the record's partition.

use acklab_vocab::config::GroupLibrary;
use acklab_vocab::ids::NodeId;
use acklab_vocab::trace::{BalanceOutcome, Stamped, TraceEvent};

use super::Biographer;
use crate::sentences::zookeeper::{attempted, controller, state_sentence};

impl Biographer {
    /// Whether the fact was one of the ZooKeeper era, so that nobody else has to look at it.
    pub(super) fn zookeeper_fact(&mut self, stamped: &Stamped) -> bool {
        let node = stamped.node;
        match &stamped.event {
            TraceEvent::PartitionClaimed { group, partition, consumer } => {
                if self.is_here(*partition) && self.is_open_group(*group) {
                    let (who, name) = (self.name_of_node(*consumer), self.name_of(*partition));
                    self.say(stamped, format!("names {who} the owner of {name}"));
                }
            }
            TraceEvent::PartitionReleased { group, partition, consumer, expired } => {
                if self.is_here(*partition) && self.is_open_group(*group) {
                    let (who, name) = (self.name_of_node(*consumer), self.name_of(*partition));
                    let why = if *expired { ": its session has expired" } else { "" };
                    self.say(stamped, format!("no longer names {who} the owner of {name}{why}"));
                }
            }
            TraceEvent::ZooKeeperSessionEnded { client, expired: true, .. } => {
                if self.is_broker_of_note(*client) {
                    let who = self.name_of_node(*client);
                    self.say(stamped, format!("lets the session of {who} expire"));
                }
            }
            TraceEvent::ZooKeeperStateChanged { state } => {
                if self.is_broker_of_note(node) || self.is_consumer_of_note(node) {
                    self.say(stamped, state_sentence(*state).to_owned());
                }
            }
            TraceEvent::BalanceAttempted { attempt, outcome } => {
                let wants_it = matches!(outcome, BalanceOutcome::Owned(id) if self.is_here(*id));
                let has_failed = *outcome != BalanceOutcome::Done;
                let tells = wants_it || (has_failed && self.owns(node));
                if tells && self.is_open(node) {
                    let header = self.header.as_ref().expect("the run has begun");
                    let text = attempted(header, *attempt, *outcome);
                    self.say(stamped, text);
                }
            }
            TraceEvent::ExceptionRaised { exception, reached_application } => {
                if self.is_consumer_of_note(node) || (self.is_created && self.writes_it(node)) {
                    let how = if *reached_application { "raises" } else { "logs" };
                    self.say(stamped, format!("{how} {}", exception.name()));
                }
            }
            TraceEvent::ControllerElected { .. } | TraceEvent::BrokerFenced { .. } => {
                return self.controller_fact(stamped);
            }
            TraceEvent::ZooKeeperLeaderElected { .. }
            | TraceEvent::ZooKeeperSessionOpened { .. }
            | TraceEvent::ZooKeeperSessionEnded { .. } => {}
            _ => return false,
        }
        true
    }

    /// A broker has won the race for the controller, or has as controller taken another for dead.
    fn controller_fact(&mut self, stamped: &Stamped) -> bool {
        let header = self.header.as_ref().expect("the run has begun");
        let Some(text) = controller(header, &stamped.event) else { return false };
        let tells = match stamped.event {
            TraceEvent::BrokerFenced { .. } => self.is_witness(stamped),
            _ => self.partition.is_some(),
        };
        if self.is_created && tells {
            self.say(stamped, text);
        }
        true
    }

    /// The application on a process shares partitions out by ZooKeeper.
    pub(super) fn is_balanced(&self, node: NodeId) -> bool {
        let Some(header) = &self.header else { return false };
        let application = self.application_on(node).and_then(|index| header.groups.get(index));
        application.is_some_and(|of| matches!(of.library, GroupLibrary::Balanced(_)))
    }

    /// A broker that holds a replica of the record's partition.
    fn is_broker_of_note(&self, node: NodeId) -> bool {
        let Some(header) = &self.header else { return false };
        let broker = header.nodes.get(usize::from(node.0)).and_then(|node| node.broker);
        self.is_created && broker.is_some_and(|broker| self.is_held_by(broker))
    }

    /// A consumer that owns the record's partition, by its own account.
    fn is_consumer_of_note(&self, node: NodeId) -> bool {
        self.owns(node) && self.is_open(node)
    }
}
