//! Elections as tables: brokers 1 to 4, of which some are registered and some shut down.

use super::super::context::LiveBroker;
use super::*;
use acklab_vocab::ids::{BrokerEpoch, ControllerEpoch, Incarnation, NodeId};

const ORDERS: TopicPartition = TopicPartition::new(0, 0);

fn brokers(ids: &[u16]) -> BrokerList {
    ids.iter().map(|id| BrokerId(*id)).collect()
}

pub(super) fn context(live: &[u16], shutting_down: &[u16], replicas: &[u16]) -> ControllerContext {
    let broker = |id: &u16| {
        let life = LiveBroker {
            node: NodeId(*id),
            incarnation: Incarnation(0),
            epoch: BrokerEpoch(u64::from(*id)),
        };
        (BrokerId(*id), life)
    };
    ControllerContext {
        epoch: ControllerEpoch(3),
        brokers: live.iter().chain(shutting_down).map(broker).collect(),
        shutting_down: shutting_down.iter().map(|id| BrokerId(*id)).collect(),
        assignments: [(ORDERS, brokers(replicas))].into(),
        ..ControllerContext::default()
    }
}

fn state(leader: Option<u16>, isr: &[u16]) -> PartitionState {
    PartitionState {
        partition: ORDERS,
        replicas: brokers(&[2, 1, 3]),
        isr: brokers(isr),
        eligible: BrokerList::new(),
        leader: leader.map(BrokerId),
        leader_epoch: LeaderEpoch(5),
        partition_epoch: PartitionEpoch(9),
        recovering: false,
    }
}

/// Leader, ISR, whether unclean, and who is told.
type Row<'a> = Option<(u16, &'a [u16], bool, &'a [u16])>;

fn check(
    context: &ControllerContext,
    isr: &[u16],
    strategy: Strategy,
    unclean: bool,
    row: Row<'_>,
) {
    let before = state(Some(2), isr);
    let elected = elect(context, &before, strategy, unclean);
    let expected = row.map(|(leader, isr, unclean, recipients)| Elected {
        state: PartitionState {
            leader: Some(BrokerId(leader)),
            isr: brokers(isr),
            leader_epoch: LeaderEpoch(6),
            ..before.clone()
        },
        unclean,
        recipients: brokers(recipients),
    });
    assert_eq!(elected, expected, "{isr:?} {strategy:?} unclean: {unclean}");
}

#[test]
fn a_dead_leader_is_followed_by_the_first_live_replica_in_sync() {
    let offline = Strategy::Offline { allow_unclean: false };
    let without_2 = context(&[1, 3], &[], &[2, 1, 3]);
    check(&without_2, &[1, 2, 3], offline, false, Some((1, &[1, 3], false, &[1, 3])));
    check(&without_2, &[2, 3], offline, false, Some((3, &[3], false, &[1, 3])));
    check(&without_2, &[2], offline, false, None);
    let without_2_and_1 = context(&[3], &[], &[2, 1, 3]);
    check(&without_2_and_1, &[1, 2, 3], offline, false, Some((3, &[3], false, &[3])));
    check(&without_2_and_1, &[1, 2], offline, false, None);
    check(&context(&[4], &[], &[2, 1, 3]), &[1, 2, 3], offline, true, None);
}

#[test]
fn a_broker_that_shuts_down_is_not_elected() {
    let offline = Strategy::Offline { allow_unclean: false };
    let context = context(&[3], &[1], &[2, 1, 3]);
    check(&context, &[1, 2, 3], offline, false, Some((3, &[3], false, &[3])));
    check(&context, &[1, 2], offline, true, Some((3, &[3], true, &[3])));
}

#[test]
fn an_unclean_election_needs_leave_of_the_topic_or_the_operator() {
    let by_rule = Strategy::Offline { allow_unclean: false };
    let by_operator = Strategy::Offline { allow_unclean: true };
    let context = context(&[1, 3], &[], &[2, 1, 3]);
    check(&context, &[2], by_rule, true, Some((1, &[1], true, &[1, 3])));
    check(&context, &[2], by_operator, false, Some((1, &[1], true, &[1, 3])));
    check(&context, &[2, 3], by_rule, true, Some((3, &[3], false, &[1, 3])));
}

