//! Tables after Kafka's UniformHomogeneousAssignmentBuilderTest,
//! UniformHeterogeneousAssignmentBuilderTest and RangeAssignorTest of the group coordinator.

use super::*;
use proptest::prelude::*;

const UNIFORM: RemoteAssignor = RemoteAssignor::Uniform;
const RANGE: RemoteAssignor = RemoteAssignor::Range;

fn topic(letter: u8) -> TopicId {
    TopicId(u16::from(letter - b'a'))
}

/// A member of topics `ab` that is to own `a0 b2`.
fn spec(topics: &str, target: &str) -> MemberSpec {
    let partition =
        |text: &str| TopicPartition::new(topic(text.as_bytes()[0]).0, text[1..].parse().unwrap());
    MemberSpec {
        instance: None,
        topics: topics.bytes().map(topic).collect(),
        target: target.split_whitespace().map(partition).collect(),
    }
}

fn counts(each: &[u16]) -> PartitionCounts {
    (0u16..).map(TopicId).zip(each.iter().copied()).collect()
}

fn members(specs: &[MemberSpec]) -> BTreeMap<MemberId, MemberSpec> {
    (1u64..).map(MemberId).zip(specs.iter().cloned()).collect()
}

fn shown(target: &Target) -> String {
    let name = |partition: &TopicPartition| {
        format!(" {}{}", char::from(b'a' + partition.topic.0 as u8), partition.partition)
    };
    let one = |(member, share): (&MemberId, &BTreeSet<TopicPartition>)| {
        format!("{member}:{}", share.iter().map(name).collect::<String>())
    };
    target.iter().map(one).collect::<Vec<_>>().join(" | ")
}

fn check(assignor: RemoteAssignor, specs: &[MemberSpec], each: &[u16], expected: &str) {
    let target = assign(assignor, &members(specs), &counts(each));
    assert_eq!(shown(&target), expected, "{assignor:?} {specs:?} {each:?}");
}

#[test]
fn uniform_fills_one_member_after_the_other() {
    check(UNIFORM, &[spec("ab", ""), spec("ab", "")], &[3, 2], "1: a0 a1 a2 | 2: b0 b1");
    check(UNIFORM, &[spec("a", ""), spec("a", ""), spec("a", "")], &[2], "1: a0 | 2: a1 | 3:");
    check(UNIFORM, &[spec("", ""), spec("", "")], &[], "1: | 2:");
    check(UNIFORM, &[], &[3], "");
}

#[test]
fn uniform_moves_only_what_is_above_the_quota() {
    let joined = [spec("a", "a0 a1 a2"), spec("a", "a3 a4 a5"), spec("a", "")];
    check(UNIFORM, &joined, &[6], "1: a0 a1 | 2: a3 a4 | 3: a2 a5");
    let left = [spec("a", "a0 a1"), spec("a", "a4 a5")];
    check(UNIFORM, &left, &[6], "1: a0 a1 a2 | 2: a3 a4 a5");
    let unsubscribed = [spec("b", "a0 a1"), spec("b", "a2")];
    check(UNIFORM, &unsubscribed, &[3, 2], "1: b0 | 2: b1");
}

#[test]
fn uniform_gives_the_surplus_by_the_order_of_members() {
    let second_has_more = [spec("a", "a0"), spec("a", "a1 a2")];
    check(UNIFORM, &second_has_more, &[3], "1: a0 a2 | 2: a1");
}

#[test]
fn uniform_with_different_subscriptions() {
    let stairs = [spec("a", ""), spec("ab", ""), spec("abc", "")];
    check(UNIFORM, &stairs, &[1, 2, 3], "1: a0 | 2: b0 b1 | 3: c0 c1 c2");
    let overlap = [spec("a", ""), spec("ab", "")];
    check(UNIFORM, &overlap, &[4, 2], "1: a0 a1 a2 | 2: a3 b0 b1");
    let joined = [spec("ab", "a0 a1 a2 a3 b0 b1"), spec("a", "")];
    check(UNIFORM, &joined, &[4, 2], "1: a0 b0 b1 | 2: a1 a2 a3");
    let gone = [spec("a", "b0"), spec("b", "b1")];
    check(UNIFORM, &gone, &[1, 2], "1: a0 | 2: b0 b1");
}

