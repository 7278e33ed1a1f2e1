//! The consumer of an application with a `group.id`, whichever it is: one interface for who runs it.

use crate::balanced::{BalancedConsumer, BalancedSetup};
use crate::consumer::{
    Consumer, ConsumerCall, ConsumerCx, ConsumerInput, ConsumerReport, ConsumerSetup,
    ConsumerTimer, ConsumerView, GroupMembership,
};
use crate::machine::Machine;
use acklab_vocab::ids::{Offset, TopicPartition};

/// What it needs to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupConsumerSetup {
    /// A member of a group, or a consumer that assigns itself its partitions.
    Member(ConsumerSetup),
    /// One that is balanced by ZooKeeper.
    Balanced(BalancedSetup),
}

/// A consumer of an application with a `group.id`.
#[derive(Debug)]
pub enum GroupConsumer {
    /// A member of a group, or a consumer that assigns itself its partitions.
    Member(Box<Consumer>),
    /// One that is balanced by ZooKeeper.
    Balanced(Box<BalancedConsumer>),
}

impl GroupConsumer {
    /// Starts it.
    pub fn boot(cx: &mut ConsumerCx<'_>, setup: GroupConsumerSetup) -> GroupConsumer {
        match setup {
            GroupConsumerSetup::Member(setup) => {
                GroupConsumer::Member(Box::new(Consumer::boot(cx, setup)))
            }
            GroupConsumerSetup::Balanced(setup) => {
                GroupConsumer::Balanced(Box::new(BalancedConsumer::boot(cx, setup)))
            }
        }
    }

    /// Its membership, for a transactional producer.
    #[must_use]
    pub const fn group_membership(&self) -> GroupMembership {
        match self {
            GroupConsumer::Member(consumer) => consumer.group_membership(),
            GroupConsumer::Balanced(consumer) => consumer.group_membership(),
        }
    }

    /// Owns its partitions and has a position for each, nothing to do about that and no commit under way.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match self {
            GroupConsumer::Member(consumer) => consumer.is_settled(),
            GroupConsumer::Balanced(consumer) => consumer.is_settled(),
        }
    }

    /// Owns its partitions and has a position for each, nothing to do about that.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        match self {
            GroupConsumer::Member(consumer) => consumer.is_in_place(),
            GroupConsumer::Balanced(consumer) => consumer.is_in_place(),
        }
    }

    /// The partitions that it reads, ascending, and its position in each: offset of the next record that it hands out.
    pub fn positions(&self) -> impl Iterator<Item = (TopicPartition, Option<Offset>)> + '_ {
        let (member, balanced) = match self {
            GroupConsumer::Member(consumer) => (Some(consumer.positions()), None),
            GroupConsumer::Balanced(consumer) => (None, Some(consumer.positions())),
        };
        member.into_iter().flatten().chain(balanced.into_iter().flatten())
    }

    /// Its state, for people.
    #[must_use]
    pub fn view(&self) -> ConsumerView {
        match self {
            GroupConsumer::Member(consumer) => consumer.view(),
            GroupConsumer::Balanced(consumer) => consumer.view(),
        }
    }
}

impl Machine for GroupConsumer {
    type Timer = ConsumerTimer;
    type Call = ConsumerCall;
    type Report = ConsumerReport;

    fn handle(&mut self, cx: &mut ConsumerCx<'_>, input: ConsumerInput) {
        match self {
            GroupConsumer::Member(consumer) => consumer.handle(cx, input),
            GroupConsumer::Balanced(consumer) => consumer.handle(cx, input),
        }
    }
}
