//! Which protocol a classic group uses: its members vote.
//!
//! Mirrors `ClassicGroup.selectProtocol` and `ClassicGroupMember.vote`. A tie goes to the protocol
//! that Java's hash map happens to list first; that order is written down here.

use acklab_vocab::group::Assignor;

/// Kafka's four protocols in the order in which a `java.util.HashMap` of 16 buckets lists them: by
/// `(h ^ h >>> 16) & 15` of their names' hashes.
const TIE_ORDER: [Assignor; 4] =
    [Assignor::Sticky, Assignor::Range, Assignor::RoundRobin, Assignor::CooperativeSticky];

/// What the members vote for: each for the first of its protocols that all of them support. `None`
/// if there are no members, or nothing that all support.
pub(super) fn select_protocol<'a>(
    members: impl Iterator<Item = &'a [Assignor]> + Clone,
) -> Option<Assignor> {
    let is_candidate = |protocol: Assignor| members.clone().all(|own| own.contains(&protocol));
    let mut votes = [0_u32; TIE_ORDER.len()];
    for own in members.clone() {
        let vote = own.iter().copied().find(|&protocol| is_candidate(protocol))?;
        let at = TIE_ORDER.iter().position(|&protocol| protocol == vote)?;
        votes[at] += 1;
    }
    let most = votes.iter().copied().max().filter(|&most| most > 0)?;
    let at = votes.iter().position(|&count| count == most)?;
    Some(TIE_ORDER[at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use Assignor::{CooperativeSticky, Range, RoundRobin, Sticky};

    #[track_caller]
    fn check(members: &[&[Assignor]], expected: Option<Assignor>) {
        assert_eq!(select_protocol(members.iter().copied()), expected, "{members:?}");
    }

    #[test]
    fn each_member_votes_for_its_first_protocol_that_all_support() {
        check(&[], None);
        check(&[&[Range]], Some(Range));
        check(&[&[Range, CooperativeSticky], &[Range, CooperativeSticky]], Some(Range));
        // A rolling upgrade from range to cooperative-sticky.
        check(&[&[CooperativeSticky, Range], &[Range]], Some(Range));
        check(&[&[CooperativeSticky, Range], &[CooperativeSticky]], Some(CooperativeSticky));
        check(&[&[Range], &[RoundRobin]], None);
        check(&[&[Range, Sticky], &[Sticky, Range], &[Sticky, RoundRobin, Range]], Some(Sticky));
    }

    #[test]
    fn a_tie_goes_by_the_order_of_a_java_hash_map() {
        check(&[&[Range, Sticky], &[Sticky, Range]], Some(Sticky));
        check(&[&[CooperativeSticky, Range], &[Range, CooperativeSticky]], Some(Range));
    }

    #[test]
    fn the_tie_order_is_that_of_the_names_hashes() {
        let bucket = |protocol: Assignor| {
            let hash = protocol
                .name()
                .bytes()
                .fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
            (hash ^ (hash >> 16)) & 15
        };
        let buckets: Vec<u32> = TIE_ORDER.iter().map(|&protocol| bucket(protocol)).collect();
        assert_eq!(buckets, [8, 9, 10, 15]);
    }
}