#[test]
fn range_cuts_blocks_and_does_not_look_at_what_members_have() {
    check(RANGE, &[spec("ab", ""), spec("ab", "")], &[3, 3], "1: a0 a1 b0 b1 | 2: a2 b2");
    check(RANGE, &[spec("a", "a2"), spec("a", "a0 a1")], &[3], "1: a0 a1 | 2: a2");
    let uneven = [spec("a", ""), spec("ab", ""), spec("a", "")];
    check(RANGE, &uneven, &[3, 2], "1: a0 | 2: a1 b0 b1 | 3: a2");
    check(RANGE, &[spec("a", ""), spec("a", ""), spec("a", "")], &[2], "1: a0 | 2: a1 | 3:");
}

#[test]
fn range_takes_static_members_first() {
    let with_instance = MemberSpec { instance: Some(GroupInstanceId(7)), ..spec("a", "") };
    check(RANGE, &[spec("a", ""), with_instance], &[3], "1: a2 | 2: a0 a1");
}

/// Up to 6 members that subscribe to some of 4 topics, and what they had before another member
/// left.
fn group() -> impl Strategy<Value = (Vec<MemberSpec>, PartitionCounts)> {
    let subscriptions = prop::collection::vec(0u8..16, 1..=6);
    (subscriptions, prop::collection::vec(1u16..=9, 4)).prop_map(|(subscriptions, each)| {
        let named = |bits: u8| -> String {
            let letters = "abcd".chars().enumerate();
            letters.filter(|(at, _)| bits & (1 << at) != 0).map(|(_, letter)| letter).collect()
        };
        (subscriptions.into_iter().map(|bits| spec(&named(bits), "")).collect(), counts(&each))
    })
}

fn settled(target: &Target, specs: &mut BTreeMap<MemberId, MemberSpec>) {
    for (member, share) in target {
        if let Some(spec) = specs.get_mut(member) {
            spec.target = share.iter().copied().collect();
        }
    }
}

fn assert_complete(
    target: &Target,
    specs: &BTreeMap<MemberId, MemberSpec>,
    counts: &PartitionCounts,
) {
    let mut seen = BTreeSet::new();
    for (member, share) in target {
        for partition in share {
            assert!(specs[member].topics.contains(&partition.topic), "{member} {partition:?}");
            assert!(seen.insert(*partition), "{partition:?} has two owners");
        }
    }
    let wanted: BTreeSet<TopicId> =
        specs.values().flat_map(|spec| spec.topics.iter().copied()).collect();
    let expected: usize = wanted.iter().map(|topic| usize::from(counts[topic])).sum();
    assert_eq!(seen.len(), expected);
}

proptest! {
    #[test]
    fn every_partition_has_one_subscriber_and_nothing_moves_for_nothing(
        (specs, counts) in group(),
        gone in 0usize..6,
    ) {
        for assignor in [UNIFORM, RANGE] {
            let mut specs = members(&specs);
            let first = assign(assignor, &specs, &counts);
            assert_complete(&first, &specs, &counts);
            settled(&first, &mut specs);
            prop_assert_eq!(&assign(assignor, &specs, &counts), &first);
            specs.remove(&MemberId(1 + (gone % specs.len()) as u64));
            assert_complete(&assign(assignor, &specs, &counts), &specs, &counts);
        }
    }

    #[test]
    fn uniform_is_balanced_with_equal_subscriptions(size in 1usize..7, each in 0u16..20) {
        let specs = members(&vec![spec("a", ""); size]);
        let target = assign(UNIFORM, &specs, &counts(&[each]));
        let sizes = || target.values().map(BTreeSet::len);
        prop_assert!(sizes().max() <= sizes().min().map(|least| least + 1));
    }
}
