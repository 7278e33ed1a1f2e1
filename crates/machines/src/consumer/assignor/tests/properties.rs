//! Properties that hold for every group.

use super::*;
use proptest::prelude::*;

const ALL: [Assignor; 4] =
    [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky];
const STICKY: [Assignor; 2] = [Assignor::Sticky, Assignor::CooperativeSticky];

/// Up to 6 members that subscribe to some of 4 topics, and up to 9 partitions in each topic.
fn group() -> impl Strategy<Value = (Vec<JoinGroupMember>, PartitionCounts)> {
    let subscriptions = prop::collection::vec(0u8..16, 1..=6);
    (subscriptions, prop::collection::vec(0u16..=9, 4)).prop_map(|(subscriptions, each)| {
        let named = |bits: u8| -> String {
            "abcd"
                .chars()
                .enumerate()
                .filter(|(at, _)| bits & (1 << at) != 0)
                .map(|of| of.1)
                .collect()
        };
        let members = (1u64..).zip(subscriptions).map(|(id, bits)| member(id, &named(bits), ""));
        (members.collect(), counts(&each))
    })
}

fn owning(
    members: &[JoinGroupMember],
    assigned: &[(MemberId, Arc<[TopicPartition]>)],
) -> Vec<JoinGroupMember> {
    let mut members = members.to_vec();
    for (member, (_, share)) in members.iter_mut().zip(assigned) {
        let said = Arc::make_mut(&mut member.subscription);
        said.owned = share.to_vec();
        said.generation = Some(Generation(1));
    }
    members
}

fn assert_complete(
    members: &[JoinGroupMember],
    counts: &PartitionCounts,
    assigned: &[(MemberId, Arc<[TopicPartition]>)],
) {
    let mut seen = BTreeSet::new();
    for (member, (id, share)) in members.iter().zip(assigned) {
        assert_eq!(member.member, *id);
        for partition in share.iter() {
            assert!(member.subscription.topics.contains(&partition.topic), "{partition:?}");
            assert!(seen.insert(*partition), "{partition:?} has two owners");
        }
    }
    let subscribed = subscribed(members, counts);
    let expected: usize = subscribed.values().map(|&count| usize::from(count)).sum();
    assert_eq!(seen.len(), expected);
}

/// No partition could move to a member that has at least two fewer.
fn assert_balanced(members: &[JoinGroupMember], assigned: &[(MemberId, Arc<[TopicPartition]>)]) {
    for (_, from) in assigned {
        for (member, (_, to)) in members.iter().zip(assigned) {
            let could =
                |partition: &TopicPartition| member.subscription.topics.contains(&partition.topic);
            assert!(from.len() <= to.len() + 1 || !from.iter().any(could), "{assigned:?}");
        }
    }
}

/// Rebalances until the cooperative assignor withholds nothing any more.
fn settled(
    assignor: Assignor,
    members: &[JoinGroupMember],
    counts: &PartitionCounts,
) -> Vec<(MemberId, Arc<[TopicPartition]>)> {
    let mut assigned = assign(assignor, members, counts, newest());
    // Two rounds where subscriptions are equal. With uneven ones the second may find a better balance, and withhold again.
    for _ in 0..ROUNDS {
        let next = assign(assignor, &owning(members, &assigned), counts, newest());
        if next == assigned {
            break;
        }
        assigned = next;
    }
    assert_complete(members, counts, &assigned);
    assigned
}

/// More than any group of this size takes.
const ROUNDS: usize = 6;

proptest! {
    #[test]
    fn every_partition_has_one_owner_that_subscribes_to_it((members, counts) in group()) {
        for assignor in ALL {
            assert_complete(&members, &counts, &assign(assignor, &members, &counts, newest()));
        }
    }

    #[test]
    fn sticky_is_balanced((members, counts) in group()) {
        let assigned = assign(Assignor::Sticky, &members, &counts, newest());
        assert_balanced(&members, &assigned);
    }

    #[test]
    fn sticky_moves_nothing_when_nothing_has_changed((members, counts) in group()) {
        for assignor in STICKY {
            let before = assign(assignor, &members, &counts, newest());
            let again = assign(assignor, &owning(&members, &before), &counts, newest());
            prop_assert_eq!(&before, &again);
        }
    }

    #[test]
    fn a_member_less_or_more_moves_nothing_between_those_that_stay(
        (members, counts) in group(),
        gone in 0usize..6,
    ) {
        let gone = gone % members.len();
        let before = assign(Assignor::Sticky, &members, &counts, newest());
        let mut rest = owning(&members, &before);
        rest.remove(gone);
        let after = settled(Assignor::CooperativeSticky, &rest, &counts);
        let equal = members.windows(2).all(|two| {
            two[0].subscription.topics == two[1].subscription.topics
        });
        if equal {
            for (member, (_, share)) in rest.iter().zip(&after) {
                let kept = member.subscription.owned.iter().all(|owned| share.contains(owned));
                prop_assert!(kept, "{:?} {:?}", member, share);
            }
        }
    }

    #[test]
    fn with_equal_subscriptions_nobody_has_two_more_than_another(
        size in 1u64..7,
        each in prop::collection::vec(0u16..=9, 2),
    ) {
        let members: Vec<_> = (1..=size).map(|id| member(id, "ab", "")).collect();
        for assignor in [Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky] {
            let assigned = assign(assignor, &members, &counts(&each), newest());
            let sizes = || assigned.iter().map(|(_, share)| share.len());
            prop_assert!(sizes().max().unwrap_or(0) <= sizes().min().unwrap_or(0) + 1);
        }
    }

    #[test]
    fn contradictory_claims_never_give_a_partition_two_owners(
        (members, counts) in group(),
        claims in prop::collection::vec((0usize..6, 0u16..4, 0u16..9, 0u32..3), 0..12),
        version in prop::sample::select(vec!["2.8.1", "3.4.0", "3.9", "4.1"]),
    ) {
        let mut members = members;
        for (at, topic, partition, generation) in claims {
            let at = at % members.len();
            let said = Arc::make_mut(&mut members[at].subscription);
            said.owned.push(TopicPartition::new(topic, partition));
            said.owned.sort_unstable();
            said.owned.dedup();
            said.generation = Some(Generation(generation));
        }
        let rules = ProtocolRules::of(version.parse().unwrap());
        assert_complete(&members, &counts, &assign(Assignor::Sticky, &members, &counts, rules));
        let mut seen = BTreeSet::new();
        for (_, share) in assign(Assignor::CooperativeSticky, &members, &counts, rules) {
            for partition in share.iter() {
                prop_assert!(seen.insert(*partition), "{partition:?} has two owners");
            }
        }
    }
}
