use super::*;
use acklab_vocab::ids::{ControllerEpoch, Incarnation, MetadataOffset, NodeId};
use acklab_vocab::metadata_log::MetadataEntry;
use acklab_vocab::version::KafkaVersion;

const PARTITION: TopicPartition = TopicPartition::new(0, 0);

/// Brokers 1 to 5 with epochs 101 to 105; 4 is fenced, 5 is shutting down.
fn cluster() -> ClusterState {
    let mut cluster = ClusterState::default();
    let mut records = Vec::new();
    for id in 1..=5 {
        let (broker, broker_epoch) = (BrokerId(id), BrokerEpoch(100 + u64::from(id)));
        let (incarnation, node) = (Incarnation(0), NodeId(id));
        records.push(MetadataRecord::RegisterBroker { broker, incarnation, broker_epoch, node });
        records.push(MetadataRecord::BrokerRegistrationChange {
            broker,
            broker_epoch,
            fenced: id == 4,
            in_controlled_shutdown: id == 5,
        });
    }
    let (offset, epoch) = (MetadataOffset(0), ControllerEpoch(1));
    cluster.replay(&MetadataEntry { offset, epoch, records }, None, None);
    cluster
}

fn partition() -> PartitionState {
    PartitionState {
        partition: PARTITION,
        replicas: (1..=5).map(BrokerId).collect(),
        isr: [1, 2].map(BrokerId).into_iter().collect(),
        eligible: BrokerList::new(),
        leader: Some(BrokerId(1)),
        leader_epoch: LeaderEpoch(3),
        partition_epoch: PartitionEpoch(7),
        recovering: false,
    }
}

/// Members of a proposed ISR, with their broker epochs.
type Isr<'a> = &'a [(u16, Option<u64>)];

fn proposal(epochs: (u32, u32), isr: Isr<'_>) -> PartitionAlter {
    PartitionAlter {
        partition: PARTITION,
        leader_epoch: LeaderEpoch(epochs.0),
        partition_epoch: PartitionEpoch(epochs.1),
        new_isr: isr.iter().map(|&(id, epoch)| (BrokerId(id), epoch.map(BrokerEpoch))).collect(),
    }
}

#[test]
fn a_proposal_is_judged_in_kafkas_order() {
    use ErrorCode::{
        FencedLeaderEpoch, IneligibleReplica, InvalidRequest, InvalidUpdateVersion, None,
        NotController,
    };
    let good = &[(1, Option::None), (3, Some(103))][..];
    let bad = &[(9, Option::None)][..];
    // Sender, (leader epoch, partition epoch), proposed ISR, answer. Each case also breaks rules
    // that come later.
    let cases: [(u16, (u32, u32), Isr<'_>, ErrorCode); 14] = [
        (1, (3, 7), good, None),
        (1, (3, 7), &[(1, Option::None)], None),
        (2, (4, 7), bad, NotController),
        (2, (2, 8), bad, NotController),
        (2, (2, 6), bad, FencedLeaderEpoch),
        (2, (3, 6), bad, InvalidRequest),
        (1, (3, 6), bad, InvalidUpdateVersion),
        (1, (3, 7), bad, InvalidRequest),
        (1, (3, 7), &[], InvalidRequest),
        (1, (3, 7), &[(1, Option::None), (1, Option::None)], InvalidRequest),
        (1, (3, 7), &[(2, Option::None), (4, Option::None)], InvalidRequest),
        (1, (3, 7), &[(1, Option::None), (4, Some(104))], IneligibleReplica),
        (1, (3, 7), &[(1, Option::None), (5, Some(105))], IneligibleReplica),
        (1, (3, 7), &[(1, Option::None), (3, Some(99))], IneligibleReplica),
    ];
    let (cluster, partition) = (cluster(), partition());
    let rules = ProtocolRules::of(KafkaVersion::new(3, 9, 0));
    for (sender, epochs, isr, expected) in cases {
        let wanted = proposal(epochs, isr);
        let sender = BrokerId(sender);
        let error = validate_alter_partition(rules, &cluster, Some(&partition), sender, &wanted);
        assert_eq!(error, expected, "{wanted:?}");
    }
    let unknown = validate_alter_partition(
        rules,
        &cluster,
        Option::None,
        BrokerId(1),
        &proposal((3, 7), bad),
    );
    assert_eq!(unknown, ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn without_its_rule_a_check_is_not_made() {
    let (cluster, partition) = (cluster(), partition());
    let rules = ProtocolRules::of(KafkaVersion::new(3, 9, 0));
    let check = |rule, isr: Isr<'_>| {
        let rules = rules.with(rule, false);
        let wanted = proposal((3, 7), isr);
        validate_alter_partition(rules, &cluster, Some(&partition), BrokerId(1), &wanted)
    };
    let fenced = &[(1, None), (4, Some(104))];
    let restarted = &[(1, None), (3, Some(99))];
    assert_eq!(check(ProtocolRule::IsrExpandChecksFencing, fenced), ErrorCode::None);
    assert_eq!(
        check(ProtocolRule::IsrExpandChecksFencing, restarted),
        ErrorCode::IneligibleReplica
    );
    assert_eq!(check(ProtocolRule::IsrExpandChecksBrokerEpoch, restarted), ErrorCode::None);
    assert_eq!(
        check(ProtocolRule::IsrExpandChecksBrokerEpoch, fenced),
        ErrorCode::IneligibleReplica
    );
}
