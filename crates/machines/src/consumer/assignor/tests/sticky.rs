//! Tables of the sticky assignors.

use super::*;

const STICKY: Assignor = Assignor::Sticky;
const COOPERATIVE: Assignor = Assignor::CooperativeSticky;

fn rules(version: &str) -> ProtocolRules {
    ProtocolRules::of(version.parse().unwrap())
}

fn check_under(
    version: &str,
    assignor: Assignor,
    members: &[JoinGroupMember],
    each: &[u16],
    expected: &str,
) {
    let assigned = assign(assignor, members, &counts(each), rules(version));
    assert_eq!(shown(&assigned), expected, "{version} {assignor:?} {members:?} {each:?}");
}

#[test]
fn without_owners_the_partitions_are_dealt_out() {
    let two = [member(1, "ab", ""), member(2, "ab", "")];
    check(STICKY, &two, &[3], "1: a0 a2 | 2: a1");
    check(STICKY, &two, &[3, 3], "1: a0 a2 b1 | 2: a1 b0 b2");
    check(STICKY, &two, &[], "1: | 2:");
    check(STICKY, &[], &[3], "");
    let three = [member(1, "a", ""), member(2, "a", ""), member(3, "a", "")];
    check(STICKY, &three, &[2], "1: a0 | 2: a1 | 3:");
}

#[test]
fn what_is_owned_stays_when_a_member_leaves() {
    let left = [member(1, "a", "a0 a3"), member(3, "a", "a2 a5")];
    check(STICKY, &left, &[6], "1: a0 a1 a3 | 3: a2 a4 a5");
    check(COOPERATIVE, &left, &[6], "1: a0 a1 a3 | 3: a2 a4 a5");
}

#[test]
fn a_new_member_takes_only_the_surplus_and_cooperatively_only_after_it_was_revoked() {
    let joined = [member(1, "a", "a0 a1 a2"), member(2, "a", "a3 a4 a5"), member(3, "a", "")];
    check(STICKY, &joined, &[6], "1: a0 a1 | 2: a3 a4 | 3: a2 a5");
    check(COOPERATIVE, &joined, &[6], "1: a0 a1 | 2: a3 a4 | 3:");
    let second_round = [member(1, "a", "a0 a1"), member(2, "a", "a3 a4"), member(3, "a", "")];
    check(COOPERATIVE, &second_round, &[6], "1: a0 a1 | 2: a3 a4 | 3: a2 a5");
}

#[test]
fn what_a_member_no_longer_subscribes_to_is_ignored() {
    let changed = [member(1, "b", "a0 a1"), member(2, "b", "a2 b0")];
    check(STICKY, &changed, &[3, 4], "1: b1 b3 | 2: b0 b2");
    let shrunk = [member(1, "a", "a0 a7"), member(2, "a", "a1")];
    check(STICKY, &shrunk, &[2], "1: a0 | 2: a1");
}

#[test]
fn uneven_subscriptions_are_balanced_as_far_as_they_can_be() {
    let stairs = [member(1, "a", ""), member(2, "ab", ""), member(3, "abc", "")];
    check(STICKY, &stairs, &[1, 2, 3], "1: a0 | 2: b0 b1 | 3: c0 c1 c2");
    let members = [member(1, "a", ""), member(2, "ab", ""), member(3, "a", "")];
    check(STICKY, &members, &[3, 2], "1: a0 a2 | 2: b0 b1 | 3: a1");
    let one_has_all = [member(1, "ab", "a0 a1 a2 b0 b1 b2"), member(2, "b", "")];
    check(STICKY, &one_has_all, &[3, 3], "1: a0 a1 a2 | 2: b0 b1 b2");
    check(COOPERATIVE, &one_has_all, &[3, 3], "1: a0 a1 a2 | 2:");
}

#[test]
fn uneven_subscriptions_keep_what_is_balanced() {
    let owned = [member(1, "a", "a0"), member(2, "ab", "a2 b0"), member(3, "ab", "a1 b1")];
    check(STICKY, &owned, &[3, 2], "1: a0 | 2: a2 b0 | 3: a1 b1");
    let dropped = [member(1, "a", "a0"), member(2, "b", "a2 b0"), member(3, "ab", "a1 b1")];
    check(STICKY, &dropped, &[3, 2], "1: a0 a2 | 2: b0 | 3: a1 b1");
}

#[test]
fn a_claim_of_the_newest_generation_holds() {
    let claims = [
        at_generation(member(1, "a", "a0 a1"), 4),
        at_generation(member(2, "a", "a1 a2"), 5),
        at_generation(member(3, "a", "a3"), 5),
    ];
    check_under("3.5", STICKY, &claims, &[4], "1: a0 | 2: a1 a2 | 3: a3");
    check_under("3.5", COOPERATIVE, &claims, &[4], "1: a0 | 2: a1 a2 | 3: a3");
}

#[test]
fn before_kafka_14639_an_older_member_owns_nothing_and_its_partition_is_given_away_at_once() {
    let claims = [
        at_generation(member(1, "a", ""), 5),
        at_generation(member(2, "a", "a0 a1"), 4),
        at_generation(member(3, "a", "a3"), 5),
    ];
    check_under("3.4.1", COOPERATIVE, &claims, &[4], "1: a2 | 2: a0 a1 | 3: a3");
    check_under("3.4.0", COOPERATIVE, &claims, &[4], "1: a0 | 2: a1 | 3: a2 a3");
}

#[test]
fn claims_of_one_generation_cancel_each_other() {
    let claims =
        [at_generation(member(1, "a", "a0 a1"), 5), at_generation(member(2, "a", "a1 a2"), 5)];
    for version in ["2.8.1", "3.4.1", "4.1"] {
        check_under(version, STICKY, &claims, &[4], "1: a0 a1 | 2: a2 a3");
        check_under(version, COOPERATIVE, &claims, &[4], "1: a0 | 2: a2 a3");
    }
}

#[test]
fn before_kafka_12984_a_member_that_fell_out_and_its_successor_both_own_a_partition() {
    let stale =
        [at_generation(member(1, "a", "a0 a1"), 4), at_generation(member(2, "a", "a1 a2"), 5)];
    check_under("2.8.0", COOPERATIVE, &stale, &[3], "1: a0 a1 | 2: a1 a2");
    check_under("2.8.1", COOPERATIVE, &stale, &[3], "1: a0 | 2: a1 a2");
    check_under("2.8.0", STICKY, &stale, &[3], "1: a0 | 2: a1 a2");
}

#[test]
fn before_kafka_12984_a_new_member_takes_from_the_first_of_the_larger_ones() {
    let joined = [member(1, "a", "a0 a1"), member(2, "a", "a2 a3"), member(3, "a", "")];
    check_under("2.8.0", STICKY, &joined, &[4], "1: a1 | 2: a2 a3 | 3: a0");
    check_under("2.8.0", COOPERATIVE, &joined, &[4], "1: a1 | 2: a2 a3 | 3:");
    check_under("2.8.1", STICKY, &joined, &[4], "1: a0 a1 | 2: a2 | 3: a3");
    let surplus = [member(1, "a", "a0 a1 a2 a3"), member(2, "a", "a4"), member(3, "a", "")];
    check_under("2.8.0", STICKY, &surplus, &[5], "1: a0 a1 | 2: a3 a4 | 3: a2");
    check_under("2.8.0", COOPERATIVE, &surplus, &[5], "1: a0 a1 | 2: a4 | 3:");
    let fresh = [member(1, "a", ""), member(2, "a", "")];
    check_under("2.8.0", STICKY, &fresh, &[3], "1: a0 a2 | 2: a1");
}
