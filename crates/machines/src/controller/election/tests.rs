use super::*;
use acklab_vocab::ids::TopicPartition;

fn list(ids: &[u16]) -> BrokerList {
    ids.iter().map(|&id| BrokerId(id)).collect()
}

/// Replicas, ISR, ELR, leader, last known leader, live brokers, and who is elected.
type Case<'a> = (&'a [u16], &'a [u16], &'a [u16], u16, u16, &'a [u16], (u16, bool));

fn check(election: Election, cases: &[Case<'_>]) {
    let broker = |id: u16| (id > 0).then_some(BrokerId(id));
    for &(replicas, isr, eligible, leader, last_known, live, (expected, unclean)) in cases {
        let candidates = Candidates {
            replicas: &list(replicas),
            isr: &list(isr),
            eligible: &list(eligible),
            leader: broker(leader),
            last_known_leader: broker(last_known),
        };
        let elected = elect_leader(&candidates, election, |id| live.contains(&id.0));
        assert_eq!(
            elected,
            Elected { leader: broker(expected), unclean },
            "{candidates:?} {live:?}"
        );
    }
}

#[test]
fn a_valid_leader_stays_and_else_the_first_valid_replica_leads() {
    check(
        Election::Online,
        &[
            (&[1, 2, 3], &[1, 2, 3], &[], 2, 0, &[1, 2, 3], (2, false)),
            (&[1, 2, 3], &[1, 2, 3], &[], 2, 0, &[1, 3], (1, false)),
            (&[3, 2, 1], &[1, 2, 3], &[], 2, 0, &[1, 3], (3, false)),
            (&[1, 2, 3], &[2, 3], &[], 2, 0, &[1, 3], (3, false)),
            (&[1, 2, 3], &[2], &[], 2, 0, &[1, 3], (0, false)),
            // The ELR counts only while the ISR is empty.
            (&[1, 2, 3], &[2], &[1], 2, 0, &[1, 3], (0, false)),
            (&[1, 2, 3], &[], &[1, 3], 0, 0, &[3, 1], (1, false)),
            (&[1, 2, 3], &[], &[3], 0, 0, &[1, 2], (0, false)),
            // The last known leader counts only when there is nobody else to hope for.
            (&[1, 2, 3], &[], &[], 0, 2, &[1, 2], (2, true)),
            (&[1, 2, 3], &[], &[3], 0, 2, &[1, 2], (0, false)),
            (&[1, 2, 3], &[], &[], 0, 2, &[1, 3], (0, false)),
        ],
    );
}

#[test]
fn an_unclean_election_takes_the_first_live_replica_before_none() {
    check(
        Election::Unclean,
        &[
            (&[1, 2, 3], &[2, 3], &[], 2, 0, &[1, 3], (3, false)),
            (&[1, 2, 3], &[2], &[], 2, 0, &[1, 3], (1, true)),
            (&[1, 2, 3], &[2], &[], 2, 0, &[3], (3, true)),
            (&[1, 2, 3], &[], &[2], 0, 0, &[2, 3], (2, false)),
            (&[1, 2, 3], &[2], &[], 2, 0, &[], (0, false)),
        ],
    );
}

#[test]
fn a_preferred_election_prefers_and_never_harms() {
    check(
        Election::Preferred,
        &[
            (&[1, 2, 3], &[1, 2, 3], &[], 2, 0, &[1, 2, 3], (1, false)),
            (&[1, 2, 3], &[2, 3], &[], 2, 0, &[1, 2, 3], (2, false)),
            (&[1, 2, 3], &[1, 2, 3], &[], 2, 0, &[3], (3, false)),
            (&[1, 2, 3], &[2], &[], 2, 0, &[1], (0, false)),
        ],
    );
}

const OLD: &str = "3.5";
const PLAIN: &str = "3.9";
const ELR: &str = "4.1";

fn partition(isr: &[u16], eligible: &[u16], leader: u16) -> PartitionState {
    PartitionState {
        partition: TopicPartition::new(0, 0),
        replicas: list(&[1, 2, 3]),
        isr: list(isr),
        eligible: list(eligible),
        leader: (leader > 0).then_some(BrokerId(leader)),
        leader_epoch: LeaderEpoch(5),
        partition_epoch: PartitionEpoch(9),
        recovering: false,
    }
}

/// The state after a change to `target_isr` with `live` brokers and min ISR 2; `unclean_shutdown` 0
/// is none.
fn change(
    version: &str,
    before: &PartitionState,
    target_isr: &[u16],
    unclean_shutdown: u16,
    live: &[u16],
) -> Option<PartitionState> {
    let change = PartitionChange {
        partition: before,
        last_known_leader: None,
        target_isr: list(target_isr),
        unclean_shutdown: (unclean_shutdown > 0).then_some(BrokerId(unclean_shutdown)),
        election: Election::Online,
        recovered: false,
        min_isr: 2,
        rules: ProtocolRules::of(version.parse().unwrap()),
    };
    change.build(|id| live.contains(&id.0))
}

fn after(isr: &[u16], eligible: &[u16], leader: u16, epochs: (u32, u32)) -> Option<PartitionState> {
    let (leader_epoch, partition_epoch) = (LeaderEpoch(epochs.0), PartitionEpoch(epochs.1));
    Some(PartitionState { leader_epoch, partition_epoch, ..partition(isr, eligible, leader) })
}

#[test]
fn epochs_rise_with_the_leader_and_with_every_change() {
    let all = partition(&[1, 2, 3], &[], 1);
    assert_eq!(change(PLAIN, &all, &[1, 2, 3], 0, &[1, 2, 3]), None);
    assert_eq!(change(PLAIN, &all, &[1, 2], 0, &[1, 2, 3]), after(&[1, 2], &[], 1, (5, 10)));
    assert_eq!(change(OLD, &all, &[1, 2], 0, &[1, 2, 3]), after(&[1, 2], &[], 1, (6, 10)));
    assert_eq!(change(PLAIN, &all, &[2, 3], 0, &[2, 3]), after(&[2, 3], &[], 2, (6, 10)));
    let small = partition(&[1], &[], 1);
    assert_eq!(change(OLD, &small, &[1, 2], 0, &[1, 2]), after(&[1, 2], &[], 1, (5, 10)));
}

#[test]
fn the_isr_keeps_its_last_member_unless_there_is_an_elr() {
    let last = partition(&[1], &[], 1);
    assert_eq!(change(PLAIN, &last, &[], 0, &[2, 3]), after(&[1], &[], 0, (6, 10)));
    assert_eq!(change(ELR, &last, &[], 0, &[2, 3]), after(&[], &[1], 0, (6, 10)));
    let offline = partition(&[1], &[], 0);
    assert_eq!(change(PLAIN, &offline, &[1], 0, &[2, 3]), None);
    assert_eq!(change(PLAIN, &offline, &[1], 0, &[1]), after(&[1], &[], 1, (6, 10)));
}

#[test]
fn who_leaves_an_isr_under_min_isr_stays_eligible() {
    let two = partition(&[1, 2], &[], 1);
    assert_eq!(change(ELR, &two, &[1], 0, &[1, 3]), after(&[1], &[2], 1, (5, 10)));
    // From min ISR up nobody is.
    let one = partition(&[1], &[2, 3], 1);
    assert_eq!(change(ELR, &one, &[1, 3], 0, &[1, 3]), after(&[1, 3], &[], 1, (5, 10)));
    // An unclean shutdown ends it, and so does leading.
    assert_eq!(change(ELR, &one, &[1], 3, &[1]), after(&[1], &[2], 1, (5, 10)));
    let none = partition(&[], &[2, 3], 0);
    assert_eq!(change(ELR, &none, &[], 0, &[3]), after(&[3], &[2], 3, (6, 10)));
}
