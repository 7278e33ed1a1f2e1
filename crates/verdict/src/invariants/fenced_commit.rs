//! A commit is accepted only from a member of the current generation, or, while the group has no
//! members, from a consumer that is none.
//!
//! Source: `ClassicGroup.validateOffsetCommit`, `ConsumerGroup.validateOffsetCommit`;
//! kafka-semantics.md, 5.4. A commit is judged by the time at which it was appended to the
//! coordinator's log, since its answer comes later and may meet another generation. The event-loop
//! coordinator gathers appends for a while after it has decided (KIP-848).

use acklab_vocab::ids::{Generation, MemberId};
use acklab_vocab::time::{SimDuration, SimTime};

use super::Invariant;

/// The property.
pub static INVARIANT: Invariant = Invariant {
    name: "fenced_commit_refused",
    claim: "a commit is accepted only from a member of the current generation",
    source: "ClassicGroup.validateOffsetCommit; KIP-447",
    suspended_by: &[],
};

/// So long an append may wait in the event-loop coordinator (`group.coordinator.append.linger.ms`).
pub const LINGER: SimDuration = SimDuration::from_millis(250);

/// Who commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committer {
    /// A member, whose right to commit in that generation ended then, if it has.
    Member(MemberId, Generation, Option<SimTime>),
    /// A consumer that is no member; the group has had members since then, if it has any.
    NoMember(Option<SimTime>),
}

/// A commit was appended at `appended` and accepted.
#[must_use]
pub fn check(committer: Committer, appended: SimTime, linger: SimDuration) -> Option<String> {
    match committer {
        Committer::Member(member, generation, Some(ended)) if ended + linger < appended => {
            Some(format!(
                "accepted a commit of member {member:x} in generation {generation}, which had ended at {ended:#}"
            ))
        }
        Committer::NoMember(Some(since)) if since + linger < appended => Some(format!(
            "accepted a commit without membership, though the group has had members since {since:#}"
        )),
        Committer::Member(..) | Committer::NoMember(_) => None,
    }
}
