//! Tables of assignments, after the cases of Kafka's RangeAssignorTest, RoundRobinAssignorTest and
//! AbstractStickyAssignorTest, and properties of all assignors on random groups.

mod properties;
mod sticky;

use super::*;
use acklab_vocab::ids::Generation;

/// `topics` are letters, `a` for topic 0; `owned` is `a0 b2`.
pub(super) fn member(id: u64, topics: &str, owned: &str) -> JoinGroupMember {
    JoinGroupMember {
        member: MemberId(id),
        instance: None,
        subscription: Arc::new(Subscription {
            topics: topics.bytes().map(topic).collect(),
            owned: owned.split_whitespace().map(partition).collect(),
            generation: None,
        }),
    }
}

fn topic(letter: u8) -> TopicId {
    TopicId(u16::from(letter - b'a'))
}

fn partition(text: &str) -> TopicPartition {
    let (letter, number) = text.split_at(1);
    TopicPartition::new(topic(letter.as_bytes()[0]).0, number.parse().unwrap())
}

pub(super) fn at_generation(mut member: JoinGroupMember, generation: u32) -> JoinGroupMember {
    Arc::make_mut(&mut member.subscription).generation = Some(Generation(generation));
    member
}

fn with_instance(mut member: JoinGroupMember, instance: u16) -> JoinGroupMember {
    member.instance = Some(GroupInstanceId(instance));
    member
}

/// Topics `a`, `b`, … with so many partitions each; 0 is a topic without metadata.
pub(super) fn counts(each: &[u16]) -> PartitionCounts {
    (0u16..).map(TopicId).zip(each.iter().copied()).collect()
}

pub(super) fn newest() -> ProtocolRules {
    ProtocolRules::of("4.1".parse().unwrap())
}

/// An assignment as text: `1: a0 a1 | 2: b0`.
pub(super) fn shown(assigned: &[(MemberId, Arc<[TopicPartition]>)]) -> String {
    let one = |(member, share): &(MemberId, Arc<[TopicPartition]>)| {
        let name = |partition: &TopicPartition| {
            let letter = char::from(b'a' + partition.topic.0 as u8);
            format!(" {letter}{}", partition.partition)
        };
        format!("{}:{}", member.0, share.iter().map(name).collect::<String>())
    };
    assigned.iter().map(one).collect::<Vec<_>>().join(" | ")
}

fn check(assignor: Assignor, members: &[JoinGroupMember], each: &[u16], expected: &str) {
    let assigned = assign(assignor, members, &counts(each), newest());
    assert_eq!(shown(&assigned), expected, "{assignor:?} {members:?} {each:?}");
}

#[test]
fn range_gives_each_subscriber_a_block_of_each_topic() {
    let two = [member(1, "ab", ""), member(2, "ab", "")];
    check(Assignor::Range, &two[..1], &[3], "1: a0 a1 a2");
    check(Assignor::Range, &two, &[1], "1: a0 | 2:");
    check(Assignor::Range, &two, &[2], "1: a0 | 2: a1");
    check(Assignor::Range, &two, &[3, 3], "1: a0 a1 b0 b1 | 2: a2 b2");
    check(Assignor::Range, &two, &[0, 3], "1: b0 b1 | 2: b2");
    check(Assignor::Range, &two, &[], "1: | 2:");
    check(Assignor::Range, &[], &[3], "");
    let three = [member(1, "a", ""), member(2, "a", ""), member(3, "a", "")];
    check(Assignor::Range, &three, &[7], "1: a0 a1 a2 | 2: a3 a4 | 3: a5 a6");
    check(Assignor::Range, &three, &[2], "1: a0 | 2: a1 | 3:");
}

#[test]
fn range_with_uneven_subscriptions() {
    let members = [member(1, "a", ""), member(2, "ab", ""), member(3, "a", "")];
    check(Assignor::Range, &members, &[3, 2], "1: a0 | 2: a1 b0 b1 | 3: a2");
    check(Assignor::Range, &members, &[1, 3], "1: a0 | 2: b0 b1 b2 | 3:");
    let apart = [member(1, "a", ""), member(2, "b", ""), member(3, "", "")];
    check(Assignor::Range, &apart, &[2, 2], "1: a0 a1 | 2: b0 b1 | 3:");
}

#[test]
fn static_members_come_before_dynamic_ones_and_by_their_instance() {
    let members = [
        member(1, "a", ""),
        with_instance(member(2, "a", ""), 9),
        with_instance(member(3, "a", ""), 4),
        member(4, "a", ""),
    ];
    check(Assignor::Range, &members, &[6], "1: a4 | 2: a2 a3 | 3: a0 a1 | 4: a5");
    check(Assignor::RoundRobin, &members, &[6], "1: a2 | 2: a1 a5 | 3: a0 a4 | 4: a3");
}

#[test]
fn round_robin_goes_on_in_the_circle_from_topic_to_topic() {
    let two = [member(1, "ab", ""), member(2, "ab", "")];
    check(Assignor::RoundRobin, &two, &[3, 3], "1: a0 a2 b1 | 2: a1 b0 b2");
    check(Assignor::RoundRobin, &two, &[1, 1], "1: a0 | 2: b0");
    check(Assignor::RoundRobin, &two, &[0, 2], "1: b0 | 2: b1");
    check(Assignor::RoundRobin, &[], &[2], "");
}

#[test]
fn round_robin_with_uneven_subscriptions() {
    let members = [member(1, "a", ""), member(2, "ab", ""), member(3, "a", "")];
    check(Assignor::RoundRobin, &members, &[3, 2], "1: a0 | 2: a1 b0 b1 | 3: a2");
    let stairs = [member(1, "a", ""), member(2, "ab", ""), member(3, "abc", "")];
    check(Assignor::RoundRobin, &stairs, &[1, 2, 3], "1: a0 | 2: b0 | 3: b1 c0 c1 c2");
}