#[test]
fn the_preferred_replica_leads_if_it_is_live_and_in_sync() {
    let all = context(&[1, 2, 3], &[], &[1, 2, 3]);
    let elected = elect(&all, &state(Some(2), &[1, 2]), Strategy::Preferred, true);
    let expected = Elected {
        state: PartitionState {
            replicas: brokers(&[1, 2, 3]),
            leader_epoch: LeaderEpoch(6),
            ..state(Some(1), &[1, 2])
        },
        unclean: false,
        recipients: brokers(&[1, 2, 3]),
    };
    assert_eq!(elected, Some(expected));
    assert_eq!(elect(&all, &state(Some(2), &[2, 3]), Strategy::Preferred, true), None);
    let dead = context(&[2, 3], &[], &[1, 2, 3]);
    assert_eq!(elect(&dead, &state(Some(2), &[1, 2]), Strategy::Preferred, true), None);
    let shutting_down = context(&[2, 3], &[1], &[1, 2, 3]);
    assert_eq!(elect(&shutting_down, &state(Some(2), &[1, 2]), Strategy::Preferred, true), None);
}

#[test]
fn a_leader_that_shuts_down_leaves_the_isr_and_is_told_so() {
    let context = context(&[1, 3], &[2], &[2, 1, 3]);
    let shutdown = Strategy::ControlledShutdown;
    check(&context, &[1, 2, 3], shutdown, false, Some((1, &[1, 3], false, &[2, 1, 3])));
    check(&context, &[2, 3], shutdown, false, Some((3, &[3], false, &[2, 1, 3])));
    // Nobody else is in sync: it keeps the partition, even where unclean elections are allowed.
    check(&context, &[2], shutdown, true, None);
}

#[test]
fn a_new_partition_begins_with_all_live_replicas_in_sync() {
    let first = |live: &[u16]| initial_state(&context(live, &[], &[2, 1, 3]), ORDERS);
    let expected = |leader: u16, isr: &[u16]| {
        Some(PartitionState {
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            ..state(Some(leader), isr)
        })
    };
    assert_eq!(first(&[1, 2, 3]), expected(2, &[1, 2, 3]));
    assert_eq!(first(&[1, 3]), expected(1, &[1, 3]));
    assert_eq!(first(&[4]), None);
}

#[test]
fn a_dead_replica_leaves_the_isr_unless_it_is_the_last() {
    let context = context(&[1, 2, 3], &[], &[2, 1, 3]);
    let removed = |leader, isr: &[u16], replica, keep_last| {
        remove_from_isr(&context, &state(leader, isr), BrokerId(replica), keep_last)
    };
    let expected = |leader, isr: &[u16]| {
        Some(PartitionState { leader_epoch: LeaderEpoch(6), ..state(leader, isr) })
    };
    assert_eq!(removed(Some(2), &[1, 2, 3], 3, true), expected(Some(2), &[1, 2]));
    assert_eq!(removed(Some(2), &[1, 2, 3], 2, true), expected(None, &[1, 3]));
    assert_eq!(removed(Some(2), &[2], 2, true), expected(None, &[2]));
    assert_eq!(removed(Some(2), &[2], 2, false), expected(None, &[]));
    assert_eq!(removed(Some(2), &[1, 2], 3, true), None);
}

#[test]
fn a_broker_gets_its_partitions_back_above_the_limit() {
    let mut context = context(&[1, 2, 3], &[], &[1, 2, 3]);
    for index in 0..10 {
        let partition = TopicPartition::new(0, index);
        context.assignments.insert(partition, brokers(&[1, 2, 3]));
        let leader = if index == 7 { 2 } else { 1 };
        let known = PartitionState { partition, ..state(Some(leader), &[1, 2, 3]) };
        context.learn(known, ControllerEpoch(1));
    }
    assert_eq!(imbalanced(&context, 10), [], "one of ten is not more than a tenth");
    let seven = TopicPartition::new(0, 7);
    assert_eq!(imbalanced(&context, 9), [(BrokerId(1), vec![seven])]);
    let out_of_sync = PartitionState { partition: seven, ..state(Some(2), &[2, 3]) };
    context.learn(out_of_sync, ControllerEpoch(1));
    assert_eq!(imbalanced(&context, 9), [(BrokerId(1), vec![])]);
}
