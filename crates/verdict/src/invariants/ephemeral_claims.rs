//! An owner's znode lives as long as the session of the consumer that made it, or shorter.
//!
//! Mirrors ephemeral nodes (`DataTree.killSession`): all of a session's znodes go with it, in one
//! transaction.

use acklab_vocab::ids::NodeId;

use super::Invariant;

/// See the module.
pub static INVARIANT: Invariant = Invariant {
    name: "claims_end_with_session",
    claim: "an owner's znode is made in a session of its consumer and gone when that session ends",
    source: "DataTree.killSession, PrepRequestProcessor (closeSession)",
    suspended_by: &[],
};

/// `consumer` has claimed a partition.
#[must_use]
pub fn check_claim(consumer: NodeId, has_no_session: bool) -> Option<String> {
    has_no_session.then(|| format!("process {consumer} claimed it without a session"))
}

/// `consumer` has released a partition.
#[must_use]
pub fn check_release(consumer: NodeId, had_claim: bool) -> Option<String> {
    (!had_claim).then(|| format!("process {consumer} released it without having claimed it"))
}

/// What to say of a claim that is left of an ended session.
#[must_use]
pub fn left(consumer: NodeId) -> String {
    format!("the session of process {consumer} ended, and its claim is left")
}

/// What to say of a claim that went with the session of an owner whose session lives.
#[must_use]
pub fn without_expiry(consumer: NodeId) -> String {
    format!("the claim of process {consumer} was taken away, though its session has not expired")
}
